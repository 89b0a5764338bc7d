/*
 * paper.h - the paper's experiments on rows of which the truth is known (truth.h): dense latents with and without a scaffold
 * over a grid of ranks (E1), the rank found (E9), the scaffold's overlap with the planted dense space (E4), and what removing
 * it does to a readout, against what removing the planted space does (E5).
 *
 * The readout is fixed: logits = x W^T of CLASSES classes, of whose variance the share DENSE_SHARE comes from the dense part.
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

typedef struct paper {
    int d, features, width, k, batch, steps, scaffold_steps, eval_rows, truth_rows;
    double at_once, lr; /* features of a row, on average */
    sae_variant variant;
    bool pca; /* the scaffold begins as PCA of the first batch */
    int n_ranks;
    int64_t ranks[MOST_RANKS];
} paper;

typedef struct paper_found {
    double fvu[MOST_RANKS], l0[MOST_RANKS];
    int64_t dense[MOST_RANKS];
    knee knee;
    double overlap; /* of the scaffold of the found rank with the planted space, less chance */
    double clean;   /* CE of the readout, nats */
    /* CE after removal less the clean one: of the scaffold's space on evaluation rows; of the planted space on other rows */
    double r2, r3, r2_truth, r3_truth;
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
                                   double *clean, double *r2, double *r3)
{
    int d = (int)space->d;
    float *edited = calloc((size_t)n * (size_t)d, sizeof *edited);
    sae_error err = {0};

    *clean = readout_loss(W, rows, rows, n, d);
    if (subspace_remove(space, NULL, rows, n, edited, &err)) paper_fail(&err);
    *r2 = readout_loss(W, rows, edited, n, d) - *clean;
    if (subspace_remove(space, mean, rows, n, edited, &err)) paper_fail(&err);
    *r3 = readout_loss(W, rows, edited, n, d) - *clean;
    free(edited);
}

/* The planted space and the planted mean, on rows of their own. */
static inline void truth_effects(const paper *p, truth *t, const float *W, paper_found *f)
{
    float *rows = calloc((size_t)p->truth_rows * (size_t)p->d, sizeof *rows);
    double *mean = calloc((size_t)p->d, sizeof *mean), clean;
    subspace space;
    sae_error err = {0};

    truth_draw(t, rows, p->truth_rows);
    for (int i = 0; i < p->d; i++) mean[i] = (double)t->mean[i];
    for (int j = 0; j < t->features; j++)
        for (int i = 0; i < p->d; i++) mean[i] += 1.5 * t->on * (double)t->feature[(int64_t)j * p->d + i];
    if (subspace_of_rows(&space, t->dense, t->rank, p->d, &err)) paper_fail(&err);
    removal_effects(W, &space, mean, rows, p->truth_rows, &clean, &f->r2_truth, &f->r3_truth);
    subspace_free(&space);
    free(mean);
    free(rows);
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
                                    paper_found *f)
{
    subspace ours, planted;
    double *mean = calloc((size_t)p->d, sizeof *mean);
    sae_error err = {0};

    if (subspace_of_rows(&ours, sae_dict_weights(dict).W_up, sae_dict_get_config(dict)->rank, p->d, &err) ||
        subspace_of_rows(&planted, t->dense, t->rank, p->d, &err))
        paper_fail(&err);
    f->overlap = subspace_overlap(&ours, &planted) - (double)t->rank / p->d;
    for (int64_t i = 0; i < (int64_t)p->truth_rows * p->d; i++) mean[i % p->d] += (double)rows[i] / p->truth_rows;
    removal_effects(W, &ours, mean, rows, p->truth_rows, &f->clean, &f->r2, &f->r3);
    subspace_free(&ours);
    subspace_free(&planted);
    free(mean);
}

/* One draw of the truth, of the rows and of the initial weights: dictionaries of every rank on one stream of rows. */
static inline void paper_run(const paper *p, int rank, bool with_mean, uint64_t seed, paper_found *f)
{
    truth t = truth_plant_rank(p->d, p->features, p->at_once / p->features, rank, 210 + seed);
    int most = p->truth_rows; /* more than a batch */
    float *rows = calloc((size_t)most * (size_t)p->d, sizeof *rows);
    sae_dict_config configs[MOST_RANKS];
    sae_trainer *trainer = paper_trainer(p, configs, seed);
    sae_error err = {0};

    *f = (paper_found){.overlap = NAN, .clean = NAN, .r2 = NAN, .r3 = NAN, .r2_truth = NAN, .r3_truth = NAN};
    if (!with_mean) memset(t.mean, 0, (size_t)p->d * sizeof *t.mean);
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
    for (int i = 0; i < p->n_ranks && rank > 0; i++) {
        sae_dict *dict = NULL;
        if (p->ranks[i] != f->knee.rank || p->ranks[i] == 0) continue;
        if (sae_trainer_export(trainer, i, &dict, &err)) paper_fail(&err);
        truth_draw(&t, rows, p->truth_rows);
        measure_scaffold(p, &t, dict, W, rows, f);
        truth_effects(p, &t, W, f);
        sae_dict_free(dict);
    }
    sae_trainer_free(trainer);
    free(rows);
    free(W);
    truth_free(&t);
}

#endif
