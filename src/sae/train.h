/*
 * train.h - the inside of a trainer: what one dictionary keeps between steps, what all share within one.
 *
 * Letters: B batch rows, d d_in, F d_sae, r rank, G groups (Matryoshka; else 1), K = k B kept pairs.
 * A step of one dictionary goes through its family's forward and backward (family.c). Of BatchTopK and Matryoshka, in the order of the files:
 *   encode.c    u = x - b_dec (- s); candidates above a running cutoff, and the dead latents' own, tile by tile
 *   exact.c     candidates' values in one fixed order of summation, and the 8-bit screen that may stand in for the product
 *   best.c      the largest of each row (TopK, AuxK)
 *   select.c    the K largest of the candidates, as lists by row and by latent
 *   forward.c   e = x^ - x row by row, the losses, and dL/dx^ per group
 *   auxk.c      AuxK: the residual rebuilt from dead latents, and its dL/dx^
 *   backward.c  gradients latent by latent (W_enc, W_dec, b_enc), then the scaffold and b_dec
 *   update.c    clipping, Adam, unit rows
 * Everything is laid out when the trainer is created (layout.c); a step allocates nothing.
 */
#ifndef SAE_TRAIN_H
#define SAE_TRAIN_H

#include "kernels/encoder.h"
#include "kernels/sae_ops.h"
#include "kernels/screen.h"

#include <string.h>

/* Raised whenever the same settings and rows give other weights than before, in any bit: a dictionary that is kept in a run's folder, or a
 * survey's count of one, is taken for the present program's only while its record has this number (one without it is older). */
enum { TRAINING_REVISION = 3 };

/* A parameter with its gradient and Adam moments: [rows, columns]. */
typedef struct param {
    const char *name;
    int64_t rows, columns;
    float *w, *g, *m, *v;
} param;

/* Absent ones have no rows. The gated family's b_enc is its b_gate; threshold: one per latent, jumprelu only. */
enum {
    P_W_ENC,
    P_B_ENC,
    P_W_DEC,
    P_B_DEC,
    P_W_DOWN,
    P_W_UP,
    P_THRESHOLD,
    P_B_MAG,
    P_R_MAG,
    P_W_SKIP,
    P_B_DOWN,
    N_PARAMS
};

typedef struct family family;

/* What one dictionary keeps between steps. */
typedef struct learner {
    sae_dict_config config;
    const family *family;
    int64_t d_out;                     /* config.d_out, or d_in of an autoencoder */
    int n_groups;                      /* >= 1 */
    int64_t group_end[SAE_MAX_GROUPS]; /* prefixes */
    param p[N_PARAMS];
    int64_t *since_fired;  /* [F] rows since the latent last fired */
    int64_t died, revived; /* so far */
    double threshold;      /* -1: never set */
    double input_scale;    /* rows are divided by it; 0: not measured yet */
    double target_scale;   /* the same of the targets; an autoencoder's is its input_scale */
    double first_variance; /* of the first batch's targets, where the loss is over it; 0: not measured yet */
    int64_t k;             /* of this step */
    float cutoff;          /* smallest kept activation of the last step; < 0: none yet */
    float aux_cutoff;      /* what every row's AuxK activations will likely be above; 0: not known */
    double coefficient;    /* jumprelu's lambda; 0: not set yet */
    int64_t last_pairs;    /* penalised families: pairs above their limits in the last step; -1: none yet */
    uint32_t weights_read; /* bit p: parameter p is from a file (was_read) */
} learner;

/* Positive floats order like their bits; the upper 16 hold the exponent and 7 bits of the fraction. */
static inline uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

typedef struct candidate {
    float value;
    int32_t row, latent;
} candidate;

/* (row, latent, value) triples, by row and by latent. */
typedef struct pair_lists {
    int n_threads;         /* that make the lists by latent */
    int64_t *row_start;    /* [B + 1] */
    int32_t *latent;       /* [capacity] */
    float *value;          /* [capacity] */
    float *d_value;        /* [capacity] dL/d(pre-activation); P2 only, else NULL */
    int64_t *latent_start; /* [F + 1]; the rest is ordered by latent, rows ascending within one */
    int32_t *row;          /* [capacity] */
    float *weight;         /* [capacity] the values again */
    float *slope;          /* [capacity] dL/d(pre-activation) */
    int32_t *position;     /* [capacity] where each stands by row; P2 only, else NULL */
} pair_lists;

