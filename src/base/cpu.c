/* cpu.c - which instruction sets this processor has, and which of them to use. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const isa_names[] = {"scalar", "avx2", "avx512", "avx512_bf16"};
enum { N_ISA = sizeof isa_names / sizeof *isa_names };

static cpu_isa detect(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (avx512 && __builtin_cpu_supports("avx512bf16")) return ISA_AVX512_BF16;
    if (avx512) return ISA_AVX512;
    if (avx2) return ISA_AVX2;
#endif
    return ISA_SCALAR;
}

static int parse(const char *name)
{
    for (int i = 0; i < N_ISA; i++)
        if (strcmp(name, isa_names[i]) == 0) return i;
    return -1;
}

cpu_isa cpu_isa_get(void)
{
    static int chosen = -1;

    if (chosen < 0) {
        cpu_isa best = detect();
        const char *wanted = getenv("SAE_ISA");
        int isa = wanted && *wanted ? parse(wanted) : (int)best;
        chosen = isa >= 0 && isa < (int)best ? isa : (int)best;
    }
    return (cpu_isa)chosen;
}

const char *cpu_isa_name(cpu_isa isa) { return isa_names[isa]; }

sae_status cpu_isa_check(sae_error *err)
{
    const char *wanted = getenv("SAE_ISA");

    if (!wanted || !*wanted) return SAE_OK;
    int isa = parse(wanted);
    if (isa < 0)
        return SAE_FAIL(err, SAE_RANGE, "SAE_ISA=%s: unknown; use scalar, avx2, avx512 or avx512_bf16", wanted);
    if (isa > (int)detect())
        return SAE_FAIL(err, SAE_MISSING, "SAE_ISA=%s: this processor has no more than %s", wanted,
                        isa_names[detect()]);
    return SAE_OK;
}

const char *cpu_name(void)
{
    static char name[128];

    if (!name[0]) {
        char line[256];
        FILE *f = fopen("/proc/cpuinfo", "re");
        snprintf(name, sizeof name, "unknown processor");
        while (f && fgets(line, sizeof line, f)) {
            if (strncmp(line, "model name", 10) != 0) continue;
            char *colon = strchr(line, ':');
            if (colon) snprintf(name, sizeof name, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
        if (f) fclose(f);
    }
    return name;
}

double clock_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
