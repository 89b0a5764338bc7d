/* print.c - a result for a terminal: aligned columns, cards with the peak of each context marked. Plots are for the page. */
#include "report/page.h"

#include <math.h>
#include <string.h>

typedef struct printer {
    FILE *out;
    const json_t *root;
} printer;

static const json_t *home_get(const printer *pr, const char *home, const char *name)
{
    return json_object_get(json_object_get(pr->root, home), name);
}

/* A terminal obeys control characters: none of a result's may reach it. */
static void put_text(const printer *pr, const char *text)
{
    size_t bytes = strlen(text), length;
    char one[SYMBOL_TEXT];

    for (size_t i = 0; i < bytes; i += length) {
        text_symbol(text_next(text + i, bytes - i, &length), one);
        fputs(one, pr->out);
    }
}

static void put_spaces(const printer *pr, int n)
{
    for (int i = 0; i < n; i++) fputc(' ', pr->out);
}

/* In a field of `width` columns; the last field of a line gets no spaces after it. */
static void put_field(const printer *pr, const char *text, int width, bool right, bool last)
{
    int room = width - text_width(text);

    if (right) put_spaces(pr, room);
    put_text(pr, text);
    if (!right && !last) put_spaces(pr, room);
}

/* ---- Names and values -------------------------------------------------------------------------------------------------- */

static const char *key_label(const printer *pr, const char *key)
{
    const char *label = json_string_value(json_object_get(home_get(pr, "labels", key), "label"));

    return label ? label : key;
}

static const json_t *value_of(const json_t *number)
{
    return json_is_object(number) && json_object_get(number, "low") ? json_object_get(number, "value") : number;
}

/* A run of items of one kind, the names in one column and the values in another. */
static void put_pairs(const printer *pr, const char *home, const char *kind, size_t begin, size_t end, bool right)
{
    int decimals = right ? MEASURED : EXACT;
    char buffer[NUMBER_TEXT], low[NUMBER_TEXT], high[NUMBER_TEXT];
    int names = 0, values = 0;

    for (size_t i = begin; i < end; i++) {
        const char *key = layout_name(pr->root, i, kind);
        int value = text_width(cell_text(value_of(home_get(pr, home, key)), decimals, buffer));
        if (text_width(key_label(pr, key)) > names) names = text_width(key_label(pr, key));
        if (value > values) values = value;
    }
    for (size_t i = begin; i < end; i++) {
        const char *key = layout_name(pr->root, i, kind);
        const json_t *item = home_get(pr, home, key);
        put_field(pr, key_label(pr, key), names, false, false);
        put_spaces(pr, 2);
        put_field(pr, cell_text(value_of(item), decimals, buffer), right ? values : 0, right, true);
        if (value_of(item) != item && json_is_number(json_object_get(item, "low"))) {
            number_format(low, json_double(json_object_get(item, "low")));
            number_format(high, json_double(json_object_get(item, "high")));
            fprintf(pr->out, "  [%s, %s]", low, high);
        }
        fputc('\n', pr->out);
    }
}

/* ---- Tables ------------------------------------------------------------------------------------------------------------ */

typedef struct column {
    int width, decimals;
    bool number;
} column;

static void put_row(const printer *pr, const json_t *row, const column *columns)
{
    char buffer[NUMBER_TEXT];
    size_t c, n = json_array_size(row);
    json_t *cell;

    json_array_foreach(row, c, cell)
    {
        put_field(pr, cell_text(cell, columns[c].decimals, buffer), columns[c].width, columns[c].number, c + 1 == n);
        if (c + 1 < n) put_spaces(pr, 2);
    }
    fputc('\n', pr->out);
}

static sae_status put_table(const printer *pr, const json_t *table, sae_error *err)
{
    const json_t *names = json_object_get(table, "columns"), *rows = json_object_get(table, "rows");
    const char *title = json_string_value(json_object_get(table, "title"));
    size_t n = json_array_size(names), c, r;
    column *columns = mem_alloc_array(n, sizeof *columns, "the columns of a table", err);
    char buffer[NUMBER_TEXT];
    json_t *row;

    if (!columns) return SAE_NOMEM;
    for (c = 0; c < n; c++) {
        columns[c].number = column_is_numeric(rows, c);
        columns[c].decimals = column_decimals(rows, c);
        columns[c].width = text_width(json_string_value(json_array_get(names, c)));
        json_array_foreach(rows, r, row)
        {
            int width = text_width(cell_text(json_array_get(row, c), columns[c].decimals, buffer));
            if (width > columns[c].width) columns[c].width = width;
        }
    }
    if (*title) put_text(pr, title);
    if (*title) fputc('\n', pr->out);
    put_row(pr, names, columns);
    json_array_foreach(rows, r, row) put_row(pr, row, columns);
    mem_free(columns);
    return SAE_OK;
}

