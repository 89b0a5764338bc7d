/* result_check.c - a result read from a file is hostile until this has seen every part that a renderer will touch. */
#include "report/report.h"

#include <math.h>
#include <string.h>

/* Where in which file we are, for messages: "FILE: table "core"". */
typedef struct place {
    const char *file, *kind, *name;
    sae_error *err;
} place;

#define WRONG(p, ...) wrong((p), SAE_HERE, __VA_ARGS__)
static sae_status wrong(const place *p, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static sae_status wrong(const place *p, const char *where, const char *format, ...)
{
    char what[400];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return sae_fail_at(p->err, SAE_FORMAT, where, "%s: not a result that this program can read: %s \"%.200s\": %s",
                       p->file, p->kind, p->name, what);
}

static sae_status need_strings(const place *p, const json_t *object, const char *const *keys)
{
    for (; *keys; keys++)
        if (!json_is_string(json_object_get(object, *keys))) return WRONG(p, "\"%s\" must be a string", *keys);
    return SAE_OK;
}

static bool number_or_null(const json_t *value) { return json_is_number(value) || json_is_null(value); }

static bool all_numbers(const json_t *array)
{
    size_t i;
    json_t *value;

    json_array_foreach(array, i, value)
    {
        if (!number_or_null(value)) return false;
    }
    return json_is_array(array);
}

static bool all_strings(const json_t *array)
{
    size_t i;
    json_t *value;

    json_array_foreach(array, i, value)
    {
        if (!json_is_string(value)) return false;
    }
    return json_is_array(array);
}

/* null, a number, a string, or {"text": string, "value": number}. */
static bool is_cell(const json_t *value)
{
    if (json_is_object(value))
        return json_is_string(json_object_get(value, "text")) && json_is_number(json_object_get(value, "value"));
    return number_or_null(value) || json_is_string(value);
}

static sae_status setting_check(const place *p, const json_t *value)
{
    return is_cell(value) ? SAE_OK : WRONG(p, "must be a number, a string or a text with its value");
}

static sae_status string_check(const place *p, const json_t *value)
{
    return json_is_string(value) ? SAE_OK : WRONG(p, "must be a string");
}

static sae_status number_check(const place *p, const json_t *value)
{
    static const char *const keys[] = {"value", "low", "high"};

    if (number_or_null(value)) return SAE_OK;
    for (int i = 0; i < 3; i++)
        if (!json_is_object(value) || !number_or_null(json_object_get(value, keys[i])))
            return WRONG(p, "must be a number, null, or numbers \"value\", \"low\", \"high\"");
    return SAE_OK;
}

static sae_status label_check(const place *p, const json_t *value)
{
    static const char *const keys[] = {"label", "remark"};

    for (int i = 0; i < 2; i++) {
        const json_t *text = json_object_get(value, keys[i]);
        if (!json_is_string(text) && !json_is_null(text)) return WRONG(p, "\"%s\" must be a string or null", keys[i]);
    }
    return SAE_OK;
}

static sae_status table_check(const place *p, const json_t *table)
{
    static const char *const texts[] = {"title", NULL};
    const json_t *columns = json_object_get(table, "columns"), *rows = json_object_get(table, "rows");
    size_t r, c;
    json_t *row, *cell;
    sae_status status;

    SAE_TRY(need_strings(p, table, texts));
    if (!all_strings(columns) || json_array_size(columns) == 0)
        return WRONG(p, "\"columns\" must be an array of strings, at least one");
    if (!json_is_array(rows)) return WRONG(p, "\"rows\" must be an array");
    json_array_foreach(rows, r, row)
    {
        if (!json_is_array(row) || json_array_size(row) != json_array_size(columns))
            return WRONG(p, "row %zu must be an array of %zu cells, as many as there are columns", r,
                         json_array_size(columns));
        json_array_foreach(row, c, cell)
        {
            if (!is_cell(cell)) return WRONG(p, "row %zu, cell %zu must be a number, a string or null", r, c);
        }
    }
done:
    return status;
}

static sae_status series_check(const place *p, const json_t *series, const char *label, bool bars)
{
    static const char *const optional[] = {"low", "high"};
    const json_t *x = json_object_get(series, "x"), *y = json_object_get(series, "y");
    const json_t *names = json_object_get(series, "names");

    if (bars ? !all_strings(x) : !all_numbers(x))
        return WRONG(p, "series \"%.80s\": \"x\" must be an array of %s", label, bars ? "strings" : "numbers");
    if (!all_numbers(y) || json_array_size(y) != json_array_size(x))
        return WRONG(p, "series \"%.80s\": \"y\" must be %zu numbers, as many as \"x\"", label, json_array_size(x));
    if (names && (bars || !all_strings(names) || json_array_size(names) != json_array_size(x)))
        return WRONG(p, "series \"%.80s\": \"names\" must be %zu strings, as many as \"x\", and not of bars", label,
                     json_array_size(x));
    if (json_object_get(series, "control") && !json_is_boolean(json_object_get(series, "control")))
        return WRONG(p, "series \"%.80s\": \"control\" must be true or false", label);
    if (!json_object_get(series, "low") != !json_object_get(series, "high"))
        return WRONG(p, "series \"%.80s\": \"low\" and \"high\" must come together", label);
    for (int i = 0; i < 2; i++) {
        const json_t *ends = json_object_get(series, optional[i]);
        if (ends && (!all_numbers(ends) || json_array_size(ends) != json_array_size(x)))
            return WRONG(p, "series \"%.80s\": \"%s\" must be %zu numbers, as many as \"x\"", label, optional[i],
                         json_array_size(x));
    }
    return SAE_OK;
}

static sae_status plot_check(const place *p, const json_t *plot)
{
    static const char *const texts[] = {"title", "x_label", "y_label", "kind", NULL};
    json_t *all_series = json_object_get(plot, "series"), *lines = json_object_get(plot, "lines");
    const char *kind, *label;
    json_t *item;
    sae_status status;

    SAE_TRY(need_strings(p, plot, texts));
    kind = json_string_value(json_object_get(plot, "kind"));
    if (strcmp(kind, "line") != 0 && strcmp(kind, "step") != 0 && strcmp(kind, "bar") != 0)
        return WRONG(p, "\"kind\" is \"%.40s\"; known are line, step and bar", kind);
    if (!json_is_boolean(json_object_get(plot, "log_x")) || !json_is_boolean(json_object_get(plot, "log_y")))
        return WRONG(p, "\"log_x\" and \"log_y\" must be true or false");
    if (!json_is_object(all_series) || !json_is_object(lines))
        return WRONG(p, "\"series\" and \"lines\" must be objects");
    json_object_foreach(all_series, label, item) SAE_TRY(series_check(p, item, label, strcmp(kind, "bar") == 0));
    json_object_foreach(lines, label, item)
    {
        if (!json_is_boolean(json_object_get(item, "vertical")) || !number_or_null(json_object_get(item, "at")))
            return WRONG(p, "line \"%.80s\" needs \"vertical\" (true or false) and \"at\" (a number)", label);
    }
done:
    return status;
}

static sae_status context_check(const place *p, const json_t *context, size_t i)
{
    const json_t *pieces = json_object_get(context, "pieces"), *peak = json_object_get(context, "peak");
    const json_t *strengths = json_object_get(context, "strengths");

    if (!all_strings(pieces)) return WRONG(p, "context %zu: \"pieces\" must be an array of strings", i);
    if (!all_numbers(strengths) || json_array_size(strengths) != json_array_size(pieces))
        return WRONG(p, "context %zu: \"strengths\" must be %zu numbers, as many as pieces", i,
                     json_array_size(pieces));
    if (!json_is_integer(peak) || json_integer_value(peak) < -1 ||
        json_integer_value(peak) >= (json_int_t)json_array_size(pieces))
        return WRONG(p, "context %zu: \"peak\" must be the index of a piece or -1", i);
    return SAE_OK;
}

static sae_status card_check(const place *p, const json_t *card)
{
    static const char *const texts[] = {"group", "title", "facts", NULL};
    const json_t *promoted = json_object_get(card, "promoted"), *suppressed = json_object_get(card, "suppressed");
    const json_t *contexts = json_object_get(card, "contexts");
    size_t i;
    json_t *context;
    sae_status status;

    SAE_TRY(need_strings(p, card, texts));
    if (!(json_is_null(promoted) || all_strings(promoted)) || !(json_is_null(suppressed) || all_strings(suppressed)))
        return WRONG(p, "\"promoted\" and \"suppressed\" must be arrays of strings or null");
    if (!json_is_array(contexts)) return WRONG(p, "\"contexts\" must be an array");
    json_array_foreach(contexts, i, context) SAE_TRY(context_check(p, context, i));
done:
    return status;
}

/* What stands where: the home in the file, the kind in the layout (NULL: never there), the check of one value. */
static const struct home {
    const char *home, *kind;
    sae_status (*check)(const place *p, const json_t *value);
} homes[] = {
    {"settings", "setting", setting_check}, {"inputs", NULL, string_check}, {"numbers", "number", number_check},
    {"texts", "text", string_check},        {"labels", NULL, label_check},  {"tables", "table", table_check},
    {"plots", "plot", plot_check},          {"cards", "card", card_check},
};
enum { N_HOMES = sizeof homes / sizeof homes[0] };

static sae_status home_check(const json_t *root, const struct home *home, const char *file, sae_error *err)
{
    json_t *object = json_object_get(root, home->home), *value;
    const char *name;
    sae_status status = SAE_OK;

    if (!json_is_object(object))
        return SAE_FAIL(err, SAE_FORMAT, "%s: not a result that this program can read: \"%s\" must be an object", file,
                        home->home);
    json_object_foreach(object, name, value)
    {
        const place p = {file, home->kind ? home->kind : home->home, name, err};
        SAE_TRY(home->check(&p, value));
    }
done:
    return status;
}

static bool layout_item_ok(const json_t *root, const json_t *item)
{
    const json_t *text;

    if (json_object_size(item) != 1) return false;
    if (json_is_string(json_object_get(item, "section")) || json_is_string(json_object_get(item, "note"))) return true;
    for (int i = 0; i < N_HOMES; i++) {
        if (!homes[i].kind || !(text = json_object_get(item, homes[i].kind))) continue;
        return json_object_get(json_object_get(root, homes[i].home), json_string_value(text)) != NULL;
    }
    return false;
}

sae_status result_check(const json_t *root, const char *name, sae_error *err)
{
    const json_t *layout = json_object_get(root, "layout"), *version = json_object_get(root, "sae_result");
    size_t i;
    json_t *item;
    sae_status status = SAE_OK;

    if (!json_is_object(root) || !json_is_integer(version))
        SAE_RAISE(err, SAE_FORMAT, "%s: not a result: it has no whole number \"sae_result\" (the format's version)",
                  name);
    if (json_integer_value(version) != 1)
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: a result of format version %lld; this program reads version 1", name,
                  (long long)json_integer_value(version));
    if (!json_is_string(json_object_get(root, "name")))
        SAE_RAISE(err, SAE_FORMAT, "%s: not a result that this program can read: \"name\" must be a string", name);
    for (int h = 0; h < N_HOMES; h++) SAE_TRY(home_check(root, &homes[h], name, err));
    if (!json_is_array(layout))
        SAE_RAISE(err, SAE_FORMAT, "%s: not a result that this program can read: \"layout\" must be an array", name);
    json_array_foreach(layout, i, item)
    {
        if (!layout_item_ok(root, item))
            SAE_RAISE(err, SAE_FORMAT,
                      "%s: not a result that this program can read: item %zu of \"layout\" must have one member that "
                      "names something in the file",
                      name, i);
    }
done:
    return status;
}
