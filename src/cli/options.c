/*
 * options.c - parses a command line by the command's table: --name value, --name=value, flags, operands, `--`.
 *
 * Every value is checked against its kind while parsing, so a command never sees a malformed one; defaults go through the
 * same code.
 */
#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const option_row common_options[] = {
    {"threads", OPTION_COUNT, "N", "processor threads to use (default: all)", NULL},
    {"quiet", OPTION_FLAG, NULL, "no progress and no messages but errors and warnings", NULL},
    {"help", OPTION_FLAG, NULL, "this text", NULL},
    OPTION_END_ROW,
};

typedef struct option_value {
    const option_row *row;
    bool given;
    int64_t integer;
    double real;
    const char **items; /* borrowed strings; several for MANY and LIST, else at most one */
    int n_items;
} option_value;

struct args {
    const command *cmd;
    option_value *values;
    int n_values;
    const char **operands;
    int n_operands;
    char **pieces; /* owned copies that list items point into */
    int n_pieces;
    int argc;
    char **argv;
    bool usage_error;
    char *advice; /* owned */
};

/* ---- Nearest names --------------------------------------------------------------------------------------------------- */

/* Levenshtein distance of two short words, cut off at `limit` + 1. */
static int edit_distance(const char *a, const char *b, int limit)
{
    enum { MAX = 40 };
    int row[MAX + 1];
    int n = (int)strlen(a), m = (int)strlen(b);

    if (n > MAX || m > MAX) return limit + 1;
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int replaced = diagonal + (a[i - 1] != b[j - 1]);
            int best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = replaced < best ? replaced : best;
        }
    }
    return row[m];
}