/* The largest activations of a row so far. */
typedef struct best_row {
    int32_t n;
    bool dropped; /* something was compacted away */
    float cutoff; /* what is not above it cannot be among the best */
} best_row;

/* Of every row, as keys (ordered value bits << 32 | ~latent): best.c. */
typedef struct best_rows {
    int64_t keep, room;
    best_row *rows; /* [B] */
    uint64_t *keys; /* [B, room] */
} best_rows;

/* Where a thread writes its candidates: a stretch of the common array, on a cache line of its own. */
typedef struct stretch {
    int64_t next, end;
    char pad[48];
} stretch;

/* What the codes f of one latent over a batch amount to (penalised families). */
typedef struct latent_codes {
    int64_t active; /* f != 0 */
    double l0;      /* what the L0 of the penalty counts */
    double sum;     /* of what an L1 penalty counts */
} latent_codes;

/* Gradients of one latent beside dW_enc = slope^T u and dW_dec = f^T grad. */
typedef struct latent_pull {
    double slopes; /* sum of dL/d(W_enc[j] . u) */
    double along;  /* of W_dec[j] itself, from the norm in the penalty */
} latent_pull;

/* Rows or latents are summed in this many blocks, and the blocks in order: the same bytes whatever the threads do. */
enum { N_BLOCKS = 128, HISTOGRAM_BINS = 1 << 16 };

/* What a step uses and forgets; shared by all dictionaries. Two pairs share a place, because what is in the first has been used up when
 * the second is filled: tile and panel; the keys of best_dead, and the lists by latent of aux (row, weight, slope, d_value, position). */
typedef struct scratch {
    int n_threads;
    float *x;        /* [B, d] rows / input_scale */
    float *y;        /* [B, d_out] targets / target_scale; NULL without a transcoder */
    float *u;        /* [B, d] what the encoder sees */
    float *c;        /* [B, d] x - b_dec, x of a transcoder; u when no dictionary is P2 or P3 */
    float *h, *d_h;  /* [B, r] scaffold codes and their gradient */
    float *grad;     /* [G, B, d_out] dL/dx^ for the latents of each group */
    float *aux_grad; /* [B, d_out] the same for AuxK; then, for P2 and P3, the gradient that reaches s */
    int64_t tile_rows, tile_latents;
    float *tile;         /* [tile_rows, tile_latents] */
    int32_t *hit_latent; /* [n_threads, tile_latents + 16] */
    float *hit_value;    /* [n_threads, tile_latents + 16] */
    uint32_t *histogram; /* [n_threads, HISTOGRAM_BINS] */
    stretch *stretches;  /* [n_threads] */
    candidate *candidates;
    int64_t n_candidates, candidate_capacity;
    bool exact;                             /* candidates' values are exact.c's */
    bool margins_are_set, screen_is_loaded; /* of the rows and weights of this encoding */
    float *row_margin; /* [B] by how much a value of the product may lie below the exact one; NULL: not exact */
    screen_survivors *survivors; /* [n_threads]; NULL without a screen */
    int64_t n_survivors;         /* of the last step; 0 when it did not screen */
    int64_t n_aux_few;           /* latents that count as dead, when they are few and values exact; else 0 */
    int32_t *few_latent;         /* [aux_few_room of F] */
    float *few_W, *few_bias;     /* [aux_few_room of F, d], [aux_few_room of F] */
    int64_t *counter;            /* [max(B, n_threads x F)] */
    pair_lists kept, aux;
    bool aux_used;         /* some latents are dead: the lists of aux hold */
    int64_t aux_k;         /* of a row */
    best_rows top;         /* TopK's */
    best_rows best_dead;   /* AuxK's */
    float *norm;           /* [F] of W_dec's rows, by which activations are ranked (norms_of); NULL: none are */
    uint64_t *row_keys;    /* [B] for drawing rows; NULL without resampling */
    float *aux_bias;       /* [F] b_enc of latents that count as dead, -inf of the others */
    float *panel;          /* [max(B, F), PANEL] */
    double *partial;       /* [N_BLOCKS, d + 1] */
    float *d_c;            /* [N_BLOCKS, d] sums of dL/d(pre-activation) x W_enc */
    double *squares;       /* [N_BLOCKS] of the gradients of a block of latents */
    double *column;        /* [d] */
    double *row_loss;      /* [B, G] squared error of each prefix */
    double scaffold_norm;  /* of the gradients of the scaffold; P3 clips them by it */
    double loss_scale;     /* of this step's rows (loss_scale) */
    double grad_per_error; /* the last group's gradient row over its error x^ - x */
    /* Penalised families only (penalised.h): */
    float *limit;           /* [F] */
    latent_codes *codes_of; /* [F] */
    latent_pull *pull_of;   /* [F] */
    int64_t *fired;         /* [F + 1] running sum of the active codes */
    float *pre;             /* [candidate_capacity] by latent: pre-activations */
    float *gate_value;      /* [candidate_capacity] by row: relu of the gates' */
    float *gate_slope;      /* [candidate_capacity] by latent: W_dec . gate_grad */
    float *gate_grad;       /* [B, d] of the gates' reconstruction */
    float *dense[4];        /* [dense_latents, B] */
    int64_t dense_latents;
    bool dense_step;      /* the step goes the dense way */
    double penalty_slope; /* of the penalty, per unit of what it sums */
    double l0;            /* that the penalty saw */
} scratch;

