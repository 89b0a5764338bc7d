/*
 * topics.c - the probe, what is taken out, and what the probe still tells.
 */
#include "lab/topics.h"
#include "eval/logistic.h"
#include "eval/tpp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const topics_ten_subjects[10] = {
    "astronomy",
    "computer_security",
    "elementary_mathematics",
    "high_school_chemistry",
    "high_school_geography",
    "high_school_us_history",
    "international_law",
    "marketing",
    "nutrition",
    "world_religions",
};

bool topics_are_mmlu(const labelled *l)
{
    int found = 0;

    for (int i = 0; i < l->n_classes; i++)
        for (int s = 0; s < 10; s++) found += strcmp(l->names[i], topics_ten_subjects[s]) == 0;
    return found == 10;
}

/* ---- A probe with its standardisation ---------------------------------------------------------------------------------------- */

typedef struct probe {
    logistic m;
    double *mean, *spread; /* [d] */
} probe;

static void probe_free(probe *q)
{
    logistic_free(&q->m);
    mem_free(q->mean);
    mem_free(q->spread);
    *q = (probe){0};
}

static void standardise(const probe *q, const float *rows, int64_t n, int64_t d, float *out)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) out[i * d + j] = (float)(((double)rows[i * d + j] - q->mean[j]) / q->spread[j]);
}

/* A column that does not vary beyond rounding, as those of a removed coordinate, is left out: spread infinite makes it 0. */
static void find_scale(probe *q, const float *rows, int64_t n, int64_t d)
{
    for (int64_t j = 0; j < d; j++) {
        double sum = 0, square = 0, size = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)rows[i * d + j];
        q->mean[j] = sum / (double)n;
        for (int64_t i = 0; i < n; i++) {
            double e = (double)rows[i * d + j] - q->mean[j];
            square += e * e;
            size = fmax(size, fabs((double)rows[i * d + j]));
        }
        double spread = sqrt(square / (double)n);
        q->spread[j] = spread > 1e-6 * size ? spread : INFINITY;
    }
}

/* Answers are all that is asked of a probe: on 2,793 made-up rows of 57 classes a tolerance of 1e-8 takes 1.5 times as long and gives
 * another answer to one. `like` (NULL: none): a probe on rows much like these, to begin at. */
static sae_status probe_fit(probe *q, const float *rows, const int32_t *y, int64_t n, int64_t d, int classes,
                            const probe *like, sae_error *err)
{
    const logistic_options how = {.tolerance = 1e-6, .start = like ? like->m.W : NULL};
    sae_status status = SAE_OK;
    float *scaled = mem_alloc_array((size_t)n, (size_t)d * sizeof *scaled, "standardised rows", err);

    q->mean = mem_alloc_array((size_t)d, sizeof *q->mean, "means of columns", err);
    q->spread = mem_alloc_array((size_t)d, sizeof *q->spread, "spreads of columns", err);
    if (!scaled || !q->mean || !q->spread) SAE_TRY(SAE_NOMEM);
    find_scale(q, rows, n, d);
    standardise(q, rows, n, d, scaled);
    SAE_TRY(logistic_fit(&q->m, scaled, y, n, d, classes, &how, err));
done:
    mem_free(scaled);
    return status;
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
    probe clean;
    score right;             /* of the clean probe */
    int64_t *order, *random; /* [d_sae] features by alignment; features to compare with */
} bench;

static void bench_close(bench *b)
{
    probe_free(&b->clean);
    score_free(&b->right);
    mem_free(b->y);
    mem_free(b->docs);
    mem_free(b->rows);
    mem_free(b->changed);
    mem_free(b->order);
    mem_free(b->random);
}

