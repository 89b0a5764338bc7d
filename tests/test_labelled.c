/* test_labelled.c - labelled documents: what is read, what is refused, and the laws of their division. */
#include "text/csv.h"
#include "text/labelled.h"
#include "text_fixture.h"

#include "expect.h"

static const char *text_of(const labelled *l, int64_t i, char *buffer, size_t size)
{
    snprintf(buffer, size, "%.*s", (int)(l->start[i + 1] - l->start[i]), l->bytes + l->start[i]);
    return buffer;
}

static void expect_document(const labelled *l, int64_t i, const char *text, const char *label)
{
    char got[200];

    ck_assert_str_eq(text_of(l, i, got, sizeof got), text);
    ck_assert_str_eq(l->names[l->label[i]], label);
}

/* ---- Reading --------------------------------------------------------------------------------------------------------------- */

START_TEST(test_csv)
{
    static const char file[] = "\xef\xbb\xbf\"prompt\",\"prompt_len\",target\r\n"
                               "\"a, \"\"quoted\"\"\r\nand broken\",3,yes\r\n"
                               "\n"
                               "plain \"inside\" text,,no\n"
                               "\"\",1,no\n"
                               "last,1,\"no\"";
    labelled l;

    OK(labelled_read(&l, scratch_text("a.csv", file), NULL, &err));
    ck_assert_int_eq(l.n, 3);
    ck_assert_int_eq(l.n_empty, 1);
    ck_assert_int_eq(l.n_classes, 2);
    ck_assert_str_eq(l.names[0], "no");
    expect_document(&l, 0, "a, \"quoted\"\r\nand broken", "yes");
    expect_document(&l, 1, "plain \"inside\" text", "no");
    expect_document(&l, 2, "last", "no");
    labelled_free(&l);
    scratch_remove();
}
END_TEST

START_TEST(test_jsonl)
{
    static const char file[] = "{\"text\": \"one\", \"label\": 10, \"more\": [\"x\", \"y\"], \"other\": \"b\"}\n"
                               "\n"
                               "{\"text\": \"two\", \"label\": 2, \"more\": \"z\", \"other\": \"a\"}\n"
                               "{\"text\": \"three\", \"label\": true, \"more\": [], \"other\": \"b\"}\n"
                               "{\"text\": \"four\", \"label\": 1.5, \"more\": [], \"other\": \"c\"}\n";
    labelled_options other = {.label = "other", .more = "more"};
    const char *path = scratch_text("b.jsonl", file);
    labelled l;

    OK(labelled_read(&l, path, NULL, &err));
    ck_assert_int_eq(l.n_classes, 4); /* 1.5, 10, 2, true: in the order of their bytes */
    expect_document(&l, 0, "one", "10");
    expect_document(&l, 2, "three", "true");
    ck_assert_int_eq(l.label[3], 0);
    ck_assert_int_eq(l.label[1], 2);
    labelled_free(&l);
    OK(labelled_read(&l, path, &other, &err));
    ck_assert_int_eq(l.n_classes, 3);
    expect_document(&l, 0, "one\nx\ny", "b");
    expect_document(&l, 1, "two\nz", "a");
    labelled_free(&l);
    scratch_remove();
}
END_TEST

