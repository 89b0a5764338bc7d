/*
 * topics.c - the probe, what is taken out, and what the probe still tells.
 */
#include "lab/topics.h"
#include "lab/redundancy.h"
#include "lab/topics_probe.h"
#include "eval/tpp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *topics_removed_name(char name[TOPICS_NAME], const char *what, int operator)
{
    static const char *const operators[TOPICS_OPERATORS] = {"R2 uncentred", "R3 centred"};

    snprintf(name, TOPICS_NAME, "%.40s removed, %s", what, operators[operator]);
    return name;
}

const char *topics_ablated_name(char name[TOPICS_NAME], int64_t n, topics_features which)
{
    static const char *const names[] = {"topic-aligned features", "features of equal density", "features, all,"};

    snprintf(name, TOPICS_NAME, "%lld %s ablated", (long long)n, names[which]);
    return name;
}

/* ---- What all arms share ----------------------------------------------------------------------------------------------- */

typedef struct bench {
    const pooled *p;
    const split *s;
    const topics_what *what;
    int64_t d, n_train, n_test;
    int32_t *y;            /* [n_train + n_test] */
    int64_t *docs;         /* the same: training documents, then test documents */
    float *rows, *changed; /* [n_train + n_test, d] */
    topics_probe clean;
    score right;            /* of the clean probe */
    int64_t *order, *alike; /* [d_sae] features by alignment; features to compare with */
    int64_t *fires;         /* [d_sae] in how many of these documents each feature fires */
} bench;

static void bench_close(bench *b)
{
    topics_probe_free(&b->clean);
    score_free(&b->right);
    mem_free(b->y);
    mem_free(b->docs);
    mem_free(b->rows);
    mem_free(b->changed);
    mem_free(b->order);
    mem_free(b->alike);
    mem_free(b->fires);
}

/* Right answers of a probe on test rows with labels y. */
static sae_status ask(const bench *b, const topics_probe *q, const float *test, const int32_t *y, score *out,
                      sae_error *err)
{
    sae_status status = SAE_OK;
    float *scaled = mem_alloc_array((size_t)b->n_test, (size_t)b->d * sizeof *scaled, "standardised rows", err);
    int32_t *got = mem_alloc_array((size_t)b->n_test, sizeof *got, "answers", err);

    if (!scaled || !got) SAE_TRY(SAE_NOMEM);
    SAE_TRY(score_create(out, b->n_test, err));
    topics_standardise(q, test, b->n_test, b->d, scaled);
    logistic_predict(&q->m, scaled, b->n_test, got);
    for (int64_t i = 0; i < b->n_test; i++) {
        out->right[i] = got[i] == y[i];
        out->asked[i] = 1;
    }
done:
    mem_free(scaled);
    mem_free(got);
    return status;
}

/* The labels of both parts in another order: what is learned from them must be right by chance. With the true ones to be told, a class whose
 * documents lie together would be right or wrong as one, and chance outside the interval over documents. */
static sae_status ask_shuffled(const bench *b, interval *out, sae_error *err)
{
    sae_status status = SAE_OK;
    topics_probe q = {0};
    score s = {0};
    rng random = rng_seed(b->what->seed, 101);
    int64_t n = b->n_train + b->n_test, *order = mem_alloc_array((size_t)n, sizeof *order, "an order", err);
    int32_t *y = mem_alloc_array((size_t)n, sizeof *y, "labels", err);

    if (!order || !y) SAE_TRY(SAE_NOMEM);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    rng_shuffle(&random, order, b->n_train);
    rng_shuffle(&random, order + b->n_train, b->n_test);
    for (int64_t i = 0; i < n; i++) y[i] = b->y[order[i]];
    SAE_TRY(topics_probe_fit(&q, b->rows, y, b->n_train, b->d, b->s->n_classes, NULL, err));
    SAE_TRY(ask(b, &q, b->rows + b->n_train * b->d, y + b->n_train, &s, err));
    SAE_TRY(score_accuracy(&s, b->what->seed, out, err));
done:
    topics_probe_free(&q);
    score_free(&s);
    mem_free(order);
    mem_free(y);
    return status;
}

