/*
 * scaffold.h - the experiments of arXiv 2606.14040 in one run: plain dictionaries and ones with a dense scaffold, trained on one
 * stream of rows, and what each learned. docs/method.md has the experiments.
 *
 * A run is a list of dictionaries (roster.c) and a list of parts (scaffold.c). Each dictionary and each part is kept in OUT when it
 * is finished, with all that it depends on; it is made anew only when something of that has changed.
 */
#ifndef SAE_LAB_SCAFFOLD_H
#define SAE_LAB_SCAFFOLD_H

#include "eval/core.h"
#include "eval/features.h"
#include "io/io.h"
#include "lab/inputs.h"
#include "lab/loss_report.h"
#include "lab/matching.h"
#include "lab/row_moments.h"
#include "lab/scaffold_map.h"
#include "lab/topics_sets.h"

typedef enum scaffold_budget { BUDGET_QUICK, BUDGET_STANDARD, BUDGET_FULL } scaffold_budget;
extern const char *const budget_names[]; /* "quick", "standard", "full", NULL */

enum { ARCHS_MAX = 2, VARIANTS_MAX = 3, KS_MAX = 6, RANKS_MAX = 12, SEEDS_MAX = 16, LABELLED_MAX = 256 };

typedef struct scaffold_options {
    const char *out;        /* the run's folder */
    const char *model;      /* its path */
    const char *model_name; /* as the user calls it; NULL: the path */
    const char *site;       /* NULL: the residual stream at the middle of the model */
    const char *const *texts;
    int n_texts;
    scaffold_budget budget;    /* where the defaults below come from (budget.c) */
    int32_t separator;         /* -1: the tokenizer's */
    int64_t ctx;               /* 0: 256 */
    int64_t tokens;            /* distinct training rows in the store; 0: the budget's, as everything that follows */
    int64_t rows;              /* training rows per dictionary, epochs over the store */
    int64_t held_out_tokens;   /* densities and fits */
    int64_t ce_tokens;         /* each loss */
    double max_norm;           /* 0: 10 */
    sae_arch archs[ARCHS_MAX]; /* SAE_BATCHTOPK, SAE_MATRYOSHKA; the first is the headline's */
    int n_archs;
    int64_t width, k; /* width 0: 8 x d_model */
    int64_t rank;     /* 0: max(2, round(d_model / 96)) */
    int64_t seeds;    /* baseline and scaffold of each architecture: seed, seed + 1, .. */
    sae_variant variants
        [VARIANTS_MAX]; /* how scaffolds are wired: the first in all that follows and the claims, the others of the
                                           first seed; n_variants 0: the budget's */
    int n_variants;
    int64_t ks[KS_MAX]; /* pairs at these k too, of the first seed: to compare at equal L0 and FVU; n_ks -1: none */
    int n_ks;
    int64_t ranks
        [RANKS_MAX]; /* scaffolds of the first architecture at these ranks too, of the first seed; n_ranks -1: none */
    int n_ranks;
    int matched;                         /* 1: dictionaries are trained at equal L0, L0 + r and FVU; -1: not */
    int retrain;                         /* 1: ablate and retrain; -1: not */
    int64_t batch;                       /* 0: 2,048 */
    double lr;                           /* 0: the recipe's */
    const char *topics;                  /* labelled documents (data/mmlu); NULL: their topics are not measured */
    int64_t questions;                   /* of them, for each set of labels */
    topics_labels labels[TOPICS_LABELS]; /* of MMLU; the first that the documents have makes the claims */
    int n_labels;                        /* 0: the budget's */
    bool labels_given;                   /* other documents than MMLU are then refused */
    const char *const *labelled;         /* sets for sparse probing and TPP; n_labelled 0: not measured */
    int n_labelled;
    const char
        *survey;    /* folder of a finished `sae lab survey`: decides site, width and k where they are 0; NULL: none */
    int64_t points; /* sizes of the sets of aligned features that are ablated; -1: redundancy is not measured */
    uint64_t seed;
    int draws;                /* random subspaces */
    int cards;                /* densest latents shown per arm */
    size_t memory;            /* that trainers may take; 0: half of what is free */
    sae_dict_config scaffold; /* of every scaffold its scaffold_ members (scaffold_last of Matryoshka only); of them
                                 scaffold_lr 0: the budget's */
    double dense_threshold;   /* a latent is dense when it fires on more than this share of tokens; 0: 0.1 */
    bool with_bos;            /* position 0 and special tokens are trained on and measured; max_norm 0 is then -1 */
    bool last_token;          /* a document is its last token's row, not the mean over its tokens */
    bool rank_knee; /* the rank is the knee of `ranks`, whose dictionaries are trained before all others (ranks.c) */
    int ablate;     /* ARM_BASELINE or ARM_SCAFFOLD: whose aligned latents are ablated */
    lab_notice notice;
    bool force; /* go on in a folder of other settings: what depends on what has changed is made anew */
} scaffold_options;

