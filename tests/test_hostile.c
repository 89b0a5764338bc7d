/*
 * test_hostile.c - files that lie: tables of malformed ones with what must be said about each, every prefix of valid ones,
 * random damage, and memory that runs out at every place. None may crash, leak, or be read as something it is not.
 */
#include "io_check.h"
#include "io_exact.h"

/* ---- Malformed files, each with what is said about it ----------------------------------------------------------------------- */

typedef struct bad_file {
    const char *text; /* header or dict */
    size_t data;      /* bytes behind it */
    sae_status status;
    const char *word;
} bad_file;

static void assert_fails(const char *kind, const char *what, const bytes *b,
                         sae_status (*use)(const char *, sae_error *), sae_status expected, const char *word)
{
    sae_error err = {0};
    const char *path = memory_file(b);
    sae_status status = use(path, &err);

    ck_assert_msg(status == expected && err.code == expected && strstr(err.message, word) && strstr(err.message, path),
                  "%s: %s: expected %s and '%s', found %s: %s", kind, what, sae_status_name(expected), word,
                  sae_status_name(status), err.message);
    ck_assert_uint_eq(mem_in_use(), 0);
}

#define ST(shape, begin, end) "{\"x\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}}"
#define TWO(b0, e0, b1, e1)                                                                                            \
    "{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[" b0 "," e0 "]},"                                        \
    "\"y\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[" b1 "," e1 "]}}"

