/*
 * probing_report.c - the tables of sparse probing.
 */
#include "eval/probing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void interval_text(char *out, size_t size, const interval *v)
{
    if (isnan(v->value))
        snprintf(out, size, "-");
    else
        snprintf(out, size, "%.3f [%.3f, %.3f]", v->value, v->low, v->high);
}

/* The mean over the sets of arm `arm` at its k number i. */
static interval over_sets(const probing *sets, int n_sets, int arm, int i, bool gain, interval *scratch)
{
    for (int s = 0; s < n_sets; s++) scratch[s] = gain ? sets[s].arms[arm].gain[i] : sets[s].arms[arm].accuracy[i];
    return interval_mean(scratch, n_sets);
}

/* Two names for a number. The regular one, of every arm: DICT.probing.k5, DICT.probing.random.k5, DICT.probing.gain.k5, probing.neurons.k5,
 * probing.residual; DICT.probing.mean is over all k. The older one, of latents, gains and the residual stream: DICT.latents.accuracy.k5. */
static sae_status put_number(sae_result *r, const char *dict, const probing_arm *arm, bool gain, const char *at,
                             const interval *v, sae_error *err)
{
    static const char *const parts[] = {
        [PROBING_LATENTS] = "",
        [PROBING_SCAFFOLD] = ".scaffold",
        [PROBING_RANDOM] = ".random",
        [PROBING_SHUFFLED] = ".shuffled",
        [PROBING_NEURONS] = ".neurons",
        [PROBING_COMPONENTS] = ".components",
        [PROBING_RESIDUAL] = ".residual",
        [PROBING_LATENTS_SCALED] = ".scaled",
        [PROBING_SCAFFOLD_SCALED] = ".scaffold.scaled",
    };
    char key[300], of_k[24] = "";
    const char *point = dict ? "." : "";
    sae_status status = SAE_OK;

    if (!dict) dict = "";
    if (arm->what != PROBING_RESIDUAL) snprintf(of_k, sizeof of_k, ".%s", at);
    snprintf(key, sizeof key, "%s%sprobing%s%s%s", dict, point, parts[arm->what], gain ? ".gain" : "", of_k);
    SAE_TRY(sae_result_silent(r, key, v->value, v->low, v->high, err));
    if (!gain && arm->what != PROBING_LATENTS && arm->what != PROBING_RESIDUAL) return SAE_OK;
    if (arm->what >= PROBING_LATENTS_SCALED) return SAE_OK;
    snprintf(key, sizeof key, "%s%s%s.%s%s", dict, point, probing_name(arm->what), gain ? "gain" : "accuracy", of_k);
    SAE_TRY(sae_result_silent(r, key, v->value, v->low, v->high, err));
done:
    return status;
}

enum { TEXT = 64, AT_MOST = PROBING_MOST_K + 1, HEAD = 24 };

/* Titles of the columns: each k, then their mean. */
static void at_titles(char heads[AT_MOST][HEAD], const char **titles, const probing_options *o)
{
    for (int i = 0; i <= o->n_k; i++) {
        if (i < o->n_k)
            snprintf(heads[i], HEAD, "k = %d", o->k[i]);
        else
            snprintf(heads[i], HEAD, "mean over k");
        titles[i] = heads[i];
    }
}

/* Of keys: "k5", or "mean". */
static void at_text(char out[HEAD], const probing_options *o, int i)
{
    if (i < o->n_k)
        snprintf(out, HEAD, "k%d", o->k[i]);
    else
        snprintf(out, HEAD, "mean");
}

/* Whether an arm has a number there: all of the residual stream is probed once, whatever k. */
static bool has_at(const probing_arm *arm, int i) { return arm->what != PROBING_RESIDUAL || i == 0; }

/* One table: a row for each arm, a column for each k; `gain`: what is gained over the rival, for the arms that have one. */
static sae_status arm_table(sae_result *r, const char *table, const char *title, const probing *sets, int n_sets,
                            const char *const *dict_names, const probing_options *o, bool gain, interval *scratch,
                            sae_error *err)
{
    sae_status status = SAE_OK;
    char heads[AT_MOST][HEAD], texts[AT_MOST][TEXT], at[HEAD];
    const char *titles[AT_MOST + 2] = {"dictionary", "probe on"};
    sae_cell cells[AT_MOST + 2];

    at_titles(heads, titles + 2, o);
    SAE_TRY(sae_result_table(r, table, title, titles, o->n_k + 3, err));
    for (int a = 0; a < sets[0].n_arms; a++) {
        const probing_arm *arm = &sets[0].arms[a];
        if (gain && !arm->has_gain) continue;
        const char *dict = arm->dict < 0 ? NULL : dict_names[arm->dict];
        cells[0] = (sae_cell){dict ? dict : "-", NAN};
        cells[1] = (sae_cell){probing_name(arm->what), NAN};
        for (int i = 0; i <= o->n_k; i++) {
            interval v = {NAN, NAN, NAN};
            at_text(at, o, i);
            if (has_at(arm, i)) {
                v = over_sets(sets, n_sets, a, i, gain, scratch);
                SAE_TRY(put_number(r, dict, arm, gain, at, &v, err));
            }
            interval_text(texts[i], TEXT, &v);
            cells[i + 2] = (sae_cell){texts[i], v.value};
        }
        SAE_TRY(sae_result_row(r, table, cells, o->n_k + 3, err));
    }
done:
    return status;
}

