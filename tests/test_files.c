/*
 * test_files.c - whole files, folders, and the writer's promises: all or nothing, nothing overwritten, nothing left behind.
 */
#include "expect.h"
#include "io_check.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(test_json_round_trip)
{
    const char *path = in_scratch("x.json");
    json_t *value = json_pack("{s:[i, f, b, n], s:s}", "b", 1, 0.1, 1, "a", "\xc3\xa9\n"), *back;

    OK(json_write_file(value, path, false, &err));
    OK(json_read_file(&back, path, &err));
    ck_assert(json_equal(value, back));
    json_decref(back);
    json_decref(value);
    write_bytes(path, "{\"a\": 1, \"a\": 2}", 16);
    FAILS(SAE_FORMAT, "x.json", json_read_file(&back, path, &err));
}
END_TEST

START_TEST(test_json_first_difference)
{
    static const struct {
        const char *ours, *theirs, *key;
    } cases[] = {
        {"{\"a\": 1, \"b\": \"x\"}", "{\"b\": \"x\", \"a\": 1.0, \"c\": 2}",
         NULL}, /* what only they have does not count */
        {"{\"a\": 1, \"b\": \"x\"}", "{\"a\": 1, \"b\": \"y\"}", "b"},
        {"{\"a\": 1, \"b\": [1]}", "{\"a\": 1}", "b"},
        {"{\"a\": 0.5}", "{\"a\": 0.25}", "a"},
        {"{\"a\": 1}", "{\"a\": \"1\"}", "a"},
        {"{\"a\": 1}", "[1]", "a"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *ours, *theirs;
        OK(json_parse(&ours, cases[i].ours, strlen(cases[i].ours), "ours", &err));
        OK(json_parse(&theirs, cases[i].theirs, strlen(cases[i].theirs), "theirs", &err));
        const char *key = json_first_difference(ours, theirs);
        ck_assert_str_eq(key ? key : "none", cases[i].key ? cases[i].key : "none");
        json_decref(ours), json_decref(theirs);
    }
}
END_TEST

static bool is_one(const char *name) { return strcmp(name, "one") == 0; }

/* Only what is ours goes: not what somebody put beside it, not what a link leads to. */
/* A container's limit, as either version of control groups tells it; files that the system keeps in memory are given up for it. */
START_TEST(test_memory_of_a_group)
{
    const char *folder = in_scratch("group");
    struct {
        const char *name, *text;
        size_t left;
    } told[] = {{"nothing", "", SIZE_MAX},
                {"memory.current", "3000\n", SIZE_MAX},
                {"memory.max", "max\n", SIZE_MAX},
                {"memory.max", "10000\n", 7000},
                {"memory.stat", "anon 7\ninactive_file 1000\n", 8000},
                {"memory.stat", "inactive_file 9000\n", 10000},
                {"memory.max", "2000\n", 2000},
                {"memory.stat", "inactive_file 0\n", 0}};
    char path[300];

    OK(folder_make(folder, &err));
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, told[i].name);
        write_bytes(path, told[i].text, strlen(told[i].text));
        ck_assert_uint_eq(memory_left_in_group(folder), told[i].left);
    }
    ck_assert_uint_gt(memory_available(), 0);
}
END_TEST