struct sae_trainer {
    sae_train_options options;
    int64_t step; /* steps done */
    int n_dicts;
    learner *learners;
    encoder **encoders; /* [n_dicts]; dictionaries of equal width share one */
    scratch s;
    const sae_ops *ops;
    const screen_ops *dots; /* fixed_dot */
    void *memory[4];        /* weights, gradients, moments, scratch */
    bool finished;          /* only the weights are left */
    int failed;             /* the dictionary at which the last step failed; -1: at none */
    bool broken;            /* a step or a resume stopped half-way: no state to go on from, or to keep */
    char notice[1000];      /* of the last resume */
    json_t *place; /* in the rows, as whoever gives them has it (NULL: nobody said); owned: a checkpoint keeps it */
};

/* What a step finds out. */
typedef struct step_sums {
    double l2_loss, aux_loss, sparsity_loss; /* sparsity_loss with its coefficient, aux_loss without */
    double residual, variance;               /* sums over rows and columns: |e|^2 and |x - mean x|^2 */
    double smallest;                         /* kept activation; 0: none was kept */
    int64_t n_kept, dead, dense;
} step_sums;

/* The largest of what the dictionaries need. */
typedef struct extent {
    int64_t d, d_out, F, r, G, top_k, aux_k; /* top_k: of topk, a row */
    int64_t pairs;                           /* that the lists of a step must hold, of the other families */
    bool residual;                           /* some encoder sees c - s: P2 or P3 */
    bool transcoder;                         /* some dictionary reads targets */
    bool uncentred;                          /* some encoder does not subtract b_dec */
    bool penalised, keeps_k;                 /* some family is penalised; some is not */
    int64_t tile_rows, tile_latents;         /* of any encoder at most */
} extent;

typedef struct penalty_rule penalty_rule;

/* An architecture. Hooks that are NULL have nothing to do. */
struct family {
    sae_arch arch;
    const char *name;
    /* What it asks of configuration i and of the options. */
    sae_status (*check)(const sae_dict_config *config, const sae_train_options *options, sae_error *err);
    /* Memory of its own: scratch from `scratch`, shared with other dictionaries of the family where it takes it once. */
    void (*layout)(sae_trainer *t, learner *l, const extent *e, arena *scratch);
    /* From x (and targets) to the losses in *sums, the lists of active pairs and dL/dx^; counts what fired. */
    sae_status (*forward)(sae_trainer *t, learner *l, encoder *e, step_sums *sums, sae_error *err);
    /* Every gradient of the dictionary; returns their norm. */
    double (*backward)(sae_trainer *t, learner *l, encoder *e);
    const penalty_rule *rule; /* penalised families only */
    /* k a row on average are kept of a whole batch (so it can be screened), and one threshold is exported for all latents;
     * others keep k of each row, have thresholds as a parameter, or none. */
    bool one_threshold;
};
const family *family_of(sae_arch arch); /* NULL: cannot be trained */
bool keeps_k(sae_arch arch); /* latents of a row or, on average, of a batch's rows: no penalty decides how many */

/* topk.c */
sae_status topk_forward(sae_trainer *t, learner *l, encoder *e, step_sums *sums, sae_error *err);

/* batchtopk.c */
void update_threshold(sae_trainer *t, learner *l, const step_sums *sums); /* by the smallest kept activation */
sae_status batchtopk_forward(sae_trainer *t, learner *l, encoder *e, step_sums *sums, sae_error *err);
double batchtopk_backward(sae_trainer *t, learner *l, encoder *e);

