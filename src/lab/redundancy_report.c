/*
 * redundancy_report.c - the curve of the loss over the number of ablated latents, with every control beside it.
 */
#include "eval/core.h"
#include "lab/loss_report.h"
#include "lab/redundancy_run.h"

#include <math.h>
#include <stdio.h>

static sae_status ratio_of(const redundancy *r, int which, interval *out, sae_error *err)
{
    return loss_ratio(out, &r->losses, which, LOSS_OF_CLEAN, r->options.seed, err);
}

/* Ratio to clean of the mean loss of controls. */
static sae_status ratio_of_controls(const redundancy *r, loss_draws draws, interval *out, sae_error *err)
{
    return loss_ratio_of_draws(out, &r->losses, draws, LOSS_OF_CLEAN, r->options.seed, err);
}

enum { MATCHED, RANDOM, CONTROLS };

/* How many latents of a kind of controls are A's own, of A, mean of the draws. */
static double shared_share(const redundancy *r, const point *p, int kind)
{
    double shared = 0;

    for (int k = 1 + kind * p->draws; k < 1 + (kind + 1) * p->draws; k++)
        for (int64_t i = 0; i < r->d_sae; i++)
            shared += p->sets[0][i] && p->sets[k][i] ? 1.0 / p->draws / (double)p->n : 0;
    return shared;
}

/* What A costs over its controls, nats per token: on other text, and beside other draws. Without an interval where most of these are A's own. */
static sae_status cost_over(const redundancy *r, const point *p, int kind, interval *out, sae_error *err)
{
    const loss_draws draws = kind == MATCHED ? point_matched(p) : point_random(p);
    sae_status status = loss_difference_beside(out, &r->losses, p->first, draws, r->options.seed, err);

    if (shared_share(r, p, kind) > CONTROL_MOST_SHARED) out->low = out->high = NAN;
    return status;
}

/* ---- The table ------------------------------------------------------------------------------------------------------------- */

const char *point_name(const point *p, char name[POINT_NAME])
{
    snprintf(name, POINT_NAME, "%lld%s%s", (long long)p->n, p->what ? ", " : "", p->what ? p->what : "");
    return name;
}

/* The mean ratio of controls, and their lowest and highest: what their choice moves. */
static sae_status controls_text(const redundancy *r, loss_draws draws, double *mean, char *text, size_t size,
                                sae_error *err)
{
    sae_status status = SAE_OK;
    double clean = loss_mean(&r->losses, LOSS_OF_CLEAN), low = INFINITY, high = -INFINITY;
    interval v;

    SAE_TRY(ratio_of_controls(r, draws, &v, err));
    for (int k = 0; k < draws.n; k++) {
        double ratio = loss_mean(&r->losses, draws.first + k) / clean;
        low = fmin(low, ratio);
        high = fmax(high, ratio);
    }
    *mean = v.value;
    if (draws.n > 1)
        snprintf(text, size, "%.3f (%.3f to %.3f)", v.value, low, high);
    else
        snprintf(text, size, "%.3f", v.value);
done:
    return status;
}

/* One draw has no spread, so what A costs over it has no interval; nor has what is over A itself. */
static void cost_text(char text[INTERVAL_TEXT], const interval *v)
{
    if (isfinite(v->low))
        interval_text(text, v);
    else
        snprintf(text, INTERVAL_TEXT, "%.3f (no interval)", v->value);
}

enum { CELLS = 8 };

