/* plot_bars.c - groups of bars over named categories, upright, or lying when the names are too long to stand below.
 *
 * Everything is computed as (along, value): "along" runs over the categories, and only the last step turns it. */
#include "report/plot.h"

#include <math.h>
#include <string.h>

enum {
    MAX_CATEGORIES = 200, /* more are left out, and the plot says so */
    BAR_ROW = 14,         /* height of a lying bar */
    GROUP_GAP = 10,
    VALUES_UP_TO = 48, /* bars that carry their value in writing */
};

typedef struct bars {
    const char *names[MAX_CATEGORIES];
    size_t n_names, n_left_out, n_series;
    bool lying;
    scale values;
    int decimals;       /* of the values in writing; -1: each by itself */
    double begin, slot; /* along: the first group's start, and a group's room */
    frame f;
} bars;

static bool has_name(const bars *b, const char *name)
{
    for (size_t i = 0; i < b->n_names; i++)
        if (strcmp(b->names[i], name) == 0) return true;
    return false;
}

/* Series may lack a category, or bring one of their own. */
static void names_collect(const json_t *plot, bars *b)
{
    json_t *all = json_object_get(plot, "series"), *series, *name;
    const char *label;
    size_t i;

    json_object_foreach(all, label, series)
    {
        json_array_foreach(json_object_get(series, "x"), i, name)
        {
            if (has_name(b, json_string_value(name))) continue;
            if (b->n_names < MAX_CATEGORIES)
                b->names[b->n_names++] = json_string_value(name);
            else
                b->n_left_out++;
        }
    }
    b->n_series = json_object_size(all);
}

static bool values_scale(const json_t *plot, bars *b, const plot_line *lines, int n_lines)
{
    json_t *all = json_object_get(plot, "series"), *series;
    bool log = plot_flag(plot, "log_y");
    extent e = {0};
    const char *label;

    json_object_foreach(all, label, series)
    {
        static const char *const keys[] = {"y", "low", "high"};
        for (int k = 0; k < 3; k++) {
            const json_t *values = json_object_get(series, keys[k]);
            for (size_t i = 0; i < json_array_size(values); i++) extent_add(&e, json_at(values, i), log);
        }
    }
    double size = fmax(fabs(e.low), fabs(e.high));
    b->decimals = !log && size >= 1e-3 && size < 1000 ? (int)fmax(0, 2 - floor(log10(size))) : -1;
    bool any = e.any;
    for (int i = 0; i < n_lines; i++) extent_add(&e, lines[i].at, log);
    extent_add(&e, 0, log); /* a bar's length is its value */
    b->values = scale_make(e, log, true, 5);
    return any;
}

static int widest_name(const bars *b)
{
    int widest = 0;

    for (size_t i = 0; i < b->n_names; i++)
        if (text_width(b->names[i]) > widest) widest = text_width(b->names[i]);
    return widest;
}

/* ---- Places ------------------------------------------------------------------------------------------------------------ */

static void layout_lying(bars *b, const json_t *plot, int n_lines)
{
    frame *f = &b->f;
    double names = LETTER * widest_name(b) + 12;

    f->left = fmin(names, 0.42 * f->width);
    f->right = f->width - 58; /* the values stand there */
    f->top = 10 + LINE_ROW * n_lines;
    b->begin = f->top;
    b->slot = (double)(BAR_ROW * (int)b->n_series + GROUP_GAP);
    f->bottom = f->top + b->slot * (double)b->n_names;
    f->height = (int)f->bottom + (*plot_text(plot, "y_label") || b->values.exponent ? 40 : 24);
    scale_place(&b->values, f->left, f->right);
}

static void layout_upright(bars *b, const json_t *plot, const plot_line *lines, int n_lines)
{
    frame *f = &b->f;

    f->height = f->width > PLOT_WIDTH ? 330 : 270;
    f->left = plot_tick_room(&b->values);
    f->right = f->width - 12 - plot_lines_room(f, lines, n_lines);
    f->top = 28;
    f->bottom = f->height - (*plot_text(plot, "x_label") ? 40 : 24);
    b->begin = f->left;
    b->slot = (f->right - f->left) / (double)b->n_names;
    scale_place(&b->values, f->bottom, f->top);
}

static void put_rectangle(page *p, const bars *b, double along, double thick, double from, double to)
{
    double low = fmin(from, to), size = fabs(to - from);

    if (b->lying)
        page_put(p, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\">", low, along, size, thick);
    else
        page_put(p, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\">", along, low, thick, size);
}

static void put_whisker(page *p, const bars *b, double along, double low, double high)
{
    if (b->lying)
        page_put(p, "<path class=\"whisker\" d=\"M%.1f %.1fH%.1fM%.1f %.1fv6M%.1f %.1fv6\"/>", low, along, high, low,
                 along - 3, high, along - 3);
    else
        page_put(p, "<path class=\"whisker\" d=\"M%.1f %.1fV%.1fM%.1f %.1fh6M%.1f %.1fh6\"/>", along, low, high,
                 along - 3, low, along - 3, high);
}

