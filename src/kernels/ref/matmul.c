/*
 * matmul.c - products by plain loops: the oracle, and what runs under SAE_ISA=scalar.
 *
 * One loop serves all three: a transpose is a pair of strides. Sums are taken in double, in order of k.
 */
#include "kernels/matmul.h"

enum { TILE = 64 }; /* columns whose sums are kept at once */

/* A matrix read through strides: element (i, j) is data[i * row + j * column]. */
typedef struct strided {
    const float *data;
    int64_t row, column;
} strided;

static void row_tile(int64_t width, int64_t k, strided a, strided b, float beta, float *c)
{
    double sum[TILE] = {0};

    for (int64_t p = 0; p < k; p++) {
        double factor = a.data[p * a.column];
        const float *row = b.data + p * b.row;
        for (int64_t j = 0; j < width; j++) sum[j] += factor * row[j * b.column];
    }
    for (int64_t j = 0; j < width; j++) c[j] = (float)(beta == 0 ? sum[j] : beta * (double)c[j] + sum[j]);
}

static void product(int64_t m, int64_t n, int64_t k, strided a, strided b, float beta, float *c, int64_t ldc)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j += TILE) {
            strided a_row = {a.data + i * a.row, a.row, a.column};
            strided b_tile = {b.data + j * b.column, b.row, b.column};
            row_tile(n - j < TILE ? n - j : TILE, k, a_row, b_tile, beta, c + i * ldc + j);
        }
}

void matmul_ref_nt(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                   float beta, float *c, int64_t ldc)
{
    product(m, n, k, (strided){a, lda, 1}, (strided){b, 1, ldb}, beta, c, ldc);
}

void matmul_ref_nn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                   float beta, float *c, int64_t ldc)
{
    product(m, n, k, (strided){a, lda, 1}, (strided){b, ldb, 1}, beta, c, ldc);
}

void matmul_ref_tn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                   float beta, float *c, int64_t ldc)
{
    product(m, n, k, (strided){a, 1, lda}, (strided){b, ldb, 1}, beta, c, ldc);
}