const char *nearest_name(const char *word, const char *const *names, int n)
{
    int limit = (int)strlen(word) / 3 + 1;
    int best = limit + 1;
    const char *nearest = NULL;

    for (int i = 0; i < n; i++) {
        int distance = edit_distance(word, names[i], limit);
        bool begins = strlen(word) >= 3 && strncmp(names[i], word, strlen(word)) == 0;
        if (begins && distance > 1) distance = 1;
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

/* ---- Values ------------------------------------------------------------------------------------------------------------ */

/* "4096", "200k", "1M", "1e6": an integer, or false. */
bool count_parse(const char *text, int64_t *out)
{
    char *end;
    double scale = 1;

    errno = 0;
    long long plain = strtoll(text, &end, 10);
    if (end != text && *end == '\0' && errno == 0) {
        *out = plain;
        return true;
    }
    if (!strchr("+-0123456789.", text[0])) return false; /* no "inf", no leading blanks */
    double value = strtod(text, &end);
    if (end == text) return false;
    if (*end == 'k' || *end == 'K') scale = 1e3;
    if (*end == 'M') scale = 1e6;
    if (*end == 'G') scale = 1e9;
    if (scale > 1) end++;
    value *= scale;
    if (*end != '\0' || !(fabs(value) <= 9007199254740992.0) || value != floor(value)) return false;
    *out = (int64_t)value;
    return true;
}

static bool parse_real(const char *text, double *out)
{
    char *end;

    if (text[0] == '\0' || !strchr("+-.0123456789", text[0])) return false;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out);
}

static sae_status add_item(option_value *v, const char *text, sae_error *err)
{
    const char **grown = mem_grow(v->items, (size_t)v->n_items * sizeof *grown,
                                  (size_t)(v->n_items + 1) * sizeof *grown, "option values", err);

    if (!grown) return SAE_NOMEM;
    v->items = grown;
    v->items[v->n_items++] = text;
    return SAE_OK;
}

/* Splits at commas; the pieces live as long as the args. */
static sae_status add_pieces(args *a, option_value *v, const char *text, sae_error *err)
{
    sae_status status = SAE_OK;
    char *copy = mem_strdup(text, err);
    char **grown = NULL;

    if (!copy) return SAE_NOMEM;
    grown = mem_grow(a->pieces, (size_t)a->n_pieces * sizeof *grown, (size_t)(a->n_pieces + 1) * sizeof *grown,
                     "option values", err);
    if (!grown) {
        mem_free(copy);
        return SAE_NOMEM;
    }
    a->pieces = grown;
    a->pieces[a->n_pieces++] = copy;
    for (char *piece = copy; piece;) {
        char *comma = strchr(piece, ',');
        if (comma) *comma = '\0';
        if (*piece == '\0') return args_fail(a, err, "--%s %s: an empty item in the list", v->row->name, text);
        SAE_TRY(add_item(v, piece, err));
        piece = comma ? comma + 1 : NULL;
    }
done:
    return status;
}

static sae_status set_value(args *a, option_value *v, const char *text, sae_error *err)
{
    const char *name = v->row->name;

    switch (v->row->kind) {
    case OPTION_FLAG: return SAE_OK;
    case OPTION_MANY: return add_item(v, text, err);
    case OPTION_LIST: return add_pieces(a, v, text, err);
    case OPTION_TEXT:
        if (!*text && strcmp(name, "out") == 0)
            return args_fail(a, err, "--out '': the name is empty: give --out %s", v->row->argument);
        break;
    case OPTION_COUNT:
        if (!count_parse(text, &v->integer) || v->integer < 0)
            return args_fail(a, err, "--%s %s: expected a whole number that is not negative, as 4096, 200k or 1M", name,
                             text);
        break;
    case OPTION_INT:
        if (!count_parse(text, &v->integer) || v->integer != (int32_t)v->integer)
            return args_fail(a, err, "--%s %s: expected a whole number of at most 32 bits", name, text);
        break;
    case OPTION_REAL:
        if (!parse_real(text, &v->real)) return args_fail(a, err, "--%s %s: expected a number", name, text);
        break;
    }
    v->n_items = 0; /* the last one counts */
    return add_item(v, text, err);
}

/* ---- Parsing ------------------------------------------------------------------------------------------------------------ */

static option_value *find_value(const args *a, const char *name, size_t length)
{
    for (int i = 0; i < a->n_values; i++)
        if (strlen(a->values[i].row->name) == length && strncmp(a->values[i].row->name, name, length) == 0)
            return &a->values[i];
    return NULL;
}

static sae_status unknown_option(args *a, const char *word, size_t length, sae_error *err)
{
    enum { MAX = 128 };
    const char *names[MAX];
    char name[64];
    int n = 0;

    snprintf(name, sizeof name, "%.*s", (int)length, word);
    for (int i = 0; i < a->n_values && n < MAX; i++) names[n++] = a->values[i].row->name;
    const char *near = nearest_name(name, names, n);
    if (near) return args_fail(a, err, "unknown option --%s; did you mean --%s?", name, near);
    return args_fail(a, err, "unknown option --%s", name);
}

/* One "--name[=value]" at argv[*i]; moves *i over a value that stands apart. */
static sae_status parse_option(args *a, int argc, char **argv, int *i, sae_error *err)
{
    const char *word = argv[*i] + 2;
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    option_value *v = find_value(a, word, length);
    const char *text = equals ? equals + 1 : NULL;

    if (!v) return unknown_option(a, word, length, err);
    if (v->row->kind == OPTION_FLAG) {
        if (text) return args_fail(a, err, "--%s takes no value", v->row->name);
        v->given = true;
        return SAE_OK;
    }
    if (!text) {
        if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0)
            return args_fail(a, err, "--%s needs a value: --%s %s", v->row->name, v->row->name, v->row->argument);
        text = argv[++*i];
    }
    v->given = true;
    return set_value(a, v, text, err);
}

static int count_rows(const option_row *rows)
{
    int n = 0;
    while (rows && rows[n].name) n++;
    return n;
}

static sae_status check_operands(args *a, sae_error *err)
{
    const command *cmd = a->cmd;

    if (a->n_operands < cmd->min_operands)
        return args_fail(a, err, "something is missing: sae %s %s", cmd->name, cmd->arguments);
    if (cmd->max_operands >= 0 && a->n_operands > cmd->max_operands)
        return args_fail(a, err, "'%s' is one argument too many: sae %s %s", a->operands[cmd->max_operands], cmd->name,
                         cmd->arguments);
    return SAE_OK;
}

