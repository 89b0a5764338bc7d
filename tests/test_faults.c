/*
 * test_faults.c - every allocation and every system call of whole operations fails once, in turn. Whatever fails: one clear
 * error, nothing leaked, nothing half written left behind, what was there before intact, and the operation done again gives
 * the same bytes as if nothing had happened. Prints how many failures were injected.
 */
#include "eval/training.h"
#include "io/system.h"
#include "io_check.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <xxhash.h>

/* ---- What is in a folder ----------------------------------------------------------------------------------------------- */

/* XXH3 over names and contents of all below `path`; 0: there is nothing. */
static uint64_t tree_hash(const char *path)
{
    char **names = NULL, *text = NULL;
    uint64_t hash = 1, part;
    size_t length = 0;
    int n = 0;

    if (!file_exists(path)) return 0;
    if (!file_is_folder(path)) {
        OK(file_read_all(path, (size_t)1 << 28, &text, &length, &err));
        hash = XXH3_64bits_withSeed(text, length, 2);
        mem_free(text);
        return hash;
    }
    OK(folder_list(path, &names, &n, &err));
    for (int i = 0; i < n; i++) {
        char *below = path_join(path, names[i], NULL);
        part = tree_hash(below);
        hash = XXH3_64bits_withSeed(names[i], strlen(names[i]), hash);
        hash = XXH3_64bits_withSeed(&part, sizeof part, hash);
        mem_free(below);
    }
    folder_list_free(names, n);
    return hash;
}

static int count_leftovers(const char *path)
{
    char **names = NULL;
    int n = 0, found = 0;

    if (!file_is_folder(path)) return 0;
    OK(folder_list(path, &names, &n, &err));
    for (int i = 0; i < n; i++) {
        char *below = path_join(path, names[i], NULL);
        found += is_leftover(names[i], NULL) + count_leftovers(below);
        mem_free(below);
    }
    folder_list_free(names, n);
    return found;
}

/* ---- Sweeps ------------------------------------------------------------------------------------------------------------ */

/* An operation and what it works on. `prepare` makes the state before it (in an empty scratch folder), `result` is the part
 * of the scratch folder that the operation makes or replaces: it is as before, or as after, and nothing else. */
typedef struct operation {
    const char *name;
    void (*prepare)(void);
    sae_status (*run)(sae_error *err);
    uint64_t (*result)(void);
} operation;

/* In memory that the processes of all tests share: [0] of the operation now, [1] of all. */
static int64_t *injected;

static void count_injected(void)
{
    injected[0]++;
    injected[1]++;
}

static void fresh(const operation *o)
{
    folder_remove(scratch, NULL);
    OK(folder_make(scratch, &err));
    if (o->prepare) o->prepare();
}

typedef struct outcome {
    uint64_t before, after; /* of an undisturbed run */
    size_t memory;
    int64_t calls;
} outcome;

/* What must hold after a run in which something failed. */
static void expect_intact(const operation *o, const outcome *clean, const char *what, int64_t nth, sae_status status,
                          const sae_error *err)
{
    uint64_t now = o->result();

    ck_assert_msg(mem_in_use() == clean->memory, "%s: %s %lld: %zu bytes leaked", o->name, what, (long long)nth,
                  mem_in_use() - clean->memory);
    ck_assert_msg(status == err->code, "%s: %s %lld: status %s, but the record says %s \"%s\"", o->name, what,
                  (long long)nth, sae_status_name(status), sae_status_name(err->code), err->message);
    ck_assert_msg(status == SAE_OK || err->message[0], "%s: %s %lld: no message", o->name, what, (long long)nth);
    if (status == SAE_OK)
        ck_assert_msg(now == clean->after, "%s: %s %lld: passed over, but the result is another", o->name, what,
                      (long long)nth);
    ck_assert_msg(now == clean->before || now == clean->after, "%s: %s %lld: neither the old nor the new (%s)", o->name,
                  what, (long long)nth, err->message);
}

/* The operation again, with nothing failing: as if nothing had happened. */
static void expect_recovery(const operation *o, const outcome *clean, const char *what, int64_t nth)
{
    sae_error err = {0};
    sae_status status = o->run(&err);

    /* What the failed run had finished already is not to be written twice. */
    if (status == SAE_EXISTS && o->result() == clean->after) status = SAE_OK;
    ck_assert_msg(status == SAE_OK, "%s: after %s %lld, again: %s", o->name, what, (long long)nth, err.message);
    ck_assert_msg(o->result() == clean->after, "%s: after %s %lld, again: another result", o->name, what,
                  (long long)nth);
    ck_assert_msg(count_leftovers(scratch) == 0, "%s: after %s %lld, again: something half written is left", o->name,
                  what, (long long)nth);
}

static outcome undisturbed(const operation *o)
{
    outcome clean = {0};

    fresh(o);
    OK(o->run(&err)); /* caches that are made once */
    fresh(o);
    clean.before = o->result();
    clean.memory = mem_in_use();
    int64_t calls = io_calls();
    OK(o->run(&err));
    clean.calls = io_calls() - calls;
    clean.after = o->result();
    ck_assert_msg(mem_in_use() == clean.memory, "%s leaks", o->name);
    return clean;
}

