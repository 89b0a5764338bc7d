/*
 * matmul.c - products by oneDNN's sgemm, held to the instruction set that cpu_isa_get() chose.
 *
 * dnnl_sgemm is row-major. It answers with a status only for lack of memory or bad sizes; sizes are ours and checked by
 * the caller, so whatever it refuses is computed by the plain loops: slow, never wrong.
 */
#include "kernels/matmul.h"

#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>

static pthread_once_t setup_once = PTHREAD_ONCE_INIT;

/* oneDNN settles its instruction set at its first use: this must come before. Refusal (an older oneDNN chosen by
 * ONEDNN_MAX_CPU_ISA, say) leaves its own choice, which is right as well. */
static void setup(void)
{
    dnnl_cpu_isa_t isa = dnnl_cpu_isa_all;

    switch (cpu_isa_get()) {
    case ISA_SCALAR: isa = dnnl_cpu_isa_sse41; break;
    case ISA_AVX2: isa = dnnl_cpu_isa_avx2; break;
    case ISA_AVX512: isa = dnnl_cpu_isa_avx512_core; break;
    case ISA_AVX512_BF16: isa = dnnl_cpu_isa_all; break;
    }
    (void)dnnl_set_max_cpu_isa(isa);
}

void matmul_setup(void) { pthread_once(&setup_once, setup); }

static const char *isa_text(dnnl_cpu_isa_t isa)
{
    switch (isa) {
    case dnnl_cpu_isa_sse41: return "sse41";
    case dnnl_cpu_isa_avx: return "avx";
    case dnnl_cpu_isa_avx2: return "avx2";
    case dnnl_cpu_isa_avx2_vnni: return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core: return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni: return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16: return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx: return "avx512_core_amx";
    default: return "another instruction set";
    }
}

static char library_text[96];

static void name_library(void)
{
    const dnnl_version_t *v = dnnl_version();

    matmul_setup();
    if (cpu_isa_get() == ISA_SCALAR)
        snprintf(library_text, sizeof library_text, "plain loops");
    else
        snprintf(library_text, sizeof library_text, "oneDNN %d.%d.%d, %s", v->major, v->minor, v->patch,
                 isa_text(dnnl_get_effective_cpu_isa()));
}

const char *matmul_library(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, name_library);
    return library_text;
}

static bool fast(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (cpu_isa_get() == ISA_SCALAR || m <= 0 || n <= 0 || k <= 0) return false;
    matmul_setup();
    return dnnl_sgemm(trans_a, trans_b, m, n, k, 1.0F, a, lda, b, ldb, beta, c, ldc) == dnnl_success;
}

void matmul_nt(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
               float *c, int64_t ldc)
{
    if (!fast('N', 'T', m, n, k, a, lda, b, ldb, beta, c, ldc)) matmul_ref_nt(m, n, k, a, lda, b, ldb, beta, c, ldc);
}

void matmul_nn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
               float *c, int64_t ldc)
{
    if (!fast('N', 'N', m, n, k, a, lda, b, ldb, beta, c, ldc)) matmul_ref_nn(m, n, k, a, lda, b, ldb, beta, c, ldc);
}

void matmul_tn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
               float *c, int64_t ldc)
{
    if (!fast('T', 'N', m, n, k, a, lda, b, ldb, beta, c, ldc)) matmul_ref_tn(m, n, k, a, lda, b, ldb, beta, c, ldc);
}
