/*
 * dtype.h - element types as rows of a table: name, elements per block, bytes per block.
 *
 * A plain type has blocks of one element. The quantised ones are GGUF's: a block of 32 weights shares a scale.
 */
#ifndef SAE_DTYPE_H
#define SAE_DTYPE_H

#include "base/base.h"

typedef enum dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F64,
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_I16,
    DTYPE_I8,
    DTYPE_U64,
    DTYPE_U32,
    DTYPE_U16,
    DTYPE_U8,
    DTYPE_BOOL,
    DTYPE_Q8_0, /* f16 d, 32 x i8:            w = d q */
    DTYPE_Q4_0, /* f16 d, 16 bytes:           w = d (q - 8) */
    DTYPE_Q4_1, /* f16 d, f16 m, 16 bytes:    w = d q + m */
    DTYPE_COUNT
} dtype;

typedef struct dtype_row {
    const char *name; /* "F32", as safetensors and GGUF write it */
    int block_elems, block_bytes;
} dtype_row;

extern const dtype_row dtype_table[DTYPE_COUNT];

/* Bytes of n elements; fails with SHAPE when n is no whole number of blocks, RANGE on overflow. */
sae_status dtype_bytes(dtype type, int64_t n, size_t *bytes, sae_error *err);

/* A tensor somewhere in a mapped file: borrowed, unaligned, little-endian, row-major with shape[0] slowest (GGUF's
 * reversed order is turned round by the reader). */
enum { TENSOR_MAX_RANK = 8 };
typedef struct tensor {
    const char *name;
    dtype type;
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    const void *data;
    size_t bytes;
} tensor;

int64_t tensor_count(const tensor *t); /* number of elements; 1 for a scalar */
/* "[49152, 576]" into the caller's buffer; returns it. */
const char *tensor_shape_text(const tensor *t, char *buffer, size_t size);

#endif
