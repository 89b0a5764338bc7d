/*
 * probing.c - fits and scores the probes of one labelled set.
 */
#include "eval/probing.h"
#include "eval/each.h"
#include "eval/logistic.h"

#include <string.h>

static const char *const names[] = {
    [PROBING_LATENTS] = "latents",
    [PROBING_SCAFFOLD] = "latents and scaffold codes",
    [PROBING_RANDOM] = "random latents",
    [PROBING_SHUFFLED] = "latents, labels shuffled",
    [PROBING_NEURONS] = "neurons",
    [PROBING_COMPONENTS] = "principal components",
    [PROBING_RESIDUAL] = "residual stream",
    [PROBING_LATENTS_SCALED] = "latents, scaled choice",
    [PROBING_SCAFFOLD_SCALED] = "latents and scaffold codes, scaled choice",
};

const char *probing_name(probing_what what) { return names[what]; }

void probing_free(probing *m)
{
    mem_free(m->arms);
    *m = (probing){0};
}

enum { PROBING_SCORES = PROBING_MOST_K + 1 };

/* What all arms of a set share. */
typedef struct bench {
    const pooled *p;
    const split *s;
    const probing_options *options;
    tasks real, null; /* null: labels shuffled */
    float *rotated;
    score *scores; /* [n_arms, PROBING_SCORES] of each k, and at n_k of all */
} bench;

/* Fits on `which` [k] of the columns and adds the right answers. */
static sae_status probe(const columns *c, const task *train, const task *test, const int64_t *which, int64_t k,
                        double C, score *to, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t most = train->n > test->n ? train->n : test->n;
    float *x = mem_alloc_array((size_t)most, (size_t)k * sizeof *x, "columns of a probe", err);
    int32_t *got = mem_alloc_array((size_t)test->n, sizeof *got, "answers of a probe", err);
    logistic m = {0};
    logistic_options how = {.C = C};

    if (!x || !got) SAE_TRY(SAE_NOMEM);
    columns_take(c, train->doc, train->n, which, k, x);
    SAE_TRY(logistic_fit(&m, x, train->y, train->n, k, 2, &how, err));
    columns_take(c, test->doc, test->n, which, k, x);
    logistic_predict(&m, x, test->n, got);
    for (int64_t i = 0; i < test->n; i++) {
        to->right[test->place[i]] += got[i] == test->y[i];
        to->asked[test->place[i]] += 1;
    }
done:
    logistic_free(&m);
    mem_free(x);
    mem_free(got);
    return status;
}

/* One task at every k, the columns chosen by their difference of means: those of a smaller k are the first of a larger one's. */
static sae_status probe_best(const bench *b, const columns *c, const task *train, const task *test, score *to,
                             sae_error *err)
{
    sae_status status = SAE_OK;
    const probing_options *o = b->options;
    int64_t *which = mem_alloc_array((size_t)o->k[o->n_k - 1], sizeof *which, "columns of a probe", err);

    if (!which) return SAE_NOMEM;
    SAE_TRY(columns_best(c, train->doc, train->y, train->n, o->k[o->n_k - 1], which, err));
    for (int i = 0; i < o->n_k; i++) SAE_TRY(probe(c, train, test, which, o->k[i], o->C, &to[i], err));
done:
    mem_free(which);
    return status;
}

static sae_status probe_random(const bench *b, const columns *c, const task *train, const task *test, rng *random,
                               score *to, sae_error *err)
{
    sae_status status = SAE_OK;
    const probing_options *o = b->options;
    int64_t got, *which = mem_alloc_array((size_t)o->k[o->n_k - 1], sizeof *which, "columns of a probe", err);

    if (!which) return SAE_NOMEM;
    for (int i = 0; i < o->n_k; i++) {
        for (int draw = 0; draw < PROBING_DRAWS; draw++) {
            SAE_TRY(columns_random(c, train->doc, train->n, o->k[i], random, which, &got, err));
            if (got == 0) SAE_RAISE(err, SAE_RANGE, "no latent is active on the documents: nothing to probe");
            SAE_TRY(probe(c, train, test, which, got, o->C, &to[i], err));
        }
    }
done:
    mem_free(which);
    return status;
}

