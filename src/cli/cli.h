/*
 * cli.h - what a subcommand is and what it may lean on. The only folder that prints, reads argv or decides exit codes.
 *
 * A subcommand is one file, cmd_NAME.c, with one `const command command_NAME` and a line in commands.h. Its options are a
 * table: parsing, defaults, --help, the man page and the "did you mean" come from there. Results go to standard output,
 * everything else to standard error.
 */
#ifndef SAE_CLI_H
#define SAE_CLI_H

#include "base/base.h"

/* ---- Options (options.c) ------------------------------------------------------------------------------------------ */

typedef enum option_kind {
    OPTION_FLAG,  /* no value */
    OPTION_TEXT,  /* one string */
    OPTION_MANY,  /* a string; may be given several times: args_list */
    OPTION_LIST,  /* strings separated by commas; may be given several times: args_list */
    OPTION_COUNT, /* an integer >= 0; 200k, 1M, 2G and 1e6 are understood */
    OPTION_INT,   /* an integer of 32 bits */
    OPTION_REAL,  /* a finite number */
} option_kind;

typedef struct option_row {
    const char *name; /* without the dashes; NULL ends a table */
    option_kind kind;
    const char *argument;  /* what stands for the value in --help: "N", "FILE"; NULL for flags */
    const char *help;      /* one line, lower case, no full stop */
    const char *otherwise; /* the default as a user would write it; NULL: none */
} option_row;

/* Options that several commands have are written here once, so that they mean the same everywhere. `d` is the command's
 * default: a string as a user would write it, or NULL. --threads, --quiet and --help belong to every command and are
 * not listed in its table. */
/* clang-format off */
#define OPTION_MODEL_ROW    {"model", OPTION_TEXT, "MODEL", "GGUF file, Hugging Face folder, or a known name (smollm2)", NULL}
#define OPTION_TEXT_ROW(d)  {"text", OPTION_MANY, "FILE", ".txt or .jsonl, also .zst or .gz; - is standard input; repeatable", d}
#define OPTION_SITE_ROW(d)  {"site", OPTION_LIST, "SITE[,SITE]", "where rows are read: blocks.L.hook_resid_post, _pre, hook_attn_out, hook_mlp_out", d}
#define OPTION_TOKENS_ROW(d) {"tokens", OPTION_COUNT, "N", "how many tokens (rows) to take; 200k and 1M are understood", d}
#define OPTION_CTX_ROW(d)   {"ctx", OPTION_COUNT, "N", "tokens per sequence", d}
#define OPTION_SEPARATOR_ROW {"separator", OPTION_INT, "ID", "token id that begins a sequence (default: the tokenizer's)", NULL}
#define OPTION_MAX_NORM_ROW {"max-norm", OPTION_REAL, "X", "drop rows whose norm is over X times the median; negative keeps all", "10"}
#define OPTION_ARRAY_ROW    {"array", OPTION_TEXT, "FILE", "rows from X.npy or X.safetensors[:name] instead of a model", NULL}
#define OPTION_STORE_ROW    {"store", OPTION_TEXT, "FOLDER", "rows from a store that `sae acts` wrote, instead of a model", NULL}
#define OPTION_ARCH_ROW(d)  {"arch", OPTION_TEXT, "NAME", "batchtopk or matryoshka", d}
#define OPTION_WIDTH_ROW(d) {"width", OPTION_COUNT, "N", "latents in the dictionary (d_sae)", d}
#define OPTION_K_ROW(d)     {"k", OPTION_COUNT, "N", "latents kept per row, on average over a batch (L0)", d}
#define OPTION_RANK_ROW(d)  {"rank", OPTION_COUNT, "R", "rank of the dense scaffold; 0: none", d}
#define OPTION_DENSE_THRESHOLD_ROW(help) {"dense-threshold", OPTION_REAL, "X", help, "0.1"}
#define OPTION_WITH_BOS_ROW {"with-bos", OPTION_FLAG, NULL, "rows of position 0 and special tokens too, of any norm unless --max-norm is given", NULL}
#define OPTION_LR_ROW(d)    {"lr", OPTION_REAL, "X", "learning rate", d}
#define OPTION_BATCH_ROW(d) {"batch", OPTION_COUNT, "N", "rows per training step", d}
#define OPTION_SEED_ROW(d)  {"seed", OPTION_COUNT, "N", "of the initial weights and the shuffle", d}
#define OPTION_OUT_ROW(a)   {"out", OPTION_TEXT, a, "where the result is written", NULL}
#define OPTION_FORCE_ROW    {"force", OPTION_FLAG, NULL, "overwrite what is there", NULL}
#define OPTION_JSON_ROW     {"json", OPTION_FLAG, NULL, "print the result as JSON", NULL}
#define OPTION_END_ROW      {NULL, OPTION_FLAG, NULL, NULL, NULL}
/* clang-format on */

/* The arguments of one call, parsed. Asking for a name that is not in the command's table is a programmer's error (abort). */
typedef struct args args;
bool args_given(const args *a, const char *name); /* by the user, not by default */
bool args_flag(const args *a, const char *name);
const char *args_text(const args *a, const char *name);               /* NULL: neither given nor defaulted */
int64_t args_int(const args *a, const char *name, int64_t otherwise); /* COUNT, INT; `otherwise`: no value at all */
double args_real(const args *a, const char *name, double otherwise);
sae_status args_dense_threshold(args *a, double *out, sae_error *err); /* --dense-threshold; a share of tokens */
/* --max-norm; with_bos: of a call with --with-bos there is no limit but a given one (-1). 0, which leaves no row, fails. */
sae_status args_max_norm(args *a, bool with_bos, double *out, sae_error *err);
int args_list(const args *a, const char *name, const char *const **items); /* MANY, LIST; borrowed */
int args_operands(const args *a, const char *const **operands);            /* what is not an option; borrowed */
bool args_quiet(const args *a);
/* The command line as it was typed, for run.json: a new array of strings. */
json_t *args_json(const args *a);
/* What of a call decides its result, a new array of strings: the command's name, its options that have a value or were given, each before its
 * values, and its operands; not where the result goes to, how it is printed and how many threads there are. */
