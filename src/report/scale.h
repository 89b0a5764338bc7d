/*
 * scale.h - an axis: from values to places on paper, with ticks that a person would have chosen.
 */
#ifndef SAE_REPORT_SCALE_H
#define SAE_REPORT_SCALE_H

#include "report/report.h"

enum { MAX_TICKS = 16 };

typedef struct scale {
    bool log;
    double low, high; /* values at the ends; log: both above 0 */
    double from, to;  /* places of the ends */
    double ticks[MAX_TICKS];
    int n_ticks;
    int decimals;       /* of tick labels, linear */
    double unit;        /* tick labels are divided by it */
    const char *suffix; /* "k", "M", "G" or "" */
    int exponent;       /* unit is 10^exponent, to be named beside the axis; 0: no such unit */
} scale;

/* What the data span; values that the axis cannot show (not finite, or not above 0 on a logarithmic one) are left out. */
typedef struct extent {
    double low, high;
    bool any;
} extent;
void extent_add(extent *e, double value, bool log);

/* A scale with about `wanted` ticks over the extent. round_out: the ends are moved out to ticks, and to zero when that is
 * near (for the axis of heights). Places are set by scale_place. */
scale scale_make(extent e, bool log, bool round_out, int wanted);
void scale_place(scale *s, double from, double to);
bool scale_shows(const scale *s, double value);
double scale_at(const scale *s, double value);
void scale_tick_text(const scale *s, int i, char out[NUMBER_TEXT]);

#endif
