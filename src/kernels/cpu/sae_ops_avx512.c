/* sae_ops_avx512.c - the operations of a training step for AVX-512 (F, BW, VL, DQ). */
#include "kernels/sae_ops.h"

#include <immintrin.h>

static int64_t scan_above(const float *p, const float *bias, int64_t n, float cutoff, int32_t first, int32_t *index,
                          float *value)
{
    __m512 cut = _mm512_set1_ps(cutoff);
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    int64_t found = 0;

    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 valid = (__mmask16)(n - i >= 16 ? 0xffffu : (1u << (n - i)) - 1u);
        __m512 a_f32x16 = _mm512_add_ps(_mm512_maskz_loadu_ps(valid, p + i), _mm512_maskz_loadu_ps(valid, bias + i));
        __mmask16 mask = _mm512_mask_cmp_ps_mask(valid, a_f32x16, cut, _CMP_GT_OQ);
        if (__builtin_expect(mask == 0, 1)) continue; /* hits are rare: a few in a thousand */
        /* Compress in the register and store whole (the outputs have 16 spare entries): a masked compress to memory is
         * microcoded and very slow on AMD's Zen 4. */
        _mm512_storeu_ps(value + found, _mm512_maskz_compress_ps(mask, a_f32x16));
        __m512i at = _mm512_add_epi32(lane, _mm512_set1_epi32(first + (int32_t)i));
        _mm512_storeu_si512(index + found, _mm512_maskz_compress_epi32(mask, at));
        found += __builtin_popcount(mask);
    }
    return found;
}

#define OPS_ISA   "avx512"
#define OPS_TABLE sae_ops_avx512
extern const sae_ops sae_ops_avx512;
#include "kernels/cpu/sae_ops_body.h"
