/* html_table.c - numbers as tiles or a table, settings and texts as lists, tables with their numbers in line. */
#include "report/page.h"

#include <math.h>
#include <string.h>

enum { MAX_TILES = 12 }; /* more numbers than that in one place are a table */

static const json_t *home_get(const json_t *root, const char *home, const char *name)
{
    return json_object_get(json_object_get(root, home), name);
}

/* ---- Cells ----------------------------------------------------------------------------------------------------------- */

static double cell_value(const json_t *cell)
{
    return json_double(json_is_object(cell) ? json_object_get(cell, "value") : cell);
}

static const char *cell_own_text(const json_t *cell)
{
    return json_string_value(json_is_object(cell) ? json_object_get(cell, "text") : cell);
}

const char *cell_text(const json_t *cell, int decimals, char buffer[NUMBER_TEXT])
{
    const char *text = cell_own_text(cell);
    double value = cell_value(cell);

    if (text) return text;
    if (decimals == EXACT) {
        number_format_exact(buffer, value);
    } else if (decimals == MEASURED || !isfinite(value) || fabs(value) >= 999.95) {
        number_format(buffer, value);
    } else {
        snprintf(buffer, NUMBER_TEXT, "%s%.*f", value < 0 ? "\xE2\x88\x92" : "", decimals, fabs(value));
    }
    return buffer;
}

bool column_is_numeric(const json_t *rows, size_t column)
{
    bool some = false;

    for (size_t r = 0; r < json_array_size(rows); r++) {
        const json_t *cell = json_array_get(json_array_get(rows, r), column);
        const char *text = cell_own_text(cell);
        if (text && *text && !text_is_numeric(text) && text_width(text) > 1) return false; /* a lone dash may stand */
        some = some || !text || text_is_numeric(text);
    }
    return some;
}

int column_decimals(const json_t *rows, size_t column)
{
    double smallest = INFINITY, largest = 0;
    bool whole = true;

    for (size_t r = 0; r < json_array_size(rows); r++) {
        const json_t *cell = json_array_get(json_array_get(rows, r), column);
        double size = fabs(cell_value(cell));
        if (cell_own_text(cell) || !isfinite(size) || size == 0) continue;
        smallest = fmin(smallest, size);
        largest = fmax(largest, size);
        whole = whole && size == floor(size);
    }
    if (largest == 0 || whole) return MEASURED;
    if (largest > 1000 * smallest || smallest < 1e-5) return MEASURED; /* of different kinds: no common form */
    int decimals = 3 - (int)floor(log10(largest));
    return decimals < 0 ? 0 : decimals;
}

/* Looked at once: a table may be long. */
typedef struct column {
    bool number;
    int decimals;
} column;

static void put_head(page *p, const json_t *names, const column *columns)
{
    size_t c;
    json_t *name;

    page_put(p, "<thead><tr>");
    json_array_foreach(names, c, name)
    {
        page_put(p, "<th scope=\"col\"%s>", columns[c].number ? " class=\"number\"" : "");
        page_text(p, json_string_value(name));
        page_put(p, "</th>");
    }
    page_put(p, "</tr></thead>\n");
}

static void put_row(page *p, const json_t *row, const column *columns)
{
    char buffer[NUMBER_TEXT];
    size_t c;
    json_t *cell;

    page_put(p, "<tr>");
    json_array_foreach(row, c, cell)
    {
        bool head = c == 0 && !columns[c].number;
        page_put(p, head ? "<th scope=\"row\">" : columns[c].number ? "<td class=\"number\">" : "<td>");
        page_text(p, cell_text(cell, columns[c].decimals, buffer));
        page_put(p, head ? "</th>" : "</td>");
    }
    page_put(p, "</tr>\n");
}

void html_table(page *p, const json_t *table)
{
    const json_t *names = json_object_get(table, "columns"), *rows = json_object_get(table, "rows");
    const char *title = json_string_value(json_object_get(table, "title"));
    size_t n_columns = json_array_size(names), r;
    column *columns = mem_alloc_array(n_columns, sizeof *columns, "the columns of a table", p->err);
    json_t *row;

    if (!columns) {
        if (p->status == SAE_OK) p->status = SAE_NOMEM;
        return;
    }
    for (size_t c = 0; c < n_columns; c++) columns[c] = (column){column_is_numeric(rows, c), column_decimals(rows, c)};
    page_put(p, "<div class=\"scroll\" tabindex=\"0\"><table>\n");
    if (*title) {
        page_put(p, "<caption>");
        page_text(p, title);
        page_put(p, "</caption>\n");
    }
    put_head(p, names, columns);
    page_put(p, "<tbody>\n");
    json_array_foreach(rows, r, row) put_row(p, row, columns);
    if (r == 0) page_put(p, "<tr><td class=\"empty\" colspan=\"%zu\">no rows</td></tr>\n", n_columns);
    page_put(p, "</tbody></table></div>\n");
    mem_free(columns);
}

