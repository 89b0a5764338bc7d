/*
 * test_acts.c - streams of rows: each row exactly once in an epoch, the same order from any place on, what is stored is what
 * was given, and a store that is damaged or half written is noticed.
 */
#include "acts/acts.h"
#include "acts/store.h"
#include "io/io.h"
#include "kernels/dequant.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static sae_error err;
static char scratch[64];

#define OK(expression)                                                                                                 \
    do {                                                                                                               \
        err = (sae_error){0};                                                                                          \
        sae_status got_ = (expression);                                                                                \
        ck_assert_msg(got_ == SAE_OK, "%s: %s", sae_status_name(got_), err.message);                                   \
    } while (0)
#define FAILS(code_, expression, words)                                                                                \
    do {                                                                                                               \
        err = (sae_error){0};                                                                                          \
        sae_status got_ = (expression);                                                                                \
        ck_assert_msg(got_ == (code_), "got %s: %s", sae_status_name(got_), err.message);                              \
        ck_assert_msg(strstr(err.message, words) != NULL, "'%s' is not in: %s", words, err.message);                   \
    } while (0)

static void scratch_make(void)
{
    strcpy(scratch, "/tmp/test_acts_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
}

static void scratch_remove(void) { folder_remove(scratch, NULL); }

/* "SCRATCH/name": one of a few static buffers. */
static const char *in_scratch(const char *name)
{
    static char buffers[4][200];
    static int next;
    char *b = buffers[next++ % 4];

    snprintf(b, sizeof buffers[0], "%s/%s", scratch, name);
    return b;
}

static sae_status open_store(sae_acts **out, const char *path, const sae_acts_options *o, sae_error *e)
{
    return sae_acts_open_store(out, &path, 1, o, e);
}

static void expect_scratch_files(int expected)
{
    char **names;
    int n;

    OK(folder_list(scratch, &names, &n, &err));
    ck_assert_msg(n == expected, "%d files in the folder, expected %d; the first is %s", n, expected,
                  n ? names[0] : "");
    folder_list_free(names, n);
}

/* ---- Orders ----------------------------------------------------------------------------------------------------------------- */

START_TEST(permutations_are_bijections)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1000, 4096, 4097, 100003};
    int64_t n = sizes[_i], fixed = 0;
    unsigned char *seen = calloc((size_t)n, 1);
    permutation p = permutation_make(n, 5, 0), q = permutation_make(n, 5, 1);
    int64_t same = 0;

    for (int64_t i = 0; i < n; i++) {
        int64_t to = permutation_at(&p, i);
        ck_assert(to >= 0 && to < n && !seen[to]);
        seen[to] = 1;
        fixed += to == i;
        same += to == permutation_at(&q, i);
    }
    /* a random permutation has one fixed point on average, and agrees with another in one place: 12 is never seen */
    if (n > 100) ck_assert_int_lt(fixed, 12);
    if (n > 100) ck_assert_int_lt(same, 12);
    free(seen);
}
END_TEST

START_TEST(permutations_are_even_handed)
{
    enum { N = 50, DRAWS = 20000 };
    static int64_t places[N], follows[N];
    double chi_places = 0, chi_follows = 0, expected = (double)DRAWS / N;

    for (int64_t e = 0; e < DRAWS; e++) {
        permutation p = permutation_make(N, 77, (uint64_t)e);
        places[permutation_at(&p, 7)]++;
        follows[(permutation_at(&p, 21) - permutation_at(&p, 20) + N) % N]++;
    }
    ck_assert_int_eq(follows[0], 0);
    for (int i = 0; i < N; i++) chi_places += pow((double)places[i] - expected, 2) / expected;
    for (int i = 1; i < N; i++) chi_follows += pow((double)follows[i] - (double)DRAWS / (N - 1), 2) * (N - 1) / DRAWS;
    /* chi-square with 49 and 48 degrees of freedom: 1 in 10,000 is over 94; observed 36 and 50 */
    ck_assert_double_lt(chi_places, 94);
    ck_assert_double_lt(chi_follows, 94);
}
END_TEST

/* ---- Arrays ------------------------------------------------------------------------------------------------------------------- */

enum { N_ROWS = 2500, D = 7 }; /* more than two chunks of 1024 */

/* Row i is (i, i + 0.25, i + 0.5, ...) / 64: bf16 and f16 lose something of it. */
static void make_rows(float *rows)
{
    for (int64_t i = 0; i < N_ROWS * D; i++) rows[i] = (float)(i / D) / 64 + (float)(i % D) / 256;
}

static void write_array(const char *path, dtype type)
{
    static float rows[N_ROWS * D];
    static double wide[N_ROWS * D];
    static uint16_t half[N_ROWS * D];
    const void *data = type == DTYPE_F32 ? (const void *)rows : type == DTYPE_F64 ? (const void *)wide : half;
    tensor t = {.name = "x", .type = type, .rank = 2, .shape = {N_ROWS, D}, .data = data};

    make_rows(rows);
    for (int64_t i = 0; i < N_ROWS * D; i++) wide[i] = (double)rows[i];
    if (type == DTYPE_BF16) f32_to_bf16(rows, N_ROWS * D, half);
    if (type == DTYPE_F16) f32_to_f16(rows, N_ROWS * D, half);
    if (strstr(path, ".npy"))
        OK(npy_write(path, &t, false, &err));
    else
        OK(safetensors_write(path, &t, 1, NULL, false, NULL, &err));
}

static const struct {
    const char *name, *suffix;
    dtype type;
    float relative;
} arrays[] = {
    {"x.npy", "", DTYPE_F32, 0},
    {"x.npy", "", DTYPE_F16, 0x1p-11f},
    {"x.npy", "", DTYPE_F64, 0},
    {"x.safetensors", "", DTYPE_F32, 0},
    {"x.safetensors", ":x", DTYPE_F64, 0},
    {"x.safetensors", ":x", DTYPE_F16, 0x1p-11f},
    {"x.safetensors", ":x", DTYPE_BF16, 0x1p-8f},
};

START_TEST(arrays_of_every_type)
{
    static float rows[N_ROWS * D], expected[N_ROWS * D];
    sae_acts_options in_order = {.in_order = true};
    int32_t tokens[N_ROWS], positions[N_ROWS];
    sae_acts *acts;
    int64_t got;
    char path[250];

    make_rows(expected);
    write_array(in_scratch(arrays[_i].name), arrays[_i].type);
    snprintf(path, sizeof path, "%s%s", in_scratch(arrays[_i].name), arrays[_i].suffix);
    OK(sae_acts_open_array(&acts, path, &in_order, &err));
    sae_acts_info info = sae_acts_get_info(acts);
    ck_assert_int_eq(info.d, D);
    ck_assert_int_eq(info.n_rows, N_ROWS);
    ck_assert_int_eq(info.dropped, 0);
    OK(sae_acts_next(acts, N_ROWS, rows, tokens, positions, &got, &err));
    ck_assert_int_eq(got, N_ROWS);
    for (int64_t i = 0; i < N_ROWS * D; i++)
        ck_assert_float_le(fabsf(rows[i] - expected[i]), arrays[_i].relative * expected[i]);
    for (int64_t i = 0; i < N_ROWS; i++) ck_assert(tokens[i] == -1 && positions[i] == -1);
    OK(sae_acts_next(acts, 3, rows, NULL, NULL, &got, &err));
    ck_assert_int_eq(got, 0);
    sae_acts_free(acts);
}
END_TEST

static int64_t row_number(const float *row) { return llroundf(row[0] * 64); }

START_TEST(every_row_once_in_each_epoch)
{
    static float rows[3 * N_ROWS * D];
    static int64_t order[3][N_ROWS];
    sae_acts_options o = {.seed = 3, .repeat = true};
    int64_t got, in_place = 0, repeated = 0;
    sae_acts *acts;

    write_array(in_scratch("x.npy"), DTYPE_F32);
    OK(sae_acts_open_array(&acts, in_scratch("x.npy"), &o, &err));
    OK(sae_acts_next(acts, 3 * N_ROWS, rows, NULL, NULL, &got, &err));
    ck_assert_int_eq(got, 3 * N_ROWS);
    for (int e = 0; e < 3; e++) {
        unsigned char seen[N_ROWS] = {0};
        for (int64_t i = 0; i < N_ROWS; i++) {
            int64_t number = row_number(rows + (e * N_ROWS + i) * D);
            ck_assert(number >= 0 && number < N_ROWS && !seen[number]);
            seen[number] = 1;
            order[e][i] = number;
            in_place += number == i;
            if (e) repeated += order[e][i] == order[e - 1][i];
        }
    }
    ck_assert_int_lt(in_place, 20); /* expected 3 */
    ck_assert_int_lt(repeated, 20); /* expected 2: each epoch has its own order */
    sae_acts_free(acts);
}
END_TEST

