/* row_order.c - rows of an array in an order that somebody gives: to train on the very batches that another program saw. */
#include "eval/training.h"
#include "io/io.h"
#include "kernels/dequant.h"

#include <string.h>

void row_order_close(row_order *o)
{
    mem_free(o->pool);
    mem_free(o->index);
    *o = (row_order){0};
}

static sae_status read_index(row_order *o, const tensor *t, const char *path, sae_error *err)
{
    char shape[96];

    if (t->rank != 2 || (t->type != DTYPE_I32 && t->type != DTYPE_I64))
        return SAE_FAIL(err, SAE_SHAPE, "%s: an order is an int32 or int64 tensor [steps, batch]; this is %s %s", path,
                        dtype_table[t->type].name, tensor_shape_text(t, shape, sizeof shape));
    o->n_steps = t->shape[0];
    o->batch = t->shape[1];
    o->index = mem_alloc_array((size_t)tensor_count(t), sizeof *o->index, "an order of rows", err);
    if (!o->index) return SAE_NOMEM;
    for (int64_t i = 0; i < tensor_count(t); i++) {
        int32_t narrow;
        if (t->type == DTYPE_I64) {
            memcpy(&o->index[i], (const char *)t->data + 8 * i, 8);
        } else {
            memcpy(&narrow, (const char *)t->data + 4 * i, 4);
            o->index[i] = narrow;
        }
        if (o->index[i] < 0 || o->index[i] >= o->n_rows)
            return SAE_FAIL(err, SAE_RANGE, "%s: step %lld asks for row %lld of %lld", path, (long long)(i / o->batch),
                            (long long)o->index[i], (long long)o->n_rows);
    }
    return SAE_OK;
}

sae_status row_order_open(row_order *out, const char *array, const char *order, sae_error *err)
{
    sae_status status = SAE_OK;
    array_file rows = {0}, index = {0};
    row_order o = {0};
    char shape[96];

    SAE_TRY(array_open(&rows, array, err));
    if (rows.t.rank != 2 || rows.t.shape[0] < 1 || rows.t.shape[1] < 1)
        SAE_RAISE(err, SAE_SHAPE, "%s: rows are a tensor [rows, d_in]; this is %s", array,
                  tensor_shape_text(&rows.t, shape, sizeof shape));
    o.n_rows = rows.t.shape[0];
    o.d = rows.t.shape[1];
    o.pool = mem_alloc_array((size_t)tensor_count(&rows.t), sizeof *o.pool, "the rows of an array", err);
    if (!o.pool) SAE_TRY(SAE_NOMEM);
    dequant_f32(rows.t.type, rows.t.data, tensor_count(&rows.t), o.pool);
    SAE_TRY(array_open(&index, order, err));
    SAE_TRY(read_index(&o, &index.t, order, err));
    *out = o;
    o = (row_order){0};
done:
    row_order_close(&o);
    array_close(&index);
    array_close(&rows);
    return status;
}