typedef struct aligned {
    double score;
    int64_t latent;
} aligned;

static int compare_aligned(const void *a, const void *b)
{
    const aligned *x = a, *y = b;

    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->latent > y->latent) - (x->latent < y->latent);
}

/* In how many of the documents of both parts each feature fires. */
static sae_status count_firing(bench *b, sae_error *err)
{
    const int64_t d_sae = b->p->codes[b->what->which_dict].d_sae;
    double *mean = mem_alloc_array((size_t)d_sae, sizeof *mean, "means of features", err);

    b->fires = mem_alloc_array((size_t)d_sae, sizeof *b->fires, "documents that features fire in", err);
    if (mean && b->fires) pooled_means(b->p, b->what->which_dict, b->docs, b->n_train + b->n_test, mean, b->fires);
    mem_free(mean);
    return mean && b->fires ? SAE_OK : SAE_NOMEM;
}

/* Features by max over classes of |<d_i, w_c>|, w_c the clean probe's direction in the rows' own coordinates; those that never fire, whose
 * ablation is none, behind all others. */
static sae_status order_features(bench *b, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_weights w = sae_dict_weights((sae_dict *)(uintptr_t)b->what->dict); /* read only */
    const pooled_codes *c = &b->p->codes[b->what->which_dict];
    aligned *all = mem_alloc_array((size_t)c->d_sae, sizeof *all, "alignments", err);

    b->order = mem_alloc_array((size_t)c->d_sae, sizeof *b->order, "features in order", err);
    b->alike = mem_alloc_array((size_t)c->d_sae, sizeof *b->alike, "features of equal density", err);
    if (!all || !b->order || !b->alike) SAE_TRY(SAE_NOMEM);
    SAE_TRY(count_firing(b, err));
#pragma omp parallel for
    for (int64_t i = 0; i < c->d_sae; i++) {
        all[i] = (aligned){b->fires[i] ? 0 : -1, i};
        for (int k = 0; b->fires[i] && k < b->clean.m.n_outputs; k++) {
            const double *direction = b->clean.m.W + k * (b->d + 1);
            double sum = 0;
            for (int64_t j = 0; j < b->d; j++) sum += direction[j] / b->clean.spread[j] * (double)w.W_dec[i * b->d + j];
            if (c->norm[i] > 0) all[i].score = fmax(all[i].score, fabs(sum) / (double)c->norm[i]);
        }
    }
    qsort(all, (size_t)c->d_sae, sizeof *all, compare_aligned);
    for (int64_t i = 0; i < c->d_sae; i++) b->order[i] = all[i].latent;
done:
    mem_free(all);
    return status;
}

/* Into b->alike k features that fire in as many documents as the k aligned ones, drawn from all, the aligned ones among them: these would be
 * one more draw, were alignment nothing (controls.c). *held: the share of the aligned ones that are drawn. */
static sae_status draw_alike(bench *b, int64_t k, rng *random, double *held, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t d_sae = b->p->codes[b->what->which_dict].d_sae;
    uint8_t *taken = mem_alloc_array((size_t)d_sae, 1, "aligned features", err);
    uint8_t *drawn = mem_alloc_array((size_t)d_sae, 1, "features of equal density", err);
    int64_t n = 0, common = 0;

    if (!taken || !drawn) SAE_TRY(SAE_NOMEM);
    for (int64_t i = 0; i < k; i++) taken[b->order[i]] = 1;
    SAE_TRY(control_matched(taken, b->fires, d_sae, random, drawn, err));
    for (int64_t i = 0; i < d_sae; i++) {
        common += drawn[i] && taken[i];
        if (drawn[i]) b->alike[n++] = i;
    }
    *held = (double)common / (double)k;
done:
    mem_free(taken);
    mem_free(drawn);
    return status;
}