/* A limit of the address space, as of `ulimit -v`, is known before malloc refuses. */
START_TEST(test_memory_within_a_limit)
{
    const size_t room = (size_t)1 << 30;
    struct rlimit before, limit;
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    ck_assert(f && fscanf(f, "%zu", &pages) == 1);
    fclose(f);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    limit = (struct rlimit){.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + room, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    size_t left = memory_left(), available = memory_available();
    FAILS(SAE_NOMEM, "are free", mem_alloc(2 * room, "what is too large", &err) ? SAE_OK : err.code);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert_uint_gt(left, 0);
    ck_assert_uint_le(left, room);
    ck_assert_uint_le(available, room - ((size_t)128 << 20));
}
END_TEST

START_TEST(test_folder_remove_ours)
{
    char folder[300], link[300]; /* in_scratch has few places */

    snprintf(folder, sizeof folder, "%s", in_scratch("made"));
    snprintf(link, sizeof link, "%s", in_scratch("link"));
    OK(folder_make(folder, &err));
    OK(file_write_text(in_scratch("made/one"), "1", 1, false, &err));
    OK(file_write_text(in_scratch("made/two"), "2", 1, false, &err));
    ck_assert_int_eq(symlink("made", link), 0);
    OK(folder_remove_ours(link, is_one, &err));
    assert_file_holds(in_scratch("made/one"), "1", 1);
    OK(folder_remove_ours(folder, is_one, &err));
    ck_assert(!file_exists(in_scratch("made/one")));
    assert_file_holds(in_scratch("made/two"), "2", 1);
    OK(file_remove(in_scratch("made/two"), &err));
    OK(folder_make(in_scratch("made/one"), &err)); /* a folder of that name is none of our files */
    OK(folder_remove_ours(folder, is_one, &err));
    ck_assert(file_is_folder(in_scratch("made/one")));
    OK(folder_remove(in_scratch("made/one"), &err));
    OK(folder_remove_ours(folder, is_one, &err)); /* empty */
    ck_assert(!file_exists(folder));
    OK(folder_remove_ours(folder, is_one, &err)); /* absent */
    ck_assert_int_eq(files_in_scratch(), 1);      /* the link */
}
END_TEST

/* ---- The writer's promises ----------------------------------------------------------------------------------------------------- */

START_TEST(test_writer_keeps_what_is_there)
{
    const char *path = in_scratch("x");
    file_writer w;
    uint64_t hash, hash_read;

    OK(file_write_text(path, "old", 3, false, &err));
    FAILS(SAE_EXISTS, "--force", file_write_text(path, "new", 3, false, &err));
    assert_file_holds(path, "old", 3);
    OK(file_writer_open(&w, path, true, &err));
    OK(file_writer_put(&w, "new", 3, &err));
    assert_file_holds(path, "old", 3); /* until the commit */
    file_writer_abort(&w);
    assert_file_holds(path, "old", 3);
    ck_assert_int_eq(files_in_scratch(), 1);
    OK(file_writer_open(&w, path, true, &err));
    OK(file_writer_put(&w, "ne", 2, &err));
    OK(file_writer_put(&w, "wer", 3, &err));
    ck_assert_uint_eq(w.bytes, 5);
    OK(file_writer_commit(&w, &hash, &err));
    file_writer_abort(&w); /* nothing */
    FAILS(SAE_STATE, "closed", file_writer_put(&w, "x", 1, &err));
    FAILS(SAE_STATE, "closed", file_writer_commit(&w, NULL, &err));
    assert_file_holds(path, "newer", 5);
    OK(file_hash(path, &hash_read, &err));
    ck_assert_uint_eq(hash, hash_read);
    ck_assert_int_eq(files_in_scratch(), 1);
}
END_TEST

/* A file that appears between open and commit is somebody's too. */
START_TEST(test_writer_without_force_loses_a_race)
{
    const char *path = in_scratch("x");
    file_writer w;

    OK(file_writer_open(&w, path, false, &err));
    OK(file_writer_put(&w, "late", 4, &err));
    OK(file_write_text(in_scratch("other"), "early", 5, false, &err));
    ck_assert_int_eq(rename(in_scratch("other"), path), 0);
    FAILS(SAE_EXISTS, "--force", file_writer_commit(&w, NULL, &err));
    assert_file_holds(path, "early", 5);
    ck_assert_int_eq(files_in_scratch(), 1);
}
END_TEST

START_TEST(test_writer_refuses_places)
{
    file_writer w;

    FAILS(SAE_IO, "folder", file_writer_open(&w, scratch, true, &err));
    FAILS(SAE_IO, "device", file_writer_open(&w, "/dev/null", true, &err));
    FAILS(SAE_IO, "No such file", file_writer_open(&w, in_scratch("no/x"), true, &err));
    FAILS(SAE_IO, "empty", file_writer_open(&w, "", true, &err));
}
END_TEST

/* A disk that fills up, by the file size limit of this process. */
START_TEST(test_writer_on_a_full_disk_leaves_nothing)
{
    static float x[100000];
    const tensor t = {.name = "x", .rank = 1, .shape = {100000}, .data = x};
    struct rlimit before, small;
    scratch_file unnamed;

    signal(SIGXFSZ, SIG_IGN);
    write_bytes(in_scratch("old"), "old", 3);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 100000, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    FAILS(SAE_IO, "too large", safetensors_write(in_scratch("new"), &t, 1, NULL, false, NULL, &err));
    FAILS(SAE_IO, "too large", safetensors_write(in_scratch("old"), &t, 1, NULL, true, NULL, &err));
    FAILS(SAE_IO, "too large", npy_write(in_scratch("new"), &t, false, &err));
    OK(scratch_open(&unnamed, in_scratch("."), &err));
    FAILS(SAE_IO, "too large", scratch_write(&unnamed, 0, x, sizeof x, &err));
    FAILS(SAE_IO, in_scratch("."), scratch_write(&unnamed, 0, x, sizeof x, &err)); /* it says where */
    scratch_close(&unnamed);
    /* small enough for stdio's buffer: only the flush at commit notices */
    small.rlim_cur = 10;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    FAILS(SAE_IO, "too large", file_write_text(in_scratch("new"), "twenty characters...", 20, false, &err));
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(files_in_scratch(), 1);
    assert_file_holds(in_scratch("old"), "old", 3);
}
END_TEST

/* ---- Files and folders ------------------------------------------------------------------------------------------------------- */

START_TEST(test_folders)
{
    char **names, *path;
    int n;

    OK(folder_make(in_scratch("a/b/c"), &err));
    OK(folder_make(in_scratch("a/b/c"), &err));
    OK(folder_make(in_scratch("a//d/"), &err));
    ck_assert(file_is_folder(in_scratch("a/b/c")) && file_is_folder(in_scratch("a/d")));
    write_bytes(in_scratch("a/z"), "z", 1);
    write_bytes(in_scratch("a/.hidden"), "", 0);
    FAILS(SAE_IO, "a/z", folder_make(in_scratch("a/z/y"), &err));
    OK(folder_list(in_scratch("a"), &names, &n, &err));
    ck_assert_int_eq(n, 4);
    ck_assert_str_eq(names[0], ".hidden");
    ck_assert_str_eq(names[1], "b");
    ck_assert_str_eq(names[2], "d");
    ck_assert_str_eq(names[3], "z");
    folder_list_free(names, n);
    FAILS(SAE_IO, "nowhere", folder_list(in_scratch("nowhere"), &names, &n, &err));
    OK(folder_sync(in_scratch("a"), &err));
    FAILS(SAE_IO, "nowhere", folder_sync(in_scratch("nowhere"), &err));
    /* a link in a folder is removed, what it leads to is not */
    write_bytes(in_scratch("kept"), "kept", 4);
    ck_assert_int_eq(symlink(in_scratch("kept"), in_scratch("a/link")), 0);
    OK(folder_make(in_scratch("kept too"), &err));
    write_bytes(in_scratch("kept too/x"), "x", 1);
    ck_assert_int_eq(symlink(in_scratch("kept too"), in_scratch("a/folder link")), 0);
    OK(folder_remove(in_scratch("a"), &err));
    OK(folder_remove(in_scratch("a"), &err));
    ck_assert(!file_exists(in_scratch("a")));
    assert_file_holds(in_scratch("kept"), "kept", 4);
    assert_file_holds(in_scratch("kept too/x"), "x", 1);
    path = path_join("a/", "b", NULL);
    ck_assert_str_eq(path, "a/b");
    mem_free(path);
    path = path_join("a", "b", NULL);
    ck_assert_str_eq(path, "a/b");
    mem_free(path);
}
END_TEST

/* A progress that notes what it is told, and stops the call at the report with this number. */
typedef struct listener {
    int heard, stop_at;
    double last, total;
} listener;

static int listen_to(void *user, const char *what, double done, double total)
{
    listener *l = user;

    EXPECT(strcmp(what, "bytes hashed") == 0 && done > l->last, "%s, %g after %g", what, done, l->last);
    l->last = done;
    l->total = total;
    return ++l->heard == l->stop_at;
}

START_TEST(test_hashing_is_told)
{
    const size_t size = (size_t)40 << 20; /* a file with nothing but a hole, and three parts of 16 MiB */
    listener all = {0}, some = {.stop_at = 2};
    uint64_t hash, told;

    write_bytes(in_scratch("hole"), "x", 1);
    ck_assert_int_eq(truncate(in_scratch("hole"), (off_t)size), 0);
    OK(file_hash(in_scratch("hole"), &hash, &err));
    OK(file_hash_told(in_scratch("hole"), &(sae_progress){listen_to, &all}, &told, &err));
    ck_assert_uint_eq(hash, told);
    ck_assert(all.heard == 3 && all.last == (double)size && all.total == (double)size);
    FAILS(SAE_CANCELLED, "hole", file_hash_told(in_scratch("hole"), &(sae_progress){listen_to, &some}, &told, &err));
    ck_assert_int_eq(some.heard, 2);
}
END_TEST

START_TEST(test_whole_files)
{
    char *text;
    size_t n;
    file_map map;
    uint64_t hash;

    write_bytes(in_scratch("empty"), "", 0);
    OK(file_map_open(&map, in_scratch("empty"), &err));
    ck_assert_uint_eq(map.bytes, 0);
    file_map_close(&map);
    OK(file_read_all(in_scratch("empty"), 10, &text, &n, &err));
    ck_assert(n == 0 && text[0] == '\0');
    mem_free(text);
    OK(file_hash(in_scratch("empty"), &hash, &err));
    ck_assert_uint_eq(hash, 0x2d06800538d394c2u); /* XXH3-64 of nothing, as its authors publish it */
    static char large[300000];
    memset(large, 'x', sizeof large);
    write_bytes(in_scratch("large"), large, sizeof large);
    assert_file_holds(in_scratch("large"), large, sizeof large);
    FAILS(SAE_RANGE, "longer than", file_read_all(in_scratch("large"), 299999, &text, &n, &err));
    FAILS(SAE_IO, "folder", file_map_open(&map, scratch, &err));
    FAILS(SAE_IO, "device", file_map_open(&map, "/dev/null", &err));
    FAILS(SAE_IO, "No such file", file_map_open(&map, in_scratch("no"), &err));
    FAILS(SAE_IO, "No such file", file_read_all(in_scratch("no"), 10, &text, &n, &err));
    FAILS(SAE_IO, scratch, file_read_all(scratch, 10, &text, &n, &err));
    ck_assert_int_eq(mkfifo(in_scratch("fifo"), 0600), 0);
    FAILS(SAE_IO, "pipe", file_map_open(&map, in_scratch("fifo"), &err)); /* and does not wait for a writer */
    ck_assert(!gguf_is(in_scratch("empty")) && !gguf_is(scratch) && !gguf_is(in_scratch("no")));
}
END_TEST

/* ---- Logs of lines --------------------------------------------------------------------------------------------------------- */

enum { LOG_LINES = 200000 };

/* Line i says i, in 40 bytes and now and then in thousands. */
static void write_lines(const char *path, size_t *upto, int stop)
{
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < LOG_LINES; i++) {
        if (i == stop) *upto = (size_t)ftell(f);
        fprintf(f, "{\"step\": %*d}\n", i % 1000 ? 30 : 100000, i);
    }
    fprintf(f, "{\"step\": "); /* a process was killed as it wrote this */
    ck_assert_int_eq(fclose(f), 0);
}