static void sweep_memory(const operation *o, const outcome *clean)
{
    for (int64_t nth = 1;; nth++) {
        sae_error err = {0};
        fresh(o);
        mem_fail_nth(nth);
        sae_status status = o->run(&err);
        mem_fail_nth(0);
        if (!mem_failed()) break;
        count_injected();
        expect_intact(o, clean, "allocation", nth, status, &err);
        ck_assert_msg(status == SAE_NOMEM, "%s: allocation %lld: %s: %s", o->name, (long long)nth,
                      sae_status_name(status), err.message);
        expect_recovery(o, clean, "allocation", nth);
    }
}

/* Failures end the operation with a message that names a file of ours; or they do not matter. */
static void sweep_error(const operation *o, const outcome *clean, int error)
{
    char what[64];

    snprintf(what, sizeof what, "\"%s\" in call", strerror(error));
    for (int64_t nth = 1; nth <= clean->calls; nth++) {
        sae_error err = {0};
        fresh(o);
        io_fail_nth(nth, error);
        sae_status status = o->run(&err);
        bool failed = io_failed();
        io_fail_nth(0, 0);
        ck_assert_msg(failed, "%s: call %lld was not made", o->name, (long long)nth);
        count_injected();
        expect_intact(o, clean, what, nth, status, &err);
        if (status != SAE_OK)
            ck_assert_msg(strstr(err.message, scratch) || strstr(err.message, "data/"), "%s: %s %lld names no file: %s",
                          o->name, what, (long long)nth, err.message);
        expect_recovery(o, clean, what, nth);
    }
}

/* What is interrupted or cut short is gone on with: nobody notices. */
static void sweep_unnoticed(const operation *o, const outcome *clean, int how)
{
    const char *what = how == IO_SHORT ? "a short read or write in call" : "a signal in call";

    for (int64_t nth = 1; nth <= clean->calls; nth++) {
        sae_error err = {0};
        fresh(o);
        io_fail_nth(nth, how);
        sae_status status = o->run(&err);
        io_fail_nth(0, 0);
        count_injected();
        expect_intact(o, clean, what, nth, status, &err);
        ck_assert_msg(status == SAE_OK, "%s: %s %lld: %s", o->name, what, (long long)nth, err.message);
        ck_assert_int_eq(count_leftovers(scratch), 0);
    }
}

/* Killed at each call, in the middle of each write: the old or the new, and the next one cleans up. */
static void sweep_kills(const operation *o, const outcome *clean)
{
    for (int64_t nth = 1; nth <= clean->calls; nth++) {
        int how = 0;
        fresh(o);
        pid_t child = fork();
        if (child == 0) {
            io_fail_nth(nth, IO_KILL);
            o->run(NULL);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &how, 0), child);
        ck_assert_msg(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL, "%s: not killed at call %lld", o->name,
                      (long long)nth);
        count_injected();
        uint64_t now = o->result();
        ck_assert_msg(now == clean->before || now == clean->after,
                      "%s: killed at call %lld: neither the old nor the new", o->name, (long long)nth);
        expect_recovery(o, clean, "a kill at call", nth);
    }
}

static void sweep(const operation *o)
{
    static const int errors[] = {ENOSPC, EIO, EINVAL};
    outcome clean = undisturbed(o);

    injected[0] = 0;
    ck_assert_int_gt(clean.calls, 0);
    sweep_memory(o, &clean);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) sweep_error(o, &clean, errors[i]);
    sweep_unnoticed(o, &clean, EINTR);
    sweep_unnoticed(o, &clean, IO_SHORT);
    printf("%s: %lld failures injected, %lld system calls\n", o->name, (long long)injected[0], (long long)clean.calls);
}

/* ---- Files and folders ------------------------------------------------------------------------------------------------- */

static void old_file(void) { write_bytes(in_scratch("out"), "{\"old\": 1}", 10); }
static uint64_t out_hash(void) { return tree_hash(in_scratch("out")); }

static sae_status new_file(sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *value = json_pack("{s:[i, i, i]}", "new", 1, 2, 3), *back = NULL;

    SAE_TRY(json_write_file(value, in_scratch("out"), true, err));
    SAE_TRY(json_read_file(&back, in_scratch("out"), err));
done:
    json_decref(value);
    json_decref(back);
    return status;
}

START_TEST(test_file)
{
    const operation replaced = {"a file is replaced", old_file, new_file, out_hash},
                    made = {"a file is made", NULL, new_file, out_hash};
    outcome clean;

    sweep(&replaced);
    clean = undisturbed(&replaced);
    sweep_kills(&replaced, &clean);
    sweep(&made);
}
END_TEST

/* In memory where there is such a place: each operation syncs the disk, a thousand times over. */
static void scratch_make(void)
{
    strcpy(scratch, "/dev/shm/sae-test-XXXXXX");
    if (!mkdtemp(scratch)) setup();
}

int main(void)
{
    const TTest *const tests[] = {test_file};
    Suite *suite = suite_create("faults");

    injected = mmap(NULL, 2 * sizeof *injected, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        TCase *one = tcase_create(tests[i]->name);
        tcase_set_timeout(one, 240);
        tcase_add_checked_fixture(one, scratch_make, teardown);
        tcase_add_test(one, tests[i]);
        suite_add_tcase(suite, one);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    printf("%lld failures injected in all\n", (long long)injected[1]);
    return failed != 0;
}