/* What the count says of rows behind others is found in the rows themselves; a thread that reads ahead changes nothing of it. */
START_TEST(rows_that_are_given_again_are_counted)
{
    static const int64_t cases[][2] = {
        {0, 10},      {0, N_ROWS},  {0, N_ROWS + 1},          {1500, 1000},     {1500, 1001}, {1500, 2000},
        {1500, 5000}, {N_ROWS, 70}, {N_ROWS - 1, 3 * N_ROWS}, {4 * N_ROWS, 100}};
    static float rows[4 * N_ROWS * D];
    sae_acts_options o = {.seed = 3, .repeat = true, .read_ahead = _i ? 300 : 0};
    int64_t got, again;
    sae_acts *acts;

    write_array(in_scratch("x.npy"), DTYPE_F32);
    OK(sae_acts_open_array(&acts, in_scratch("x.npy"), &o, &err));
    OK(sae_acts_next(acts, 4 * N_ROWS, rows, NULL, NULL, &got, &err));
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int64_t before = cases[k][0], n = cases[k][1], expected = 0;
        unsigned char seen[N_ROWS] = {0};
        for (int64_t i = 0; i < before && before < N_ROWS; i++) seen[row_number(rows + i * D)] = 1;
        for (int64_t i = 0; i < n; i++) expected += before >= N_ROWS || seen[row_number(rows + (before + i) * D)];
        OK(acts_given_again(acts, before, n, &again, &err));
        ck_assert_int_eq(again, expected);
    }
    sae_acts_free(acts);
}
END_TEST

/* From any place on the rows are those of a stream that was never interrupted. */
static void check_seek(sae_acts *acts, int64_t n_total, int64_t d, const int64_t *places, int n_places)
{
    float *whole = malloc((size_t)(n_total * d) * sizeof *whole), *part = malloc((size_t)(n_total * d) * sizeof *part);
    int64_t got;

    OK(sae_acts_next(acts, n_total, whole, NULL, NULL, &got, &err));
    ck_assert_int_eq(got, n_total);
    for (int p = 0; p < n_places; p++) {
        int64_t n = n_total - places[p] < 70 ? n_total - places[p] : 70;
        OK(sae_acts_seek(acts, places[p], &err));
        for (int64_t i = 0; i < n; i += 7) { /* in small pieces: how many are asked for must not matter */
            OK(sae_acts_next(acts, n - i < 7 ? n - i : 7, part + i * d, NULL, NULL, &got, &err));
            ck_assert_int_eq(got, n - i < 7 ? n - i : 7);
        }
        ck_assert_mem_eq(part, whole + places[p] * d, (size_t)(n * d) * sizeof *part);
    }
    free(whole);
    free(part);
}

START_TEST(seek_in_an_array)
{
    static const int64_t places[] = {0, 1, 1023, 1024, 2499, 2500, 2501, 4000, 0, 7499};
    sae_acts_options o = {.seed = 3, .repeat = true};
    sae_acts *acts;

    write_array(in_scratch("x.npy"), DTYPE_F32);
    OK(sae_acts_open_array(&acts, in_scratch("x.npy"), &o, &err));
    check_seek(acts, 3 * N_ROWS, D, places, 10);
    sae_acts_free(acts);
    o.repeat = false;
    OK(sae_acts_open_array(&acts, in_scratch("x.npy"), &o, &err));
    FAILS(SAE_RANGE, sae_acts_seek(acts, N_ROWS + 1, &err), "behind the end");
    FAILS(SAE_RANGE, sae_acts_seek(acts, -1, &err), "row -1");
    sae_acts_free(acts);
}
END_TEST

START_TEST(bad_arrays_are_refused)
{
    float x[6] = {1, 2, 3, 4, NAN, 6}, rows[6];
    int64_t got = -7;
    tensor t = {.name = "x", .type = DTYPE_F32, .rank = 2, .shape = {2, 3}, .data = x};
    sae_acts_options in_order = {.in_order = true}, bad = {.max_norm = 0.5}, small = {.buffer_rows = 1};
    sae_acts *acts = NULL;

    OK(npy_write(in_scratch("nan.npy"), &t, false, &err));
    OK(sae_acts_open_array(&acts, in_scratch("nan.npy"), &in_order, &err));
    FAILS(SAE_NUMERIC, sae_acts_next(acts, 2, rows, NULL, NULL, &got, &err), "row 1");
    ck_assert_int_eq(got, -7);
    sae_acts_free(acts);
    acts = NULL;
    FAILS(SAE_RANGE, sae_acts_open_array(&acts, in_scratch("nan.npy"), &bad, &err), "max_norm");
    FAILS(SAE_RANGE, sae_acts_open_array(&acts, in_scratch("nan.npy"), &small, &err), "shuffle buffer");
    t.shape[0] = 0;
    OK(npy_write(in_scratch("empty.npy"), &t, false, &err));
    FAILS(SAE_SHAPE, sae_acts_open_array(&acts, in_scratch("empty.npy"), NULL, &err), "0 rows");
    t = (tensor){.name = "x", .type = DTYPE_F32, .rank = 1, .shape = {6}, .data = x};
    OK(npy_write(in_scratch("flat.npy"), &t, false, &err));
    FAILS(SAE_SHAPE, sae_acts_open_array(&acts, in_scratch("flat.npy"), NULL, &err), "[6]");
    t = (tensor){.name = "x", .type = DTYPE_I32, .rank = 2, .shape = {2, 3}, .data = x};
    OK(npy_write(in_scratch("int.npy"), &t, false, &err));
    FAILS(SAE_UNSUPPORTED, sae_acts_open_array(&acts, in_scratch("int.npy"), NULL, &err), "I32");
    ck_assert_ptr_null(acts);
}
END_TEST

/* ---- Stores ------------------------------------------------------------------------------------------------------------------- */

static sae_acts *open_rows(bool shuffled, bool repeat)
{
    sae_acts_options o = {.in_order = !shuffled, .repeat = repeat, .seed = 1};
    sae_acts *acts;

    if (!file_exists(in_scratch("x.npy"))) write_array(in_scratch("x.npy"), DTYPE_F32);
    OK(sae_acts_open_array(&acts, in_scratch("x.npy"), &o, &err));
    return acts;
}

static const struct {
    sae_store_dtype type;
    int64_t asked, shard_rows, shards, rows;
} stores[] = {
    {SAE_STORE_F32, -1, 0, 1, N_ROWS},
    {SAE_STORE_BF16, -1, 1000, 3, N_ROWS},
    {SAE_STORE_F32, N_ROWS, 2500, 1, N_ROWS},
    {SAE_STORE_F32, 40, 1, 40, 40},
    {SAE_STORE_BF16, 1, 0, 1, 1},
    {SAE_STORE_BF16, 2001, 1000, 3, 2001},
    {SAE_STORE_F16, -1, 1000, 3, N_ROWS},
    {SAE_STORE_INT8, -1, 999, 3, N_ROWS},
    {SAE_STORE_INT8, 3, 1, 3, 3},
};

/* The most that an entry may be off: half a unit of the last place, or half a step of the row's scale. */
static float store_bound(sae_store_dtype type, float x, float largest)
{
    static const float relative[4] = {[SAE_STORE_BF16] = 0x1p-9f, [SAE_STORE_F16] = 0x1p-12f};

    if (type == SAE_STORE_INT8) return largest / 127 * 0.50001f; /* the scale is rounded too */
    return relative[type] * 2 * fabsf(x);
}

START_TEST(what_was_stored_is_read)
{
    static float rows[N_ROWS * D], expected[N_ROWS * D];
    sae_store_options o = {
        .dtype = stores[_i].type, .shard_rows = stores[_i].shard_rows, .about = "{\"site\": \"here\"}"};
    sae_acts_options in_order = {.in_order = true};
    sae_acts *acts = open_rows(false, false);
    int64_t got;
    json_t *meta;

    make_rows(expected);
    OK(sae_store_write(in_scratch("deep/store"), acts, stores[_i].asked, &o, NULL, &err));
    sae_acts_free(acts);
    OK(json_read_file(&meta, in_scratch("deep/store/meta.json"), &err));
    ck_assert_int_eq((int64_t)json_array_size(json_object_get(meta, "shards")), stores[_i].shards);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(meta, "about"), "site")), "here");
    json_decref(meta);
    OK(open_store(&acts, in_scratch("deep/store"), &in_order, &err));
    ck_assert_int_eq(sae_acts_get_info(acts).n_rows, stores[_i].rows);
    OK(sae_acts_next(acts, N_ROWS, rows, NULL, NULL, &got, &err));
    ck_assert_int_eq(got, stores[_i].rows);
    for (int64_t i = 0; i < got * D; i++) {
        float largest = expected[i / D * D + D - 1], off = fabsf(rows[i] - expected[i]); /* rows ascend */
        ck_assert_float_le(off, store_bound(stores[_i].type, expected[i], largest));
    }
    sae_acts_free(acts);
}
END_TEST

