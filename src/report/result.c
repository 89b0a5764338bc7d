/* result.c - a result under construction: each call puts one thing in by name and notes its place on the page.
 *
 * The JSON tree is the object; jansson keeps the order of insertion. Each value is complete before it is hung into the
 * tree, so a call that fails leaves the result as it was. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sae_result {
    json_t *root;
};

const json_t *result_json(const sae_result *result) { return result->root; }

static sae_status no_memory(sae_error *err) { return SAE_FAIL(err, SAE_NOMEM, "no memory for a part of a result"); }

/* Steals `value`, which may be NULL (an earlier failure of jansson, that is: of memory). */
static sae_status member_set(json_t *object, const char *key, json_t *value, sae_error *err)
{
    return json_object_set_new(object, key, value) == 0 ? SAE_OK : no_memory(err);
}

static sae_status element_add(json_t *array, json_t *value, sae_error *err)
{
    return json_array_append_new(array, value) == 0 ? SAE_OK : no_memory(err);
}

static json_t *string_or_null(const char *text) { return text ? json_text(text) : json_null(); }

/* Names come from the program, not from data: a bad one is the caller's mistake. */
static sae_status name_check(const char *name, const char *what, sae_error *err)
{
    if (!name) return SAE_FAIL(err, SAE_RANGE, "a result: the %s is NULL", what);
    if (!text_is_utf8(name, strlen(name))) return SAE_FAIL(err, SAE_RANGE, "a result: the %s is not UTF-8", what);
    return SAE_OK;
}

/* ---- The object ------------------------------------------------------------------------------------------------------ */

static const char *const homes[] = {"settings", "inputs", "numbers", "texts", "labels", "tables", "plots", "cards"};

sae_status sae_result_create(sae_result **out, const char *name, sae_error *err)
{
    sae_status status;
    sae_result *result = NULL;

    SAE_TRY(name_check(name, "name", err));
    result = mem_alloc(sizeof *result, "a result", err);
    if (!result) return SAE_NOMEM;
    result->root = json_object();
    if (!result->root) SAE_TRY(no_memory(err));
    SAE_TRY(member_set(result->root, "sae_result", json_integer(1), err));
    SAE_TRY(member_set(result->root, "name", json_text(name), err));
    for (size_t i = 0; i < sizeof homes / sizeof homes[0]; i++)
        SAE_TRY(member_set(result->root, homes[i], json_object(), err));
    SAE_TRY(member_set(result->root, "layout", json_array(), err));
    *out = result;
    result = NULL;
done:
    sae_result_free(result);
    return status;
}

void sae_result_free(sae_result *result)
{
    if (!result) return;
    json_decref(result->root);
    mem_free(result);
}

sae_status sae_result_write(const sae_result *result, const char *path, sae_error *err)
{
    return json_write_file(result->root, path, true, err);
}

sae_status sae_result_read(sae_result **out, const char *path, sae_error *err)
{
    sae_status status;
    json_t *root = NULL;
    sae_result *result;

    SAE_TRY(json_read_file(&root, path, err));
    SAE_TRY(result_check(root, path, err));
    result = mem_alloc(sizeof *result, "a result", err);
    if (!result) {
        status = SAE_NOMEM;
        goto done;
    }
    result->root = root;
    root = NULL;
    *out = result;
done:
    json_decref(root);
    return status;
}

const char *sae_result_name(const sae_result *result)
{
    return json_string_value(json_object_get(result->root, "name"));
}

sae_status sae_result_rename(sae_result *result, const char *name, sae_error *err)
{
    sae_status status = name_check(name, "name", err);

    return status == SAE_OK ? member_set(result->root, "name", json_text(name), err) : status;
}

/* ---- Places ---------------------------------------------------------------------------------------------------------- */

/* Appends {kind: name} to the layout; steals `name`. */
static sae_status layout_add(sae_result *result, const char *kind, json_t *name, sae_error *err)
{
    json_t *item = json_object();
    sae_status status = member_set(item, kind, name, err);

    if (status != SAE_OK) {
        json_decref(item);
        return status;
    }
    return element_add(json_object_get(result->root, "layout"), item, err);
}

/* Puts `value` (stolen; NULL: no memory) as `name` into a home, and into the layout when it is new there. */
static sae_status put(sae_result *result, const char *home, const char *kind, const char *name, json_t *value,
                      sae_error *err)
{
    json_t *object = json_object_get(result->root, home);
    bool is_new;
    sae_status status = name_check(name, kind, err);

    if (status != SAE_OK) {
        json_decref(value);
        return status;
    }
    is_new = !json_object_get(object, name);
    status = member_set(object, name, value, err);
    if (status != SAE_OK || !is_new) return status;
    status = layout_add(result, kind, json_text(name), err);
    if (status != SAE_OK) json_object_del(object, name);
    return status;
}

