/*
 * test_checkpoint.c - what resuming tells and refuses: damaged, foreign, newer and nonsensical checkpoints, what killed
 * processes left, runs without a checkpoint. (That a resumed run has the same bytes: test_training_laws, test_kills.)
 */
#include "io/system.h"
#include "io_check.h"

#include <errno.h>
#include <inttypes.h>
#include <xxhash.h>

enum { D = 8, WIDTH = 32, BATCH = 16, STEPS = 40 };

static sae_trainer *trainer(int64_t k)
{
    sae_dict_config c = {.arch = SAE_BATCHTOPK, .d_in = D, .d_sae = WIDTH, .k = k, .rank = 2};
    sae_train_options o = sae_recipe_saebench(BATCH, STEPS);
    sae_trainer *t = NULL;

    OK(sae_trainer_create(&t, &c, 1, &o, &err));
    return t;
}

static void train(sae_trainer *t, int64_t until)
{
    float rows[BATCH * D];

    while (sae_trainer_steps_done(t) < until) {
        rng r = rng_seed(4, (uint64_t)sae_trainer_steps_done(t));
        for (int i = 0; i < BATCH * D; i++) rows[i] = (float)rng_normal(&r);
        OK(sae_trainer_step(t, rows, NULL, NULL, &err));
    }
}

/* Checkpoints of steps 10, 20 and 30 in the scratch folder. */
static void three_checkpoints(void)
{
    sae_trainer *t = trainer(4);

    for (int64_t n = 10; n <= 30; n += 10) {
        train(t, n);
        OK(sae_trainer_save(t, scratch, n * BATCH, &err));
    }
    sae_trainer_free(t);
}

static const char *state_of(int step)
{
    char name[64];

    snprintf(name, sizeof name, "checkpoints/%012d/state.json", step);
    return in_scratch(name);
}

/* Resumes; the step, and what was told in *notice (caller's, 1000 bytes). */
static int64_t resume(char *notice)
{
    sae_trainer *t = trainer(4);
    int64_t rows = -1;

    OK(sae_trainer_resume(t, scratch, &rows, &err));
    int64_t step = sae_trainer_steps_done(t);
    ck_assert_int_eq(rows, step * BATCH);
    snprintf(notice, 1000, "%s", sae_trainer_notice(t));
    sae_trainer_free(t);
    return step;
}

static void resume_fails(sae_status expected, const char *word)
{
    sae_trainer *t = trainer(4);
    int64_t rows;

    FAILS(expected, word, sae_trainer_resume(t, scratch, &rows, &err));
    sae_trainer_free(t);
}

