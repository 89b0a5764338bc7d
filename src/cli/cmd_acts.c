/* cmd_acts.c - `sae acts`: the activation rows of a site, computed once and kept in a store. */
#include "acts/store.h"
#include "cli/cli.h"
#include "cli/ids.h"
#include "io/io.h"

#include <stdio.h>
#include <string.h>

static const char *const dtypes[] = /* by sae_store_dtype */
    {"bf16", "f16", "f32", "int8", NULL};
static const char *const splits[] = {"all", "train", "held-out", NULL};

/* What a run needs, opened. */
typedef struct job {
    char *model_path;
    sae_tokenizer *tok;
    sae_model *model;
    token_ids ids; /* --ids, in place of files of text */
    uint8_t *mask;
    sae_text *text;
    sae_acts *acts;
    sae_site *sites;
    char (*names)[64]; /* [n_sites] */
    const char **parts;
    int n_sites;
    sae_text_options text_options;
    int dtype, split;
} job;

static void job_free(job *j)
{
    sae_acts_free(j->acts);
    sae_text_free(j->text);
    sae_model_free(j->model);
    sae_tokenizer_free(j->tok);
    token_ids_free(&j->ids);
    mem_free(j->mask);
    mem_free(j->model_path);
    mem_free(j->sites);
    mem_free(j->names);
    mem_free(j->parts);
}

/* Sequences that the user gives, with a mask or without: rows of special tokens are left out all the same. */
static sae_status open_ids(job *j, args *a, const char *path, sae_error *err)
{
    static const char *const of_text[] = {"text", "split", "ctx", "separator"};
    sae_status status = SAE_OK;

    for (int i = 0; i < 4; i++)
        if (args_given(a, of_text[i]))
            SAE_TRY(args_fail(a, err, "--%s would do nothing: --ids are sequences already; or leave --%s away",
                              of_text[i], of_text[i]));
    SAE_TRY(token_ids_read(&j->ids, path, err));
    int64_t n = j->ids.n_seq * j->ids.n_ctx;
    j->mask = mem_alloc_array((size_t)n, 1, "a mask of ids", err);
    if (!j->mask) SAE_TRY(SAE_NOMEM);
    memset(j->mask, 1, (size_t)n);
    if (args_text(a, "mask")) SAE_TRY(token_mask_read(j->mask, &j->ids, args_text(a, "mask"), err));
    if (!args_flag(a, "keep-special")) SAE_TRY(sae_tokenizer_open(&j->tok, j->model_path, err));
    for (int64_t i = 0; j->tok && i < n; i++)
        if (sae_tokenizer_is_special(j->tok, j->ids.ids[i])) j->mask[i] = 0;
    status = sae_text_open_ids(&j->text, j->ids.ids, j->mask, j->ids.n_seq, j->ids.n_ctx, false, err);
    if (status != SAE_OK) sae_error_prefix(err, "%s", path);
done:
    return status;
}

/* All of them before any is run: a pass would know neither the file nor which of its sequences it runs. */
static sae_status check_ids(const job *j, const char *path, sae_error *err)
{
    const sae_model_info *info = sae_model_get_info(j->model);
    const token_ids *t = &j->ids;

    if (t->n_ctx > info->n_ctx)
        return SAE_FAIL(err, SAE_RANGE, "%s: sequences of %lld tokens; the model's context is %lld: cut them shorter",
                        path, (long long)t->n_ctx, (long long)info->n_ctx);
    for (int64_t i = 0; i < t->n_seq * t->n_ctx; i++)
        if (t->ids[i] < 0 || t->ids[i] >= info->n_vocab)
            return SAE_FAIL(
                err, SAE_RANGE, "%s: token id %d at sequence %lld, position %lld: the model's ids are 0 to %lld", path,
                t->ids[i], (long long)(i / t->n_ctx), (long long)(i % t->n_ctx), (long long)info->n_vocab - 1);
    return SAE_OK;
}