/* A row for each set and dictionary, its latents at each k; and one for all of the residual stream. */
static sae_status set_rows(sae_result *r, const probing *set, const char *name, const char *const *dict_names,
                           const probing_options *o, sae_error *err)
{
    enum { FIRST = 5 };
    sae_status status = SAE_OK;
    char texts[AT_MOST][TEXT];
    sae_cell cells[AT_MOST + FIRST];

    for (int a = 0; a < set->n_arms; a++) {
        const probing_arm *arm = &set->arms[a];
        if (arm->what != PROBING_LATENTS && arm->what != PROBING_RESIDUAL) continue;
        cells[0] = (sae_cell){name, NAN};
        cells[1] = (sae_cell){NULL, set->n_classes};
        cells[2] = (sae_cell){NULL, (double)set->train};
        cells[3] = (sae_cell){NULL, (double)set->test};
        cells[4] =
            (sae_cell){arm->what == PROBING_RESIDUAL ? "residual stream, all of it" : dict_names[arm->dict], NAN};
        for (int i = 0; i <= o->n_k; i++) {
            interval v = has_at(arm, i) ? arm->accuracy[i] : (interval){NAN, NAN, NAN};
            interval_text(texts[i], TEXT, &v);
            cells[FIRST + i] = (sae_cell){texts[i], v.value};
        }
        SAE_TRY(sae_result_row(r, "sets", cells, FIRST + o->n_k + 1, err));
    }
done:
    return status;
}

static sae_status set_table(sae_result *r, const probing *sets, const char *const *set_names, int n_sets,
                            const char *const *dict_names, const probing_options *o, sae_error *err)
{
    sae_status status = SAE_OK;
    char heads[AT_MOST][HEAD];
    const char *titles[AT_MOST + 5] = {"set", "classes", "train", "test", "latents of"};

    at_titles(heads, titles + 5, o);
    SAE_TRY(sae_result_table(r, "sets", "Test accuracy, each set", titles, 6 + o->n_k, err));
    for (int s = 0; s < n_sets; s++) SAE_TRY(set_rows(r, &sets[s], set_names[s], dict_names, o, err));
done:
    return status;
}

sae_status probing_report(sae_result *result, const probing *sets, const char *const *set_names, int n_sets,
                          const char *const *dict_names, const probing_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    bool gains = false;
    interval *scratch = mem_alloc_array((size_t)n_sets, sizeof *scratch, "intervals", err);

    if (!scratch) return SAE_NOMEM;
    for (int a = 0; a < sets[0].n_arms; a++) gains = gains || sets[0].arms[a].has_gain;
    SAE_TRY(arm_table(result, "accuracy", "Test accuracy, mean over tasks and sets; chance is 0.5", sets, n_sets,
                      dict_names, options, false, scratch, err));
    if (gains)
        SAE_TRY(arm_table(result, "gain",
                          "Gain in accuracy: latents over the first dictionary's; scaffold codes over latents alone",
                          sets, n_sets, dict_names, options, true, scratch, err));
    SAE_TRY(set_table(result, sets, set_names, n_sets, dict_names, options, err));
    SAE_TRY(sae_result_note(
        result,
        "A task is one class against equally many documents of the others. Columns are chosen by the difference of "
        "their means over the training documents, probes are logistic regressions (C = 1) at their optimum, fitted on "
        "the training documents; intervals are 95 % by resampling test documents (they do not tell what other "
        "training documents would change). Codes are in units of decoder rows of norm 1. The difference of means has a "
        "scale: a scaffold's "
        "codes are larger than latents and may be chosen before what tells more, so that they can make a probe worse. "
        "\"Scaled choice\" chooses by the difference over the pooled standard deviation instead.",
        err));
done:
    mem_free(scratch);
    return status;
}