static sae_status bench_open(bench *b, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t n = (size_t)(b->n_train + b->n_test), row = (size_t)b->d * sizeof(float);

    b->y = mem_alloc_array(n, sizeof *b->y, "labels", err);
    b->docs = mem_alloc_array(n, sizeof *b->docs, "documents", err);
    b->rows = mem_alloc_array(n, row, "mean rows", err);
    b->changed = mem_alloc_array(n, row, "changed rows", err);
    if (!b->y || !b->docs || !b->rows || !b->changed) SAE_TRY(SAE_NOMEM);
    for (int64_t i = 0; i < (int64_t)n; i++) {
        bool train = i < b->n_train;
        b->docs[i] = train ? b->s->train.doc[i] : b->s->test.doc[i - b->n_train];
        b->y[i] = train ? split_class(&b->s->train, i) : split_class(&b->s->test, i - b->n_train);
    }
    pooled_rows(b->p, b->docs, (int64_t)n, b->rows);
    SAE_TRY(topics_probe_fit(&b->clean, b->rows, b->y, b->n_train, b->d, b->s->n_classes, NULL, err));
    SAE_TRY(ask(b, &b->clean, b->rows + b->n_train * b->d, b->y + b->n_train, &b->right, err));
    if (b->what->dict) SAE_TRY(order_features(b, err));
done:
    return status;
}

/* ---- Arms -------------------------------------------------------------------------------------------------------------- */

/* A probe's answers on b->changed, added to the sums of an arm. */
static sae_status add_answers(const bench *b, const topics_probe *q, score *to, sae_error *err)
{
    sae_status status = SAE_OK;
    score one = {0};

    SAE_TRY(ask(b, q, b->changed + b->n_train * b->d, b->y + b->n_train, &one, err));
    for (int64_t i = 0; i < b->n_test; i++) to->right[i] += one.right[i], to->asked[i] += 1;
done:
    score_free(&one);
    return status;
}

/* The same of a probe that is trained on b->changed. */
static sae_status add_retrained(const bench *b, score *to, sae_error *err)
{
    sae_status status = SAE_OK;
    topics_probe anew = {0};

    SAE_TRY(topics_probe_fit(&anew, b->changed, b->y, b->n_train, b->d, b->s->n_classes, &b->clean, err));
    SAE_TRY(add_answers(b, &anew, to, err));
done:
    topics_probe_free(&anew);
    return status;
}

/* How much less often right than the clean probe, on the same questions. */
static sae_status fall_of(const bench *b, const score *changed, interval *out, sae_error *err)
{
    sae_status status = SAE_OK;
    double *fall = mem_alloc_array((size_t)b->n_test, sizeof *fall, "falls", err);

    if (!fall) return SAE_NOMEM;
    for (int64_t i = 0; i < b->n_test; i++) fall[i] = b->right.right[i] * changed->asked[i] - changed->right[i];
    SAE_TRY(bootstrap_ratio(out, fall, changed->asked, b->n_test, b->what->seed, err));
done:
    mem_free(fall);
    return status;
}

static sae_status finish_arm(const bench *b, topics *m, const char *name, const score *fixed, const score *retrained,
                             sae_error *err)
{
    sae_status status = SAE_OK;
    topics_arm *arm = &m->arms[m->n_arms];
    uint64_t seed = b->what->seed;

    snprintf(arm->name, sizeof arm->name, "%s", name);
    SAE_TRY(score_accuracy(fixed, seed, &arm->fixed, err));
    SAE_TRY(score_accuracy(retrained, seed, &arm->retrained, err));
    SAE_TRY(fall_of(b, fixed, &arm->fall, err));
    SAE_TRY(fall_of(b, retrained, &arm->retrained_fall, err));
    arm->over_random = arm->retrained_over_random = (interval){NAN, NAN, NAN};
    arm->held = NAN;
    m->n_arms++;
done:
    return status;
}

/* ---- Beside what was drawn at random ----------------------------------------------------------------------------------- */

/* Answers of probes after several draws of a change: summed, and how often each was right. */
typedef struct answers {
    score sum;
    double right[TOPICS_DRAWS];
    int n;
} answers;

