/*
 * paper.h - the paper's experiments on rows of which the truth is known (truth.h): dense latents with and without a scaffold
 * over a grid of ranks (E1), the rank found (E9), the scaffold's overlap with the planted dense space (E4), and what removing
 * it does to a readout, against what removing the planted space does (E5).
 *
 * The readout is fixed: logits = x W^T of CLASSES classes, of whose variance the share DENSE_SHARE comes from the dense part.
 * What is expected of R2 and R3 (truth_effects) shares no code with what is measured: plain loops in double.
 */
#ifndef PAPER_H
#define PAPER_H

#include "eval/core.h"
#include "eval/subspace.h"
#include "lab/knee.h"
#include "sae/train.h"
#include "truth.h"

#include <stdio.h>

enum { CLASSES = 64, MOST_RANKS = 9 };
static const double DENSE_SHARE = 0.5, LOGIT_VARIANCE = 4;
/* Of a planted mean within the dense part: half the standard deviation along each direction, or what makes it so long in all. So R2,
 * which takes it away too, does well over 5 % more than R3. Not longer: of a scaffold that is turned a little it leaves a share in
 * every row (docs/planted.md). */
static const double DENSE_MEAN = 2, DENSE_MEAN_NORM = 8;

typedef struct paper {
    int d, features, width, k, batch, steps, scaffold_steps, eval_rows, truth_rows;
    double at_once, lr; /* features of a row, on average */
    sae_variant variant;
    bool pca;           /* the scaffold begins as PCA of the first batch, else with W_up = 0 */
    double scaffold_lr; /* its learning rate over the dictionary's; 0: 1 */
    int n_ranks;
    int64_t ranks[MOST_RANKS];
} paper;

/* The small problem: of the test, and of tables of many steps. */
static const paper paper_small = {.d = 64,
                                  .features = 256,
                                  .width = 128,
                                  .k = 6,
                                  .batch = 256,
                                  .steps = 300,
                                  .eval_rows = 4096,
                                  .truth_rows = 32768,
                                  .at_once = 4,
                                  .lr = 1e-2,
                                  .variant = SAE_P2,
                                  .pca = true,
                                  .n_ranks = 5,
                                  .ranks = {0, 2, 4, 8, 16}};

/* A scaffold: its overlap with the planted space, less chance, and what removing it adds to the readout's CE, nats. NaN: none. */
typedef struct paper_scaffold {
    double overlap, r2, r3;
} paper_scaffold;

typedef struct paper_found {
    double fvu[MOST_RANKS], l0[MOST_RANKS];
    int64_t dense[MOST_RANKS];
    knee knee;
    paper_scaffold found, planted; /* of the rank that is found; of the rank that is planted, if the grid has it */
    double r2_truth, r3_truth;     /* what removing the planted space adds, on other rows */
} paper_found;

static inline void paper_fail(const sae_error *err)
{
    fprintf(stderr, "planted: %s\n", err->message);
    exit(1);
}

/* ---- The readout ---------------------------------------------------------------------------------------------------------- */

/* Variance of the sparse part, summed over dimensions: at_once E a^2, for a uniform in [1, 2]. */
static inline double sparse_variance(const paper *p) { return p->at_once * 7.0 / 3.0; }

/* W [CLASSES, d]; with no dense part planted all of the variance is of the sparse part. */
static inline float *readout_plant(const paper *p, truth *t)
{
    float *W = random_rows(&t->r, CLASSES, p->d);
    double share = t->rank ? DENSE_SHARE : 0;
    double sparse = sqrt((1 - share) * LOGIT_VARIANCE * p->d / sparse_variance(p));

    for (int c = 0; c < CLASSES; c++) {
        float *w = W + c * p->d;
        for (int k = 0; k < t->rank; k++) add(w, -dot(w, t->dense + k * p->d, p->d), t->dense + k * p->d, p->d);
        unit(w, p->d);
        for (int i = 0; i < p->d; i++) w[i] *= (float)sparse;
        for (int k = 0; k < t->rank; k++)
            add(w, sqrt(share * LOGIT_VARIANCE / (16.0 * t->rank)) * rng_normal(&t->r), t->dense + k * p->d, p->d);
    }
    return W;
}

