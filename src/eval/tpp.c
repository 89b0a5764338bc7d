/*
 * tpp.c - probes and scores of targeted probe perturbation (tpp_effects.c: what latents do to a probe).
 */
#include "eval/tpp.h"
#include "eval/controls.h"
#include "eval/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* Of n_candidates those with positive effects, largest first; returns how many, at most `most`. */
static int64_t best_latents(const double *effect, int64_t n_candidates, int64_t most, ranked *scratch, int64_t *which)
{
    int64_t n = 0;

    for (int64_t i = 0; i < n_candidates; i++)
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

/* By document, of an arm at number i of n, or at n_n of their mean. */
static double *tpp_change(const tpp *m, tpp_what arm, int i)
{
    return m->change + (arm * (m->n_n + 1) + i) * m->n_docs;
}

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
    int64_t width;    /* d_sae and the scaffold's rank */
    double *effect;   /* [classes, width] */
    int64_t *density; /* [classes, d_sae] */
    int64_t *which;   /* [2, width] those that are aimed at; a draw like them */
    ranked *scratch;  /* [width] */
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
    SAE_TRY(tpp_effects(b->p, b->dict, b->weights, train, b->probes[c].W, b->effect + c * b->width,
                        b->density + c * d_sae, err));
done:
    mem_free(x);
    return status;
}