/* Every default of the budget in place of what was not given; d: width of the site's rows. RANGE for what cannot be. (budget.c) */
sae_status budget_fill(scaffold_options *o, int64_t d, sae_error *err);
void budget_set_archs(scaffold_options *o);              /* its architectures, where none is given */
void budget_set_rank(scaffold_options *o, int64_t rank); /* of the scaffold; `ranks` leaves it out */
double budget_scaffold_lr(scaffold_budget budget);       /* of scaffolds, over the common rate, where none is given */

/* ---- The dictionaries (roster.c) ----------------------------------------------------------------------------------------- */

typedef enum roster_use {
    USE_BASELINE, /* of an architecture and seed */
    USE_SCAFFOLD, /* its partner: alike but for the scaffold */
    USE_K,        /* P1 at another k */
    USE_BASE_K,   /* baseline at that k: what another k does without a scaffold */
    USE_RANK,     /* P1 at another rank */
    USE_MATCHED,  /* P1 at a k at which something was found equal (matched.c): listed once the others were measured */
    USE_DENSE,    /* baseline on rows without the span of the first baseline's dense latents */
    USE_OTHERS,   /* baseline on rows without the span of as many other latents */
} roster_use;

typedef struct roster_entry {
    char name[64]; /* "batchtopk-baseline-s0", "batchtopk-p1-k16-s0" */
    roster_use use;
    sae_dict_config config;
    bool trained; /* it stands in OUT/dictionaries/NAME, trained on these rows by this recipe */
} roster_entry;

/* One for each of three rules, and what corrects the first. */
enum { MATCHED_CORRECTIONS = 3, MATCHED_MOST = MATCHING_RULES + MATCHED_CORRECTIONS };
enum { ROSTER_MAX = ARCHS_MAX * (2 * SEEDS_MAX + 2 + 2 * KS_MAX + MATCHED_MOST) + RANKS_MAX + 2 };
typedef struct roster {
    int n;
    roster_entry entries[ROSTER_MAX];
} roster;

enum { ARM_BASELINE, ARM_SCAFFOLD, ARMS };
extern const char *const arm_names[ARMS]; /* "baseline", "scaffold" */

enum { COSTS_MAX = 160, RESULTS_MAX = 400 };
typedef struct stage_cost {
    char name[64];
    double seconds; /* of all calls on this folder together */
    bool kept;      /* finished by an earlier call */
} stage_cost;

/* A result of a part, in OUT/results/PART/FILE.json. */
typedef struct part_result {
    char part[64], file[32];
    sae_result *result;
} part_result;

struct census_entry;

