/*
 * test_io.c - formats as they should be: golden models of the real libraries, a published GGUF model, round trips.
 */
#include "io_check.h"

/* ---- Real files -------------------------------------------------------------------------------------------------------- */

static const char *const golden[] = {
    "data/golden/models/gpt2/model.safetensors",
    "data/golden/models/gpt2/golden.safetensors",
    "data/golden/models/llama_gqa_tied/model.safetensors",
    "data/golden/models/llama_gqa_tied/golden.safetensors",
    "data/golden/models/llama_bf16_sharded/golden.safetensors",
    "data/golden/models/llama_bf16_sharded/model-00001-of-00007.safetensors",
    "data/golden/models/llama_bf16_sharded/model-00004-of-00007.safetensors",
    "data/golden/models/llama_bf16_sharded/model-00007-of-00007.safetensors",
};

START_TEST(test_safetensors_reads_a_golden_model)
{
    safetensors *st;
    const tensor *t;

    OK(safetensors_open(&st, golden[0], &err));
    ck_assert_int_eq(safetensors_count(st), 40);
    t = safetensors_find(st, "transformer.wte.weight");
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(t->type, DTYPE_F32);
    ck_assert_int_eq(t->rank, 2);
    ck_assert_int_eq(t->shape[0], 128);
    ck_assert_int_eq(t->shape[1], 64);
    ck_assert_uint_eq(t->bytes, 128 * 64 * 4);
    ck_assert_ptr_null(safetensors_find(st, "no.such.tensor"));
    ck_assert_ptr_null(safetensors_at(st, 40));
    ck_assert_str_eq(safetensors_path(st), golden[0]);
    ck_assert_str_eq(json_string_value(json_object_get(safetensors_metadata(st), "format")), "pt");
    safetensors_close(st);
}
END_TEST

/* The strongest check of the writer: from the tensors alone, in any order, it makes the file that the library made. */
START_TEST(test_safetensors_writes_the_librarys_bytes)
{
    for (size_t k = 0; k < sizeof golden / sizeof *golden; k++) {
        safetensors *st;
        tensor tensors[64];
        file_map map;
        uint64_t hash, hash_read;
        const char *path = in_scratch("again.safetensors");
        OK(safetensors_open(&st, golden[k], &err));
        int n = safetensors_count(st);
        ck_assert_int_le(n, 64);
        for (int i = 0; i < n; i++) tensors[i] = *safetensors_at(st, n - 1 - i);
        OK(safetensors_write(path, tensors, n, safetensors_metadata(st), true, &hash, &err));
        OK(file_map_open(&map, golden[k], &err));
        assert_file_holds(path, map.data, map.bytes);
        OK(file_hash(golden[k], &hash_read, &err));
        ck_assert_uint_eq(hash, hash_read);
        file_map_close(&map);
        safetensors_close(st);
    }
}
END_TEST

static const char *smollm2(void)
{
    const char *path = getenv("SAE_SMOLLM2");

    if (!path) path = "models/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (file_exists(path)) return path;
    printf("SKIP: %s is not there (make fetch-model)\n", path);
    fflush(stdout);
    return NULL;
}

START_TEST(test_gguf_reads_a_published_model)
{
    const char *path = smollm2(), *text;
    gguf *g;
    size_t n;
    int64_t whole;
    double real;

    if (!path) return;
    ck_assert(gguf_is(path));
    OK(gguf_open(&g, path, &err));
    ck_assert_int_eq(gguf_version(g), 3);
    ck_assert_int_eq(gguf_tensor_count(g), 272);
    OK(gguf_string_or_null(g, "general.architecture", &text, &n, &err));
    ck_assert(n == 5 && memcmp(text, "llama", 5) == 0);
    OK(gguf_int(g, "llama.block_count", &whole, &err));
    ck_assert_int_eq(whole, 30);
    OK(gguf_float_or(g, "llama.rope.freq_base", 0, &real, &err));
    ck_assert_double_eq(real, 100000);
    OK(gguf_array_count(g, "tokenizer.ggml.merges", &whole, &err));
    ck_assert_int_eq(whole, 48900);
    OK(gguf_array_string(g, "tokenizer.ggml.tokens", 0, &text, &n, &err));
    ck_assert(n == 13 && memcmp(text, "<|endoftext|>", 13) == 0);
    const tensor *t = gguf_find(g, "blk.29.ffn_down.weight");
    ck_assert_ptr_nonnull(t);
    ck_assert(t->rank == 2 && t->shape[0] == 576 && t->shape[1] == 1536);
    gguf_close(g);
}
END_TEST

/* ---- GGUF: what each getter gives -------------------------------------------------------------------------------------------- */

