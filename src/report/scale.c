/* scale.c - domains, ticks at 1, 2 and 5 times powers of ten, and labels with one unit for a whole axis. */
#include "report/scale.h"

#include <math.h>
#include <string.h>

void extent_add(extent *e, double value, bool log)
{
    if (!isfinite(value) || (log && value <= 0)) return;
    if (!e->any || value < e->low) e->low = value;
    if (!e->any || value > e->high) e->high = value;
    e->any = true;
}

static void tick_add(scale *s, double value)
{
    double slack = 1e-9 * (s->high - s->low);

    if (s->n_ticks < MAX_TICKS && value >= s->low - slack && value <= s->high + slack) s->ticks[s->n_ticks++] = value;
}

/* The step 1, 2, 2.5 or 5 x 10^n that comes nearest to `wanted` intervals. */
static double nice_step(double span, int wanted)
{
    double raw = span / wanted, power = pow(10, floor(log10(raw))), lead = raw / power;

    return power * (lead < 1.5 ? 1 : lead < 2.25 ? 2 : lead < 3.5 ? 2.5 : lead < 7.5 ? 5 : 10);
}

static void linear_ticks(scale *s, bool round_out, int wanted)
{
    double step = nice_step(s->high - s->low, wanted);

    if (round_out) {
        s->low = step * floor(s->low / step + 1e-9);
        s->high = step * ceil(s->high / step - 1e-9);
    }
    for (int i = 0; i <= 2 * MAX_TICKS; i++) {
        double value = step * (ceil(s->low / step - 1e-9) + i);
        if (value > s->high + 1e-9 * step) break;
        tick_add(s, fabs(value) < 1e-9 * step ? 0 : value);
    }
    if (s->log) return;
    double largest = fmax(fabs(s->low), fabs(s->high));
    static const struct {
        double from, unit;
        const char *suffix;
    } units[] = {{1e9, 1e9, "G"}, {1e6, 1e6, "M"}, {1e4, 1e3, "k"}};
    for (int i = 0; i < 3 && s->unit == 1; i++)
        if (largest >= units[i].from) s->unit = units[i].unit, s->suffix = units[i].suffix;
    if (largest >= 1e12 || largest < 1e-3) {
        s->exponent = (int)floor(log10(largest));
        s->unit = pow(10, s->exponent);
        s->suffix = "";
    }
    for (double shown = step / s->unit; s->decimals < 12 && fabs(shown - round(shown)) > 1e-6 * shown; shown *= 10)
        s->decimals++;
}

static void decade_ticks(scale *s, const double *leads, int n_leads)
{
    int first = (int)floor(log10(s->low)), last = (int)ceil(log10(s->high));
    int stride = (last - first) / 7 + 1;

    s->n_ticks = 0;
    for (int d = first; d <= last; d += stride)
        for (int i = 0; i < n_leads; i++) tick_add(s, leads[i] * pow(10, d));
}

static void log_ticks(scale *s, bool round_out, int wanted)
{
    static const double leads[] = {1, 2, 5};

    if (round_out && s->high / s->low > 20) {
        s->low = pow(10, floor(log10(s->low) + 1e-9));
        s->high = pow(10, ceil(log10(s->high) - 1e-9));
    }
    decade_ticks(s, leads, 1);
    if (s->n_ticks < 3) decade_ticks(s, leads, 3);
    if (s->n_ticks < 3) {
        s->n_ticks = 0;
        linear_ticks(s, false, wanted);
    }
}

scale scale_make(extent e, bool log, bool round_out, int wanted)
{
    scale s = {.log = log, .low = e.low, .high = e.high, .unit = 1, .suffix = "", .to = 1};

    if (!e.any) s.log = false, s.low = 0, s.high = 1;
    /* Beyond these steps would overflow or vanish: such values are drawn at the edge. */
    s.low = fmin(fmax(s.low, s.log ? 1e-300 : -1e300), 1e300);
    s.high = fmin(fmax(s.high, s.low), 1e300);
    if (s.high - s.low <= 1e-12 * fmax(fabs(s.low), fabs(s.high)) || s.high - s.low < 1e-290) { /* one value */
        double room = fabs(s.low) < 1e-280 ? 1 : fabs(s.low) / 2;
        s.high = s.log ? s.low * 2 : s.low + room;
        s.low = s.log ? s.low / 2 : s.low - room;
    } else if (round_out && !s.log) {
        if (s.low > 0 && s.low < 0.4 * s.high) s.low = 0;
        if (s.high < 0 && s.high > 0.4 * s.low) s.high = 0;
    }
    if (s.log)
        log_ticks(&s, round_out, wanted);
    else
        linear_ticks(&s, round_out, wanted);
    return s;
}

void scale_place(scale *s, double from, double to)
{
    s->from = from;
    s->to = to;
}

bool scale_shows(const scale *s, double value) { return isfinite(value) && (!s->log || value > 0); }

double scale_at(const scale *s, double value)
{
    double share = s->log ? log(value / s->low) / log(s->high / s->low) : (value - s->low) / (s->high - s->low);

    return s->from + fmin(fmax(share, 0), 1) * (s->to - s->from);
}

/* "10" with its exponent raised; the signs and digits are U+207B and U+2070 and after. */
static void power_text(int exponent, char out[NUMBER_TEXT])
{
    static const char *const raised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char digits[12];

    snprintf(digits, sizeof digits, "%d", exponent < 0 ? -exponent : exponent);
    snprintf(out, NUMBER_TEXT, "10%s", exponent < 0 ? "⁻" : "");
    for (char *d = digits; *d; d++) strncat(out, raised[*d - '0'], NUMBER_TEXT - strlen(out) - 1);
}

void scale_tick_text(const scale *s, int i, char out[NUMBER_TEXT])
{
    double value = s->ticks[i];

    if (!s->log && value == 0 && *s->suffix) {
        snprintf(out, NUMBER_TEXT, "0");
        return;
    }
    if (!s->log) {
        snprintf(out, NUMBER_TEXT, "%s%.*f%s", value < 0 ? "\xE2\x88\x92" : "", s->decimals, fabs(value / s->unit),
                 s->suffix);
        return;
    }
    double exponent = log10(value);
    bool plain = s->ticks[0] >= 0.999e-3 && s->ticks[s->n_ticks - 1] < 1.001e4;
    if (!plain && fabs(exponent - round(exponent)) < 1e-6 && value != 1)
        power_text((int)round(exponent), out);
    else
        snprintf(out, NUMBER_TEXT, "%g", value);
}