/* The state of a run. Everything is owned here unless it says borrowed. */
typedef struct experiment {
    scaffold_options options; /* with every default filled in; strings borrowed */
    const sae_progress *progress;
    int lock; /* on options.out; -1: not yet */
    sae_model *model;
    sae_tokenizer *tok;
    sae_site site;
    char site_name[64];
    char survey_site[64]; /* of options.survey, when no site was given */
    int64_t d;
    char dense_key[24]; /* "dense_0.1": what numbers of latents over options.dense_threshold are called */
    json_t *inputs;     /* what the rows were computed from, with hashes */
    sae_train_options recipe;
    roster roster;
    int64_t dropped_rows; /* over the norm limit */
    bool store_reused;
    row_moments rows; /* of the training rows */
    sample held_out;  /* of the first part that needs it */
    loss_log *known;  /* OUT/losses.jsonl: every loss on it, whichever part asked first */

    /* The pair that is looked at (pair.c). */
    const roster_entry *pair[ARMS]; /* borrowed */
    sae_dict *dicts[ARMS];
    core_arm arms[ARMS];
    scaffold_map map;
    subspace pca;  /* as many principal components as the scaffold has directions; borrows from `components` */
    subspace next; /* those after them, as many as there are up to `rank`; borrows from `components` */
    subspace
        all; /* as many principal components of all held-out rows, masked ones too, as of `pca`; rank 0: not of this pair */
    subspace dense; /* span of the decoder rows of the `rank` densest latents of the baseline */
    subspace other; /* what another seed's scaffold writes; rank 0: there is none */
    loss_table losses;
    uint64_t topics_hash, labelled_hash; /* of the documents */
    int64_t labelled_documents;          /* that probing and TPP read */
    double labelled_tokens;              /* in them, about */
    char *labelled_unfit[LABELLED_MAX];  /* why the i-th set of options.labelled is passed over; NULL: it is read */

    char part[64]; /* that runs now */
    part_result results[RESULTS_MAX];
    int n_results;
    stage_cost costs[COSTS_MAX];
    int n_costs;
    double peak_memory; /* bytes, the most of all calls when a part was last done */
} experiment;

/* Runs everything that is not there yet and writes the folder. *summary is the result that says in words what was found: caller
 * frees with sae_result_free. STATE when OUT holds a run of other settings, unless forced. CANCELLED when the progress says so: the
 * same call goes on. */
sae_status scaffold_run(sae_result **summary, const scaffold_options *options, const sae_progress *progress,
                        sae_error *err);

/* What the plan has to know of a model. */
typedef struct model_shape {
    int64_t d_model, n_layer, n_params, n_vocab;
    int64_t layer; /* of the site */
} model_shape;
/* Dictionaries, disk, memory, arithmetic by part and hours; nothing is made. Caller frees *out with sae_result_free. (scaffold_plan.c) */
sae_status scaffold_plan(sae_result **out, const scaffold_options *options, const model_shape *shape, sae_error *err);

/* ---- Parts (part.c) ----------------------------------------------------------------------------------------------------- */

/* What a part's numbers depend on beside the code: the rows, sizes of samples, and what `more` (stolen; may be NULL) names. NULL:
 * no memory. */
json_t *part_identity(const experiment *e, json_t *more);
/* A dictionary's: its configuration, recipe, rows. NULL: no memory. */
json_t *roster_identity(const experiment *e, const roster_entry *r);
/* Puts how a scaffold learns into an object, as far as it is not the default. */
void scaffold_choices_put(json_t **object, const sae_dict_config *config);

/* Raised when parts or losses are measured otherwise than before, so that what an older program left is not taken for what this one
 * would find; losses alone when a loss of the same rows and edit would be another. Of dictionaries TRAINING_REVISION
 * (sae/train.h) says so. */
enum { PARTS_REVISION = 14, LOSSES_REVISION = 6 };
/* The results of part `name`: read when OUT/parts/NAME.json is of this identity (stolen), else made by `run`, which puts them in
 * with experiment_result, and written. */
typedef sae_status (*part_fn)(experiment *e, sae_error *err);
sae_status part_run(experiment *e, const char *name, json_t *identity, part_fn run, sae_error *err);
/* cost.c: a line of the run's cost: OUT/cost.json adds up all calls, stopped ones too. kept: nothing of it was done in this call; seconds then
 * counts where cost.json has none. */
sae_status experiment_spent(experiment *e, const char *what, double seconds, bool kept, sae_error *err);
json_t *cost_json(const experiment *e); /* for run.json; NULL: no memory */
sae_status cost_result(const experiment *e, sae_result **out,
                       sae_error *err); /* a table for the page alone: it is the clock's */