static sae_status probe_all(const bench *b, const columns *c, const task *train, const task *test, score *to,
                            sae_error *err)
{
    sae_status status;
    int64_t width = columns_width(c), *which = mem_alloc_array((size_t)width, sizeof *which, "all columns", err);

    if (!which) return SAE_NOMEM;
    for (int64_t j = 0; j < width; j++) which[j] = j;
    status = probe(c, train, test, which, width, b->options->C, to, err);
    mem_free(which);
    return status;
}

/* Every k is asked as often, so what is summed is the mean over k. */
static void score_add(score *sum, const score *of)
{
    for (int64_t i = 0; i < of->n; i++) {
        sum->right[i] += of->right[i];
        sum->asked[i] += of->asked[i];
    }
}

static sae_status measure_arm(const bench *b, const probing_arm *arm, score *to, sae_error *err)
{
    static const columns_kind kinds[] = {
        [PROBING_LATENTS] = COLUMNS_LATENTS,
        [PROBING_SCAFFOLD] = COLUMNS_WITH_SCAFFOLD,
        [PROBING_RANDOM] = COLUMNS_LATENTS,
        [PROBING_SHUFFLED] = COLUMNS_LATENTS,
        [PROBING_NEURONS] = COLUMNS_NEURONS,
        [PROBING_COMPONENTS] = COLUMNS_COMPONENTS,
        [PROBING_RESIDUAL] = COLUMNS_NEURONS,
        [PROBING_LATENTS_SCALED] = COLUMNS_LATENTS,
        [PROBING_SCAFFOLD_SCALED] = COLUMNS_WITH_SCAFFOLD,
    };
    sae_status status = SAE_OK;
    const tasks *t = arm->what == PROBING_SHUFFLED ? &b->null : &b->real;
    columns c = {.kind = kinds[arm->what],
                 .p = b->p,
                 .dict = arm->dict,
                 .scaled = arm->what >= PROBING_LATENTS_SCALED,
                 .rotated = b->rotated};
    rng random = rng_seed(b->options->seed, 80 + (uint64_t)(arm->dict + 1));

    for (int i = 0; i <= arm->n_k; i++) SAE_TRY(score_create(&to[i], t->n_test, err));
    for (int i = 0; i < t->n; i++) {
        if (arm->what == PROBING_RANDOM)
            SAE_TRY(probe_random(b, &c, &t->train[i], &t->test[i], &random, to, err));
        else if (arm->what == PROBING_RESIDUAL)
            SAE_TRY(probe_all(b, &c, &t->train[i], &t->test[i], to, err));
        else
            SAE_TRY(probe_best(b, &c, &t->train[i], &t->test[i], to, err));
    }
    for (int i = 0; i < arm->n_k; i++) score_add(&to[arm->n_k], &to[i]);
done:
    return status;
}

/* ---- All arms ------------------------------------------------------------------------------------------------------------ */

enum { ARMS_OF_DICT = 6 };

static bool needs_scaffold(probing_what what) { return what == PROBING_SCAFFOLD || what >= PROBING_LATENTS_SCALED; }

static void list_arms(probing *m, const pooled *p, int n_k)
{
    static const probing_what of_dict[] = {PROBING_LATENTS,         PROBING_SCAFFOLD, PROBING_LATENTS_SCALED,
                                           PROBING_SCAFFOLD_SCALED, PROBING_RANDOM,   PROBING_SHUFFLED};
    static const probing_what of_none[] = {PROBING_NEURONS, PROBING_COMPONENTS, PROBING_RESIDUAL};

    for (int k = 0; k < p->n_dicts; k++)
        for (int i = 0; i < ARMS_OF_DICT; i++)
            if (!needs_scaffold(of_dict[i]) || p->codes[k].rank > 0)
                m->arms[m->n_arms++] = (probing_arm){.what = of_dict[i], .dict = k, .n_k = n_k};
    for (int i = 0; i < 3; i++)
        m->arms[m->n_arms++] =
            (probing_arm){.what = of_none[i], .dict = -1, .n_k = of_none[i] == PROBING_RESIDUAL ? 1 : n_k};
}

