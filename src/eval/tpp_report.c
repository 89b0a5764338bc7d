/*
 * tpp_report.c - the tables of targeted probe perturbation.
 */
#include "eval/tpp.h"

#include <math.h>
#include <stdio.h>

static const char *const names[TPP_ARMS] = {"latents", "random latents, equal density", "labels shuffled"};

static void text_of(char *out, size_t size, const interval *v)
{
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

static sae_status score_table(sae_result *r, const tpp *scores, int n_sets, const char *const *dict_names, int n_dicts,
                              const tpp_options *o, interval *scratch, sae_error *err)
{
    static const char *const titles[] = {"dictionary", "ablated", "n", "latents", "TPP", "intended", "unintended"};
    sae_status status = SAE_OK;
    char texts[3][64], key[300];

    SAE_TRY(sae_result_table(r, "tpp", "Fall in accuracy, mean over classes and sets", titles, 7, err));
    for (int d = 0; d < n_dicts; d++) {
        for (int arm = 0; arm < TPP_ARMS; arm++) {
            for (int i = 0; i < o->n_n; i++) {
                tpp_score v = over_sets(scores + d * n_sets, n_sets, arm, i, scratch);
                text_of(texts[0], sizeof texts[0], &v.total);
                text_of(texts[1], sizeof texts[1], &v.intended);
                text_of(texts[2], sizeof texts[2], &v.unintended);
                sae_cell cells[] = {{dict_names[d], NAN},          {names[arm], NAN},
                                    {NULL, (double)o->n[i]},       {NULL, v.ablated},
                                    {texts[0], v.total.value},     {texts[1], v.intended.value},
                                    {texts[2], v.unintended.value}};
                SAE_TRY(sae_result_row(r, "tpp", cells, 7, err));
                if (arm != TPP_LATENTS) continue;
                snprintf(key, sizeof key, "%s.tpp.n%lld", dict_names[d], (long long)o->n[i]);
                SAE_TRY(sae_result_interval(r, key, v.total.value, v.total.low, v.total.high, err));
            }
        }
    }
done:
    return status;
}

/* A curve over n for each dictionary. */
static sae_status curves(sae_result *r, const tpp *scores, int n_sets, const char *const *dict_names, int n_dicts,
                         const tpp_options *o, interval *scratch, sae_error *err)
{
    sae_status status = SAE_OK;
    double x[TPP_MOST_N], y[TPP_MOST_N], low[TPP_MOST_N], high[TPP_MOST_N];

    SAE_TRY(sae_result_plot(r, "curve", "TPP", "latents ablated", "TPP", SAE_PLOT_LINE, SAE_PLOT_LOG_X, err));
    for (int d = 0; d < n_dicts; d++) {
        for (int i = 0; i < o->n_n; i++) {
            tpp_score v = over_sets(scores + d * n_sets, n_sets, TPP_LATENTS, i, scratch);
            x[i] = (double)o->n[i];
            y[i] = v.total.value, low[i] = v.total.low, high[i] = v.total.high;
        }
        SAE_TRY(sae_result_series_interval(r, "curve", dict_names[d], x, y, low, high, o->n_n, err));
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
                      const char *const *dict_names, int n_dicts, const tpp_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    interval *scratch = mem_alloc_array((size_t)n_sets, sizeof *scratch, "intervals", err);

    if (!scratch) return SAE_NOMEM;
    SAE_TRY(clean_table(result, scores, set_names, n_sets, err));
    SAE_TRY(score_table(result, scores, n_sets, dict_names, n_dicts, options, scratch, err));
    SAE_TRY(curves(result, scores, n_sets, dict_names, n_dicts, options, scratch, err));
    SAE_TRY(sae_result_note(
        result,
        "TPP(n) = fall in the accuracy of a class's own probe (intended) less the mean fall in that of the others "
        "(unintended), when the n latents with the largest positive effect on the class are ablated on every token. "
        "Probes are logistic regressions (C = 1) on mean rows of the training documents and stay fixed. Intervals: 95 "
        "%, "
        "test documents resampled. An audit of SAEBench found TPP to fall with better training at times: read it "
        "beside "
        "its controls.",
        err));
done:
    mem_free(scratch);
    return status;
}
