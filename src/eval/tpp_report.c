/*
 * tpp_report.c - the tables of targeted probe perturbation.
 */
#include "eval/tpp.h"

#include <math.h>
#include <stdio.h>

static const char *const names[TPP_ARMS] = {"latents", "random latents, equal density", "labels shuffled"};
static const char *const parts[TPP_ARMS] = {"", ".random", ".shuffled"}; /* of keys */

static void text_of(char *out, size_t size, const interval *v)
{
    if (isnan(v->value))
        snprintf(out, size, "-");
    else if (isnan(v->low))
        snprintf(out, size, "%.3f (no interval)", v->value);
    else
        snprintf(out, size, "%.3f [%.3f, %.3f]", v->value, v->low, v->high);
}

/* Score of one dictionary, arm and n over all sets; scratch [n_sets]. */
static tpp_score over_sets(const tpp *scores, int n_sets, int arm, int i, interval *scratch)
{
    tpp_score all = {.ablated = 0};

    for (int s = 0; s < n_sets; s++) scratch[s] = scores[s].at[arm][i].total;
    all.total = interval_mean(scratch, n_sets);
    for (int s = 0; s < n_sets; s++) scratch[s] = scores[s].at[arm][i].intended;
    all.intended = interval_mean(scratch, n_sets);
    for (int s = 0; s < n_sets; s++) scratch[s] = scores[s].at[arm][i].unintended;
    all.unintended = interval_mean(scratch, n_sets);
    for (int s = 0; s < n_sets; s++) all.ablated += scores[s].at[arm][i].ablated / n_sets;
    return all;
}

/* What the latents do beyond draws of equal density; *held: the share of them in a draw. Of other arms NaN. */
static interval beyond_draws(const tpp *scores, int n_sets, int arm, int i, interval *scratch, double *held)
{
    *held = arm == TPP_RANDOM ? 0 : (double)NAN;
    for (int s = 0; s < n_sets; s++) {
        scratch[s] = scores[s].over_drawn[i];
        *held += scores[s].held[i] / n_sets;
    }
    return arm == TPP_LATENTS ? interval_mean(scratch, n_sets) : (interval){NAN, NAN, NAN};
}

/* The gain of dictionary d over the first, NaN for the first itself. */
static sae_status gain_over_sets(interval *out, const tpp *scores, int n_sets, int d, int arm, int i, uint64_t seed,
                                 interval *scratch, sae_error *err)
{
    sae_status status = SAE_OK;

    *out = (interval){NAN, NAN, NAN};
    if (d == 0) return SAE_OK;
    for (int s = 0; s < n_sets; s++)
        SAE_TRY(tpp_gain(&scratch[s], &scores[d * n_sets + s], &scores[s], (tpp_what)arm, i, seed, err));
    *out = interval_mean(scratch, n_sets);
done:
    return status;
}

/* DICT.tpp.n20, DICT.tpp.random.n20, DICT.tpp.gain.n20, DICT.tpp.random.gain.n20, DICT.tpp.over_random.n20: "what" is "", ".gain", ".over_random"
 * or ".held". */
static sae_status put_number(sae_result *r, const char *dict, int arm, const char *what, int64_t n, const interval *v,
                             sae_error *err)
{
    char key[300];

    if (isnan(v->value)) return SAE_OK;
    snprintf(key, sizeof key, "%s.tpp%s%s.n%lld", dict, parts[arm], what, (long long)n);
    return sae_result_silent(r, key, v->value, v->low, v->high, err);
}

enum { COLUMNS = 10 };

/* What stands in a row of the table. */
typedef struct arm_row {
    tpp_score score;
    interval beyond, gain;
    double held;
} arm_row;

static sae_status score_row(sae_result *r, const char *dict, int arm, int64_t n, const arm_row *row, int n_columns,
                            sae_error *err)
{
    sae_status status = SAE_OK;
    const interval *shown[] = {&row->score.total, &row->score.intended, &row->score.unintended, &row->beyond,
                               &row->gain};
    const interval held = {row->held, NAN, NAN};
    char texts[5][64];

    for (int i = 0; i < 5; i++) text_of(texts[i], sizeof texts[i], shown[i]);
    const sae_cell cells[COLUMNS] = {{dict, NAN},
                                     {names[arm], NAN},
                                     {NULL, (double)n},
                                     {NULL, row->score.ablated},
                                     {isnan(row->held) ? "-" : NULL, row->held},
                                     {texts[0], shown[0]->value},
                                     {texts[1], shown[1]->value},
                                     {texts[2], shown[2]->value},
                                     {texts[3], shown[3]->value},
                                     {texts[4], shown[4]->value}};
    SAE_TRY(sae_result_row(r, "tpp", cells, n_columns, err));
    SAE_TRY(put_number(r, dict, arm, "", n, &row->score.total, err));
    SAE_TRY(put_number(r, dict, arm, ".gain", n, &row->gain, err));
    SAE_TRY(put_number(r, dict, arm, ".over_random", n, &row->beyond, err));
    SAE_TRY(put_number(r, dict, arm, ".held", n, &held, err));
done:
    return status;
}