static sae_status curve_row(const redundancy *r, sae_result *out, const point *p, sae_error *err)
{
    sae_status status = SAE_OK;
    interval v[3], over[2] = {{NAN, NAN, NAN}, {NAN, NAN, NAN}};
    double mean[2] = {NAN, NAN};
    char name[POINT_NAME], text[3][INTERVAL_TEXT], control[2][64] = {"-", "-"}, cost[2][INTERVAL_TEXT] = {"-", "-"};
    const loss_draws draws[2] = {point_matched(p), point_random(p)};

    SAE_TRY(ratio_of(r, p->first, &v[0], err));
    SAE_TRY(ratio_of(r, p->first + 1, &v[1], err));
    SAE_TRY(loss_ratio(&v[2], &r->losses, p->first, LOSS_OF_RECON, r->options.seed, err));
    for (int i = 0; i < 3; i++) interval_text(text[i], &v[i]);
    for (int i = 0; i < 2 && p->draws > 0; i++) {
        SAE_TRY(controls_text(r, draws[i], &mean[i], control[i], sizeof control[i], err));
        SAE_TRY(cost_over(r, p, i, &over[i], err));
        cost_text(cost[i], &over[i]);
    }
    const sae_cell cells[CELLS] = {{point_name(p, name), (double)p->n},
                                   {text[0], v[0].value},
                                   {text[1], v[1].value},
                                   {control[0], mean[0]},
                                   {control[1], mean[1]},
                                   {cost[0], over[0].value},
                                   {cost[1], over[1].value},
                                   {text[2], v[2].value}};
    SAE_TRY(sae_result_row(out, "curve", cells, CELLS, err));
done:
    return status;
}

static sae_status curve(const redundancy *r, sae_result *out, sae_error *err)
{
    static const char *const columns[] = {
        "latents in A",        "ratio to clean [95 %]", "and error projected", "matched in density (draws)",
        "random sets (draws)", "over matched, nats",    "over random, nats",   "ratio to the reconstruction"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(out, "curve", "Ablating aligned latents", columns, CELLS, err));
    for (int i = 0; i < r->n_points; i++) SAE_TRY(curve_row(r, out, &r->points[i], err));
done:
    return status;
}

/* ---- What is in the sets ------------------------------------------------------------------------------------------------------ */

/* Codes above zero a row inside a set; how many of its latents fire at all. */
static void set_facts(const redundancy *r, const uint8_t *taken, double *mass, int64_t *live)
{
    *mass = 0;
    *live = 0;
    for (int64_t i = 0; i < r->d_sae; i++) {
        if (!taken[i]) continue;
        *mass += density_of(&r->moments.density, i);
        *live += r->moments.density.fired[i] > 0;
    }
}

/* Codes a row of a kind of controls, mean of the draws. */
static double control_mass(const redundancy *r, const point *p, int kind)
{
    double mass = p->draws > 0 ? 0 : (double)NAN;

    for (int k = 1 + kind * p->draws; k < 1 + (kind + 1) * p->draws; k++) {
        double one;
        int64_t live;
        set_facts(r, p->sets[k], &one, &live);
        mass += one / p->draws;
    }
    return mass;
}

static sae_status sets_row(const redundancy *r, sae_result *out, const point *p, sae_error *err)
{
    double mass, least = 1, inside = 0, all = 0;
    const char *none = p->draws > 0 ? NULL : "-";
    int64_t live = 0;
    char name[POINT_NAME];

    set_facts(r, p->sets[0], &mass, &live);
    for (int64_t i = 0; i < r->d_sae; i++) {
        all += r->energy[i];
        if (!p->sets[0][i]) continue;
        least = fmin(least, r->squares[i]);
        inside += r->energy[i];
    }
    const sae_cell cells[] = {{point_name(p, name), (double)p->n},
                              {NULL, (double)live},
                              {NULL, sqrt(least)},
                              {NULL, all > 0 ? inside / all : 0},
                              {NULL, mass},
                              {none, control_mass(r, p, MATCHED)},
                              {none, shared_share(r, p, MATCHED)},
                              {none, control_mass(r, p, RANDOM)},
                              {none, shared_share(r, p, RANDOM)}};
    return sae_result_row(out, "sets", cells, 9, err);
}

static sae_status sets(const redundancy *r, sae_result *out, sae_error *err)
{
    static const char *const columns[] = {"latents in A",         "of them fire",        "smallest alignment",
                                          "share of energy in U", "codes a row",         "matched: codes a row",
                                          "of them A's",          "random: codes a row", "of them A's"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(out, "sets", "What is in the sets", columns, 9, err));
    for (int i = 0; i < r->n_points; i++) SAE_TRY(sets_row(r, out, &r->points[i], err));
done:
    return status;
}

