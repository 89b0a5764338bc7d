/*
 * tpp_report.c - the tables of targeted probe perturbation.
 */
#include "eval/tpp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const names[TPP_ARMS] = {"latents", "random latents, equal density", "labels shuffled",
                                            "latents and scaffold codes"};
static const char *const parts[TPP_ARMS] = {"", ".random", ".shuffled", ".scaffold"}; /* of keys */

/* "n20", or "mean" at n_n: of keys. */
static void at_text(char out[24], const tpp_options *o, int i)
{
    if (i < o->n_n)
        snprintf(out, 24, "n%lld", (long long)o->n[i]);
    else
        snprintf(out, 24, "mean");
}

/* The same in a column "n". */
static sae_cell at_cell(const tpp_options *o, int i)
{
    return i < o->n_n ? (sae_cell){NULL, (double)o->n[i]} : (sae_cell){"mean over n", NAN};
}

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

/* DICT.tpp.n20, DICT.tpp.mean, DICT.tpp.random.n20, DICT.tpp.gain.n20, DICT.tpp.random.gain.n20, DICT.tpp.over_random.n20: "what" is "",
 * ".gain", ".over_random", ".over_latents" or ".held". */
static sae_status put_number(sae_result *r, const char *dict, int arm, const char *what, const char *at,
                             const interval *v, sae_error *err)
{
    char key[300];

    if (isnan(v->value)) return SAE_OK;
    snprintf(key, sizeof key, "%s.tpp%s%s.%s", dict, parts[arm], what, at);
    return sae_result_silent(r, key, v->value, v->low, v->high, err);
}

enum { COLUMNS = 10 };

/* What stands in a row of the table. */
typedef struct arm_row {
    tpp_score score;
    interval beyond, gain;
    double held;
} arm_row;

static sae_status score_row(sae_result *r, const char *dict, int arm, const tpp_options *o, int at, const arm_row *row,
                            int n_columns, sae_error *err)
{
    sae_status status = SAE_OK;
    const interval *shown[] = {&row->score.total, &row->score.intended, &row->score.unintended, &row->beyond,
                               &row->gain};
    const interval held = {row->held, NAN, NAN};
    char texts[5][64], n[24];

    at_text(n, o, at);
    for (int i = 0; i < 5; i++) text_of(texts[i], sizeof texts[i], shown[i]);
    const sae_cell cells[COLUMNS] = {{dict, NAN},
                                     {names[arm], NAN},
                                     at_cell(o, at),
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
        for (int arm = 0; arm < TPP_WITH_CODES; arm++) {
            for (int i = 0; i <= o->n_n; i++) {
                const tpp *own = scores + d * n_sets;
                arm_row row = {.score = over_sets(own, n_sets, arm, i, scratch)};
                row.beyond = beyond_draws(own, n_sets, arm, i, scratch, &row.held);
                SAE_TRY(gain_over_sets(&row.gain, scores, n_sets, d, arm, i, o->seed, scratch, err));
                SAE_TRY(score_row(r, dict_names[d], arm, o, i, &row, n_columns, err));
            }
        }
    }
done:
    return status;
}

/* ---- The scaffold's codes beside the latents ---------------------------------------------------------------------------- */

enum { CODES_COLUMNS = 7 };

/* Number i of n of dictionary d, which has a scaffold. */
static sae_status codes_row(sae_result *r, const tpp *scores, int n_sets, const char *dict, int d, int i,
                            const tpp_options *o, int n_columns, interval *scratch, sae_error *err)
{
    sae_status status = SAE_OK;
    const tpp *own = scores + d * n_sets;
    const tpp_score v = over_sets(own, n_sets, TPP_WITH_CODES, i, scratch);
    double chosen = 0;
    interval gain, added;
    char texts[3][64], at[24];

    for (int s = 0; s < n_sets; s++) {
        chosen += own[s].at[TPP_WITH_CODES][i].codes / n_sets;
        SAE_TRY(tpp_codes_add(&scratch[s], &own[s], i, o->seed, err));
    }
    added = interval_mean(scratch, n_sets);
    SAE_TRY(gain_over_sets(&gain, scores, n_sets, d, TPP_WITH_CODES, i, o->seed, scratch, err));
    text_of(texts[0], sizeof texts[0], &v.total);
    text_of(texts[1], sizeof texts[1], &added);
    text_of(texts[2], sizeof texts[2], &gain);
    const sae_cell cells[CODES_COLUMNS] = {{dict, NAN},
                                           at_cell(o, i),
                                           {NULL, v.ablated},
                                           {NULL, chosen},
                                           {texts[0], v.total.value},
                                           {texts[1], added.value},
                                           {texts[2], gain.value}};
    SAE_TRY(sae_result_row(r, "codes", cells, n_columns, err));
    at_text(at, o, i);
    SAE_TRY(put_number(r, dict, TPP_WITH_CODES, "", at, &v.total, err));
    SAE_TRY(put_number(r, dict, TPP_WITH_CODES, ".over_latents", at, &added, err));
    SAE_TRY(put_number(r, dict, TPP_WITH_CODES, ".gain", at, &gain, err));
done:
    return status;
}