/* A part that is made of other parts' results, which takes no time: it is made at each call. */
sae_status part_derive(experiment *e, const char *name, part_fn run, sae_error *err);
/* A new result of the part that runs, in OUT/results/PART/FILE.json; borrowed. */
sae_status experiment_result(experiment *e, const char *file, const char *title, sae_result **result, sae_error *err);
/* The same of a result that was made elsewhere, which is taken over also when this fails; title NULL: as it is. */
sae_status experiment_adopt(experiment *e, const char *file, const char *title, sae_result *result, sae_error *err);
/* At the end: removes the results and records of parts that this run does not have, those that the program wrote. */
sae_status parts_forget(const experiment *e, sae_error *err);
const sae_result *experiment_find(const experiment *e, const char *part, const char *file); /* NULL: there is none */
/* A number of a result with its interval; false: not measured in this run. */
bool experiment_found(const experiment *e, const char *part, const char *file, const char *key, interval *out);

/* ---- Steps ------------------------------------------------------------------------------------------------------------ */

/* survey_choice.c: site, width and k that were not given by o->survey (NULL: as they are), among its dictionaries of those that were,
 * before other defaults are filled in; the site's name goes into the caller's buffer. */
sae_status survey_choose(scaffold_options *o, const sae_model *model, char site_name[64], sae_error *err);
/* A note: the options' site, width and k beside what o->survey has most dense latents at. */
sae_status survey_note(sae_result *r, const scaffold_options *o, sae_error *err);
sae_status survey_parts(experiment *e, sae_error *err);
sae_status rows_describe(experiment *e, sae_error *err); /* rows.c: e->inputs, before anything is computed */
/* rows.c: the store of training rows in OUT/acts, written or reused; their mean, covariance and eigenvalues. */
sae_status rows_prepare(experiment *e, sae_error *err);
/* rows.c: the held-out sample, when it is not there yet. */
sae_status experiment_sample(experiment *e, sae_error *err);
sae_status experiment_text(const experiment *e, sae_split which, sae_text **text, sae_error *err);

/* roster.c */
void roster_list(experiment *e); /* in the order of training: what the report begins with comes first */
sae_status roster_make(experiment *e, sae_error *err);       /* the list, and which of it is trained */
sae_status roster_make_ranks(experiment *e, sae_error *err); /* of the first baseline and `ranks` alone */
const roster_entry *roster_find(const experiment *e, sae_arch arch, roster_use use, sae_variant variant, uint64_t seed);
/* The same of the pairs that the claims are about: a baseline, or a scaffold of the first variant. */
const roster_entry *roster_pair(const experiment *e, sae_arch arch, roster_use use, uint64_t seed);
const char *arch_name(sae_arch arch); /* "batchtopk", "matryoshka" */
/* Is it one of the first seed's scaffolds of the first variant that differ in k alone? */
bool roster_is_at_k(const experiment *e, const roster_entry *r, sae_arch arch);
/* Is it one of the first seed's baselines, which differ in k alone? */
bool roster_is_baseline_at_k(const experiment *e, const roster_entry *r, sae_arch arch);
const roster_entry *roster_at_k(const experiment *e, sae_arch arch, int64_t k); /* the one of this k; NULL: none */
void roster_list_matched(experiment *e, sae_arch arch, int64_t k);              /* one more of these, at the end */
/* Is it trained, and what was saved then? One that is not is told: it is trained again. */
sae_status roster_look(const experiment *e, roster_entry *r, sae_error *err);
/* The list, and whether all of it can be trained. */
sae_status roster_check(experiment *e, sae_error *err);
sae_status roster_load(const experiment *e, const roster_entry *r, sae_dict **dict, sae_error *err);
sae_status roster_save(const experiment *e, roster_entry *r, const sae_dict *dict, sae_error *err);
/* At the end: removes what stands in OUT/dictionaries twice, once by a name that is not of the list: a rank of the sweep that became
 * that of the comparison. Others are kept, whatever the list: they took long to train. */
sae_status roster_forget(const experiment *e, sae_error *err);

/* arms.c: trains those of the roster that are not there yet, as many together as fit, on rows without `less` (NULL: as they are);
 * only those whose use is in [first, last]. */
sae_status arms_train(experiment *e, roster_use first, roster_use last, const subspace *less, sae_error *err);
/* arms.c: a part of one result "training": the curves of the first pair, and by how many per cent dense latents of the batches are fewer with
 * the scaffold at these shares of the rows ("dense_fewer.0.1"), where the log has them. */
enum { TRAINING_MOMENTS = 3 };
extern const double training_moments[TRAINING_MOMENTS];
sae_status training_report(experiment *e, sae_error *err);