/* ---- Plot and numbers ----------------------------------------------------------------------------------------------------------- */

enum { CURVE_A, CURVE_ERROR, CURVE_MATCHED, CURVE_RANDOM, CURVES };

static const char *const curve_labels[CURVES] = {"aligned", "aligned, error projected", "matched in density", "random"};

typedef struct curve_points {
    char names[POINTS_MAX][POINT_NAME]; /* of the sets */
    double x[POINTS_MAX], y[POINTS_MAX], low[POINTS_MAX], high[POINTS_MAX];
    int n;
} curve_points;

/* The set of dense latents has no place on the axis of sizes, so only bars show it. */
static sae_status curve_collect(const redundancy *r, int which, bool dense, curve_points *c, sae_error *err)
{
    sae_status status = SAE_OK;

    c->n = 0;
    for (int i = 0; i < r->n_points; i++) {
        const point *p = &r->points[i];
        interval v;
        if ((p->dense && !dense) || (p->draws == 0 && which >= CURVE_MATCHED)) continue;
        if (which >= CURVE_MATCHED)
            SAE_TRY(ratio_of_controls(r, which == CURVE_MATCHED ? point_matched(p) : point_random(p), &v, err));
        else
            SAE_TRY(ratio_of(r, p->first + which, &v, err));
        point_name(p, c->names[c->n]);
        c->x[c->n] = (double)p->n;
        c->y[c->n] = v.value;
        c->low[c->n] = v.low;
        c->high[c->n++] = v.high;
    }
done:
    return status;
}

static sae_status plot_curves_of(const redundancy *r, sae_result *out, sae_error *err)
{
    sae_status status = SAE_OK;
    curve_points c;

    SAE_TRY(sae_result_plot(out, "ratios", "Loss after ablating latents", "latents ablated", "CE after / CE clean",
                            SAE_PLOT_LINE, SAE_PLOT_LOG_X, err));
    for (int which = 0; which < CURVES; which++) {
        SAE_TRY(curve_collect(r, which, false, &c, err));
        SAE_TRY(sae_result_series_interval(out, "ratios", curve_labels[which], c.x, c.y, c.low, c.high, c.n, err));
        if (which >= CURVE_MATCHED) SAE_TRY(sae_result_control(out, "ratios", curve_labels[which], err));
    }
    SAE_TRY(sae_result_line(out, "ratios", "787 of 16,384", true, (double)redundancy_marked(r->d_sae), err));
done:
    return status;
}

/* Of the few sets that there are without a grid of sizes. */
static sae_status plot_bars_of(const redundancy *r, sae_result *out, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *names[POINTS_MAX];
    curve_points c;

    SAE_TRY(sae_result_plot(out, "ratios", "Loss after ablating latents", "latents ablated", "CE after / CE clean",
                            SAE_PLOT_BAR, 0, err));
    for (int which = 0; which < CURVES; which++) {
        SAE_TRY(curve_collect(r, which, true, &c, err));
        for (int i = 0; i < c.n; i++) names[i] = c.names[i];
        if (c.n == 0) continue;
        SAE_TRY(sae_result_bars(out, "ratios", curve_labels[which], names, c.y, c.low, c.high, c.n, err));
        if (which >= CURVE_MATCHED) SAE_TRY(sae_result_control(out, "ratios", curve_labels[which], err));
    }
done:
    return status;
}

/* Both removals of the subspace beside it: the verdict needs the uncentred one, as ablating latents takes their mean too. */
static sae_status plot(const redundancy *r, sae_result *out, sae_error *err)
{
    sae_status status = SAE_OK;
    double clean = loss_mean(&r->losses, LOSS_OF_CLEAN);

    if (r->n_points == 0) return SAE_OK;
    SAE_TRY(r->options.points > 1 ? plot_curves_of(r, out, err) : plot_bars_of(r, out, err));
    SAE_TRY(
        sae_result_line(out, "ratios", "subspace removed, R2", false, loss_mean(&r->losses, LOSS_OF_R2) / clean, err));
    SAE_TRY(
        sae_result_line(out, "ratios", "subspace removed, R3", false, loss_mean(&r->losses, LOSS_OF_R3) / clean, err));
done:
    return status;
}