static sae_status score_table(sae_result *r, const tpp *scores, int n_sets, const char *const *dict_names, int n_dicts,
                              const tpp_options *o, interval *scratch, sae_error *err)
{
    static const char *const titles[COLUMNS] = {
        "dictionary", "ablated",  "n",          "latents",         "of them the class's",
        "TPP",        "intended", "unintended", "more than drawn", "gain over the first"};
    sae_status status = SAE_OK;
    int n_columns = n_dicts > 1 ? COLUMNS : COLUMNS - 1;

    SAE_TRY(sae_result_table(r, "tpp", "Fall in accuracy, mean over classes and sets", titles, n_columns, err));
    for (int d = 0; d < n_dicts; d++) {
        for (int arm = 0; arm < TPP_ARMS; arm++) {
            for (int i = 0; i < o->n_n; i++) {
                const tpp *own = scores + d * n_sets;
                arm_row row = {.score = over_sets(own, n_sets, arm, i, scratch)};
                row.beyond = beyond_draws(own, n_sets, arm, i, scratch, &row.held);
                SAE_TRY(gain_over_sets(&row.gain, scores, n_sets, d, arm, i, o->seed, scratch, err));
                SAE_TRY(score_row(r, dict_names[d], arm, o->n[i], &row, n_columns, err));
            }
        }
    }
done:
    return status;
}

/* A curve over n. */
static sae_status curve(sae_result *r, const char *label, const tpp *scores, int n_sets, int arm, const tpp_options *o,
                        interval *scratch, sae_error *err)
{
    double x[TPP_MOST_N], y[TPP_MOST_N], low[TPP_MOST_N], high[TPP_MOST_N];

    for (int i = 0; i < o->n_n; i++) {
        tpp_score v = over_sets(scores, n_sets, arm, i, scratch);
        x[i] = (double)o->n[i];
        y[i] = v.total.value, low[i] = v.total.low, high[i] = v.total.high;
    }
    return sae_result_series_interval(r, "curve", label, x, y, low, high, o->n_n, err);
}

/* Of the dictionaries that are drawn, and the controls of the first. */
static sae_status curves(sae_result *r, const tpp *scores, int n_sets, const char *const *dict_names, const bool *drawn,
                         int n_dicts, const tpp_options *o, interval *scratch, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_plot(r, "curve", "TPP", "latents ablated", "TPP", SAE_PLOT_LINE, SAE_PLOT_LOG_X, err));
    for (int d = 0; d < n_dicts; d++)
        if (!drawn || drawn[d])
            SAE_TRY(curve(r, dict_names[d], scores + d * n_sets, n_sets, TPP_LATENTS, o, scratch, err));
    for (int arm = TPP_RANDOM; arm < TPP_ARMS; arm++) {
        char label[300];
        snprintf(label, sizeof label, "%s, %s", dict_names[0], names[arm]);
        SAE_TRY(curve(r, label, scores, n_sets, arm, o, scratch, err));
        SAE_TRY(sae_result_control(r, "curve", label, err));
    }
    SAE_TRY(sae_result_line(r, "curve", "none", false, 0, err));
done:
    return status;
}

static sae_status clean_table(sae_result *r, const tpp *scores, const char *const *set_names, int n_sets,
                              sae_error *err)
{
    static const char *const titles[] = {"set", "classes", "train", "test", "probes", "probes, labels shuffled"};
    sae_status status = SAE_OK;
    char texts[2][64];

    SAE_TRY(sae_result_table(r, "clean", "Accuracy of the probes before anything is ablated", titles, 6, err));
    for (int s = 0; s < n_sets; s++) { /* the probes know no dictionary: those of the first stand for all */
        text_of(texts[0], sizeof texts[0], &scores[s].clean[0]);
        text_of(texts[1], sizeof texts[1], &scores[s].clean[1]);
        sae_cell cells[] = {{set_names[s], NAN},
                            {NULL, scores[s].n_classes},
                            {NULL, (double)scores[s].train},
                            {NULL, (double)scores[s].test},
                            {texts[0], scores[s].clean[0].value},
                            {texts[1], scores[s].clean[1].value}};
        SAE_TRY(sae_result_row(r, "clean", cells, 6, err));
    }
done:
    return status;
}

sae_status tpp_report(sae_result *result, const tpp *scores, const char *const *set_names, int n_sets,
                      const char *const *dict_names, const bool *drawn, int n_dicts, const tpp_options *options,
                      sae_error *err)
{
    sae_status status = SAE_OK;
    interval *scratch = mem_alloc_array((size_t)n_sets, sizeof *scratch, "intervals", err);

    if (!scratch) return SAE_NOMEM;
    SAE_TRY(clean_table(result, scores, set_names, n_sets, err));
    SAE_TRY(score_table(result, scores, n_sets, dict_names, n_dicts, options, scratch, err));
    SAE_TRY(curves(result, scores, n_sets, dict_names, drawn, n_dicts, options, scratch, err));
    SAE_TRY(sae_result_note(
        result,
        "TPP(n) = fall in the accuracy of a class's own probe (intended) less the mean fall in that of the others "
        "(unintended), when the n latents with the largest positive effect on the class are ablated on every token. "
        "Probes are logistic regressions (C = 1) on mean rows of the training documents and stay fixed. Intervals: 95 "
        "%, test documents resampled, of a gain the same for both dictionaries. Latents of equal density: mean of five "
        "draws from all latents, those of the class among them (their share stands beside); their interval counts "
        "their "
        "spread, that of what is more than drawn has room for another draw. An audit of SAEBench found TPP to fall "
        "with better training at times: read it beside its controls.",
        err));
done:
    mem_free(scratch);
    return status;
}
