/* machine_rate.c - measures product after product for about a second, so that a busy moment does not decide. */
#include "lab/machine_rate.h"

#include "kernels/matmul.h"

#include <math.h>
#include <stdlib.h>

enum { N = 1024, LEAST = 5, MOST = 1000 };

machine_rate machine_rate_of(double *measured, int n)
{
    qsort(measured, (size_t)n, sizeof *measured, compare_doubles);
    return (machine_rate){.flops = measured[n - 1], .busy = measured[n - 1] > 1.5 * measured[n / 2]};
}

static double measure(float *a)
{
    const double began = clock_seconds();

    matmul_nt(N, N, N, a, N, a + N * N, N, 0, a + 2 * N * N, N);
    return 2.0 * N * N * N / fmax(clock_seconds() - began, 1e-9);
}

sae_status machine_rate_measure(machine_rate *out, sae_error *err)
{
    const double began = clock_seconds();
    double measured[MOST];
    int n = 0;
    float *a = mem_alloc_array((size_t)N * N, 3 * sizeof *a, "a product to calibrate with", err);

    if (!a) return SAE_NOMEM;
    for (int i = 0; i < 2 * N * N; i++) a[i] = (float)(i % 17) * 0.1F;
    while (n < LEAST || (n < MOST && clock_seconds() - began < 1)) measured[n++] = measure(a);
    mem_free(a);
    *out = machine_rate_of(measured, n);
    return SAE_OK;
}