static sae_status keyed(const redundancy *r, sae_result *out, const char *key, const char *label, const char *remark,
                        int which, sae_error *err)
{
    sae_status status = SAE_OK;
    interval v;

    SAE_TRY(ratio_of(r, which, &v, err));
    SAE_TRY(sae_result_interval(out, key, v.value, v.low, v.high, err));
    SAE_TRY(sae_result_label(out, key, label, remark, err));
done:
    return status;
}

static sae_status fact(sae_result *out, const char *key, const char *label, double value, const char *remark,
                       sae_error *err)
{
    sae_status status = sae_result_number(out, key, value, err);

    return status == SAE_OK ? sae_result_label(out, key, label, remark, err) : status;
}

static sae_status fixed_numbers(const redundancy *r, sae_result *out, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(fact(out, "rank", "rank of the subspace", (double)r->aligned.space.rank, NULL, err));
    SAE_TRY(
        fact(out, "ce_tokens", "tokens scored", (double)r->losses.n_scored, "current and next token unmasked", err));
    SAE_TRY(fact(out, "ce_clean", "CE, clean", loss_mean(&r->losses, LOSS_OF_CLEAN), "nats per token", err));
    SAE_TRY(fact(out, "ce_zero", "CE, zero ablation", loss_mean(&r->losses, LOSS_OF_ZERO), "the site's rows set to 0",
                 err));
    SAE_TRY(fact(out, "ce_uniform", "CE, uniform", log((double)sae_model_get_info(r->s->model)->n_vocab), NULL, err));
    SAE_TRY(keyed(r, out, "ratio_zero", "ratio, zero ablation", NULL, LOSS_OF_ZERO, err));
    SAE_TRY(keyed(r, out, "ratio_r2", "ratio, subspace removed, R2", "x - x P", LOSS_OF_R2, err));
    SAE_TRY(keyed(r, out, "ratio_r3", "ratio, subspace removed, R3", "x - (x - mean) P", LOSS_OF_R3, err));
    SAE_TRY(keyed(r, out, "ratio_reconstruction", "ratio, reconstruction", "the whole dictionary in place of x",
                  LOSS_OF_RECON, err));
    SAE_TRY(keyed(r, out, "ratio_error", "ratio, error projected alone", "A empty, e (I - P) in place of e",
                  LOSS_OF_ERROR, err));
    SAE_TRY(fact(out, "n_marked", "latents, marked", (double)redundancy_marked(r->d_sae), "787 of 16,384 at this width",
                 err));
    SAE_TRY(fact(out, "n_match", "latents, energy of s", r->n_match < 0 ? NAN : (double)r->n_match,
                 "whose energy in the subspace, largest first, sums to that of s; none: all together do not", err));
    SAE_TRY(fact(out, "energy_wanted", "energy of s", r->wanted, "mean |s|^2", err));
done:
    return status;
}

static sae_status silent(sae_result *out, const char *what, const char *size, const interval *v, sae_error *err)
{
    char key[64];

    snprintf(key, sizeof key, "%s.%s", what, size);
    return sae_result_silent(out, key, v->value, v->low, v->high, err);
}

/* "matched.N", "random.N": ratio to clean of their mean; "matchedK.N", "randomK.N": of each draw; "over_matched.N",
 * "over_random.N": what the aligned ones cost over them, nats per token. */
static sae_status control_numbers(const redundancy *r, sae_result *out, const point *p, const char *size,
                                  sae_error *err)
{
    static const char *const kinds[2] = {"matched", "random"}, *const over[2] = {"over_matched", "over_random"};
    const loss_draws draws[2] = {point_matched(p), point_random(p)};
    sae_status status = SAE_OK;
    char what[24];
    interval v;

    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < p->draws; k++) {
            snprintf(what, sizeof what, "%s%d", kinds[i], k + 1);
            SAE_TRY(ratio_of(r, draws[i].first + k, &v, err));
            SAE_TRY(silent(out, what, size, &v, err));
        }
        SAE_TRY(ratio_of_controls(r, draws[i], &v, err));
        SAE_TRY(silent(out, kinds[i], size, &v, err));
        SAE_TRY(cost_over(r, p, i, &v, err));
        SAE_TRY(silent(out, over[i], size, &v, err));
    }
