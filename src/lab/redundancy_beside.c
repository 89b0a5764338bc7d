/*
 * redundancy_beside.c - what ablating latents costs beside removing the subspace that they are aligned with: nats per token on the same
 * sequences, so that a sequence that is hard for both moves neither.
 */
#include "lab/loss_report.h"
#include "lab/redundancy_run.h"

#include <math.h>
#include <stdio.h>

enum { ALIGNED_R2, ALIGNED_R3, ERROR_R2, BESIDE };

/* after: place behind the loss of A; from: the removal. */
static const struct {
    const char *key, *label;
    int after, from;
} beside[BESIDE] = {{"aligned_less_r2", "aligned, less R2", 0, LOSS_OF_R2},
                    {"aligned_less_r3", "aligned, less R3", 0, LOSS_OF_R3},
                    {"error_less_r2", "error projected, less R2", 1, LOSS_OF_R2}};
static const char matched_label[] = "matched in density, less R2";

static sae_status less(const redundancy *r, const point *p, int which, interval *out, sae_error *err)
{
    return loss_difference(out, &r->losses, p->first + beside[which].after, beside[which].from, r->options.seed, err);
}

/* The same of the mean of matched sets; NaN: there are none. */
static double matched_less(const redundancy *r, const point *p)
{
    const loss_draws draws = point_matched(p);
    double sum = 0;

    for (int k = 0; k < draws.n; k++) sum += loss_mean(&r->losses, draws.first + k * draws.step) / draws.n;
    return draws.n > 0 ? sum - loss_mean(&r->losses, LOSS_OF_R2) : (double)NAN;
}

static sae_status row(const redundancy *r, sae_result *out, const point *p, sae_error *err)
{
    sae_status status = SAE_OK;
    const double matched = matched_less(r, p);
    char name[POINT_NAME], key[64], text[BESIDE][INTERVAL_TEXT];
    interval v[BESIDE];

    for (int i = 0; i < BESIDE; i++) {
        SAE_TRY(less(r, p, i, &v[i], err));
        interval_text(text[i], &v[i]);
        if (p->dense)
            snprintf(key, sizeof key, "%s.dense", beside[i].key);
        else
            snprintf(key, sizeof key, "%s.%lld", beside[i].key, (long long)p->n);
        SAE_TRY(sae_result_silent(out, key, v[i].value, v[i].low, v[i].high, err));
    }
    const sae_cell cells[] = {{point_name(p, name), (double)p->n},
                              {text[ALIGNED_R2], v[ALIGNED_R2].value},
                              {text[ALIGNED_R3], v[ALIGNED_R3].value},
                              {text[ERROR_R2], v[ERROR_R2].value},
                              {isnan(matched) ? "-" : NULL, matched}};
    SAE_TRY(sae_result_row(out, "beside", cells, 5, err));
done:
    return status;
}

/* Over the sizes of the grid. */
static sae_status plot(const redundancy *r, sae_result *out, sae_error *err)
{
    sae_status status = SAE_OK;
    double x[POINTS_MAX], y[POINTS_MAX], low[POINTS_MAX], high[POINTS_MAX];
    int n = 0;

    SAE_TRY(sae_result_plot(out, "beside", "Ablating latents beside removing the subspace", "latents ablated",
                            "nats per token more than its removal costs", SAE_PLOT_LINE, SAE_PLOT_LOG_X, err));
    for (int which = 0; which < BESIDE; which++) {
        n = 0;
        for (int i = 0; i < r->n_points; i++) {
            interval v;
            if (r->points[i].dense) continue;
            SAE_TRY(less(r, &r->points[i], which, &v, err));
            x[n] = (double)r->points[i].n;
            y[n] = v.value, low[n] = v.low, high[n] = v.high;
            n++;
        }
        SAE_TRY(sae_result_series_interval(out, "beside", beside[which].label, x, y, low, high, n, err));
    }
    n = 0;
    for (int i = 0; i < r->n_points; i++) {
        if (r->points[i].dense || r->points[i].draws == 0) continue;
        x[n] = (double)r->points[i].n;
        y[n++] = matched_less(r, &r->points[i]);
    }
    SAE_TRY(sae_result_series(out, "beside", matched_label, x, y, n, err));
    SAE_TRY(sae_result_control(out, "beside", matched_label, err));
    SAE_TRY(sae_result_line(out, "beside", "as its removal", false, 0, err));
done:
    return status;
}

sae_status redundancy_beside(sae_result *out, const redundancy *r, sae_error *err)
{
    const char *const columns[] = {"latents in A", beside[ALIGNED_R2].label, beside[ALIGNED_R3].label,
                                   beside[ERROR_R2].label, matched_label};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(out, "beside", "Beside removing the subspace: nats per token on the same sequences [95 %]",
                             columns, 5, err));
    for (int i = 0; i < r->n_points; i++) SAE_TRY(row(r, out, &r->points[i], err));
    if (r->options.points > 1) SAE_TRY(plot(r, out, err));
done:
    return status;
}