/* The fixed probe after TOPICS_DRAWS changes of a kind, and probes trained anew after the first of them. */
typedef struct drawn {
    answers fixed, retrained;
} drawn;

static int draws_anew(const bench *b) { return b->s->n_classes > TOPICS_FEW ? 1 : TOPICS_ANEW; }

static void drawn_free(drawn *of)
{
    score_free(&of->fixed.sum);
    score_free(&of->retrained.sum);
}

static sae_status drawn_create(drawn *of, const bench *b, sae_error *err)
{
    sae_status status = score_create(&of->fixed.sum, b->n_test, err);

    return status == SAE_OK ? score_create(&of->retrained.sum, b->n_test, err) : status;
}

static double right_of(const score *s)
{
    double right = 0;

    for (int64_t i = 0; i < s->n; i++) right += s->right[i];
    return right;
}

/* Answers on b->changed, the next draw's; `anew`: of a probe trained on it too, if it is one of the first. */
static sae_status drawn_add(drawn *of, bench *b, bool anew, sae_error *err)
{
    sae_status status = SAE_OK;
    const double fixed = right_of(&of->fixed.sum), retrained = right_of(&of->retrained.sum);

    SAE_TRY(add_answers(b, &b->clean, &of->fixed.sum, err));
    of->fixed.right[of->fixed.n++] = (right_of(&of->fixed.sum) - fixed) / (double)b->n_test;
    if (!anew || of->retrained.n == draws_anew(b)) goto done;
    SAE_TRY(add_retrained(b, &of->retrained.sum, err));
    of->retrained.right[of->retrained.n++] = (right_of(&of->retrained.sum) - retrained) / (double)b->n_test;
done:
    return status;
}

/* Accuracies, and what they differ by, are at most 1. */
static interval within(interval v, double least)
{
    return isfinite(v.low) ? (interval){v.value, fmax(v.low, least), fmin(v.high, 1)} : v;
}

/* How much less often right after a change than after the drawn ones, on the same questions, with room for another draw; no two accuracies differ
 * by more than 1. */
static sae_status less_right(const bench *b, const score *changed, const answers *random, interval *out, sae_error *err)
{
    sae_status status = SAE_OK;
    double *less = mem_alloc_array((size_t)b->n_test, sizeof *less, "differences", err);

    if (!less) return SAE_NOMEM;
    for (int64_t i = 0; i < b->n_test; i++) less[i] = random->sum.right[i] / random->n - changed->right[i];
    SAE_TRY(bootstrap_ratio(out, less, changed->asked, b->n_test, b->what->seed, err));
    *out = interval_beside_draws(*out, random->right, random->n);
    *out = within(*out, -1);
done:
    mem_free(less);
    return status;
}

/* Both kinds of probe beside those after draws, into the arm that was finished last. */
static sae_status beside_drawn(const bench *b, topics *m, const score *fixed, const answers *random, const score *anew,
                               const answers *random_anew, sae_error *err)
{
    topics_arm *arm = &m->arms[m->n_arms - 1];
    sae_status status = SAE_OK;

    SAE_TRY(less_right(b, fixed, random, &arm->over_random, err));
    SAE_TRY(less_right(b, anew, random_anew, &arm->retrained_over_random, err));
done:
    return status;
}

/* The mean over draws: how they differ is in its intervals. */
static sae_status finish_drawn(const bench *b, topics *m, const char *name, const answers *fixed,
                               const answers *retrained, sae_error *err)
{
    topics_arm *arm = &m->arms[m->n_arms];
    sae_status status = finish_arm(b, m, name, &fixed->sum, &retrained->sum, err);

    if (status != SAE_OK) return status;
    arm->fixed = within(interval_of_draws(arm->fixed, fixed->right, fixed->n), 0);
    arm->fall = within(interval_of_draws(arm->fall, fixed->right, fixed->n), -1);
    arm->retrained = within(interval_of_draws(arm->retrained, retrained->right, retrained->n), 0);
    arm->retrained_fall = within(interval_of_draws(arm->retrained_fall, retrained->right, retrained->n), -1);
    return SAE_OK;
}

