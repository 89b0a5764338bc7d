/*
 * source.c - where a model's tensors come from: one GGUF file, or a Hugging Face folder with config.json and one or
 * several safetensors files. After source_open every file is mapped and checked, and every name leads to one tensor.
 */
#include "model/model.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { MAX_FILES = 10000 };

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The only .gguf of a folder that has no config.json. */
static sae_status gguf_in_folder(const char *folder, char **path, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL;
    int n = 0, found = 0;
    const char *first = NULL, *second = NULL;

    SAE_TRY(folder_list(folder, &names, &n, err));
    for (int i = 0; i < n; i++) {
        if (!ends_with(names[i], ".gguf")) continue;
        if (found == 0) first = names[i];
        if (found == 1) second = names[i];
        found++;
    }
    if (found == 0)
        SAE_RAISE(err, SAE_FORMAT,
                  "%s: a folder with neither config.json nor a .gguf file; give a GGUF file or a Hugging Face folder",
                  folder);
    if (found > 1)
        SAE_RAISE(err, SAE_FORMAT, "%s: %d GGUF files (%s, %s%s) and no config.json; name the one that you mean",
                  folder, found, first, second, found > 2 ? ", ..." : "");
    *path = path_join(folder, first, err);
    if (!*path) status = SAE_NOMEM;
done:
    folder_list_free(names, n);
    return status;
}

/* ---- Safetensors -------------------------------------------------------------------------------------------------------- */

static sae_status add_file(source *s, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = path_join(s->path, name, err);

    if (!path) return SAE_NOMEM;
    SAE_TRY(safetensors_open(&s->files[s->n_files], path, err));
    s->n_files++;
done:
    mem_free(path);
    return status;
}

static sae_status index_tensor(source *s, const char *name, int file, sae_error *err)
{
    if (json_object_set_new(s->index, name, json_integer(file)) != 0)
        return SAE_FAIL(err, SAE_NOMEM, "no memory for the names of the tensors in %s", s->path);
    return SAE_OK;
}

static sae_status open_single(source *s, sae_error *err)
{
    sae_status status = SAE_OK;

    s->files = mem_alloc_array(1, sizeof(safetensors *), "the list of weight files", err);
    if (!s->files) return SAE_NOMEM;
    SAE_TRY(add_file(s, "model.safetensors", err));
    for (int i = 0; i < safetensors_count(s->files[0]); i++)
        SAE_TRY(index_tensor(s, safetensors_at(s->files[0], i)->name, 0, err));
done:
    return status;
}

/* The number of a file named by the index, opened if it is new; `numbers` maps names to numbers. */
static sae_status shard_number(source *s, json_t *numbers, const char *file, int *number, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *known = json_object_get(numbers, file);

    if (known) {
        *number = (int)json_integer_value(known);
        return SAE_OK;
    }
    if (!*file || strchr(file, '/') || strcmp(file, "..") == 0)
        SAE_RAISE(err, SAE_FORMAT, "%s/model.safetensors.index.json: file name \"%s\" leads outside the folder",
                  s->path, file);
    if (s->n_files >= MAX_FILES)
        SAE_RAISE(err, SAE_FORMAT, "%s/model.safetensors.index.json: names more than %d files", s->path, MAX_FILES);
    safetensors **files = mem_grow(s->files, (size_t)s->n_files * sizeof *files,
                                   ((size_t)s->n_files + 1) * sizeof *files, "the list of weight files", err);
    if (!files) return SAE_NOMEM;
    s->files = files;
    *number = s->n_files;
    SAE_TRY(add_file(s, file, err));
    if (json_object_set_new(numbers, file, json_integer(*number)) != 0)
        SAE_RAISE(err, SAE_NOMEM, "no memory for the names of the files in %s", s->path);
done:
    return status;
}

static sae_status open_sharded(source *s, const char *index_path, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *index = NULL, *numbers = json_object();
    const char *name;
    json_t *file;

    if (!numbers) SAE_RAISE(err, SAE_NOMEM, "no memory for the names of the files in %s", s->path);
    SAE_TRY(json_read_file(&index, index_path, err));
    json_t *map = json_object_get(index, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0)
        SAE_RAISE(err, SAE_FORMAT, "%s: \"weight_map\" must be an object that names a file for each tensor",
                  index_path);
    json_object_foreach(map, name, file)
    {
        int number = 0;
        if (!json_is_string(file))
            SAE_RAISE(err, SAE_FORMAT, "%s: the file of tensor \"%s\" must be a string", index_path, name);
        SAE_TRY(shard_number(s, numbers, json_string_value(file), &number, err));
        if (!safetensors_find(s->files[number], name))
            SAE_RAISE(err, SAE_FORMAT,
                      "%s: tensor \"%s\" is said to be in %s, which does not hold it; the download may be "
                      "incomplete or mixed",
                      index_path, name, json_string_value(file));
        SAE_TRY(index_tensor(s, name, number, err));
    }
done:
    json_decref(index);
    json_decref(numbers);
    return status;
}

