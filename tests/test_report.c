/* test_report.c - results: round trips, replacement, hostile files; the page: escaping, structure, scales, lack of memory.
 *
 * "test_report --demo FOLDER" writes demo.html and hard.html there, for the test in a browser. */
#include "report/page.h"
#include "report/scale.h"
#include "report_demo.h"

#include <check.h>
#include <unistd.h>

#define OK(expression)                                                                                                 \
    do {                                                                                                               \
        sae_error err = {0};                                                                                           \
        sae_status status_ = (expression);                                                                             \
        ck_assert_msg(status_ == SAE_OK, "%s: %s", sae_status_name(status_), err.message);                             \
    } while (0)

/* The call fails with `code` and a message that holds `part`. */
#define FAILS(code_, part, expression)                                                                                 \
    do {                                                                                                               \
        sae_error err = {0};                                                                                           \
        ck_assert_int_eq((expression), SAE_##code_);                                                                   \
        ck_assert_msg(strstr(err.message, part), "\"%s\" lacks \"%s\"", err.message, part);                            \
    } while (0)

static char folder[64];

static const char *path_in(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_report.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
    OK(folder_remove(folder, &err));
    ck_assert_uint_eq(mem_in_use(), 0);
}

static char *page_of(const sae_result *const *results, int n)
{
    char *text = NULL;
    size_t bytes;

    OK(sae_report_write(path_in("page.html"), "A title <&>", results, n, true, &err));
    OK(file_read_all(path_in("page.html"), 1 << 26, &text, &bytes, &err));
    ck_assert_uint_eq(strlen(text), bytes);
    return text;
}

static int count(const char *text, const char *part)
{
    int n = 0;

    for (const char *at = text; (at = strstr(at, part)); at++) n++;
    return n;
}

/* ---- Results ----------------------------------------------------------------------------------------------------------- */

START_TEST(test_round_trip)
{
    sae_result *made[] = {demo_comparison(), demo_hard()}, *read = NULL;

    for (int i = 0; i < 2; i++) {
        OK(result_check(result_json(made[i]), "made", &err));
        OK(sae_result_write(made[i], path_in("r.json"), &err));
        OK(sae_result_read(&read, path_in("r.json"), &err));
        ck_assert(json_equal(result_json(made[i]), result_json(read)));
        ck_assert_str_eq(sae_result_name(read), sae_result_name(made[i]));
        sae_result_free(read);
        sae_result_free(made[i]);
    }
}
END_TEST

START_TEST(test_not_finite)
{
    const double x[] = {1, 2, INFINITY}, y[] = {NAN, -INFINITY, 3};
    sae_result *r = NULL, *back = NULL;

    OK(sae_result_create(&r, "n", &err));
    OK(sae_result_number(r, "nan", NAN, &err));
    OK(sae_result_interval(r, "interval", 0.1, NAN, INFINITY, &err));
    OK(sae_result_number(r, "third", 1.0 / 3, &err));
    OK(sae_result_series(r, "p", "s", x, y, 3, &err));
    OK(sae_result_write(r, path_in("r.json"), &err));
    OK(sae_result_read(&back, path_in("r.json"), &err));
    ck_assert(isnan(sae_result_get(back, "nan", 7)));
    ck_assert(sae_result_get(back, "interval", 7) == 0.1);
    ck_assert(sae_result_get(back, "third", 7) == 1.0 / 3); /* to the last bit */
    ck_assert(sae_result_get(back, "absent", 7) == 7);
    ck_assert_str_eq(sae_result_get_text(back, "absent", "otherwise"), "otherwise");
    sae_result_free(r);
    sae_result_free(back);
}
END_TEST

START_TEST(test_replacing)
{
    const char *columns[] = {"a"};
    const double x[] = {1, 2};
    sae_result *r = NULL;
    const json_t *root;

    OK(sae_result_create(&r, "n", &err));
    for (int i = 0; i < 3; i++) {
        OK(sae_result_number(r, "k", i, &err));
        OK(sae_result_text(r, "k", i ? "second" : "first", &err));
        OK(sae_result_table(r, "t", "title", columns, 1, &err));
        OK(sae_result_row(r, "t", &(sae_cell){NULL, i}, 1, &err));
        OK(sae_result_series(r, "p", "s", x, x, i, &err));
        OK(sae_result_card(r, "g", "c", "t", NULL, NULL, NULL, &err));
        OK(sae_result_context(r, "c", columns, x, 1, 0, &err));
    }
    root = result_json(r);
    ck_assert(sae_result_get(r, "k", -1) == 2);
    ck_assert_str_eq(sae_result_get_text(r, "k", ""), "second");
    ck_assert_uint_eq(json_array_size(json_object_get(root, "layout")), 5);
    ck_assert_str_eq(layout_name(root, 0, "number"), "k"); /* each keeps its first place */
    ck_assert_str_eq(layout_name(root, 4, "card"), "c");
    const json_t *table = json_object_get(json_object_get(root, "tables"), "t");
    ck_assert_uint_eq(json_array_size(json_object_get(table, "rows")), 1);
    const json_t *card = json_object_get(json_object_get(root, "cards"), "c");
    ck_assert_uint_eq(json_array_size(json_object_get(card, "contexts")), 1);
    sae_result_free(r);
}
END_TEST

START_TEST(test_wrong_calls)
{
    const char *names[] = {"a", "b"};
    const double x[] = {1, 2};
    sae_result *r = NULL;

    OK(sae_result_create(&r, "n", &err));
    FAILS(RANGE, "not UTF-8", sae_result_number(r, "\xff", 1, &err));
    FAILS(RANGE, "above its high end", sae_result_interval(r, "i", 1, 3, 2, &err));
    FAILS(SHAPE, "at least one column", sae_result_table(r, "t", "", names, 0, &err));
    FAILS(STATE, "not begun", sae_result_row(r, "t", NULL, 0, &err));
    OK(sae_result_table(r, "t", "", names, 2, &err));
    FAILS(SHAPE, "1 cells for 2", sae_result_row(r, "t", &(sae_cell){0}, 1, &err));
    FAILS(STATE, "not begun", sae_result_line(r, "p", "l", true, 1, &err));
    OK(sae_result_series(r, "p", "s", x, x, 2, &err));
    FAILS(STATE, "sae_result_series", sae_result_bars(r, "p", "s", names, x, NULL, NULL, 2, &err));
    FAILS(STATE, "no series \"t\"", sae_result_control(r, "p", "t", &err));
    FAILS(STATE, "no series \"s\"", sae_result_control(r, "absent", "s", &err));
    FAILS(RANGE, "together", sae_result_bars(r, "q", "s", names, x, x, NULL, 2, &err));
    FAILS(STATE, "not begun", sae_result_context(r, "c", names, x, 2, 0, &err));
    OK(sae_result_card(r, "", "c", "", NULL, NULL, NULL, &err));
    FAILS(RANGE, "outside", sae_result_context(r, "c", names, x, 2, 2, &err));
    OK(result_check(result_json(r), "after all that", &err));
    sae_result_free(r);
}
END_TEST

/* A good file with one part put in another's place: { path to the part, what stands there instead, part of the message }. */
static const struct {
    const char *home, *name, *member, *value, *message;
} bad_parts[] = {
    {"sae_result", NULL, NULL, "2", "version 2"},
    {"sae_result", NULL, NULL, "\"x\"", "not a result"},
    {"name", NULL, NULL, "[]", "\"name\" must be a string"},
    {"numbers", NULL, NULL, "[]", "\"numbers\" must be an object"},
    {"layout", NULL, NULL, "{}", "\"layout\" must be an array"},
    {"layout", NULL, NULL, "[{\"table\":\"absent\"}]", "item 0"},
    {"layout", NULL, NULL, "[{\"section\":\"a\",\"note\":\"b\"}]", "item 0"},
    {"layout", NULL, NULL, "[{\"section\":1}]", "item 0"},
    {"numbers", "recovered", NULL, "\"many\"", "number \"recovered\""},
    {"numbers", "fvu.baseline", "low", "[]", "\"value\", \"low\", \"high\""},
    {"labels", "recovered", "remark", "1", "\"remark\" must be a string or null"},
    {"settings", "k", NULL, "[]", "setting \"k\""},
    {"inputs", "model", NULL, "1", "must be a string"},
    {"tables", "core", "title", "1", "\"title\" must be a string"},
    {"tables", "core", "columns", "[]", "at least one"},
    {"tables", "core", "columns", "[\"a\",2]", "array of strings"},
    {"tables", "core", "rows", "[[1]]", "row 0 must be an array of 4 cells"},
    {"tables", "core", "rows", "[[1,2,3,{\"text\":1}]]", "row 0, cell 3"},
    {"plots", "loss", "kind", "\"pie\"", "known are line, step and bar"},
    {"plots", "loss", "kind", "\"bar\"", "array of strings"},
    {"plots", "loss", "log_x", "1", "true or false"},
    {"plots", "loss", "series", "{\"s\":{\"x\":[1],\"y\":[1,2]}}", "\"y\" must be 1 numbers"},
    {"plots", "loss", "series", "{\"s\":{\"x\":[1],\"y\":[1],\"low\":[1]}}", "together"},
    {"plots", "loss", "series", "{\"s\":{\"x\":[1],\"y\":[1],\"names\":[1]}}", "\"names\" must be"},
    {"plots", "loss", "series", "{\"s\":{\"x\":[1],\"y\":[1],\"names\":[\"a\",\"b\"]}}", "\"names\" must be"},
    {"plots", "loss", "series", "{\"s\":{\"x\":[1],\"y\":[1],\"low\":[1],\"high\":[\"a\"]}}", "\"high\" must be"},
    {"plots", "loss", "series", "{\"s\":{\"x\":[1],\"y\":[1],\"control\":1}}", "\"control\" must be true or false"},
    {"plots", "loss", "lines", "{\"l\":{\"vertical\":true}}", "line \"l\""},
    {"cards", "b0", "promoted", "[1]", "arrays of strings or null"},
    {"cards", "b0", "contexts", "[{\"pieces\":[\"a\"],\"strengths\":[1],\"peak\":1}]", "\"peak\""},
    {"cards", "b0", "contexts", "[{\"pieces\":[\"a\"],\"strengths\":[1],\"peak\":-2}]", "\"peak\""},
    {"cards", "b0", "contexts", "[{\"pieces\":[\"a\"],\"strengths\":[],\"peak\":0}]", "\"strengths\" must be 1"},
    {"cards", "b0", "contexts", "[{\"pieces\":[1],\"strengths\":[1],\"peak\":0}]", "\"pieces\""},
};

START_TEST(test_bad_parts)
{
    sae_result *r = demo_comparison(), *back = NULL;
    json_t *root = json_deep_copy(result_json(r)), *at = json_object_get(root, bad_parts[_i].home);
    json_t *value = json_loads(bad_parts[_i].value, JSON_DECODE_ANY, NULL);

    ck_assert_ptr_nonnull(value);
    if (!bad_parts[_i].name)
        json_object_set_new(root, bad_parts[_i].home, value);
    else if (!bad_parts[_i].member)
        json_object_set_new(at, bad_parts[_i].name, value);
    else
        json_object_set_new(json_object_get(at, bad_parts[_i].name), bad_parts[_i].member, value);
    ck_assert_int_eq(json_dump_file(root, path_in("bad.json"), 0), 0);
    sae_error err = {0};
    ck_assert_int_ne(sae_result_read(&back, path_in("bad.json"), &err), SAE_OK);
    ck_assert_msg(strstr(err.message, bad_parts[_i].message), "\"%s\" lacks \"%s\"", err.message,
                  bad_parts[_i].message);
    ck_assert_ptr_nonnull(strstr(err.message, "bad.json"));
    ck_assert_ptr_null(back);
    json_decref(root);
    sae_result_free(r);
}
END_TEST

/* ---- Texts and numbers ------------------------------------------------------------------------------------------------- */

static const struct {
    double value;
    const char *measured, *exact;
} numbers[] = {{0, "0", "0"},
               {-0.0, "0", "0"},
               {17, "17", "17"},
               {-1234567, "−1,234,567", "−1,234,567"},
               {0.001, "0.001000", "0.001"},
               {0.5, "0.5000", "0.5"},
               {123.456, "123.5", "123.456"},
               {999.94, "999.9", "999.94"},
               {999.96, "1,000", "1,000"},
               {3333.4, "3,333", "3,333"},
               {1.23456e-7, "1.235e-07", "1.23456e-07"},
               {1e20, "1.000e+20", "1e+20"},
               {NAN, "–", "–"},
               {-INFINITY, "−∞", "−∞"}};

START_TEST(test_numbers)
{
    char text[NUMBER_TEXT];

    number_format(text, numbers[_i].value);
    ck_assert_str_eq(text, numbers[_i].measured);
    number_format_exact(text, numbers[_i].value);
    ck_assert_str_eq(text, numbers[_i].exact);
    ck_assert(isnan(numbers[_i].value) || text_is_numeric(text) || isinf(numbers[_i].value));
}
END_TEST

START_TEST(test_texts)
{
    char *clean = text_clean("a\xff\xe2\x82z", 5, NULL);

    ck_assert_str_eq(clean, "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz");
    mem_free(clean);
    ck_assert_int_eq(text_width("abc"), 3);
    ck_assert_int_eq(text_width("\xE3\x81\xAE"), 2); /* a wide character */
    ck_assert_int_eq(text_width("e\xCC\x81"), 1);    /* a combining one */
    ck_assert_int_eq(text_width("\x1b\n"), 5);       /* \x1b and a sign for the newline */
    ck_assert(text_is_numeric("12 %") && text_is_numeric("−0.3") && text_is_numeric(".5") && text_is_numeric("≈ 7"));
    ck_assert(!text_is_numeric("R1") && !text_is_numeric("") && !text_is_numeric("–") && !text_is_numeric("-"));
}
END_TEST

/* Whatever is put in, no character of markup comes out, and undoing the escapes gives it back. */
START_TEST(test_escaping)
{
    rng random = rng_seed(3, 0);
    char text[40], back[400];
    sae_error err = {0};
    page p = {.err = &err};

    for (int round = 0; round < 20000; round++) {
        int n = (int)rng_below(&random, sizeof text - 1);
        for (int i = 0; i < n; i++)
            text[i] = (char)(round % 2 ? 32 + rng_below(&random, 95) : 1 + rng_below(&random, 255));
        text[n] = '\0';
        p.used = 0;
        page_attribute(&p, text);
        page_put(&p, "!");
        p.text[p.used - 1] = '\0';
        ck_assert(text_is_utf8(p.text, strlen(p.text)));
        ck_assert_ptr_null(strpbrk(p.text, "<>\"'\n\t\x1b\x7f"));
        if (round % 2 == 0) continue; /* printable ASCII: no symbols stand in */
        static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
        size_t used = 0;
        for (const char *c = p.text; *c;) {
            int k = 0;
            while (k < 5 && strncmp(c, entities[k], strlen(entities[k])) != 0) k++;
            ck_assert(*c != '&' || k < 5);
            back[used++] = k < 5 ? "&<>\"'"[k] : *c;
            c += k < 5 ? strlen(entities[k]) : 1;
        }
        back[used] = '\0';
        ck_assert_str_eq(back, text);
    }
    mem_free(p.text);
}
END_TEST

/* ---- Scales ------------------------------------------------------------------------------------------------------------ */

START_TEST(test_scales)
{
    rng random = rng_seed(5, 0);
    char labels[MAX_TICKS][NUMBER_TEXT];

    for (int round = 0; round < 20000; round++) {
        bool log = round % 3 == 0, round_out = round % 2 == 0;
        double a = rng_normal(&random) * pow(10, (double)rng_below(&random, 24) - 12),
               b = a * (1 + rng_normal(&random));
        extent e = {0};
        extent_add(&e, log ? fabs(a) : a, log);
        extent_add(&e, log ? fabs(b) : b, log);
        scale s = scale_make(e, log, round_out, 5);
        scale_place(&s, 100, 0);
        ck_assert(s.low < s.high && (!log || s.low > 0));
        ck_assert(s.low <= e.low * (e.low > 0 ? 1 + 1e-9 : 1 - 1e-9) &&
                  s.high >= e.high * (e.high > 0 ? 1 - 1e-9 : 1 + 1e-9));
        ck_assert_msg(s.n_ticks >= 2 && s.n_ticks <= 15, "%d ticks from %.17g to %.17g log %d", s.n_ticks, e.low,
                      e.high, log);
        for (int i = 0; i < s.n_ticks; i++) {
            ck_assert(i == 0 || s.ticks[i] > s.ticks[i - 1]);
            ck_assert(scale_at(&s, s.ticks[i]) >= 0 && scale_at(&s, s.ticks[i]) <= 100);
            scale_tick_text(&s, i, labels[i]);
            bool fine =
                s.high - s.low > 1e-6 * fmax(fabs(s.low), fabs(s.high)); /* else no nine decimals tell them apart */
            ck_assert_msg(i == 0 || !fine || strcmp(labels[i], labels[i - 1]) != 0,
                          "\"%s\" twice from %.17g to %.17g log %d", labels[i], e.low, e.high, log);
        }
    }
}
END_TEST

static const struct {
    double low, high;
    bool log;
    const char *labels;
} ticks[] = {{0, 1048576, false, "0 0.2M 0.4M 0.6M 0.8M 1.0M 1.2M "},
             {0, 1, false, "0.0 0.2 0.4 0.6 0.8 1.0 "},
             {-3e-7, 3e-7, false, "−3 −2 −1 0 1 2 3 "},
             {28, 34, false, "28 29 30 31 32 33 34 "},
             {1e-6, 1, true, "10⁻⁶ 10⁻⁵ 10⁻⁴ 10⁻³ 10⁻² 10⁻¹ 1 "},
             {0.5, 800, true, "0.1 1 10 100 1000 "},
             {60, 900, true, "100 200 500 "}};

START_TEST(test_ticks)
{
    scale s = scale_make((extent){ticks[_i].low, ticks[_i].high, true}, ticks[_i].log, true, 5);
    char all[400] = "", one[NUMBER_TEXT];

    for (int i = 0; i < s.n_ticks; i++) {
        scale_tick_text(&s, i, one);
        strcat(strcat(all, one), " ");
    }
    ck_assert_str_eq(all, ticks[_i].labels);
}
END_TEST

START_TEST(test_scale_of_extremes)
{
    static const double values[] = {0, 1, -1, 5e-324, 1e-300, 1.7e308, -1.7e308};

    for (int i = 0; i < 7; i++) {
        for (int j = 0; j < 7; j++) {
            for (int log = 0; log < 2; log++) {
                extent e = {0};
                extent_add(&e, values[i], log);
                extent_add(&e, values[j], log);
                scale s = scale_make(e, log, true, 5);
                scale_place(&s, 0, 100);
                ck_assert(s.low < s.high && s.n_ticks <= MAX_TICKS && isfinite(s.unit) && s.unit > 0);
                for (int k = 0; k < 7; k++) {
                    if (!scale_shows(&s, values[k])) continue;
                    ck_assert(scale_at(&s, values[k]) >= 0 && scale_at(&s, values[k]) <= 100);
                }
            }
        }
    }
}
END_TEST

/* ---- The page ---------------------------------------------------------------------------------------------------------- */

/* Every element is closed, in order: markup from a text would show. */
static void check_balance(const char *html)
{
    char open[64][16], name[16];
    int depth = 0;

    for (const char *c = strchr(html, '<'); c; c = strchr(c + 1, '<')) {
        bool closing = c[1] == '/';
        const char *end = strchr(c, '>');
        if (c[1] == '!') continue;
        ck_assert_msg(sscanf(c + 1 + closing, "%15[a-z0-9]", name) == 1, "a stray '<': %.40s", c);
        if (strcmp(name, "meta") == 0 || end[-1] == '/') continue;
        if (closing) {
            ck_assert_msg(depth > 0 && strcmp(open[depth - 1], name) == 0, "</%s> closes <%s>", name,
                          depth ? open[depth - 1] : "nothing");
            depth--;
        } else {
            ck_assert_int_lt(depth, 64);
            strcpy(open[depth++], name);
        }
    }
    ck_assert_int_eq(depth, 0);
}

START_TEST(test_structure)
{
    sae_result *r = demo_comparison();
    const sae_result *const results[] = {r};
    char *html = page_of(results, 1);

    check_balance(html);
    ck_assert_int_eq(count(html, "<svg class=\"plot"), 8);
    ck_assert_int_eq(count(html, "<figcaption"), 8);
    ck_assert_int_eq(count(html, "<caption"), 2);
    ck_assert_int_eq(count(html, "<section"), 8);
    ck_assert_int_eq(count(html, "<li><a href=\"#s"), 8);
    ck_assert_int_eq(count(html, "<article"), 7);
    ck_assert_int_eq(count(html, "<details class=\"group\""), 2);
    ck_assert_int_eq(count(html, "<div class=\"tile\""), 8);
    ck_assert_int_eq(count(html, "<b class"), 7 * 6); /* the peak of each context */
    ck_assert_int_eq(count(html, "<rect"), 16);
    for (int i = 0; i < 8; i++) { /* each heading has its one entry in the contents */
        char id[24], link[24];
        snprintf(id, sizeof id, "id=\"s%d\"", i);
        snprintf(link, sizeof link, "href=\"#s%d\"", i);
        ck_assert_int_eq(count(html, id), 1);
        ck_assert_int_eq(count(html, link), 1);
    }
    ck_assert_int_eq(count(html, "http://") + count(html, "https://") + count(html, "url(") + count(html, " src="), 0);
    const char *summary = strstr(html, ">Summary</h2>"), *removal = strstr(html, ">Removal</h2>");
    ck_assert(summary && removal && summary < removal && removal < strstr(html, "<article")); /* order of insertion */
    mem_free(html);
    sae_result_free(r);
}
END_TEST

START_TEST(test_hostile_texts)
{
    sae_result *a = demo_comparison(), *b = demo_hard();
    const sae_result *const results[] = {a, b};
    char *html = page_of(results, 2);

    check_balance(html);
    ck_assert(text_is_utf8(html, strlen(html)));
    ck_assert_int_eq(count(html, "<script"), 1);
    ck_assert_int_eq(count(html, "</style"), 1);
    ck_assert_int_ge(count(html, "&lt;script&gt;"), 15);
    ck_assert_int_eq(count(html, "\xE2\x80\xAE"), 0); /* no override of direction */
    for (const char *c = html; *c; c++) ck_assert(*c == '\n' || (unsigned char)*c >= 0x20);
    ck_assert_int_eq(count(html, "nan"), 0); /* no such coordinate */
    ck_assert_int_eq(count(html, "<svg class=\"plot"), 15);
    mem_free(html);
    sae_result_free(a);
    sae_result_free(b);
}
END_TEST

/* Each point is drawn and named; where names would lie on each other, the pointer alone finds them. */
START_TEST(test_named_points)
{
    const double x[] = {1, 2, 3}, y[] = {1, 4, 2}, same[] = {5, 5, 5, 5, 5, 5};
    const char *names[] = {"k16 <a>", "k32", "k64"}, *crowd[] = {"c0", "c1", "c2", "c3", "c4", "c5"};
    sae_result *r = NULL;

    OK(sae_result_create(&r, "n", &err));
    OK(sae_result_points(r, "p", "rank 4", x, y, names, 3, &err));
    OK(sae_result_points(r, "p", "crowd", same, same, crowd, 6, &err));
    OK(result_check(result_json(r), "made", &err));
    const sae_result *results[] = {r};
    char *html = page_of(results, 1);
    ck_assert_int_eq(count(html, "<path class=\"line\""), 0);
    ck_assert_int_eq(count(html, "<circle class=\"marker\""), 9);
    ck_assert_int_eq(count(html, ">k16 &lt;a&gt;</text>"), 1);
    ck_assert_int_eq(count(html, ">k64</text>"), 1);
    ck_assert_int_ge(count(html, "<text class=\"value\""), 3 + 1);
    ck_assert_int_le(count(html, "<text class=\"value\""), 3 + 4); /* a point has four places for its name */
    for (int i = 0; i < 6; i++) {
        char title[32];
        snprintf(title, sizeof title, "crowd, c%d\n", i);
        ck_assert_int_eq(count(html, title), 1);
    }
    mem_free(html);
    sae_result_free(r);
}
END_TEST

/* No control looks like data, or like another control; and beside controls the data keep their colours. */
START_TEST(test_controls)
{
    const double x[] = {1, 2};
    sae_result *r = NULL;
    char label[32], wanted[48];

    OK(sae_result_create(&r, "n", &err));
    for (int i = 0; i < N_COLOURS + 1 + N_CONTROLS; i++) {
        const bool control = i % 3 == 1 && i / 3 < N_CONTROLS; /* among the data */
        snprintf(label, sizeof label, "%s %d", control ? "control" : "data", i);
        OK(sae_result_series(r, "p", label, x, x, 2, &err));
        if (control) OK(sae_result_control(r, "p", label, &err));
    }
    const sae_result *results[] = {r};
    char *html = page_of(results, 1);
    for (int i = 0; i < N_COLOURS + N_CONTROLS; i++) {
        if (i < N_COLOURS)
            snprintf(wanted, sizeof wanted, "<g class=\"c%d\">", i);
        else
            snprintf(wanted, sizeof wanted, "<g class=\"control k%d\">", i - N_COLOURS);
        ck_assert_msg(count(html, wanted) == 1, "%s: %d", wanted, count(html, wanted));
    }
    ck_assert_int_eq(count(html, " again\">"), 2); /* the ninth of the data, drawn and in the legend */
    ck_assert_int_eq(count(html, "<li class=\"control k"), N_CONTROLS);
    ck_assert(strstr(html, "<g class=\"c0\">") > strstr(html, "<g class=\"control k3\">")); /* beneath */
    mem_free(html);
    sae_result_free(r);
}
END_TEST

START_TEST(test_not_overwritten)
{
    OK(sae_report_write(path_in("once.html"), "first", NULL, 0, false, &err));
    FAILS(EXISTS, "once.html", sae_report_write(path_in("once.html"), "second", NULL, 0, false, &err));
    FAILS(IO, "absent", sae_report_write(path_in("absent/x.html"), "t", NULL, 0, true, &err));
}
END_TEST

START_TEST(test_print)
{
    const char *columns[] = {"name", "value", "の"};
    const sae_cell rows[][3] = {{{"short", 0}, {NULL, 1.5}, {"x", 0}},
                                {{"の長い\x1b[31m", 0}, {NULL, -20.25}, {"y", 0}}};
    static const char table[] =
        "Title\nname             value  の\nshort             1.50  x\nの長い\\x1b[31m  −20.25  y\n";
    sae_result *r = NULL;
    char text[1000];
    size_t n;

    OK(sae_result_create(&r, "n", &err));
    OK(sae_result_section(r, "First", &err));
    OK(sae_result_number(r, "key", 17, &err));
    OK(sae_result_interval(r, "w", 0.3, 0.2, 0.4, &err));
    OK(sae_result_silent(r, "silent", 0.7, 0.6, 0.8, &err));
    ck_assert_double_eq(sae_result_get(r, "silent", NAN), 0.7);
    OK(sae_result_table(r, "t", "Title", columns, 3, &err));
    for (int i = 0; i < 2; i++) OK(sae_result_row(r, "t", rows[i], 3, &err));
    FILE *out = tmpfile();
    OK(report_print(out, r, &err));
    rewind(out);
    n = fread(text, 1, sizeof text - 1, out);
    text[n] = '\0';
    fclose(out);
    ck_assert_msg(strstr(text, table), "%s", text);
    ck_assert_msg(strncmp(text, "First\n\n", 7) == 0, "%s", text);
    ck_assert_ptr_null(strchr(text, '\x1b'));
    sae_result_free(r);
}
END_TEST

/* ---- Hostile files, and no memory -------------------------------------------------------------------------------------- */

static json_t *random_value(rng *random)
{
    static const char *const values[] = {"null",
                                         "1",
                                         "-1e308",
                                         "\"x\"",
                                         "\"\\u0000<\"",
                                         "[]",
                                         "{}",
                                         "[[]]",
                                         "true",
                                         "{\"text\":\"\",\"value\":2}",
                                         "9007199254740993",
                                         "[1,null,3]"};

    return json_loads(values[rng_below(random, sizeof values / sizeof values[0])], JSON_DECODE_ANY | JSON_ALLOW_NUL,
                      NULL);
}

/* Changes, drops or doubles something somewhere below `node`. */
static void mutate(json_t *node, rng *random)
{
    for (;;) {
        json_t *child = NULL;
        size_t n = json_is_object(node) ? json_object_size(node) : json_array_size(node), i;
        if (n == 0) return;
        i = rng_below(random, n);
        void *it = json_is_object(node) ? json_object_iter(node) : NULL;
        for (size_t k = 0; it && k < i; k++) it = json_object_iter_next(node, it);
        child = it ? json_object_iter_value(it) : json_array_get(node, i);
        if ((json_is_object(child) || json_is_array(child)) && rng_below(random, 5) != 0) {
            node = child;
            continue;
        }
        uint64_t what = rng_below(random, 4);
        if (it && what == 0)
            json_object_del(node, json_object_iter_key(it));
        else if (it)
            json_object_iter_set_new(node, it, random_value(random));
        else if (what == 0)
            json_array_remove(node, i);
        else if (what == 1)
            json_array_insert(node, i, child);
        else
            json_array_set_new(node, i, random_value(random));
        return;
    }
}

/* A file that was tampered with is refused with a message, or is still a result that can be shown. */
START_TEST(test_mutated_files)
{
    sae_result *made[] = {demo_hard(), demo_comparison()}, *r = NULL;
    rng random = rng_seed(9, 0);
    int shown = 0, refused = 0;
    FILE *null = fopen("/dev/null", "w");

    for (int round = 0; round < 400; round++) {
        json_t *root = json_deep_copy(result_json(made[round % 4 == 3]));
        for (uint64_t n = 1 + rng_below(&random, 3); n; n--) mutate(root, &random);
        ck_assert_int_eq(json_dump_file(root, path_in("m.json"), JSON_COMPACT), 0);
        json_decref(root);
        sae_error problem = {0};
        if (sae_result_read(&r, path_in("m.json"), &problem) == SAE_OK) {
            const sae_result *const results[] = {r};
            char *html = page_of(results, 1);
            check_balance(html);
            mem_free(html);
            OK(report_print(null, r, &err));
            sae_result_free(r);
            shown++;
        } else {
            ck_assert(strstr(problem.message, "m.json") && strlen(problem.message) > 20);
            refused++;
        }
    }
    fclose(null);
    ck_assert_msg(shown > 40 && refused > 40, "%d shown, %d refused", shown, refused); /* seen: 119, 281 */
    sae_result_free(made[0]);
    sae_result_free(made[1]);
}
END_TEST

/* One of everything; NULL in *out when something failed. */
static sae_status small_result(sae_result **out, sae_error *err)
{
    const char *names[] = {"a\xff", "b"};
    const double x[] = {1, 2};
    sae_result *r = NULL;
    sae_status status;

    SAE_TRY(sae_result_create(&r, "small", err));
    SAE_TRY(sae_result_section(r, "s", err));
    SAE_TRY(sae_result_note(r, "a\n\nb\xff", err));
    SAE_TRY(sae_result_interval(r, "i", 1, 0, 2, err));
    SAE_TRY(sae_result_label(r, "i", "label", NULL, err));
    SAE_TRY(sae_result_setting(r, "k", (sae_cell){"1.5", 1.5}, err));
    SAE_TRY(sae_result_text(r, "t", "text", err));
    SAE_TRY(sae_result_input(r, "h", 1, err));
    SAE_TRY(sae_result_table(r, "t", "", names, 2, err));
    SAE_TRY(sae_result_row(r, "t", (sae_cell[]){{"x", 0}, {"2 %", 2}}, 2, err));
    SAE_TRY(sae_result_series_interval(r, "p", "s", x, x, x, x, 2, err));
    SAE_TRY(sae_result_bars(r, "q", "s", names, x, x, x, 2, err));
    SAE_TRY(sae_result_control(r, "q", "s", err));
    SAE_TRY(sae_result_line(r, "q", "l", false, 1, err));
    SAE_TRY(sae_result_card(r, "g", "c", "t", "f", "a\n b", "", err));
    SAE_TRY(sae_result_context(r, "c", names, x, 2, 1, err));
    *out = r;
    r = NULL;
done:
    sae_result_free(r);
    return status;
}

static sae_status small_report(sae_error *err)
{
    sae_result *r = NULL, *back = NULL;
    const sae_result *list[1];
    sae_status status;

    SAE_TRY(small_result(&r, err));
    SAE_TRY(sae_result_write(r, path_in("small.json"), err));
    SAE_TRY(sae_result_read(&back, path_in("small.json"), err));
    list[0] = back;
    SAE_TRY(sae_report_write(path_in("small.html"), "small", list, 1, true, err));
done:
    sae_result_free(r);
    sae_result_free(back);
    return status;
}

START_TEST(test_no_memory_of_ours)
{
    int64_t nth = 0;

    for (;;) {
        sae_error err = {0};
        mem_fail_nth(++nth);
        sae_status status = small_report(&err);
        mem_fail_nth(0);
        ck_assert_uint_eq(mem_in_use(), 0);
        if (status == SAE_OK) break;
        ck_assert_int_eq(status, SAE_NOMEM);
        ck_assert_int_ne(err.message[0], 0);
    }
    ck_assert_int_gt(nth, 10);
}
END_TEST

static int64_t json_countdown;
static void *json_failing_malloc(size_t bytes) { return --json_countdown == 0 ? NULL : malloc(bytes); }

/* jansson's own allocations fail one after the other: an error, no crash, and no leak (which the sanitizer would see). */
START_TEST(test_no_memory_of_jansson)
{
    int64_t nth = 0;
    int failures = 0;

    json_set_alloc_funcs(json_failing_malloc, free);
    for (bool done = false; !done;) {
        sae_error err = {0};
        json_countdown = nth += 1 + nth / 50; /* every one at first, then ever fewer */
        sae_status status = small_report(&err);
        done = json_countdown > 0; /* it ran to its end without a failure */
        failures += status != SAE_OK;
        ck_assert_uint_eq(mem_in_use(), 0);
        ck_assert(status == SAE_OK || err.message[0]);
        ck_assert(!done || status == SAE_OK);
    }
    json_set_alloc_funcs(malloc, free);
    ck_assert_int_gt(failures, 100);
}
END_TEST

/* ---- The whole --------------------------------------------------------------------------------------------------------- */

static int write_demo(const char *where)
{
    sae_result *a = demo_comparison(), *b = demo_hard();
    const sae_result *const demo[] = {a}, *const hard[] = {a, b};

    snprintf(folder, sizeof folder, "%s", where);
    DEMO(sae_report_write(path_in("demo.html"), "A scaffold for a small model", demo, 1, true, &demo_error));
    DEMO(sae_report_write(path_in("hard.html"), "Hard " HOSTILE, hard, 2, true, &demo_error));
    sae_result_free(a);
    sae_result_free(b);
    return 0;
}

#define N(table) (int)(sizeof(table) / sizeof(table)[0])

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--demo") == 0) return write_demo(argv[2]);
    Suite *suite = suite_create("report");
    TCase *tests = tcase_create("report");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_round_trip);
    tcase_add_test(tests, test_not_finite);
    tcase_add_test(tests, test_replacing);
    tcase_add_test(tests, test_wrong_calls);
    tcase_add_loop_test(tests, test_bad_parts, 0, N(bad_parts));
    tcase_add_loop_test(tests, test_numbers, 0, N(numbers));
    tcase_add_test(tests, test_texts);
    tcase_add_test(tests, test_escaping);
    tcase_add_test(tests, test_scales);
    tcase_add_loop_test(tests, test_ticks, 0, N(ticks));
    tcase_add_test(tests, test_scale_of_extremes);
    tcase_add_test(tests, test_structure);
    tcase_add_test(tests, test_hostile_texts);
    tcase_add_test(tests, test_named_points);
    tcase_add_test(tests, test_controls);
    tcase_add_test(tests, test_not_overwritten);
    tcase_add_test(tests, test_print);
    tcase_add_test(tests, test_mutated_files);
    tcase_add_test(tests, test_no_memory_of_ours);
    tcase_add_test(tests, test_no_memory_of_jansson);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