START_TEST(test_gguf_values)
{
    static const char *const integers[] = {"test.value_0", "test.value_1", "test.value_2", "test.value_3",
                                           "test.value_4", "test.value_5", "test.value_7"};
    bytes b = gguf_example();
    const char *text;
    size_t n;
    int64_t whole;
    double real;
    gguf *g;

    OK(gguf_open(&g, memory_file(&b), &err));
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        OK(gguf_int(g, integers[i], &whole, &err));
        ck_assert_int_eq(whole, 1);
    }
    OK(gguf_float_or(g, "test.value_12", 0, &real, &err)); /* 1.0 + 2^-52 */
    ck_assert_double_eq(real, 1.0 + 0x1p-52);
    OK(gguf_float_or(g, "absent", 2.5, &real, &err));
    ck_assert_double_eq(real, 2.5);
    OK(gguf_int_or(g, "absent", -3, &whole, &err));
    ck_assert_int_eq(whole, -3);
    FAILS(SAE_FORMAT, "absent", gguf_int(g, "absent", &whole, &err));
    FAILS(SAE_FORMAT, "general.architecture", gguf_int_or(g, "general.architecture", 0, &whole, &err));
    FAILS(SAE_FORMAT, "u32", gguf_float_or(g, "test.value_4", 0, &real, &err));
    FAILS(SAE_FORMAT, "string", gguf_string_or_null(g, "test.value_4", &text, &n, &err));
    OK(gguf_string_or_null(g, "absent", &text, &n, &err));
    ck_assert(!text && n == 0);
    OK(gguf_array_string(g, "test.strings", 2, &text, &n, &err));
    ck_assert(n == 3 && memcmp(text, "ccc", 3) == 0);
    OK(gguf_array_string(g, "test.strings", 1, &text, &n, &err));
    ck_assert_uint_eq(n, 0);
    OK(gguf_array_int(g, "test.ints", 1, &whole, &err));
    ck_assert_int_eq(whole, -8);
    FAILS(SAE_FORMAT, "test.ints", gguf_array_int(g, "test.ints", 2, &whole, &err));
    FAILS(SAE_FORMAT, "strings", gguf_array_string(g, "test.ints", 0, &text, &n, &err));
    FAILS(SAE_FORMAT, "test.value_4", gguf_array_count(g, "test.value_4", &whole, &err));
    ck_assert(gguf_has(g, "test.value_12") && !gguf_has(g, "absent"));
    gguf_close(g);
    bytes_free(&b);
}
END_TEST

START_TEST(test_gguf_tensors)
{
    bytes b = gguf_example();
    gguf *g;

    OK(gguf_open(&g, memory_file(&b), &err));
    ck_assert_int_eq(gguf_tensor_count(g), 4);
    const tensor *t = gguf_find(g, "a.f32");
    ck_assert(t->rank == 2 && t->shape[0] == 2 && t->shape[1] == 3); /* turned round */
    t = gguf_find(g, "d.q4_1");
    ck_assert(t->type == DTYPE_Q4_1 && t->bytes == 20);
    ck_assert_uint_eq(((const unsigned char *)t->data)[0], (unsigned char)(160 * 7));
    ck_assert_ptr_null(gguf_find(g, "e"));
    ck_assert_str_eq(gguf_at(g, 3)->name, "d.q4_1");
    gguf_close(g);
    bytes_free(&b);
}
END_TEST

/* Version 2 has the same layout; another alignment moves the data. */
START_TEST(test_gguf_version_2_and_alignment)
{
    bytes b = {0};
    gguf *g;

    gguf_begin(&b, 2, 2, 1);
    gguf_key_u32(&b, "general.alignment", 8);
    gguf_info(&b, "x", 1, 1, 0, 0);
    gguf_info(&b, "y", 1, 1, 0, 8);
    pad_to(&b, 8);
    put(&b, (float[]){1.5f, 0, 2.5f}, 12);
    OK(gguf_open(&g, memory_file(&b), &err));
    ck_assert_int_eq(gguf_version(g), 2);
    float value;
    dequant_f32(DTYPE_F32, gguf_find(g, "y")->data, 1, &value);
    ck_assert_float_eq(value, 2.5f);
    gguf_close(g);
    bytes_free(&b);
}
END_TEST

/* ---- Round trips ---------------------------------------------------------------------------------------------------------- */