static sae_status open_folder(source *s, sae_error *err)
{
    sae_status status = SAE_OK;
    char *config = path_join(s->path, "config.json", err);
    char *single = path_join(s->path, "model.safetensors", err);
    char *index = path_join(s->path, "model.safetensors.index.json", err);

    s->index = json_object();
    if (!config || !single || !index || !s->index) SAE_RAISE(err, SAE_NOMEM, "no memory to open %s", s->path);
    SAE_TRY(json_read_file(&s->config, config, err));
    if (!json_is_object(s->config)) SAE_RAISE(err, SAE_FORMAT, "%s: must be a JSON object", config);
    if (file_exists(single))
        SAE_TRY(open_single(s, err));
    else if (file_exists(index))
        SAE_TRY(open_sharded(s, index, err));
    else
        SAE_RAISE(err, SAE_FORMAT,
                  "%s: holds config.json but neither model.safetensors nor model.safetensors.index.json; other weight "
                  "formats (.bin) are not read",
                  s->path);
done:
    mem_free(config);
    mem_free(single);
    mem_free(index);
    return status;
}

/* ---- Either -------------------------------------------------------------------------------------------------------------- */

/* The path that is really opened: a folder with config.json itself, of another the one GGUF file in it. */
static sae_status resolve(const char *path, char **out, sae_error *err)
{
    sae_status status = SAE_OK;
    char *config = NULL;

    if (file_is_folder(path)) {
        config = path_join(path, "config.json", err);
        if (!config) return SAE_NOMEM;
        if (!file_exists(config)) {
            SAE_TRY(gguf_in_folder(path, out, err));
            goto done;
        }
    }
    *out = mem_strdup(path, err);
    if (!*out) status = SAE_NOMEM;
done:
    mem_free(config);
    return status;
}

sae_status source_open(source *out, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    source s = {0};

    SAE_TRY(resolve(path, &s.path, err));
    if (file_is_folder(s.path))
        SAE_TRY(open_folder(&s, err));
    else if (!file_exists(s.path))
        SAE_RAISE(err, SAE_IO, "%s: no such file or folder", s.path);
    else if (gguf_is(s.path))
        SAE_TRY(gguf_open(&s.g, s.path, err));
    else
        SAE_RAISE(err, SAE_FORMAT, "%s: not a GGUF file; for safetensors give the folder that holds config.json",
                  s.path);
    *out = s;
    s = (source){0};
done:
    source_close(&s);
    return status;
}

void source_close(source *s)
{
    for (int i = 0; i < s->n_files; i++) safetensors_close(s->files[i]);
    mem_free(s->files);
    if (s->g) gguf_close(s->g);
    json_decref(s->config);
    json_decref(s->index);
    mem_free(s->path);
    *s = (source){0};
}

const tensor *source_find(const source *s, const char *name)
{
    if (s->g) return gguf_find(s->g, name);
    const json_t *number = json_object_get(s->index, name);
    return number ? safetensors_find(s->files[json_integer_value(number)], name) : NULL;
}

size_t source_bytes(const source *s)
{
    size_t bytes = 0;

    if (s->g)
        for (int64_t i = 0; i < gguf_tensor_count(s->g); i++) bytes += gguf_at(s->g, i)->bytes;
    for (int f = 0; f < s->n_files; f++)
        for (int i = 0; i < safetensors_count(s->files[f]); i++) bytes += safetensors_at(s->files[f], i)->bytes;
    return bytes;
}

/* One file: its hash. Several: the hash of theirs, in the order of the index. */
sae_status source_hash(const source *s, uint64_t *hash, sae_error *err)
{
    sae_status status = SAE_OK;
    uint64_t *hashes = NULL;

    if (s->g) return file_hash(gguf_path(s->g), hash, err);
    hashes = mem_alloc_array((size_t)s->n_files, sizeof *hashes, "the files' hashes", err);
    if (!hashes) return SAE_NOMEM;
    for (int i = 0; i < s->n_files; i++) SAE_TRY(file_hash(safetensors_path(s->files[i]), &hashes[i], err));
    *hash = s->n_files == 1 ? hashes[0] : XXH3_64bits(hashes, (size_t)s->n_files * sizeof *hashes);
done:
    mem_free(hashes);
    return status;
}