START_TEST(seek_in_a_store)
{
    static const int64_t places[] = {0, 999, 1000, 2499, 2500, 4321};
    sae_store_options o = {.dtype = SAE_STORE_F32, .shard_rows = 1000};
    sae_acts_options repeat = {.repeat = true, .seed = 9};
    sae_acts *acts = open_rows(true, false);

    OK(sae_store_write(in_scratch("store"), acts, -1, &o, NULL, &err));
    sae_acts_free(acts);
    OK(open_store(&acts, in_scratch("store"), &repeat, &err));
    check_seek(acts, 2 * N_ROWS, D, places, 6);
    sae_acts_free(acts);
}
END_TEST

static void flip_byte(const char *path, size_t from_end)
{
    char *text;
    size_t bytes;

    OK(file_read_all(path, 1 << 24, &text, &bytes, &err));
    text[bytes - from_end] ^= 1;
    OK(file_write_text(path, text, bytes, true, &err));
    mem_free(text);
}

START_TEST(a_damaged_shard_is_named)
{
    static float rows[N_ROWS * D];
    sae_store_options o = {.dtype = _i == 0 ? SAE_STORE_F32 : SAE_STORE_BF16, .shard_rows = 1000};
    sae_acts_options in_order = {.in_order = true};
    sae_acts *acts = open_rows(false, false);
    int64_t got;
    char *text;
    size_t bytes;

    OK(sae_store_write(in_scratch("store"), acts, -1, &o, NULL, &err));
    sae_acts_free(acts);
    flip_byte(in_scratch("store/shard-00001.safetensors"), 100);
    OK(open_store(&acts, in_scratch("store"), &in_order, &err));
    OK(sae_acts_next(acts, 1000, rows, NULL, NULL, &got, &err)); /* the first shard is well */
    FAILS(SAE_FORMAT, sae_acts_next(acts, 1, rows, NULL, NULL, &got, &err), "shard-00001.safetensors: its checksum");
    sae_acts_free(acts);
    OK(open_store(&acts, in_scratch("store"), NULL, &err)); /* shuffled: it comes up soon */
    FAILS(SAE_FORMAT, sae_acts_next(acts, N_ROWS, rows, NULL, NULL, &got, &err), "shard-00001.safetensors");
    sae_acts_free(acts);
    OK(file_read_all(in_scratch("store/shard-00002.safetensors"), 1 << 24, &text, &bytes, &err));
    OK(file_write_text(in_scratch("store/shard-00002.safetensors"), text, bytes - 1, true, &err));
    FAILS(SAE_FORMAT, open_store(&acts, in_scratch("store"), NULL, &err), "shard-00002.safetensors");
    OK(folder_remove(in_scratch("store/shard-00002.safetensors"), &err));
    FAILS(SAE_IO, open_store(&acts, in_scratch("store"), NULL, &err), "shard-00002.safetensors");
    mem_free(text);
}
END_TEST

static const struct {
    const char *key, *value; /* of meta.json */
    sae_status code;
    const char *words;
} bad_metas[] = {
    {"format", "\"something\"", SAE_FORMAT, "something"},
    {"format", "null", SAE_FORMAT, "format"},
    {"version", "2", SAE_UNSUPPORTED, "version 2"},
    {"d", "8", SAE_SHAPE, "[1000, 8]"},
    {"d", "\"7\"", SAE_FORMAT, "\"d\""},
    {"dtype", "\"F8\"", SAE_UNSUPPORTED, "F8"},
    {"dtype", "\"I32\"", SAE_UNSUPPORTED, "I32"},
    {"dtype", "\"I8\"", SAE_SHAPE, "I8"},
    {"dtype", "\"F16\"", SAE_SHAPE, "F16"},
    {"dtype", "\"BF16\"", SAE_SHAPE, "BF16"},
    {"n_rows", "2499", SAE_FORMAT, "n_rows"},
    {"shards", "[]", SAE_FORMAT, "0 shards"},
    {"shards", "7", SAE_FORMAT, "0 shards"},
    {"shards", "[3]", SAE_FORMAT, "must hold objects"},
    {"shards", "[{\"rows\": 999, \"xxh3\": \"0123456789abcdef\"}]", SAE_SHAPE, "[999, 7]"},
    {"shards", "[{\"rows\": 1000, \"xxh3\": \"0123456789abcdeg\"}]", SAE_FORMAT, "xxh3"},
    {"shards", "[{\"rows\": 1000, \"xxh3\": \"0123456789abcdef0\"}]", SAE_FORMAT, "xxh3"},
    {"shards", "[{\"rows\": 1000}]", SAE_FORMAT, "xxh3"},
};

START_TEST(bad_metas_are_refused)
{
    sae_store_options o = {.dtype = SAE_STORE_F32, .shard_rows = 1000};
    sae_acts *acts = open_rows(false, false);
    json_t *meta, *value = json_loads(bad_metas[_i].value, JSON_DECODE_ANY, NULL);

    ck_assert_ptr_nonnull(value);
    OK(sae_store_write(in_scratch("store"), acts, -1, &o, NULL, &err));
    sae_acts_free(acts);
    acts = NULL;
    OK(json_read_file(&meta, in_scratch("store/meta.json"), &err));
    json_object_set_new(meta, bad_metas[_i].key, value);
    OK(json_write_file(meta, in_scratch("store/meta.json"), true, &err));
    json_decref(meta);
    FAILS(bad_metas[_i].code, open_store(&acts, in_scratch("store"), NULL, &err), bad_metas[_i].words);
    FAILS(SAE_IO, open_store(&acts, in_scratch("nowhere"), NULL, &err), "nowhere");
    ck_assert_ptr_null(acts);
}
END_TEST

static int stop_at_half(void *user, const char *what, double done, double total)
{
    (void)what, (void)total;
    *(int *)user += 1;
    return done > N_ROWS / 2;
}

START_TEST(an_interrupted_write_leaves_no_store)
{
    sae_store_options o = {.shard_rows = 500}, forced = {.shard_rows = 500, .force = true},
                      about = {.about = "{\"site\": "};
    int calls = 0;
    sae_progress progress = {stop_at_half, &calls};
    sae_acts *acts = open_rows(false, false);
    float row[D];
    int64_t got;

    FAILS(SAE_CANCELLED, sae_store_write(in_scratch("store"), acts, -1, &o, &progress, &err), "stopped");
    ck_assert_int_eq(calls, 3);
    expect_scratch_files(1); /* x.npy */
    OK(sae_acts_seek(acts, 0, &err));
    FAILS(SAE_FORMAT, sae_store_write(in_scratch("store"), acts, -1, &about, NULL, &err), "about");
    expect_scratch_files(1);
    OK(sae_store_write(in_scratch("store"), acts, 1200, &o, NULL, &err));
    FAILS(SAE_EXISTS, sae_store_write(in_scratch("store"), acts, -1, &o, NULL, &err), "--force");
    OK(sae_acts_seek(acts, 0, &err));
    FAILS(SAE_CANCELLED, sae_store_write(in_scratch("store"), acts, -1, &forced, &progress, &err), "stopped");
    expect_scratch_files(2); /* and the first store, whole: */
    sae_acts_free(acts);
    OK(open_store(&acts, in_scratch("store"), NULL, &err));
    ck_assert_int_eq(sae_acts_get_info(acts).n_rows, 1200);
    sae_acts_free(acts);
    acts = open_rows(false, false);
    OK(sae_store_write(in_scratch("store"), acts, -1, &forced, NULL, &err));
    FAILS(SAE_RANGE, sae_store_write(in_scratch("none"), acts, -1, &o, NULL, &err), "no rows");
    OK(file_write_text(in_scratch("store/notes.txt"), "mine", 4, false, &err));
    OK(sae_acts_seek(acts, 0, &err));
    FAILS(SAE_EXISTS, sae_store_write(in_scratch("store"), acts, -1, &forced, NULL, &err), "notes.txt");
    OK(sae_acts_next(acts, 1, row, NULL, NULL, &got, &err)); /* refused before a row was taken */
    ck_assert_int_eq(row_number(row), 0);
    expect_scratch_files(2);
    sae_acts_free(acts);
}
END_TEST

