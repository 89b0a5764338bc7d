/*
 * plot.h - the parts of a plot: the frame with its axes and reference lines, and what is drawn into it.
 *
 * Coordinates are those of the SVG's viewBox; the page scales it. All colours are classes, so that dark mode and printing
 * are matters of the style sheet.
 */
#ifndef SAE_REPORT_PLOT_H
#define SAE_REPORT_PLOT_H

#include "report/page.h"
#include "report/scale.h"

enum {
    PLOT_WIDTH = 440, /* of a plot beside others */
    PLOT_WIDE = 680,  /* of one that stands alone */
    LETTER = 7,       /* width of a letter of the labels, rather too much */
    SMALL_LETTER = 6, /* and of the names of reference lines */
    LINE_ROW = 14,    /* height of a row of text */
    PLOT_EMPTY_HEIGHT = 60,
    MAX_LINES = 16, /* reference lines; more are left out */
};

typedef struct frame {
    int width, height;               /* of the whole */
    double left, right, top, bottom; /* of the area of the data */
} frame;

typedef struct plot_line {
    const char *label;
    double at;
} plot_line;

const char *plot_text(const json_t *plot, const char *key);
bool plot_flag(const json_t *plot, const char *key);
double json_at(const json_t *array, size_t i);

/* plot_frame.c. Lines come sorted by value. */
int plot_lines(const json_t *plot, bool vertical, plot_line lines[MAX_LINES]);
double plot_tick_room(const scale *s); /* that the labels of a vertical axis take */
/* That the names of horizontal lines take beside the area. */
double plot_lines_room(const frame *f, const plot_line *lines, int n);
void plot_open(page *p, const frame *f);
void plot_close(page *p);
void plot_empty(page *p, const frame *f);
void plot_axis_x(page *p, const frame *f, const scale *s, const char *label);
void plot_axis_y(page *p, const frame *f, const scale *s, const char *label);
void plot_lines_x(page *p, const frame *f, const scale *s, const plot_line *lines, int n);
void plot_lines_y(page *p, const frame *f, const scale *s, const plot_line *lines, int n);

void plot_curves(page *p, const json_t *plot, const look *looks, bool wide); /* plot_curves.c */
void plot_bars(page *p, const json_t *plot, const look *looks, bool wide);   /* plot_bars.c */

#endif