START_TEST(test_malformed_safetensors)
{
    static const bad_file cases[] = {
        {"[]", 0, SAE_FORMAT, "'{'"},
        {" {}", 0, SAE_FORMAT, "'{'"},
        {"", 0, SAE_FORMAT, "'{'"},
        {"{", 0, SAE_FORMAT, "JSON"},
        {"{} x", 0, SAE_FORMAT, "JSON"},
        {"{\"x\xff\":1}", 0, SAE_FORMAT, "JSON"},
        {"{\"x\\u0000y\":1}", 0, SAE_FORMAT, "JSON"},
        {"{}", 1, SAE_FORMAT, "trailing"},
        {"{\"x\":1}", 0, SAE_FORMAT, "'x'"},
        {"{\"x\\u001b[2J\":1}", 0, SAE_FORMAT, "'x?[2J'"}, /* no escape sequence reaches a terminal */
        {"{\"x\":{}}", 0, SAE_FORMAT, "'x'"},
        {"{\"x\":{\"dtype\":\"F32\"}}", 0, SAE_FORMAT, "shape"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, SAE_FORMAT, "data_offsets"},
        {"{\"x\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, SAE_UNSUPPORTED, "F8_E4M3"},
        {"{\"x\":{\"dtype\":\"Q8_0\",\"shape\":[32],\"data_offsets\":[0,34]}}", 34, SAE_UNSUPPORTED, "Q8_0"},
        {"{\"x\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, SAE_FORMAT, "dtype"},
        {ST("1", "0", "4"), 4, SAE_FORMAT, "shape"},
        {ST("[1.0]", "0", "4"), 4, SAE_FORMAT, "whole numbers"},
        {ST("[-1]", "0", "4"), 4, SAE_FORMAT, "whole numbers"},
        {ST("[\"1\"]", "0", "4"), 4, SAE_FORMAT, "whole numbers"},
        {ST("[1,1,1,1,1,1,1,1,1]", "0", "4"), 4, SAE_UNSUPPORTED, "dimensions"},
        {ST("[4294967296,4294967296]", "0", "0"), 0, SAE_FORMAT, "overflows"},
        {ST("[9223372036854775807,2]", "0", "0"), 0, SAE_FORMAT, "overflows"},
        {ST("[4611686018427387904]", "0", "0"), 0, SAE_FORMAT, "overflows"},
        {ST("[99999999999999999999]", "0", "4"), 4, SAE_FORMAT, "JSON"},
        {ST("[2]", "0", "4"), 4, SAE_FORMAT, "takes 8 bytes"},
        {ST("[1]", "4", "0"), 4, SAE_FORMAT, "data_offsets"},
        {ST("[1]", "-4", "0"), 4, SAE_FORMAT, "data_offsets"},
        {ST("[1]", "0.0", "4"), 4, SAE_FORMAT, "data_offsets"},
        {ST("[1]", "0", "4,8"), 4, SAE_FORMAT, "data_offsets"},
        {ST("[1]", "4", "8"), 8, SAE_FORMAT, "hole"},
        {ST("[1]", "0", "4"), 3, SAE_FORMAT, "truncated"},
        {ST("[1]", "0", "4"), 5, SAE_FORMAT, "trailing"},
        {ST("[1]", "9223372036854775803", "9223372036854775807"), 4, SAE_FORMAT, "hole"},
        {TWO("0", "4", "5", "9"), 9, SAE_FORMAT, "hole"},
        {TWO("0", "4", "3", "7"), 7, SAE_FORMAT, "overlap"},
        {TWO("0", "4", "0", "4"), 4, SAE_FORMAT, "overlap"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
         0, SAE_FORMAT, "duplicate"},
        {"{\"__metadata__\":[]}", 0, SAE_FORMAT, "__metadata__"},
        {"{\"__metadata__\":{\"a\":1}}", 0, SAE_FORMAT, "\"a\" must be a string"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = safetensors_bytes(cases[i].text, cases[i].data);
        assert_fails("safetensors", cases[i].text, &b, use_safetensors, cases[i].status, cases[i].word);
        bytes_free(&b);
    }
}
END_TEST

START_TEST(test_malformed_safetensors_lengths)
{
    static const struct {
        uint64_t length;
        size_t follow;
        const char *word;
    } cases[] = {{UINT64_MAX, 2, "claims"},
                 {100000001, 2, "at most"},
                 {100000000, 2, "truncated"},
                 {3, 2, "truncated"},
                 {0, 2, "'{'"}};
    bytes b = {0};

    for (size_t n = 0; n < 8; n++) {
        assert_fails("safetensors", "shorter than its length", &b, use_safetensors, SAE_FORMAT, "takes 8");
        put(&b, "\2", 1);
    }
    bytes_free(&b);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_u64(&b, cases[i].length);
        put(&b, "{}", cases[i].follow);
        assert_fails("safetensors", cases[i].word, &b, use_safetensors, SAE_FORMAT, cases[i].word);
        bytes_free(&b);
    }
    /* depth: jansson would recurse */
    put(&b, NULL, 8 + 1000000);
    memset(b.data + 8, '[', b.n - 8);
    memcpy(b.data + 8, "{\"x\":", 5);
    uint64_t length = b.n - 8;
    memcpy(b.data, &length, sizeof length);
    assert_fails("safetensors", "deep", &b, use_safetensors, SAE_FORMAT, "deeper");
    bytes_free(&b);
}
END_TEST

START_TEST(test_malformed_npy)
{
    static const bad_file cases[] = {
        {NPY("'<f4'", "False", "(2,)"), 7, SAE_FORMAT, "truncated"},
        {NPY("'<f4'", "False", "(2,)"), 9, SAE_FORMAT, "trailing"},
        {NPY("'<f4'", "True", "(2, 3, 1, 2)"), 48, SAE_UNSUPPORTED, "column by column"},
        {NPY("'>f4'", "False", "(2,)"), 8, SAE_UNSUPPORTED, "big-endian"},
        {NPY("'|O'", "False", "(2,)"), 16, SAE_UNSUPPORTED, "Python objects"},
        {NPY("'<c8'", "False", "(1,)"), 8, SAE_UNSUPPORTED, "<c8"},
        {NPY("[('a', '<f4')]", "False", "(1,)"), 4, SAE_UNSUPPORTED, "records"},
        {NPY("'<f4", "False", "(1,)"), 4, SAE_UNSUPPORTED, "'<f4, '"},
        {NPY("4", "False", "(1,)"), 4, SAE_FORMAT, "a type"},
        {NPY("'<f4'", "0", "(1,)"), 4, SAE_FORMAT, "True or False"},
        {NPY("'<f4'", "False", "1"), 4, SAE_FORMAT, "a shape"},
        {NPY("'<f4'", "False", "(1)"), 4, SAE_FORMAT, "','"},
        {NPY("'<f4'", "False", "(-1,)"), 4, SAE_FORMAT, "a size"},
        {NPY("'<f4'", "False", "(1.5,)"), 4, SAE_FORMAT, "','"},
        {NPY("'<f4'", "False", "(1,"), 4, SAE_FORMAT, "a size"},
        {NPY("'<f4'", "False", "(9223372036854775808,)"), 4, SAE_FORMAT, "overflows"},
        {NPY("'<f4'", "False", "(4294967296, 4294967296)"), 4, SAE_FORMAT, "overflows"},
        {NPY("'<f4'", "False", "(4611686018427387904,)"), 4, SAE_FORMAT, "overflows"},
        {NPY("'<f4'", "False", "(1,1,1,1,1,1,1,1,1)"), 4, SAE_UNSUPPORTED, "dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, }", 4, SAE_FORMAT, "shape"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 4, SAE_FORMAT, "each once"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", 4, SAE_FORMAT, "each once"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", 4, SAE_FORMAT, "nothing behind"},
        {"{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}", 4, SAE_FORMAT, "',' or '}'"},
        {"{'descr'", 0, SAE_FORMAT, "':'"},
        {"{'descr': '<f4", 0, SAE_FORMAT, "a type"},
        {"", 0, SAE_FORMAT, "'{'"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = npy_bytes(cases[i].text, cases[i].data);
        assert_fails("npy", cases[i].text, &b, use_npy, cases[i].status, cases[i].word);
        bytes_free(&b);
    }
}
END_TEST

START_TEST(test_malformed_npy_beginnings)
{
    static const struct {
        const char *text;
        size_t n;
        sae_status status;
        const char *word;
    } cases[] = {
        {"", 0, SAE_FORMAT, "magic"},
        {"PK\3\4 a zip file", 15, SAE_FORMAT, "magic"},
        {"\x93NUMPY\1\0\1", 9, SAE_FORMAT, "magic"},
        {"\x93NUMPY\0\0\1\0{", 11, SAE_UNSUPPORTED, "version 0"},
        {"\x93NUMPY\4\0\1\0{", 11, SAE_UNSUPPORTED, "version 4"},
        {"\x93NUMPY\1\0\2\0{", 11, SAE_FORMAT, "truncated"},
        {"\x93NUMPY\2\0\1\0\0", 11, SAE_FORMAT, "truncated"},
        {"\x93NUMPY\2\0\xff\xff\xff\xff{}", 14, SAE_FORMAT, "truncated"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = {0};
        put(&b, cases[i].text, cases[i].n);
        assert_fails("npy", cases[i].word, &b, use_npy, cases[i].status, cases[i].word);
        bytes_free(&b);
    }
}
END_TEST

/* ---- GGUF: a small valid file with one thing wrong ------------------------------------------------------------------------- */

typedef struct bad_gguf {
    const char *what;
    uint32_t version;
    uint64_t n_tensors, n_keys;
    uint32_t alignment;          /* 0: no such key */
    const char *name_a, *name_b; /* of two tensors of 32 x 1 elements */
    uint64_t fast, slow;         /* dimensions of the first */
    uint32_t type;               /* of the first */
    uint64_t offset_a, offset_b;
    size_t data;
    sae_status status;
    const char *word;
} bad_gguf;

static bytes build(const bad_gguf *c)
{
    bytes b = {0};

    gguf_begin(&b, c->version, c->n_tensors, c->n_keys);
    if (c->alignment) gguf_key_u32(&b, "general.alignment", c->alignment);
    gguf_info(&b, c->name_a, c->fast, c->slow, c->type, c->offset_a);
    gguf_info(&b, c->name_b, 32, 1, 0, c->offset_b);
    pad_to(&b, 32);
    put(&b, NULL, c->data);
    return b;
}

/* A 0 among dimensions of which two alone are more than 63 bits count: found by the fuzzer of GGUF files. */
START_TEST(test_nothing_of_much)
{
    const tensor t = {.rank = 3, .shape = {(int64_t)1 << 62, 1 << 24, 0}};

    ck_assert_int_eq(tensor_count(&t), 0);
}
END_TEST

START_TEST(test_malformed_gguf)
{
    static const uint64_t big = (uint64_t)1 << 62;
    static const bad_gguf cases[] = {
        {"valid", 3, 2, 0, 0, "a", "b", 32, 1, 0, 0, 128, 256, SAE_OK, ""},
        {"valid with alignment", 3, 2, 1, 64, "a", "b", 32, 1, 0, 0, 128, 320, SAE_OK, ""},
        {"version 1", 1, 2, 0, 0, "a", "b", 32, 1, 0, 0, 128, 256, SAE_UNSUPPORTED, "version 1"},
        {"version 4", 4, 2, 0, 0, "a", "b", 32, 1, 0, 0, 128, 256, SAE_UNSUPPORTED, "version 4"},
        {"version 0", 0, 2, 0, 0, "a", "b", 32, 1, 0, 0, 128, 256, SAE_UNSUPPORTED, "version 0"},
        {"big-endian", 0x03000000, 2, 0, 0, "a", "b", 32, 1, 0, 0, 128, 256, SAE_UNSUPPORTED, "big-endian"},
        {"tensors without end", 3, UINT64_MAX, 0, 0, "a", "b", 32, 1, 0, 0, 128, 256, SAE_FORMAT, "cannot fit"},
        {"many tensors", 3, 1 << 20, 0, 0, "a", "b", 32, 1, 0, 0, 128, 256, SAE_FORMAT, "cannot fit"},
        {"16 tensors in 360 bytes", 3, 16, 0, 0, "a", "b", 32, 1, 0, 0, 128, 256, SAE_FORMAT, "cannot fit"},
        {"keys without end", 3, 2, UINT64_MAX, 0, "a", "b", 32, 1, 0, 0, 128, 256, SAE_FORMAT, "cannot fit"},
        {"tensors that are not there", 3, 5, 0, 0, "a", "b", 32, 1, 0, 0, 128, 256, SAE_FORMAT, "tensor"},
        {"name twice", 3, 2, 0, 0, "a", "a", 32, 1, 0, 0, 128, 256, SAE_FORMAT, "twice"},
        {"no name", 3, 2, 0, 0, "", "b", 32, 1, 0, 0, 128, 256, SAE_FORMAT, "0 bytes"},
        {"escape in a name", 3, 2, 0, 0, "a\x1b[2J", "b", 32, 1, 0, 0, 128, 256, SAE_FORMAT, "control character"},
        {"Q4_K", 3, 2, 0, 0, "a", "b", 256, 1, 12, 0, 160, 288, SAE_UNSUPPORTED, "Q4_K"},
        {"Q4_K says what to do", 3, 2, 0, 0, "a", "b", 256, 1, 12, 0, 160, 288, SAE_UNSUPPORTED, "Q8_0 or F16"},
        {"Q5_0", 3, 2, 0, 0, "the.name", "b", 32, 1, 6, 0, 128, 256, SAE_UNSUPPORTED, "'the.name' has type Q5_0"},
        {"removed type", 3, 2, 0, 0, "a", "b", 32, 1, 4, 0, 128, 256, SAE_UNSUPPORTED, "number 4"},
        {"type without end", 3, 2, 0, 0, "a", "b", 32, 1, UINT32_MAX, 0, 128, 256, SAE_UNSUPPORTED, "4294967295"},
        {"row of half a block", 3, 2, 0, 0, "a", "b", 16, 2, 8, 0, 64, 256, SAE_FORMAT, "blocks of 32"},
        {"elements overflow", 3, 2, 0, 0, "a", "b", big, 4, 0, 0, 128, 256, SAE_FORMAT, "overflows"},
        {"size over 2^63", 3, 2, 0, 0, "a", "b", UINT64_MAX, 1, 0, 0, 128, 256, SAE_FORMAT, "overflows"},
        {"bytes overflow", 3, 2, 0, 0, "a", "b", big, 1, 0, 0, 128, 256, SAE_RANGE, "'a'"},
        {"tensor over the end", 3, 2, 0, 0, "a", "b", 32, 9, 0, 0, 1152, 256, SAE_FORMAT, "truncated"},
        {"data cut", 3, 2, 0, 0, "a", "b", 32, 1, 0, 0, 128, 255, SAE_FORMAT, "truncated"},
        {"no data", 3, 2, 0, 0, "a", "b", 32, 1, 0, 0, 128, 0, SAE_FORMAT, "truncated"},
        {"offset without end", 3, 2, 0, 0, "a", "b", 32, 1, 0, UINT64_MAX - 31, 0, 256, SAE_FORMAT, "truncated"},
        {"unaligned", 3, 2, 0, 0, "a", "b", 32, 1, 0, 0, 129, 300, SAE_FORMAT, "aligned to 32"},
        {"overlap", 3, 2, 0, 0, "a", "b", 32, 2, 0, 0, 128, 256, SAE_FORMAT, "overlap"},
        {"overlap by a byte", 3, 2, 1, 1, "a", "b", 32, 1, 0, 0, 127, 256, SAE_FORMAT, "overlap"},
        {"the same place", 3, 2, 0, 0, "a", "b", 32, 1, 0, 128, 128, 256, SAE_FORMAT, "overlap"},
        {"alignment 24", 3, 2, 1, 24, "a", "b", 32, 1, 0, 0, 128, 256, SAE_FORMAT, "power of two"},
        {"alignment 2^31", 3, 2, 1, 1u << 31, "a", "b", 32, 1, 0, 0, 128, 256, SAE_FORMAT, "power of two"},
        {"alignment beyond the file", 3, 2, 1, 1 << 20, "a", "b", 32, 1, 0, 0, 128, 256, SAE_FORMAT, "the header"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = build(&cases[i]);
        if (cases[i].status == SAE_OK)
            OK(use_gguf(memory_file(&b), &err));
        else
            assert_fails("gguf", cases[i].what, &b, use_gguf, cases[i].status, cases[i].word);
        bytes_free(&b);
    }
}
END_TEST

/* One key with these bytes behind its name. */
static void check_value(const char *what, const void *value, size_t n, sae_status expected, const char *word)
{
    bytes b = {0};

    gguf_begin(&b, 3, 0, 1);
    gguf_text(&b, "the.key");
    put(&b, value, n);
    assert_fails("gguf value", what, &b, use_gguf, expected, word);
    bytes_free(&b);
}

START_TEST(test_malformed_gguf_values)
{
    const uint32_t unknown[] = {13, 0}, text[] = {8, 0xffffffff, 0xffffffff}, array[] = {9, 4, 0xffffffff, 0x3fffffff},
                   nested[] = {9, 9, 1, 0, 4, 0, 0}, strange[] = {9, 77, 1, 0, 0},
                   strings[] = {9, 8, 2, 0, 8, 0, 1, 1, 5}, many[] = {9, 8, 0, 0x20000000, 0, 0};
    bytes twice = {0};

    check_value("unknown type", unknown, sizeof unknown, SAE_FORMAT, "unknown type 13");
    check_value("string without end", text, sizeof text, SAE_FORMAT, "the.key");
    check_value("array whose size overflows", array, sizeof array, SAE_FORMAT, "the.key");
    check_value("array of arrays", nested, sizeof nested, SAE_UNSUPPORTED, "array of arrays");
    check_value("array of nothing known", strange, sizeof strange, SAE_FORMAT, "unknown type 77");
    check_value("strings cut", strings, sizeof strings, SAE_FORMAT, "the.key");
    check_value("2^61 strings", many, sizeof many, SAE_FORMAT, "the.key");
    gguf_begin(&twice, 3, 0, 2);
    gguf_key_u32(&twice, "k", 1);
    gguf_key_u32(&twice, "k", 2);
    assert_fails("gguf", "key twice", &twice, use_gguf, SAE_FORMAT, "'k'");
    bytes_free(&twice);
}
END_TEST

/* ---- Every prefix, and random damage ----------------------------------------------------------------------------------------- */

/* The file is read, or refused with a message that names it; nothing is kept. */
static sae_status survive(const format *f, const bytes *b, uint64_t seed)
{
    sae_error err = {0};
    const char *path = memory_file(b);
    sae_status status = f->use(path, &err);

    ck_assert_msg(status == err.code, "%s, seed %llu: %s", f->name, (unsigned long long)seed, err.message);
    ck_assert_msg(status == SAE_OK || strstr(err.message, path), "%s, seed %llu: no name in: %s", f->name,
                  (unsigned long long)seed, err.message);
    ck_assert_msg(mem_in_use() == 0, "%s, seed %llu: a leak", f->name, (unsigned long long)seed);
    return status;
}

START_TEST(test_every_prefix)
{
    format formats[N_FORMATS];

    make_formats(formats);
    for (int k = 0; k < N_FORMATS; k++) {
        bytes part = formats[k].valid;
        ck_assert_int_eq(survive(&formats[k], &part, 0), SAE_OK);
        for (part.n = 0; part.n < formats[k].valid.n; part.n++) {
            sae_status status = survive(&formats[k], &part, part.n);
            ck_assert_msg(status != SAE_OK || !formats[k].exact, "%s: %zu bytes of %zu are accepted", formats[k].name,
                          part.n, formats[k].valid.n);
        }
    }
    free_formats(formats);
}
END_TEST

/* One piece of damage; the beginning, where headers are, is hit more often. */
static void damage(bytes *b, rng *r)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       7,
                                       8,
                                       0x7f,
                                       0xff,
                                       0x7fff,
                                       0xffff,
                                       0x7fffffff,
                                       0xffffffff,
                                       (uint64_t)1 << 61,
                                       INT64_MAX,
                                       (uint64_t)1 << 63,
                                       UINT64_MAX};
    size_t at = b->n ? rng_below(r, rng_below(r, 2) || b->n < 64 ? b->n : 64) : 0;
    size_t width = (size_t)1 << rng_below(r, 4);

    switch (rng_below(r, 6)) {
    case 0: b->n = at; break;
    case 1: put(b, NULL, rng_below(r, 40)); break;
    case 2:
        if (at + width <= b->n) memcpy(b->data + at, &numbers[rng_below(r, sizeof numbers / 8)], width);
        break;
    case 3: /* take some bytes out */
        if (at + width <= b->n) {
            memmove(b->data + at, b->data + at + width, b->n - at - width);
            b->n -= width;
        }
        break;
    case 4: /* a byte of text: digits and brackets hit the parsers of headers */
        if (b->n) b->data[at] = (unsigned char)"0123456789{}[](),:'\"-.\\ "[rng_below(r, 24)];
        break;
    default:
        if (b->n) b->data[at] ^= (unsigned char)(1 << rng_below(r, 8));
    }
}

START_TEST(test_random_damage)
{
    enum { ROUNDS = 10000 };
    format formats[N_FORMATS];
    int accepted = 0, refused = 0;

    make_formats(formats);
    for (int k = 0; k < N_FORMATS; k++)
        for (uint64_t seed = 0; seed < ROUNDS; seed++) {
            rng r = rng_seed(seed, (uint64_t)k);
            bytes b = {0};
            put(&b, formats[k].valid.data, formats[k].valid.n);
            for (uint64_t n = 1 + rng_below(&r, 3); n > 0; n--) damage(&b, &r);
            if (survive(&formats[k], &b, seed) == SAE_OK)
                accepted++;
            else
                refused++;
            bytes_free(&b);
        }
    /* both happen often: the damage is neither lost nor total */
    ck_assert_int_gt(accepted, N_FORMATS * ROUNDS / 20);
    ck_assert_int_gt(refused, N_FORMATS * ROUNDS / 20);
    free_formats(formats);
}
END_TEST

/* ---- No memory, at every place -------------------------------------------------------------------------------------------------- */

static sae_status write_safetensors(const char *path, sae_error *err)
{
    const float x = 1;
    const tensor t = {.name = "x", .data = &x};

    return safetensors_write(path, &t, 1, NULL, true, NULL, err);
}

static sae_status write_npy(const char *path, sae_error *err)
{
    const float x = 1;
    const tensor t = {.name = "x", .data = &x};

    return npy_write(path, &t, true, err);
}

static sae_status use_array(const char *path, sae_error *err)
{
    array_file a;
    sae_status status = array_open(&a, path, err);

    if (status == SAE_OK) array_close(&a);
    return status;
}

/* A folder that is there, with many files in it. */
static sae_status use_folder(const char *path, sae_error *err)
{
    char **names;
    int n;
    sae_status status = folder_make(path, err);

    if (status == SAE_OK) status = folder_list(path, &names, &n, err);
    if (status == SAE_OK) folder_list_free(names, n);
    return status;
}

/* Fails the first, the second, ... allocation until the call succeeds. */
static void check_no_memory(const char *what, sae_status (*use)(const char *, sae_error *), const char *path)
{
    int64_t nth = 1;

    for (;; nth++) {
        sae_error err = {0};
        int before = files_in_scratch();
        mem_fail_nth(nth);
        sae_status status = use(path, &err);
        mem_fail_nth(0);
        ck_assert_msg(mem_in_use() == 0, "%s: allocation %lld: %zu bytes leaked", what, (long long)nth, mem_in_use());
        if (status == SAE_OK) break;
        ck_assert_msg(status == SAE_NOMEM && err.code == SAE_NOMEM, "%s: allocation %lld: %s: %s", what, (long long)nth,
                      sae_status_name(status), err.message);
        ck_assert_int_eq(files_in_scratch(), before);
    }
    ck_assert_msg(nth > 1, "%s allocates nothing", what); /* else this would test nothing */
}

START_TEST(test_no_memory)
{
    bytes g = gguf_example(), text = long_text(), zst = zstd_frame(text.data, text.n),
          gz = gzip_member(text.data, text.n);

    write_bytes(in_scratch("x.gguf"), g.data, g.n);
    write_bytes(in_scratch("x.zst"), zst.data, zst.n);
    write_bytes(in_scratch("x.gz"), gz.data, gz.n);
    OK(write_npy(in_scratch("x.npy"), &err));
    check_no_memory("safetensors", use_safetensors, "data/golden/models/gpt2/model.safetensors");
    check_no_memory("gguf", use_gguf, in_scratch("x.gguf"));
    check_no_memory("npy", use_npy, in_scratch("x.npy"));
    check_no_memory("array", use_array, in_scratch("x.npy"));
    check_no_memory("zstd", use_stream, in_scratch("x.zst"));
    check_no_memory("gzip", use_stream, in_scratch("x.gz"));
    check_no_memory("json", use_json, "data/golden/models/gpt2/config.json");
    check_no_memory("safetensors writer", write_safetensors, in_scratch("x.safetensors"));
    check_no_memory("npy writer", write_npy, in_scratch("y.npy"));
    check_no_memory("folder", use_folder, "src/io");
    bytes_free(&g);
    bytes_free(&text);
    bytes_free(&zst);
    bytes_free(&gz);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_malformed_safetensors, test_malformed_safetensors_lengths,
        test_malformed_npy,         test_malformed_npy_beginnings,
        test_malformed_gguf,        test_malformed_gguf_values,
        test_nothing_of_much,       test_every_prefix,
        test_random_damage,         test_no_memory,
    };
    return run_tests("hostile files", tests, sizeof tests / sizeof *tests);
}