/* pair.c: a baseline and its partner as the pair that is looked at, and the part that measures it: results "comparison",
 * "density", "baseline", "scaffold", "removal", "structure". Named like the partner. */
sae_status pair_open(experiment *e, const roster_entry *baseline, const roster_entry *scaffold, sae_error *err);
void pair_close(experiment *e);
sae_status pair_parts(experiment *e, sae_error *err);
/* measures.c: core measures of both arms and every loss of the pair on the same held-out tokens; results "density",
 * "baseline" and "scaffold". */
sae_status arms_measure(experiment *e, sae_error *err);
/* removal.c: the loss after taking subspaces out; a result "removal". The table {scaffold, PCA} x {uncentred, centred,
 * norm kept} goes into the comparison. */
sae_status removal_report(experiment *e, sae_error *err);
sae_status removal_side_by_side(const experiment *e, sae_result *r, sae_error *err);
/* difference.c: how much of the difference between scaffold and PCA is the mean, how much the norm; a table "difference" and words, for the
 * comparison, with those of the next two files. */
sae_status difference_report(experiment *e, sae_result *r, sae_error *err);
/* first_position.c: what scaffold, PCA and random subspaces hold of the first position's row (numbers "first_position.WHAT", a share of its
 * square, and "first_position_left.WHAT", what remains in median norms); a table "first_position" and words, for the comparison. */
sae_status first_position_report(experiment *e, sae_result *r, sae_error *err);
/* Random subspaces that hold as much of that row as the scaffold does, as many as share_draws says: options.draws, at most SHARE_DRAWS; the
 * caller frees each, also when this fails. Empty ones where the row is zero. */
enum { SHARE_DRAWS = 5 };
int share_draws(const scaffold_options *o);
sae_status equal_share_subspaces(experiment *e, subspace draws[SHARE_DRAWS], sae_error *err);
/* measures.c: options.draws random subspaces as they are removed; the caller frees each, also when this fails. */
sae_status random_subspaces(const experiment *e, subspace draws[], sae_error *err);
/* masked_rows.c: what it does to that difference to change position 0's row and the other masked ones too; a table "masked_rows" and
 * words, for the comparison; a plot, for the removal. Nothing where no row is masked. */
sae_status masked_rows_report(const experiment *e, sae_result *r, sae_error *err);
sae_status masked_rows_plot(const experiment *e, sae_result *r, sae_error *err);
/* removal.c: CE over the clean one; of the random subspaces the mean, and as its interval the range of the draws. */
sae_status removal_ratio(const experiment *e, int space, int way, interval *out, sae_error *err);
/* scaffold_topics.c: topics after the removal; a result "topics". */
sae_status scaffold_topics(experiment *e, sae_error *err);
/* A number of such a part: of a set of labels, an arm (its name by topics.h; NULL: of the set) and a measure, as "fixed", "fall",
 * "over_random"; false: not measured. */
bool scaffold_topics_number(const experiment *e, const char *part, const char *set, const char *arm,
                            const char *measure, interval *out);
/* The set of labels that makes the claims; NULL: none was measured. */
const char *scaffold_topics_set(const experiment *e, const char *part);
sae_status scaffold_topics_check(experiment *e,
                                 sae_error *err); /* whether the documents can be used, before all else */
/* showcase.c: cards of the densest latents and of the scaffold's directions; a result "cards". */
sae_status showcase_report(experiment *e, sae_error *err);
/* census.c: L0, fit, dense latents and the loss of every dictionary but the retrained; a result "census" whose
 * numbers are named NAME.l0, NAME.fvu, NAME.dense_0.1, NAME.ce_ratio, .. */
sae_status census_parts(experiment *e, sae_error *err);
/* The same of one dictionary of the roster, in it or not. */
sae_status census_of(experiment *e, const roster_entry *r, const loss_table *clean, struct census_entry *out,
                     sae_error *err);
/* matched.c: after the census and before the documents, where that is asked for: dictionaries trained where L0, L0 + r and FVU are the
 * baseline's. A result "matched" with their census numbers, and the k of each rule. */
