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

static sae_status open_rows(array_file *rows, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    char shape[96];

    SAE_TRY(array_open(rows, path, err));
    if (rows->t.rank != 2 || rows->t.shape[0] < 1 || rows->t.shape[1] < 1)
        SAE_RAISE(err, SAE_SHAPE, "%s: rows are a tensor [rows, width]; this is %s", path,
                  tensor_shape_text(&rows->t, shape, sizeof shape));
done:
    return status;
}

/* The rows of an array as the columns from `column` on of the pool. */
static void fill_columns(row_order *o, const array_file *rows, int64_t column)
{
    int64_t d = rows->t.shape[1];
    size_t row_bytes = (size_t)d * (size_t)dtype_table[rows->t.type].block_bytes;

    for (int64_t i = 0; i < o->n_rows; i++)
        dequant_f32(rows->t.type, (const unsigned char *)rows->t.data + (size_t)i * row_bytes, d,
                    o->pool + i * o->d + column);
}

sae_status row_order_open(row_order *out, const char *array, const char *targets, const char *order, sae_error *err)
{
    sae_status status = SAE_OK;
    array_file rows = {0}, beside = {0}, index = {0};
    row_order o = {0};

    SAE_TRY(open_rows(&rows, array, err));
    if (targets) SAE_TRY(open_rows(&beside, targets, err));
    o.n_rows = rows.t.shape[0];
    o.d_target = targets ? beside.t.shape[1] : 0;
    o.d = rows.t.shape[1] + o.d_target;
    if (targets && beside.t.shape[0] != o.n_rows)
        SAE_RAISE(err, SAE_SHAPE, "%s: holds %lld rows, %s %lld: a target belongs to each row", targets,
                  (long long)beside.t.shape[0], array, (long long)o.n_rows);
    o.pool = mem_alloc_array((size_t)o.n_rows, (size_t)o.d * sizeof *o.pool, "the rows of an array", err);
    if (!o.pool) SAE_TRY(SAE_NOMEM);
    fill_columns(&o, &rows, 0);
    if (targets) fill_columns(&o, &beside, rows.t.shape[1]);
    SAE_TRY(array_open(&index, order, err));
    SAE_TRY(read_index(&o, &index.t, order, err));
    *out = o;
    o = (row_order){0};
done:
    row_order_close(&o);
    array_close(&index);
    array_close(&beside);
    array_close(&rows);
    return status;
}
