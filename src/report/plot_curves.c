/* plot_curves.c - curves with bands and markers, named points, and histograms as steps. A value that cannot be shown is a gap. */
#include "report/plot.h"

#include <math.h>
#include <string.h>

enum {
    MARKERS_UP_TO = 40, /* points of a series; more are a curve without markers */
    HOVERS_UP_TO = 120, /* places of a series that answer to the pointer */
};

typedef struct curve {
    const json_t *x, *y, *low, *high;
    const json_t *names; /* of points by themselves; NULL: a curve */
    size_t n;
    const char *label;
} curve;

typedef struct area {
    scale x, y;
    bool steps;
} area;

static curve curve_of(const char *label, const json_t *series)
{
    return (curve){.x = json_object_get(series, "x"),
                   .y = json_object_get(series, "y"),
                   .low = json_object_get(series, "low"),
                   .high = json_object_get(series, "high"),
                   .names = json_object_get(series, "names"),
                   .n = json_array_size(json_object_get(series, "y")),
                   .label = label};
}

/* Where a bin ends: at the next one's start; the last is as wide as the one before it. */
static double bin_end(const curve *c, size_t i)
{
    if (i + 1 < c->n) return json_at(c->x, i + 1);
    return c->n > 1 ? 2 * json_at(c->x, i) - json_at(c->x, i - 1) : json_at(c->x, i) + 1;
}

/* Whether point i of `heights` can be drawn; its place. */
static bool point_at(const curve *c, size_t i, const json_t *heights, const area *a, double *x, double *y)
{
    double vx = json_at(c->x, i), vy = json_at(heights, i);

    if (!scale_shows(&a->x, vx) || !scale_shows(&a->y, vy)) return false;
    *x = scale_at(&a->x, vx);
    *y = scale_at(&a->y, vy);
    return true;
}

/* ---- Scales ------------------------------------------------------------------------------------------------------------ */

static void extend(const curve *c, bool steps, bool log_x, bool log_y, extent *ex, extent *ey)
{
    for (size_t i = 0; i < c->n; i++) {
        double x = json_at(c->x, i), y = json_at(c->y, i);
        if (!isfinite(x) || !isfinite(y) || (log_x && x <= 0) || (log_y && y <= 0)) continue;
        extent_add(ex, x, log_x);
        extent_add(ey, y, log_y);
        if (c->low) extent_add(ey, json_at(c->low, i), log_y);
        if (c->high) extent_add(ey, json_at(c->high, i), log_y);
        if (steps) extent_add(ex, bin_end(c, i), log_x);
        if (steps) extent_add(ey, 0, log_y);
    }
}

/* False when there is nothing to show. */
static bool scales_make(const json_t *plot, area *a, int n_ticks, const plot_line *xs, int n_xs, const plot_line *ys,
                        int n_ys)
{
    json_t *all = json_object_get(plot, "series"), *series;
    bool log_x = plot_flag(plot, "log_x"), log_y = plot_flag(plot, "log_y");
    extent ex = {0}, ey = {0};
    const char *label;

    json_object_foreach(all, label, series)
    {
        curve c = curve_of(label, series);
        extend(&c, a->steps, log_x, log_y, &ex, &ey);
    }
    bool any = ex.any;
    for (int i = 0; i < n_xs; i++) extent_add(&ex, xs[i].at, log_x);
    for (int i = 0; i < n_ys; i++) extent_add(&ey, ys[i].at, log_y);
    a->x = scale_make(ex, log_x, false, n_ticks);
    a->y = scale_make(ey, log_y, true, 5);
    return any;
}

/* ---- Drawing ----------------------------------------------------------------------------------------------------------- */

static bool in_band(const curve *c, size_t i, const area *a, double *x, double *low, double *high)
{
    return point_at(c, i, c->low, a, x, low) && point_at(c, i, c->high, a, x, high);
}

static void put_band(page *p, const curve *c, const area *a)
{
    double x = 0, low = 0, high = 0;

    for (size_t begin = 0, end; begin < c->n; begin = end + 1) {
        for (end = begin; end < c->n && in_band(c, end, a, &x, &low, &high);) end++;
        if (end == begin + 1) { /* a point by itself: its band has no width */
            in_band(c, begin, a, &x, &low, &high);
            page_put(p, "<path class=\"whisker\" d=\"M%.1f %.1fV%.1f\"/>\n", x, low, high);
        } else if (end > begin) {
            page_put(p, "<path class=\"band\" d=\"");
            for (size_t i = begin; i < end; i++)
                if (in_band(c, i, a, &x, &low, &high)) page_put(p, "%c%.1f %.1f", i == begin ? 'M' : 'L', x, high);
            for (size_t i = end; i-- > begin;)
                if (in_band(c, i, a, &x, &low, &high)) page_put(p, "L%.1f %.1f", x, low);
            page_put(p, "Z\"/>\n");
        }
    }
}

