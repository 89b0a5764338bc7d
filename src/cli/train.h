/*
 * train.h - what the commands that train share: their options and what comes of them. One concept a file:
 *   train_input.c   the rows, and the record of what they come from
 *   train_dicts.c   the dictionaries
 *   train_recipe.c  the constants of the recipe
 *   train_effects.c options that would do nothing
 *   train_folder.c  the run's folder and its run.json
 *   train_export.c  the trained dictionaries
 *   train_plan.c    what a run will take
 *   train_watch.c   what is seen while it goes on, and what is said at its end
 * A command's table is made of the OPTION_..._ROWS below, so an option is written once and means the same in each.
 */
#ifndef SAE_CLI_TRAIN_H
#define SAE_CLI_TRAIN_H

#include "cli/cli.h"
#include "eval/training.h"
#include "sae/recipe_fields.h"

/* ---- The rows (train_input.c) --------------------------------------------------------------------------------------------- */

/* clang-format off */
#define OPTION_INPUT_ROWS                                                                                                                 \
    OPTION_MODEL_ROW, OPTION_TEXT_ROW(NULL), OPTION_SITE_ROW(NULL), OPTION_STORE_ROW, OPTION_ARRAY_ROW,                                   \
    {"target-site", OPTION_TEXT, "SITE", "with --model: train a transcoder, which reads --site and writes this one", NULL},               \
    {"target-store", OPTION_TEXT, "FOLDER", "with --store: train a transcoder to the rows of this store, of the same tokens", NULL},      \
    {"target-array", OPTION_TEXT, "FILE", "with --array: train a transcoder to the rows of this array", NULL},                            \
    {"order", OPTION_TEXT, "FILE",                                                                                                        \
     "with --array: which rows each step takes, [steps, batch] integers in .npy or .safetensors[:name]", NULL},                           \
    OPTION_CTX_ROW("256"), OPTION_SEPARATOR_ROW, OPTION_MAX_NORM_ROW,                                                                     \
    {"buffer", OPTION_COUNT, "N", "rows in the shuffle buffer of a live run", "262144"}
/* clang-format on */

/* Where a run's rows come from. Owned. */
typedef struct train_input {
    char *model_path;
    sae_model *model;
    sae_tokenizer *tok;
    sae_text *text;
    sae_acts *acts;  /* NULL with an order */
    row_order order; /* .pool is NULL without one */
    sae_site site;
    sae_site target_site;
    char site_name[128], model_name[256]; /* as the dictionaries shall note them; may be empty */
    char target_name[128];
    int64_t d_in, d_target; /* a row has d_in + d_target columns; d_target 0: no transcoder */
    uint64_t seed;          /* of the rows' order */
    int of_pipe; /* 1 + number of the text that came through a pipe when the run was begun, though it may be a file now; 0: none did */
    sae_progress progress; /* of training, from when it begins to its end; a live stream asks it too */
} train_input;

/* Opens what --model, --store or --array name; `seed` is of their order. `out` starts zeroed; caller closes it, on failure
 * too. */
sae_status train_input_open(train_input *out, args *a, uint64_t seed, sae_error *err);
void train_input_close(train_input *in);
/* Whether some of its text comes through standard input: it can be read once, and nobody knows it before. */
bool train_text_is_piped(args *a);
/* Of how many rows such a text must be. */
void train_tell_pipe(const train_input *in, args *a, int64_t to_train, int64_t to_measure);
/* How a run goes on whose text from a pipe has ended too early; of others nothing. extra: as args_advise_again has it. */
void train_advise_file(const train_input *in, args *a, const char *extra);
/* Hashes and settings of all that the rows are computed from; a run is continued only with the same. Caller json_decref's. */
sae_status train_input_json(const train_input *in, args *a, json_t **out, sae_error *err);

/* ---- The dictionaries (train_dicts.c) ------------------------------------------------------------------------------------- */

/* clang-format off */
/* How a scaffold begins and learns; scaffold_choices reads them. The rate that it has when none is given: in words, as a default. */
#define OPTION_SCAFFOLD_ROWS(rate_words, rate)                                                                                            \
    {"scaffold-start", OPTION_TEXT, "HOW",                                                                                                \
     "zero (once called random): W_up = 0, W_down random; pca: principal directions of the first batch; random-both: W_up too", "zero"},  \
    {"scaffold-centre", OPTION_TEXT, "WHAT", "its codes are of x - b_dec (b_dec), of x (none), or of x with a bias of their own (own)", "b_dec"}, \
    {"scaffold-tie", OPTION_TEXT, "HOW", "none; transpose: W_down = W_up^T; orthonormal: the rows of W_up are", "none"},                  \
    {"scaffold-lr", OPTION_REAL, "X", "learning rate of the scaffold, times the common one" rate_words, rate},                            \
    {"scaffold-steps", OPTION_COUNT, "N", "first steps in which the scaffold learns alone", "0"},                                         \
    {"scaffold-freeze", OPTION_FLAG, NULL, "leave the scaffold as it is after its start and those steps", NULL},                          \
    {"scaffold-last", OPTION_FLAG, NULL, "Matryoshka: the scaffold joins the last prefix only (M2)", NULL}