/* The arm that `arm` is compared with: -1 for none. */
static int rival(const probing *m, const probing_arm *arm)
{
    for (int i = 0; i < m->n_arms; i++) {
        const probing_arm *other = &m->arms[i];
        if (arm->what == PROBING_SCAFFOLD_SCALED && other->what == PROBING_LATENTS_SCALED && other->dict == arm->dict)
            return i;
        if (other->what != PROBING_LATENTS) continue;
        if (arm->what == PROBING_LATENTS && arm->dict > 0 && other->dict == 0) return i;
        if (arm->what == PROBING_SCAFFOLD && other->dict == arm->dict) return i;
    }
    return -1;
}

/* What is measured, arm by arm. */
typedef struct measuring {
    bench b;
    probing m;
} measuring;

static sae_status measure_one(void *user, int i, sae_error *err)
{
    measuring *w = user;

    return measure_arm(&w->b, &w->m.arms[i], w->b.scores + (size_t)i * PROBING_SCORES, err);
}

static sae_status summarise(void *user, int i, sae_error *err)
{
    sae_status status = SAE_OK;
    measuring *w = user;
    const uint64_t seed = w->b.options->seed;
    probing_arm *arm = &w->m.arms[i];
    const int other = rival(&w->m, arm);
    const score *own = w->b.scores + (size_t)i * PROBING_SCORES,
                *theirs = w->b.scores + (size_t)(other < 0 ? 0 : other) * PROBING_SCORES;

    arm->has_gain = other >= 0;
    for (int k = 0; k <= arm->n_k; k++) {
        SAE_TRY(score_accuracy(&own[k], seed, &arm->accuracy[k], err));
        if (other >= 0) SAE_TRY(score_difference(&own[k], &theirs[k], seed, &arm->gain[k], err));
    }
done:
    return status;
}

static sae_status bench_open(bench *b, probing *m, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t most = ARMS_OF_DICT * (size_t)b->p->n_dicts + 3;

    m->arms = mem_alloc_array(most, sizeof *m->arms, "arms of probing", err);
    b->scores = mem_alloc_array(most * PROBING_SCORES, sizeof *b->scores, "scores", err);
    if (!m->arms || !b->scores) SAE_TRY(SAE_NOMEM);
    SAE_TRY(tasks_create(&b->real, b->s, false, b->options->seed, err));
    SAE_TRY(tasks_create(&b->null, b->s, true, b->options->seed, err));
    SAE_TRY(columns_rotate(b->p, b->s->train.doc, b->s->train.n, &b->rotated, err));
    list_arms(m, b->p, b->options->n_k);
done:
    return status;
}

static void bench_close(bench *b, int n_arms)
{
    for (int i = 0; b->scores && i < n_arms * PROBING_SCORES; i++) score_free(&b->scores[i]);
    mem_free(b->scores);
    mem_free(b->rotated);
    tasks_free(&b->real);
    tasks_free(&b->null);
}

sae_status probing_measure(probing *out, const pooled *p, const split *s, const probing_options *options,
                           const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    measuring w = {.b = {.p = p, .s = s, .options = options},
                   .m = {.n_classes = s->n_classes, .train = s->train.per_class, .test = s->test.per_class}};

    SAE_TRY(bench_open(&w.b, &w.m, err));
    w.m.n_tasks = w.b.real.n;
    SAE_TRY(each_item(w.m.n_arms, measure_one, &w, progress, "kinds of probes", err));
    SAE_TRY(each_item(w.m.n_arms, summarise, &w, NULL, NULL, err));
    bench_close(&w.b, w.m.n_arms);
    *out = w.m;
    return SAE_OK;
done:
    bench_close(&w.b, w.m.n_arms);
    probing_free(&w.m);
    return status;
}