START_TEST(test_refused)
{
    static const struct {
        const char *name, *text;
        sae_status status;
        const char *message;
    } bad[] = {
        {"a.csv", "", SAE_FORMAT, "empty"},
        {"a.csv", "x,y\n1,2\n", SAE_FORMAT, "line 1: the header has no column \"text\" and no \"prompt\""},
        {"a.csv", "text,text,label\n", SAE_FORMAT, "names 2 columns \"text\""},
        {"a.csv", "text,label\na,b,c\n", SAE_FORMAT, "line 2: 3 fields, the header has 2"},
        {"a.csv", "text,label\na,b\n\"c\nd,e\n", SAE_FORMAT, "line 3: a quote that is opened"},
        {"a.csv", "text,label\n\"a\"b,c\n", SAE_FORMAT, "line 2: a character stands behind the closing quote"},
        {"a.csv", "text,label\na,\n", SAE_FORMAT, "line 2: the label is empty"},
        {"a.csv", "text,label\na,b\nc,b\n", SAE_RANGE, "2 documents of 1 class,"},
        {"a.csv", "text,label\n", SAE_RANGE, "0 documents of 0 classes"},
        {"a.csv", "text,label\na,\xff\xfe\n", SAE_FORMAT, "line 2: the label is no UTF-8"},
        {"a.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"a\"}\n", SAE_FORMAT, "line 2: expected a label"},
        {"a.jsonl", "{\"text\": 3, \"label\": 1}\n", SAE_FORMAT, "line 1: expected a text"},
        {"a.jsonl", "{\"text\": [\"a\"], \"label\": 1}\n", SAE_FORMAT, "line 1: expected a text"},
        {"a.jsonl", "[1]\n", SAE_FORMAT, "line 1"},
        {"a.jsonl", "{\"text\": \"a\", \"label\": \"x\\u0000y\"}\n", SAE_FORMAT, "line 1"},
        {"a.jsonl", "{\"text\": \"a\", \"label\": 1", SAE_FORMAT, "line 1"},
        {"a.txt", "text", SAE_UNSUPPORTED, ".jsonl or .csv"},
        {"a.csv.gz", "no gzip", SAE_FORMAT, "a.csv.gz"},
    };
    labelled l;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        FAILS(labelled_read(&l, scratch_text(bad[i].name, bad[i].text), NULL, &err), bad[i].status, bad[i].message);
    FAILS(labelled_read(&l, "nowhere.csv", NULL, &err), SAE_IO, "nowhere.csv");
    scratch_remove();
}
END_TEST

/* A label that is different in every line is the wrong column; a quote that is never closed does not eat the file first. */
START_TEST(test_limits)
{
    size_t room = (size_t)18 << 20, used = 0;
    char *text = malloc(room);
    labelled l;

    used += (size_t)snprintf(text, room, "text,label\n");
    for (int i = 0; i < LABELLED_MOST_CLASSES + 1; i++) used += (size_t)snprintf(text + used, room - used, "t,%d\n", i);
    FAILS(labelled_read(&l, fixture_write("many.csv", text, used), NULL, &err), SAE_RANGE, "different labels");
    used = (size_t)snprintf(text, room, "text,label\n\"");
    while (used + 2 < (size_t)17 << 20) used += (size_t)snprintf(text + used, room - used, "abcdefghijklmno\n");
    FAILS(labelled_read(&l, fixture_write("open.csv", text, used), NULL, &err), SAE_FORMAT, "line 2: the record");
    used = (size_t)snprintf(text, room, "text,label\n");
    memset(text + used, ',', CSV_FIELDS + 1);
    FAILS(labelled_read(&l, fixture_write("wide.csv", text, used + CSV_FIELDS + 1), NULL, &err), SAE_FORMAT,
          "line 2: more than");
    free(text);
    scratch_remove();
}
END_TEST

/* Without the sync of fixture_write: hundreds of them take their time. */
static const char *quick_write(const char *name, const char *data, size_t bytes)
{
    const char *path = scratch_path(name);
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, bytes, file), bytes);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

/* A file cut at any byte, and one with any byte changed, is read or refused, and nothing else happens. */
START_TEST(test_damaged)
{
    static const char *const names[] = {"d.csv", "d.jsonl"};
    static const char *const files[] = {"text,label\n\"a\"\"b\",x\nc,y\n\"d\ne\",x\n",
                                        "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": 2}\n"};
    static const char replacements[] = "\",\n\r\0\xff{";

    for (int f = 0; f < 2; f++) {
        size_t bytes = strlen(files[f]);
        for (size_t cut = 0; cut < bytes; cut++) {
            char copy[200];
            labelled l;
            if (labelled_read(&l, quick_write(names[f], files[f], cut), NULL, NULL) == SAE_OK) labelled_free(&l);
            for (size_t r = 0; r < sizeof replacements - 1; r++) {
                memcpy(copy, files[f], bytes);
                copy[cut] = replacements[r];
                if (labelled_read(&l, quick_write(names[f], copy, bytes), NULL, NULL) == SAE_OK) labelled_free(&l);
            }
        }
    }
    scratch_remove();
}
END_TEST