static sae_status open_text(job *j, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *paths;
    int n = args_list(a, "text", &paths);

    if (args_text(a, "ids")) return open_ids(j, a, args_text(a, "ids"), err);
    if (args_text(a, "mask"))
        return args_fail(a, err, "--mask goes with --ids: how a text falls into sequences is not known before");
    if (n == 0) SAE_TRY(args_fail(a, err, "no text: give at least one --text FILE, or --ids"));
    SAE_TRY(args_choice(a, "split", splits, &j->split, err));
    j->text_options = sae_text_defaults();
    j->text_options.ctx = args_int(a, "ctx", 0);
    j->text_options.separator = (int32_t)args_int(a, "separator", -1);
    j->text_options.split = (sae_split)j->split;
    SAE_TRY(sae_tokenizer_open(&j->tok, j->model_path, err));
    if (j->text_options.separator < 0) j->text_options.separator = sae_tokenizer_get_info(j->tok).separator;
    SAE_TRY(sae_text_open(&j->text, j->tok, paths, n, &j->text_options, err));
done:
    return status;
}

static sae_status read_sites(job *j, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *sites;
    int n = args_list(a, "site", &sites);

    if (n < 1) SAE_TRY(args_fail(a, err, "no site: give at least one --site, as blocks.14.hook_resid_post"));
    j->sites = mem_alloc_array((size_t)n, sizeof *j->sites, "the sites", err);
    j->names = mem_alloc_array((size_t)n, sizeof *j->names, "the sites", err);
    j->parts = mem_alloc_array((size_t)n, sizeof *j->parts, "the sites", err);
    if (!j->sites || !j->names || !j->parts) SAE_TRY(SAE_NOMEM);
    for (int i = 0; i < n; i++) {
        SAE_TRY(sae_site_parse(&j->sites[i], sites[i], j->model, err));
        sae_site_name(j->sites[i], j->names[i], sizeof j->names[i]);
        j->parts[i] = j->names[i];
        for (int k = 0; k < i; k++)
            if (strcmp(j->names[k], j->names[i]) == 0) SAE_TRY(args_fail(a, err, "--site %s is given twice", sites[i]));
    }
    j->n_sites = n;
done:
    return status;
}

static sae_status open_all(job *j, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *operands;
    int64_t drop = args_int(a, "drop-positions", 1);

    SAE_TRY(args_choice(a, "dtype", dtypes, &j->dtype, err));
    if (args_real(a, "max-norm", 0) == 0)
        SAE_TRY(
            args_fail(a, err, "--max-norm 0 would leave no row: give at least 1, or a negative number to keep all"));
    args_operands(a, &operands);
    SAE_TRY(model_path(operands[0], &j->model_path, err));
    SAE_TRY(open_text(j, a, err));
    SAE_TRY(sae_model_open(&j->model, j->model_path, NULL, err));
    if (j->ids.ids) SAE_TRY(check_ids(j, args_text(a, "ids"), err));
    SAE_TRY(read_sites(j, a, err));
    sae_acts_options options = {.in_order = true,
                                .max_norm = args_real(a, "max-norm", 0),
                                .keep_special = args_flag(a, "keep-special") && !j->mask, /* its mask knows them */
                                .drop_positions = drop ? drop : -1};
    SAE_TRY(sae_acts_open_live(&j->acts, j->model, j->text, j->sites, j->n_sites, &options, err));
done:
    return status;
}

