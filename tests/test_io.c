/* test_io.c - the readers on real files: golden models of the real libraries, and a published GGUF model. */
#include "io/io.h"
#include "kernels/dequant.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OK(expression)                                                                                                 \
    do {                                                                                                               \
        sae_error err = {0};                                                                                           \
        sae_status status_ = (expression);                                                                             \
        ck_assert_msg(status_ == SAE_OK, "%s: %s", sae_status_name(status_), err.message);                             \
    } while (0)

START_TEST(test_safetensors_opens_a_golden_model)
{
    safetensors *st;
    const tensor *t;

    OK(safetensors_open(&st, "data/golden/models/gpt2/model.safetensors", &err));
    ck_assert_int_eq(safetensors_count(st), 40);
    t = safetensors_find(st, "transformer.wte.weight");
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(t->type, DTYPE_F32);
    ck_assert_int_eq(t->rank, 2);
    ck_assert_ptr_null(safetensors_find(st, "no.such.tensor"));
    ck_assert_str_eq(json_string_value(json_object_get(safetensors_metadata(st), "format")), "pt");
    safetensors_close(st);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io");
    TCase *real = tcase_create("real files");
    tcase_add_test(real, test_safetensors_opens_a_golden_model);
    suite_add_tcase(suite, real);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
