/*
 * basis.c - reads the columns of an array and makes them orthonormal.
 */
#include "lab/basis.h"
#include "io/io.h"
#include "kernels/dequant.h"

#include <math.h>
#include <string.h>

void basis_file_free(basis_file *b)
{
    subspace_free(&b->space);
    mem_free(b->units);
    *b = (basis_file){0};
}

static sae_status check_shape(const tensor *t, const char *path, int64_t d, sae_error *err)
{
    char shape[128];

    tensor_shape_text(t, shape, sizeof shape);
    if (t->rank < 1 || t->rank > 2)
        return SAE_FAIL(err, SAE_SHAPE, "%s: a basis must be [%lld, r], one direction a column, found %s", path,
                        (long long)d, shape);
    if (t->rank == 2 && t->shape[0] != d && t->shape[1] == d)
        return SAE_FAIL(err, SAE_SHAPE,
                        "%s: a basis must be [%lld, r], found %s: its directions are rows; save the transpose, or, if "
                        "it is a scaffold's W_up, name its dictionary (--dict; --scaffold-of of lab redundancy)",
                        path, (long long)d, shape);
    if (t->shape[0] != d)
        return SAE_FAIL(err, SAE_SHAPE, "%s: a basis must be [%lld, r], as high as the model's rows are wide, found %s",
                        path, (long long)d, shape);
    if (tensor_count(t) == 0) return SAE_FAIL(err, SAE_SHAPE, "%s: the basis has no column: %s", path, shape);
    return SAE_OK;
}

/* Columns of the array as rows [columns, d] of doubles. */
static sae_status read_columns(const tensor *t, const char *path, double *rows, sae_error *err)
{
    int64_t d = t->shape[0], columns = t->rank == 2 ? t->shape[1] : 1;
    size_t size = (size_t)dtype_table[t->type].block_bytes;

    for (int64_t j = 0; j < d; j++) {
        for (int64_t k = 0; k < columns; k++) {
            const char *at = (const char *)t->data + (size_t)(j * columns + k) * size;
            double value;
            float single;
            if (t->type == DTYPE_F64) {
                memcpy(&value, at, sizeof value);
            } else {
                dequant_f32(t->type, at, 1, &single);
                value = (double)single;
            }
            if (!isfinite(value))
                return SAE_FAIL(err, SAE_NUMERIC, "%s: the basis is not finite at row %lld, column %lld", path,
                                (long long)j, (long long)k);
            rows[k * d + j] = value;
        }
    }
    return SAE_OK;
}

sae_status basis_file_read(basis_file *out, const char *path, int64_t d, sae_error *err)
{
    sae_status status = SAE_OK;
    array_file a = {0};
    basis_file b = {0};

    SAE_TRY(array_open(&a, path, err));
    SAE_TRY(check_shape(&a.t, path, d, err));
    b.columns = a.t.rank == 2 ? a.t.shape[1] : 1;
    b.units = mem_alloc_array((size_t)b.columns, (size_t)d * sizeof *b.units, "a basis", err);
    if (!b.units) SAE_TRY(SAE_NOMEM);
    SAE_TRY(read_columns(&a.t, path, b.units, err));
    SAE_TRY(subspace_of_directions(&b.space, b.units, b.columns, d, err));
    if (b.space.rank == 0)
        SAE_RAISE(err, SAE_RANGE, "%s: every column of the basis is 0: it spans nothing that could be removed", path);
    for (int64_t i = 0; i < b.columns; i++) b.n_units += subspace_unit(b.units + i * d, d, b.units + b.n_units * d);
    *out = b;
    b = (basis_file){0};
done:
    basis_file_free(&b);
    array_close(&a);
    return status;
}