/* What the rows were computed from, for whoever finds the store later. */
static char *about_text(const job *j, const args *a)
{
    const char *const *paths;
    int n = args_list(a, "text", &paths);
    char hash[32];
    json_t *about = json_object(), *list = json_array(), *sites = json_array();

    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)sae_model_hash(j->model));
    for (int i = 0; i < n; i++) json_add(&list, json_text(paths[i]));
    for (int i = 0; i < j->n_sites; i++) json_add(&sites, json_string(j->names[i]));
    json_put(&about, "model", json_text(j->model_path));
    json_put(&about, "model_xxh3", json_string(hash));
    if (j->n_sites == 1) json_put(&about, "site", json_string(j->names[0]));
    json_put(&about, "sites", sites);
    json_put(&about, "text", list);
    if (j->mask) json_put(&about, "ids", json_text(args_text(a, "ids")));
    if (j->mask && args_text(a, "mask")) json_put(&about, "mask", json_text(args_text(a, "mask")));
    json_put(&about, "split", json_string(splits[j->split]));
    json_put(&about, "ctx", json_integer(sae_text_ctx(j->text)));
    if (!j->mask) json_put(&about, "separator", json_integer(j->text_options.separator));
    json_put(&about, "max_norm", json_number_or_null(args_real(a, "max-norm", 0)));
    json_put(&about, "special", json_string(args_flag(a, "keep-special") ? "kept" : "dropped"));
    json_put(&about, "drop_positions", json_integer(args_int(a, "drop-positions", 1)));
    json_put(&about, "command", args_json(a));
    json_put(&about, "sae_version", json_string(sae_version()));
    char *text = json_to_text(about, 0, NULL);
    json_decref(about);
    return text;
}

/* What meta.json says of the store that was written. */
static sae_status print_store(const args *a, const job *j, const char *folder, const char *site, json_t **list,
                              sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *meta = NULL;
    char *path = path_join(folder, STORE_META_NAME, err);

    if (!path) return SAE_NOMEM;
    SAE_TRY(json_read_file(&meta, path, err));
    const json_t *error = json_object_get(meta, "error");
    int64_t rows = json_integer_value(json_object_get(meta, "n_rows")),
            d = json_integer_value(json_object_get(meta, "d")),
            dropped = json_integer_value(json_object_get(meta, "dropped"));
    double median = json_number_value(json_object_get(meta, "median_norm")),
           relative = json_number_value(json_object_get(error, "relative")),
           worst = json_number_value(json_object_get(error, "worst_row"));
    size_t element = (size_t)dtype_table[store_dtypes[j->dtype]].block_bytes;
    double bytes = (double)rows * ((double)d * (double)element + (j->dtype == SAE_STORE_INT8 ? 12 : 8));
    if (list) {
        json_add(list, json_pack("{s:o, s:s, s:I, s:I, s:s, s:I, s:f, s:f, s:f}", "store", json_text(folder), "site",
                                 site, "rows", (json_int_t)rows, "d", (json_int_t)d, "dtype", dtypes[j->dtype],
                                 "dropped", (json_int_t)dropped, "median_norm", median, "relative_error", relative,
                                 "worst_row_error", worst));
        goto done;
    }
    printf("%s: %lld rows of %s, width %lld, %s, %.1f MB\n", folder, (long long)rows, site, (long long)d,
           dtypes[j->dtype], bytes / 1e6);
    if (j->dtype != SAE_STORE_F32)
        printf("relative error of the stored rows %.2g, of the worst %.2g\n", relative, worst);
    if (median > 0)
        printf("dropped %lld rows over %g times the median norm %.4g\n", (long long)dropped,
               args_real(a, "max-norm", 0), median);
done:
    json_decref(meta);
    mem_free(path);
    return status;
}

static sae_status print_result(const args *a, const job *j, const char *out, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *list = args_flag(a, "json") ? json_array() : NULL;
    char *folder = NULL;

    for (int i = 0; i < j->n_sites; i++) {
        folder = j->n_sites > 1 ? path_join(out, j->parts[i], err) : mem_strdup(out, err);
        if (!folder) SAE_TRY(SAE_NOMEM);
        SAE_TRY(print_store(a, j, folder, j->names[i], args_flag(a, "json") ? &list : NULL, err));
        mem_free(folder);
        folder = NULL;
    }
    if (args_flag(a, "json")) SAE_TRY(print_json(j->n_sites > 1 ? list : json_array_get(list, 0), err));
done:
    mem_free(folder);
    json_decref(list);
    return status;
}