START_TEST(test_safetensors_round_trip)
{
    const double wide[3] = {1, -2, 3};
    const uint16_t half[2] = {0x3c00, 0xc000};
    const unsigned char flag = 1;
    const tensor tensors[] = {
        {.name = "z.flag", .type = DTYPE_BOOL, .rank = 0, .data = &flag},
        {.name = "b \"quoted\" \xc3\xa9", .type = DTYPE_F16, .rank = 2, .shape = {2, 1}, .data = half},
        {.name = "empty", .type = DTYPE_F32, .rank = 3, .shape = {4, 0, 7}, .data = NULL},
        {.name = "a", .type = DTYPE_F64, .rank = 1, .shape = {3}, .data = wide},
    };
    const char *path = in_scratch("x.safetensors");
    json_t *metadata = json_pack("{s:s, s:s}", "format", "pt", "note", "");
    safetensors *st;

    OK(safetensors_write(path, tensors, 4, metadata, false, NULL, &err));
    OK(safetensors_open(&st, path, &err));
    ck_assert_int_eq(safetensors_count(st), 4);
    for (int i = 0; i < 4; i++) {
        const tensor *t = safetensors_find(st, tensors[i].name);
        ck_assert_ptr_nonnull(t);
        ck_assert(t->type == tensors[i].type && t->rank == tensors[i].rank);
        ck_assert_mem_eq(t->shape, tensors[i].shape, sizeof t->shape);
        if (t->bytes) ck_assert_mem_eq(t->data, tensors[i].data, t->bytes);
    }
    /* the widest first, and all of it aligned */
    ck_assert_str_eq(safetensors_at(st, 0)->name, "a");
    ck_assert_uint_eq((uintptr_t)safetensors_at(st, 0)->data % 8, 0);
    ck_assert(json_equal(safetensors_metadata(st), metadata));
    json_decref(metadata);
    safetensors_close(st);
}
END_TEST

START_TEST(test_safetensors_writer_refuses)
{
    const float x = 1;
    const tensor good = {.name = "a", .type = DTYPE_F32, .rank = 0, .data = &x};
    tensor bad[] = {good, good, good, good, good};
    const tensor twice[] = {good, {.name = "a", .type = DTYPE_I32, .rank = 0, .data = &x}};
    const char *path = in_scratch("x.safetensors");
    json_t *nested = json_pack("{s:{}}", "a");

    bad[0].type = DTYPE_Q8_0;
    bad[1].name = "__metadata__";
    bad[2].name = "\xff";
    bad[3].rank = 2, bad[3].shape[0] = INT64_MAX, bad[3].shape[1] = INT64_MAX;
    bad[4].rank = TENSOR_MAX_RANK + 1;
    FAILS(SAE_UNSUPPORTED, "Q8_0", safetensors_write(path, &bad[0], 1, NULL, false, NULL, &err));
    FAILS(SAE_RANGE, "name", safetensors_write(path, &bad[1], 1, NULL, false, NULL, &err));
    FAILS(SAE_RANGE, "UTF-8", safetensors_write(path, &bad[2], 1, NULL, false, NULL, &err));
    FAILS(SAE_SHAPE, "overflows", safetensors_write(path, &bad[3], 1, NULL, false, NULL, &err));
    FAILS(SAE_SHAPE, "dimensions", safetensors_write(path, &bad[4], 1, NULL, false, NULL, &err));
    FAILS(SAE_RANGE, "two tensors", safetensors_write(path, twice, 2, NULL, false, NULL, &err));
    FAILS(SAE_FORMAT, "__metadata__", safetensors_write(path, &good, 1, nested, false, NULL, &err));
    ck_assert_int_eq(files_in_scratch(), 0);
    json_decref(nested);
}
END_TEST

START_TEST(test_npy_round_trip)
{
    static const dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_F64, DTYPE_I64, DTYPE_I32, DTYPE_I16,
                                  DTYPE_I8,  DTYPE_U64, DTYPE_U32, DTYPE_U16, DTYPE_U8,  DTYPE_BOOL};
    unsigned char data[6 * 8];

    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)i;
    for (int rank = 0; rank <= 3; rank++)
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            tensor t = {.type = types[k], .rank = rank, .shape = {rank == 1 ? 6 : 1, 3, 2}, .data = data};
            const char *path = in_scratch("x.npy");
            npy a;
            OK(npy_write(path, &t, true, &err));
            OK(npy_open(&a, path, &err));
            ck_assert(a.t.type == t.type && a.t.rank == rank && tensor_count(&a.t) == tensor_count(&t));
            ck_assert_uint_eq((uintptr_t)a.t.data % 64, 0);
            ck_assert_mem_eq(a.t.data, data, a.t.bytes);
            npy_close(&a);
        }
    tensor quantised = {.type = DTYPE_BF16, .data = data};
    FAILS(SAE_UNSUPPORTED, "BF16", npy_write(in_scratch("y.npy"), &quantised, true, &err));
}
END_TEST

