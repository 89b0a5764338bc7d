/*
 * tpp.c - scores of targeted probe perturbation (tpp_probes.c: the probes; tpp_effects.c: what latents do to one).
 */
#include "eval/tpp.h"
#include "eval/controls.h"
#include "eval/each.h"

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
    const tpp_probes *probes;
    int n_classes;
    int64_t n_test;
    int64_t width;    /* d_sae and the scaffold's rank */
    double *along;    /* [classes, width] of each class's probe */
    double *off;      /* [classes, test documents] what an ablation takes off the margins */
    double *effect;   /* [classes, width] */
    int64_t *density; /* [classes, d_sae] */
    int64_t *which;   /* [2, width] those that are aimed at; a draw like them */
    ranked *scratch;  /* [width] */
    uint8_t *taken;   /* [2, d_sae] both as sets */
} bench;

static void bench_close(bench *b)
{
    mem_free(b->along);
    mem_free(b->off);
    mem_free(b->effect);
    mem_free(b->density);
    mem_free(b->which);
    mem_free(b->scratch);
    mem_free(b->taken);
}

static sae_status bench_open(bench *b, sae_error *err)
{
    sae_status status = SAE_OK;
    const size_t d_sae = (size_t)b->p->codes[b->dict].d_sae, test = (size_t)b->s->test.n;
    const size_t width = d_sae + (size_t)b->p->codes[b->dict].rank, classes = (size_t)b->probes->t.n;

    b->n_classes = (int)classes;
    b->n_test = (int64_t)test;
    b->width = (int64_t)width;
    b->along = mem_alloc_array(classes, width * sizeof *b->along, "latents along probes", err);
    b->off = mem_alloc_array(classes, test * sizeof *b->off, "falls in margins", err);
    b->effect = mem_alloc_array(classes, width * sizeof *b->effect, "effects", err);
    b->density = mem_alloc_array(classes, d_sae * sizeof *b->density, "densities", err);
    b->which = mem_alloc_array(2 * width, sizeof *b->which, "latents to ablate", err);
    b->scratch = mem_alloc_array(width, sizeof *b->scratch, "latents in order", err);
    b->taken = mem_alloc_array(2 * d_sae, 1, "latents taken", err);
    if (!b->along || !b->off || !b->effect || !b->density || !b->which || !b->scratch || !b->taken) SAE_TRY(SAE_NOMEM);
    for (int c = 0; c < b->n_classes; c++) {
        double *along = b->along + c * b->width;
        tpp_along(b->p, b->dict, b->weights, b->probes->probe[c].W, along);
        SAE_TRY(tpp_effects(b->p, b->dict, &b->probes->t.train[c], along, b->effect + c * b->width,
                            b->density + c * (int64_t)d_sae, err));
    }
done:
    return status;
}

/* The falls in right answers of each task's rows when the k latents of `which` are ablated for class c, into the sums by document: falls
 * [2, test], intended ones and others. */