/* penalised.c */
sae_status penalised_check(const sae_dict_config *config, const sae_train_options *options, sae_error *err);
int64_t penalised_most_pairs(const sae_dict_config *config, const sae_train_options *options);
void penalised_layout(sae_trainer *t, learner *l, const extent *e, arena *scratch);
sae_status penalised_forward(sae_trainer *t, learner *l, encoder *e, step_sums *sums, sae_error *err);
double penalised_backward(sae_trainer *t, learner *l, encoder *e);
extern const penalty_rule standard_rule, jumprelu_rule, gated_rule;

/* encode.c: u, c and h from x. */
void centre_rows(sae_trainer *t, const learner *l);
/* The same; then the candidates are all pre-activations above the latents' limits. When there are more than candidate_capacity,
 * n_candidates says so and the list is of no use. */
sae_status encode_above(sae_trainer *t, learner *l, encoder *e, sae_error *err);
/* The same; then the candidates hold the K largest positive activations (all positive ones when
 * there are fewer) and, with_aux, the AuxK rows hold the best of the latents that aux_bias lets through. */
sae_status encode_rows(sae_trainer *t, learner *l, encoder *e, bool with_aux, sae_error *err);
/* Fills the AuxK rows anew, for another aux_bias. */
sae_status encode_aux_again(sae_trainer *t, const learner *l, encoder *e, sae_error *err);

/* The same, but the k largest positive of each row in `top`, in place of candidates. */
sae_status encode_top_rows(sae_trainer *t, learner *l, encoder *e, bool with_aux, sae_error *err);
/* Lists by row hold what was ranked; takes the norms out, where they counted. */
void unscale_values(const sae_trainer *t, const learner *l, pair_lists *lists);
/* By which l's activations are ranked; NULL: by themselves, as always in a family that keeps no k. */
const float *norms_of(const sae_trainer *t, const learner *l);

/* best.c */
int64_t best_room(int64_t keep); /* keys of a row that compact to `keep` now and then */
/* What is above the cutoff shall count, and the best `keep` be there in the end. A cutoff that is only guessed counts as if
 * something had been dropped. */
void best_empty(best_rows *r, int64_t n_rows, int64_t keep, float cutoff, bool guessed);
void best_put(best_rows *r, int64_t row, const int32_t *latent, const float *value, int64_t n);
/* The k largest of each row as lists by row, without those that fired (a stretch of fired [F + 1] each; NULL: with all).
 * False: a row would have had more if it had kept more. */
bool best_list(best_rows *r, int64_t n_rows, int64_t k, const int64_t *fired, pair_lists *out);
void put_candidate(scratch *s, stretch *mine, candidate c);

/* exact.c: candidates' values in one fixed order of summation. */
void set_margins(sae_trainer *t, const learner *l); /* before the first tile of a step, after u is there */
float largest_margin(const sae_trainer *t);         /* of all rows; 0: not exact */
/* Of n latents found for a row, keeps those whose exact value is above the cutoff, with it; returns how many. */
int64_t exact_values(const sae_trainer *t, const learner *l, int64_t row, float cutoff, int32_t *latent, float *value,
                     int64_t n);
/* Adds every pair above the cutoff; the screen is loaded. */
void screened_candidates(sae_trainer *t, const learner *l, const screen *sieve, float cutoff);

/* Moves the `keep` largest of n distinct keys to the front (quickselect); the order within is left as it falls. */
void largest_keys_first(uint64_t *keys, int64_t n, int64_t keep);

/* select.c: the K largest candidates as lists by row and by latent; ties at the edge go to lower rows, then latents. */
void select_kept(sae_trainer *t, learner *l, step_sums *sums);
/* Fills the lists by latent from the lists by row. counter [n_threads, n_latents]. */
void lists_by_latent(pair_lists *lists, int64_t n_rows, int64_t n_latents, int64_t *counter);

/* forward.c */
/* row [d] += value x W[latent] over the pairs [begin, end) of lists by row; W [F, d]. */
void add_pairs(const sae_ops *ops, float *row, const pair_lists *lists, const float *value, int64_t begin, int64_t end,
               const float *W, int64_t d);