/* Rows of the store, of the first one when there are several. */
static sae_status count_rows(const job *j, const char *out, int64_t *n_rows, sae_error *err)
{
    sae_acts *stored = NULL;
    char *folder = j->n_sites > 1 ? path_join(out, j->parts[0], err) : mem_strdup(out, err);
    const char *const paths[] = {folder};
    sae_status status = folder ? sae_acts_open_store(&stored, paths, 1, NULL, err) : SAE_NOMEM;

    if (status == SAE_OK) *n_rows = sae_acts_get_info(stored).n_rows;
    sae_acts_free(stored);
    mem_free(folder);
    return status;
}

/* --append without --dtype: as the rows that stand there. Says nothing when it cannot tell; sae_store_write does. */
static void take_stored_dtype(job *j, const char *out)
{
    json_t *meta = NULL;
    char *folder = j->n_sites > 1 ? path_join(out, j->parts[0], NULL) : mem_strdup(out, NULL);
    char *path = folder ? path_join(folder, STORE_META_NAME, NULL) : NULL;
    const char *name = NULL;

    if (path && json_read_file(&meta, path, NULL) == SAE_OK) name = json_string_value(json_object_get(meta, "dtype"));
    for (int i = 0; name && i < STORE_DTYPES; i++)
        if (strcmp(name, dtype_table[store_dtypes[i]].name) == 0) j->dtype = i;
    json_decref(meta);
    mem_free(path);
    mem_free(folder);
}

static bool has_progress(const char *out, const char *suffix)
{
    char path[4200];

    snprintf(path, sizeof path, "%s%s/%s", out, suffix, STORE_PROGRESS_NAME);
    return file_exists(path);
}

/* OUT.partial alone cannot be appended to: tells of the command that goes on with it, as it was typed. */
static sae_status fail_unfinished(const char *out, sae_error *err)
{
    char path[4200], line[400] = "";
    json_t *all = NULL, *word;
    size_t i, used = 0;

    snprintf(path, sizeof path, "%s.partial/%s", out, STORE_PROGRESS_NAME);
    sae_status status = json_read_file(&all, path, err);
    if (status != SAE_OK) return status;
    json_array_foreach(json_object_get(json_object_get(all, "about"), "command"), i, word)
    {
        if (used < sizeof line && json_is_string(word))
            used += (size_t)snprintf(line + used, sizeof line - used, "%s%s", i ? " " : "", json_string_value(word));
    }
    if (used >= sizeof line) memcpy(line + sizeof line - 4, "...", 4);
    json_decref(all);
    return SAE_FAIL(
        err, SAE_STATE,
        "%s is not there to be appended to, only %s.partial, which is unfinished: the command that began it "
        "goes on with it%s%s",
        out, out, used ? ": " : "", line);
}

/* Could a command like this one not tell of the store that stands there? */
static bool was_made_so(const char *out, int64_t wanted, bool append)
{
    char path[4200];
    json_t *all = NULL;
    int64_t asked = -2;

    snprintf(path, sizeof path, "%s/%s", out, STORE_PROGRESS_NAME);
    if (!file_exists(path) || json_read_file(&all, path, NULL) != SAE_OK) return false;
    if (json_is_integer(json_object_get(all, "asked"))) asked = json_integer_value(json_object_get(all, "asked"));
    bool appended = json_is_true(json_object_get(json_object_get(all, "plan"), "append"));
    json_decref(all);
    return asked == wanted && appended == append;
}

/* Said of what fails behind it. */
static void all_are_there(const args *a, const char *out, sae_error *err)
{
    sae_error_prefix(err, "%s has all of its rows, the same command%s tells of them without computing them again", out,
                     args_flag(a, "force") ? " without --force" : "");
}