/* ---- Subspaces removed --------------------------------------------------------------------------------------------------- */

static sae_status remove_space(bench *b, const subspace *space, int op, sae_error *err)
{
    return subspace_remove(space, op == TOPICS_R3 ? b->what->mean : NULL, b->rows, b->n_train + b->n_test, b->changed,
                           err);
}

/* R2 and R3 of a subspace. What they leave differs by mean P, the same for every row, which standardising takes out: one probe is trained
 * for both. */
static sae_status removal_arms(bench *b, topics *m, const char *what, const subspace *space, const drawn *random,
                               sae_error *err)
{
    sae_status status = SAE_OK;
    score fixed[TOPICS_OPERATORS] = {{0}}, retrained = {0};
    char name[TOPICS_NAME];

    SAE_TRY(score_create(&retrained, b->n_test, err));
    for (int op = 0; op < TOPICS_OPERATORS; op++) {
        SAE_TRY(score_create(&fixed[op], b->n_test, err));
        SAE_TRY(remove_space(b, space, op, err));
        SAE_TRY(add_answers(b, &b->clean, &fixed[op], err));
        if (op == TOPICS_R2) SAE_TRY(add_retrained(b, &retrained, err));
        SAE_TRY(finish_arm(b, m, topics_removed_name(name, what, op), &fixed[op], &retrained, err));
        if (b->what->random)
            SAE_TRY(beside_drawn(b, m, &fixed[op], &random[op].fixed, &retrained, &random[TOPICS_R2].retrained, err));
    }
done:
    for (int op = 0; op < TOPICS_OPERATORS; op++) score_free(&fixed[op]);
    score_free(&retrained);
    return status;
}

/* random [2]: of either operator. */
static sae_status remove_random(bench *b, drawn *random, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int op = 0; op < TOPICS_OPERATORS; op++) {
        SAE_TRY(drawn_create(&random[op], b, err));
        for (int i = 0; i < TOPICS_DRAWS; i++) {
            SAE_TRY(remove_space(b, &b->what->random[i], op, err));
            SAE_TRY(drawn_add(&random[op], b, op == TOPICS_R2, err));
        }
    }
done:
    return status;
}

static sae_status subspace_arms(bench *b, topics *m, sae_error *err)
{
    sae_status status = SAE_OK;
    const topics_what *w = b->what;
    drawn random[TOPICS_OPERATORS] = {0};
    char name[TOPICS_NAME];

    if (w->random) SAE_TRY(remove_random(b, random, err));
    if (w->space) SAE_TRY(removal_arms(b, m, w->space_name, w->space, random, err));
    if (w->pca) SAE_TRY(removal_arms(b, m, TOPICS_PCA, w->pca, random, err));
    for (int op = 0; w->random && op < TOPICS_OPERATORS; op++) {
        topics_removed_name(name, TOPICS_RANDOM, op);
        /* as in removal_arms */
        SAE_TRY(finish_drawn(b, m, name, &random[op].fixed, &random[TOPICS_R2].retrained, err));
    }
done:
    for (int op = 0; op < TOPICS_OPERATORS; op++) drawn_free(&random[op]);
    return status;
}

/* ---- Features ablated ---------------------------------------------------------------------------------------------------- */

static sae_status ablate(bench *b, const int64_t *which, int64_t k, sae_error *err)
{
    const int64_t n = b->n_train + b->n_test;

    memcpy(b->changed, b->rows, (size_t)(n * b->d) * sizeof *b->rows);
    return tpp_ablate(b->p, b->what->which_dict, b->what->dict, b->docs, n, which, k, b->changed, err);
}

/* The k aligned features; all of them have no order. */
static sae_status aligned_arm(bench *b, topics *m, int64_t k, bool all, score *fixed, score *retrained, sae_error *err)
{
    sae_status status = SAE_OK;
    char name[TOPICS_NAME];

    SAE_TRY(ablate(b, b->order, k, err));
    SAE_TRY(add_answers(b, &b->clean, fixed, err));
    SAE_TRY(add_retrained(b, retrained, err));
    topics_ablated_name(name, k, all ? TOPICS_ALL : TOPICS_ALIGNED);
    SAE_TRY(finish_arm(b, m, name, fixed, retrained, err));
done:
    return status;
}