typedef struct seen {
    int lines, stop;
    size_t before, most; /* bytes in use: before, and at most */
} seen;

static bool is_before(void *user, const char *line, size_t length)
{
    seen *s = user;
    size_t now = mem_in_use() - s->before;

    if (now > s->most) s->most = now;
    EXPECT(line[length] == '\n' && atoi(line + 8) == s->lines, "line %d is another", s->lines);
    return s->lines < s->stop && ++s->lines;
}

/* A log of 27 MB is cut where the first line does not stand, or its unfinished end, in the memory of its longest line. */
START_TEST(test_line_log_is_cut_in_blocks)
{
    const int stops[] = {0, 1, 123456, LOG_LINES};
    const char *path = in_scratch("log.jsonl");

    for (size_t k = 0; k < sizeof stops / sizeof *stops; k++) {
        seen s = {.stop = stops[k], .before = mem_in_use()};
        size_t upto = 0;
        line_log *log = NULL;
        struct stat info;
        write_lines(path, &upto, stops[k] < LOG_LINES ? stops[k] : LOG_LINES - 1);
        if (stops[k] == LOG_LINES) upto += strlen("{\"step\": }\n") + 30;
        OK(line_log_open(&log, path, is_before, &s, &err));
        ck_assert_int_eq(s.lines, stops[k]);
        ck_assert_uint_le(s.most, 1 << 20);
        ck_assert_int_eq(stat(path, &info), 0);
        ck_assert_uint_eq((size_t)info.st_size, upto);
        OK(line_log_put(log, "next", &err));
        line_log_close(log);
        ck_assert_int_eq(stat(path, &info), 0);
        ck_assert_uint_eq((size_t)info.st_size, upto + 5);
    }
}
END_TEST