/* log p of CLASSES logits, in place */
static inline void log_softmax(float *logits)
{
    double top = -INFINITY, sum = 0;

    for (int c = 0; c < CLASSES; c++) top = fmax(top, (double)logits[c]);
    for (int c = 0; c < CLASSES; c++) sum += exp((double)logits[c] - top);
    for (int c = 0; c < CLASSES; c++) logits[c] -= (float)(top + log(sum));
}

/* Mean cross-entropy of the readout of `edited` when the truth is drawn by the readout of `rows`: no noise of labels. */
static inline double readout_loss(const float *W, const float *rows, const float *edited, int n, int d)
{
    float *before = calloc((size_t)n * CLASSES, sizeof *before), *after = calloc((size_t)n * CLASSES, sizeof *after);
    double loss = 0;

    matmul_nt(n, CLASSES, d, rows, d, W, d, 0, before, CLASSES);
    matmul_nt(n, CLASSES, d, edited, d, W, d, 0, after, CLASSES);
    for (int i = 0; i < n; i++) {
        log_softmax(before + i * CLASSES);
        log_softmax(after + i * CLASSES);
        for (int c = 0; c < CLASSES; c++)
            loss -= exp((double)before[i * CLASSES + c]) * (double)after[i * CLASSES + c] / n;
    }
    free(before);
    free(after);
    return loss;
}

/* What R2 and R3 of a subspace add to the loss; mean [d] of the rows. */
static inline void removal_effects(const float *W, const subspace *space, const double *mean, const float *rows, int n,
                                   double *r2, double *r3)
{
    int d = (int)space->d;
    float *edited = calloc((size_t)n * (size_t)d, sizeof *edited);
    double clean = readout_loss(W, rows, rows, n, d);
    sae_error err = {0};

    if (subspace_remove(space, NULL, rows, n, edited, &err)) paper_fail(&err);
    *r2 = readout_loss(W, rows, edited, n, d) - clean;
    if (subspace_remove(space, mean, rows, n, edited, &err)) paper_fail(&err);
    *r3 = readout_loss(W, rows, edited, n, d) - clean;
    free(edited);
}

/* ---- What is expected ----------------------------------------------------------------------------------------------------- */

/* log p [CLASSES] of the readout of x [d]. */
static inline void truth_log_p(const float *W, const double *x, int d, double *log_p)
{
    double top = -INFINITY, sum = 0;

    for (int c = 0; c < CLASSES; c++) {
        log_p[c] = 0;
        for (int i = 0; i < d; i++) log_p[c] += x[i] * (double)W[c * d + i];
        top = fmax(top, log_p[c]);
    }
    for (int c = 0; c < CLASSES; c++) sum += exp(log_p[c] - top);
    for (int c = 0; c < CLASSES; c++) log_p[c] -= top + log(sum);
}

/* KL(p of x | p of x - (x - about) B^T B), what the removal adds to the loss; log_p of x; about NULL is 0. */
static inline double truth_divergence(const truth *t, const float *W, const double *x, const double *about,
                                      const double *log_p, double *edited)
{
    double log_q[CLASSES], sum = 0;

    memcpy(edited, x, (size_t)t->d * sizeof *edited);
    for (int k = 0; k < t->rank; k++) {
        const float *direction = t->dense + k * t->d;
        double along = 0;
        for (int i = 0; i < t->d; i++) along += (x[i] - (about ? about[i] : 0)) * (double)direction[i];
        for (int i = 0; i < t->d; i++) edited[i] -= along * (double)direction[i];
    }
    truth_log_p(W, edited, t->d, log_q);
    for (int c = 0; c < CLASSES; c++) sum += exp(log_p[c]) * (log_p[c] - log_q[c]);
    return sum;
}