/* Draws of equal density; *held: of the aligned ones, the share in them. */
static sae_status ablate_alike(bench *b, int64_t k, drawn *random, double *held, sae_error *err)
{
    sae_status status = SAE_OK;
    rng chance = rng_seed(b->what->seed, ((uint64_t)102 << 32) + (uint64_t)k); /* others for another size */
    double share = 0;

    *held = 0;
    for (int i = 0; i < TOPICS_DRAWS; i++) {
        SAE_TRY(draw_alike(b, k, &chance, &share, err));
        *held += share / TOPICS_DRAWS;
        SAE_TRY(ablate(b, b->alike, k, err));
        SAE_TRY(drawn_add(random, b, true, err));
    }
done:
    return status;
}

static sae_status ablation_arms(bench *b, topics *m, int64_t k, sae_error *err)
{
    sae_status status = SAE_OK;
    const bool all = k == b->p->codes[b->what->which_dict].d_sae; /* nothing is left to compare with */
    score fixed = {0}, retrained = {0};
    drawn random = {0};
    double held = NAN;
    char name[TOPICS_NAME];

    SAE_TRY(score_create(&fixed, b->n_test, err));
    SAE_TRY(score_create(&retrained, b->n_test, err));
    SAE_TRY(drawn_create(&random, b, err));
    SAE_TRY(aligned_arm(b, m, k, all, &fixed, &retrained, err));
    if (all) goto done;
    SAE_TRY(ablate_alike(b, k, &random, &held, err));
    m->arms[m->n_arms - 1].held = held;
    if (held <= CONTROL_MOST_SHARED)
        SAE_TRY(beside_drawn(b, m, &fixed, &random.fixed, &retrained, &random.retrained, err));
    topics_ablated_name(name, k, TOPICS_ALIKE);
    SAE_TRY(finish_drawn(b, m, name, &random.fixed, &random.retrained, err));
done:
    score_free(&fixed);
    score_free(&retrained);
    drawn_free(&random);
    return status;
}

/* ---- All of it ----------------------------------------------------------------------------------------------------------- */

static sae_status step_done(const sae_progress *progress, int done, sae_error *err)
{
    if (progress && progress->report(progress->user, "changes", done, 1 + TOPICS_COUNTS))
        return SAE_FAIL(err, SAE_CANCELLED, "stopped on request");
    return SAE_OK;
}

static sae_status all_arms(bench *b, topics *m, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    const topics_what *w = b->what;

    SAE_TRY(finish_arm(b, m, TOPICS_CLEAN, &b->right, &b->right, err));
    SAE_TRY(subspace_arms(b, m, err));
    SAE_TRY(step_done(progress, 1, err));
    for (int i = 0; w->dict && i < TOPICS_COUNTS; i++) {
        int64_t width = b->p->codes[w->which_dict].d_sae;
        m->ablated[i] = w->counts[i] < width ? w->counts[i] : width;
        if (m->ablated[i] > 0) SAE_TRY(ablation_arms(b, m, m->ablated[i], err));
        SAE_TRY(step_done(progress, 2 + i, err));
        if (m->ablated[i] == width) break;
    }
done:
    return status;
}

sae_status topics_measure(topics *out, const pooled *p, const split *s, const topics_what *what,
                          const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    topics m = {.n_classes = s->n_classes, .train = s->train.per_class, .test = s->test.per_class};
    bench b = {.p = p, .s = s, .what = what, .d = p->d, .n_train = s->train.n, .n_test = s->test.n};

    SAE_TRY(bench_open(&b, err));
    m.anew = draws_anew(&b);
    SAE_TRY(all_arms(&b, &m, progress, err));
    SAE_TRY(ask_shuffled(&b, &m.shuffled, err));
    *out = m;
done:
    bench_close(&b);
    return status;
}