/* ---- Numbers --------------------------------------------------------------------------------------------------------- */

static const char *label_text(const json_t *root, const char *key, const char *member)
{
    return json_string_value(json_object_get(home_get(root, "labels", key), member));
}

static void put_label(page *p, const json_t *root, const char *key)
{
    const char *label = label_text(root, key, "label");

    page_text(p, label ? label : key);
}

static bool has_interval(const json_t *number) { return json_is_number(json_object_get(number, "low")); }

static void put_interval(page *p, const json_t *number)
{
    page_number(p, json_double(json_object_get(number, "low")));
    page_put(p, " to ");
    page_number(p, json_double(json_object_get(number, "high")));
}

static double number_value(const json_t *number)
{
    return json_double(json_is_object(number) ? json_object_get(number, "value") : number);
}

static void number_tile(page *p, const json_t *root, const char *key)
{
    const json_t *number = home_get(root, "numbers", key);
    const char *remark = label_text(root, key, "remark");

    page_put(p, "<div class=\"tile\"><dt>");
    put_label(p, root, key);
    page_put(p, "</dt><dd class=\"value\">");
    page_number(p, number_value(number));
    page_put(p, "</dd>");
    if (has_interval(number)) {
        page_put(p, "<dd class=\"interval\">");
        put_interval(p, number);
        page_put(p, "</dd>");
    }
    if (remark) {
        page_put(p, "<dd class=\"remark\">");
        page_text(p, remark);
        page_put(p, "</dd>");
    }
    page_put(p, "</div>\n");
}

static void number_row(page *p, const json_t *root, const char *key, bool intervals, bool remarks)
{
    const json_t *number = home_get(root, "numbers", key);
    const char *remark = label_text(root, key, "remark");

    page_put(p, "<tr><th scope=\"row\">");
    put_label(p, root, key);
    page_put(p, "</th><td class=\"number\">");
    page_number(p, number_value(number));
    page_put(p, "</td>");
    if (intervals) {
        page_put(p, "<td class=\"number\">");
        if (has_interval(number)) put_interval(p, number);
        page_put(p, "</td>");
    }
    if (remarks) {
        page_put(p, "<td>");
        if (remark) page_text(p, remark);
        page_put(p, "</td>");
    }
    page_put(p, "</tr>\n");
}

/* Rows of equal length where that can be had. */
static int tile_columns(size_t n)
{
    for (int columns = 5; columns >= 3; columns--)
        if (n % (size_t)columns == 0) return columns;
    return n > 5 ? 4 : 5;
}

void html_numbers(page *p, const json_t *root, size_t begin, size_t end)
{
    bool intervals = false, remarks = false;

    if (end - begin <= MAX_TILES) {
        page_put(p, "<dl class=\"tiles t%d\">\n", tile_columns(end - begin));
        for (size_t i = begin; i < end; i++) number_tile(p, root, layout_name(root, i, "number"));
        page_put(p, "</dl>\n");
        return;
    }
    for (size_t i = begin; i < end; i++) {
        const char *key = layout_name(root, i, "number");
        intervals = intervals || has_interval(home_get(root, "numbers", key));
        remarks = remarks || label_text(root, key, "remark");
    }
    page_put(p,
             "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Measure</th>"
             "<th scope=\"col\" class=\"number\">Value</th>%s%s</tr></thead>\n<tbody>\n",
             intervals ? "<th scope=\"col\" class=\"number\">Interval</th>" : "",
             remarks ? "<th scope=\"col\">Remark</th>" : "");
    for (size_t i = begin; i < end; i++) number_row(p, root, layout_name(root, i, "number"), intervals, remarks);
    page_put(p, "</tbody></table></div>\n");
}

/* Settings and texts: names and what they are. */
void html_list(page *p, const json_t *root, const char *home, const char *kind, size_t begin, size_t end)
{
    char buffer[NUMBER_TEXT];

    page_put(p, "<dl class=\"list %s\">\n", kind);
    for (size_t i = begin; i < end; i++) {
        const char *key = layout_name(root, i, kind), *remark = label_text(root, key, "remark");
        page_put(p, "<div><dt>");
        put_label(p, root, key);
        page_put(p, "</dt><dd>");
        page_text(p, cell_text(home_get(root, home, key), EXACT, buffer));
        if (remark) {
            page_put(p, " <span class=\"remark\">");
            page_text(p, remark);
            page_put(p, "</span>");
        }
        page_put(p, "</dd></div>\n");
    }
    page_put(p, "</dl>\n");
}