static sae_status ablate_for(bench *b, int c, const int64_t *which, int64_t k, double *falls, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t test = b->n_test;
    double *intended = falls, *unintended = falls + test;

    SAE_TRY(tpp_margins_off(b->p, b->dict, b->along, b->n_classes, b->s->test.doc, test, which, k, b->off, err));
    for (int j = 0; j < b->n_classes; j++) {
        const task *t = &b->probes->t.test[j];
        for (int64_t i = 0; i < t->n; i++) {
            const int64_t at = t->place[i];
            const double margin = b->probes->clean[j * test + at];
            const int before = (margin > 0) == t->y[i], after = (margin - b->off[j * test + at] > 0) == t->y[i];
            if (j == c)
                intended[at] += before - after;
            else
                unintended[at] += (double)(before - after) / (b->n_classes - 1);
        }
    }
done:
    return status;
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
    const int64_t d_sae = b->p->codes[b->dict].d_sae, test = b->n_test;
    const int64_t candidates = arm == TPP_WITH_CODES ? b->width : d_sae;
    const int n_n = m->n_n;
    double *falls = mem_alloc_array((size_t)(n_n + 1), 2 * (size_t)test * sizeof *falls, "falls in accuracy", err);
    tpp_score *out = m->at[arm];

    if (!falls) return SAE_NOMEM;
    for (int i = 0; i < n_n; i++) {
        for (int c = 0; c < b->n_classes; c++) {
            int64_t k = best_latents(b->effect + c * b->width, candidates, b->options->n[i], b->scratch, b->which);
            out[i].ablated += (double)k / b->n_classes;
            for (int64_t j = 0; j < k; j++) out[i].codes += (double)(b->which[j] >= d_sae) / b->n_classes;
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
    const int64_t rank = b->p->codes[b->dict].rank, test = b->n_test;
    double *falls = mem_alloc_array(2 * (size_t)test, sizeof *falls, "falls in accuracy", err);

    if (!falls) return SAE_NOMEM;
    for (int64_t k = 0; k < rank; k++) b->which[k] = b->width - rank + k;
    for (int c = 0; c < b->n_classes; c++) SAE_TRY(ablate_for(b, c, b->which, rank, falls, err));
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

    for (int c = 0; c < b->n_classes; c++) {
        int64_t k = best_latents(b->effect + c * b->width, d_sae, b->options->n[i], b->scratch, b->which);
        int64_t *drawn = b->which + k;
        double held;
        SAE_TRY(equals_in_density(b->density + c * d_sae, d_sae, b->which, k, random, b->taken, b->taken + d_sae, drawn,
                                  &held, err));
        m->held[i] += held / b->n_classes / TPP_DRAWS;
        m->at[TPP_RANDOM][i].ablated += (double)k / b->n_classes / TPP_DRAWS;
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

/* own [TPP_DRAWS, n_n + 1, 2, test]: the mean of the draws at number i, and what the latents do beyond it; falls [2, test] is room for it. */
static sae_status finish_draws(const bench *b, int i, const double *own, double *falls, tpp *m, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t test = b->n_test, size = 2 * test;
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
    out->total = interval_of_draws(out->total, m->drawn[i], TPP_DRAWS);
    out->intended = interval_of_draws(out->intended, intended, TPP_DRAWS);
    out->unintended = interval_of_draws(out->unintended, unintended, TPP_DRAWS);
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
    const int64_t size = 2 * b->n_test;
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

    SAE_TRY(score_create(&s, b->n_test, err));
    for (int j = 0; j < b->n_classes; j++) {
        const task *t = &b->probes->t.test[j];
        for (int64_t i = 0; i < t->n; i++) {
            s.right[t->place[i]] += (b->probes->clean[j * b->n_test + t->place[i]] > 0) == t->y[i];
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

/* By probes of the labels, and by those of shuffled ones. */
static sae_status measure_with(tpp *out, const pooled *p, int dict, const sae_dict *weights, const split *s,
                               const tpp_options *options, const tpp_probes probes[2], sae_error *err)
{
    sae_status status = SAE_OK;
    bench b = {0};
    tpp m = {.n_classes = s->n_classes,
             .train = s->train.per_class,
             .test = s->test.per_class,
             .n_n = options->n_n,
             .n_docs = s->test.n};

    SAE_TRY(room_for_documents(&m, err));
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        b = (bench){.p = p, .dict = dict, .weights = weights, .options = options, .s = s, .probes = &probes[shuffled]};
        SAE_TRY(bench_open(&b, err));
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

/* What tpp_measure has to do. */
typedef struct measuring {
    tpp *out;
    int64_t stride;
    const pooled *p;
    sae_dict *const *weights;
    const split *s;
    const tpp_options *options;
    tpp_probes probes[2];
} measuring;

static sae_status measure_dict(void *user, int i, sae_error *err)
{
    const measuring *m = user;

    return measure_with(&m->out[i * m->stride], m->p, i, m->weights[i], m->s, m->options, m->probes, err);
}

static sae_status fit_probes(tpp_probes probes[2], const pooled *p, const split *s, const tpp_options *options,
                             sae_error *err)
{
    sae_status status = SAE_OK;

    if (s->n_classes < 3)
        SAE_RAISE(err, SAE_RANGE,
                  "two classes make one probe and its mirror image: TPP needs three classes or more, to tell what an "
                  "ablation is meant to hurt from what it is not");
    for (int shuffled = 0; shuffled < 2; shuffled++)
        SAE_TRY(tpp_probes_fit(&probes[shuffled], p, s, shuffled, options, err));
done:
    return status;
}

sae_status tpp_measure(tpp *out, int64_t stride, const pooled *p, sae_dict *const *weights, const split *s,
                       const tpp_options *options, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    measuring m = {.out = out, .stride = stride, .p = p, .weights = weights, .s = s, .options = options};

    SAE_TRY(fit_probes(m.probes, p, s, options, err));
    SAE_TRY(each_item(p->n_dicts, measure_dict, &m, progress, "TPP of dictionaries", err));
done:
    for (int i = 0; i < 2; i++) tpp_probes_free(&m.probes[i]);
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
    if (status == SAE_OK && arm == TPP_RANDOM) *out = interval_of_draws(*out, drawn, TPP_DRAWS);
    return status;
}

sae_status tpp_codes_add(interval *out, const tpp *m, int i, uint64_t seed, sae_error *err)
{
    return difference(out, m, tpp_change(m, TPP_WITH_CODES, i), tpp_change(m, TPP_LATENTS, i), false, seed, err);
}