sae_status args_parse(args **out, const command *cmd, int argc, char **argv, sae_error *err)
{
    sae_status status = SAE_OK;
    bool only_operands = false;
    int n_own = count_rows(cmd->options), n_common = count_rows(common_options);
    args *a = mem_alloc(sizeof *a, "the arguments", err);

    if (!a) return SAE_NOMEM;
    *out = a;
    a->cmd = cmd;
    a->argc = argc;
    a->argv = argv;
    a->values = mem_alloc_array((size_t)(n_own + n_common), sizeof *a->values, "the options", err);
    a->operands = mem_alloc_array((size_t)argc + 1, sizeof *a->operands, "the arguments", err);
    if (!a->values || !a->operands) return SAE_NOMEM;
    a->n_values = n_own + n_common;
    for (int i = 0; i < a->n_values; i++) a->values[i].row = i < n_own ? &cmd->options[i] : &common_options[i - n_own];

    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!only_operands && strcmp(word, "--") == 0)
            only_operands = true;
        else if (!only_operands && strcmp(word, "-h") == 0)
            find_value(a, "help", 4)->given = true;
        else if (!only_operands && strncmp(word, "--", 2) == 0)
            SAE_TRY(parse_option(a, argc, argv, &i, err));
        else if (!only_operands && word[0] == '-' && word[1] != '\0')
            SAE_TRY(args_fail(a, err, "unknown option %s; options are written with two dashes", word));
        else
            a->operands[a->n_operands++] = word;
    }
    if (args_flag(a, "help")) return SAE_OK;
    for (int i = 0; i < a->n_values; i++) {
        option_value *v = &a->values[i];
        if (!v->given && v->row->otherwise) SAE_TRY(set_value(a, v, v->row->otherwise, err));
    }
    SAE_TRY(check_operands(a, err));
done:
    return status;
}

void args_free(args *a)
{
    if (!a) return;
    for (int i = 0; i < a->n_values; i++) mem_free(a->values[i].items);
    for (int i = 0; i < a->n_pieces; i++) mem_free(a->pieces[i]);
    mem_free(a->pieces);
    mem_free(a->values);
    mem_free(a->operands);
    mem_free(a->advice);
    mem_free(a);
}

/* ---- What commands ask --------------------------------------------------------------------------------------------------- */

static const option_value *value_of(const args *a, const char *name)
{
    const option_value *v = find_value(a, name, strlen(name));

    if (!v) {
        fprintf(stderr, "sae: internal error: command %s has no option --%s\n", a->cmd->name, name);
        abort();
    }
    return v;
}

bool args_given(const args *a, const char *name) { return value_of(a, name)->given; }
bool args_flag(const args *a, const char *name) { return value_of(a, name)->given; }
bool args_quiet(const args *a) { return args_flag(a, "quiet"); }
bool args_is_usage_error(const args *a) { return a->usage_error; }
const char *args_advice(const args *a) { return a->advice; }

const char *args_text(const args *a, const char *name)
{
    const option_value *v = value_of(a, name);
    return v->n_items ? v->items[0] : NULL;
}

int64_t args_int(const args *a, const char *name, int64_t otherwise)
{
    const option_value *v = value_of(a, name);
    return v->n_items ? v->integer : otherwise;
}

double args_real(const args *a, const char *name, double otherwise)
{
    const option_value *v = value_of(a, name);
    return v->n_items ? v->real : otherwise;
}

sae_status args_dense_threshold(args *a, double *out, sae_error *err)
{
    *out = args_real(a, "dense-threshold", 0);
    return *out > 0 && *out < 1 ? SAE_OK : args_fail(a, err, "--dense-threshold must lie between 0 and 1");
}

sae_status args_max_norm(args *a, bool with_bos, double *out, sae_error *err)
{
    *out = with_bos && !args_given(a, "max-norm") ? -1 : args_real(a, "max-norm", 0);
    if (*out == 0) return args_fail(a, err, "--max-norm 0 would leave no row; a negative one keeps all");
    return SAE_OK;
}

int args_list(const args *a, const char *name, const char *const **items)
{
    const option_value *v = value_of(a, name);
    *items = v->items;
    return v->n_items;
}

int args_operands(const args *a, const char *const **operands)
{
    *operands = a->operands;
    return a->n_operands;
}

json_t *args_json(const args *a)
{
    json_t *words = json_array();

    json_add(&words, json_string("sae"));
    json_add(&words, json_string(a->cmd->name));
    for (int i = 0; i < a->argc; i++) json_add(&words, json_text(a->argv[i]));
    return words;
}

