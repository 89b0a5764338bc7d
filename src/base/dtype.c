/* dtype.c - the table of element types. */
#include "base/dtype.h"

#include <stdio.h>

const dtype_row dtype_table[DTYPE_COUNT] = {
    [DTYPE_F32] = {"F32", 1, 4},     [DTYPE_F16] = {"F16", 1, 2},     [DTYPE_BF16] = {"BF16", 1, 2},
    [DTYPE_F64] = {"F64", 1, 8},     [DTYPE_I64] = {"I64", 1, 8},     [DTYPE_I32] = {"I32", 1, 4},
    [DTYPE_I16] = {"I16", 1, 2},     [DTYPE_I8] = {"I8", 1, 1},       [DTYPE_U64] = {"U64", 1, 8},
    [DTYPE_U32] = {"U32", 1, 4},     [DTYPE_U16] = {"U16", 1, 2},     [DTYPE_U8] = {"U8", 1, 1},
    [DTYPE_BOOL] = {"BOOL", 1, 1},   [DTYPE_Q8_0] = {"Q8_0", 32, 34}, [DTYPE_Q4_0] = {"Q4_0", 32, 18},
    [DTYPE_Q4_1] = {"Q4_1", 32, 20},
};

sae_status dtype_bytes(dtype type, int64_t n, size_t *bytes, sae_error *err)
{
    const dtype_row *row = &dtype_table[type];

    if (n < 0 || n % row->block_elems)
        return SAE_FAIL(err, SAE_SHAPE, "%lld elements are no whole number of %s blocks of %d", (long long)n, row->name,
                        row->block_elems);
    if (mul_overflows((size_t)(n / row->block_elems), (size_t)row->block_bytes, bytes))
        return SAE_FAIL(err, SAE_RANGE, "%lld elements of %s are more than an address can hold", (long long)n,
                        row->name);
    return SAE_OK;
}

int64_t tensor_count(const tensor *t)
{
    int64_t n = 1;

    for (int i = 0; i < t->rank; i++) /* beside a 0 the others may be anything */
        if (t->shape[i] == 0) return 0;
    for (int i = 0; i < t->rank; i++) n *= t->shape[i];
    return n;
}

const char *tensor_shape_text(const tensor *t, char *buffer, size_t size)
{
    size_t used = (size_t)snprintf(buffer, size, "[");

    for (int i = 0; i < t->rank && used < size; i++)
        used += (size_t)snprintf(buffer + used, size - used, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    if (used < size) snprintf(buffer + used, size - used, "]");
    return buffer;
}
