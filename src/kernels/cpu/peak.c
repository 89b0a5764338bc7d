/* peak.c - runs the multiply-add loop of the chosen instruction set on every thread and takes the best of several tries. */
#include "kernels/peak.h"
#include "base/threads.h"

#include "base/base.h"

/* One loop: `rounds` times 32 chains of one vector each. Returns a number that depends on all of them. */
typedef float (*peak_loop)(long rounds);
float peak_loop_avx2(long rounds);
float peak_loop_avx512(long rounds);

static float peak_loop_scalar(long rounds)
{
    float a[32], sum = 0;

    for (int i = 0; i < 32; i++) a[i] = (float)i;
    for (long r = 0; r < rounds; r++)
        for (int i = 0; i < 32; i++) a[i] = a[i] * 0.999f + 0.001f;
    for (int i = 0; i < 32; i++) sum += a[i];
    return sum;
}

double peak_flops(void)
{
#if defined(__x86_64__)
    static const peak_loop loops[] = {[ISA_SCALAR] = peak_loop_scalar,
                                      [ISA_AVX2] = peak_loop_avx2,
                                      [ISA_AVX512] = peak_loop_avx512,
                                      [ISA_AVX512_BF16] = peak_loop_avx512};
    static const int lanes[] = {[ISA_SCALAR] = 1, [ISA_AVX2] = 8, [ISA_AVX512] = 16, [ISA_AVX512_BF16] = 16};
#else
    static const peak_loop loops[] = {peak_loop_scalar};
    static const int lanes[] = {1};
#endif
    cpu_isa isa = cpu_isa_get();
    const long rounds = 500000;
    double best = 0;
    volatile float keep = 0;

    for (int attempt = 0; attempt < 5; attempt++) {
        double started = clock_seconds();
        float sum = 0;
#pragma omp parallel reduction(+ : sum)
        sum += loops[isa](rounds);
        keep = keep + sum; /* the loop's result must be used, or it is optimised away */
        double flops = 2.0 * 32.0 * lanes[isa] * (double)rounds * omp_get_max_threads() / (clock_seconds() - started);
        if (flops > best) best = flops;
    }
    return best;
}