/* The value in writing at the free end of a bar, where there is room for it. */
static void put_value(page *p, const bars *b, double along, double thick, double end, double value)
{
    char text[NUMBER_TEXT];

    if (b->n_names * b->n_series > VALUES_UP_TO) return;
    if (b->decimals < 0 || fabs(value) >= 999.5)
        number_format(text, value);
    else
        snprintf(text, sizeof text, "%s%.*f", value < 0 ? "\xE2\x88\x92" : "", b->decimals, fabs(value));
    if (b->lying)
        page_put(p, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">%s</text>", end + 5, along + thick / 2 + 4, text);
    else if (LETTER * text_width(text) <= thick + 8)
        page_put(p, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>", along + thick / 2,
                 end - 5, text);
}

/* ---- Drawing ----------------------------------------------------------------------------------------------------------- */

static void put_bar(page *p, const bars *b, const json_t *series, const char *label, size_t i, double along,
                    double thick)
{
    const json_t *lows = json_object_get(series, "low");
    double value = json_at(json_object_get(series, "y"), i), end, low, high, far;
    double foot = scale_at(&b->values, b->values.log ? b->values.low : 0);

    if (!scale_shows(&b->values, value)) return;
    end = far = scale_at(&b->values, value);
    put_rectangle(p, b, along, thick, foot, end);
    page_put(p, "<title>");
    page_attribute(p, label);
    page_put(p, "%s", *label ? "\n" : "");
    page_attribute(p, json_string_value(json_array_get(json_object_get(series, "x"), i)));
    page_put(p, ": ");
    page_number(p, value);
    page_put(p, "</title></rect>");
    low = json_at(lows, i);
    high = json_at(json_object_get(series, "high"), i);
    if (lows && scale_shows(&b->values, low) && scale_shows(&b->values, high)) {
        low = scale_at(&b->values, low);
        high = scale_at(&b->values, high);
        put_whisker(p, b, along + thick / 2, low, high);
        far = b->lying ? fmax(far, fmax(low, high)) : fmin(far, fmin(low, high));
    }
    if (b->lying && value < 0) far = fmax(far, foot);
    put_value(p, b, along, thick, far, value);
    page_put(p, "\n");
}

static void put_all_bars(page *p, const bars *b, const json_t *plot, const look *looks)
{
    json_t *all = json_object_get(plot, "series"), *series, *name;
    double gap = b->lying ? GROUP_GAP : fmin(0.25 * b->slot, 16), thick = (b->slot - gap) / (double)b->n_series;
    const char *label;
    size_t i, s = 0;

    json_object_foreach(all, label, series)
    {
        page_put(p, "<g class=\"bars %s\">\n", looks[s].classes);
        json_array_foreach(json_object_get(series, "x"), i, name)
        {
            for (size_t c = 0; c < b->n_names; c++) {
                if (strcmp(b->names[c], json_string_value(name)) != 0) continue;
                put_bar(p, b, series, label, i, b->begin + b->slot * (double)c + gap / 2 + thick * (double)s,
                        thick > 4 ? thick - 1.5 : thick);
            }
        }
        page_put(p, "</g>\n");
        s++;
    }
}

static void put_names(page *p, const bars *b)
{
    size_t stride = 1;

    while (!b->lying && LETTER * widest_name(b) > b->slot * (double)stride && stride < b->n_names) stride++;
    for (size_t c = 0; c < b->n_names; c += stride) {
        double middle = b->begin + b->slot * ((double)c + 0.5);
        if (b->lying)
            page_put(p, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", b->f.left - 8, middle + 4);
        else
            page_put(p, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", middle, b->f.bottom + 16);
        page_text_cut(p, b->names[c], b->lying ? (int)((b->f.left - 8) / LETTER) : 0);
        page_put(p, "<title>");
        page_attribute(p, b->names[c]);
        page_put(p, "</title></text>\n");
    }
    if (b->n_left_out)
        page_put(p, "<text class=\"empty\" x=\"%.1f\" y=\"12\" text-anchor=\"end\">%zu more left out</text>\n",
                 b->f.right, b->n_left_out);
}

void plot_bars(page *p, const json_t *plot, const look *looks, bool wide)
{
    bars b = {.f = {.width = wide ? PLOT_WIDE : PLOT_WIDTH}};
    plot_line lines[MAX_LINES];
    int n_lines = plot_lines(plot, false, lines);
    scale names = {.suffix = "", .unit = 1};
    bool any;

    names_collect(plot, &b);
    any = values_scale(plot, &b, lines, n_lines);
    layout_upright(&b, plot, lines, n_lines);
    b.lying = b.n_names > 0 && b.n_names <= VALUES_UP_TO && LETTER * widest_name(&b) > b.slot;
    if (b.lying) layout_lying(&b, plot, n_lines);
    if (!any) b.f.height = PLOT_EMPTY_HEIGHT;
    plot_open(p, &b.f);
    if (!any) {
        plot_empty(p, &b.f);
    } else if (b.lying) {
        plot_axis_x(p, &b.f, &b.values, plot_text(plot, "y_label"));
        put_all_bars(p, &b, plot, looks);
        plot_lines_x(p, &b.f, &b.values, lines, n_lines);
        put_names(p, &b);
    } else {
        plot_axis_y(p, &b.f, &b.values, plot_text(plot, "y_label"));
        plot_axis_x(p, &b.f, &names, plot_text(plot, "x_label"));
        put_all_bars(p, &b, plot, looks);
        plot_lines_y(p, &b.f, &b.values, lines, n_lines);
        put_names(p, &b);
    }
    plot_close(p);
}