bool args_has(const args *a, const char *name) { return find_value(a, name, strlen(name)) != NULL; }

static bool decides(const option_row *row)
{
    static const char *const others[] = {"out", "force", "json", "threads", "quiet", "help"};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(row->name, others[i]) == 0) return false;
    return true;
}

json_t *args_decisive(const args *a)
{
    json_t *words = json_array();

    json_add(&words, json_string(a->cmd->name));
    for (int i = 0; i < a->n_values; i++) {
        const option_value *v = &a->values[i];
        if (!decides(v->row) || (!v->given && v->n_items == 0)) continue;
        json_add(&words, json_pack("s+", "--", v->row->name));
        for (int j = 0; j < v->n_items; j++) json_add(&words, json_text(v->items[j]));
    }
    for (int i = 0; i < a->n_operands; i++) json_add(&words, json_text(a->operands[i]));
    return words;
}

/* Appends a word, in quotes where a shell would take it apart. NULL `out` only counts. */
static size_t put_word(char *out, size_t at, const char *word)
{
    bool plain = *word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,=+@%^") ==
                              strlen(word);

#define PUT(c)                                                                                                         \
    do {                                                                                                               \
        if (out) out[at] = (c);                                                                                        \
        at++;                                                                                                          \
    } while (0)
    PUT(' ');
    if (!plain) PUT('\'');
    for (const char *c = word; *c; c++) {
        if (*c == '\'') { /* 'it'\''s' */
            PUT('\'');
            PUT('\\');
            PUT('\'');
        }
        PUT(*c);
    }
    if (!plain) PUT('\'');
#undef PUT
    return at;
}

/* file: what stands in place of a text from standard input; NULL: that stays. */
static void advise(args *a, const char *intro, const char *extra, const char *file)
{
    char *text = NULL;
    size_t n = 0;

    for (int pass = 0; pass < 2; pass++) {
        bool there = extra == NULL;
        n = strlen(intro) + 6;
        if (text) snprintf(text, n + 1, "%s\n  sae", intro);
        n = put_word(text, n, a->cmd->name);
        for (int i = 0; i < a->argc; i++) {
            if (strcmp(a->argv[i], "--force") == 0) continue; /* it would begin anew */
            there = there || (extra && strcmp(a->argv[i], extra) == 0);
            n = put_word(text, n, file && strcmp(a->argv[i], "-") == 0 ? file : a->argv[i]);
        }
        if (!there) n = put_word(text, n, extra);
        if (!text && !(text = mem_alloc(n + 1, "advice", NULL))) return;
    }
    mem_free(a->advice);
    a->advice = text;
}

void args_advise_again(args *a, const char *intro, const char *extra) { advise(a, intro, extra, NULL); }

void args_advise_file(args *a, const char *intro, const char *extra) { advise(a, intro, extra, "FILE.jsonl"); }

sae_status args_checked(args *a, sae_status status)
{
    if (status == SAE_RANGE) a->usage_error = true;
    return status;
}

sae_status args_fail(args *a, sae_error *err, const char *format, ...)
{
    char message[sizeof err->message];
    va_list list;

    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    a->usage_error = true;
    return SAE_FAIL(err, SAE_RANGE, "%s", message);
}

sae_status args_require(args *a, const char *name, const char **value, sae_error *err)
{
    const option_value *v = value_of(a, name);

    if (!v->n_items) return args_fail(a, err, "--%s %s must be given: %s", name, v->row->argument, v->row->help);
    *value = v->items[0];
    return SAE_OK;
}

sae_status args_choice(args *a, const char *name, const char *const *names, int *index, sae_error *err)
{
    const char *text = NULL;
    sae_status status = args_require(a, name, &text, err);

    return status == SAE_OK ? args_choice_of(a, name, text, names, index, err) : status;
}

sae_status args_choice_of(args *a, const char *name, const char *text, const char *const *names, int *index,
                          sae_error *err)
{
    char all[256] = "";

    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], text) == 0) {
            *index = i;
            return SAE_OK;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
    }
    return args_fail(a, err, "--%s %s: expected one of %s", name, text, all);
}