/* What all codes carry together: DICT.tpp.codes.fall. */
static sae_status all_codes_row(sae_result *r, const tpp *own, int n_sets, const char *dict, interval *scratch,
                                sae_error *err)
{
    sae_status status = SAE_OK;
    char text[64], key[300];

    for (int s = 0; s < n_sets; s++) scratch[s] = own[s].codes;
    const interval fall = interval_mean(scratch, n_sets);
    text_of(text, sizeof text, &fall);
    SAE_TRY(sae_result_row(r, "all_codes",
                           (const sae_cell[]){{dict, NAN}, {NULL, (double)own->rank}, {text, fall.value}}, 3, err));
    snprintf(key, sizeof key, "%s.tpp.codes.fall", dict);
    SAE_TRY(sae_result_silent(r, key, fall.value, fall.low, fall.high, err));
done:
    return status;
}

static sae_status codes_tables(sae_result *r, const tpp *scores, int n_sets, const char *const *dict_names, int n_dicts,
                               const tpp_options *o, interval *scratch, sae_error *err)
{
    static const char *const titles[CODES_COLUMNS] = {
        "dictionary", "n", "ablated", "codes among them", "TPP", "more than latents alone", "gain over the first"};
    static const char *const all_titles[] = {"dictionary", "codes", "fall in accuracy"};
    sae_status status = SAE_OK;
    const int n_columns = n_dicts > 1 ? CODES_COLUMNS : CODES_COLUMNS - 1;
    bool any = false;

    for (int d = 0; d < n_dicts; d++) any = any || scores[d * n_sets].rank > 0;
    if (!any) return SAE_OK;
    SAE_TRY(sae_result_table(r, "codes", "With the scaffold's codes to ablate too", titles, n_columns, err));
    for (int d = 0; d < n_dicts; d++)
        for (int i = 0; scores[d * n_sets].rank > 0 && i <= o->n_n; i++)
            SAE_TRY(codes_row(r, scores, n_sets, dict_names[d], d, i, o, n_columns, scratch, err));
    SAE_TRY(sae_result_table(r, "all_codes", "All of the scaffold's codes ablated together: every probe's accuracy",
                             all_titles, 3, err));
    for (int d = 0; d < n_dicts; d++)
        if (scores[d * n_sets].rank > 0)
            SAE_TRY(all_codes_row(r, scores + d * n_sets, n_sets, dict_names[d], scratch, err));
    SAE_TRY(sae_result_note(
        r,
        "With the scaffold's codes: a code stands for choice like a latent, by the difference of its mean between the "
        "class and the others times the probe along its row of W_up, and is taken off the row when it is ablated. "
        "Where "
        "classes are told in the scaffold rather than in latents, this does more than the latents alone; where n has "
        "room for codes of a small effect most of them go for every class, hurt all probes, and TPP may be lower. All "
        "codes together are one set for every class: a class's own probe and the others fall alike, so TPP is 0 and "
        "the fall itself is told.",
        err));
done:
    return status;
}