START_TEST(test_paths)
{
    char **paths;
    int n;

    scratch_text("README.md", "no set");
    scratch_text("b.jsonl", "x");
    scratch_text("a.csv", "x");
    OK(labelled_paths(scratch_folder(), &paths, &n, &err));
    ck_assert_int_eq(n, 2);
    ck_assert_ptr_nonnull(strstr(paths[0], "a.csv"));
    labelled_paths_free(paths, n);
    OK(labelled_paths("some.file", &paths, &n, &err));
    ck_assert_int_eq(n, 1);
    labelled_paths_free(paths, n);
    scratch_remove();
    OK(folder_make(scratch_folder(), &err));
    FAILS(labelled_paths(scratch_folder(), &paths, &n, &err), SAE_RANGE, "no .jsonl or .csv");
    scratch_remove();
}
END_TEST

/* What the project carries. */
START_TEST(test_carried)
{
    labelled l;
    labelled_options categories = {.label = "category", .more = "choices"};

    OK(labelled_read(&l, "data/mmlu/mmlu.jsonl.zst", NULL, &err));
    ck_assert_int_eq(l.n, 14327);
    ck_assert_int_eq(l.n_classes, 57);
    expect_document(&l, 0, "Find all c in Z_3 such that Z_3[x]/(x^2 + c) is a field.", "abstract_algebra");
    labelled_free(&l);
    OK(labelled_read(&l, "data/mmlu/mmlu.jsonl.zst", &categories, &err));
    ck_assert_int_eq(l.n_classes, 4);
    expect_document(&l, 0, "Find all c in Z_3 such that Z_3[x]/(x^2 + c) is a field.\n0\n1\n2\n3", "STEM");
    labelled_free(&l);
    OK(labelled_read(&l, "data/labelled/europarl.jsonl.zst", NULL, &err));
    ck_assert_int_eq(l.n, 5000);
    ck_assert_int_eq(l.n_classes, 5);
    labelled_free(&l);
    OK(labelled_read(&l, "data/labelled/rt-polarity.jsonl.zst", NULL, &err));
    ck_assert_int_eq(l.n, 2500);
    labelled_free(&l);
}
END_TEST

/* ---- Division ---------------------------------------------------------------------------------------------------------- */

/* 300 documents: class 0 has 90, class 1 has 210; every fifth begins like its neighbour; some texts stand under both labels. */
static void toy_set(labelled *l)
{
    static char text[40000];
    size_t used = (size_t)snprintf(text, sizeof text, "text,label\n");

    for (int i = 0; i < 300; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "document %03d tail %d,%s\n",
                                 i % 5 == 4    ? i - 1
                                 : i % 50 == 7 ? 7
                                               : i,
                                 i % 50 == 7 ? 0 : i, i % 10 < 3 ? "a" : "b");
    OK(labelled_read(l, scratch_text("toy.csv", text), NULL, &err));
}

static void check_split(const labelled *l, const split *s, size_t prefix)
{
    uint8_t *side = calloc((size_t)l->n, 1);
    const split_part *parts[] = {&s->train, &s->test};

    for (int p = 0; p < 2; p++) {
        EXPECT(parts[p]->n == parts[p]->per_class * s->n_classes, "sizes");
        for (int64_t i = 0; i < parts[p]->n; i++) {
            int64_t doc = parts[p]->doc[i];
            EXPECT(l->label[doc] == s->class_of[split_class(parts[p], i)], "a document of another class");
            EXPECT(!side[doc], "a document twice");
            side[doc] = (uint8_t)(p + 1);
        }
    }
    for (int64_t i = 0; i < l->n; i++)
        for (int64_t j = 0; j < l->n; j++)
            if (side[i] == 1 && side[j] == 2)
                EXPECT(strncmp(l->bytes + l->start[i], l->bytes + l->start[j], prefix) != 0,
                       "documents %lld and %lld begin alike and are in both parts", (long long)i, (long long)j);
    free(side);
}

