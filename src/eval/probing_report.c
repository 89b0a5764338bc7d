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
 * probing.residual. The older one, of latents, gains and the residual stream: DICT.latents.accuracy.k5. */
static sae_status put_number(sae_result *r, const char *dict, const probing_arm *arm, bool gain, int k,
                             const interval *v, sae_error *err)
{
    static const char *const parts[] = {
        [PROBING_LATENTS] = "",           [PROBING_SCAFFOLD] = ".scaffold", [PROBING_RANDOM] = ".random",
        [PROBING_SHUFFLED] = ".shuffled", [PROBING_NEURONS] = ".neurons",   [PROBING_COMPONENTS] = ".components",
        [PROBING_RESIDUAL] = ".residual",
    };
    char key[300], of_k[16] = "";
    const char *point = dict ? "." : "";
    sae_status status = SAE_OK;

    if (!dict) dict = "";
    if (arm->what != PROBING_RESIDUAL) snprintf(of_k, sizeof of_k, ".k%d", k);
    snprintf(key, sizeof key, "%s%sprobing%s%s%s", dict, point, parts[arm->what], gain ? ".gain" : "", of_k);
    SAE_TRY(sae_result_silent(r, key, v->value, v->low, v->high, err));
    if (!gain && arm->what != PROBING_LATENTS && arm->what != PROBING_RESIDUAL) return SAE_OK;
    snprintf(key, sizeof key, "%s%s%s.%s%s", dict, point, probing_name(arm->what), gain ? "gain" : "accuracy", of_k);
    SAE_TRY(sae_result_silent(r, key, v->value, v->low, v->high, err));
done:
    return status;
}

enum { TEXT = 64 };

/* One table: a row for each arm, a column for each k; `gain`: what is gained over the rival, for the arms that have one. */
static sae_status arm_table(sae_result *r, const char *table, const char *title, const probing *sets, int n_sets,
                            const char *const *dict_names, const probing_options *o, bool gain, interval *scratch,
                            sae_error *err)
{
    sae_status status = SAE_OK;
    char heads[PROBING_MOST_K][16], texts[PROBING_MOST_K][TEXT];
    const char *titles[PROBING_MOST_K + 2] = {"dictionary", "probe on"};
    sae_cell cells[PROBING_MOST_K + 2];

    for (int i = 0; i < o->n_k; i++) {
        snprintf(heads[i], sizeof heads[i], "k = %d", o->k[i]);
        titles[i + 2] = heads[i];
    }
    SAE_TRY(sae_result_table(r, table, title, titles, o->n_k + 2, err));
    for (int a = 0; a < sets[0].n_arms; a++) {
        const probing_arm *arm = &sets[0].arms[a];
        if (gain && !arm->has_gain) continue;
        const char *dict = arm->dict < 0 ? NULL : dict_names[arm->dict];
        cells[0] = (sae_cell){dict ? dict : "-", NAN};
        cells[1] = (sae_cell){probing_name(arm->what), NAN};
        for (int i = 0; i < o->n_k; i++) {
            interval v = {NAN, NAN, NAN};
            if (i < arm->n_k) {
                v = over_sets(sets, n_sets, a, i, gain, scratch);
                SAE_TRY(put_number(r, dict, arm, gain, o->k[i], &v, err));
            }
            interval_text(texts[i], TEXT, &v);
            cells[i + 2] = (sae_cell){texts[i], v.value};
        }
        SAE_TRY(sae_result_row(r, table, cells, o->n_k + 2, err));
    }
done:
    return status;
}

/* A row for each set: every dictionary's latents at each k, and all of the residual stream. */
static sae_status set_table(sae_result *r, const probing *sets, const char *const *set_names, int n_sets,
                            const char *const *dict_names, const probing_options *o, sae_error *err)
{
    enum { MOST = 40 };
    sae_status status = SAE_OK;
    char heads[MOST][160], texts[MOST][TEXT];
    const char *titles[MOST] = {"set", "classes", "train", "test"};
    sae_cell cells[MOST];
    int n = 4;

    for (int s = -1; s < n_sets; s++) { /* first the heads, then the rows */
        n = 4;
        for (int a = 0; a < sets[0].n_arms; a++) {
            const probing_arm *arm = &sets[s < 0 ? 0 : s].arms[a];
            if (arm->what != PROBING_LATENTS && arm->what != PROBING_RESIDUAL) continue;
            for (int i = 0; i < arm->n_k && n < MOST; i++, n++) {
                if (arm->what == PROBING_RESIDUAL)
                    snprintf(heads[n], sizeof heads[n], "residual stream");
                else
                    snprintf(heads[n], sizeof heads[n], "%.120s, k = %d", dict_names[arm->dict], o->k[i]);
                titles[n] = heads[n];
                interval_text(texts[n], TEXT, &arm->accuracy[i]);
                cells[n] = (sae_cell){texts[n], arm->accuracy[i].value};
            }
        }
        if (s < 0) {
            SAE_TRY(sae_result_table(r, "sets", "Test accuracy, each set", titles, n, err));
            continue;
        }
        cells[0] = (sae_cell){set_names[s], NAN};
        cells[1] = (sae_cell){NULL, sets[s].n_classes};
        cells[2] = (sae_cell){NULL, (double)sets[s].train};
        cells[3] = (sae_cell){NULL, (double)sets[s].test};
        SAE_TRY(sae_result_row(r, "sets", cells, n, err));
    }
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
        "training documents would change). Codes are in units of decoder rows of norm 1.",
        err));
done:
    mem_free(scratch);
    return status;
}
