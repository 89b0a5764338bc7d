/*
 * test_plan.c - the memory that a run is said to take against the most that a process training so ever held. EVERY_ISA: what the
 * products leave taken depends on it.
 */
#include "base/threads.h"
#include "sae/train.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED
#endif

enum { STEPS = 2 };

typedef struct plan_row {
    sae_arch arch;
    int64_t d, d_sae, batch, k;
    int rank;
    bool pca, screen, bf16;
} plan_row;

static const plan_row rows_of_plan[] = {
    {SAE_BATCHTOPK, 768, 8192, 2048, 32, 0, false, false, false},
    {SAE_BATCHTOPK, 768, 8192, 2048, 32, 0, false, true, false},
    {SAE_BATCHTOPK, 768, 8192, 2048, 32, 0, false, false, true},
    {SAE_BATCHTOPK, 1536, 4096, 1024, 32, 8, true, false, false}, /* its d x d matrices are over the products' share */
    {SAE_JUMPRELU, 512, 8192, 1024, 64, 0, false, false, false},
    {SAE_BATCHTOPK, 768, 32768, 1024, 32, 0, false, false, false}, /* 0.8 GiB */
};

/* Peak and present memory of this process; bytes. */
static double memory_of(const char *key)
{
    char line[256];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) kib = atof(line + strlen(key));
    if (f) fclose(f);
    return kib * 1024;
}

START_TEST(test_plan_is_the_peak)
{
    const plan_row *c = &rows_of_plan[_i];
    sae_dict_config config = {.arch = c->arch,
                              .d_in = c->d,
                              .d_sae = c->d_sae,
                              .k = c->k,
                              .rank = c->rank,
                              .scaffold_start = c->pca ? SAE_START_PCA : SAE_START_ZERO};
    sae_train_options o = sae_recipe_saebench(c->batch, 1000);
    sae_trainer *t = NULL;
    sae_error err = {0};
    rng r = rng_seed(3, 0);

#ifdef SANITIZED
    printf("SKIP: memory without a sanitizer's own\n");
    return;
#endif
    if (c->bf16 && cpu_isa_get() != ISA_AVX512_BF16) {
        printf("SKIP: a processor with AVX-512-BF16\n");
        return;
    }
    if (cpu_isa_get() == ISA_SCALAR) return; /* minutes of plain loops; the products take nothing there */
    o.screen = c->screen;
    o.encoder_dtype = c->bf16 ? SAE_ENCODER_BF16 : SAE_ENCODER_F32;
    float *rows = malloc((size_t)(c->batch * c->d) * sizeof *rows);
    for (int64_t i = 0; i < c->batch * c->d; i++) rows[i] = (float)rng_normal(&r);
    double before = memory_of("VmRSS:"), planned = before + (double)sae_trainer_plan(&config, 1, &o).total;
    ck_assert_msg(sae_trainer_create(&t, &config, 1, &o, &err) == SAE_OK, "%s", err.message);
    for (int n = 0; n < STEPS; n++)
        ck_assert_msg(sae_trainer_step(t, rows, NULL, NULL, &err) == SAE_OK, "%s", err.message);
    double off = (memory_of("VmHWM:") - planned) / (1 << 20);
    if (getenv("SAE_TRACE"))
        printf("case %d, %s: planned %.1f MiB, off by %+.1f\n", _i, cpu_isa_name(cpu_isa_get()), planned / (1 << 20),
               off);
    /* Observed, on one thread and on two: -16 to 13 MiB; what malloc keeps of oneDNN's pieces differs so much from run to run, and
     * does not grow with the dictionary. So 3 % holds where a run takes over 667 MiB (this bound is the tighter one there; observed of
     * the last case 1.4 to 8.8 MiB, at most 1.1 %), and not for the small ones: 12.8 MiB are 4.2 % of the first. */
    ck_assert_msg(fabs(off) < 20, "planned %.1f MiB, peak off by %+.1f MiB", planned / (1 << 20), off);
    sae_trainer_free(t);
    free(rows);
}
END_TEST

/* What the bf16 product packs its weights into, and oneDNN's scratchpad, are as large as oneDNN says: 12 kB more are the object itself. With
 * columns that fill no block the copies alone would be 370 kB less. */
START_TEST(test_plan_of_the_bf16_product)
{
    static const int64_t shapes[][3] = {{512, 768, 4096}, {500, 770, 5000}}; /* rows, d_in, d_sae */

    if (cpu_isa_get() != ISA_AVX512_BF16) {
        printf("SKIP: a processor with AVX-512-BF16\n");
        return;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        encoder_shape shape = {
            .n_rows = shapes[i][0], .d_in = shapes[i][1], .d_sae = shapes[i][2], .bf16 = true, .n_threads = 1};
        encoder *e = NULL;
        sae_error err = {0};
        size_t before = mem_in_use(), planned = encoder_bytes(&shape);
        ck_assert_msg(encoder_create(&e, &shape, &err) == SAE_OK, "%s", err.message);
        size_t taken = mem_in_use() - before;
        ck_assert_msg(taken >= planned && taken - planned < 32 << 10, "planned %zu, taken %zu", planned, taken);
        encoder_free(e);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plan");
    TCase *tc = tcase_create("memory");
    SRunner *runner = srunner_create(s);

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_plan_is_the_peak, 0, sizeof rows_of_plan / sizeof *rows_of_plan);
    tcase_add_test(tc, test_plan_of_the_bf16_product);
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