START_TEST(test_split)
{
    labelled l;
    split s, again;
    uint8_t first[300];
    split_options o = {.n_train = 60, .n_test = 20, .group_bytes = 12, .seed = 3};

    toy_set(&l);
    OK(split_create(&s, &l, &o, &err));
    check_split(&l, &s, 12);
    ck_assert_int_eq(s.train.per_class, 60);
    ck_assert_int_eq(s.test.per_class, 20);
    OK(split_create(&again, &l, &o, &err));
    ck_assert_mem_eq(s.test.doc, again.test.doc, (size_t)s.test.n * sizeof(int64_t));
    split_free(&again);
    o.seed = 4;
    OK(split_create(&again, &l, &o, &err));
    ck_assert_mem_ne(s.test.doc, again.test.doc, (size_t)s.test.n * sizeof(int64_t));
    split_free(&again);
    split_free(&s);
    o = (split_options){.group_bytes = 12}; /* the smallest class, 90, in the proportion 2,000 : 500 */
    OK(split_create(&s, &l, &o, &err));
    check_split(&l, &s, 12);
    ck_assert_int_le(s.train.per_class, 72);
    ck_assert_int_ge(s.train.per_class, 68); /* groups leave a little less */
    ck_assert_int_eq(s.test.per_class, 18);
    split_free(&s);
    /* Of 40 a class, 200 documents come first, 60 or more of each class: next to no others are taken, and both parts stay full. */
    for (int64_t i = 0; i < l.n; i++) first[i] = i < 200;
    o = (split_options){.n_train = 30, .n_test = 10, .group_bytes = 12, .first = first, .seed = 3};
    OK(split_create(&s, &l, &o, &err));
    check_split(&l, &s, 12);
    ck_assert_int_eq(s.train.per_class, 30);
    ck_assert_int_eq(s.test.per_class, 10);
    int64_t others = 0;
    for (int64_t i = 0; i < s.train.n; i++) others += s.train.doc[i] >= 200;
    for (int64_t i = 0; i < s.test.n; i++) others += s.test.doc[i] >= 200;
    ck_assert_int_le(others, s.n_classes * 4); /* groups may need one */
    split_free(&s);
    labelled_free(&l);
    scratch_remove();
}
END_TEST

START_TEST(test_split_refused)
{
    labelled l;
    split s;
    const char *const names[] = {"a", "c"};
    split_options o = {.classes = names, .n_classes = 2};

    toy_set(&l);
    FAILS(split_create(&s, &l, &o, &err), SAE_RANGE, "of the 2 classes wanted 1");
    o = (split_options){.classes = names, .n_classes = 1};
    FAILS(split_create(&s, &l, &o, &err), SAE_RANGE, "one class");
    o = (split_options){.group_bytes = 1};
    FAILS(split_create(&s, &l, &o, &err), SAE_RANGE, "begin alike");
    labelled_free(&l);
    OK(labelled_read(&l, scratch_text("few.csv", "text,label\na,x\nb,x\nc,x\nd,y\ne,y\nf,y\n"), NULL, &err));
    o = (split_options){0};
    FAILS(split_create(&s, &l, &o, &err), SAE_RANGE, "has 3 documents");
    labelled_free(&l);
    scratch_remove();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("labelled");
    TCase *reading = tcase_create("reading"), *division = tcase_create("division");

    tcase_set_timeout(reading, 60);
    tcase_add_test(reading, test_csv);
    tcase_add_test(reading, test_jsonl);
    tcase_add_test(reading, test_refused);
    tcase_add_test(reading, test_limits);
    tcase_add_test(reading, test_damaged);
    tcase_add_test(reading, test_paths);
    tcase_add_test(reading, test_carried);
    tcase_add_test(division, test_split);
    tcase_add_test(division, test_split_refused);
    suite_add_tcase(suite, reading);
    suite_add_tcase(suite, division);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
