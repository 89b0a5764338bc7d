/*
 * topics_report.c - the tables of topic classification.
 */
#include "lab/loss_report.h"
#include "lab/redundancy.h"
#include "lab/topics_sets.h"

#include <math.h>
#include <stdio.h>

/* "-": not measured, or nothing to compare with; beside one draw there is no interval. */
static const char *text_of(char text[INTERVAL_TEXT], const interval *v)
{
    snprintf(text, INTERVAL_TEXT, "-");
    if (isfinite(v->value) && isfinite(v->low)) interval_text(text, v);
    if (isfinite(v->value) && !isfinite(v->low)) snprintf(text, INTERVAL_TEXT, "%.3f (no interval)", v->value);
    return text;
}

static sae_status arm_row(sae_result *r, const char *table, const topics_arm *arm, sae_error *err)
{
    const interval *const values[] = {&arm->fixed, &arm->fall, &arm->over_random, &arm->retrained,
                                      &arm->retrained_over_random};
    char texts[5][INTERVAL_TEXT] = {""}, held[16] = "-";

    for (int i = 0; i < 5; i++) text_of(texts[i], values[i]);
    if (isfinite(arm->held)) snprintf(held, sizeof held, "%.2f", arm->held);
    if (arm->held > CONTROL_MOST_SHARED) snprintf(texts[2], INTERVAL_TEXT, "- (no like features)");
    const sae_cell cells[] = {{arm->name, NAN},
                              {texts[0], arm->fixed.value},
                              {texts[1], arm->fall.value},
                              {texts[2], arm->over_random.value},
                              {held, arm->held},
                              {texts[3], arm->retrained.value},
                              {texts[4], arm->retrained_over_random.value}};

    return sae_result_row(r, table, cells, 7, err);
}

static sae_status set_table(sae_result *r, const topics *m, const char *name, sae_error *err)
{
    static const char *const titles[] = {
        "change",           "fixed probe",          "its fall", "more than drawn", "held by the draws",
        "re-trained probe", "falls more than drawn"};
    sae_status status = SAE_OK;
    char title[300], key[200];

    snprintf(title, sizeof title,
             "%.100s: %d classes, chance %.4g; %lld questions of each to train on, %lld to test on", name, m->n_classes,
             1.0 / m->n_classes, (long long)m->train, (long long)m->test);
    SAE_TRY(sae_result_table(r, name, title, titles, 7, err));
    for (int i = 0; i < m->n_arms; i++) SAE_TRY(arm_row(r, name, &m->arms[i], err));
    snprintf(key, sizeof key, "%.100s.clean", name);
    SAE_TRY(sae_result_interval(r, key, m->arms[0].fixed.value, m->arms[0].fixed.low, m->arms[0].fixed.high, err));
    snprintf(key, sizeof key, "%.100s.labels shuffled", name);
    SAE_TRY(sae_result_interval(r, key, m->shuffled.value, m->shuffled.low, m->shuffled.high, err));
    snprintf(key, sizeof key, "%.100s.chance", name);
    SAE_TRY(sae_result_number(r, key, 1.0 / m->n_classes, err));
done:
    return status;
}

sae_status topics_report(sae_result *result, const topics_set *sets, int n_sets, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < n_sets; i++) SAE_TRY(set_table(result, &sets[i].found, sets[i].name, err));
    SAE_TRY(sae_result_note(
        result,
        "A multinomial logistic regression on pooled rows (C = 1, columns standardised), fitted on clean training "
        "rows. Fixed: the same probe on changed test rows. Re-trained: fitted on changed training rows. R2 is x - x P, "
        "R3 is x - (x - mean) P with the mean over tokens; PCA is of the tokens' rows, random subspaces are of the "
        "same "
        "rank. Ablating features takes f_i d_i off every token. Topic-aligned: the largest |<d_i, w_c>| over classes "
        "c. "
        "Features of equal density: as many that fire in as many of these questions, drawn from all, the aligned ones "
        "among them; \"held by the draws\" is the share of the aligned ones that the draws hold, and over three "
        "quarters of "
        "them "
        "nothing is compared: they have no like. Of what is drawn the fixed probe's answers are averaged over 5 draws, "
        "and a probe is trained anew after the first three; of more than ten classes, where that takes long, after the "
        "first alone, and what falls more than that has no interval. Intervals: 95 %, test questions resampled; those "
        "of "
        "what is more than drawn leave room for another draw too. Questions that "
        "begin "
        "alike are never in both parts.",
        err));
done:
    return status;
}