static sae_status count_line(void *user, const json_t *value, const char *name, sae_error *err)
{
    seen *s = user;
    size_t now = mem_in_use() - s->before;

    (void)name, (void)err;
    if (now > s->most) s->most = now;
    EXPECT(json_integer_value(json_object_get(value, "step")) == s->lines, "line %d is another", s->lines);
    s->lines++;
    return SAE_OK;
}

START_TEST(test_json_lines_are_read_in_blocks)
{
    seen s = {.before = mem_in_use()};
    size_t upto = 0;

    write_lines(in_scratch("log.jsonl"), &upto, 0);
    OK(json_lines_read(in_scratch("log.jsonl"), count_line, &s, &err));
    ck_assert_int_eq(s.lines, LOG_LINES);
    ck_assert_uint_le(s.most, 1 << 20);
    FAILS(SAE_IO, "cannot be opened", json_lines_read(in_scratch("none"), count_line, &s, &err));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_json_round_trip,
        test_json_first_difference,
        test_memory_of_a_group,
        test_memory_within_a_limit,
        test_folder_remove_ours,
        test_writer_keeps_what_is_there,
        test_writer_without_force_loses_a_race,
        test_writer_refuses_places,
        test_writer_on_a_full_disk_leaves_nothing,
        test_folders,
        test_hashing_is_told,
        test_whole_files,
        test_line_log_is_cut_in_blocks,
        test_json_lines_are_read_in_blocks,
    };
    return run_tests("files", tests, sizeof tests / sizeof *tests);
}
