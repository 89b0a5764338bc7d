/* plot_frame.c - what surrounds the data of a plot: axes with their ticks and names, reference lines with theirs. */
#include "report/plot.h"

#include <math.h>

int plot_lines(const json_t *plot, bool vertical, plot_line lines[MAX_LINES])
{
    json_t *all = json_object_get(plot, "lines"), *line;
    const char *label;
    int n = 0;

    json_object_foreach(all, label, line)
    {
        double value = json_double(json_object_get(line, "at"));
        int place = n;
        if (plot_flag(line, "vertical") != vertical || !isfinite(value) || n == MAX_LINES) continue;
        for (; place > 0 && lines[place - 1].at > value; place--) lines[place] = lines[place - 1];
        lines[place] = (plot_line){label, value};
        n++;
    }
    return n;
}

void plot_open(page *p, const frame *f)
{
    page_put(
        p, "<div class=\"drawing\"><svg class=\"plot%s\" viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"f%d\">\n",
        f->width > PLOT_WIDTH ? " wide" : "", f->width, f->height, p->n_plots);
}

void plot_close(page *p) { page_put(p, "</svg></div>\n"); }

void plot_empty(page *p, const frame *f)
{
    page_put(p, "<text class=\"empty\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">no data</text>\n", f->width / 2,
             f->height / 2);
}

static void put_axis_label(page *p, const char *label, const scale *s, double x, double y, const char *anchor)
{
    if (!*label && s->exponent == 0) return;
    page_put(p, "<text class=\"label\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    page_text_cut(p, label, 60);
    if (s->exponent)
        page_put(p, "%s\xC3\x97 10<tspan dy=\"-4\" font-size=\"9\">%s%d</tspan>", *label ? "  " : "",
                 s->exponent < 0 ? "\xE2\x88\x92" : "", s->exponent < 0 ? -s->exponent : s->exponent);
    page_put(p, "</text>\n");
}

/* Labels that would run into each other are left out: every n-th stands, with 0 among them where that is a tick. */
static bool label_stands(const scale *s, int i)
{
    const double wide = plot_tick_room(s) - 6;
    double apart = INFINITY;
    int zero = 0;

    for (int t = 0; t < s->n_ticks; t++) {
        if (t > 0) apart = fmin(apart, fabs(scale_at(s, s->ticks[t]) - scale_at(s, s->ticks[t - 1])));
        if (s->ticks[t] == 0) zero = t;
    }
    return !(apart > 0 && apart < wide) || (i - zero) % (int)ceil(wide / apart) == 0;
}

void plot_axis_x(page *p, const frame *f, const scale *s, const char *label)
{
    char text[NUMBER_TEXT];

    page_put(p, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>\n", f->left, f->bottom, f->right);
    for (int i = 0; i < s->n_ticks; i++) {
        double x = scale_at(s, s->ticks[i]);
        scale_tick_text(s, i, text);
        page_put(p, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>", x, f->top, f->bottom);
        if (label_stands(s, i))
            page_put(p, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x, f->bottom + 16, text);
    }
    put_axis_label(p, label, s, (f->left + f->right) / 2, f->bottom + 33, "middle");
}

/* The name stands level above the axis: nobody has to turn the head. */
void plot_axis_y(page *p, const frame *f, const scale *s, const char *label)
{
    char text[NUMBER_TEXT];

    for (int i = 0; i < s->n_ticks; i++) {
        double y = scale_at(s, s->ticks[i]);
        scale_tick_text(s, i, text);
        page_put(p, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", f->left, y, f->right);
        page_put(p, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", f->left - 6, y + 4, text);
    }
    put_axis_label(p, label, s, 2, 12, "start");
}

double plot_tick_room(const scale *s)
{
    char text[NUMBER_TEXT];
    int widest = 0;

    for (int i = 0; i < s->n_ticks; i++) {
        scale_tick_text(s, i, text);
        if (text_width(text) > widest) widest = text_width(text);
    }
    return LETTER * widest + 12;
}

/* Vertical lines carry their names above the area, each on a row of its own. */
void plot_lines_x(page *p, const frame *f, const scale *s, const plot_line *lines, int n)
{
    for (int i = 0; i < n; i++) {
        if (!scale_shows(s, lines[i].at)) continue;
        double x = scale_at(s, lines[i].at), y = f->top - 6 - LINE_ROW * (n - 1 - i);
        bool left = x > (f->left + f->right) / 2;
        page_put(p, "<path class=\"reference\" d=\"M%.1f %.1fV%.1f\"/>", x, y - 9, f->bottom);
        page_put(p, "<text class=\"reference\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", left ? x - 4 : x + 4, y,
                 left ? "end" : "start");
        page_text_cut(p, lines[i].label, (int)((left ? x - 4 : f->width - x - 4) / SMALL_LETTER));
        page_put(p, "</text>\n");
    }
}

double plot_lines_room(const frame *f, const plot_line *lines, int n)
{
    int widest = 0;

    for (int i = 0; i < n; i++)
        if (text_width(lines[i].label) > widest) widest = text_width(lines[i].label);
    return widest == 0 ? 0 : fmin(SMALL_LETTER * widest + 6, 0.3 * f->width);
}

/* Horizontal lines carry theirs at their right end, outside of the area, moved apart where they would touch: they come from
 * the lowest up. */
void plot_lines_y(page *p, const frame *f, const scale *s, const plot_line *lines, int n)
{
    double last = INFINITY, room = f->width - f->right - 4;

    for (int i = 0; i < n; i++) {
        if (!scale_shows(s, lines[i].at)) continue;
        double y = scale_at(s, lines[i].at);
        last = fmin(y + 4, last - LINE_ROW + 1);
        page_put(p, "<path class=\"reference\" d=\"M%.1f %.1fH%.1f\"/>", f->left, y, f->right);
        page_put(p, "<text class=\"reference\" x=\"%.1f\" y=\"%.1f\">", f->right + 5, last);
        page_text_cut(p, lines[i].label, (int)(room / SMALL_LETTER));
        page_put(p, "<title>");
        page_attribute(p, lines[i].label);
        page_put(p, ": ");
        page_number(p, lines[i].at);
        page_put(p, "</title></text>\n");
    }
}
