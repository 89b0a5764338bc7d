/*
 * dequant.h - elements of any type to float32, and float32 to the two 16-bit types and to int8 with a scale.
 *
 * Sources may begin at any byte: file formats promise no alignment. Every instruction set gives the same bits as the
 * reference (which NaN comes out is not promised), so a result never depends on the processor. Single-threaded: callers
 * share rows out.
 */
#ifndef SAE_DEQUANT_H
#define SAE_DEQUANT_H

#include "base/base.h"
#include "base/dtype.h"

/* out[n] = the n elements at `source`. n is a whole number of the type's blocks (dtype_bytes checks this). 64-bit
 * floats and wide integers are rounded to nearest even; BOOL gives 0 or 1. */
void dequant_f32(dtype type, const void *source, int64_t n, float *out);

/* Rounds to nearest even; `out` takes 2 n bytes at any address. Too large becomes infinite; NaN stays NaN. */
void f32_to_bf16(const float *source, int64_t n, void *out);
void f32_to_f16(const float *source, int64_t n, void *out);

/* A row of int8 with one scale: out[i] = scale source[i]. Sources and `out` of f32_to_i8 take n bytes at any address. */
void i8_to_f32(const void *source, float scale, int64_t n, float *out);
/* out[i] = source[i] / scale to the nearest (ties to even), with the scale that is returned: the largest magnitude / 127. A row
 * whose largest magnitude is below 2^-100 gives zeros and scale 0. Numbers must be finite. */
float f32_to_i8(const float *source, int64_t n, void *out);

#define I8_SMALLEST 0x1p-100f

/* The op table: what each instruction set has of its own. NULL: nothing faster than the reference. */
typedef struct dequant_ops {
    void (*to_f32[DTYPE_COUNT])(const void *source, int64_t n, float *out);
    void (*to_bf16)(const float *source, int64_t n, void *out);
    void (*to_f16)(const float *source, int64_t n, void *out);
    void (*scaled_i8)(const void *source, float scale, int64_t n, float *out);
    float (*to_i8)(const float *source, int64_t n, void *out);
} dequant_ops;

extern const dequant_ops dequant_ref;  /* complete */
extern const dequant_ops dequant_avx2; /* empty where the compiler does not target x86-64 */

#endif