#define OPTION_DICT_ROWS                                                                                                                  \
    {"arch", OPTION_LIST, "NAME[,NAME]", "batchtopk, matryoshka, topk, jumprelu, standard or gated", "batchtopk"},                        \
    {"width", OPTION_LIST, "N[,N]", "latents in the dictionary (d_sae); several values train several at once", "16384"},                  \
    {"k", OPTION_LIST, "N[,N]", "latents kept per row, on average over a batch (L0); of jumprelu the L0 that it aims at", "64"},        \
    {"l1-coefficient", OPTION_LIST, "X[,X]", "weight of the sparsity penalty of standard, gated and jumprelu (default: 0.1, 0.1, 1; of --recipe saelens 1)", NULL}, \
    {"rank", OPTION_LIST, "R[,R]", "rank of the dense scaffold; 0: none", "0"},                                                           \
    {"variant", OPTION_LIST, "NAME[,NAME]",                                                                                               \
     "p1: the encoder sees x - b_dec; p2: it sees what the scaffold left; p3: that, and the scaffold learns by itself", "p1"},            \
    OPTION_SCAFFOLD_ROWS("", "1"),                                                                                                        \
    {"skip", OPTION_FLAG, NULL, "a transcoder gets a linear path from its input to its output", NULL},                                    \
    {"groups", OPTION_LIST, "X,X,...",                                                                                                    \
     "Matryoshka: shares of the width, summing to 1, or where the prefixes end: 512,1536,... (default: 1/32, 1/16, 1/8, 1/4, the rest)", NULL}
/* clang-format on */

typedef struct train_dicts {
    int n;
    sae_dict_config *configs; /* [n] */
    const char **names;       /* [n] */
    char (*name_space)[64];   /* what names point into */
} train_dicts;

enum { MOST_DICTS = 4096 };

/* Every combination of the values given, of --seed too. `out` starts zeroed; caller frees it, on failure too. */
sae_status train_dicts_make(train_dicts *out, args *a, const train_input *in, sae_error *err);
void train_dicts_free(train_dicts *dicts);
/* What OPTION_SCAFFOLD_ROWS say, in the scaffold_ members of *c. */
sae_status scaffold_choices(sae_dict_config *c, args *a, sae_error *err);
const char *train_arch_name(sae_arch arch);
/* The fewest digits that are this number and no other. */
void shortest_number(char *out, size_t size, double x);
json_t *train_dict_json(const sae_dict_config *c, const char *name);
/* The same back, from the file `path`; FORMAT where something is missing or none. */
sae_status train_dict_read(sae_dict_config *out, const json_t *dict, const char *path, sae_error *err);

/* ---- The recipe (train_recipe.c) ------------------------------------------------------------------------------------------ */

#define OPTION_OF_FIELD_COUNT                                 OPTION_COUNT
#define OPTION_OF_FIELD_REAL                                  OPTION_REAL
#define OPTION_OF_FIELD_CHOICE                                OPTION_TEXT
#define OPTION_FIELD_ROW(field, type, option, argument, help) {option, OPTION_OF_FIELD_##type, argument, help, NULL},
/* clang-format off */
#define OPTION_RECIPE_ROWS                                                                                                                \
    {"recipe", OPTION_TEXT, "NAME",                                                                                                       \
     "saebench (constants scaled to the run), or the literal ones of saelens, dictionary_learning, openai, sparsify", "saebench"},                                     \
    {"batch", OPTION_COUNT, "N", "rows per training step (default: the recipe's, 2048; saelens 4096, sparsify 65536, openai 131072)", NULL}, \
    {"steps", OPTION_COUNT, "N", "training steps (default: --rows / --batch)", NULL},                                                     \
    {"rows", OPTION_COUNT, "N", "training rows in all", "1M"},                                                                            \
    RECIPE_FIELDS(OPTION_FIELD_ROW)                                                                                                       \
    {"scale-input", OPTION_TEXT, "HOW", "unit: so that E|x|^2 = 1 while training; none; or a number to divide by", NULL},                 \
    {"encoder-dtype", OPTION_TEXT, "TYPE", "of the encoder product: f32, or bf16 (needs AVX-512-BF16); dense steps of penalised families stay f32", "f32"}, \
    {"screen", OPTION_FLAG, NULL, "find what is kept by an 8-bit product with a proven bound and compute only that: the default for batchtopk and matryoshka where the processor has AVX2", NULL}, \
    {"no-screen", OPTION_FLAG, NULL, "keep what the f32 product of all latents computed, rounded as it comes", NULL},                                          \
    {"exact-codes", OPTION_FLAG, NULL, "with --no-screen: compute what is kept once more, in one fixed order of summation: the bytes of the default", NULL}
