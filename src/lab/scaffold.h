/*
 * scaffold.h - the comparison: a plain dictionary and one with a dense scaffold, trained on one stream of rows, and what
 * each learned. scaffold.c runs the steps in order; each step is a file of its own and leaves a result.
 */
#ifndef SAE_LAB_SCAFFOLD_H
#define SAE_LAB_SCAFFOLD_H

#include "eval/core.h"
#include "eval/features.h"
#include "eval/subspace.h"
#include "io/io.h"
#include "lab/loss_report.h"

struct topics; /* lab/topics.h */
struct topics_arm;

typedef struct scaffold_options {
    const char *out;        /* the run's folder */
    const char *model;      /* its path */
    const char *model_name; /* as the user calls it; NULL: the path */
    const char *site;       /* NULL: the residual stream at the middle of the model */
    const char *const *texts;
    int n_texts;
    int32_t separator;       /* -1: the tokenizer's */
    int64_t ctx;             /* 0: 256 */
    int64_t tokens;          /* distinct training rows in the store; 0: 262,144 */
    int64_t rows;            /* training rows per arm, epochs over the store; 0: 1,048,576 */
    int64_t held_out_tokens; /* densities and fits; 0: 20,480 */
    int64_t ce_tokens;       /* each loss; 0: 8,192 */
    double max_norm;         /* 0: 10 */
    sae_arch arch;           /* SAE_BATCHTOPK or SAE_MATRYOSHKA */
    int64_t width, k;        /* 0: 8 x d_model, 32 */
    int64_t rank;            /* 0: max(2, round(d_model / 96)) */
    int64_t batch;           /* 0: 2,048 */
    double lr;               /* 0: the recipe's */
    const char *topics;      /* labelled documents (data/mmlu); NULL: their topics are not measured */
    int64_t questions;       /* of them; 0: 1,000 */
    uint64_t seed;
    int draws;  /* random subspaces; 0: 3 */
    int cards;  /* densest latents shown per arm; 0: 10 */
    bool force; /* write over an earlier run in `out` */
} scaffold_options;

enum { ARM_BASELINE, ARM_SCAFFOLD, ARMS };
extern const char *const arm_names[ARMS]; /* "baseline", "scaffold" */

enum { STAGES_MAX = 16, RESULTS_MAX = 16 };
typedef struct stage_cost {
    const char *name;
    double seconds;
} stage_cost;

/* The scaffold's map without its arbitrary choice of factors (docs/method.md 7): W_down W_up = sum_i singular_i read_i^T
 * write_i with orthonormal read and write directions, in the order of how strongly they speak: singular x spread. */
typedef struct scaffold_map {
    int64_t d, rank;       /* rank: directions with a singular value over 1e-6 of the largest */
    double *read, *write;  /* [rank, d] */
    double *singular;      /* [rank] */
    double *mean, *spread; /* [rank] of the code singular <x - b_dec, read> over the training rows */
    double trace, square;  /* of the map: tr A, |A|_F^2 */
    subspace write_space;  /* row space of W_up: where the scaffold writes */
    subspace read_space;   /* row space of W_down^T: what it reads */
} scaffold_map;

/* The state of a run on its way through the steps. Everything is owned here unless it says borrowed. */
typedef struct experiment {
    scaffold_options options; /* with every default filled in; strings borrowed */
    const sae_progress *progress;
    sae_model *model;
    sae_tokenizer *tok;
    sae_site site;
    char site_name[64];
    int64_t d;
    bool overwrite; /* what training leaves: with force, or over what an unfinished run of ours left */
    json_t *inputs; /* what the rows were computed from, with hashes */
    sae_train_options recipe;
    int64_t store_rows, dropped_rows; /* distinct rows; over the norm limit */
    bool store_reused;
    double *mean, *covariance, *spectrum; /* of the training rows: [d], [d, d], eigenvalues [d] */
    double *magnitude;                    /* [d] mean |x_j| of the training rows */
    sae_dict *dicts[ARMS];
    sample held_out;
    core_arm arms[ARMS];
    scaffold_map map;
    subspace components; /* all principal components of the training rows */
    subspace pca;        /* the first `rank` of them; borrows from `components` */
    subspace next;       /* those after them, as many as there are up to `rank`; borrows from `components` */
    subspace dense;      /* span of the decoder rows of the `rank` densest latents of the baseline */
    loss_table losses;
    struct topics *topics; /* NULL: not measured */
    stage_cost costs[STAGES_MAX];
    int n_costs;
    sae_result *results[RESULTS_MAX];
    const char *result_files[RESULTS_MAX];
    int n_results;
} experiment;

/* Runs everything and writes the folder. *summary is the result that says in words what was found: caller frees with
 * sae_result_free. */