sae_status sae_result_section(sae_result *result, const char *title, sae_error *err)
{
    return layout_add(result, "section", json_text(title), err);
}

sae_status sae_result_note(sae_result *result, const char *text, sae_error *err)
{
    return layout_add(result, "note", json_text(text), err);
}

/* ---- Numbers, texts, settings ---------------------------------------------------------------------------------------- */

sae_status sae_result_number(sae_result *result, const char *key, double value, sae_error *err)
{
    return put(result, "numbers", "number", key, json_number_or_null(value), err);
}

static sae_status interval_check(const char *key, double low, double high, sae_error *err)
{
    if (low > high)
        return SAE_FAIL(err, SAE_RANGE, "interval \"%s\": its low end %g is above its high end %g", key ? key : "", low,
                        high);
    return name_check(key, "number", err);
}

static json_t *interval_make(double value, double low, double high)
{
    return json_pack("{so so so}", "value", json_number_or_null(value), "low", json_number_or_null(low), "high",
                     json_number_or_null(high));
}

sae_status sae_result_interval(sae_result *result, const char *key, double value, double low, double high,
                               sae_error *err)
{
    sae_status status = interval_check(key, low, high, err);

    if (status != SAE_OK) return status;
    return put(result, "numbers", "number", key, interval_make(value, low, high), err);
}

sae_status sae_result_silent(sae_result *result, const char *key, double value, double low, double high, sae_error *err)
{
    sae_status status = interval_check(key, low, high, err);

    if (status != SAE_OK) return status;
    return member_set(json_object_get(result->root, "numbers"), key, interval_make(value, low, high), err);
}

sae_status sae_result_text(sae_result *result, const char *key, const char *value, sae_error *err)
{
    return put(result, "texts", "text", key, json_text(value), err);
}

sae_status sae_result_label(sae_result *result, const char *key, const char *label, const char *remark, sae_error *err)
{
    sae_status status = name_check(key, "key of a label", err);

    if (status != SAE_OK) return status;
    return member_set(json_object_get(result->root, "labels"), key,
                      json_pack("{so so}", "label", string_or_null(label), "remark", string_or_null(remark)), err);
}

double sae_result_get(const sae_result *result, const char *key, double otherwise)
{
    const json_t *value = json_object_get(json_object_get(result->root, "numbers"), key);

    if (!value) return otherwise;
    return json_double(json_is_object(value) ? json_object_get(value, "value") : value);
}

bool sae_result_get_interval(const sae_result *result, const char *key, double out[3])
{
    static const char *const members[3] = {"value", "low", "high"};
    const json_t *value = json_object_get(json_object_get(result->root, "numbers"), key);

    for (int i = 0; i < 3; i++)
        out[i] = value ? json_double(json_is_object(value) ? json_object_get(value, members[i]) : value) : NAN;
    return isfinite(out[0]);
}

const char *sae_result_get_text(const sae_result *result, const char *key, const char *otherwise)
{
    const json_t *value = json_object_get(json_object_get(result->root, "texts"), key);

    return value ? json_string_value(value) : otherwise;
}

/* null, a number, a text, or a text with the number that it stands for. */
static json_t *cell_make(sae_cell cell)
{
    bool counts = isfinite(cell.number) && (cell.number != 0 || (cell.text && text_is_numeric(cell.text)));

    if (!cell.text) return json_number_or_null(cell.number);
    if (!counts) return json_text(cell.text);
    return json_pack("{so so}", "text", json_text(cell.text), "value", json_real(cell.number));
}

sae_status sae_result_setting(sae_result *result, const char *key, sae_cell value, sae_error *err)
{
    return put(result, "settings", "setting", key, cell_make(value), err);
}

sae_status sae_result_input(sae_result *result, const char *key, uint64_t hash, sae_error *err)
{
    char text[24];
    sae_status status = name_check(key, "key of an input", err);

    if (status != SAE_OK) return status;
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    return member_set(json_object_get(result->root, "inputs"), key, json_string(text), err);
}

/* ---- Tables ---------------------------------------------------------------------------------------------------------- */

