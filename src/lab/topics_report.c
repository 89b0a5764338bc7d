/*
 * topics_report.c - the tables of topic classification.
 */
#include "lab/loss_report.h"
#include "lab/topics.h"

#include <math.h>
#include <stdio.h>

static sae_status set_table(sae_result *r, const topics *m, const char *name, sae_error *err)
{
    static const char *const titles[] = {"change", "fixed probe", "its fall", "more than at random",
                                         "re-trained probe"};
    sae_status status = SAE_OK;
    char title[300], key[200], texts[4][INTERVAL_TEXT] = {""};

    snprintf(title, sizeof title,
             "%.100s: %d classes, chance %.4g; %lld questions of each to train on, %lld to test on", name, m->n_classes,
             1.0 / m->n_classes, (long long)m->train, (long long)m->test);
    SAE_TRY(sae_result_table(r, name, title, titles, 5, err));
    for (int i = 0; i < m->n_arms; i++) {
        const topics_arm *arm = &m->arms[i];
        interval_text(texts[0], &arm->fixed);
        interval_text(texts[1], &arm->fall);
        interval_text(texts[2], &arm->retrained);
        snprintf(texts[3], sizeof texts[3], "-");
        if (isfinite(arm->over_random.value)) interval_text(texts[3], &arm->over_random);
        sae_cell cells[] = {{arm->name, NAN},
                            {texts[0], arm->fixed.value},
                            {texts[1], arm->fall.value},
                            {texts[3], arm->over_random.value},
                            {texts[2], arm->retrained.value}};
        SAE_TRY(sae_result_row(r, name, cells, 5, err));
    }
    snprintf(key, sizeof key, "%.100s.clean", name);
    SAE_TRY(sae_result_interval(r, key, m->arms[0].fixed.value, m->arms[0].fixed.low, m->arms[0].fixed.high, err));
    snprintf(key, sizeof key, "%.100s.labels shuffled", name);
    SAE_TRY(sae_result_interval(r, key, m->shuffled.value, m->shuffled.low, m->shuffled.high, err));
    snprintf(key, sizeof key, "%.100s.chance", name);
    SAE_TRY(sae_result_number(r, key, 1.0 / m->n_classes, err));
done:
    return status;
}

sae_status topics_report(sae_result *result, const topics *sets, const char *const *names, int n_sets, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < n_sets; i++) SAE_TRY(set_table(result, &sets[i], names[i], err));
    SAE_TRY(sae_result_note(
        result,
        "A multinomial logistic regression on pooled rows (C = 1, columns standardised), fitted on clean training "
        "rows. "
        "Fixed: the same probe on changed test rows. Re-trained: fitted on changed training rows. R2 is x - x P, R3 is "
        "x - "
        "(x - mean) P with the mean over tokens; PCA is of the tokens' rows, random subspaces are of the same rank. "
        "Ablating features takes f_i d_i off every token. Topic-aligned: the largest |<d_i, w_c>| over classes c; "
        "random "
        "features: any that fire on these documents. Of what is random the fixed probe's answers are averaged over 5 "
        "draws, "
        "and a probe is trained anew after the first. Intervals: 95 %, test questions resampled; that of \"more than "
        "at "
        "random\" leaves room for another draw too. Questions that begin alike are never in both parts.",
        err));
done:
    return status;
}
