/* sae_ops_avx2.c - the operations of a training step for AVX2 with FMA. */
#include "kernels/sae_ops.h"

#include <immintrin.h>

static int64_t scan_above(const float *p, const float *bias, int64_t n, float cutoff, int32_t first, int32_t *index,
                          float *value)
{
    __m256 cut = _mm256_set1_ps(cutoff);
    int64_t found = 0, i = 0;

    for (; i + 8 <= n; i += 8) {
        __m256 a_f32x8 = _mm256_add_ps(_mm256_loadu_ps(p + i), _mm256_loadu_ps(bias + i));
        unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a_f32x8, cut, _CMP_GT_OQ));
        if (__builtin_expect(mask == 0, 1)) continue; /* hits are rare: a few in a thousand */
        float a[8];
        _mm256_storeu_ps(a, a_f32x8);
        for (; mask; mask &= mask - 1) {
            int lane = __builtin_ctz(mask);
            index[found] = first + (int32_t)i + lane;
            value[found++] = a[lane];
        }
    }
    for (; i < n; i++) {
        float a = p[i] + bias[i];
        if (!(a > cutoff)) continue;
        index[found] = first + (int32_t)i;
        value[found++] = a;
    }
    return found;
}

#define OPS_ISA   "avx2"
#define OPS_TABLE sae_ops_avx2
extern const sae_ops sae_ops_avx2;
#include "kernels/cpu/sae_ops_body.h"