/* Right answers of a probe on test rows with labels y. */
static sae_status ask(const bench *b, const probe *q, const float *test, const int32_t *y, score *out, sae_error *err)
{
    sae_status status = SAE_OK;
    float *scaled = mem_alloc_array((size_t)b->n_test, (size_t)b->d * sizeof *scaled, "standardised rows", err);
    int32_t *got = mem_alloc_array((size_t)b->n_test, sizeof *got, "answers", err);

    if (!scaled || !got) SAE_TRY(SAE_NOMEM);
    SAE_TRY(score_create(out, b->n_test, err));
    standardise(q, test, b->n_test, b->d, scaled);
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
    probe q = {0};
    score s = {0};
    rng random = rng_seed(b->what->seed, 101);
    int64_t n = b->n_train + b->n_test, *order = mem_alloc_array((size_t)n, sizeof *order, "an order", err);
    int32_t *y = mem_alloc_array((size_t)n, sizeof *y, "labels", err);

    if (!order || !y) SAE_TRY(SAE_NOMEM);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    rng_shuffle(&random, order, b->n_train);
    rng_shuffle(&random, order + b->n_train, b->n_test);
    for (int64_t i = 0; i < n; i++) y[i] = b->y[order[i]];
    SAE_TRY(probe_fit(&q, b->rows, y, b->n_train, b->d, b->s->n_classes, NULL, err));
    SAE_TRY(ask(b, &q, b->rows + b->n_train * b->d, y + b->n_train, &s, err));
    SAE_TRY(score_accuracy(&s, b->what->seed, out, err));
done:
    probe_free(&q);
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

/* Features by max over classes of |<d_i, w_c>|, w_c the clean probe's direction in the rows' own coordinates. */
static sae_status order_features(bench *b, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_weights w = sae_dict_weights((sae_dict *)(uintptr_t)b->what->dict); /* read only */
    const pooled_codes *c = &b->p->codes[b->what->which_dict];
    aligned *all = mem_alloc_array((size_t)c->d_sae, sizeof *all, "alignments", err);

    b->order = mem_alloc_array((size_t)c->d_sae, sizeof *b->order, "features in order", err);
    b->random = mem_alloc_array((size_t)c->d_sae, sizeof *b->random, "features at random", err);
    if (!all || !b->order || !b->random) SAE_TRY(SAE_NOMEM);
#pragma omp parallel for
    for (int64_t i = 0; i < c->d_sae; i++) {
        all[i].latent = i;
        for (int k = 0; k < b->clean.m.n_outputs; k++) {
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

/* Into b->random k features to compare the first k of the order with: others that fire on these documents; where there are too few,
 * aligned ones fill up. Returns how many these are. */
static int64_t choose_random(bench *b, int64_t k, rng *random, sae_error *err)
{
    const pooled_codes *c = &b->p->codes[b->what->which_dict];
    int64_t n = 0, shared = 0;
    uint8_t *fires = mem_alloc_array((size_t)c->d_sae, 1, "features that fire", err);

    if (!fires) return -1;
    for (int64_t i = 0; i < c->row_start[b->p->n]; i++) fires[c->latent[i]] = 1;
    for (int64_t i = k; i < c->d_sae; i++)
        if (fires[b->order[i]]) b->random[n++] = b->order[i];
    rng_shuffle(random, b->random, n);
    if (n < k) {
        shared = k - n;
        memcpy(b->random + n, b->order, (size_t)k * sizeof *b->order);
        rng_shuffle(random, b->random + n, k);
    }
    mem_free(fires);
    return shared;
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
    SAE_TRY(probe_fit(&b->clean, b->rows, b->y, b->n_train, b->d, b->s->n_classes, NULL, err));
    SAE_TRY(ask(b, &b->clean, b->rows + b->n_train * b->d, b->y + b->n_train, &b->right, err));
    if (b->what->dict) SAE_TRY(order_features(b, err));
done:
    return status;
}

/* ---- Arms -------------------------------------------------------------------------------------------------------------- */

/* A probe's answers on b->changed, added to the sums of an arm. */
static sae_status add_answers(const bench *b, const probe *q, score *to, sae_error *err)
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
    probe anew = {0};

    SAE_TRY(probe_fit(&anew, b->changed, b->y, b->n_train, b->d, b->s->n_classes, &b->clean, err));
    SAE_TRY(add_answers(b, &anew, to, err));
done:
    probe_free(&anew);
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
    arm->over_random = (interval){NAN, NAN, NAN};
    m->n_arms++;
done:
    return status;
}

/* R2 and R3 of each of n subspaces; answers are averaged over them. What they leave differs by mean P, the same for every row, which
 * standardising takes out: one probe is trained for both. */
static sae_status removal_arms(bench *b, topics *m, const char *what, const subspace *spaces, int n, sae_error *err)
{
    static const char *const operators[2] = {"R2 uncentred", "R3 centred"};
    sae_status status = SAE_OK;
    score fixed[2] = {{0}}, retrained = {0};
    char name[80];

    for (int op = 0; op < 2; op++) SAE_TRY(score_create(&fixed[op], b->n_test, err));
    SAE_TRY(score_create(&retrained, b->n_test, err));
    for (int i = 0; i < n; i++)
        for (int op = 0; op < 2; op++) {
            SAE_TRY(subspace_remove(&spaces[i], op ? b->what->mean : NULL, b->rows, b->n_train + b->n_test, b->changed,
                                    err));
            SAE_TRY(add_answers(b, &b->clean, &fixed[op], err));
            if (op == 0) SAE_TRY(add_retrained(b, &retrained, err));
        }
    for (int op = 0; op < 2; op++) {
        snprintf(name, sizeof name, "%.40s removed, %s", what, operators[op]);
        SAE_TRY(finish_arm(b, m, name, &fixed[op], &retrained, err));
    }
done:
    for (int op = 0; op < 2; op++) score_free(&fixed[op]);
    score_free(&retrained);
    return status;
}

/* Answers without features `which` [k], of the clean probe and of one trained anew; retrained NULL: not of that. */
static sae_status add_ablated(bench *b, const int64_t *which, int64_t k, score *fixed, score *retrained, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = b->n_train + b->n_test;

    memcpy(b->changed, b->rows, (size_t)(n * b->d) * sizeof *b->rows);
    SAE_TRY(tpp_ablate(b->p, b->what->which_dict, b->what->dict, b->docs, n, which, k, b->changed, err));
    SAE_TRY(add_answers(b, &b->clean, fixed, err));
    if (retrained) SAE_TRY(add_retrained(b, retrained, err));
done:
    return status;
}

static sae_status aligned_arm(bench *b, topics *m, const char *what, int64_t k, score *fixed, sae_error *err)
{
    sae_status status = SAE_OK;
    score retrained = {0};
    char name[80];

    SAE_TRY(score_create(&retrained, b->n_test, err));
    SAE_TRY(add_ablated(b, b->order, k, fixed, &retrained, err));
    snprintf(name, sizeof name, "%lld %s ablated", (long long)k, what);
    SAE_TRY(finish_arm(b, m, name, fixed, &retrained, err));
done:
    score_free(&retrained);
    return status;
}

/* Of several draws the fixed probe's answers are averaged, their accuracies go into right [TOPICS_FEATURE_DRAWS]; a probe is trained anew
 * on the first alone. *shared: aligned ones among them. */
static sae_status random_arm(bench *b, topics *m, int64_t k, score *fixed, double *right, int64_t *shared,
                             sae_error *err)
{
    sae_status status = SAE_OK;
    score retrained = {0};
    rng random = rng_seed(b->what->seed, 102);
    double before = 0;
    char name[80];

    SAE_TRY(score_create(&retrained, b->n_test, err));
    for (int draw = 0; draw < TOPICS_FEATURE_DRAWS; draw++) {
        double sum = 0;
        *shared = choose_random(b, k, &random, err);
        if (*shared < 0) SAE_TRY(SAE_NOMEM);
        SAE_TRY(add_ablated(b, b->random, k, fixed, draw == 0 ? &retrained : NULL, err));
        for (int64_t i = 0; i < b->n_test; i++) sum += fixed->right[i];
        right[draw] = (sum - before) / (double)b->n_test;
        before = sum;
    }
    snprintf(name, sizeof name, "%lld random features ablated", (long long)k);
    SAE_TRY(finish_arm(b, m, name, fixed, &retrained, err));
done:
    score_free(&retrained);
    return status;
}

/* How much less often right without the chosen features than without random ones, on the same questions. */
static sae_status over_random(const bench *b, const score *chosen, const score *random, const double *right,
                              interval *out, sae_error *err)
{
    sae_status status = SAE_OK;
    double *less = mem_alloc_array((size_t)b->n_test, sizeof *less, "differences", err);
    interval sampled;

    if (!less) return SAE_NOMEM;
    for (int64_t i = 0; i < b->n_test; i++) less[i] = random->right[i] / TOPICS_FEATURE_DRAWS - chosen->right[i];
    SAE_TRY(bootstrap_ratio(&sampled, less, chosen->asked, b->n_test, b->what->seed, err));
    *out = interval_beside_draws(sampled, right, TOPICS_FEATURE_DRAWS);
done:
    mem_free(less);
    return status;
}

static sae_status ablation_arms(bench *b, topics *m, int which, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t k = m->ablated[which], width = b->p->codes[b->what->which_dict].d_sae;
    score chosen = {0}, random = {0};
    double right[TOPICS_FEATURE_DRAWS];

    SAE_TRY(score_create(&chosen, b->n_test, err));
    SAE_TRY(score_create(&random, b->n_test, err));
    /* All of them have no order, and nothing is left to compare with. */
    SAE_TRY(aligned_arm(b, m, k == width ? "features, all," : "topic-aligned features", k, &chosen, err));
    if (k == width) goto done;
    topics_arm *arm = &m->arms[m->n_arms - 1];
    SAE_TRY(random_arm(b, m, k, &random, right, &m->shared[which], err));
    SAE_TRY(over_random(b, &chosen, &random, right, &arm->over_random, err));
done:
    score_free(&chosen);
    score_free(&random);
    return status;
}

static sae_status all_arms(bench *b, topics *m, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    const topics_what *w = b->what;
    const struct {
        const char *name;
        const subspace *spaces;
        int n;
    } removals[] = {{w->space_name, w->space, 1}, {"PCA", w->pca, 1}, {"random subspace", w->random, TOPICS_DRAWS}};

    SAE_TRY(finish_arm(b, m, "clean", &b->right, &b->right, err));
    for (int i = 0; i < 3; i++) {
        if (removals[i].spaces) SAE_TRY(removal_arms(b, m, removals[i].name, removals[i].spaces, removals[i].n, err));
        if (progress && progress->report(progress->user, "changes", 2 * i + 2, 6 + 2 * TOPICS_COUNTS))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
    for (int i = 0; w->dict && i < TOPICS_COUNTS; i++) {
        int64_t width = b->p->codes[w->which_dict].d_sae;
        m->ablated[i] = w->counts[i] < width ? w->counts[i] : width;
        if (m->ablated[i] == 0) continue;
        SAE_TRY(ablation_arms(b, m, i, err));
        if (m->ablated[i] == width) break;
        if (progress && progress->report(progress->user, "changes", 8 + 2 * i, 6 + 2 * TOPICS_COUNTS))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
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
    SAE_TRY(all_arms(&b, &m, progress, err));
    SAE_TRY(ask_shuffled(&b, &m.shuffled, err));
    *out = m;
done:
    bench_close(&b);
    return status;
}