/* ---- Cards ------------------------------------------------------------------------------------------------------------- */

static void put_tokens(const printer *pr, const char *label, const json_t *tokens)
{
    size_t i;
    json_t *token;

    if (json_array_size(tokens) == 0) return;
    fprintf(pr->out, "  %-10s", label);
    json_array_foreach(tokens, i, token)
    {
        fputs(i ? "  '" : " '", pr->out);
        put_text(pr, json_string_value(token));
        fputc('\'', pr->out);
    }
    fputc('\n', pr->out);
}

static void put_context(const printer *pr, const json_t *context)
{
    const json_t *pieces = json_object_get(context, "pieces"), *strengths = json_object_get(context, "strengths");
    size_t peak = (size_t)json_integer_value(json_object_get(context, "peak")), i;
    char strength[NUMBER_TEXT];
    json_t *piece;

    number_format(strength, json_double(json_array_get(strengths, peak)));
    fprintf(pr->out, "  %8s  ", strength);
    json_array_foreach(pieces, i, piece)
    {
        if (i == peak) fputs("\xC2\xAB", pr->out); /* « » */
        put_text(pr, json_string_value(piece));
        if (i == peak) fputs("\xC2\xBB", pr->out);
    }
    fputc('\n', pr->out);
}

static void put_card(const printer *pr, const json_t *card)
{
    const json_t *contexts = json_object_get(card, "contexts");
    const char *facts = json_string_value(json_object_get(card, "facts"));
    size_t i;
    json_t *context;

    put_text(pr, json_string_value(json_object_get(card, "title")));
    if (*facts) fputs("  ", pr->out);
    put_text(pr, facts);
    fputc('\n', pr->out);
    put_tokens(pr, "promotes", json_object_get(card, "promoted"));
    put_tokens(pr, "suppresses", json_object_get(card, "suppressed"));
    json_array_foreach(contexts, i, context) put_context(pr, context);
}

/* ---- The whole --------------------------------------------------------------------------------------------------------- */

static const struct run {
    const char *kind, *home;
    bool right;
} runs[] = {{"number", "numbers", true}, {"setting", "settings", false}, {"text", "texts", false}};

/* Prints what begins at item i; *next is the item after it. */
static sae_status put_item(const printer *pr, size_t i, size_t *next, sae_error *err)
{
    size_t n = json_array_size(json_object_get(pr->root, "layout"));
    const char *name;

    for (size_t k = 0; k < sizeof runs / sizeof runs[0]; k++) {
        size_t end = i;
        while (end < n && layout_name(pr->root, end, runs[k].kind)) end++;
        if (end == i) continue;
        put_pairs(pr, runs[k].home, runs[k].kind, i, end, runs[k].right);
        *next = end;
        return SAE_OK;
    }
    *next = i + 1;
    if ((name = layout_name(pr->root, i, "table"))) return put_table(pr, home_get(pr, "tables", name), err);
    if ((name = layout_name(pr->root, i, "card"))) put_card(pr, home_get(pr, "cards", name));
    name = layout_name(pr->root, i, "section");
    if (!name) name = layout_name(pr->root, i, "note");
    if (name) put_text(pr, name);
    if (name) fputc('\n', pr->out);
    return SAE_OK;
}

sae_status report_print(FILE *out, const sae_result *result, sae_error *err)
{
    const printer pr = {out, result_json(result)};
    size_t n = json_array_size(json_object_get(pr.root, "layout"));
    bool first = true;
    sae_status status = SAE_OK;

    for (size_t i = 0; i < n;) {
        if (layout_name(pr.root, i, "plot")) {
            i++;
            continue;
        }
        if (!first) fputc('\n', out);
        first = false;
        SAE_TRY(put_item(&pr, i, &i, err));
    }
    if (ferror(out)) SAE_RAISE(err, SAE_IO, "the output took no more text");
done:
    return status;
}