const float *targets_of(const sae_trainer *t, const learner *l); /* [B, d_out] what it reconstructs, scaled */
void forward_rows(sae_trainer *t, learner *l, step_sums *sums);
/* Its second part, after begin_errors and whatever else belongs to the reconstruction: adds what the lists hold; grad becomes dL/dx^. */
void finish_errors(sae_trainer *t, learner *l, step_sums *sums);
/* What the mean over rows of |e|^2 is multiplied by, by the rule of the loss: 1, or over a variance. Measures sums->variance; the first
 * batch's is kept, whether or not the dictionary learns yet. */
double loss_scale(sae_trainer *t, learner *l, step_sums *sums);
/* out [d] = scale x the sums of the columns of rows [n, d]; partial [N_BLOCKS, d]. */
void column_sums(const float *rows, int64_t n, int64_t d, double scale, double *partial, double *out);

/* Before the latents are added: the errors of group 0 begin as b_dec + x W_skip^T + s - y. With `late` s is not in them but stands
 * in the last group's block. */
void begin_errors(sae_trainer *t, const learner *l, bool late);
/* sum |y - mean y|^2 over the batch; 0 when it is no more than the rounding of the sums. */
double target_variance(sae_trainer *t, const learner *l);

/* scaffold.c */
bool sees_residual(const learner *l);                               /* the encoder's input is c - s: P2 and P3 */
bool learns_scaffold_alone(const sae_trainer *t, const learner *l); /* a step in which the dictionary waits */
bool scaffold_moves(const sae_trainer *t, const learner *l);        /* this step changes W_down and W_up */
/* h [B, r] of the rows in x and c: what the scaffold sees of them by its centre. */
void scaffold_codes(sae_trainer *t, const learner *l);
/* Gradients of W_up, W_down and b_down, and d_h, as backward needs them: in a frozen scaffold they are 0. */
void scaffold_backward(sae_trainer *t, learner *l);
/* W_down = W_up^T, or the rows of W_up orthonormal again (in float32 [d_out columns]), where the configuration ties them. */
void scaffold_tie(learner *l);
void orthonormal_rows(float *W, int64_t rows, int64_t columns);
/* b_down as if the scaffold were centred by b_dec as it is now. */
void scaffold_start_bias(learner *l);
bool scaffold_sees_centred(const learner *l); /* x - b_dec, else x */
/* A step of the scaffold alone: losses and its gradients; returns their norm. */
double scaffold_step(sae_trainer *t, learner *l, step_sums *sums);
/* W_down and W_up from the principal directions of x (the first batch). Allocates. */
sae_status scaffold_start_pca(sae_trainer *t, learner *l, sae_error *err);
size_t scaffold_pca_bytes(int64_t d); /* that it takes and gives back */

/* auxk.c: which latents may be dead once this batch is counted (before encoding; 0: skip AuxK) ... */
int64_t auxk_mark(sae_trainer *t, const learner *l);
/* ... and the AuxK term of those that are (after forward_rows): counts them, loss, lists, aux_grad. */
sae_status auxk_rows(sae_trainer *t, learner *l, encoder *e, bool with_aux, step_sums *sums, sae_error *err);

/* panels.c: out[i] = (add ? out[i] : 0) + sum of coefficient[p] x from[index[p]] over p in [start[i], start[i + 1]), for all i in
 * [first, end) with entries; rows of d. `from` has n_from rows, of which only those with used[row + 1] > used[row] are read (NULL:
 * all). Rows i with entries in `earlier` are added to as well (NULL: none). With `dots` also dots[p] = w[i] . from[index[p]] for the p of these i. */
typedef struct sparse_rows {
    int64_t first, end, n_from;
    const int64_t *start, *used, *earlier;
    const int32_t *index;
    const float *coefficient;
    const float *w; /* [end, d] */
    float *dots;    /* NULL: not wanted */
} sparse_rows;
void sparse_times_dense(sae_trainer *t, const sparse_rows *s, const float *from, int64_t d, bool add, float *out);
/* From so many pairs per latent on, panels pay. d 512 to 2304, 4,096 rows, AVX2, ms by rows / by panels: 16 pairs 55 / 29,
 * 25 pairs 260 / 115, 2 pairs 30 / 41 (docs/performance.md). */
enum { PANEL_PAIRS = 6 };

/* backward.c: every gradient of the dictionary, W_dec's without its part along the rows. Returns their norm. Rows of
 * W_enc and W_dec that latent_is_active denies have no gradient and are left as they were. */
