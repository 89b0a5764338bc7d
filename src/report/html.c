/* html.c - the page: results in their order of insertion, runs of like items laid out together, a table of contents. */
#include "report/page.h"

#include <string.h>

const char *layout_name(const json_t *root, size_t i, const char *kind)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(root, "layout"), i), kind));
}

/* The end of the run of items of one kind that begins at `begin`. */
static size_t run_end(const json_t *root, size_t begin, const char *kind)
{
    size_t n = json_array_size(json_object_get(root, "layout")), i = begin;

    while (i < n && layout_name(root, i, kind)) i++;
    return i;
}

/* Paragraphs of plain text; an empty line parts them. */
static void put_note(page *p, const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        size_t length = end ? (size_t)(end - text) : strlen(text);
        char *paragraph = text_clean(text, length, p->err);

        if (!paragraph) {
            if (p->status == SAE_OK) p->status = SAE_NOMEM;
            return;
        }
        for (char *c = paragraph; *c; c++)
            if (*c == '\n') *c = ' ';
        page_put(p, "<p class=\"note\">");
        page_text(p, paragraph);
        page_put(p, "</p>\n");
        mem_free(paragraph);
        text += length;
        while (*text == '\n') text++;
    }
}

static void put_plots(page *p, const json_t *root, size_t begin, size_t end)
{
    page_put(p, "<div class=\"plots%s\">\n", end - begin == 1 ? " single" : "");
    for (size_t i = begin; i < end; i++)
        html_plot(p, json_object_get(json_object_get(root, "plots"), layout_name(root, i, "plot")), end - begin == 1);
    page_put(p, "</div>\n");
}

/* Draws what begins at item i; gives the item after it. */
static size_t put_items(page *p, const json_t *root, size_t i)
{
    const char *name;
    size_t end;

    if ((end = run_end(root, i, "number")) > i) {
        html_numbers(p, root, i, end);
    } else if ((end = run_end(root, i, "setting")) > i) {
        html_list(p, root, "settings", "setting", i, end);
    } else if ((end = run_end(root, i, "text")) > i) {
        html_list(p, root, "texts", "text", i, end);
    } else if ((end = run_end(root, i, "plot")) > i) {
        put_plots(p, root, i, end);
    } else if ((end = run_end(root, i, "card")) > i) {
        html_cards(p, root, i, end);
    } else {
        end = i + 1;
        if ((name = layout_name(root, i, "table")))
            html_table(p, json_object_get(json_object_get(root, "tables"), name));
        if ((name = layout_name(root, i, "note"))) put_note(p, name);
    }
    return end;
}

static void put_inputs(page *p, const json_t *root)
{
    json_t *inputs = json_object_get(root, "inputs"), *hash;
    const char *key;

    if (json_object_size(inputs) == 0) return;
    page_put(p, "<p class=\"inputs\">Computed from:");
    json_object_foreach(inputs, key, hash)
    {
        page_put(p, " <span>");
        page_text(p, key);
        page_put(p, " <code>");
        page_text(p, json_string_value(hash));
        page_put(p, "</code></span>");
    }
    page_put(p, "</p>\n");
}

static void put_result(page *p, const json_t *root, bool named)
{
    size_t n = json_array_size(json_object_get(root, "layout"));
    bool open = false;

    if (named) {
        page_put(p, "<h2 class=\"result\" id=\"s%d\">", p->n_sections++);
        page_text(p, json_string_value(json_object_get(root, "name")));
        page_put(p, "</h2>\n");
    }
    for (size_t i = 0; i < n;) {
        const char *section = layout_name(root, i, "section");
        if (section) {
            page_put(p, "%s<section>\n<%s id=\"s%d\">", open ? "</section>\n" : "", named ? "h3" : "h2",
                     p->n_sections++);
            page_text(p, section);
            page_put(p, "</%s>\n", named ? "h3" : "h2");
            open = true;
            i++;
        } else {
            i = put_items(p, root, i);
        }
    }
    if (open) page_put(p, "</section>\n");
    put_inputs(p, root);
}

/* Numbers its entries as put_result numbers the headings. */
static void put_contents(page *p, const sae_result *const *results, int n_results)
{
    int n_headings = 0;

    page_put(p, "<nav aria-label=\"Contents\"><details open><summary>Contents</summary><ul>\n");
    for (int r = 0; r < n_results; r++) {
        const json_t *root = result_json(results[r]);
        size_t n = json_array_size(json_object_get(root, "layout"));
        if (n_results > 1) {
            page_put(p, "<li class=\"result\"><a href=\"#s%d\">", n_headings++);
            page_text(p, json_string_value(json_object_get(root, "name")));
            page_put(p, "</a></li>\n");
        }
        for (size_t i = 0; i < n; i++) {
            const char *section = layout_name(root, i, "section");
            if (!section) continue;
            page_put(p, "<li><a href=\"#s%d\">", n_headings++);
            page_text(p, section);
            page_put(p, "</a></li>\n");
        }
    }
    page_put(p, "</ul></details></nav>\n");
}

static void put_page(page *p, const char *title, const sae_result *const *results, int n_results)
{
    page_put(p,
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             "<meta name=\"color-scheme\" content=\"light dark\">\n"
             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
             "script-src '%s'\">\n<title>",
             page_script_hash);
    page_attribute(p, title);
    page_put(p, "</title>\n<style>\n");
    for (int i = 0; page_style[i]; i++) page_put(p, "%s", page_style[i]);
    page_put(p, "</style>\n</head>\n<body>\n<header><h1>");
    page_text(p, title);
    page_put(p, "</h1></header>\n<div class=\"columns\">\n");
    put_contents(p, results, n_results);
    page_put(p, "<main>\n");
    for (int r = 0; r < n_results; r++) put_result(p, result_json(results[r]), n_results > 1);
    if (n_results == 0) page_put(p, "<p class=\"note\">There are no results yet.</p>\n");
    page_put(p,
             "</main>\n</div>\n<footer>Written by sae %s. Everything on this page is in this one file; the numbers "
             "behind it are in the JSON files of the run.</footer>\n<script>%s</script>\n</body>\n</html>\n",
             sae_version(), page_script);
}

sae_status sae_report_write(const char *path, const char *title, const sae_result *const *results, int n_results,
                            bool force, sae_error *err)
{
    page p = {.err = err, .colours = json_object()};
    sae_status status = SAE_OK;

    if (!p.colours) SAE_RAISE(err, SAE_NOMEM, "no memory for the colours of a page");
    put_page(&p, title, results, n_results);
    SAE_TRY(p.status);
    SAE_TRY(file_write_text(path, p.text, p.used, force, err));
done:
    json_decref(p.colours);
    mem_free(p.text);
    return status;
}