/* R2 and R3 of the planted space, about the mean of the population, on n rows: the expectation over rows is sampled (a softmax
 * of 64 classes has no closed form), all else is exact. */
static inline void truth_effects(const truth *t, const float *W, const float *rows, int n, double *r2, double *r3)
{
    double *mean = calloc((size_t)(3 * t->d), sizeof *mean), *x = mean + t->d, *edited = x + t->d, log_p[CLASSES];

    for (int i = 0; i < t->d; i++) mean[i] = (double)t->mean[i];
    for (int j = 0; j < t->features; j++)
        for (int i = 0; i < t->d; i++) mean[i] += 1.5 * t->on * (double)t->feature[(int64_t)j * t->d + i];
    *r2 = *r3 = 0;
    for (int b = 0; b < n; b++) {
        for (int i = 0; i < t->d; i++) x[i] = (double)rows[(int64_t)b * t->d + i];
        truth_log_p(W, x, t->d, log_p);
        *r2 += truth_divergence(t, W, x, NULL, log_p, edited) / n;
        *r3 += truth_divergence(t, W, x, mean, log_p, edited) / n;
    }
    free(mean);
}

/* ---- Dictionaries ------------------------------------------------------------------------------------------------------------ */

static inline sae_trainer *paper_trainer(const paper *p, sae_dict_config *configs, uint64_t seed)
{
    sae_train_options o = sae_recipe(SAE_RECIPE_SAEBENCH, SAE_BATCHTOPK, p->batch, p->steps, p->width);
    sae_trainer *trainer = NULL;
    sae_error err = {0};

    o.lr = p->lr;
    for (int i = 0; i < p->n_ranks; i++)
        configs[i] = (sae_dict_config){.arch = SAE_BATCHTOPK,
                                       .variant = p->variant,
                                       .rank = p->ranks[i],
                                       .scaffold_start = p->pca ? SAE_START_PCA : SAE_START_ZERO,
                                       .scaffold_lr = p->scaffold_lr,
                                       .scaffold_steps = p->ranks[i] ? p->scaffold_steps : 0,
                                       .d_in = p->d,
                                       .d_sae = p->width,
                                       .k = p->k,
                                       .seed = seed};
    if (sae_trainer_create(&trainer, configs, p->n_ranks, &o, &err)) paper_fail(&err);
    return trainer;
}

static inline void measure_dict(const sae_dict *dict, const float *rows, int n, paper_found *f, int i)
{
    int64_t d = sae_dict_get_config(dict)->d_in, d_sae = sae_dict_get_config(dict)->d_sae;
    float *recon = calloc((size_t)n * (size_t)d, sizeof *recon);
    codes c = {0};
    density p = {0};
    fit e = {0};
    sae_error err = {0};

    if (codes_encode(&c, dict, rows, n, &err) || codes_decode(&c, dict, true, recon, &err)) paper_fail(&err);
    if (density_create(&p, d_sae, &err) || fit_create(&e, d, &err)) paper_fail(&err);
    density_add(&p, &c);
    fit_add(&e, rows, recon, n);
    f->fvu[i] = fit_fvu(&e);
    f->l0[i] = (double)p.n_fired / n;
    f->dense[i] = density_dense(&p, density_thresholds[1]);
    density_free(&p);
    fit_free(&e);
    codes_free(&c);
    free(recon);
}

