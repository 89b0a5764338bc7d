/* model.c - opens a model, says what it is, frees it. Opening maps and checks; weights are expanded when they are used. */
#include "model/model.h"

#include "kernels/matmul.h"

#include <stdio.h>
#include <string.h>

/* GGUF's general.name, else the last part of the path. */
static char *model_name(const source *s, sae_error *err)
{
    const char *text = NULL;
    size_t bytes = 0;
    char buffer[256];

    if (s->g && gguf_string_or_null(s->g, "general.name", &text, &bytes, NULL) == SAE_OK && text) {
        snprintf(buffer, sizeof buffer, "%.*s", (int)(bytes < 255 ? bytes : 255), text);
        return mem_strdup(buffer, err);
    }
    size_t n = strlen(s->path);
    while (n > 1 && s->path[n - 1] == '/') n--;
    size_t begin = n;
    while (begin > 0 && s->path[begin - 1] != '/') begin--;
    snprintf(buffer, sizeof buffer, "%.*s", (int)(n - begin < 255 ? n - begin : 255), s->path + begin);
    return mem_strdup(buffer, err);
}

/* The type that most weights of the layers have. */
static const char *main_type(const sae_model *m)
{
    int64_t counts[DTYPE_COUNT] = {0};
    int best = 0;

    for (int64_t i = 0; i < m->d.n_layer; i++) {
        const matrix *all[] = {&m->layers[i].qkv, &m->layers[i].o, &m->layers[i].up, &m->layers[i].down};
        for (int w = 0; w < 4; w++)
            for (int p = 0; p < all[w]->n_parts; p++)
                counts[all[w]->parts[p].t.type] += tensor_count(&all[w]->parts[p].t);
    }
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (counts[t] > counts[best]) best = t;
    return dtype_table[best].name;
}

static void fill_info(sae_model *m)
{
    const description *d = &m->d;
    sae_model_info *info = &m->info;

    if (m->source.g)
        snprintf(m->file_type, sizeof m->file_type, "GGUF v%d", gguf_version(m->source.g));
    else
        snprintf(m->file_type, sizeof m->file_type, "safetensors");
    info->path = m->source.path;
    info->family = m->family->name;
    info->name = m->name;
    info->file_type = m->file_type;
    info->weight_type = main_type(m);
    info->n_layer = d->n_layer;
    info->d_model = d->d_model;
    info->n_head = d->n_head;
    info->n_kv_head = d->n_kv_head;
    info->d_head = d->d_head;
    info->d_mlp = d->d_mlp;
    info->n_vocab = d->n_vocab;
    info->n_ctx = d->n_ctx;
    info->file_bytes = source_bytes(&m->source);
    info->expand_bytes =
        (size_t)d->n_layer * weights_layer_bytes(m) + (size_t)d->n_vocab * (size_t)d->d_model * sizeof(float);
    info->tied = d->tied;
}

sae_status sae_model_open(sae_model **out, const char *path, const sae_model_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_model *m = mem_alloc(sizeof *m, "a model", err);
    int expand = options ? options->expand : 0;

    if (!m) return SAE_NOMEM;
    m->block_layer = -1;
    matmul_setup();
    if (expand < 0 || expand > 2)
        SAE_RAISE(err, SAE_RANGE, "sae_model_options.expand is %d; it must be 0, 1 or 2", expand);
    SAE_TRY(source_open(&m->source, path, err));
    SAE_TRY(family_describe(&m->family, &m->d, &m->source, err));
    SAE_TRY(weights_bind(m, err));
    m->name = model_name(&m->source, err);
    if (!m->name) SAE_RAISE(err, SAE_NOMEM, "no memory for the name of %s", path);
    fill_info(m);
    /* Half of what is free leaves room for the rows, a trainer and the page cache that holds the file. */
    m->expand_all = expand == 1 || (expand == 0 && m->info.expand_bytes <= memory_available() / 2);
    *out = m;
    m = NULL;
done:
    sae_model_free(m);
    return status;
}

void sae_model_free(sae_model *model)
{
    if (!model) return;
    weights_free(model);
    mem_free(model->scratch);
    mem_free(model->rotary_cos);
    mem_free(model->rotary_sin);
    mem_free(model->name);
    source_close(&model->source);
    mem_free(model);
}

const sae_model_info *sae_model_get_info(const sae_model *model) { return &model->info; }

/* The hash is a cache: the model stays what it is. 0 when a file can no longer be read. */
uint64_t sae_model_hash(const sae_model *model)
{
    sae_model *m = (sae_model *)model;

    if (!m->hash_known) m->hash_known = source_hash(&m->source, &m->hash, NULL) == SAE_OK;
    return m->hash;
}

sae_status scratch_reserve(sae_model *m, size_t bytes, sae_error *err)
{
    if (bytes <= m->scratch_bytes) return SAE_OK;
    mem_free(m->scratch);
    m->scratch_bytes = 0;
    m->scratch = mem_alloc(bytes, "the model's scratch", err);
    if (!m->scratch) return SAE_NOMEM;
    m->scratch_bytes = bytes;
    return SAE_OK;
}
