/*
 * tpp.c - probes, effects, ablation and scores of targeted probe perturbation.
 */
#include "eval/tpp.h"
#include "eval/controls.h"
#include "eval/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* W_dec's row over its norm: pooled codes are in those units. */
static const float *decoder_row(const sae_dict *dict, int64_t latent, int64_t d)
{
    const sae_weights w = sae_dict_weights((sae_dict *)(uintptr_t)dict); /* nothing is written through it */

    return w.W_dec + latent * d;
}

sae_status tpp_effects(const pooled *p, int dict, const sae_dict *weights, const task *train, const double *w,
                       double *effect, int64_t *density, sae_error *err)
{
    sae_status status = SAE_OK;
    const pooled_codes *c = &p->codes[dict];
    int64_t half = train->n / 2; /* positives come first, as tasks are made */
    double *others = mem_alloc_array((size_t)c->d_sae, sizeof *others, "means of latents", err);
    int64_t *active = mem_alloc_array(2 * (size_t)c->d_sae, sizeof *active, "active latents", err);

    if (!others || !active) SAE_TRY(SAE_NOMEM);
    pooled_means(p, dict, train->doc, half, effect, active);
    pooled_means(p, dict, train->doc + half, train->n - half, others, active + c->d_sae);
    for (int64_t i = 0; i < c->d_sae; i++) {
        const float *row = decoder_row(weights, i, p->d);
        double product = 0, difference = effect[i] - others[i];
        for (int64_t j = 0; difference > 0 && j < p->d; j++) product += w[j] * (double)row[j];
        effect[i] = difference > 0 && c->norm[i] > 0 ? difference * product / (double)c->norm[i] : 0;
        if (density) density[i] = active[i] + active[c->d_sae + i];
    }
done:
    mem_free(others);
    mem_free(active);
    return status;
}

sae_status tpp_ablate(const pooled *p, int dict, const sae_dict *weights, const int64_t *docs, int64_t n,
                      const int64_t *which, int64_t k, float *rows, sae_error *err)
{
    const pooled_codes *c = &p->codes[dict];
    uint8_t *gone = mem_alloc_array((size_t)c->d_sae, 1, "ablated latents", err);

    if (!gone) return SAE_NOMEM;
    for (int64_t i = 0; i < k; i++) gone[which[i]] = 1;
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++) {
        int64_t at = pooled_find(p, docs[i]);
        for (int64_t e = c->row_start[at]; e < c->row_start[at + 1]; e++) {
            int64_t latent = c->latent[e];
            if (!gone[latent] || c->norm[latent] == 0) continue;
            const float *row = decoder_row(weights, latent, p->d);
            float code = c->value[e] / c->norm[latent];
            for (int64_t j = 0; j < p->d; j++) rows[i * p->d + j] -= code * row[j];
        }
    }
    mem_free(gone);
    return SAE_OK;
}

/* ---- Choosing latents -------------------------------------------------------------------------------------------------- */

typedef struct ranked {
    double key;
    int64_t latent;
} ranked;

static int compare_ranked(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    if (x->key != y->key) return x->key > y->key ? -1 : 1;
    return (x->latent > y->latent) - (x->latent < y->latent);
}

/* The latents with positive effects, largest first; returns how many, at most `most`. */
static int64_t best_latents(const double *effect, int64_t d_sae, int64_t most, ranked *scratch, int64_t *which)
{
    int64_t n = 0;

    for (int64_t i = 0; i < d_sae; i++)
        if (effect[i] > 0) scratch[n++] = (ranked){effect[i], i};
    qsort(scratch, (size_t)n, sizeof *scratch, compare_ranked);
    if (n > most) n = most;
    for (int64_t i = 0; i < n; i++) which[i] = scratch[i].latent;
    return n;
}