START_TEST(failed_allocations_leave_no_store)
{
    sae_store_options o = {.shard_rows = 1000};
    sae_acts_options shuffled = {.seed = 2};
    sae_acts *acts;
    float rows[5 * D];
    int64_t got, nth;
    size_t before = mem_in_use();

    write_array(in_scratch("x.npy"), DTYPE_F32);
    for (nth = 1;; nth++) {
        acts = NULL;
        mem_fail_nth(nth);
        sae_status status = sae_acts_open_array(&acts, in_scratch("x.npy"), NULL, NULL);
        if (status == SAE_OK) status = sae_store_write(in_scratch("store"), acts, -1, &o, NULL, NULL);
        mem_fail_nth(0);
        sae_acts_free(acts);
        ck_assert_uint_eq(mem_in_use(), before);
        if (status == SAE_OK) break;
        ck_assert_int_eq(status, SAE_NOMEM);
        expect_scratch_files(1);
    }
    ck_assert_int_gt(nth, 20);
    for (nth = 1;; nth++) {
        acts = NULL;
        mem_fail_nth(nth);
        sae_status status = open_store(&acts, in_scratch("store"), &shuffled, NULL);
        if (status == SAE_OK) status = sae_acts_next(acts, 5, rows, NULL, NULL, &got, NULL);
        mem_fail_nth(0);
        sae_acts_free(acts);
        ck_assert_uint_eq(mem_in_use(), before);
        if (status == SAE_OK) break;
        ck_assert_int_eq(status, SAE_NOMEM);
    }
    ck_assert_int_gt(nth, 10);
}
END_TEST

/* ---- Read ahead --------------------------------------------------------------------------------------------------------------- */

/* The rows read by a thread are those read without it, however many are asked for, and after every seek; the guard of a step
 * does not disturb the thread. */
START_TEST(rows_read_ahead_are_the_same)
{
    static const int64_t blocks[] = {1, 7, 256, 2499, 2500, 9000}, seeks[] = {0, 1, 2499, 2500, 3777, 7400};
    static float plain[3 * N_ROWS * D], rows[3 * N_ROWS * D];
    static int32_t tokens[3 * N_ROWS], positions[3 * N_ROWS];
    sae_store_options w = {.shard_rows = 1000};
    int64_t got, total = 3 * N_ROWS;
    sae_acts *acts = open_rows(false, false);
    rng r = rng_seed(4, 0);

    OK(sae_store_write(in_scratch("store"), acts, -1, &w, NULL, &err));
    sae_acts_free(acts);
    for (int in_order = 0; in_order < 2; in_order++) {
        sae_acts_options o = {.seed = 3, .repeat = true, .in_order = in_order};
        OK(open_store(&acts, in_scratch("store"), &o, &err));
        OK(sae_acts_next(acts, total, plain, NULL, NULL, &got, &err));
        sae_acts_free(acts);
        o.read_ahead = blocks[_i];
        OK(open_store(&acts, in_scratch("store"), &o, &err));
        ck_assert_uint_eq(sae_acts_get_info(acts).buffer_bytes, 2 * (size_t)blocks[_i] * (D * 4 + 8));
        for (int k = 0; k < 6; k++) {
            int64_t at = seeks[k];
            if (k) OK(sae_acts_seek(acts, at, &err));
            while (at < total && at < seeks[k] + 3000) {
                int64_t n = (int64_t)rng_below(&r, 400);
                if (n > total - at) n = total - at;
                OK(sae_acts_next(acts, n, rows, tokens, positions, &got, &err));
                mem_guard_begin("a test");
                ck_assert_int_eq(got, n);
                ck_assert_mem_eq(rows, plain + at * D, (size_t)(n * D) * sizeof *rows);
                for (int64_t i = 0; i < n; i++) ck_assert(tokens[i] == -1 && positions[i] == -1);
                mem_guard_end();
                at += n;
            }
        }
        sae_acts_free(acts); /* while the thread is at work */
        OK(open_store(&acts, in_scratch("store"), &o, &err));
        sae_acts_free(acts); /* before it began */
    }
}
END_TEST

/* The end and a damaged shard come at the same row and with the same words as without the thread. */
START_TEST(reading_ahead_ends_and_fails_the_same)
{
    static float rows[N_ROWS * D];
    sae_store_options w = {.shard_rows = 1000};
    sae_acts_options o = {.in_order = true, .read_ahead = 300};
    int64_t got = -7;
    sae_acts *acts = open_rows(false, false);

    OK(sae_store_write(in_scratch("store"), acts, -1, &w, NULL, &err));
    sae_acts_free(acts);
    OK(open_store(&acts, in_scratch("store"), &o, &err));
    OK(sae_acts_next(acts, N_ROWS - 10, rows, NULL, NULL, &got, &err));
    OK(sae_acts_next(acts, 100, rows, NULL, NULL, &got, &err));
    ck_assert_int_eq(got, 10);
    OK(sae_acts_next(acts, 100, rows, NULL, NULL, &got, &err));
    ck_assert_int_eq(got, 0);
    OK(sae_acts_seek(acts, N_ROWS - 1, &err));
    OK(sae_acts_next(acts, 100, rows, NULL, NULL, &got, &err));
    ck_assert_int_eq(got, 1);
    FAILS(SAE_RANGE, sae_acts_seek(acts, N_ROWS + 1, &err), "behind the end");
    sae_acts_free(acts);
    flip_byte(in_scratch("store/shard-00001.safetensors"), 100);
    OK(open_store(&acts, in_scratch("store"), &o, &err));
    OK(sae_acts_next(acts, 990, rows, NULL, NULL, &got, &err));
    OK(sae_acts_next(acts, 10, rows, NULL, NULL, &got, &err));
    got = -7;
    for (int i = 0; i < 2; i++)
        FAILS(SAE_FORMAT, sae_acts_next(acts, 1, rows, NULL, NULL, &got, &err),
              "shard-00001.safetensors: its checksum");
    ck_assert_int_eq(got, -7);
    OK(sae_acts_seek(acts, 0, &err));
    OK(sae_acts_next(acts, 1000, rows, NULL, NULL, &got, &err));
    ck_assert_int_eq(got, 1000);
    sae_acts_free(acts);
    o.read_ahead = -1;
    FAILS(SAE_RANGE, open_store(&acts, in_scratch("store"), &o, &err), "read ahead");
}
END_TEST

START_TEST(too_large_for_f16)
{
    float x[4] = {1, 2, -65519, 65520};
    tensor t = {.name = "x", .type = DTYPE_F32, .rank = 2, .shape = {4, 1}, .data = x};
    sae_store_options o = {.dtype = SAE_STORE_F16}, unknown = {.dtype = (sae_store_dtype)4};
    sae_acts_options in_order = {.in_order = true};
    sae_acts *acts;

    OK(npy_write(in_scratch("large.npy"), &t, false, &err));
    OK(sae_acts_open_array(&acts, in_scratch("large.npy"), &in_order, &err));
    FAILS(SAE_RANGE, sae_store_write(in_scratch("store"), acts, -1, &o, NULL, &err), "row 3");
    FAILS(SAE_RANGE, sae_store_write(in_scratch("store"), acts, -1, &unknown, NULL, &err), "sae_store_dtype");
    expect_scratch_files(1);
    OK(sae_acts_seek(acts, 0, &err));
    OK(sae_store_write(in_scratch("store"), acts, 3, &o, NULL, &err));
    sae_acts_free(acts);
}
END_TEST

