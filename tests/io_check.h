/* io_check.h - for the tests of io: assertions about statuses, and a scratch folder for each test. */
#ifndef SAE_IO_CHECK_H
#define SAE_IO_CHECK_H

#include "io_use.h"

#include <check.h>

#define OK(expression)                                                                                                 \
    do {                                                                                                               \
        sae_error err = {0};                                                                                           \
        sae_status status_ = (expression);                                                                             \
        ck_assert_msg(status_ == SAE_OK, "%s: %s", sae_status_name(status_), err.message);                             \
    } while (0)

/* The expression fails with this status, and the message holds the word. */
#define FAILS(expected, word, expression)                                                                              \
    do {                                                                                                               \
        sae_error err = {0};                                                                                           \
        sae_status status_ = (expression);                                                                             \
        ck_assert_msg(status_ == (expected) && strstr(err.message, word), "%s: %s", sae_status_name(status_),          \
                      err.message);                                                                                    \
    } while (0)

/* ---- A scratch folder for each test --------------------------------------------------------------------------------------- */

static char scratch[64];

UNUSED static void setup(void)
{
    strcpy(scratch, "/tmp/sae-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
}

UNUSED static void teardown(void)
{
    folder_remove(scratch, NULL);
    ck_assert_uint_eq(mem_in_use(), 0); /* every test gives back all it took */
}

UNUSED static const char *in_scratch(const char *name)
{
    static char path[4][256];
    static int next;

    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", scratch, name);
    return path[next];
}

UNUSED static int files_in_scratch(void)
{
    char **names;
    int n;

    OK(folder_list(scratch, &names, &n, &err));
    folder_list_free(names, n);
    return n;
}

UNUSED static void assert_file_holds(const char *path, const void *data, size_t n)
{
    char *text;
    size_t got;

    OK(file_read_all(path, (size_t)1 << 30, &text, &got, &err));
    ck_assert_uint_eq(got, n);
    ck_assert_mem_eq(text, data, n);
    mem_free(text);
}

UNUSED static void write_bytes(const char *path, const void *data, size_t n)
{
    OK(file_write_text(path, data, n, true, &err));
}

/* The main of such a test. */
UNUSED static int run_tests(const char *name, const TTest *const *tests, size_t n)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create(name);

    tcase_set_timeout(all, 120);
    tcase_add_checked_fixture(all, setup, teardown);
    for (size_t i = 0; i < n; i++) tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