/* As many latents as the k of `which` that are active in about as many documents, into `drawn`; *held: the share of `which` among them. */
static sae_status equals_in_density(const int64_t *density, int64_t d_sae, const int64_t *which, int64_t k, rng *random,
                                    uint8_t *taken, uint8_t *control, int64_t *drawn, double *held, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = 0, common = 0;

    memset(taken, 0, (size_t)d_sae);
    for (int64_t i = 0; i < k; i++) taken[which[i]] = 1;
    SAE_TRY(control_matched(taken, density, d_sae, random, control, err));
    for (int64_t i = 0; i < d_sae; i++) {
        if (!control[i]) continue;
        common += taken[i];
        drawn[n++] = i;
    }
    *held = k > 0 ? (double)common / (double)k : 0;
done:
    return status;
}

/* ---- Measuring ------------------------------------------------------------------------------------------------------------ */

void tpp_free(tpp *m)
{
    mem_free(m->change);
    mem_free(m->asked);
    *m = (tpp){0};
}

typedef struct bench {
    const pooled *p;
    int dict;
    const sae_dict *weights;
    const tpp_options *options;
    const split *s;
    tasks t;
    logistic *probes; /* [classes] */
    float *rows;      /* [test documents, d] */
    float *changed;
    double *clean;    /* [classes, test documents] margins */
    double *effect;   /* [classes, d_sae] */
    int64_t *density; /* [classes, d_sae] */
    int64_t *which;   /* [2, largest n] those that are aimed at; a draw like them */
    ranked *scratch;  /* [d_sae] */
    uint8_t *taken;   /* [2, d_sae] both as sets */
} bench;

static void bench_close(bench *b)
{
    for (int c = 0; b->probes && c < b->t.n; c++) logistic_free(&b->probes[c]);
    mem_free(b->probes);
    mem_free(b->rows);
    mem_free(b->changed);
    mem_free(b->clean);
    mem_free(b->effect);
    mem_free(b->density);
    mem_free(b->which);
    mem_free(b->scratch);
    mem_free(b->taken);
    tasks_free(&b->t);
}

/* The probe of class c, its margins on all test documents, the effects of all latents on it. */
static sae_status fit_class(bench *b, int c, sae_error *err)
{
    sae_status status = SAE_OK;
    const task *train = &b->t.train[c];
    int64_t d_sae = b->p->codes[b->dict].d_sae;
    logistic_options how = {.C = b->options->C};
    float *x = mem_alloc_array((size_t)train->n, (size_t)b->p->d * sizeof *x, "rows of a probe", err);

    if (!x) return SAE_NOMEM;
    pooled_rows(b->p, train->doc, train->n, x);
    SAE_TRY(logistic_fit(&b->probes[c], x, train->y, train->n, b->p->d, 2, &how, err));
    logistic_margins(&b->probes[c], b->rows, b->t.n_test, b->clean + c * b->t.n_test);
    SAE_TRY(tpp_effects(b->p, b->dict, b->weights, train, b->probes[c].W, b->effect + c * d_sae, b->density + c * d_sae,
                        err));
done:
    mem_free(x);
    return status;
}

static sae_status bench_open(bench *b, bool shuffled, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t d_sae = (size_t)b->p->codes[b->dict].d_sae, d = (size_t)b->p->d, test = (size_t)b->s->test.n;
    size_t most = (size_t)b->options->n[b->options->n_n - 1], classes;

    SAE_TRY(tasks_create(&b->t, b->s, shuffled, b->options->seed, err));
    classes = (size_t)b->t.n;
    b->probes = mem_alloc_array(classes, sizeof *b->probes, "probes", err);
    b->rows = mem_alloc_array(test, d * sizeof *b->rows, "test rows", err);
    b->changed = mem_alloc_array(test, d * sizeof *b->changed, "ablated rows", err);
    b->clean = mem_alloc_array(classes, test * sizeof *b->clean, "margins", err);
    b->effect = mem_alloc_array(classes, d_sae * sizeof *b->effect, "effects", err);
    b->density = mem_alloc_array(classes, d_sae * sizeof *b->density, "densities", err);
    b->which = mem_alloc_array(2 * (most < d_sae ? most : d_sae), sizeof *b->which, "latents to ablate", err);
    b->scratch = mem_alloc_array(d_sae, sizeof *b->scratch, "latents in order", err);
    b->taken = mem_alloc_array(2 * d_sae, 1, "latents taken", err);
    if (!b->probes || !b->rows || !b->changed || !b->clean || !b->effect || !b->density || !b->which || !b->scratch ||
        !b->taken)
        SAE_TRY(SAE_NOMEM);
    pooled_rows(b->p, b->s->test.doc, b->s->test.n, b->rows);
    for (int c = 0; c < b->t.n; c++) SAE_TRY(fit_class(b, c, err));
done:
    return status;
}