/* A bad scale, or none. */
START_TEST(damaged_int8_rows_are_refused)
{
    static const struct {
        float scale;
        bool named;
        sae_status open, next;
    } cases[] = {{1, true, SAE_OK, SAE_OK},
                 {NAN, true, SAE_OK, SAE_NUMERIC},
                 {INFINITY, true, SAE_OK, SAE_NUMERIC},
                 {1, false, SAE_FORMAT, SAE_OK}};
    int8_t q[3] = {1, -127, 0};
    int32_t zero[1] = {0};
    float rows[3];
    int64_t got;
    uint64_t hash;
    sae_acts *acts;
    tensor t[] = {{.name = "rows", .type = DTYPE_I8, .rank = 2, .shape = {1, 3}, .data = q},
                  {.name = "tokens", .type = DTYPE_I32, .rank = 1, .shape = {1}, .data = zero},
                  {.name = "positions", .type = DTYPE_I32, .rank = 1, .shape = {1}, .data = zero},
                  {.name = cases[_i].named ? "scales" : "scale",
                   .type = DTYPE_F32,
                   .rank = 1,
                   .shape = {1},
                   .data = &cases[_i].scale}};
    char text[20];

    OK(folder_make(in_scratch("store"), &err));
    OK(safetensors_write(in_scratch("store/shard-00000.safetensors"), t, 4, NULL, false, &hash, &err));
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    json_t *meta =
        json_pack("{s:s, s:i, s:i, s:s, s:i, s:s, s:[{s:i, s:s}]}", "format", STORE_FORMAT, "version", STORE_VERSION,
                  "d", 3, "dtype", "I8", "n_rows", 1, "source", "a test", "shards", "rows", 1, "xxh3", text);
    OK(json_write_file(meta, in_scratch("store/meta.json"), false, &err));
    json_decref(meta);
    sae_status status = open_store(&acts, in_scratch("store"), NULL, &err);
    ck_assert_int_eq(status, cases[_i].open);
    if (status != SAE_OK) return;
    ck_assert_int_eq(sae_acts_next(acts, 1, rows, NULL, NULL, &got, &err), cases[_i].next);
    if (cases[_i].next == SAE_OK) ck_assert(rows[0] == 1 && rows[1] == -127 && rows[2] == 0);
    sae_acts_free(acts);
}
END_TEST

/* ---- Live ------------------------------------------------------------------------------------------------------------------------ */

#define MODEL "data/golden/models/llama_gqa_tied"
enum { CTX = 16, MODEL_D = 32 };

/* A byte-level tokenizer of letters, space and newline; id 0 is the special token that begins sequences. */
static void write_tokenizer(void)
{
    json_t *vocab = json_object(), *root;
    char letter[2] = "a";

    json_object_set_new(vocab, "<|endoftext|>", json_integer(0));
    for (int i = 0; i < 26; i++, letter[0]++) json_object_set_new(vocab, letter, json_integer(i + 1));
    json_object_set_new(vocab, "\xc4\xa0", json_integer(27)); /* space, as byte-level vocabularies write it */
    json_object_set_new(vocab, "\xc4\x8a", json_integer(28)); /* newline */
    root = json_pack("{s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:n, s:{s:s, s:b, s:b}, s:{s:s, s:o, s:[]}}",
                     "added_tokens", "id", 0, "content", "<|endoftext|>", "special", 1, "single_word", 0, "lstrip", 0,
                     "rstrip", 0, "normalized", 0, "normalizer", "pre_tokenizer", "type", "ByteLevel",
                     "add_prefix_space", 0, "use_regex", 1, "model", "type", "BPE", "vocab", vocab, "merges");
    ck_assert_ptr_nonnull(root);
    OK(json_write_file(root, in_scratch("tokenizer.json"), false, &err));
    json_decref(root);
}

/* 60 documents of 20 to 119 random letters. */
static void write_text(void)
{
    char text[9000];
    size_t n = 0;
    rng r = rng_seed(31, 0);

    for (int doc = 0; doc < 60; doc++) {
        uint64_t letters = 20 + rng_below(&r, 100);
        n += (size_t)snprintf(text + n, sizeof text - n, "{\"text\": \"");
        for (uint64_t i = 0; i < letters; i++) text[n++] = (char)(i % 6 == 5 ? ' ' : 'a' + (int)rng_below(&r, 26));
        n += (size_t)snprintf(text + n, sizeof text - n, "\"}\n");
    }
    OK(file_write_text(in_scratch("text.jsonl"), text, n, false, &err));
}

typedef struct source {
    sae_tokenizer *tok;
    sae_text *text;
    sae_model *model;
} source;

static source source_open(bool repeat)
{
    source s = {0};
    const char *path = in_scratch("text.jsonl");
    sae_text_options o = sae_text_defaults();

    if (!file_exists(path)) {
        write_tokenizer();
        write_text();
    }
    o.ctx = CTX;
    o.repeat = repeat;
    OK(sae_tokenizer_open(&s.tok, in_scratch("tokenizer.json"), &err));
    OK(sae_text_open(&s.text, s.tok, &path, 1, &o, &err));
    OK(sae_model_open(&s.model, MODEL, NULL, &err));
    return s;
}

static void source_free(source *s)
{
    sae_text_free(s->text);
    sae_tokenizer_free(s->tok);
    sae_model_free(s->model);
}

static const sae_site site = {.layer = 1, .hook = SAE_RESID_POST};

/* What the stream must give: the masked rows of the same batches, by the model's own calls. */
typedef struct expected {
    float *rows;
    int32_t *tokens, *positions;
    int64_t n, masked;
} expected;

static sae_status copy_all(void *user, float *rows, int64_t n, int64_t d, sae_error *e)
{
    (void)e;
    memcpy(user, rows, (size_t)(n * d) * sizeof *rows);
    return SAE_OK;
}

static expected expect_live(int64_t batch_seqs)
{
    source s = source_open(false);
    expected x = {0};
    int32_t ids[8 * CTX];
    uint8_t mask[8 * CTX];
    static float rows[8 * CTX * MODEL_D];
    int64_t n_seq = batch_seqs;
    sae_tap tap = {site, copy_all, rows};

    x.rows = malloc(20000 * MODEL_D * sizeof(float));
    x.tokens = malloc(20000 * sizeof(int32_t));
    x.positions = malloc(20000 * sizeof(int32_t));
    while (n_seq == batch_seqs) {
        OK(sae_text_next(s.text, batch_seqs, ids, mask, &n_seq, &err));
        if (n_seq == 0) break;
        sae_run run = {.ids = ids, .n_seq = n_seq, .n_ctx = CTX, .taps = &tap, .n_taps = 1};
        OK(sae_model_run(s.model, &run, &err));
        for (int64_t i = 0; i < n_seq * CTX; i++) {
            x.masked += !mask[i];
            if (i % CTX == 0 || ids[i] == 0) ck_assert_int_eq(mask[i], 0);
            if (!mask[i]) continue;
            memcpy(x.rows + x.n * MODEL_D, rows + i * MODEL_D, MODEL_D * sizeof(float));
            x.tokens[x.n] = ids[i];
            x.positions[x.n++] = (int32_t)(i % CTX);
        }
    }
    ck_assert(x.n > 3000 && x.n < 20000);
    ck_assert_int_gt(x.masked, x.n / CTX);
    source_free(&s);
    return x;
}

static void expected_free(expected *x)
{
    free(x->rows);
    free(x->tokens);
    free(x->positions);
}