sae_status scaffold_run(sae_result **summary, const scaffold_options *options, const sae_progress *progress,
                        sae_error *err);

/* ---- Steps ------------------------------------------------------------------------------------------------------------ */

/* rows.c: the store of training rows in OUT/acts, written or reused; their mean, covariance and eigenvalues. */
sae_status rows_prepare(experiment *e, sae_error *err);
/* arms.c: trains the pair, writes log.jsonl and OUT/ARM/sae; a result "training" with the curves. */
sae_status arms_train(experiment *e, sae_error *err);
/* scaffold_map.c */
sae_status scaffold_map_create(scaffold_map *out, sae_dict *dict, const double *mean, const double *covariance,
                               sae_error *err);
void scaffold_map_free(scaffold_map *m);
/* measures.c: core measures of both arms and every loss of the run on the same held-out tokens; results "density",
 * "baseline" and "scaffold". */
sae_status arms_measure(experiment *e, sae_error *err);
/* removal.c: the loss after taking subspaces out; a result "removal". The table {scaffold, PCA} x {uncentred, centred,
 * norm kept} goes into the summary. */
sae_status removal_report(experiment *e, sae_error *err);
sae_status removal_side_by_side(const experiment *e, sae_result *r, sae_error *err);
/* difference.c: how much of the difference between scaffold and PCA is the mean, how much the norm, and what both hold of the
 * first position's row; tables "difference" and "first_position" and words, for the summary. */
sae_status difference_report(experiment *e, sae_result *r, sae_error *err);
/* outliers.c: the site's outlier dimensions and what the scaffold and PCA hold of them; into the result "structure". */
sae_status outliers_report(const experiment *e, sae_result *r, sae_error *err);
/* scaffold_topics.c: topics after the removal; a result "topics", and e->topics. Does nothing without options.topics. */
sae_status scaffold_topics(experiment *e, sae_error *err);
sae_status scaffold_topics_check(const experiment *e,
                                 sae_error *err); /* whether the documents can be used, before all else */
const struct topics_arm *scaffold_topics_arm(const experiment *e,
                                             const char *arm); /* by its name; NULL: not measured */
/* structure.c: what subspace the scaffold is; a result "structure". */
sae_status structure_report(experiment *e, sae_error *err);
/* showcase.c: cards of the densest latents and of the scaffold's directions; a result "cards". */
sae_status showcase_report(experiment *e, sae_error *err);
/* summary.c: what was measured beside what the paper states; a result "summary". */
sae_status summary_report(experiment *e, sae_error *err);

/* record.c: OUT/results/NAME.json and report.html; OUT/run.json. */
sae_status results_write(const experiment *e, sae_error *err);
sae_status record_write(const experiment *e, sae_error *err);

/* ---- Helpers of the steps (scaffold.c) ----------------------------------------------------------------------------------- */

/* A new result of the run, written to OUT/results/FILE.json at the end (`file`: static storage); borrowed. */
sae_status experiment_result(experiment *e, const char *file, const char *title, sae_result **result, sae_error *err);
int64_t compared_rank(const experiment *e); /* of PCA and random subspaces beside the scaffold's */
char *experiment_path(const experiment *e, const char *name, sae_error *err); /* OUT/NAME: mem_free */

/* The first n principal components; borrows. */
subspace experiment_components(const experiment *e, int64_t n);

/* Edits whose losses a run has, in this order; RANDOM + 2 i and + 2 i + 1 are R2 and R3 of random subspace i. */
enum {
    LOSS_CLEAN,
    LOSS_ZERO,
    LOSS_MEAN,
    LOSS_BASELINE, /* the baseline's reconstruction */
    LOSS_SCAFFOLD, /* the scaffold arm's whole reconstruction */
    LOSS_R4,       /* without the scaffold's part */
    LOSS_R1,
    LOSS_R2,
    LOSS_R3,
    LOSS_R5,
    LOSS_R6,
    LOSS_PCA_R2,
    LOSS_PCA_R3,
    LOSS_PCA_R6,
    LOSS_NEXT_R2, /* principal components r + 1 to 2r */
    LOSS_NEXT_R3,
    LOSS_DENSE_R2, /* the span of the decoder rows of the r densest latents of the baseline */
    LOSS_DENSE_R3,
    LOSS_RANDOM,
    LOSS_DRAWS_MAX = 16
};
/* What the loss table's rows above are called: "scaffold", "R2". */
typedef struct loss_name {
    const char *what,
        *operator, * key; /* key: "scaffold.R2", of the machine-readable number; NULL for random subspaces */
} loss_name;
loss_name loss_name_of(int which);
int loss_count(const experiment *e); /* rows of the loss table */
loss_view experiment_losses(const experiment *e);

#endif