/* What ablating class c's latents changes: for each task's rows the fall in right answers, into the sums by document. */
static sae_status add_changes(bench *b, int c, double *intended, double *unintended, sae_error *err)
{
    int64_t test = b->t.n_test;
    double *margin = mem_alloc_array((size_t)test, sizeof *margin, "margins", err);

    if (!margin) return SAE_NOMEM;
    for (int j = 0; j < b->t.n; j++) {
        const task *t = &b->t.test[j];
        logistic_margins(&b->probes[j], b->changed, test, margin);
        for (int64_t i = 0; i < t->n; i++) {
            int64_t at = t->place[i];
            int before = (b->clean[j * test + at] > 0) == t->y[i], after = (margin[at] > 0) == t->y[i];
            if (j == c)
                intended[at] += before - after;
            else
                unintended[at] += (double)(before - after) / (b->t.n - 1);
        }
    }
    mem_free(margin);
    return SAE_OK;
}

/* Sums by document over the number of tasks' rows: falls are means over classes and over rows of a task. Leaves intended less unintended
 * falls in change [n_docs]. */
static sae_status finish_score(const double *asked, int64_t n_docs, const double *falls, uint64_t seed, double *change,
                               tpp_score *out, sae_error *err)
{
    sae_status status = SAE_OK;
    const double *intended = falls, *unintended = falls + n_docs;

    for (int64_t i = 0; i < n_docs; i++) change[i] = intended[i] - unintended[i];
    SAE_TRY(bootstrap_ratio(&out->intended, intended, asked, n_docs, seed, err));
    SAE_TRY(bootstrap_ratio(&out->unintended, unintended, asked, n_docs, seed, err));
    SAE_TRY(bootstrap_ratio(&out->total, change, asked, n_docs, seed, err));
done:
    return status;
}

/* The falls when the k latents of `which` are ablated for class c, into the sums by document. */
static sae_status ablate_for(bench *b, int c, const int64_t *which, int64_t k, double *falls, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t test = b->t.n_test;

    memcpy(b->changed, b->rows, (size_t)(test * b->p->d) * sizeof *b->rows);
    SAE_TRY(tpp_ablate(b->p, b->dict, b->weights, b->s->test.doc, test, which, k, b->changed, err));
    SAE_TRY(add_changes(b, c, falls, falls + test, err));
done:
    return status;
}

/* The latents that are aimed at, at number i of n, into m. */
static sae_status measure_at(bench *b, tpp_what arm, int i, tpp *m, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t d_sae = b->p->codes[b->dict].d_sae, test = b->t.n_test, n = b->options->n[i];
    double *falls = mem_alloc_array(2 * (size_t)test, sizeof *falls, "falls in accuracy", err);
    tpp_score *out = &m->at[arm][i];

    if (!falls) return SAE_NOMEM;
    for (int c = 0; c < b->t.n; c++) {
        int64_t k = best_latents(b->effect + c * d_sae, d_sae, n, b->scratch, b->which);
        out->ablated += (double)k / b->t.n;
        SAE_TRY(ablate_for(b, c, b->which, k, falls, err));
    }
    SAE_TRY(finish_score(m->asked + (arm == TPP_SHUFFLED ? test : 0), test, falls, b->options->seed,
                         m->change + (arm * m->n_n + i) * test, out, err));
done:
    mem_free(falls);
    return status;
}

