/* ids.c - reads arrays of token ids. Whether a model has these ids is the model's to check. */
#include "cli/ids.h"

#include "io/bytes.h"
#include "io/io.h"

static bool is_of_ids(dtype type)
{
    return type == DTYPE_I32 || type == DTYPE_I64 || type == DTYPE_U16 || type == DTYPE_U32;
}

static int64_t id_at(const tensor *t, int64_t i)
{
    const char *at = (const char *)t->data + (size_t)i * (size_t)dtype_table[t->type].block_bytes;

    switch (t->type) {
    case DTYPE_U16: return load_u16(at);
    case DTYPE_U32: return load_u32(at);
    case DTYPE_I32: return (int32_t)load_u32(at);
    default: return (int64_t)load_u64(at);
    }
}

sae_status token_ids_read(token_ids *out, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    array_file a = {0};
    token_ids t = {0};
    char shape[128];

    SAE_TRY(array_open(&a, path, err));
    if (!is_of_ids(a.t.type))
        SAE_RAISE(err, SAE_FORMAT, "%s: token ids must be uint16, uint32, int32 or int64, found %s", path,
                  dtype_table[a.t.type].name);
    if (a.t.rank < 1 || a.t.rank > 2 || tensor_count(&a.t) < 1)
        SAE_RAISE(err, SAE_SHAPE, "%s: token ids must be [sequences, tokens], found %s", path,
                  tensor_shape_text(&a.t, shape, sizeof shape));
    t.n_ctx = a.t.shape[a.t.rank - 1];
    t.n_seq = a.t.rank == 2 ? a.t.shape[0] : 1;
    t.ids = mem_alloc_array((size_t)tensor_count(&a.t), sizeof *t.ids, "token ids", err);
    if (!t.ids) {
        status = SAE_NOMEM;
        goto done;
    }
    for (int64_t i = 0; i < tensor_count(&a.t); i++) {
        const int64_t id = id_at(&a.t, i);
        if (id < 0 || id > INT32_MAX)
            SAE_RAISE(err, SAE_RANGE, "%s: token id %lld at sequence %lld, position %lld", path, (long long)id,
                      (long long)(i / t.n_ctx), (long long)(i % t.n_ctx));
        t.ids[i] = (int32_t)id;
    }
    *out = t;
    t = (token_ids){0};
done:
    token_ids_free(&t);
    array_close(&a);
    return status;
}

sae_status token_mask_read(uint8_t *mask, const token_ids *ids, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    array_file a = {0};
    char shape[128];

    SAE_TRY(array_open(&a, path, err));
    if (a.t.type != DTYPE_BOOL && a.t.type != DTYPE_U8)
        SAE_RAISE(err, SAE_FORMAT, "%s: a mask must be bool or uint8, found %s", path, dtype_table[a.t.type].name);
    if (a.t.rank < 1 || a.t.rank > 2 || a.t.shape[a.t.rank - 1] != ids->n_ctx ||
        (a.t.rank == 2 ? a.t.shape[0] : 1) != ids->n_seq)
        SAE_RAISE(err, SAE_SHAPE, "%s: a mask of %lld sequences of %lld tokens must be of their shape, found %s", path,
                  (long long)ids->n_seq, (long long)ids->n_ctx, tensor_shape_text(&a.t, shape, sizeof shape));
    for (int64_t i = 0; i < ids->n_seq * ids->n_ctx; i++) mask[i] = ((const uint8_t *)a.t.data)[i] != 0;
done:
    array_close(&a);
    return status;
}

void token_ids_free(token_ids *t)
{
    mem_free(t->ids);
    *t = (token_ids){0};
}

int64_t sequences_at_once(int64_t n_ctx) { return n_ctx < 2048 ? 2048 / n_ctx : 1; }

static bool is_special(const special_ids *special, int32_t id)
{
    for (int i = 0; i < special->n; i++)
        if (special->ids[i] == id) return true;
    return special->tok && sae_tokenizer_is_special(special->tok, id);
}

sae_status ids_sample(sample *out, sae_model *model, const char *path, const special_ids *special, sae_site site,
                      const sample_options *want, sae_error *err)
{
    sae_status status = SAE_OK;
    token_ids t = {0};
    uint8_t *mask = NULL;
    sample_options how = *want;

    SAE_TRY(token_ids_read(&t, path, err));
    mask = mem_alloc_array((size_t)(t.n_seq * t.n_ctx), 1, "a mask of ids", err);
    if (!mask) {
        status = SAE_NOMEM;
        goto done;
    }
    for (int64_t i = 0; i < t.n_seq * t.n_ctx; i++) mask[i] = i % t.n_ctx != 0 && !is_special(special, t.ids[i]);
    how.batch_seqs = sequences_at_once(t.n_ctx);
    status = sample_of_ids(out, model, t.ids, mask, t.n_seq, t.n_ctx, site, &how, err);
    if (status != SAE_OK) sae_error_prefix(err, "%s", path); /* several such files may be given */
done:
    mem_free(mask);
    token_ids_free(&t);
    return status;
}