/* Of neighbours that fall on one place of the paper (a third of a unit) only the first is drawn: a log of a hundred thousand
 * steps stays small. */
static void put_line(page *p, const curve *c, const area *a)
{
    double x, y, last_x = 0, last_y = 0;
    bool pen = false;

    page_put(p, "<path class=\"line\" d=\"");
    for (size_t i = 0; i < c->n; i++) {
        if (!point_at(c, i, c->y, a, &x, &y)) {
            pen = false;
            continue;
        }
        if (pen && fabs(x - last_x) < 0.35 && fabs(y - last_y) < 0.35) continue;
        page_put(p, "%c%.1f %.1f", pen ? 'L' : 'M', x, y);
        pen = true;
        last_x = x;
        last_y = y;
    }
    page_put(p, "\"/>\n");
}

static void put_steps(page *p, const curve *c, const area *a)
{
    double x, y;
    bool pen = false;

    page_put(p, "<path class=\"step\" d=\"");
    for (size_t i = 0; i < c->n; i++) {
        double end = bin_end(c, i);
        bool shown = point_at(c, i, c->y, a, &x, &y) && scale_shows(&a->x, end);
        if (shown && !pen) page_put(p, "M%.1f %.1f", x, a->y.from);
        if (shown) page_put(p, "V%.1fH%.1f", y, scale_at(&a->x, end));
        if (!shown && pen) page_put(p, "V%.1f", a->y.from);
        pen = shown;
    }
    if (pen) page_put(p, "V%.1f", a->y.from);
    page_put(p, "\"/>\n");
}

static bool drawn(const curve *c, size_t i, const area *a)
{
    double x, y;

    return i < c->n && point_at(c, i, c->y, a, &x, &y);
}

/* Circles for the pointer, visible as markers where there is room, or where a point stands alone between gaps. */
static void put_points(page *p, const curve *c, const area *a)
{
    size_t stride = c->n / HOVERS_UP_TO + 1;
    double x, y;

    for (size_t i = 0; i < c->n; i++) {
        if (!point_at(c, i, c->y, a, &x, &y)) continue;
        bool alone = !drawn(c, i + 1, a) && (i == 0 || !drawn(c, i - 1, a));
        bool marked = !a->steps && (c->n <= MARKERS_UP_TO || alone || c->names);
        if (a->steps && scale_shows(&a->x, bin_end(c, i))) x = (x + scale_at(&a->x, bin_end(c, i))) / 2;
        if (marked)
            page_put(p, "<circle class=\"marker\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>", x, y,
                     c->names     ? 4
                     : c->n <= 20 ? 3
                                  : 2.2);
        if (!marked && i % stride != 0) continue;
        page_put(p, "<circle class=\"hover\" cx=\"%.1f\" cy=\"%.1f\" r=\"7\"><title>", x, y);
        page_attribute(p, c->label);
        if (c->names) page_put(p, "%s", *c->label ? ", " : "");
        if (c->names) page_attribute(p, json_string_value(json_array_get(c->names, i)));
        page_put(p, "%s", *c->label || c->names ? "\n" : "");
        page_number(p, json_at(c->x, i));
        page_put(p, ": ");
        page_number(p, json_at(c->y, i));
        page_put(p, "</title></circle>\n");
    }
}

static void put_curve(page *p, const curve *c, const area *a)
{
    if (c->low) put_band(p, c, a);
    if (a->steps)
        put_steps(p, c, a);
    else if (!c->names)
        put_line(p, c, a);
    put_points(p, c, a);
}

/* ---- Names of points --------------------------------------------------------------------------------------------------- */

typedef struct box {
    double left, right, top, bottom;
} box;

/* Where something stands already; what is over the room is not looked at. */
typedef struct taken {
    box boxes[512];
    int n;
} taken;