/* One draw for every class; adds its falls by document to the means of all draws. */
static sae_status add_draw(bench *b, int i, rng *random, double *own, double *falls, tpp *m, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t d_sae = b->p->codes[b->dict].d_sae, test = b->t.n_test;

    memset(own, 0, 2 * (size_t)test * sizeof *own);
    for (int c = 0; c < b->t.n; c++) {
        int64_t k = best_latents(b->effect + c * d_sae, d_sae, b->options->n[i], b->scratch, b->which);
        int64_t *drawn = b->which + k;
        double held;
        SAE_TRY(equals_in_density(b->density + c * d_sae, d_sae, b->which, k, random, b->taken, b->taken + d_sae, drawn,
                                  &held, err));
        m->held[i] += held / b->t.n / TPP_DRAWS;
        m->at[TPP_RANDOM][i].ablated += (double)k / b->t.n / TPP_DRAWS;
        SAE_TRY(ablate_for(b, c, drawn, k, own, err));
    }
    for (int64_t at = 0; at < 2 * test; at++) falls[at] += own[at] / TPP_DRAWS;
done:
    return status;
}

/* Sum over documents of falls, over the number of tasks' rows. */
static double mean_fall(const double *falls, const double *asked, int64_t n)
{
    double above = 0, below = 0;

    for (int64_t i = 0; i < n; i++) {
        above += falls[i];
        below += asked[i];
    }
    return above / below;
}

/* The interval of a mean of draws over documents, and how far the mean of as many others might lie: halves are added as squares. */
static interval with_spread(interval sampled, const double *draws)
{
    const interval mean = interval_of_mean(draws, TPP_DRAWS);
    const double half = mean.high - mean.value;

    return (interval){sampled.value, sampled.value - hypot(sampled.value - sampled.low, half),
                      sampled.value + hypot(sampled.high - sampled.value, half)};
}

/* Draws of equal density at number i of n: their mean, and what the latents do beyond it. Needs the latents' own measure. */
static sae_status measure_draws(bench *b, int i, tpp *m, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t test = b->t.n_test;
    double *falls = mem_alloc_array(4 * (size_t)test, sizeof *falls, "falls in accuracy", err), *own = falls + 2 * test;
    double intended[TPP_DRAWS], unintended[TPP_DRAWS];
    rng random = rng_seed(b->options->seed, 90);
    tpp_score *out = &m->at[TPP_RANDOM][i];

    if (!falls) return SAE_NOMEM;
    for (int k = 0; k < TPP_DRAWS; k++) {
        SAE_TRY(add_draw(b, i, &random, own, falls, m, err));
        intended[k] = mean_fall(own, m->asked, test);
        unintended[k] = mean_fall(own + test, m->asked, test);
        m->drawn[i][k] = intended[k] - unintended[k];
    }
    SAE_TRY(
        finish_score(m->asked, test, falls, b->options->seed, m->change + (TPP_RANDOM * m->n_n + i) * test, out, err));
    out->total = with_spread(out->total, m->drawn[i]);
    out->intended = with_spread(out->intended, intended);
    out->unintended = with_spread(out->unintended, unintended);
    const score aimed = {test, m->change + (TPP_LATENTS * m->n_n + i) * test, m->asked},
                chance = {test, m->change + (TPP_RANDOM * m->n_n + i) * test, m->asked};
    SAE_TRY(score_difference(&aimed, &chance, b->options->seed, &m->over_drawn[i], err));
    m->over_drawn[i] = interval_beside_draws(m->over_drawn[i], m->drawn[i], TPP_DRAWS);
    if (m->held[i] > CONTROL_MOST_SHARED) m->over_drawn[i].low = m->over_drawn[i].high = NAN;
done:
    mem_free(falls);
    return status;
}

