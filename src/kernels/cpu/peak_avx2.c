/* peak_avx2.c - 32 chains need more than the 16 registers of AVX2: 8 chains, four times over, hide the latency as well. */
#include <immintrin.h>

float peak_loop_avx2(long rounds);

float peak_loop_avx2(long rounds)
{
    __m256 a[8], scale = _mm256_set1_ps(0.999f), add = _mm256_set1_ps(0.001f);
    float out[8], sum = 0;

    for (int i = 0; i < 8; i++) a[i] = _mm256_set1_ps((float)i);
    for (long r = 0; r < 4 * rounds; r++) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) a[i] = _mm256_fmadd_ps(a[i], scale, add);
    }
    for (int i = 0; i < 8; i++) {
        _mm256_storeu_ps(out, a[i]);
        sum += out[0];
    }
    return sum;
}