sae_status matched_parts(experiment *e, sae_error *err);
/* The dictionary of a rule (matching.h), trained for it or found among the others; NULL: none. */
const roster_entry *matched_entry(const experiment *e, sae_arch arch, int rule);
/* A number of the part "matching" by a rule: of what was trained for it, and by how much of the baseline's that is off, where there is
 * such a one; else of what lies between others, and `off` is NaN. False: there is neither. */
bool matched_number(const experiment *e, sae_arch arch, int rule, const char *key, interval *out, double *off);
/* The same number of the baseline of that dictionary's L0: what the lower k does without a scaffold. */
bool matched_baseline(const experiment *e, sae_arch arch, int rule, const char *key, interval *out);
/* features_parts.c: classes of dense latents, redundancy and topics of each architecture, cards of the first. */
sae_status features_parts(experiment *e, sae_error *err);
/* documents.c: sparse probing and TPP of the dictionaries, on mean rows of the sets of options.labelled; of each architecture results
 * "ARCH-probing" and "ARCH-tpp". */
/* Whether they can be used, and how large they are, before all else. Of a folder's sets those that cannot be divided (numbers for labels,
 * mostly) or are there twice are passed over; RANGE when all are, or when such a one is named itself. */
sae_status documents_check(experiment *e, sae_error *err);
sae_status documents_unfit(const experiment *e, sae_result *r,
                           sae_error *err); /* a table of them, when there are any */
void documents_forget(experiment *e);       /* frees what documents_check left */
sae_status documents_parts(experiment *e, sae_error *err);
/* The k of sparse probing, or the n of TPP, that are measured, ascending; returns how many. */
enum { DOCUMENTS_SIZES = 8 };
int documents_sizes(bool of_tpp, int64_t sizes[DOCUMENTS_SIZES]);
/* matching.c: a number of the census or the documents, with its interval where it has one; NaN: not measured. */
interval experiment_interval(const experiment *e, const roster_entry *r, const char *key);
double experiment_number(const experiment *e, const roster_entry *r, const char *key);
/* matching.c: a dictionary as a point of a curve; the first seed's baselines at every k; a baseline and the scaffolds of its curve without
 * title, equal k, baselines and what was trained for a rule; curve: [MATCHING_CURVE_MAX]. */
enum { MATCHING_CURVE_MAX = KS_MAX + 1 + MATCHED_MOST };
matching_place matching_place_of(const experiment *e, const roster_entry *r);
int matching_base_curve(const experiment *e, sae_arch arch, matching_place *curve); /* how many baselines it has */
/* matching.c: a number of matching_keys at an L0 of those baselines, between two of them; NaN: beyond the k that were trained. */
double matching_baseline_number(const experiment *e, sae_arch arch, double l0, const char *key);
void matching_set_of(const experiment *e, sae_arch arch, matching_place *curve, matching_set *out);
/* matching.c: the same comparison at equal k, L0, L0 + r and FVU, from the census and the documents. */
sae_status matching_parts(experiment *e, sae_error *err);
/* stability.c: how alike the scaffolds of several seeds are. */
sae_status stability_parts(experiment *e, sae_error *err);
/* ranks_knee.c: the knee of n dictionaries that differ in rank alone, ascending from 0, into a result: number "knee" with its interval
 * over sequences, and the steps as a table. */
sae_status ranks_knee(experiment *e, const roster_entry *const *of, int n, sae_result *r, sae_error *err);
/* ranks.c: everything against the scaffold's rank, and the knee. At each rank as many random subspaces as RANK_DRAWS are removed. */
enum { RANK_DRAWS = 3 };
sae_status ranks_parts(experiment *e, sae_error *err);
sae_status ranks_choose(experiment *e,
                        sae_error *err); /* options.rank by the knee, where that is asked for; before the roster */
/* retrain.c: dense latents of baselines trained anew on rows without the span of dense latents. */
sae_status retrain_parts(experiment *e, sae_error *err);
/* figures.c: the claims as pictures; a result "figures". */
sae_status figures_report(experiment *e, sae_error *err);
/* claims.c: what was measured beside what the paper states; a result "summary" of the part "summary". */
sae_status summary_report(experiment *e, sae_error *err);