/* clang-format on */

/* Which one --recipe names. */
sae_status train_recipe_name(args *a, sae_recipe_name *out, sae_error *err);
/* Rows of a step: --batch, or the recipe's. */
sae_status train_batch(args *a, int64_t *batch, sae_error *err);
/* The recipe that --recipe names, for one dictionary, with every constant that the user gave in its place. */
sae_status train_recipe_of(sae_train_options *out, args *a, const train_input *in, const sae_dict_config *dict,
                           sae_error *err);
enum { RECIPE_KEY_ROOM = 64 };
/* The first constant that a recipe, as recipe_json wrote it, has another value of, or that one of the two lacks; "": none. */
sae_status train_recipe_differs(const sae_train_options *ours, const json_t *theirs, char name[RECIPE_KEY_ROOM],
                                sae_error *err);
/* The one recipe that all dictionaries share; a usage error when they do not. */
sae_status train_recipe_make(sae_train_options *out, args *a, const train_input *in, const train_dicts *dicts,
                             sae_error *err);

/* Warnings of what a run is too short for: a named recipe's constants are of long ones. */
void train_recipe_warn(args *a, const sae_train_options *r);
/* ... one of a jumprelu that aims at more active latents than a row has columns (recipe_of: as in sweep; NULL: one recipe for all) ... */
void train_recipe_warn_target(const train_dicts *dicts, const sae_train_options *recipes, const int *recipe_of);
/* ... and one of dictionaries that whose recipe it is does not train. */
sae_status train_recipe_warn_family(args *a, const train_dicts *dicts, sae_error *err);

/* ---- Options in vain (train_effects.c) ------------------------------------------------------------------------------------ */

/* A usage error for an option that the user gave and that does nothing with such rows ... */
sae_status train_check_row_effects(args *a, sae_error *err);
/* ... or to none of the dictionaries. recipe_of [dicts->n]: the index of each one's recipe; NULL: all have the first. */
sae_status train_check_effects(args *a, const train_dicts *dicts, const sae_train_options *recipes,
                               const int *recipe_of, sae_error *err);
/* The same of one option and one dictionary, for a command whose other options mean something else ... */
sae_status train_check_option(args *a, const char *option, const sae_dict_config *dict, const sae_train_options *recipe,
                              sae_error *err);
/* ... and the refusal itself. */
sae_status train_refuse_option(args *a, const char *option, const char *needs, sae_error *err);
/* The same of OPTION_SCAFFOLD_ROWS alone, for a command without the other options. dicts [n]. */
sae_status train_check_scaffold_effects(args *a, const sae_dict_config *dicts, int n, sae_error *err);

/* ---- The run's folder (train_folder.c) ------------------------------------------------------------------------------------ */

/* A folder with a run in it is continued (--resume) or written over (--force: dictionaries that this run does not make go);
 * what is nobody's run is left alone. Locked first: STATE when another process is at work there. *lock: folder_unlock. */
sae_status train_folder_begin(args *a, const char *folder, const train_dicts *dicts, int *lock, sae_error *err);
/* What it refuses but for the lock, without touching anything: for a plan. */
sae_status train_folder_check(args *a, const char *folder, const train_dicts *dicts, sae_error *err);
/* Whether a record (run.json, sweep.json) lists a dictionary of that name. */
bool train_record_lists(const json_t *record, const char *name);
/* What train_export left in FOLDER/sae; what somebody put beside it stays. */
sae_status train_folder_forget_export(const char *folder, sae_error *err);
/* The same of FOLDER/checkpoints. */
sae_status train_folder_forget_checkpoints(const char *folder, sae_error *err);
/* EXISTS when something in the folder `path` is not of the kind that stands there and would be in the way, or lost; absent is fine. */
sae_status train_folder_check_contents(const char *path, bool (*ours)(const char *name), sae_error *err);
/* The same of FOLDER/checkpoints with all in it ... */
sae_status train_folder_check_checkpoints(const char *folder, sae_error *err);
/* ... and of FOLDER/sae, where train_export puts a dictionary. */
sae_status train_folder_check_export(const char *folder, sae_error *err);
/* Writes FOLDER/NAME (run.json): all that is needed to repeat the run. `recipe`, which it takes, becomes its member of that name. */
sae_status train_folder_write_run(args *a, const char *folder, const char *name, const train_input *in,
                                  const train_dicts *dicts, json_t *recipe, sae_error *err);
/* A resumed run must see the rows of the one it goes on from: STATE when they differ from those of FOLDER/NAME. Of a text that came through
 * a pipe, which in->of_pipe notes, nothing is known there: the place in a checkpoint has a checksum of it ... */