static json_t *strings_make(const char *const *texts, int64_t n)
{
    json_t *array = json_array();

    for (int64_t i = 0; i < n; i++) {
        if (json_array_append_new(array, json_text(texts[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

sae_status sae_result_table(sae_result *result, const char *table, const char *title, const char *const *columns,
                            int n_columns, sae_error *err)
{
    if (n_columns < 1)
        return SAE_FAIL(err, SAE_SHAPE, "table \"%s\": a table needs at least one column", table ? table : "");
    return put(result, "tables", "table", table,
               json_pack("{so so so}", "title", json_text(title ? title : ""), "columns",
                         strings_make(columns, n_columns), "rows", json_array()),
               err);
}

sae_status sae_result_row(sae_result *result, const char *table, const sae_cell *cells, int n_cells, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *home = json_object_get(json_object_get(result->root, "tables"), table);
    json_t *row = NULL;
    size_t n_columns = json_array_size(json_object_get(home, "columns"));

    if (!home) SAE_RAISE(err, SAE_STATE, "a row for table \"%s\", which was not begun", table ? table : "");
    if (n_cells < 0 || (size_t)n_cells != n_columns)
        SAE_RAISE(err, SAE_SHAPE, "table \"%s\": a row of %d cells for %zu columns", table, n_cells, n_columns);
    row = json_array();
    for (int i = 0; i < n_cells; i++) SAE_TRY(element_add(row, cell_make(cells[i]), err));
    status = element_add(json_object_get(home, "rows"), row, err);
    row = NULL;
done:
    json_decref(row);
    return status;
}

/* ---- Plots ----------------------------------------------------------------------------------------------------------- */

static const char *kind_name(sae_plot_kind kind)
{
    return kind == SAE_PLOT_LINE ? "line" : kind == SAE_PLOT_STEP ? "step" : "bar";
}

sae_status sae_result_plot(sae_result *result, const char *plot, const char *title, const char *x_label,
                           const char *y_label, sae_plot_kind kind, int flags, sae_error *err)
{
    return put(result, "plots", "plot", plot,
               json_pack("{so so so ss sb sb so so}", "title", json_text(title ? title : ""), "x_label",
                         json_text(x_label ? x_label : ""), "y_label", json_text(y_label ? y_label : ""), "kind",
                         kind_name(kind), "log_x", (flags & SAE_PLOT_LOG_X) != 0, "log_y",
                         (flags & SAE_PLOT_LOG_Y) != 0, "series", json_object(), "lines", json_object()),
               err);
}

/* The plot of that name, made when it is new; an error when it stands for the other sort of data. */
static sae_status plot_for(sae_result *result, const char *plot, bool bars, json_t **out, sae_error *err)
{
    json_t *plots = json_object_get(result->root, "plots");
    json_t *found = json_object_get(plots, plot);
    sae_status status = SAE_OK;

    if (!found) {
        SAE_TRY(sae_result_plot(result, plot, plot, NULL, NULL, bars ? SAE_PLOT_BAR : SAE_PLOT_LINE, 0, err));
        found = json_object_get(plots, plot);
    }
    if (bars != (strcmp(json_string_value(json_object_get(found, "kind")), "bar") == 0))
        SAE_RAISE(err, SAE_STATE, "plot \"%s\" is %sa bar plot: its data come by %s", plot, bars ? "not " : "",
                  bars ? "sae_result_series" : "sae_result_bars");
    *out = found;
done:
    return status;
}

static json_t *reals_make(const double *values, int64_t n)
{
    json_t *array = json_array();

    for (int64_t i = 0; i < n; i++) {
        if (json_array_append_new(array, json_number_or_null(values[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* Steals x and names (NULL: none). */
static sae_status series_add(sae_result *result, const char *plot, const char *label, bool bars, json_t *x,
                             const double *y, const double *low, const double *high, json_t *names, int64_t n,
                             sae_error *err)
{
    sae_status status;
    json_t *home = NULL;
    json_t *series = json_pack("{so so}", "x", x, "y", reals_make(y, n));

    if (!series) {
        json_decref(names);
        return no_memory(err);
    }
    if (names) SAE_TRY(member_set(series, "names", names, err));
    if ((low == NULL) != (high == NULL))
        SAE_RAISE(err, SAE_RANGE, "plot \"%s\": low and high must come together", plot ? plot : "");
    if (low) {
        SAE_TRY(member_set(series, "low", reals_make(low, n), err));
        SAE_TRY(member_set(series, "high", reals_make(high, n), err));
    }
    SAE_TRY(name_check(label, "label of a series", err));
    SAE_TRY(name_check(plot, "name of a plot", err));
    SAE_TRY(plot_for(result, plot, bars, &home, err));
    SAE_TRY(member_set(json_object_get(home, "series"), label, json_incref(series), err));
done:
    json_decref(series);
    return status;
}

sae_status sae_result_series(sae_result *result, const char *plot, const char *label, const double *x, const double *y,
                             int64_t n, sae_error *err)
{
    return series_add(result, plot, label, false, reals_make(x, n), y, NULL, NULL, NULL, n, err);
}

sae_status sae_result_points(sae_result *result, const char *plot, const char *label, const double *x, const double *y,
                             const char *const *names, int64_t n, sae_error *err)
{
    json_t *list = strings_make(names, n);

    if (!list) return no_memory(err);
    return series_add(result, plot, label, false, reals_make(x, n), y, NULL, NULL, list, n, err);
}

sae_status sae_result_series_interval(sae_result *result, const char *plot, const char *label, const double *x,
                                      const double *y, const double *low, const double *high, int64_t n, sae_error *err)
{
    return series_add(result, plot, label, false, reals_make(x, n), y, low, high, NULL, n, err);
}

sae_status sae_result_bars(sae_result *result, const char *plot, const char *label, const char *const *categories,
                           const double *y, const double *low, const double *high, int64_t n, sae_error *err)
{
    return series_add(result, plot, label, true, strings_make(categories, n), y, low, high, NULL, n, err);
}

sae_status sae_result_control(sae_result *result, const char *plot, const char *label, sae_error *err)
{
    const json_t *home = plot ? json_object_get(json_object_get(result->root, "plots"), plot) : NULL;
    json_t *series = label ? json_object_get(json_object_get(home, "series"), label) : NULL;

    if (!series)
        return SAE_FAIL(err, SAE_STATE, "plot \"%s\" has no series \"%s\": put it in before it is called a control",
                        plot ? plot : "", label ? label : "");
    return member_set(series, "control", json_true(), err);
}

sae_status sae_result_line(sae_result *result, const char *plot, const char *label, bool vertical, double at,
                           sae_error *err)
{
    json_t *home = plot ? json_object_get(json_object_get(result->root, "plots"), plot) : NULL;
    sae_status status = name_check(label, "label of a line", err);

    if (status != SAE_OK) return status;
    if (!home) return SAE_FAIL(err, SAE_STATE, "a line for plot \"%s\", which was not begun", plot ? plot : "");
    return member_set(json_object_get(home, "lines"), label,
                      json_pack("{sb so}", "vertical", vertical, "at", json_number_or_null(at)), err);
}

/* ---- Cards ----------------------------------------------------------------------------------------------------------- */

/* "a\nb" as ["a", "b"]; NULL as null; "" as []. */
static json_t *pieces_split(const char *text)
{
    json_t *array;
    char *copy, *rest;

    if (!text) return json_null();
    array = json_array();
    copy = mem_strdup(text, NULL);
    rest = *text ? copy : NULL;
    while (array && rest) {
        char *end = strchr(rest, '\n');
        if (end) *end = '\0';
        if (json_array_append_new(array, json_text(rest)) != 0) {
            json_decref(array);
            array = NULL;
        }
        rest = end ? end + 1 : NULL;
    }
    if (!copy) {
        json_decref(array);
        array = NULL;
    }
    mem_free(copy);
    return array;
}

sae_status sae_result_card(sae_result *result, const char *group, const char *id, const char *title, const char *facts,
                           const char *promoted, const char *suppressed, sae_error *err)
{
    return put(result, "cards", "card", id,
               json_pack("{so so so so so so}", "group", json_text(group ? group : ""), "title",
                         json_text(title ? title : ""), "facts", json_text(facts ? facts : ""), "promoted",
                         pieces_split(promoted), "suppressed", pieces_split(suppressed), "contexts", json_array()),
               err);
}

sae_status sae_result_context(sae_result *result, const char *card_id, const char *const *pieces,
                              const double *strengths, int64_t n, int64_t peak, sae_error *err)
{
    const json_t *card = card_id ? json_object_get(json_object_get(result->root, "cards"), card_id) : NULL;

    if (!card)
        return SAE_FAIL(err, SAE_STATE, "a context for card \"%s\", which was not begun", card_id ? card_id : "");
    if (n < 0 || peak < -1 || peak >= n)
        return SAE_FAIL(err, SAE_RANGE, "card \"%s\": the peak %lld lies outside its context of %lld pieces", card_id,
                        (long long)peak, (long long)n);
    return element_add(json_object_get(card, "contexts"),
                       json_pack("{so so sI}", "pieces", strings_make(pieces, n), "strengths", reals_make(strengths, n),
                                 "peak", (json_int_t)peak),
                       err);
}