/* ---- Curves ----------------------------------------------------------------------------------------------------------------- */

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
    char label[300];

    SAE_TRY(sae_result_plot(r, "curve", "TPP", "latents ablated", "TPP", SAE_PLOT_LINE, SAE_PLOT_LOG_X, err));
    for (int d = 0; d < n_dicts; d++)
        if (!drawn || drawn[d])
            SAE_TRY(curve(r, dict_names[d], scores + d * n_sets, n_sets, TPP_LATENTS, o, scratch, err));
    for (int d = 0; d < n_dicts; d++) {
        if ((drawn && !drawn[d]) || scores[d * n_sets].rank == 0) continue;
        snprintf(label, sizeof label, "%s, and scaffold codes", dict_names[d]);
        SAE_TRY(curve(r, label, scores + d * n_sets, n_sets, TPP_WITH_CODES, o, scratch, err));
    }
    for (int arm = TPP_RANDOM; arm <= TPP_SHUFFLED; arm++) {
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

/* A row for each set and dictionary: its latents at each n. */
static sae_status set_table(sae_result *r, const tpp *scores, const char *const *set_names, int n_sets,
                            const char *const *dict_names, int n_dicts, const tpp_options *o, sae_error *err)
{
    enum { FIRST = 2, MOST = FIRST + TPP_MOST_N + 1 };
    sae_status status = SAE_OK;
    char heads[TPP_MOST_N + 1][24], texts[TPP_MOST_N + 1][64];
    const char *titles[MOST] = {"set", "latents of"};
    sae_cell cells[MOST];

    for (int i = 0; i <= o->n_n; i++) {
        if (i < o->n_n)
            snprintf(heads[i], sizeof heads[i], "n = %lld", (long long)o->n[i]);
        else
            snprintf(heads[i], sizeof heads[i], "mean over n");
        titles[FIRST + i] = heads[i];
    }
    SAE_TRY(sae_result_table(r, "sets", "TPP, each set", titles, FIRST + o->n_n + 1, err));
    for (int s = 0; s < n_sets; s++)
        for (int d = 0; d < n_dicts; d++) {
            cells[0] = (sae_cell){set_names[s], NAN};
            cells[1] = (sae_cell){dict_names[d], NAN};
            for (int i = 0; i <= o->n_n; i++) {
                const interval *v = &scores[d * n_sets + s].at[TPP_LATENTS][i].total;
                text_of(texts[i], sizeof texts[i], v);
                cells[FIRST + i] = (sae_cell){texts[i], v->value};
            }
            SAE_TRY(sae_result_row(r, "sets", cells, FIRST + o->n_n + 1, err));
        }
done:
    return status;
}

static sae_status sizes_note(sae_result *r, const tpp *scores, const char *const *set_names, int n_sets, sae_error *err)
{
    char text[1600] = "Training and test documents of each class:";

    for (int s = 0; s < n_sets; s++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s %lld and %lld of the %d classes of %.200s",
                 s ? "," : "", (long long)scores[s].train, (long long)scores[s].test, scores[s].n_classes,
                 set_names[s]);
    snprintf(text + strlen(text), sizeof text - strlen(text), ".");
    return sae_result_note(r, text, err);
}

/* How many of the scores of shuffled labels leave 0 out, of all dictionaries at every n: of so many intervals some do by chance. */
static sae_status nulls(sae_result *r, const tpp *scores, int n_sets, int n_dicts, const tpp_options *o,
                        interval *scratch, sae_error *err)
{
    sae_status status = SAE_OK;
    int off = 0;
    const int tests = n_dicts * o->n_n;
    char text[800];

    for (int d = 0; d < n_dicts; d++)
        for (int i = 0; i < o->n_n; i++) {
            const interval v = over_sets(scores + d * n_sets, n_sets, TPP_SHUFFLED, i, scratch).total;
            off += v.low > 0 || v.high < 0;
        }
    SAE_TRY(sae_result_silent(r, "tpp.shuffled.off", off, off, off, err));
    SAE_TRY(sae_result_silent(r, "tpp.shuffled.tests", tests, tests, tests, err));
    snprintf(text, sizeof text,
             "Labels shuffled, where TPP should be 0: %d of %d intervals (%d %s at %d n) leave 0 out; 1 in 20, %.3g, "
             "would by "
             "chance. They are not independent: all dictionaries are asked with the same shuffled labels, probes and "
             "documents, and a larger n holds the latents of the smaller, so that they are off together.",
             off, tests, n_dicts, n_dicts == 1 ? "dictionary" : "dictionaries", o->n_n, 0.05 * tests);
    SAE_TRY(sae_result_note(r, text, err));
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
    SAE_TRY(codes_tables(result, scores, n_sets, dict_names, n_dicts, options, scratch, err));
    SAE_TRY(set_table(result, scores, set_names, n_sets, dict_names, n_dicts, options, err));
    SAE_TRY(curves(result, scores, n_sets, dict_names, drawn, n_dicts, options, scratch, err));
    SAE_TRY(sae_result_note(
        result,
        "TPP(n) = fall in the accuracy of a class's own probe (intended) less the mean fall in that of the others "
        "(unintended), when the n latents with the largest positive effect on the class are ablated on every token. "
        "Probes are logistic regressions (C = 1) on mean rows of the training documents and stay fixed. Intervals: 95 "
        "%, test documents resampled, of a gain the same for both dictionaries. Latents of equal density: mean of five "
        "draws from all latents, those of the class among them (their share stands beside); their interval counts "
        "their "
        "spread, that of what is more than drawn has room for another draw. \"Mean over n\" is TPP(n) averaged over "
        "all n "
        "of the table, document by document: one number that picks no n. An audit of SAEBench found TPP to fall "
        "with better training at times: read it beside its controls.",
        err));
    SAE_TRY(sizes_note(result, scores, set_names, n_sets, err));
    SAE_TRY(nulls(result, scores, n_sets, n_dicts, options, scratch, err));
done:
    mem_free(scratch);
    return status;
}
