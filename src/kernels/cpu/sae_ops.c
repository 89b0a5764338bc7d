/* sae_ops.c - which table serves which instruction set. */
#include "kernels/sae_ops.h"

const sae_ops *sae_ops_for(cpu_isa isa)
{
#if defined(__x86_64__)
    extern const sae_ops sae_ops_avx2, sae_ops_avx512;
    static const sae_ops *const tables[] = {[ISA_SCALAR] = &sae_ops_ref,
                                            [ISA_AVX2] = &sae_ops_avx2,
                                            [ISA_AVX512] = &sae_ops_avx512,
                                            [ISA_AVX512_BF16] = &sae_ops_avx512};
    return tables[isa];
#else
    (void)isa;
    return &sae_ops_ref;
#endif
}

const sae_ops *sae_ops_get(void) { return sae_ops_for(cpu_isa_get()); }