/* Sets a member of a checkpoint's state (of its first dictionary when inside), and its checksum right again. */
static void forge(int step, bool inside, const char *key, json_t *value)
{
    json_t *state = NULL;
    char hash[17];

    OK(json_read_file(&state, state_of(step), &err));
    json_object_set_new(inside ? json_array_get(json_object_get(state, "dicts"), 0) : state, key, value);
    json_object_del(state, "checksum");
    char *text = json_dumps(state, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    snprintf(hash, sizeof hash, "%016" PRIx64, (uint64_t)XXH3_64bits(text, strlen(text)));
    json_object_set_new(state, "checksum", json_string(hash));
    OK(json_write_file(state, state_of(step), true, &err));
    free(text);
    json_decref(state);
}

START_TEST(test_nothing_to_tell)
{
    char notice[1000];

    three_checkpoints();
    ck_assert_int_eq(resume(notice), 30);
    ck_assert_str_eq(notice, "");
}
END_TEST

START_TEST(test_no_checkpoint_yet)
{
    char notice[1000];

    ck_assert_int_eq(resume(notice), 0);
    ck_assert_ptr_nonnull(strstr(notice, "no checkpoint yet"));
    OK(folder_make(in_scratch("checkpoints"), &err));
    ck_assert_int_eq(resume(notice), 0);
    ck_assert_ptr_nonnull(strstr(notice, "first step"));
}
END_TEST

/* Each way in which the newest can be unreadable; the one before is taken and it is told. */
START_TEST(test_damaged_newest_is_told)
{
    char notice[1000];

    three_checkpoints();
    if (_i == 0) write_bytes(state_of(30), "{}", 2);
    if (_i == 1) write_bytes(state_of(30), "not JSON", 8);
    if (_i == 2) OK(file_remove(state_of(30), &err));
    if (_i == 3) OK(file_remove(in_scratch("checkpoints/000000000030/dict_0.safetensors"), &err));
    if (_i == 4) write_bytes(in_scratch("checkpoints/000000000030/dict_0.safetensors"), "", 0);
    ck_assert_int_eq(resume(notice), 20);
    ck_assert_msg(strstr(notice, "000000000030") && strstr(notice, "passed over"), "%s", notice);
}
END_TEST

START_TEST(test_all_damaged)
{
    three_checkpoints();
    for (int step = 10; step <= 30; step += 10) write_bytes(state_of(step), "not JSON", 8);
    resume_fails(SAE_FORMAT, "Without this folder the same command begins");
}
END_TEST

/* What cannot be read is not damaged: no older one is taken, since the next save would then remove it. */
START_TEST(test_unreadable_newest_is_kept)
{
    char before[1000];
    int64_t rows, n = 1, failed = 0;

    three_checkpoints();
    for (bool more = true; more; n++) {
        sae_trainer *t = trainer(4);
        sae_error err = {0};
        io_fail_nth(n, EIO);
        sae_status status = sae_trainer_resume(t, scratch, &rows, &err);
        more = io_failed();
        io_fail_nth(0, 0);
        ck_assert_msg(status == (more ? SAE_IO : SAE_OK) || (status == SAE_OK && sae_trainer_steps_done(t) == 30),
                      "call %lld: %s, step %lld", (long long)n, err.message, (long long)sae_trainer_steps_done(t));
        failed += status == SAE_IO;
        sae_trainer_free(t);
    }
    ck_assert_int_ge(failed, 3); /* the folder, its state, its weights */
    ck_assert_int_eq(resume(before), 30);
}
END_TEST

START_TEST(test_newer_format_is_refused)
{
    three_checkpoints();
    forge(30, false, "format", json_integer(1000));
    resume_fails(SAE_UNSUPPORTED, "format 1000");
    write_bytes(state_of(30), "{\"format\": 1000, \"all\": \"else differs\"}", 39);
    resume_fails(SAE_UNSUPPORTED, "wrote it");
}
END_TEST

START_TEST(test_other_machine_is_told)
{
    char notice[1000];

    three_checkpoints();
    forge(30, false, "machine", json_pack("{si}", "threads", 77));
    ck_assert_int_eq(resume(notice), 30);
    ck_assert_msg(strstr(notice, "other threads"), "%s", notice);
}
END_TEST

/* Checksums can be forged, or computed over nonsense: numbers that cannot be are refused. */
START_TEST(test_nonsense_is_refused)
{
    static const struct {
        bool inside;
        const char *key, *json, *word;
        sae_status status;
    } cases[] = {
        {false, "step", "-1", "step -1", SAE_FORMAT},
        {false, "step", "41", "step 41", SAE_FORMAT},
        {false, "step", "\"x\"", "step", SAE_FORMAT},
        {false, "rows_given", "-5", "row -5", SAE_FORMAT},
        {false, "rows_given", "9000000000000000000", "row 9", SAE_FORMAT},
        {false, "dicts", "[]", "0 dictionaries", SAE_STATE},
        {false, "dicts", "{}", "0 dictionaries", SAE_STATE},
        {false, "options", "{}", "another \"", SAE_STATE},
        {true, "config", "null", "another \"", SAE_STATE},
        {true, "input_scale", "-1.0", "input scale", SAE_FORMAT},
        {true, "target_scale", "-2.0", "target scale", SAE_FORMAT},
        {true, "died", "-1", "died", SAE_FORMAT},
        {true, "revived", "9000000000000000000", "revived", SAE_FORMAT},
        {true, "cutoff", "1e300", "cutoff", SAE_FORMAT},
        {true, "threshold", "\"high\"", "threshold", SAE_FORMAT},
        {true, "weights_read", "-1", "weights_read", SAE_FORMAT},
    };

    three_checkpoints();
    json_t *value = json_loads(cases[_i].json, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(value);
    forge(30, cases[_i].inside, cases[_i].key, value);
    sae_trainer *t = trainer(4);
    float x[BATCH * D] = {0};
    int64_t rows;
    FAILS(cases[_i].status, cases[_i].word, sae_trainer_resume(t, scratch, &rows, &err));
    FAILS(SAE_STATE, "half-way", sae_trainer_step(t, x, NULL, NULL, &err)); /* with whatever was read */
    FAILS(SAE_STATE, "half-way", sae_trainer_save(t, scratch, 0, &err));
    sae_trainer_free(t);
}
END_TEST

START_TEST(test_other_options_are_named)
{
    sae_trainer *t = trainer(5);
    int64_t rows;

    three_checkpoints();
    FAILS(SAE_STATE, "\"k\"", sae_trainer_resume(t, scratch, &rows, &err));
    sae_trainer_free(t);
}
END_TEST

/* Pruning: the newest of those up to the step are kept, later ones and what dead processes left go. */
START_TEST(test_prune)
{
    char live[64];
    char **names;
    int n;

    three_checkpoints();
    OK(folder_make(in_scratch("checkpoints/000000000040.tmp.2147483646"), &err)); /* no process can have this number */
    write_bytes(in_scratch("checkpoints/000000000040.tmp.2147483646/dict_0.safetensors"), "x", 1);
    OK(folder_make(in_scratch("checkpoints/000000000005.tmp.2147483646"), &err));
    snprintf(live, sizeof live, "checkpoints/000000000006.tmp.%ld", (long)getppid());
    OK(folder_make(in_scratch(live), &err));
    OK(folder_make(in_scratch("checkpoints/mine"), &err));
    OK(sae_checkpoints_prune(scratch, 20, 1, &err));
    OK(folder_list(in_scratch("checkpoints"), &names, &n, &err));
    ck_assert_int_eq(n, 3);
    ck_assert_ptr_nonnull(strstr(names[0], "000000000006.tmp."));
    ck_assert_str_eq(names[1], "000000000020");
    ck_assert_str_eq(names[2], "mine");
    folder_list_free(names, n);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *all = tcase_create("checkpoint");

    tcase_set_timeout(all, 120);
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, test_nothing_to_tell);
    tcase_add_test(all, test_no_checkpoint_yet);
    tcase_add_loop_test(all, test_damaged_newest_is_told, 0, 5);
    tcase_add_test(all, test_all_damaged);
    tcase_add_test(all, test_unreadable_newest_is_kept);
    tcase_add_test(all, test_newer_format_is_refused);
    tcase_add_test(all, test_other_machine_is_told);
    tcase_add_loop_test(all, test_nonsense_is_refused, 0, 16);
    tcase_add_test(all, test_other_options_are_named);
    tcase_add_test(all, test_prune);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