static sae_status write_store(job *j, args *a, const char *out, int64_t wanted, sae_error *err)
{
    sae_status status = SAE_OK;
    progress_line line = {0};
    char *about = about_text(j, a);
    sae_store_options options = {.dtype = (sae_store_dtype)j->dtype,
                                 .parts = j->n_sites > 1 ? j->parts : NULL,
                                 .shuffle = args_flag(a, "shuffle"),
                                 .seed = (uint64_t)args_int(a, "seed", 0),
                                 .memory = (size_t)args_int(a, "memory", 0),
                                 .resumable = true,
                                 .append = args_flag(a, "append"),
                                 .shard_rows = args_int(a, "shard-rows", 0),
                                 .force = args_flag(a, "force"),
                                 .settle_later = true,
                                 .about = about};
    int64_t before = 0, n_rows = 0;
    bool was_done;

    if (!about) SAE_RAISE(err, SAE_NOMEM, "no memory to describe the store");
    if (!file_exists(out)) SAE_TRY(leftovers_remove(out, err)); /* a killed process may have put it aside */
    was_done = was_made_so(out, wanted, options.append);
    if (options.append && !file_exists(out) && has_progress(out, ".partial")) SAE_TRY(fail_unfinished(out, err));
    if (options.append) SAE_TRY(count_rows(j, out, &before, err));
    if (has_progress(out, ".partial")) say(a, "going on with %s.partial", out);
    sae_progress progress = progress_begin(&line, a);
    status = sae_store_write(out, j->acts, wanted, &options, &progress, err);
    progress_end(&line);
    if (status != SAE_OK) goto done;
    status = count_rows(j, out, &n_rows, err);
    if (status != SAE_OK) all_are_there(a, out, err);
    SAE_TRY(status);
    if (was_done && n_rows == before) { /* what was counted before had them already */
        say(a, "%s has the rows of this command already: none are appended", out);
        goto done;
    }
    if (n_rows - before < wanted)
        warn("the input ended after %lld of %lld rows", (long long)(n_rows - before), (long long)wanted);
done:
    mem_free(about);
    return status;
}