done:
    return status;
}

/* Machine-readable twins of the table: "aligned.N" and "error.N", ratios to the clean loss, "aligned_over_reconstruction.N", and the
 * controls'; N is "dense" for all dense latents. */
static sae_status point_numbers(const redundancy *r, sae_result *out, sae_error *err)
{
    sae_status status = SAE_OK;
    interval v;

    for (int i = 0; i < r->n_points; i++) {
        const point *p = &r->points[i];
        char size[24] = "dense";
        if (!p->dense) snprintf(size, sizeof size, "%lld", (long long)p->n);
        SAE_TRY(ratio_of(r, p->first, &v, err));
        SAE_TRY(silent(out, "aligned", size, &v, err));
        SAE_TRY(ratio_of(r, p->first + 1, &v, err));
        SAE_TRY(silent(out, "error", size, &v, err));
        SAE_TRY(loss_ratio(&v, &r->losses, p->first, LOSS_OF_RECON, r->options.seed, err));
        SAE_TRY(silent(out, "aligned_over_reconstruction", size, &v, err));
        if (p->draws > 0) SAE_TRY(control_numbers(r, out, p, size, err));
    }
done:
    return status;
}

static sae_status describe(const redundancy *r, sae_result *out, sae_error *err)
{
    sae_status status = SAE_OK;
    static const char *const rules[ALIGN_RULES] = {"largest |d_i P|^2 first", "in turn the best of each direction",
                                                   "largest |cos| with one direction first",
                                                   "largest energy in the subspace first"};

    SAE_TRY(core_describe(out, r->s, err));
    SAE_TRY(sae_result_setting(out, "aligned with",
                               (sae_cell){r->options.space_name ? r->options.space_name : "a basis", NAN}, err));
    SAE_TRY(sae_result_setting(out, "A", (sae_cell){rules[r->options.rule], NAN}, err));
    SAE_TRY(sae_result_note(
        out,
        "x - sum over i in A of f_i d_i stands in place of x: the dictionary's error stays, unless it says 'error "
        "projected', "
        "where e (I - P) stands for it as well (an error that carries the subspace would make ablation look harmless). "
        "Controls are as many latents drawn from all, those of A among them, as A would be were it one more draw: a "
        "dense "
        "latent that has no like is compared with itself. Every row sees the same tokens; intervals resample "
        "sequences, and what A costs over its controls leaves room for "
        "another "
        "draw of them as well: beside 0 A is not told from one more control. On the grid there is one draw of each "
        "kind, "
        "and no such interval; nor is there one where over three quarters of the controls are A's own.",
        err));
    if (r->options.rule == ALIGN_MATCH)
        SAE_TRY(sae_result_note(
            out,
            "By this rule come first the latents that fire strongest and most often, whatever the subspace is: what "
            "they "
            "cost over latents of equal density says how large the set is, and is no test of alignment.",
            err));
    SAE_TRY(core_few_sequences(out, r->losses.n_seq, err));
done:
    return status;
}

sae_status redundancy_report(sae_result **out, const redundancy *r, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *result = NULL;

    SAE_TRY(sae_result_create(&result, "redundancy", err));
    SAE_TRY(describe(r, result, err));
    SAE_TRY(fixed_numbers(r, result, err));
    SAE_TRY(plot(r, result, err));
    SAE_TRY(curve(r, result, err));
    SAE_TRY(redundancy_beside(result, r, err));
    SAE_TRY(sets(r, result, err));
    SAE_TRY(point_numbers(r, result, err));
    *out = result;
    result = NULL;
done:
    sae_result_free(result);
    return status;
}