/* record.c: report.html and run.json; the settings of a run. */
json_t *options_json(const experiment *e); /* NULL: no memory */
sae_status results_write(const experiment *e, sae_error *err);
sae_status record_write(const experiment *e, sae_error *err);

/* ---- Helpers of the steps (scaffold.c) ----------------------------------------------------------------------------------- */

/* reduction.c: a table "reduction" of dense latents over the seeds. */
sae_status reduction_report(const experiment *e, sae_result *r, sae_error *err);
sae_status variants_report(const experiment *e, sae_result *r,
                           sae_error *err); /* variants.c: a table for the summary */
bool pair_is_first(const experiment *e);    /* the first variant of the first seed, of either architecture */
int64_t compared_rank(const experiment *e); /* of PCA and random subspaces beside the scaffold's */
char *experiment_path(const experiment *e, const char *name, sae_error *err); /* OUT/NAME: mem_free */

/* Edits whose losses a run has, in this order. A subspace is removed from the counted rows by four operators, one after the other, and by
 * some of them from masked rows too: that of position 0, then all. */
enum {
    OP_R2,
    OP_R3,
    OP_R5,
    OP_R6,
    OPERATORS,
    WITH_POSITION_0 = OPERATORS, /* + OP_R2 or OP_R3 */
    EVERY_ROW = WITH_POSITION_0 + 2,
    POSITION_0_R6 = EVERY_ROW + 2,
    REMOVAL_WAYS
};
enum {
    LOSS_CLEAN,
    LOSS_ZERO,
    LOSS_MEAN,
    LOSS_BASELINE, /* the baseline's reconstruction */
    LOSS_SCAFFOLD, /* the scaffold arm's whole reconstruction */
    LOSS_R4,       /* without the scaffold's part */
    LOSS_R1,
    LOSS_R2, /* the scaffold */
    LOSS_R3,
    LOSS_R5,
    LOSS_R6,
    LOSS_PCA = LOSS_R2 + REMOVAL_WAYS,      /* the top r principal components */
    LOSS_NEXT = LOSS_PCA + REMOVAL_WAYS,    /* principal components r + 1 to 2r */
    LOSS_ALL = LOSS_NEXT + REMOVAL_WAYS,    /* the top r principal components of all rows, masked ones too */
    LOSS_DENSE = LOSS_ALL + REMOVAL_WAYS,   /* the span of the decoder rows of the r densest latents of the baseline */
    LOSS_OTHER = LOSS_DENSE + REMOVAL_WAYS, /* what another seed's scaffold writes */
    LOSS_SHARE =
        LOSS_OTHER + REMOVAL_WAYS, /* random subspaces that hold as much of position 0's row: share_draws of them */
    LOSS_RANDOM = LOSS_SHARE + REMOVAL_WAYS * SHARE_DRAWS, /* random subspace i: + REMOVAL_WAYS x i */
    LOSS_DRAWS_MAX = 16,
    LOSS_MOST = LOSS_RANDOM + REMOVAL_WAYS * LOSS_DRAWS_MAX
};
/* What the loss table's rows above are called: "scaffold, position 0 too", "R2 uncentred", "scaffold_position_0.R2" (of the machine-readable
 * number). */
typedef struct loss_name {
    char what[48];
    const char *operator;
    char key[48];
} loss_name;
loss_name loss_name_of(int which);
int loss_count(const experiment *e); /* rows of the loss table */
/* Rows of the sequences that losses are of which do not count: position 0, special tokens, norms over the limit. */
int64_t loss_masked_rows(const experiment *e);
/* Densest latents and another seed's scaffold are removed for the first pair of an architecture only, the latter where there is one. Masked
 * rows are changed only where there are some, by R2 and R3 of the scaffold, PCA and every random subspace: by every pair all of them, by
 * the first seed's that of position 0 alone as well, by R6 too. PCA of all rows is removed for the first pair of an architecture, by R2 and
 * R3; so are random subspaces that hold as much of position 0's row, where that is among the changed ones. */
bool loss_measured(const experiment *e, int which);
/* The random subspaces by a way of removing, and those of LOSS_SHARE; 0 where none were removed so. */
loss_draws losses_of_random(const experiment *e, int way);
loss_draws losses_of_share(const experiment *e, int way);
loss_view experiment_losses(const experiment *e);

#endif
