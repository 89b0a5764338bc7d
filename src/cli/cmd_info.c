/*
 * cmd_info.c - `sae info`: what a file or folder is. What it looks at decides: a dictionary has cfg.json, a run run.json, a
 * sweep sweep.json, a store meta.json, a checkpoint state.json, an array its own ending; else it is opened as a model.
 */
#include "cli/info.h"
#include "io/io.h"
#include "sae/scaffold_fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether the folder holds the name. */
bool info_holds(const char *folder, const char *name)
{
    char *path = path_join(folder, name, NULL);
    bool found = path && file_exists(path);

    mem_free(path);
    return found;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

/* "513.0 MiB" */
static const char *size_text(double bytes, char *buffer, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int unit = 0;

    while (bytes >= 1024 && unit < 4) bytes /= 1024, unit++;
    snprintf(buffer, size, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return buffer;
}

void info_show(json_t **json, const char *key, const char *label, const char *format, ...)
{
    char text[512];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (!json) {
        for (char *c = text; *c; c++) /* it may come from a file: it must not steer the terminal */
            if ((unsigned char)*c < 32 || *c == 127) *c = '?';
        printf("%-13s %s\n", label, text);
    } else {
        char *end = NULL;
        long long number = strtoll(text, &end, 10);
        json_put(json, key, *text && !*end ? json_integer(number) : json_text(text));
    }
}

/* ---- Models --------------------------------------------------------------------------------------------------------------- */

static void show_tokenizer(json_t **json, const char *path)
{
    sae_tokenizer *tok = NULL;
    sae_error problem = {0};
    char *piece = NULL;
    size_t bytes = 0;

    if (sae_tokenizer_open(&tok, path, &problem) != SAE_OK) {
        info_show(json, "tokenizer", "tokenizer", "none: %s", problem.message);
        return;
    }
    sae_tokenizer_info info = sae_tokenizer_get_info(tok);
    if (json) {
        json_put(json, "tokenizer",
                 json_pack("{s:i, s:o, s:i, s:i, s:i}", "n_vocab", info.n_vocab, "pre", json_text(info.pre),
                           "separator", info.separator, "bos", info.bos, "eos", info.eos));
    } else if (info.separator >= 0 && sae_tokenizer_decode(tok, &info.separator, 1, &piece, &bytes, NULL) == SAE_OK) {
        info_show(json, "", "tokenizer", "byte-level BPE, %d tokens, pre-tokenizer %s; sequences begin with %d (%s)",
                  info.n_vocab, info.pre, info.separator, piece);
    } else {
        info_show(json, "", "tokenizer", "byte-level BPE, %d tokens, pre-tokenizer %s; no separator", info.n_vocab,
                  info.pre);
    }
    free(piece);
    sae_tokenizer_free(tok);
}

/* Numbers as members, or gathered in lines. */
static void show_sizes(json_t **json, const sae_model_info *i)
{
    if (json) {
        info_show(json, "n_layer", "", "%lld", (long long)i->n_layer);
        info_show(json, "d_model", "", "%lld", (long long)i->d_model);
        info_show(json, "n_head", "", "%lld", (long long)i->n_head);
        info_show(json, "n_kv_head", "", "%lld", (long long)i->n_kv_head);
        info_show(json, "d_head", "", "%lld", (long long)i->d_head);
        info_show(json, "d_mlp", "", "%lld", (long long)i->d_mlp);
        info_show(json, "n_vocab", "", "%lld", (long long)i->n_vocab);
        info_show(json, "n_ctx", "", "%lld", (long long)i->n_ctx);
        info_show(json, "n_params", "", "%lld", (long long)i->n_params);
        json_put(json, "tied", json_boolean(i->tied));
        return;
    }
    info_show(json, "", "parameters", "%.1f M, most of them %s", (double)i->n_params * 1e-6, i->weight_type);
    info_show(json, "", "shape", "%lld layers of width %lld; %lld heads of %lld, %lld for keys and values; MLP of %lld",
              (long long)i->n_layer, (long long)i->d_model, (long long)i->n_head, (long long)i->d_head,
              (long long)i->n_kv_head, (long long)i->d_mlp);
    info_show(json, "", "vocabulary", "%lld tokens, unembedding %s the embedding", (long long)i->n_vocab,
              i->tied ? "tied to" : "apart from");
    info_show(json, "", "context", "%lld tokens", (long long)i->n_ctx);
}

static void show_model(json_t **json, const sae_model *model)
{
    const sae_model_info *i = sae_model_get_info(model);
    char a[32], b[32];

    info_show(json, "kind", "kind", "language model");
    info_show(json, "name", "name", "%s", i->name);
    info_show(json, "family", "family", "%s", i->family);
    info_show(json, "file_type", "file", "%s, %s of weights", i->file_type,
              size_text((double)i->file_bytes, a, sizeof a));
    if (json) info_show(json, "weight_type", "", "%s", i->weight_type);
    show_sizes(json, i);
    info_show(json, "sites", "sites",
              "blocks.L.hook_resid_pre, hook_resid_post, hook_attn_out, hook_mlp_out; L = 0 to %lld",
              (long long)i->n_layer - 1);
    show_tokenizer(json, i->path);
    if (json) {
        info_show(json, "file_bytes", "", "%zu", i->file_bytes);
        info_show(json, "expand_bytes", "", "%zu", i->expand_bytes);
    } else {
        info_show(json, "", "memory", "%s with all weights expanded to f32; of this machine's memory %s are free",
                  size_text((double)i->expand_bytes, a, sizeof a), size_text((double)memory_available(), b, sizeof b));
    }
    snprintf(a, sizeof a, "%016llx", (unsigned long long)sae_model_hash(model));
    if (json)
        json_put(json, "hash", json_string(a)); /* a string even when all of its digits are decimal */
    else
        info_show(json, "", "hash", "%s", a);
}

static void print_key(void *user, const char *key, const char *type, const char *value)
{
    (void)user;
    printf("%-50s %-8s %s\n", key, type, value);
}

static void print_tensor(const tensor *t)
{
    char shape[128], name[256];

    /* A name comes from the file: it must not steer the terminal. */
    snprintf(name, sizeof name, "%s", t->name);
    for (char *c = name; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127) *c = '?';
    printf("%-50s %-8s %s\n", name, dtype_table[t->type].name, tensor_shape_text(t, shape, sizeof shape));
}

/* --all: everything that a GGUF file says. */
static sae_status print_gguf(const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    gguf *g = NULL;

    SAE_TRY(gguf_open(&g, path, err));
    putchar('\n');
    gguf_each_key(g, print_key, NULL);
    putchar('\n');
    for (int64_t i = 0; i < gguf_tensor_count(g); i++) print_tensor(gguf_at(g, i));
done:
    gguf_close(g);
    return status;
}

/* A GGUF file of a tokenizer only. */
static bool is_vocabulary(const char *path)
{
    gguf *g = NULL;
    bool found =
        !file_is_folder(path) && gguf_is(path) && gguf_open(&g, path, NULL) == SAE_OK && gguf_tensor_count(g) == 0;

    gguf_close(g);
    return found;
}

static sae_status info_vocabulary(const args *a, const char *path, json_t **json, sae_error *err)
{
    sae_status status = SAE_OK;

    info_show(json, "kind", "kind", "tokenizer: a GGUF file without weights");
    show_tokenizer(json, path);
    if (args_flag(a, "all") && !json) status = print_gguf(path, err);
    return status;
}

static sae_status info_model(const args *a, const char *path, json_t **json, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_model *model = NULL;

    SAE_TRY(sae_model_open(&model, path, NULL, err));
    show_model(json, model);
    const char *file = sae_model_get_info(model)->path;
    if (args_flag(a, "all") && !json && gguf_is(file)) SAE_TRY(print_gguf(file, err));
done:
    sae_model_free(model);
    return status;
}

/* ---- Everything else -------------------------------------------------------------------------------------------------------- */

static const char *const arch_names[] = {
    [SAE_BATCHTOPK] = "batchtopk", [SAE_MATRYOSHKA] = "matryoshka", [SAE_JUMPRELU] = "jumprelu",
    [SAE_TOPK] = "topk",           [SAE_STANDARD] = "standard",     [SAE_GATED] = "gated",
};

static sae_status info_dict(const char *path, json_t **json, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;

    SAE_TRY(sae_dict_load(&dict, path, err));
    const sae_dict_config *c = sae_dict_get_config(dict);
    info_show(json, "kind", "kind", "dictionary");
    info_show(json, "arch", "architecture", "%s%s", arch_names[c->arch], c->d_out ? " transcoder" : "");
    info_show(json, "d_in", "d_in", "%lld", (long long)c->d_in);
    if (c->d_out) info_show(json, "d_out", "d_out", "%lld%s", (long long)c->d_out, c->skip ? ", with a skip path" : "");
    info_show(json, "d_sae", "d_sae", "%lld", (long long)c->d_sae);
    info_show(json, "k", "k", "%lld", (long long)c->k);
    info_show(json, "rank", "rank", "%lld", (long long)c->rank);
    if (c->rank) info_show(json, "variant", "variant", "%s", variant_labels[c->variant]);
    if (c->rank && c->scaffold_centre != SAE_CENTRE_B_DEC)
        info_show(json, "scaffold_centre", "centred by", "%s", scaffold_centre_names[c->scaffold_centre]);
    if (c->rank && c->scaffold_tie != SAE_TIE_NONE)
        info_show(json, "scaffold_tie", "tied", "%s", scaffold_tie_names[c->scaffold_tie]);
    if (c->site[0]) info_show(json, "site", "site", "%s", c->site);
    if (c->target_site[0]) info_show(json, "target_site", "target site", "%s", c->target_site);
    if (c->model[0]) info_show(json, "model", "model", "%s", c->model);
done:
    sae_dict_free(dict);
    return status;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* A store, opened: so all sizes are checked. */
static void show_store(json_t **json, const json_t *meta, const sae_acts_info *info)
{
    const json_t *about = json_object_get(meta, "about"), *error = json_object_get(meta, "error");
    const json_t *shuffle = json_object_get(meta, "shuffle");
    size_t index;
    json_t *file;

    info_show(json, "kind", "kind", "store of activation rows");
    info_show(json, "n_rows", "rows", "%lld", (long long)info->n_rows);
    info_show(json, "d", "width", "%lld", (long long)info->d);
    info_show(json, "dtype", "type", "%s", text_of(meta, "dtype"));
    info_show(json, "shards", "shards", "%zu", json_array_size(json_object_get(meta, "shards")));
    info_show(json, "site", "site", "%s", text_of(about, "site"));
    info_show(json, "model", "model", "%s", text_of(about, "model"));
    json_array_foreach(json_object_get(about, "text"), index, file)
    {
        if (json_string_value(file)) info_show(json, "text", "text", "%s", json_string_value(file));
    }
    info_show(json, "split", "split", "%s", text_of(about, "split"));
    info_show(json, "order", "order", json_is_object(shuffle) ? "shuffled, seed %lld" : "of the text",
              (long long)json_integer_value(json_object_get(shuffle, "seed")));
    if (json_is_object(error))
        info_show(json, "relative_error", "error", "%.3g of the rows, %.3g of the worst",
                  json_number_value(json_object_get(error, "relative")),
                  json_number_value(json_object_get(error, "worst_row")));
    info_show(json, "special", "left out",
              "special tokens %s, first %lld positions; %lld rows of a norm over %g x %.4g",
              strcmp(text_of(about, "special"), "kept") == 0 ? "kept" : "dropped",
              (long long)json_integer_value(json_object_get(about, "drop_positions")),
              (long long)json_integer_value(json_object_get(meta, "dropped")),
              json_number_value(json_object_get(about, "max_norm")), info->median_norm);
}

static sae_status info_store(const char *path, json_t **json, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_acts *acts = NULL;
    json_t *meta = NULL;
    char *meta_path = path_join(path, "meta.json", err);

    if (!meta_path) return SAE_NOMEM;
    SAE_TRY(sae_acts_open_store(&acts, &path, 1, NULL, err));
    SAE_TRY(json_read_file(&meta, meta_path, err));
    sae_acts_info info = sae_acts_get_info(acts);
    show_store(json, meta, &info);
done:
    sae_acts_free(acts);
    json_decref(meta);
    mem_free(meta_path);
    return status;
}

/* OUT of `sae acts` with several sites, or groups of stores: each is looked at by itself. */
static sae_status not_one_thing(const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *below = NULL, list[300] = "";
    size_t used = 0;
    int n = 0;

    SAE_TRY(folder_list(path, &names, &n, err));
    for (int i = 0; i < n && used < sizeof list; i++) {
        static const char *const records[] = {"run.json", "sweep.json", "cfg.json", "meta.json", "state.json", "sae"};
        bool known = false;
        mem_free(below);
        below = path_join(path, names[i], err);
        if (!below) SAE_TRY(SAE_NOMEM);
        for (int k = 0; k < 6 && file_is_folder(below); k++) known = known || info_holds(below, records[k]);
        if (known) used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", names[i]);
    }
    if (used)
        SAE_RAISE(err, SAE_FORMAT, "%s: is not one thing but holds several: look at one of them (%s%s)", path, list,
                  used >= sizeof list ? "..." : "");
    if (n && info_holds(path, "progress.json"))
        SAE_RAISE(err, SAE_FORMAT, "%s: a store that is not finished; the `sae acts` that began it goes on with it",
                  path);
    SAE_RAISE(
        err, SAE_FORMAT,
        "%s: a folder with none of run.json, sweep.json, cfg.json (a dictionary), meta.json (a store), state.json "
        "(a checkpoint), config.json (a model)",
        path);
done:
    folder_list_free(names, n);
    mem_free(below);
    return status;
}

static sae_status info_folder(const args *a, const char *path, json_t **json, sae_error *err)
{
    char *inner = NULL, **names = NULL;
    int n = 0;

    if (info_holds(path, "cfg.json")) return info_dict(path, json, err);
    if (info_holds(path, "meta.json")) return info_store(path, json, err);
    if (info_holds(path, "state.json")) return info_checkpoint(path, json, err);
    if (info_holds(path, "sae/cfg.json")) { /* a dictionary of a run or a sweep */
        inner = path_join(path, "sae", err);
        sae_status status = inner ? info_dict(inner, json, err) : SAE_NOMEM;
        mem_free(inner);
        return status;
    }
    bool model = info_holds(path, "config.json");
    if (folder_list(path, &names, &n, err) != SAE_OK) return err->code;
    for (int i = 0; i < n; i++) model = model || ends_with(names[i], ".gguf");
    folder_list_free(names, n);
    return model ? info_model(a, path, json, err) : not_one_thing(path, err);
}

static void show_tensor(json_t **json, const tensor *t)
{
    char shape[128];

    tensor_shape_text(t, shape, sizeof shape);
    if (json)
        json_put(json, t->name, json_pack("{s:s, s:s}", "type", dtype_table[t->type].name, "shape", shape));
    else
        print_tensor(t);
}

static sae_status info_safetensors(const char *path, json_t **json, sae_error *err)
{
    sae_status status = SAE_OK;
    safetensors *st = NULL;

    SAE_TRY(safetensors_open(&st, path, err));
    for (int i = 0; i < safetensors_count(st); i++) show_tensor(json, safetensors_at(st, i));
done:
    safetensors_close(st);
    return status;
}

static sae_status info_npy(const char *path, json_t **json, sae_error *err)
{
    sae_status status = SAE_OK;
    npy array = {0};

    SAE_TRY(npy_open(&array, path, err));
    tensor t = array.t;
    t.name = "array";
    show_tensor(json, &t);
    npy_close(&array);
done:
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *operands;
    char *path = NULL;
    json_t *object = NULL, **json = NULL; /* json: NULL for people */

    args_operands(a, &operands);
    SAE_TRY(model_path(operands[0], &path, err));
    for (int i = 0; i < 2; i++) {
        static const char *const records[] = {"run.json", "sweep.json"};
        if (!file_is_folder(path) || !info_holds(path, records[i])) continue;
        status = info_run(path, records[i], args_flag(a, "json"), err);
        goto done;
    }
    if (args_flag(a, "json")) {
        object = json_object();
        json = &object;
    }
    if (file_is_folder(path))
        SAE_TRY(info_folder(a, path, json, err));
    else if (ends_with(path, ".safetensors"))
        SAE_TRY(info_safetensors(path, json, err));
    else if (is_vocabulary(path))
        SAE_TRY(info_vocabulary(a, path, json, err));
    else if (ends_with(path, ".npy"))
        SAE_TRY(info_npy(path, json, err));
    else
        SAE_TRY(info_model(a, path, json, err));
    if (json) SAE_TRY(print_json(object, err));
done:
    json_decref(object);
    mem_free(path);
    return status;
}

static const option_row options[] = {
    {"all", OPTION_FLAG, NULL, "of a GGUF file also every metadata key and tensor", NULL},
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

const command command_info = {
    .name = "info",
    .arguments = "FILE",
    .summary = "what a model, dictionary, run, sweep, checkpoint, store or array is",
    .details =
        "A model: family, sizes, sites, tokenizer and the memory that a run takes. A dictionary (a folder with\n"
        "cfg.json): architecture and sizes. A run or a sweep: its command, dictionaries and how far it is; with\n"
        "--json all of its record. A checkpoint: its step and dictionaries. A store (meta.json): its rows and\n"
        "where they came from. .safetensors and .npy: names, types and shapes.",
    .examples = "sae info smollm2\n"
                "sae info smollm2 --all\n"
                "sae info runs/demo\n",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run,
};
