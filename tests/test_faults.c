/*
 * test_faults.c - every allocation, ours and jansson's, and every system call of whole operations fails once, in turn.
 * Whatever fails: one clear error, nothing leaked, nothing half written left behind, what was there before intact, and the
 * operation done again gives the same bytes as if nothing had happened. Prints how many failures were injected.
 */
#include "base/threads.h"
#include "eval/training.h"
#include "io/system.h"
#include "io_check.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
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

/* In memory that the processes of all tests share: [0] of the operation now, [1] of all, [2] calls of a child. */
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

static int64_t json_countdown;
static void *json_failing_malloc(size_t size) { return --json_countdown == 0 ? NULL : malloc(size); }

/* Each allocation of jansson fails, later ones ever fewer: an error, never a file in which a member is missing. NOMEM, or
 * FORMAT where a text was read: jansson's parser drops what it has no memory for, and the text is then another. What leaks,
 * the sanitizer sees. */
static void sweep_json(const operation *o, const outcome *clean)
{
    bool done = false;

    for (int64_t nth = 1; !done; nth += 1 + nth / 100) {
        sae_error err = {0};
        fresh(o);
        json_set_alloc_funcs(json_failing_malloc, free);
        json_countdown = nth;
        sae_status status = o->run(&err);
        done = json_countdown > 0;
        json_set_alloc_funcs(malloc, free);
        if (done) break;
        count_injected();
        expect_intact(o, clean, "allocation of jansson", nth, status, &err);
        ck_assert_msg(status == SAE_OK || status == SAE_NOMEM || status == SAE_FORMAT,
                      "%s: allocation %lld of jansson: %s: %s", o->name, (long long)nth, sae_status_name(status),
                      err.message);
        if (status != SAE_OK) expect_recovery(o, clean, "allocation of jansson", nth);
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
        if (status != SAE_OK) expect_recovery(o, clean, what, nth); /* else all is there already */
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

/* In a process of its own, since OpenMP does not survive a fork: its state made, or the operation run (killed
 * at a call unless kill_at is 0), or both. Its wait status; injected[2] tells how many calls it made. */
static int in_child(const operation *o, bool prepare, bool run, int64_t kill_at)
{
    int how = 0;
    pid_t child = fork();

    if (child == 0) {
        if (prepare) fresh(o);
        int64_t calls = io_calls();
        io_fail_nth(kill_at, IO_KILL);
        sae_status status = run ? o->run(NULL) : SAE_OK;
        injected[2] = io_calls() - calls;
        _exit(status == SAE_OK ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &how, 0), child);
    return how;
}

/* Killed at each call, in the middle of each write: the old or the new, and the next one cleans up. */
static void sweep_kills(const operation *o)
{
    ck_assert_int_eq(in_child(o, true, false, 0), 0);
    uint64_t before = o->result();
    ck_assert_int_eq(in_child(o, false, true, 0), 0);
    uint64_t after = o->result();
    int64_t calls = injected[2];

    ck_assert_int_gt(calls, 10);
    for (int64_t nth = 1; nth <= calls; nth++) {
        int how = in_child(o, true, true, nth);
        ck_assert_msg(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL, "%s: not killed at call %lld", o->name,
                      (long long)nth);
        count_injected();
        uint64_t now = o->result();
        ck_assert_msg(now == before || now == after, "%s: killed at call %lld: neither the old nor the new", o->name,
                      (long long)nth);
        ck_assert_msg(in_child(o, false, true, 0) == 0 && o->result() == after && count_leftovers(scratch) == 0,
                      "%s: killed at call %lld, then done again: not as if nothing had happened", o->name,
                      (long long)nth);
    }
    printf("%s: killed at each of %lld system calls\n", o->name, (long long)calls);
}

static void sweep(const operation *o)
{
    static const int errors[] = {ENOSPC, EIO, EINVAL};
    outcome clean = undisturbed(o);

    injected[0] = 0;
    ck_assert_int_gt(clean.calls, 0);
    sweep_memory(o, &clean);
    sweep_json(o, &clean);
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

    sweep(&replaced);
    sweep(&made);
}
END_TEST

/* What a process that was killed between two renames put aside is all there is of the old data: a call that fails leaves it where it is,
 * or in its place, and says so when it cannot be put back. */
static const char *aside(void)
{
    static char name[64];

    snprintf(name, sizeof name, "out.tmp.%ld.old", (long)getpid());
    return in_scratch(name);
}

static void put_aside(void)
{
    OK(folder_make(aside(), &err));
    char *file = path_join(aside(), "all", NULL);
    write_bytes(file, "there is", 8);
    mem_free(file);
}

START_TEST(test_put_aside_is_kept)
{
    static const int errors[] = {EACCES, ENOSPC, EIO};
    const operation o = {"the old data is put back", put_aside, NULL, out_hash};
    int told = 0;

    fresh(&o);
    uint64_t old = tree_hash(aside());
    int64_t calls = io_calls();
    OK(leftovers_remove(in_scratch("out"), &err));
    calls = io_calls() - calls;
    ck_assert(out_hash() == old && !file_exists(aside()));
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
        for (int64_t nth = 1; nth <= calls; nth++) {
            sae_error failure = {0};
            fresh(&o);
            io_fail_nth(nth, errors[e]);
            sae_status status = leftovers_remove(in_scratch("out"), &failure);
            io_fail_nth(0, 0);
            count_injected();
            ck_assert_msg(out_hash() == old || tree_hash(aside()) == old, "call %lld: nothing is left", (long long)nth);
            if (status == SAE_OK) continue;
            told++;
            ck_assert_msg(strstr(failure.message, aside()) && strstr(failure.message, strerror(errors[e])), "%s",
                          failure.message);
            OK(leftovers_remove(in_scratch("out"), &err));
            ck_assert(out_hash() == old);
        }
    ck_assert_int_eq(told, 3);
}
END_TEST

/* ---- A store ------------------------------------------------------------------------------------------------------------- */

enum { ROWS = 96, WIDTH = 8, BATCH = 16, STEPS = 6 };

static void write_rows(const char *path)
{
    static float x[ROWS * WIDTH];
    rng r = rng_seed(6, 0);
    const tensor t = {.name = "x", .rank = 2, .shape = {ROWS, WIDTH}, .data = x};

    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = (float)(1.0 + rng_normal(&r) * (1 + i % WIDTH));
    OK(npy_write(path, &t, true, &err));
}

static void rows_only(void) { write_rows(in_scratch("x.npy")); }
static uint64_t store_hash(void) { return tree_hash(in_scratch("store")); }

static sae_status write_store(int64_t n, bool force, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_acts *acts = NULL;
    sae_store_options o = {.shard_rows = 40, .force = force, .about = "{\"site\": \"a test\"}"};

    SAE_TRY(sae_acts_open_array(&acts, in_scratch("x.npy"), &(sae_acts_options){.seed = 1}, err));
    SAE_TRY(sae_store_write(in_scratch("store"), acts, n, &o, NULL, err));
done:
    sae_acts_free(acts);
    return status;
}

static sae_status make_store(sae_error *err) { return write_store(-1, false, err); }
static sae_status replace_store(sae_error *err) { return write_store(ROWS, true, err); }

static void small_store(void)
{
    rows_only();
    OK(write_store(50, false, &err));
}

START_TEST(test_store_is_made) { sweep(&(operation){"a store is made", rows_only, make_store, store_hash}); }
END_TEST

START_TEST(test_store_is_replaced)
{
    sweep(&(operation){"a store is replaced", small_store, replace_store, store_hash});
}
END_TEST

static uint64_t rows_hash;

static uint64_t hash_of_rows(void) { return rows_hash; }

static void store_to_read(void)
{
    rows_hash = 0;
    small_store();
}

static sae_status read_store(sae_error *err)
{
    sae_status status = SAE_OK;
    sae_acts *acts = NULL;
    const char *path = in_scratch("store");
    float rows[64 * WIDTH];
    int64_t got = 0;

    rows_hash = 0;
    SAE_TRY(sae_acts_open_store(&acts, &path, 1, &(sae_acts_options){.seed = 3, .repeat = true}, err));
    SAE_TRY(sae_acts_next(acts, 64, rows, NULL, NULL, &got, err));
    rows_hash = XXH3_64bits(rows, sizeof rows) + (uint64_t)got;
done:
    sae_acts_free(acts);
    return status;
}

START_TEST(test_store_is_read) { sweep(&(operation){"a store is read", store_to_read, read_store, hash_of_rows}); }
END_TEST

/* ---- A dictionary ---------------------------------------------------------------------------------------------------------- */

static sae_status save_dict(double value, bool force, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;
    sae_dict_config c = {.arch = SAE_BATCHTOPK, .d_in = WIDTH, .d_sae = 12, .k = 2, .rank = 2};

    SAE_TRY(sae_dict_create(&dict, &c, err));
    sae_weights w = sae_dict_weights(dict);
    for (int i = 0; i < WIDTH * 12; i++) w.W_enc[i] = w.W_dec[i] = (float)(value + i % 7);
    for (int i = 0; i < 12; i++) w.threshold[i] = 0.5f;
    for (int i = 0; i < 2 * WIDTH; i++) w.W_down[i] = w.W_up[i] = (float)(value - i % 3);
    SAE_TRY(sae_dict_save(dict, in_scratch("sae"), SAE_SCAFFOLD_NATIVE, force, err));
done:
    sae_dict_free(dict);
    return status;
}

static void old_dict(void) { OK(save_dict(0.5, false, &err)); }
static sae_status replace_dict(sae_error *err) { return save_dict(-0.25, true, err); }
static sae_status make_dict(sae_error *err) { return save_dict(1.5, false, err); }
static uint64_t dict_hash(void) { return tree_hash(in_scratch("sae")); }

START_TEST(test_dict_is_saved)
{
    const operation replaced = {"a dictionary is replaced", old_dict, replace_dict, dict_hash};

    sweep(&replaced);
    sweep(&(operation){"a dictionary is saved", NULL, make_dict, dict_hash});
}
END_TEST

static void dict_to_load(void)
{
    rows_hash = 0;
    old_dict();
}

static sae_status load_dict(sae_error *err)
{
    sae_dict *dict = NULL;

    rows_hash = 0;
    sae_status status = sae_dict_load(&dict, in_scratch("sae"), err);
    if (status == SAE_OK) rows_hash = XXH3_64bits(sae_dict_weights(dict).W_enc, 12 * WIDTH * sizeof(float));
    sae_dict_free(dict);
    return status;
}

START_TEST(test_dict_is_loaded)
{
    sweep(&(operation){"a dictionary is loaded", dict_to_load, load_dict, hash_of_rows});
}
END_TEST

/* ---- A report -------------------------------------------------------------------------------------------------------------- */

static void old_report(void)
{
    write_bytes(in_scratch("result.json"), "old", 3);
    write_bytes(in_scratch("report.html"), "old", 3);
}

static sae_status write_report(sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *result = NULL, *back = NULL;
    const double x[] = {1, 2, 3}, y[] = {3, 1, 2};

    SAE_TRY(sae_result_create(&result, "a test", err));
    SAE_TRY(sae_result_number(result, "number", 1.5, err));
    SAE_TRY(sae_result_series(result, "plot", "curve", x, y, 3, err));
    SAE_TRY(sae_result_write(result, in_scratch("result.json"), err));
    SAE_TRY(sae_result_read(&back, in_scratch("result.json"), err));
    SAE_TRY(sae_report_write(in_scratch("report.html"), "A test", (const sae_result *const *)&back, 1, true, err));
done:
    sae_result_free(result);
    sae_result_free(back);
    return status;
}

/* Two files, one after the other: the page counts, the result before it is old or new by itself. */
static uint64_t report_hash(void) { return tree_hash(in_scratch("report.html")); }

START_TEST(test_report) { sweep(&(operation){"a report is written", old_report, write_report, report_hash}); }
END_TEST

/* ---- A run ------------------------------------------------------------------------------------------------------------------- */

static int64_t stop_at; /* 0: never */

static int stop(void *user, const char *what, double done, double total)
{
    (void)user, (void)what, (void)total;
    return stop_at > 0 && done >= (double)(stop_at * BATCH);
}

/* Begins a run, or goes on with the one that is there, and exports both dictionaries. */
static sae_status train(bool resume, sae_error *err)
{
    sae_status status = SAE_OK;
    static const char *const names[] = {"a", "b"};
    sae_dict_config c[2] = {{.arch = SAE_BATCHTOPK, .d_in = WIDTH, .d_sae = 24, .k = 3, .rank = 2},
                            {.arch = SAE_BATCHTOPK, .d_in = WIDTH, .d_sae = 24, .k = 2, .variant = SAE_P2}};
    sae_train_options recipe = sae_recipe_saebench(BATCH, STEPS);
    training_options o = {.folder = in_scratch("run"),
                          .names = names,
                          .log_every = 1,
                          .checkpoint_every = 2,
                          .keep_checkpoints = 2,
                          .resume = resume};
    sae_progress progress = {stop, NULL};
    sae_trainer *t = NULL;
    sae_acts *acts = NULL;
    sae_dict *dict = NULL;

    recipe.dead_tokens = BATCH;
    recipe.threshold_start_step = 1;
    SAE_TRY(folder_make(in_scratch("run"), err));
    SAE_TRY(sae_acts_open_array(&acts, in_scratch("x.npy"), &(sae_acts_options){.seed = 1, .repeat = true}, err));
    SAE_TRY(sae_trainer_create(&t, c, 2, &recipe, err));
    SAE_TRY(training_run(t, &recipe, WIDTH, acts, &o, &progress, err));
    for (int i = 0; i < 2; i++) {
        SAE_TRY(sae_trainer_export(t, i, &dict, err));
        SAE_TRY(sae_dict_save(dict, in_scratch(i ? "run/b" : "run/a"), SAE_SCAFFOLD_NATIVE, true, err));
        sae_dict_free(dict);
        dict = NULL;
    }
done:
    sae_dict_free(dict);
    sae_trainer_free(t);
    sae_acts_free(acts);
    return status;
}

/* A run of six steps that was stopped after three. */
static void stopped_run(void)
{
    rows_only();
    stop_at = 3;
    FAILS(SAE_CANCELLED, "stopped", train(false, &err));
    stop_at = 0;
}

static sae_status resume_run(sae_error *err) { return train(true, err); }

/* The parts of a run appear one after the other: whether it is done shows in its end. */
static uint64_t run_hash(void)
{
    uint64_t parts[4];

    if (!file_exists(in_scratch("run/b"))) return 0;
    parts[0] = tree_hash(in_scratch("run/checkpoints/000000000006"));
    parts[1] = tree_hash(in_scratch("run/log.jsonl"));
    parts[2] = tree_hash(in_scratch("run/a"));
    parts[3] = tree_hash(in_scratch("run/b"));
    return XXH3_64bits(parts, sizeof parts);
}

/* One sweep a test: they take a while. */
static const operation run_operation = {"a run is resumed, saved and exported", stopped_run, resume_run, run_hash};

START_TEST(test_run_memory)
{
    outcome clean = undisturbed(&run_operation);

    sweep_memory(&run_operation, &clean);
}
END_TEST

START_TEST(test_run_json)
{
    outcome clean = undisturbed(&run_operation);

    sweep_json(&run_operation, &clean);
}
END_TEST

START_TEST(test_run_errors)
{
    static const int errors[] = {ENOSPC, EIO};
    outcome clean = undisturbed(&run_operation);

    sweep_error(&run_operation, &clean, errors[_i]);
}
END_TEST

START_TEST(test_run_unnoticed)
{
    outcome clean = undisturbed(&run_operation);

    sweep_unnoticed(&run_operation, &clean, _i ? EINTR : IO_SHORT);
}
END_TEST

/* ---- Killed at every system call ------------------------------------------------------------------------------------------- */

START_TEST(test_kills)
{
    static const operation operations[] = {{"a file is replaced", old_file, new_file, out_hash},
                                           {"a store is replaced", small_store, replace_store, store_hash},
                                           {"a dictionary is replaced", old_dict, replace_dict, dict_hash},
                                           {"a run is resumed, saved and exported", stopped_run, resume_run, run_hash}};

    sweep_kills(&operations[_i]);
}
END_TEST

/* ---- A disk that is really full -------------------------------------------------------------------------------------------- */

/* The largest file that may be written shrinks from run to run: every length at which a disk can be full. */
START_TEST(test_full_disk)
{
    struct rlimit before, limit;
    outcome clean = undisturbed(&run_operation);

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (rlim_t most = 0; most < 20000; most += most < 500 ? 50 : 1300) {
        sae_error err = {0};
        fresh(&run_operation);
        limit = (struct rlimit){.rlim_cur = most, .rlim_max = before.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        sae_status status = resume_run(&err);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        if (status == SAE_OK) break;
        count_injected();
        ck_assert_msg(status == SAE_IO && strstr(err.message, "too large") && strstr(err.message, scratch),
                      "files of %llu bytes: %s", (unsigned long long)most, err.message);
        ck_assert_int_eq(count_leftovers(scratch), 0);
        expect_recovery(&run_operation, &clean, "a full disk of bytes", (int64_t)most);
    }
}
END_TEST

/* ---- The tests --------------------------------------------------------------------------------------------------------------- */

/* In memory where there is such a place: each operation syncs the disk, a thousand times over. */
static void scratch_make(void)
{
    strcpy(scratch, "/dev/shm/sae-test-XXXXXX");
    if (!mkdtemp(scratch)) setup();
}

int main(void)
{
    const struct {
        const TTest *test;
        int n;
    } tests[] = {{test_file, 1},           {test_put_aside_is_kept, 1},
                 {test_store_is_made, 1},  {test_store_is_replaced, 1},
                 {test_store_is_read, 1},  {test_dict_is_saved, 1},
                 {test_dict_is_loaded, 1}, {test_report, 1},
                 {test_run_memory, 1},     {test_run_json, 1},
                 {test_run_errors, 2},     {test_run_unnoticed, 2},
                 {test_full_disk, 1},      {test_kills, 4}};
    Suite *suite = suite_create("faults");

    omp_set_num_threads(1); /* thousands of tiny runs: threads would only wait for each other */
    injected = mmap(NULL, 3 * sizeof *injected, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        TCase *one = tcase_create(tests[i].test->name);
        tcase_set_timeout(one, 240);
        tcase_add_checked_fixture(one, scratch_make, teardown);
        tcase_add_loop_test(one, tests[i].test, 0, tests[i].n);
        suite_add_tcase(suite, one);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    printf("%lld failures injected in all\n", (long long)injected[1]);
    return failed != 0;
}