sae_status train_folder_same_data(args *a, const char *folder, const char *name, train_input *in, sae_error *err);
/* ... and have its dictionaries, recipe and --init. Checkpoints look at these themselves: this is for a run that has none yet. */
sae_status train_folder_same_run(args *a, const char *folder, const train_dicts *dicts, const sae_train_options *recipe,
                                 sae_error *err);

/* Whether FOLDER/checkpoints holds any. What cannot be read is a failure: a run that has some must not begin anew. */
sae_status train_folder_has_checkpoint(const char *folder, bool *any, sae_error *err);

/* ---- What is left behind (train_export.c) --------------------------------------------------------------------------------- */

/* clang-format off */
#define OPTION_EXPORT_ROW                                                                                                                 \
    {"scaffold", OPTION_TEXT, "HOW", "export the scaffold: native tensors, latents (2r extra ones), or drop it", "native"}
/* clang-format on */

/* How the scaffolds of these dictionaries shall be exported; refuses at once what could not be done at the end. */
sae_status train_export_option(args *a, const train_dicts *dicts, sae_scaffold_export *how, sae_error *err);
const char *train_export_name(sae_scaffold_export how); /* as the option has it */
/* Dictionary i in SAELens's form to FOLDER/sae. */
sae_status train_export(const args *a, const sae_trainer *t, int i, const char *folder, sae_scaffold_export how,
                        sae_error *err);

/* ---- The plan (train_plan.c) ---------------------------------------------------------------------------------------------- */

#define OPTION_PLAN_ROW                                                                                                \
    {                                                                                                                  \
        "plan", OPTION_FLAG, NULL,                                                                                     \
            "print memory, arithmetic and an estimate of the time (two seconds), and make nothing", NULL               \
    }

/* What a live run's model takes with its first pass: the weights that it expands. 0 of other rows. */
size_t train_model_bytes(const train_input *in);
/* Bytes that a run takes, by part. */
typedef struct train_memory {
    sae_memory_plan trainer;
    size_t batch;
    size_t measuring;                           /* of a sweep, at its end */
    size_t read_ahead, shuffle_buffer, ordered; /* rows of a store or array; of a model; of an array in an order */
    size_t model, pass;
    size_t total;  /* of all these */
    size_t mapped; /* beside them: pages of files, which come back when memory is short */
} train_memory;
train_memory train_memory_of(const train_input *in, const train_dicts *dicts, const sae_train_options *recipe,
                             size_t measuring);
/* "weights 12, gradients 6, ...", in MiB, for a plan and for the run. Into `out`, which is returned. */
enum { TRAIN_MEMORY_ROOM = 400 };
const char *train_memory_text(const train_memory *m, char *out, size_t size);
/* Seconds: of an operation of a step's products, of a row and dictionary more in the first step, of the model for a row, of a scaffold's
 * start by PCA. */
typedef struct train_pace {
    double operation, first_row, model_row, pca;
} train_pace;
/* By a calibration with some of the dictionaries (two seconds); a model_row or pca that is set stays. */
sae_status train_plan_measure(train_pace *pace, const train_input *in, const train_dicts *dicts,
                              const sae_train_options *recipe, sae_error *err);
/* To standard output, or, with `json`, into a new object there. measuring: bytes that a sweep takes at the end; else 0. */
sae_status train_plan_tell(const train_input *in, const train_dicts *dicts, const sae_train_options *recipe,
                           const train_pace *pace, size_t measuring, json_t **json, sae_error *err);

/* ---- Watching (train_watch.c) --------------------------------------------------------------------------------------------- */

/* The newest step of some dictionaries, and the line of progress that shows it. */
typedef struct train_watch {
    const train_dicts *dicts; /* borrowed */
    sae_step_stats *last;     /* [dicts->n] owned; steps done are last[0].step + 1 */
    bool any;                 /* a step was seen */
    bool told_flat;           /* that rows do not vary */
    const char *what;         /* before the numbers of the line: "group 1 of 3: "; NULL: nothing */
    progress_line line;
} train_watch;

sae_status train_watch_create(train_watch *out, const train_dicts *dicts, sae_error *err);
void train_watch_free(train_watch *w);
/* training_options.stepped, with the watch as its user. */
void train_watch_step(void *user, int64_t rows, const sae_step_stats *stats, bool logged);
/* training_options.notice: a warning. */
void train_watch_notice(void *user, const char *text);
/* The last batch of each dictionary as a table on standard output. A run that was complete already has none. */
void train_watch_table(const train_watch *w);
/* Deaths and revivals of latents, a line each dictionary, as messages. */
void train_watch_tell_deaths(const train_watch *w, const args *a, const sae_train_options *recipe);

#endif