static inline void measure_scaffold(const paper *p, const truth *t, sae_dict *dict, const float *W, const float *rows,
                                    paper_scaffold *s)
{
    subspace ours, planted;
    double *mean = calloc((size_t)p->d, sizeof *mean);
    sae_error err = {0};

    if (subspace_of_rows(&ours, sae_dict_weights(dict).W_up, sae_dict_get_config(dict)->rank, p->d, &err) ||
        subspace_of_rows(&planted, t->dense, t->rank, p->d, &err))
        paper_fail(&err);
    s->overlap = subspace_overlap(&ours, &planted) - (double)t->rank / p->d;
    for (int64_t i = 0; i < (int64_t)p->truth_rows * p->d; i++) mean[i % p->d] += (double)rows[i] / p->truth_rows;
    removal_effects(W, &ours, mean, rows, p->truth_rows, &s->r2, &s->r3);
    subspace_free(&ours);
    subspace_free(&planted);
    free(mean);
}

/* The mean along the dense part, on top of the random one. */
static inline void plant_mean(truth *t, bool with_mean)
{
    if (!with_mean) memset(t->mean, 0, (size_t)t->d * sizeof *t->mean);
    for (int k = 0; with_mean && k < t->rank; k++)
        add(t->mean, fmax(DENSE_MEAN, DENSE_MEAN_NORM / sqrt(t->rank)), t->dense + k * t->d, t->d);
}

/* The scaffolds of the rank that is found and of the one that is planted, on one set of rows, against the truth on another. */
static inline void measure_removal(const paper *p, truth *t, const sae_trainer *trainer, const float *W, float *rows,
                                   paper_found *f)
{
    sae_error err = {0};

    truth_draw(t, rows, p->truth_rows);
    for (int i = 0; i < p->n_ranks; i++) {
        sae_dict *dict = NULL;
        paper_scaffold s;
        if (p->ranks[i] == 0 || (p->ranks[i] != f->knee.rank && p->ranks[i] != t->rank)) continue;
        if (sae_trainer_export(trainer, i, &dict, &err)) paper_fail(&err);
        measure_scaffold(p, t, dict, W, rows, &s);
        if (p->ranks[i] == f->knee.rank) f->found = s;
        if (p->ranks[i] == t->rank) f->planted = s;
        sae_dict_free(dict);
    }
    truth_draw(t, rows, p->truth_rows);
    truth_effects(t, W, rows, p->truth_rows, &f->r2_truth, &f->r3_truth);
}

/* One draw of the truth, of the rows and of the initial weights: dictionaries of every rank on one stream of rows. */
static inline void paper_run(const paper *p, int rank, bool with_mean, uint64_t seed, paper_found *f)
{
    truth t = truth_plant_rank(p->d, p->features, p->at_once / p->features, rank, 210 + seed);
    int most = p->truth_rows; /* more than a batch */
    float *rows = calloc((size_t)most * (size_t)p->d, sizeof *rows);
    sae_dict_config configs[MOST_RANKS];
    sae_trainer *trainer = paper_trainer(p, configs, seed);
    const paper_scaffold none = {NAN, NAN, NAN};
    sae_error err = {0};

    *f = (paper_found){.found = none, .planted = none, .r2_truth = NAN, .r3_truth = NAN};
    plant_mean(&t, with_mean);
    float *W = readout_plant(p, &t);
    for (int n = 0; n < p->steps; n++) {
        truth_draw(&t, rows, p->batch);
        if (sae_trainer_step(trainer, rows, NULL, NULL, &err)) paper_fail(&err);
    }
    sae_trainer_finish(trainer);
    truth_draw(&t, rows, p->eval_rows);
    for (int i = 0; i < p->n_ranks; i++) {
        sae_dict *dict = NULL;
        if (sae_trainer_export(trainer, i, &dict, &err)) paper_fail(&err);
        measure_dict(dict, rows, p->eval_rows, f, i);
        sae_dict_free(dict);
    }
    if (knee_find(&f->knee, p->ranks, f->fvu, p->n_ranks, p->d, &err)) paper_fail(&err);
    if (rank > 0) measure_removal(p, &t, trainer, W, rows, f);
    sae_trainer_free(trainer);
    free(rows);
    free(W);
    truth_free(&t);
}

#endif