json_t *args_decisive(const args *a);
bool args_has(const args *a, const char *name); /* is there such an option at all? */
/* What the user can do after a failure, printed behind its message: the command line as typed but for --force, quoted for a
 * shell, and `extra` ("--resume", may be NULL) unless it is there already. */
void args_advise_again(args *a, const char *intro, const char *extra);
/* The same with the text in a file, FILE.jsonl, where it came through standard input. */
void args_advise_file(args *a, const char *intro, const char *extra);

/* A mistake in how the command was called (exit 2): `return args_fail(a, err, "--k %lld is ...")`. Always returns RANGE. */
sae_status args_fail(args *a, sae_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* `status` as it is; RANGE, from a check of what the user chose, is such a mistake as well. */
sae_status args_checked(args *a, sae_status status);
/* The value of an option that must be given: fails with a usage error when it is not. */
sae_status args_require(args *a, const char *name, const char **value, sae_error *err);
/* A value that must be one of `names` (NULL-ended): its index. The error lists them. */
sae_status args_choice(args *a, const char *name, const char *const *names, int *index, sae_error *err);

/* The same of a text that the caller has, an item of the list --name. */
sae_status args_choice_of(args *a, const char *name, const char *text, const char *const *names, int *index,
                          sae_error *err);
/* A whole number as OPTION_COUNT and OPTION_INT take it: 4096, 200k, 1M, 1e6. */
bool count_parse(const char *text, int64_t *out);

/* ---- Commands (main.c) -------------------------------------------------------------------------------------------- */

typedef struct command {
    const char *name;      /* "info"; two words for a family: "bench train" */
    const char *arguments; /* after the name in the usage line: "MODEL [TEXT...]"; "" when there are only options */
    const char *summary;   /* one line, lower case, no full stop */
    const char *details;   /* a paragraph or several, wrapped by hand at 90 columns; NULL */
    const char *examples;  /* complete command lines, one a line, each ending in a newline */
    int min_operands, max_operands; /* max -1: any number */
    const option_row *options;      /* ends with OPTION_END_ROW; NULL: only the common ones */
    /* A result in --out of the same call and inputs is kept: results/KEPT_AS.json of the folder --out, "": the file --out itself; NULL: none is. */
    const char *kept_as;
    sae_status (*run)(args *a, sae_error *err);
} command;

extern const command *const command_table[];
extern const int command_count;
extern const option_row common_options[]; /* of every command */

/* Parses argv[0 .. argc) behind the command's name; usage errors fill err. Caller frees with args_free, on failure too. */
sae_status args_parse(args **out, const command *cmd, int argc, char **argv, sae_error *err);
void args_free(args *a);
bool args_is_usage_error(const args *a);
const char *args_advice(const args *a); /* NULL: none */
/* The name nearest to `word` when it is near enough to be a slip of the finger, else NULL. */
const char *nearest_name(const char *word, const char *const *names, int n);

/* Help texts (help.c), to standard output. */
void help_program(void);
void help_command(const command *cmd);
void help_man_page(void); /* docs/sae.1, in roff */

/* ---- Output (output.c) -------------------------------------------------------------------------------------------- */

/* A message to standard error, with a newline added; silent with --quiet. */
void say(const args *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, never silent: "sae: warning: ...". */
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line of progress on standard error: rewritten in place on a terminal, a line every few seconds otherwise, nothing
 * with --quiet. From begin on Ctrl-C (SIGINT, SIGTERM) makes the running call return SAE_CANCELLED; a second one ends
 * the program. */
typedef struct progress_line {
    char what[32], note[240];
    double started, shown, begun_at; /* begun_at: what was done when it started */
    bool quiet, terminal, dirty;
} progress_line;
/* The callback to hand to the library; `p` must outlive it. */
sae_progress progress_begin(progress_line *p, const args *a);
/* Text for the end of the line, from now on: "loss 0.31, L0 32.0". */
void progress_note(progress_line *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void progress_end(progress_line *p); /* accepts a zeroed struct */
/* A warning below the line; user: the progress_line. Nothing with --quiet. */
void progress_warn(void *user, const char *text);

/* interrupt.c */
void interrupt_begin(void);  /* first of all: before any other thread is there */
void interrupt_listen(void); /* from now on the first SIGINT or SIGTERM is a request, which interrupted() tells */
bool interrupted(void);

/* Prints JSON, indented, with a newline; NOMEM when there is no value or no memory for its text. The standard output is
 * checked for write errors when the program ends. */
sae_status print_json(const json_t *value, sae_error *err);
/* All that was printed so far is out, or IO: for what must not be done before its result was told. */
sae_status output_flush(sae_error *err);

/* ---- Names of models (model_name.c) ----------------------------------------------------------------------------------- */

/* Turns what the user wrote into a path: a known name ("smollm2") is looked for in models/, $SAE_HOME/models and
 * ~/.cache/sae/models; MISSING, with how to get it, when it is in none. Anything else is a path as it stands, which must
 * exist (IO). Caller frees *path with mem_free. */
sae_status model_path(const char *name, char **path, sae_error *err);

#endif