static sae_status bench_open(bench *b, bool shuffled, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t d_sae = (size_t)b->p->codes[b->dict].d_sae, d = (size_t)b->p->d, test = (size_t)b->s->test.n;
    size_t width = d_sae + (size_t)b->p->codes[b->dict].rank, classes;

    b->width = (int64_t)width;
    SAE_TRY(tasks_create(&b->t, b->s, shuffled, b->options->seed, err));
    classes = (size_t)b->t.n;
    b->probes = mem_alloc_array(classes, sizeof *b->probes, "probes", err);
    b->rows = mem_alloc_array(test, d * sizeof *b->rows, "test rows", err);
    b->changed = mem_alloc_array(test, d * sizeof *b->changed, "ablated rows", err);
    b->clean = mem_alloc_array(classes, test * sizeof *b->clean, "margins", err);
    b->effect = mem_alloc_array(classes, width * sizeof *b->effect, "effects", err);
    b->density = mem_alloc_array(classes, d_sae * sizeof *b->density, "densities", err);
    b->which = mem_alloc_array(2 * width, sizeof *b->which, "latents to ablate", err);
    b->scratch = mem_alloc_array(width, sizeof *b->scratch, "latents in order", err);
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

/* falls [n_n + 1, size]: the last is the mean of the others. */
static void mean_over_n(double *falls, int n_n, int64_t size)
{
    for (int64_t at = 0; at < size; at++) {
        double sum = 0;
        for (int i = 0; i < n_n; i++) sum += falls[i * size + at];
        falls[n_n * size + at] = sum / n_n;
    }
}

/* What is aimed at, at every n and in the mean over them, into m. */
static sae_status measure_aimed(bench *b, tpp_what arm, tpp *m, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t d_sae = b->p->codes[b->dict].d_sae, test = b->t.n_test;
    const int64_t candidates = arm == TPP_WITH_CODES ? b->width : d_sae;
    const int n_n = m->n_n;
    double *falls = mem_alloc_array((size_t)(n_n + 1), 2 * (size_t)test * sizeof *falls, "falls in accuracy", err);
    tpp_score *out = m->at[arm];

    if (!falls) return SAE_NOMEM;
    for (int i = 0; i < n_n; i++) {
        for (int c = 0; c < b->t.n; c++) {
            int64_t k = best_latents(b->effect + c * b->width, candidates, b->options->n[i], b->scratch, b->which);
            out[i].ablated += (double)k / b->t.n;
            for (int64_t j = 0; j < k; j++) out[i].codes += (double)(b->which[j] >= d_sae) / b->t.n;
            SAE_TRY(ablate_for(b, c, b->which, k, falls + 2 * test * i, err));
        }
        out[n_n].ablated += out[i].ablated / n_n;
        out[n_n].codes += out[i].codes / n_n;
    }
    mean_over_n(falls, n_n, 2 * test);
    for (int i = 0; i <= n_n; i++)
        SAE_TRY(finish_score(m->asked + (arm == TPP_SHUFFLED ? test : 0), test, falls + 2 * test * i, b->options->seed,
                             tpp_change(m, arm, i), &out[i], err));
done:
    mem_free(falls);
    return status;
}

/* What all of the scaffold's codes together carry. They are one set for every class, so that a class's own probe falls by what the others do and
 * there is no TPP: the fall itself is told. */
static sae_status measure_codes(bench *b, tpp *m, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t rank = b->p->codes[b->dict].rank, test = b->t.n_test;
    double *falls = mem_alloc_array(2 * (size_t)test, sizeof *falls, "falls in accuracy", err);

    if (!falls) return SAE_NOMEM;
    for (int64_t k = 0; k < rank; k++) b->which[k] = b->width - rank + k;
    for (int c = 0; c < b->t.n; c++) SAE_TRY(ablate_for(b, c, b->which, rank, falls, err));
    SAE_TRY(bootstrap_ratio(&m->codes, falls, m->asked, test, b->options->seed, err));
done:
    mem_free(falls);
    return status;
}

/* With the scaffold's codes to choose too. Without a scaffold there are none: it is what the latents are. */
static sae_status measure_with_codes(bench *b, tpp *m, sae_error *err)
{
    sae_status status = SAE_OK;

    m->rank = b->p->codes[b->dict].rank;
    if (m->rank > 0) {
        SAE_TRY(measure_aimed(b, TPP_WITH_CODES, m, err));
        SAE_TRY(measure_codes(b, m, err));
    } else {
        memcpy(m->at[TPP_WITH_CODES], m->at[TPP_LATENTS], sizeof m->at[TPP_LATENTS]);
        memcpy(tpp_change(m, TPP_WITH_CODES, 0), tpp_change(m, TPP_LATENTS, 0),
               (size_t)(m->n_n + 1) * (size_t)m->n_docs * sizeof *m->change);
    }
done:
    return status;
}

/* One draw for every class at number i of n; adds to its falls by document, own [2, test]. */
static sae_status add_draw(bench *b, int i, rng *random, double *own, tpp *m, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t d_sae = b->p->codes[b->dict].d_sae;

    for (int c = 0; c < b->t.n; c++) {
        int64_t k = best_latents(b->effect + c * b->width, d_sae, b->options->n[i], b->scratch, b->which);
        int64_t *drawn = b->which + k;
        double held;
        SAE_TRY(equals_in_density(b->density + c * d_sae, d_sae, b->which, k, random, b->taken, b->taken + d_sae, drawn,
                                  &held, err));
        m->held[i] += held / b->t.n / TPP_DRAWS;
        m->at[TPP_RANDOM][i].ablated += (double)k / b->t.n / TPP_DRAWS;
        SAE_TRY(ablate_for(b, c, drawn, k, own, err));
    }
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

/* own [TPP_DRAWS, n_n + 1, 2, test]: the mean of the draws at number i, and what the latents do beyond it; falls [2, test] is room for it. */
static sae_status finish_draws(const bench *b, int i, const double *own, double *falls, tpp *m, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t test = b->t.n_test, size = 2 * test;
    double intended[TPP_DRAWS], unintended[TPP_DRAWS];
    tpp_score *out = &m->at[TPP_RANDOM][i];

    memset(falls, 0, (size_t)size * sizeof *falls);
    for (int k = 0; k < TPP_DRAWS; k++) {
        const double *draw = own + (k * (m->n_n + 1) + i) * size;
        for (int64_t at = 0; at < size; at++) falls[at] += draw[at] / TPP_DRAWS;
        intended[k] = mean_fall(draw, m->asked, test);
        unintended[k] = mean_fall(draw + test, m->asked, test);
        m->drawn[i][k] = intended[k] - unintended[k];
    }
    SAE_TRY(finish_score(m->asked, test, falls, b->options->seed, tpp_change(m, TPP_RANDOM, i), out, err));
    out->total = with_spread(out->total, m->drawn[i]);
    out->intended = with_spread(out->intended, intended);
    out->unintended = with_spread(out->unintended, unintended);
    const score aimed = {test, tpp_change(m, TPP_LATENTS, i), m->asked},
                chance = {test, tpp_change(m, TPP_RANDOM, i), m->asked};
    SAE_TRY(score_difference(&aimed, &chance, b->options->seed, &m->over_drawn[i], err));
    m->over_drawn[i] = interval_beside_draws(m->over_drawn[i], m->drawn[i], TPP_DRAWS);
    if (m->held[i] > CONTROL_MOST_SHARED) m->over_drawn[i].low = m->over_drawn[i].high = NAN;
done:
    return status;
}

/* Draws of equal density, at every n and in the mean over them. Needs the latents' own measure. */
static sae_status measure_draws(bench *b, tpp *m, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t size = 2 * b->t.n_test;
    const int n_n = m->n_n;
    double *own = mem_alloc_array((size_t)(TPP_DRAWS * (n_n + 1)), (size_t)size * sizeof *own, "falls of draws", err);
    double *falls = mem_alloc_array((size_t)size, sizeof *falls, "falls in accuracy", err);

    if (!own || !falls) SAE_TRY(SAE_NOMEM);
    for (int i = 0; i < n_n; i++) {
        rng random = rng_seed(b->options->seed, 90);
        for (int k = 0; k < TPP_DRAWS; k++) SAE_TRY(add_draw(b, i, &random, own + (k * (n_n + 1) + i) * size, m, err));
        m->held[n_n] += m->held[i] / n_n;
        m->at[TPP_RANDOM][n_n].ablated += m->at[TPP_RANDOM][i].ablated / n_n;
    }
    for (int k = 0; k < TPP_DRAWS; k++) mean_over_n(own + k * (n_n + 1) * size, n_n, size);
    for (int i = 0; i <= n_n; i++) SAE_TRY(finish_draws(b, i, own, falls, m, err));
done:
    mem_free(own);
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
    m->change = mem_alloc_array((size_t)TPP_ARMS * (size_t)(m->n_n + 1), (size_t)m->n_docs * sizeof *m->change,
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
        SAE_TRY(measure_aimed(&b, shuffled ? TPP_SHUFFLED : TPP_LATENTS, &m, err));
        if (!shuffled) {
            SAE_TRY(measure_with_codes(&b, &m, err));
            SAE_TRY(measure_draws(&b, &m, err));
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

/* Of changes by document that were asked alike. */
static sae_status difference(interval *out, const tpp *m, double *own, double *theirs, bool shuffled, uint64_t seed,
                             sae_error *err)
{
    double *asked = m->asked + (shuffled ? m->n_docs : 0);
    const score a = {m->n_docs, own, asked}, b = {m->n_docs, theirs, asked};

    return score_difference(&a, &b, seed, out, err);
}

sae_status tpp_gain(interval *out, const tpp *m, const tpp *over, tpp_what arm, int i, uint64_t seed, sae_error *err)
{
    size_t n = (size_t)m->n_docs;
    sae_status status;
    double drawn[TPP_DRAWS];

    if (m->n_docs != over->n_docs || m->n_n != over->n_n || i > m->n_n ||
        memcmp(m->asked, over->asked, 2 * n * sizeof *m->asked) != 0)
        return SAE_FAIL(err, SAE_RANGE,
                        "a gain in TPP needs both dictionaries on the same documents with the same seed");
    status = difference(out, m, tpp_change(m, arm, i), tpp_change(over, arm, i), arm == TPP_SHUFFLED, seed, err);
    for (int k = 0; k < TPP_DRAWS; k++) drawn[k] = m->drawn[i][k] - over->drawn[i][k];
    if (status == SAE_OK && arm == TPP_RANDOM) *out = with_spread(*out, drawn);
    return status;
}

sae_status tpp_codes_add(interval *out, const tpp *m, int i, uint64_t seed, sae_error *err)
{
    return difference(out, m, tpp_change(m, TPP_WITH_CODES, i), tpp_change(m, TPP_LATENTS, i), false, seed, err);
}
