/* peak_avx512.c - 16 chains, twice over. */
#include <immintrin.h>

float peak_loop_avx512(long rounds);

float peak_loop_avx512(long rounds)
{
    __m512 a[16], scale = _mm512_set1_ps(0.999f), add = _mm512_set1_ps(0.001f);
    float out[16], sum = 0;

    for (int i = 0; i < 16; i++) a[i] = _mm512_set1_ps((float)i);
    for (long r = 0; r < 2 * rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) a[i] = _mm512_fmadd_ps(a[i], scale, add);
    }
    for (int i = 0; i < 16; i++) {
        _mm512_storeu_ps(out, a[i]);
        sum += out[0];
    }
    return sum;
}