/* The accuracy of the probes before anything is ablated, and how often each document is asked. */
static sae_status clean_accuracy(const bench *b, int shuffled, tpp *m, sae_error *err)
{
    sae_status status = SAE_OK;
    score s = {0};

    SAE_TRY(score_create(&s, b->t.n_test, err));
    for (int j = 0; j < b->t.n; j++) {
        const task *t = &b->t.test[j];
        for (int64_t i = 0; i < t->n; i++) {
            s.right[t->place[i]] += (b->clean[j * b->t.n_test + t->place[i]] > 0) == t->y[i];
            s.asked[t->place[i]] += 1;
        }
    }
    memcpy(m->asked + shuffled * s.n, s.asked, (size_t)s.n * sizeof *s.asked);
    SAE_TRY(score_accuracy(&s, b->options->seed, &m->clean[shuffled], err));
done:
    score_free(&s);
    return status;
}

/* Room for what is kept by document. */
static sae_status room_for_documents(tpp *m, sae_error *err)
{
    m->change = mem_alloc_array((size_t)TPP_ARMS * (size_t)m->n_n, (size_t)m->n_docs * sizeof *m->change,
                                "falls by document", err);
    m->asked = mem_alloc_array(2 * (size_t)m->n_docs, sizeof *m->asked, "questions", err);
    return m->change && m->asked ? SAE_OK : SAE_NOMEM;
}

sae_status tpp_measure(tpp *out, const pooled *p, int dict, const sae_dict *weights, const split *s,
                       const tpp_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    bench b = {0};
    tpp m = {.n_classes = s->n_classes, .train = s->train.per_class, .test = s->test.per_class};

    m.n_n = options->n_n;
    m.n_docs = s->test.n;
    if (s->n_classes < 3)
        SAE_RAISE(err, SAE_RANGE,
                  "two classes make one probe and its mirror image: TPP needs three classes or more, to tell what an "
                  "ablation is meant to hurt from what it is not");
    SAE_TRY(room_for_documents(&m, err));
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        b = (bench){.p = p, .dict = dict, .weights = weights, .options = options, .s = s};
        SAE_TRY(bench_open(&b, shuffled, err));
        SAE_TRY(clean_accuracy(&b, shuffled, &m, err));
        for (int i = 0; i < options->n_n; i++) {
            SAE_TRY(measure_at(&b, shuffled ? TPP_SHUFFLED : TPP_LATENTS, i, &m, err));
            if (!shuffled) SAE_TRY(measure_draws(&b, i, &m, err));
        }
        bench_close(&b);
        b = (bench){0};
    }
    *out = m;
    m = (tpp){0};
done:
    bench_close(&b);
    tpp_free(&m);
    return status;
}

sae_status tpp_gain(interval *out, const tpp *m, const tpp *over, tpp_what arm, int i, uint64_t seed, sae_error *err)
{
    size_t n = (size_t)m->n_docs, shuffled = arm == TPP_SHUFFLED ? n : 0;
    sae_status status;
    double drawn[TPP_DRAWS];
    score own, theirs;

    if (m->n_docs != over->n_docs || i >= m->n_n || i >= over->n_n ||
        memcmp(m->asked, over->asked, 2 * n * sizeof *m->asked) != 0)
        return SAE_FAIL(err, SAE_RANGE,
                        "a gain in TPP needs both dictionaries on the same documents with the same seed");
    own = (score){m->n_docs, m->change + (size_t)(arm * m->n_n + i) * n, m->asked + shuffled};
    theirs = (score){m->n_docs, over->change + (size_t)(arm * over->n_n + i) * n, over->asked + shuffled};
    status = score_difference(&own, &theirs, seed, out, err);
    for (int k = 0; k < TPP_DRAWS; k++) drawn[k] = m->drawn[i][k] - over->drawn[i][k];
    if (status == SAE_OK && arm == TPP_RANDOM) *out = with_spread(*out, drawn);
    return status;
}
