/* html_plot.c - a plot on the page: its title, legend, drawing (SVG: no script, prints well) and the numbers behind it. */
#include "report/plot.h"

#include <string.h>

enum { DATA_ROWS = 60 }; /* a longer table of data is left to the JSON file */

const char *plot_text(const json_t *plot, const char *key) { return json_string_value(json_object_get(plot, key)); }
bool plot_flag(const json_t *plot, const char *key) { return json_is_true(json_object_get(plot, key)); }
double json_at(const json_t *array, size_t i) { return json_double(json_array_get(array, i)); }

static void put_legend(page *p, const json_t *plot, const look *looks)
{
    json_t *all = json_object_get(plot, "series"), *series;
    const bool bars = strcmp(plot_text(plot, "kind"), "bar") == 0;
    const char *label;
    int i = 0;

    json_object_foreach(all, label, series)
    {
        if (json_object_size(all) == 1 && !*label) return;
        if (i == 0) page_put(p, "<ul class=\"legend%s\">", bars ? " filled" : "");
        page_put(p, "<li class=\"%s\"><span>", looks[i].classes);
        page_text(p, *label ? label : "(no name)");
        page_put(p, "</span></li>");
        i++;
    }
    if (i) page_put(p, "</ul>\n");
}

static void put_data_head(page *p, const json_t *plot)
{
    json_t *all = json_object_get(plot, "series"), *series;
    const char *label, *x_label = plot_text(plot, "x_label"), *y_label = plot_text(plot, "y_label");

    page_put(p, "<thead><tr><th scope=\"col\">");
    page_text(p, *x_label ? x_label : "x");
    page_put(p, "</th>");
    json_object_foreach(all, label, series)
    {
        page_put(p, "<th scope=\"col\" class=\"number\">");
        page_text(p, *label ? label : y_label);
        page_put(p, "</th>");
    }
    page_put(p, "</tr></thead>\n");
}

static void put_data_row(page *p, json_t *all, const json_t *x, size_t i)
{
    const json_t *at = json_array_get(x, i);
    const char *label;
    json_t *series;

    page_put(p, "<tr><th scope=\"row\">");
    if (json_is_string(at))
        page_text(p, json_string_value(at));
    else
        page_number(p, json_double(at));
    page_put(p, "</th>");
    json_object_foreach(all, label, series)
    {
        page_put(p, "<td class=\"number\">");
        page_number(p, json_at(json_object_get(series, "y"), i));
        page_put(p, "</td>");
    }
    page_put(p, "</tr>\n");
}

/* For those who cannot see the drawing, or want its numbers; only where all series share their x and are few. */
static void put_data(page *p, const json_t *plot)
{
    json_t *all = json_object_get(plot, "series"), *series, *x = NULL;
    const char *label;

    json_object_foreach(all, label, series)
    {
        if (x && !json_equal(x, json_object_get(series, "x"))) return;
        x = json_object_get(series, "x");
    }
    if (json_array_size(x) == 0 || json_array_size(x) > DATA_ROWS || json_object_size(all) > 12) return;
    page_put(p, "<details class=\"data\"><summary>Data</summary><div class=\"scroll\" tabindex=\"0\"><table>");
    put_data_head(p, plot);
    page_put(p, "<tbody>\n");
    for (size_t i = 0; i < json_array_size(x); i++) put_data_row(p, all, x, i);
    page_put(p, "</tbody></table></div></details>\n");
}

void html_plot(page *p, const json_t *plot, bool wide)
{
    const json_t *series = json_object_get(plot, "series");
    size_t n = json_object_size(series);
    look *looks = mem_alloc_array(n + 1, sizeof *looks, "the series of a plot", p->err);

    if (!looks) {
        if (p->status == SAE_OK) p->status = SAE_NOMEM;
        return;
    }
    page_looks(p, series, looks, (int)n);
    p->n_plots++;
    page_put(p, "<figure>\n<figcaption id=\"f%d\">", p->n_plots);
    page_text(p, plot_text(plot, "title"));
    page_put(p, "</figcaption>\n");
    put_legend(p, plot, looks);
    if (strcmp(plot_text(plot, "kind"), "bar") == 0)
        plot_bars(p, plot, looks, wide);
    else
        plot_curves(p, plot, looks, wide);
    put_data(p, plot);
    page_put(p, "</figure>\n");
    mem_free(looks);
}