double backward(sae_trainer *t, learner *l);
/* Takes the part of g along the row w out, where the options hold rows of W_dec at unit norm. */
void remove_parallel(const sae_trainer *t, float *g, const float *w, int64_t d);
/* Row j of W_dec to norm 1, where the options say so between the backward pass and the projection. */
void unit_rows_before(const sae_trainer *t, learner *l, int64_t j);
/* The scaffold's and b_dec's gradients, once those of all latents (and s->d_c, s->squares) are there; returns the norm of all. */
double finish_backward(sae_trainer *t, learner *l);
bool latent_is_active(const scratch *s, int64_t latent);
/* update.c: clipping, Adam, unit rows. */
void unit_rows(const sae_ops *ops, float *w, int64_t row, int64_t columns,
               double eps); /* a row of w over its norm + eps */
void update(sae_trainer *t, learner *l, double grad_norm, double lr);
double dictionary_rate(const sae_trainer *t, const learner *l); /* learning rate of this step, not of the scaffold */

bool was_read(const learner *l, int p); /* by sae_trainer_read_weights */
/* step.c: STATE when it is finished or broken. */
sae_status trainer_goes_on(const sae_trainer *t, sae_error *err);
/* start.c: what is taken from the first batch (in x and y). */
sae_status learner_start(sae_trainer *t, learner *l, sae_error *err);
/* step.c: dead, dense (and the learner's died, revived) from how often each latent fired: fired[j + 1] - fired[j], [F + 1]. */
void count_fired(const sae_trainer *t, learner *l, const int64_t *fired, step_sums *sums);

/* trainer.c: a learner without memory. */
void learner_init(learner *l, const sae_dict_config *config, const sae_train_options *o);
/* check.c */
/* What the products take: a finite float32 above 0, or that or 0 itself. A double may be too small or too large for it. */
bool is_float_above_0(double x);
bool is_float_from_0(double x);
/* Rows can be divided by it, and what is learned of them be multiplied by it again. */
bool is_input_scale(double x);
/* Puts the name of dictionary i (its number, where it has none) before a message about one of several. */
void dict_name_error(const sae_dict_config *c, int i, int n_dicts, sae_error *err);
sae_status trainer_check(const sae_dict_config *configs, int n_dicts, const sae_train_options *options, sae_error *err);
/* layout.c: hands out (or, from empty arenas, counts) weights, gradients, moments, scratch. */
void describe_params(learner *l);
void trainer_layout(sae_trainer *t, arena arenas[4]);
/* How many dead latents are few in a dictionary of that width: whose activations have a product of their own. Not by the widest
 * dictionary beside it: the two products round differently. */
int64_t aux_few_room(const scratch *s, int64_t d_sae);
/* Of the encoder product of dictionary i, which it shares with those of the same width. */
encoder_shape encoder_shape_of(const sae_trainer *t, int i);
sae_status trainer_take_memory(sae_trainer *t, sae_error *err);
/* checkpoint.c: what stands in checkpoints/, or was left there by a killed run; and what stands in such a folder. */
bool checkpoint_is_name(const char *name);
bool checkpoint_is_file(const char *name);
/* sae_trainer_resume; with `fewer` the checkpoint may hold more dictionaries than the trainer, which are left out. */
sae_status trainer_resume(sae_trainer *t, const char *run_dir, bool fewer, int64_t *rows_given, sae_error *err);
/* finite.c: whether all weights are; else the first dictionary and the parameter that are not. */
bool trainer_is_finite(const sae_trainer *t, int *dict, const char **parameter);
/* resample.c */
bool resampling_is_due(const sae_train_options *o, int64_t step);
void resample(sae_trainer *t, learner *l); /* after the update */
/* update.c: steps that the dictionary has learned, negative while it waits for its scaffold; by them its warm-ups and its k go */
int64_t age_of(const sae_trainer *t, const learner *l);
/* the weights that schedule-free training has averaged, all entries of a parameter; and whether it has any of it: not in Adam's
 * runs, nor of a dictionary that waits for its scaffold. */
bool is_averaged(const sae_trainer *t, const learner *l, int p);
void averaged_weights(const sae_train_options *o, const param *p, float *out);
/* recipe.c */
double learning_rate(const sae_train_options *o, int64_t step);
int64_t largest_k(const sae_train_options *o, const sae_dict_config *c); /* of all steps */
int64_t annealed_k(const sae_train_options *o, const sae_dict_config *c, int64_t step);
double sparsity_factor(const sae_train_options *o, int64_t step); /* of a penalty's weight, in [0, 1] */

#endif