static double norm_of(const float *row)
{
    double sum = 0;

    for (int j = 0; j < MODEL_D; j++) sum += (double)row[j] * (double)row[j];
    return sqrt(sum);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Takes the rows over max_norm x the median of the first passes out; gives the median. */
static double filter(expected *x, double max_norm, int64_t n_median, int64_t *dropped)
{
    double *norms = malloc((size_t)n_median * sizeof *norms);
    int64_t kept = 0;

    for (int64_t i = 0; i < n_median; i++) norms[i] = norm_of(x->rows + i * MODEL_D);
    qsort(norms, (size_t)n_median, sizeof *norms, by_size);
    double median = (norms[(n_median - 1) / 2] + norms[n_median / 2]) / 2;
    for (int64_t i = 0; i < x->n; i++) {
        if (norm_of(x->rows + i * MODEL_D) > max_norm * median) continue;
        memmove(x->rows + kept * MODEL_D, x->rows + i * MODEL_D, MODEL_D * sizeof(float));
        x->tokens[kept] = x->tokens[i];
        x->positions[kept++] = x->positions[i];
    }
    *dropped = x->n - kept;
    x->n = kept;
    free(norms);
    return median;
}

typedef struct given {
    float *rows;
    int32_t *tokens, *positions;
    int64_t n;
} given;

static given take_all(sae_acts *acts, int64_t piece)
{
    given g = {malloc(20000 * MODEL_D * sizeof(float)), malloc(20000 * 4), malloc(20000 * 4), 0};
    int64_t got = piece;

    while (got == piece) {
        ck_assert_int_lt(g.n + piece, 20000);
        OK(sae_acts_next(acts, piece, g.rows + g.n * MODEL_D, g.tokens + g.n, g.positions + g.n, &got, &err));
        g.n += got;
    }
    return g;
}

static void given_free(given *g)
{
    free(g->rows);
    free(g->tokens);
    free(g->positions);
}

START_TEST(live_in_order)
{
    static const double max_norms[] = {-1, 0, 1.2};
    double max_norm = max_norms[_i], median = 0;
    sae_acts_options o = {.in_order = true, .batch_seqs = 8, .max_norm = max_norm};
    source s = source_open(false);
    sae_acts *acts;
    expected x = expect_live(8);
    int64_t dropped = 0;

    if (max_norm >= 0) median = filter(&x, max_norm > 0 ? max_norm : 10, x.n < 4096 ? x.n : 4096, &dropped);
    OK(sae_acts_open_live(&acts, s.model, s.text, &site, 1, &o, &err));
    given g = take_all(acts, 333);
    ck_assert_int_eq(g.n, x.n);
    ck_assert_mem_eq(g.rows, x.rows, (size_t)(g.n * MODEL_D) * sizeof(float));
    ck_assert_mem_eq(g.tokens, x.tokens, (size_t)g.n * 4);
    ck_assert_mem_eq(g.positions, x.positions, (size_t)g.n * 4);
    sae_acts_info info = sae_acts_get_info(acts);
    ck_assert_int_eq(info.dropped, dropped);
    ck_assert_double_eq_tol(info.median_norm, median, 1e-12);
    ck_assert_int_eq(info.n_rows, -1);
    ck_assert_uint_eq(info.buffer_bytes, 0);
    if (max_norm == 1.2) ck_assert_int_gt(dropped, 10);
    expected_free(&x);
    given_free(&g);
    sae_acts_free(acts);
    source_free(&s);
}
END_TEST

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The hashes of rows with their token and position, sorted. */
static uint64_t *row_hashes(const float *rows, const int32_t *tokens, const int32_t *positions, int64_t n)
{
    uint64_t *h = malloc((size_t)n * sizeof *h);

    for (int64_t i = 0; i < n; i++)
        h[i] = XXH3_64bits_withSeed(rows + i * MODEL_D, MODEL_D * sizeof(float),
                                    (uint64_t)tokens[i] << 32 | (uint64_t)positions[i]);
    qsort(h, (size_t)n, sizeof *h, by_value);
    return h;
}

START_TEST(live_shuffled_gives_the_same_rows)
{
    static const int64_t rooms[] = {2, 100, 1001, 50000};
    sae_acts_options o = {.buffer_rows = rooms[_i], .batch_seqs = 8, .seed = 5};
    source s = source_open(false);
    sae_acts *acts;
    expected x = expect_live(8);
    int64_t in_place = 0, moved = 0;

    OK(sae_acts_open_live(&acts, s.model, s.text, &site, 1, &o, &err));
    ck_assert_uint_eq(sae_acts_get_info(acts).buffer_bytes, (size_t)rooms[_i] * (MODEL_D * 4 + 12));
    given g = take_all(acts, 100);
    ck_assert_int_eq(g.n, x.n);
    for (int64_t i = 0; i < g.n; i++) in_place += g.positions[i] == x.positions[i] && g.tokens[i] == x.tokens[i];
    for (int64_t i = 1; i < g.n; i++) moved += g.positions[i] != g.positions[i - 1] + 1;
    if (rooms[_i] >= 100) ck_assert_int_lt(in_place, g.n / 10);
    if (rooms[_i] >= 100) ck_assert_int_gt(moved, g.n * 3 / 4);
    uint64_t *a = row_hashes(g.rows, g.tokens, g.positions, g.n), *b = row_hashes(x.rows, x.tokens, x.positions, x.n);
    ck_assert_mem_eq(a, b, (size_t)g.n * sizeof *a);
    free(a);
    free(b);
    expected_free(&x);
    given_free(&g);
    sae_acts_free(acts);
    source_free(&s);
}
END_TEST

START_TEST(live_order_follows_the_seed)
{
    given g[3];
    int64_t same = 0;

    for (int i = 0; i < 3; i++) {
        sae_acts_options o = {.buffer_rows = 1000, .batch_seqs = 8, .seed = i == 2 ? 6 : 5};
        source s = source_open(false);
        sae_acts *acts;
        OK(sae_acts_open_live(&acts, s.model, s.text, &site, 1, &o, &err));
        g[i] = take_all(acts, 1000);
        sae_acts_free(acts);
        source_free(&s);
    }
    ck_assert_int_eq(g[0].n, g[1].n);
    ck_assert_int_eq(g[0].n, g[2].n);
    ck_assert_mem_eq(g[0].rows, g[1].rows, (size_t)(g[0].n * MODEL_D) * sizeof(float));
    for (int64_t i = 0; i < g[0].n; i++)
        same += g[0].tokens[i] == g[2].tokens[i] && g[0].positions[i] == g[2].positions[i];
    ck_assert_int_lt(same, g[0].n / 50); /* by chance 1 in 15 positions x 27 tokens; observed 25 of 4126 */
    for (int i = 0; i < 3; i++) given_free(&g[i]);
}
END_TEST

START_TEST(seek_in_a_live_stream)
{
    static const int64_t places[] = {0, 1, 1500, 1499, 2999, 700};
    sae_acts_options o = {.buffer_rows = 500, .batch_seqs = 4, .seed = 2, .in_order = _i == 1, .max_norm = 1.2};
    source s = source_open(true);
    sae_acts *acts;
    int32_t ids[CTX];
    uint8_t mask[CTX];
    int64_t got;

    OK(sae_text_next(s.text, 1, ids, mask, &got, &err)); /* a stream may begin in the midst of a text */
    OK(sae_acts_open_live(&acts, s.model, s.text, &site, 1, &o, &err));
    check_seek(acts, 9000, MODEL_D, places, 6); /* over the end of the text, which repeats */
    sae_acts_free(acts);
    source_free(&s);
    s = source_open(false);
    OK(sae_acts_open_live(&acts, s.model, s.text, &site, 1, &o, &err));
    FAILS(SAE_RANGE, sae_acts_seek(acts, 100000, &err), "behind the end");
    sae_acts_free(acts);
    source_free(&s);
}
END_TEST

START_TEST(live_into_a_store_and_back)
{
    sae_acts_options in_order = {.in_order = true, .batch_seqs = 8, .max_norm = 1.2};
    sae_store_options f32 = {.dtype = SAE_STORE_F32, .shard_rows = 1000};
    source s = source_open(false);
    sae_acts *acts;
    expected x = expect_live(8);
    int64_t dropped = 0;
    double median = filter(&x, 1.2, x.n < 4096 ? x.n : 4096, &dropped);

    OK(sae_acts_open_live(&acts, s.model, s.text, &site, 1, &in_order, &err));
    OK(sae_store_write(in_scratch("store"), acts, -1, &f32, NULL, &err));
    sae_acts_free(acts);
    OK(open_store(&acts, in_scratch("store"), &in_order, &err));
    ck_assert_int_eq(sae_acts_get_info(acts).n_rows, x.n);
    ck_assert_double_eq_tol(sae_acts_get_info(acts).median_norm, median, 1e-12);
    ck_assert_ptr_nonnull(strstr(sae_acts_get_info(acts).describe, "blocks.1.hook_resid_post of " MODEL));
    given g = take_all(acts, 700);
    ck_assert_int_eq(g.n, x.n);
    ck_assert_mem_eq(g.rows, x.rows, (size_t)(g.n * MODEL_D) * sizeof(float));
    ck_assert_mem_eq(g.tokens, x.tokens, (size_t)g.n * 4);
    ck_assert_mem_eq(g.positions, x.positions, (size_t)g.n * 4);
    expected_free(&x);
    given_free(&g);
    sae_acts_free(acts);
    source_free(&s);
}
END_TEST

/* Rows of several sites are the sites' own rows side by side; a limit at any of them drops the row from all. */
START_TEST(several_sites_of_one_pass)
{
    static const sae_site sites[] = {
        {.layer = 1, .hook = SAE_RESID_POST}, {.layer = 0, .hook = SAE_MLP_OUT}, {.layer = 1, .hook = SAE_RESID_PRE}};
    enum { N = 3 };
    sae_acts_options o = {.in_order = true, .batch_seqs = 8, .max_norm = _i ? 1.2 : -1};
    float *rows = malloc(20000 * N * MODEL_D * sizeof *rows);
    int32_t *tokens = malloc(20000 * sizeof *tokens), *positions = malloc(20000 * sizeof *positions);
    int64_t n, kept = 0, alone_kept[N];
    sae_acts *acts;
    source s = source_open(false);
    given alone[N];
    double limits[N];

    OK(sae_acts_open_live(&acts, s.model, s.text, sites, N, &o, &err));
    ck_assert_int_eq(sae_acts_get_info(acts).d, N * MODEL_D);
    OK(sae_acts_next(acts, 19999, rows, tokens, positions, &n, &err));
    sae_acts_info info = sae_acts_get_info(acts);
    ck_assert_int_eq(info.n_parts, N);
    for (int k = 0; k < N; k++) {
        source t = source_open(false);
        sae_acts *one;
        sae_acts_options all = {.in_order = true, .batch_seqs = 8, .max_norm = -1};
        OK(sae_acts_open_live(&one, t.model, t.text, &sites[k], 1, &all, &err));
        alone[k] = take_all(one, 500);
        sae_acts_free(one);
        source_free(&t);
        limits[k] = _i ? 1.2 * info.parts[k].median_norm : INFINITY;
        ck_assert_int_eq(info.parts[k].d, MODEL_D);
        alone_kept[k] = 0;
    }
    for (int64_t i = 0; i < alone[0].n; i++) {
        bool over = false;
        for (int k = 0; k < N; k++) {
            bool here = norm_of(alone[k].rows + i * MODEL_D) > limits[k];
            over |= here;
            alone_kept[k] += !here;
        }
        if (over) continue;
        ck_assert_int_lt(kept, n);
        ck_assert(tokens[kept] == alone[0].tokens[i] && positions[kept] == alone[0].positions[i]);
        for (int k = 0; k < N; k++)
            ck_assert_mem_eq(rows + (kept * N + k) * MODEL_D, alone[k].rows + i * MODEL_D, MODEL_D * sizeof *rows);
        kept++;
    }
    ck_assert_int_eq(kept, n);
    ck_assert_int_eq(info.dropped, alone[0].n - n);
    for (int k = 0; k < N; k++) {
        if (_i) ck_assert_int_lt(kept, alone_kept[k]); /* each drops some that the others keep */
        given_free(&alone[k]);
    }
    ck_assert_ptr_nonnull(strstr(info.describe, "blocks.1.hook_resid_post + blocks.0.hook_mlp_out + "));
    FAILS(SAE_RANGE, sae_acts_open_live(&acts, s.model, s.text, sites, 0, &o, &err), "0 sites");
    sae_acts_free(acts);
    free(rows), free(tokens), free(positions);
    source_free(&s);
}
END_TEST

/* Two stores of the same tokens as one wider row; stores of other tokens are refused, at the latest when rows meet. */
START_TEST(stores_side_by_side)
{
    static const sae_site sites[] = {{.layer = 1, .hook = SAE_RESID_POST}, {.layer = 0, .hook = SAE_MLP_OUT}};
    sae_acts_options o = {.in_order = true, .batch_seqs = 8, .max_norm = -1}, shuffled = {.seed = 3, .repeat = true};
    char a[200], b[200], c[200], e[200], f[200];
    const char *const pair[] = {a, b}, *const off[] = {a, c}, *const few[] = {a, e}, *const kin[] = {a, f};
    static float rows[3000 * 2 * MODEL_D], both[3000 * 2 * MODEL_D];
    int64_t got;
    sae_acts *acts;
    source s;

    snprintf(a, sizeof a, "%s/a", scratch), snprintf(b, sizeof b, "%s/b", scratch);
    snprintf(c, sizeof c, "%s/c", scratch), snprintf(e, sizeof e, "%s/e", scratch),
        snprintf(f, sizeof f, "%s/f", scratch);
    for (int k = 0; k < 5;
         k++) { /* a, b: two sites; c: begins later in the text; e: fewer rows; f: the same text by another name */
        sae_store_options w = {.dtype = k == 0 ? SAE_STORE_BF16 : SAE_STORE_F32,
                               .shard_rows = k == 0 ? 1000 : 700,
                               .about = k == 4 ? "{\"text\": [\"g\"]}" : "{\"text\": [\"f\"]}"};
        s = source_open(false);
        if (k == 2) OK(sae_text_seek(s.text, 1, &err));
        OK(sae_acts_open_live(&acts, s.model, s.text, &sites[k > 0], 1, &o, &err));
        OK(sae_store_write(k == 0   ? a
                           : k == 1 ? b
                           : k == 2 ? c
                           : k == 3 ? e
                                    : f,
                           acts, k == 3 ? 2999 : 3000, &w, NULL, &err));
        sae_acts_free(acts);
        source_free(&s);
    }
    s = source_open(false);
    OK(sae_acts_open_live(&acts, s.model, s.text, sites, 2, &o, &err));
    OK(sae_acts_next(acts, 3000, rows, NULL, NULL, &got, &err));
    sae_acts_free(acts);
    OK(sae_acts_open_store(&acts, pair, 2, &o, &err));
    sae_acts_info info = sae_acts_get_info(acts);
    ck_assert(info.d == 2 * MODEL_D && info.n_parts == 2 && info.parts[1].d == MODEL_D && info.n_rows == 3000);
    OK(sae_acts_next(acts, 3000, both, NULL, NULL, &got, &err));
    for (int64_t i = 0; i < 3000; i++) {
        ck_assert_mem_eq(both + i * 2 * MODEL_D + MODEL_D, rows + i * 2 * MODEL_D + MODEL_D, MODEL_D * sizeof(float));
        for (int j = 0; j < MODEL_D; j++)
            ck_assert_float_le(fabsf(both[i * 2 * MODEL_D + j] - rows[i * 2 * MODEL_D + j]),
                               0x1p-8f * fabsf(rows[i * 2 * MODEL_D + j]));
    }
    sae_acts_free(acts);
    OK(sae_acts_open_store(&acts, pair, 2, &shuffled, &err));
    OK(sae_acts_next(acts, 3000, both, NULL, NULL, &got, &err));
    sae_acts_free(acts);
    OK(sae_acts_open_store(&acts, off, 2, &o, &err));
    FAILS(SAE_STATE, sae_acts_next(acts, 3000, both, NULL, NULL, &got, &err), "same tokens in the same order");
    sae_acts_free(acts);
    FAILS(SAE_SHAPE, sae_acts_open_store(&acts, few, 2, &o, &err), "2999 rows");
    OK(sae_acts_open_store(&acts, kin, 2, &o, &err)); /* how a file is called makes no other text of it */
    OK(sae_acts_next(acts, 3000, both, NULL, NULL, &got, &err));
    sae_acts_free(acts);
    FAILS(SAE_RANGE, sae_acts_open_store(&acts, pair, 0, &o, &err), "0 stores");
    source_free(&s);
}
END_TEST

/* Written live, stopped at every report, gone on with and appended to: the bytes of one undisturbed run. */
static int stop_at(void *user, const char *what, double done, double total)
{
    (void)what, (void)done, (void)total;
    return --*(int *)user == 0;
}

static sae_status write_live(const char *path, int64_t n, const sae_store_options *w, double max_norm, int stop,
                             sae_error *e)
{
    static const sae_site sites[] = {{.layer = 1, .hook = SAE_RESID_POST}, {.layer = 0, .hook = SAE_MLP_OUT}};
    sae_acts_options o = {.in_order = true, .batch_seqs = 4, .max_norm = max_norm};
    sae_progress progress = {stop_at, &stop};
    source s = source_open(false);
    sae_acts *acts;

    OK(sae_acts_open_live(&acts, s.model, s.text, sites, 2, &o, &err));
    sae_status status = sae_store_write(path, acts, n, w, &progress, e);
    sae_acts_free(acts);
    source_free(&s);
    return status;
}

static void expect_same_file(const char *name)
{
    char a[200], b[200], *x, *y;
    size_t n, m;

    snprintf(a, sizeof a, "%s/whole/%s", scratch, name), snprintf(b, sizeof b, "%s/parts/%s", scratch, name);
    OK(file_read_all(a, 1 << 24, &x, &n, &err));
    OK(file_read_all(b, 1 << 24, &y, &m, &err));
    ck_assert_msg(n == m && memcmp(x, y, n) == 0, "%s differs", name);
    mem_free(x), mem_free(y);
}

START_TEST(live_stores_go_on)
{
    static const char *const parts[] = {"p", "q"};
    double max_norm = _i ? -1 : 1.2; /* 1.2: the first 4,096 rows fix the limits, which is nearly all */
    sae_store_options w = {.shard_rows = 700, .parts = parts, .resumable = true, .about = "{\"model\": \"m\"}"},
                      more = w;
    static const char *const files[] = {"p/meta.json", "q/meta.json", "p/shard-00000.safetensors",
                                        "q/shard-00002.safetensors", "p/shard-00004.safetensors"};
    sae_status status = SAE_CANCELLED;
    char whole[200], path[200];

    snprintf(whole, sizeof whole, "%s/whole", scratch);
    snprintf(path, sizeof path, "%s/parts", scratch);
    more.append = true;
    OK(write_live(whole, -1, &w, max_norm, 0, &err));
    for (int i = 0; status == SAE_CANCELLED; i++) {
        ck_assert_int_lt(i, 100);
        status = write_live(path, -1, &w, max_norm, 2, NULL);
    }
    ck_assert_int_eq(status, SAE_OK);
    for (int i = 0; i < 5; i++) expect_same_file(files[i]);
    OK(folder_remove(path, &err));
    OK(write_live(path, 1500, &w, max_norm, 0, &err));
    OK(write_live(path, 1300, &more, max_norm, 0, &err));
    OK(write_live(path, 1500, &more, max_norm, 0, &err));
    OK(write_live(path, -1, &more, max_norm, 0, &err));
    for (int i = 0; i < 5; i++) expect_same_file(files[i]);
    /* another text under the same name is noticed */
    OK(folder_remove(path, &err));
    OK(write_live(path, 1500, &w, max_norm, 0, &err));
    char *text;
    size_t bytes;
    OK(file_read_all(in_scratch("text.jsonl"), 1 << 20, &text, &bytes, &err));
    text[15] = text[15] == 'a' ? 'b' : 'a';
    OK(file_write_text(in_scratch("text.jsonl"), text, bytes, true, &err));
    mem_free(text);
    FAILS(SAE_STATE, write_live(path, 10, &more, max_norm, 0, &err), "have its files changed");
    ck_assert(!file_exists(in_scratch("parts.partial")));
}
END_TEST

/* Which rows of a text are stored: by their tokens and positions. */
START_TEST(live_rows_are_chosen)
{
    static const struct {
        bool keep_special;
        int64_t drop;
    } cases[] = {{false, 0}, {true, 0}, {true, -1}, {false, 3}, {true, 3}, {false, CTX}};
    sae_acts_options o = {
        .in_order = true, .max_norm = -1, .keep_special = cases[_i].keep_special, .drop_positions = cases[_i].drop};
    int64_t drop = cases[_i].drop == 0 ? 1 : cases[_i].drop < 0 ? 0 : cases[_i].drop, n_chosen = 0;
    source s = source_open(false), t = source_open(false);
    int32_t ids[CTX];
    uint8_t mask[CTX];
    int64_t got = 1;
    sae_acts *acts;

    OK(sae_acts_open_live(&acts, s.model, s.text, &site, 1, &o, &err));
    if (drop == CTX) {
        float row[MODEL_D];
        sae_status status = sae_acts_next(acts, 1, row, NULL, NULL, &got, &err);
        ck_assert(status == SAE_STATE || got == 0);
        sae_acts_free(acts);
        source_free(&s), source_free(&t);
        return;
    }
    given g = take_all(acts, 500);
    while (got == 1) {
        OK(sae_text_next(t.text, 1, ids, mask, &got, &err));
        for (int64_t i = drop; i < CTX && got; i++) {
            if (!mask[i] && !cases[_i].keep_special) continue;
            ck_assert(g.tokens[n_chosen] == ids[i] && g.positions[n_chosen] == i);
            n_chosen++;
        }
    }
    ck_assert_int_eq(g.n, n_chosen);
    given_free(&g);
    sae_acts_free(acts);
    source_free(&s), source_free(&t);
}
END_TEST

/* A stream that is opened for its plan tells what the other one tells, and holds less than half of its buffer. */
START_TEST(a_plan_takes_no_buffer)
{
    sae_acts_options o = {.buffer_rows = 100000}, ahead = {.read_ahead = 50000};
    source s = source_open(false);
    sae_acts *acts;
    const char *path = in_scratch("planned.npy");
    float row[MODEL_D];
    int64_t got;
    size_t taken[2], told[2];
    tensor t = {.name = "x", .type = DTYPE_F32, .rank = 2, .shape = {1, MODEL_D}, .data = row};

    memset(row, 0, sizeof row);
    OK(npy_write(path, &t, true, &err));
    for (int live = 0; live < 2; live++) {
        for (int plan = 0; plan < 2; plan++) {
            size_t before = mem_in_use();
            o.plan_only = ahead.plan_only = plan;
            OK(live ? sae_acts_open_live(&acts, s.model, s.text, &site, 1, &o, &err)
                    : sae_acts_open_array(&acts, path, &ahead, &err));
            taken[plan] = mem_in_use() - before;
            told[plan] = sae_acts_get_info(acts).buffer_bytes;
            if (plan) {
                FAILS(SAE_STATE, sae_acts_next(acts, 1, row, NULL, NULL, &got, &err), "plan_only");
                FAILS(SAE_STATE, sae_acts_seek(acts, 0, &err), "plan_only");
            }
            sae_acts_free(acts);
        }
        ck_assert_uint_eq(told[0], told[1]);
        ck_assert_uint_gt(told[0], (size_t)100000 * MODEL_D * sizeof(float) - 1);
        ck_assert_uint_ge(taken[0], told[0]);
        ck_assert_uint_lt(taken[1], told[1] / 2);
    }
    source_free(&s);
}
END_TEST

START_TEST(live_refusals_and_failed_allocations)
{
    sae_site beyond = {.layer = 3, .hook = SAE_RESID_POST};
    sae_acts_options o = {.buffer_rows = 300, .batch_seqs = 2};
    source s = source_open(false);
    sae_acts *acts = NULL;
    static float rows[100 * MODEL_D];
    int64_t got, nth;

    FAILS(SAE_RANGE, sae_acts_open_live(&acts, s.model, s.text, &beyond, 1, NULL, &err), "layer 3");
    ck_assert_ptr_null(acts);
    OK(sae_acts_open_live(&acts, s.model, s.text, &site, 1, &o,
                          &err)); /* the model's own scratch is made once and kept */
    OK(sae_acts_next(acts, 100, rows, NULL, NULL, &got, &err));
    sae_acts_free(acts);
    for (nth = 1;; nth++) {
        source_free(&s);
        s = source_open(false);
        size_t before = mem_in_use();
        acts = NULL;
        mem_fail_nth(nth);
        sae_status status = sae_acts_open_live(&acts, s.model, s.text, &site, 1, &o, NULL);
        if (status == SAE_OK) status = sae_acts_next(acts, 100, rows, NULL, NULL, &got, NULL);
        mem_fail_nth(0);
        bool opened = acts != NULL;
        sae_acts_free(acts);
        if (status == SAE_OK) break;
        ck_assert_int_eq(status, SAE_NOMEM);
        if (!opened) ck_assert_uint_eq(mem_in_use(), before);
    }
    ck_assert_int_gt(nth, 12);
    source_free(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("acts");
    TCase *c = tcase_create("acts");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, scratch_make, scratch_remove);
    tcase_add_loop_test(c, permutations_are_bijections, 0, 15);
    tcase_add_test(c, permutations_are_even_handed);
    tcase_add_loop_test(c, arrays_of_every_type, 0, (int)(sizeof arrays / sizeof *arrays));
    tcase_add_test(c, every_row_once_in_each_epoch);
    tcase_add_loop_test(c, rows_that_are_given_again_are_counted, 0, 2);
    tcase_add_test(c, seek_in_an_array);
    tcase_add_test(c, bad_arrays_are_refused);
    tcase_add_loop_test(c, what_was_stored_is_read, 0, (int)(sizeof stores / sizeof *stores));
    tcase_add_test(c, seek_in_a_store);
    tcase_add_loop_test(c, a_damaged_shard_is_named, 0, 2);
    tcase_add_loop_test(c, bad_metas_are_refused, 0, (int)(sizeof bad_metas / sizeof *bad_metas));
    tcase_add_test(c, an_interrupted_write_leaves_no_store);
    tcase_add_test(c, failed_allocations_leave_no_store);
    tcase_add_loop_test(c, rows_read_ahead_are_the_same, 0, 6);
    tcase_add_test(c, reading_ahead_ends_and_fails_the_same);
    tcase_add_test(c, too_large_for_f16);
    tcase_add_loop_test(c, damaged_int8_rows_are_refused, 0, 4);
    tcase_add_loop_test(c, live_in_order, 0, 3);
    tcase_add_loop_test(c, several_sites_of_one_pass, 0, 2);
    tcase_add_test(c, stores_side_by_side);
    tcase_add_loop_test(c, live_stores_go_on, 0, 2);
    tcase_add_loop_test(c, live_rows_are_chosen, 0, 6);
    tcase_add_loop_test(c, live_shuffled_gives_the_same_rows, 0, 4);
    tcase_add_test(c, live_order_follows_the_seed);
    tcase_add_loop_test(c, seek_in_a_live_stream, 0, 2);
    tcase_add_test(c, live_into_a_store_and_back);
    tcase_add_test(c, a_plan_takes_no_buffer);
    tcase_add_test(c, live_refusals_and_failed_allocations);
    suite_add_tcase(suite, c);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
