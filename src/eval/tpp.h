/*
 * tpp.h - targeted probe perturbation: does ablating the latents of one class hurt the probe of that class alone? (docs/method.md, E3)
 *
 * After SAEBench, cleanly. For each class a logistic regression on pooled rows of the training part, fixed from then on. The effect of
 * latent i on class c is max(mean f_i of the class - mean f_i of the others, 0) <w_c, d_i>. The n latents with the largest positive effects are
 * ablated: every counted token's row loses f_i d_i, which takes (pooled f_i) d_i off the pooled row, exactly. With acc_c the
 * accuracy of probe c on its test task,
 *   TPP(n) = mean over c of [ (acc_c - acc_c after ablating c's latents) - mean over j != c of (acc_j - acc_j after them) ].
 * All accuracies are of the same documents (paired). A scaffold's part stays in the row; whether decoding adds it changes nothing. In one arm
 * its codes stand for choice beside the latents: code k with direction u_k has the effect (mean h_k of the class - mean h_k of the others) <w_c, u_k>,
 * of either sign of the difference, as codes have signs; ablated it takes h_k u_k off the row.
 */
#ifndef SAE_EVAL_TPP_H
#define SAE_EVAL_TPP_H

#include "eval/logistic.h"
#include "eval/pooled.h"
#include "eval/tasks.h"

enum { TPP_MOST_N = 12, TPP_DRAWS = 5 /* sets of equal density for each class and number */ };

typedef struct tpp_options {
    int64_t n[TPP_MOST_N]; /* latents ablated, ascending */
    int n_n;
    double C; /* of the probes; 0: 1 */
    uint64_t seed;
} tpp_options;

typedef enum tpp_what {
    TPP_LATENTS,
    TPP_RANDOM,     /* as many active in about as many documents, drawn from all (controls.h): mean of TPP_DRAWS */
    TPP_SHUFFLED,   /* probes and effects of shuffled labels */
    TPP_WITH_CODES, /* the scaffold's codes may be chosen too; without a scaffold the same as TPP_LATENTS */
    TPP_ARMS
} tpp_what;

typedef struct tpp_score {
    interval total, intended,
        unintended; /* 95 %, test documents resampled; of TPP_RANDOM with the spread of the draws */
    double ablated; /* latents, mean over classes: fewer than n have a positive effect at times */
    double codes;   /* how many of them are the scaffold's codes */
} tpp_score;

/* Of one dictionary on one set. Behind what is found at each of the n_n numbers stands, at n_n, the mean over all of them: one number that chooses
 * none of them afterwards. */
typedef struct tpp {
    int n_classes;
    int64_t train, test; /* documents of a class */
    int64_t rank;        /* of the scaffold */
    interval clean[2];   /* mean accuracy of the probes; of those of shuffled labels */
    tpp_score at[TPP_ARMS][TPP_MOST_N + 1];
    interval codes; /* fall in the mean accuracy of the probes without all codes of the scaffold */
    double drawn[TPP_MOST_N + 1][TPP_DRAWS]; /* TPP of each draw of TPP_RANDOM */
    /* TPP of the latents less that of the draws, paired, with room for another draw; no interval where these are mostly the same. */
    interval over_drawn[TPP_MOST_N + 1];
    double held[TPP_MOST_N + 1]; /* of the latents, the share that a draw holds, mean over classes and draws */
    int n_n;                     /* of the options */
    int64_t n_docs;              /* test documents, of all classes */
    double *change; /* [TPP_ARMS, n_n + 1, n_docs] by document: intended less unintended falls, summed over its tasks */
    double *asked;  /* [2, n_docs] tasks that a document stands in; those of shuffled labels */
} tpp;

/* All dictionaries of p, several at once, whose probes are the same and fitted once: of dictionary i into out[i * stride], all of which are
 * empty before; those that were measured are the caller's to free with tpp_free, also when it fails. RANGE: fewer than three classes, of
 * which two tasks would be mirror images. */
sae_status tpp_measure(tpp *out, int64_t stride, const pooled *p, sae_dict *const *weights, const split *s,
                       const tpp_options *options, const sae_progress *progress, sae_error *err);
void tpp_free(tpp *m);
/* TPP of m less that of `over` at number i of n (n_n: of their mean), with its 95 % interval: the same test documents are drawn for both (paired); of TPP_RANDOM it
 * counts the spread of the draws too. RANGE: the two were not measured on one set with one seed. */
sae_status tpp_gain(interval *out, const tpp *m, const tpp *over, tpp_what arm, int i, uint64_t seed, sae_error *err);
/* TPP with the scaffold's codes to choose too less that of the latents alone, paired like a gain. */
sae_status tpp_codes_add(interval *out, const tpp *m, int i, uint64_t seed, sae_error *err);

/* ---- Parts (tpp_probes.c, tpp_effects.c) -------------------------------------------------------------------------------------- */

/* Of every class on pooled rows, the same for all dictionaries. */
typedef struct tpp_probes {
    tasks t;
    logistic *probe; /* [classes] */
    double *clean;   /* [classes, test documents] margins */
} tpp_probes;

/* Caller frees with tpp_probes_free, also when it fails. */
sae_status tpp_probes_fit(tpp_probes *out, const pooled *p, const split *s, bool shuffled, const tpp_options *options,
                          sae_error *err);
void tpp_probes_free(tpp_probes *m);

/* <w, d_i> of every latent, and behind them of every code of the scaffold, with d_i its decoder row at length 1, as pooled codes have it: along
 * [d_sae + rank]; 0 for a row of zeros. */
void tpp_along(const pooled *p, int dict, const sae_dict *weights, const double *w, double *along);
/* The effect of every latent and code on the class of a task with a probe w, `along` as tpp_along gives it: effect [d_sae + rank]; density
 * (may be NULL) [d_sae] takes the number of training documents that each is active in. */
sae_status tpp_effects(const pooled *p, int dict, const task *train, const double *along, double *effect,
                       int64_t *density, sae_error *err);
/* What ablating latents `which` [k], of which d_sae + i is code i of the scaffold, takes off the margins of probes with `along` [n_probes, d_sae + rank]:
 * off [n_probes, n]. What tpp_ablate does to rows, seen by the probes, in a fraction of the time. */
sae_status tpp_margins_off(const pooled *p, int dict, const double *along, int n_probes, const int64_t *docs, int64_t n,
                           const int64_t *which, int64_t k, double *off, sae_error *err);
/* The pooled rows of n documents without latents `which` [k], of which d_sae + i is code i of the scaffold: rows [n, d] are changed. */
sae_status tpp_ablate(const pooled *p, int dict, const sae_dict *weights, const int64_t *docs, int64_t n,
                      const int64_t *which, int64_t k, float *rows, sae_error *err);

/* Tables and numbers: scores [n_dicts, n_sets]; gains are over the first dictionary, on the same documents. drawn [n_dicts]:
 * whose curves the plot shows, with the controls of the first, the tables have all; NULL: of each. (tpp_report.c) */
sae_status tpp_report(sae_result *result, const tpp *scores, const char *const *set_names, int n_sets,
                      const char *const *dict_names, const bool *drawn, int n_dicts, const tpp_options *options,
                      sae_error *err);

#endif