static const option_row options[] = {
    OPTION_SITE_ROW(NULL),
    OPTION_TEXT_ROW(NULL),
    {"ids", OPTION_TEXT, "FILE",
     "instead of --text, token ids [sequences, tokens] in X.npy or X.safetensors[:name], run as they stand", NULL},
    {"mask", OPTION_TEXT, "FILE",
     "with --ids: an array of bool or uint8 of their shape; rows where it is 0 are left out", NULL},
    OPTION_TOKENS_ROW(NULL),
    OPTION_OUT_ROW("FOLDER"),
    {"dtype", OPTION_TEXT, "TYPE",
     "of the stored rows: bf16, f16, f32, or int8 with a scale per row; with --append the store's own", "bf16"},
    {"split", OPTION_TEXT, "NAME", "which documents: train, held-out (5 % of them) or all", "train"},
    OPTION_CTX_ROW("256"),
    OPTION_SEPARATOR_ROW,
    OPTION_MAX_NORM_ROW,
    {"keep-special", OPTION_FLAG, NULL, "also rows of special tokens and separators", NULL},
    {"drop-positions", OPTION_COUNT, "N", "leave out the first N positions of each sequence (0: none)", "1"},
    {"shuffle", OPTION_FLAG, NULL, "store the rows in a random order: read one after the other they are well mixed",
     NULL},
    {"seed", OPTION_COUNT, "N", "of that order", "0"},
    {"memory", OPTION_COUNT, "BYTES",
     "that shuffling takes, beside what the model does: its buffers, the shard that is read and the one that is made; "
     "512M and 2G are understood",
     "1G"},
    {"append", OPTION_FLAG, NULL, "put --tokens more rows behind those of the store, from where its text stopped",
     NULL},
    {"verify", OPTION_FLAG, NULL, "check every byte of a store: sae acts --verify FOLDER", NULL},
    {"shard-rows", OPTION_COUNT, "N", "rows per file (default: 262144, or fewer to stay below 256 MiB)", NULL},
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

/* Of all options only those of what is printed act on a store that is verified. */
static sae_status check_verify_options(args *a, sae_error *err)
{
    for (const option_row *o = options; o->name; o++)
        if (args_given(a, o->name) && strcmp(o->name, "verify") != 0 && strcmp(o->name, "json") != 0)
            return args_fail(a, err, "--%s would do nothing: --verify reads the store as it is; or leave --%s away",
                             o->name, o->name);
    return SAE_OK;
}

static sae_status verify(args *a, const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    progress_line line = {0};
    int64_t n_rows = 0;

    status = check_verify_options(a, err);
    if (status != SAE_OK) return status;
    sae_progress progress = progress_begin(&line, a);
    status = sae_store_verify(folder, &n_rows, &progress, err);
    progress_end(&line);
    if (status == SAE_OK && args_flag(a, "json")) {
        json_t *json = json_pack("{so sI}", "store", json_text(folder), "rows_verified", (json_int_t)n_rows);
        status = json ? print_json(json, err) : SAE_FAIL(err, SAE_NOMEM, "no memory for what was verified");
        json_decref(json);
    } else if (status == SAE_OK)
        printf("%s: all %lld rows agree with their checksums\n", folder, (long long)n_rows);
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    job j = {0};
    const char *out = NULL, *const * operands;
    int64_t wanted = args_int(a, "tokens", -1);

    args_operands(a, &operands);
    if (args_flag(a, "verify")) return verify(a, operands[0], err);
    SAE_TRY(args_require(a, "out", &out, err));
    if (wanted == 0) SAE_TRY(args_fail(a, err, "--tokens is 0: a store holds at least one row"));
    if (args_flag(a, "append") && args_flag(a, "shuffle"))
        SAE_TRY(args_fail(a, err, "--append and --shuffle: rows are not shuffled with those of a store that stands"));
    if (args_flag(a, "append") && args_flag(a, "force"))
        SAE_TRY(args_fail(a, err, "--append keeps what is there, --force replaces it: give one of them"));
    for (int i = 0; i < 2; i++) {
        const char *option = i ? "memory" : "seed";
        if (args_given(a, option) && !args_flag(a, "shuffle"))
            SAE_TRY(args_fail(a, err, "--%s would do nothing: it is of --shuffle", option));
    }
    SAE_TRY(open_all(&j, a, err));
    if (args_flag(a, "append") && !args_given(a, "dtype")) take_stored_dtype(&j, out);
    say(a, "%s", sae_acts_get_info(j.acts).describe);
    SAE_TRY(write_store(&j, a, out, wanted, err));
    status = print_result(a, &j, out, err);
    if (status == SAE_OK) status = output_flush(err);
    if (status == SAE_OK) status = sae_store_settle(out, err); /* now the same command would be another one */
    if (status != SAE_OK) all_are_there(a, out, err);
    SAE_TRY(status);
done:
    job_free(&j);
    return status;
}

const command command_acts = {
    .name = "acts",
    .arguments = "MODEL",
    .summary = "compute the activation rows of sites once and keep them in a store",
    .details =
        "Rows are stored in the order of the text, with token ids and positions; who reads the store shuffles\n"
        "it. --shuffle stores them in random order: training then reads a large store at the disk's full\n"
        "speed. Special tokens and the first position of each sequence are left out. Without --tokens the\n"
        "whole text is taken. --ids takes sequences of tokens that are there already, with a --mask of the rows to\n"
        "keep among them. Several sites give a store each, OUT/SITE, of the same rows in the same order.\n"
        "\n"
        "The store appears when it is complete, or not at all. Stopped or killed, the same command goes on\n"
        "with what is in OUT.partial; the store is the same as if nothing had happened. One whose result could not\n"
        "be printed is complete: the same command prints it and appends nothing. With --force a store that\n"
        "stands is computed anew; what is in OUT.partial is gone on with if it is of the same text.",
    .examples = "sae acts smollm2 --site blocks.14.hook_resid_post --text books.jsonl.zst --tokens 1M --out store\n"
                "sae acts smollm2 --site resid_post.7 --text notes.txt --dtype int8 --shuffle --out notes7\n"
                "sae acts smollm2 --site resid_pre.7,mlp_out.7 --text notes.txt --out mlp7\n"
                "sae acts smollm2 --site resid_post.14 --text books.jsonl.zst --tokens 1M --append --out store\n"
                "sae acts smollm2 --site resid_post.14 --ids ids.npy --mask mask.npy --out store\n"
                "sae acts --verify store\n",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run,
};