/* As NumPy and others write headers. */
START_TEST(test_npy_dialects)
{
    static const struct {
        const char *dict;
        int rank;
        size_t n;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }       ", 2, 24},
        {"{\"shape\":(6,),\"descr\":\"<f4\",\"fortran_order\":False}", 1, 24},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 0, 4},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }", 2, 24},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (6,), }", 1, 24},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 6, 1), }", 3, 24},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9), }", 2, 0},
    };
    npy a;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = npy_bytes(cases[i].dict, cases[i].n);
        OK(npy_open(&a, memory_file(&b), &err));
        ck_assert_int_eq(a.t.rank, cases[i].rank);
        npy_close(&a);
        bytes_free(&b);
    }
    /* versions 2 and 3 count the header's length in 32 bits */
    for (unsigned char version = 2; version <= 3; version++) {
        bytes b = {0};
        put(&b, "\x93NUMPY", 6);
        put(&b, (unsigned char[]){version, 0}, 2);
        put_u32(&b, (uint32_t)strlen(cases[0].dict));
        put_text(&b, cases[0].dict);
        put(&b, NULL, 24);
        OK(npy_open(&a, memory_file(&b), &err));
        npy_close(&a);
        bytes_free(&b);
    }
}
END_TEST

/* A transposed matrix is saved column by column: it comes back row by row, whatever the size of its elements. */
START_TEST(test_npy_columns)
{
    static const uint8_t stored[] = {1, 4, 2, 5, 3, 6}, turned[] = {1, 2, 3, 4, 5, 6};
    static const int16_t wide_stored[] = {1, 3, 5, 2, 4, 6}, wide_turned[] = {1, 2, 3, 4, 5, 6};
    size_t before = mem_in_use();
    npy a;
    bytes b = npy_bytes(NPY("'|u1'", "True", "(2, 3)"), 0);

    put(&b, stored, sizeof stored);
    OK(npy_open(&a, memory_file(&b), &err));
    ck_assert_int_eq(a.t.shape[0], 2);
    ck_assert_int_eq(a.t.shape[1], 3);
    ck_assert_mem_eq(a.t.data, turned, sizeof turned);
    npy_close(&a);
    bytes_free(&b);
    b = npy_bytes(NPY("'<i2'", "True", "(3, 2)"), 0);
    put(&b, wide_stored, sizeof wide_stored);
    OK(npy_open(&a, memory_file(&b), &err));
    ck_assert_mem_eq(a.t.data, wide_turned, sizeof wide_turned);
    npy_close(&a);
    bytes_free(&b);
    ck_assert_uint_eq(mem_in_use(), before);
}
END_TEST

START_TEST(test_array_open)
{
    const float x[2] = {1, 2};
    const tensor t[] = {{.name = "pool", .rank = 1, .shape = {2}, .data = x},
                        {.name = "a:b.npy", .rank = 2, .shape = {1, 2}, .data = x}};
    char path[300];
    array_file a;

    OK(npy_write(in_scratch("x.npy"), &t[0], false, &err));
    OK(safetensors_write(in_scratch("one.safetensors"), t, 1, NULL, false, NULL, &err));
    OK(safetensors_write(in_scratch("two.safetensors"), t, 2, NULL, false, NULL, &err));
    OK(array_open(&a, in_scratch("x.npy"), &err));
    ck_assert_int_eq(a.t.shape[0], 2);
    array_close(&a);
    OK(array_open(&a, in_scratch("one.safetensors"), &err));
    ck_assert_str_eq(a.t.name, "pool");
    array_close(&a);
    snprintf(path, sizeof path, "%s:a:b.npy", in_scratch("two.safetensors"));
    OK(array_open(&a, path, &err));
    ck_assert_int_eq(a.t.rank, 2);
    array_close(&a);
    FAILS(SAE_RANGE, "say which", array_open(&a, in_scratch("two.safetensors"), &err));
    FAILS(SAE_RANGE, "'c'", array_open(&a, in_scratch("two.safetensors:c"), &err));
    FAILS(SAE_UNSUPPORTED, "expected", array_open(&a, in_scratch("x.txt"), &err));
    FAILS(SAE_IO, "no.npy", array_open(&a, in_scratch("no.npy"), &err));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_safetensors_reads_a_golden_model,
        test_safetensors_writes_the_librarys_bytes,
        test_gguf_reads_a_published_model,
        test_gguf_values,
        test_gguf_tensors,
        test_gguf_version_2_and_alignment,
        test_safetensors_round_trip,
        test_safetensors_writer_refuses,
        test_npy_round_trip,
        test_npy_dialects,
        test_npy_columns,
        test_array_open,
    };
    return run_tests("io", tests, sizeof tests / sizeof *tests);
}
