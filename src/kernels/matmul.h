/*
 * matmul.h - the large products. Reference: plain loops (kernels/ref). Fast: oneDNN (kernels/cpu).
 */
#ifndef SAE_MATMUL_H
#define SAE_MATMUL_H

#include "base/base.h"

/* C[m, n] = beta C + A[m, k] B[n, k]^T; leading dimensions in elements. beta is 0 (C is not read) or 1. Runs on all threads; called inside
 * a parallel region it runs on the calling one. f32 throughout. */
void matmul_nt(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
               float *c, int64_t ldc);
/* C[m, n] = beta C + A[m, k] B[k, n]. */
void matmul_nn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
               float *c, int64_t ldc);
/* C[m, n] = beta C + A[k, m]^T B[k, n]. */
void matmul_tn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
               float *c, int64_t ldc);

/* The same by plain loops that sum in double: the oracle of the tests, and what runs when the instruction set is scalar. */
void matmul_ref_nt(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                   float beta, float *c, int64_t ldc);
void matmul_ref_nn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                   float beta, float *c, int64_t ldc);
void matmul_ref_tn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                   float beta, float *c, int64_t ldc);

/* Names the library and its version ("oneDNN 2.6.3, avx512_core"); static storage. */
const char *matmul_library(void);
/* Must be called before the first product: tells oneDNN the instruction set that cpu_isa_get() chose. Idempotent; the
 * functions above call it too. */
void matmul_setup(void);

#endif