static bool is_free(const taken *t, const box *b, const frame *f)
{
    if (b->left < f->left || b->right > f->width || b->top < 14 || b->bottom > f->bottom) return false;
    for (int i = 0; i < t->n; i++) {
        const box *o = &t->boxes[i];
        if (b->left < o->right && o->left < b->right && b->top < o->bottom && o->top < b->bottom) return false;
    }
    return true;
}

static void take(taken *t, box b)
{
    if (t->n < (int)(sizeof t->boxes / sizeof *t->boxes)) t->boxes[t->n++] = b;
}

/* Right of the point, else left, above, below; nowhere when all are taken: the pointer still finds it. */
static void put_name(page *p, taken *t, const frame *f, const char *name, double x, double y)
{
    double w = SMALL_LETTER * text_width(name);
    const struct {
        const char *anchor;
        double x, y; /* of the text's baseline */
        double left;
    } places[] = {
        {"start", x + 6, y + 4, x + 6},
        {"end", x - 6, y + 4, x - 6 - w},
        {"middle", x, y - 8, x - w / 2},
        {"middle", x, y + 15, x - w / 2},
    };

    for (int i = 0; i < 4; i++) {
        box b = {places[i].left, places[i].left + w, places[i].y - 9, places[i].y + 2};
        if (!is_free(t, &b, f)) continue;
        take(t, b);
        page_put(p, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", places[i].x, places[i].y,
                 places[i].anchor);
        page_text_cut(p, name, 0);
        page_put(p, "</text>\n");
        return;
    }
}

/* After all points, whose places are not written over. */
static void put_names(page *p, const json_t *plot, const frame *f, const area *a)
{
    json_t *all = json_object_get(plot, "series"), *series;
    taken t = {.n = 0};
    const char *label;
    double x, y;

    for (int pass = 0; pass < 2; pass++) json_object_foreach(all, label, series)
        {
            curve c = curve_of(label, series);
            for (size_t i = 0; c.names && i < c.n; i++) {
                if (!point_at(&c, i, c.y, a, &x, &y)) continue;
                if (pass == 0) take(&t, (box){x - 4, x + 4, y - 4, y + 4});
                if (pass == 1) put_name(p, &t, f, json_string_value(json_array_get(c.names, i)), x, y);
            }
        }
}

/* ---- The whole --------------------------------------------------------------------------------------------------------- */

/* Controls first: data lie above them. */
static void put_curves(page *p, const json_t *plot, const area *a, const look *looks)
{
    json_t *all = json_object_get(plot, "series"), *series;
    const char *label;

    for (int data = 0; data < 2; data++) {
        int i = 0;
        json_object_foreach(all, label, series)
        {
            const look *l = &looks[i++];
            curve c = curve_of(label, series);
            if (l->control == data) continue;
            page_put(p, "<g class=\"%s\">\n", l->classes);
            put_curve(p, &c, a);
            page_put(p, "</g>\n");
        }
    }
}

void plot_curves(page *p, const json_t *plot, const look *looks, bool wide)
{
    frame f = {.width = wide ? PLOT_WIDE : PLOT_WIDTH, .height = wide ? 330 : 270};
    area a = {.steps = strcmp(plot_text(plot, "kind"), "step") == 0};
    plot_line xs[MAX_LINES], ys[MAX_LINES];
    int n_xs = plot_lines(plot, true, xs), n_ys = plot_lines(plot, false, ys);
    bool any = scales_make(plot, &a, wide ? 8 : 5, xs, n_xs, ys, n_ys);

    f.left = plot_tick_room(&a.y);
    f.right = f.width - 16 - plot_lines_room(&f, ys, n_ys);
    f.top = 24 + LINE_ROW * n_xs;
    f.bottom = f.height - (*plot_text(plot, "x_label") || a.x.exponent ? 40 : 24);
    if (!any) f.height = PLOT_EMPTY_HEIGHT;
    scale_place(&a.x, f.left, f.right);
    scale_place(&a.y, f.bottom, f.top);
    plot_open(p, &f);
    if (any) {
        plot_axis_y(p, &f, &a.y, plot_text(plot, "y_label"));
        plot_axis_x(p, &f, &a.x, plot_text(plot, "x_label"));
        plot_lines_x(p, &f, &a.x, xs, n_xs);
        put_curves(p, plot, &a, looks);
        put_names(p, plot, &f, &a);
        plot_lines_y(p, &f, &a.y, ys, n_ys);
    } else {
        plot_empty(p, &f);
    }
    plot_close(p);
}
