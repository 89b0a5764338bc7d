/*
 * retrain.c - the spans of dense and of other latents, and counts of what was trained on rows without them.
 *
 * A dictionary trained on x (I - P) is measured on x with (I - P) W_enc for its encoder and b_enc - b_dec P W_enc for its bias: its
 * codes are the same.
 */
#include "lab/retrain.h"
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double LEAST_LEFT = 1e-6; /* of the variance: float32 rows less a span that they lie in keep less */

/* What retrain_report was handed, and the baseline's latents with their spans. */
typedef struct ablated {
    sae_result *r;
    sample *s;
    retrain_train train;
    void *user;
    const sae_progress *progress;
    double threshold; /* a latent is dense above it */
    core_arm baseline;
    int64_t n_dense;
    subspace dense, others;
    row_moments rows; /* of the sample, once there is a dense latent */
} ablated;

static void ablated_free(ablated *w)
{
    core_arm_free(&w->baseline);
    subspace_free(&w->dense);
    subspace_free(&w->others);
    row_moments_free(&w->rows);
}

static sae_status span_of(subspace *out, sae_dict *dict, const int64_t *latents, int64_t n, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t d = sae_dict_get_config(dict)->d_in;
    const float *W_dec = sae_dict_weights(dict).W_dec;
    double *rows = mem_alloc_array((size_t)n + 1, (size_t)d * sizeof *rows, "decoder rows", err);

    if (!rows) return SAE_NOMEM;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) rows[i * d + j] = (double)W_dec[latents[i] * d + j];
    SAE_TRY(subspace_of_directions(out, rows, n, d, err));
done:
    mem_free(rows);
    return status;
}

/* The dense ones, and as many at random of those that fire but are not dense. */
static sae_status find_spans(ablated *w, sae_dict *dict, uint64_t seed, sae_error *err)
{
    sae_status status = SAE_OK;
    const density *p = &w->baseline.density;
    rng random = rng_seed(seed, 83);
    int64_t n_others = 0;
    int64_t *latents = mem_alloc_array((size_t)p->d_sae + 1, sizeof *latents, "latents", err);

    if (!latents) return SAE_NOMEM;
    w->n_dense = density_dense(p, w->threshold);
    SAE_TRY(density_top(p, w->n_dense, latents, err));
    SAE_TRY(span_of(&w->dense, dict, latents, w->n_dense, err));
    for (int64_t i = 0; i < p->d_sae; i++)
        if (p->fired[i] > 0 && density_of(p, i) <= w->threshold) latents[n_others++] = i;
    rng_shuffle(&random, latents, n_others);
    SAE_TRY(span_of(&w->others, dict, latents, n_others < w->n_dense ? n_others : w->n_dense, err));
done:
    mem_free(latents);
    return status;
}

/* Is there something to train on without these latents? A note says why not. */
static sae_status leaves_something(const ablated *w, const subspace *span, const char *whose, bool *leaves,
                                   sae_error *err)
{
    sae_status status = SAE_OK;
    double all = 0, share = 0; /* of the held-out rows' variance what lies outside the span */
    char note[400];

    for (int64_t j = 0; j < w->rows.d; j++) all += w->rows.spectrum[j];
    if (all > 0 && span->rank < w->rows.d) share = fmax(0, 1 - subspace_variance(span, w->rows.covariance) / all);
    *leaves = share > LEAST_LEFT;
    if (*leaves) return SAE_OK;
    snprintf(note, sizeof note,
             "Nothing was trained: the span of %s has %lld of %lld dimensions and leaves a share of %.2g of the rows' "
             "variance, which is rounding. A higher --dense-threshold or a smaller k has fewer dense latents.",
             whose, (long long)span->rank, (long long)w->s->d, share);
    SAE_TRY(sae_result_note(w->r, note, err));
done:
    return status;
}

/* The encoder that gives on x the codes that `dict` gives on x (I - P). */
static void fold(sae_dict *dict, const subspace *P)
{
    const sae_dict_config *c = sae_dict_get_config(dict);
    sae_weights w = sae_dict_weights(dict);

#pragma omp parallel for
    for (int64_t i = 0; i < c->d_sae; i++) {
        float *row = w.W_enc + i * c->d_in;
        double moved = 0;
        for (int64_t k = 0; k < P->rank; k++) {
            const double *u = P->basis + k * c->d_in;
            double along = 0, bias = 0;
            for (int64_t j = 0; j < c->d_in; j++) {
                along += u[j] * (double)row[j];
                bias += u[j] * (double)w.b_dec[j];
            }
            moved += along * bias;
            for (int64_t j = 0; j < c->d_in; j++) row[j] = (float)((double)row[j] - along * u[j]);
        }
        w.b_enc[i] = (float)((double)w.b_enc[i] - moved);
    }
}

static sae_status count_row(const ablated *w, const char *what, const core_arm *arm, int64_t removed, const char *key,
                            sae_error *err)
{
    sae_status status = SAE_OK;
    const double headline = (double)density_dense(&arm->density, w->threshold);
    sae_cell cells[DENSITY_THRESHOLDS + 3] = {{what, NAN}, {NULL, (double)removed}, {NULL, core_l0(arm)}};
    char name[64], shares[DENSITY_THRESHOLDS][24];
    const char *categories[DENSITY_THRESHOLDS];
    double dense[DENSITY_THRESHOLDS];

    for (int i = 0; i < DENSITY_THRESHOLDS; i++) {
        dense[i] = (double)density_dense(&arm->density, density_thresholds[i]);
        cells[i + 3] = (sae_cell){NULL, dense[i]};
        snprintf(shares[i], sizeof shares[i], "%g %%", 100 * density_thresholds[i]);
        categories[i] = shares[i];
    }
    SAE_TRY(sae_result_row(w->r, "counts", cells, DENSITY_THRESHOLDS + 3, err));
    SAE_TRY(sae_result_bars(w->r, "counts", what, categories, dense, NULL, NULL, DENSITY_THRESHOLDS, err));
    snprintf(name, sizeof name, "%s.dense_%g", key, w->threshold);
    SAE_TRY(sae_result_silent(w->r, name, headline, headline, headline, err));
done:
    return status;
}

static sae_status count(const ablated *w, retrain_arm arm, const subspace *less, const char *what, const char *key,
                        sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;
    core_arm found = {0};

    SAE_TRY(w->train(w->user, arm, less, &dict, err));
    fold(dict, less);
    SAE_TRY(core_measure(&found, w->s, dict, w->progress, err));
    SAE_TRY(count_row(w, what, &found, less->rank, key, err));
done:
    core_arm_free(&found);
    sae_dict_free(dict);
    return status;
}

static sae_status measure(const ablated *w, sae_error *err)
{
    static const char *const columns[] = {"trained on", "directions removed", "L0", "dense 5 %", "10 %", "20 %",
                                          "30 %"};
    sae_status status = SAE_OK;
    char note[400];

    snprintf(note, sizeof note,
             "The span of the decoder rows of the baseline's latents over %g %% is taken out of the rows, and a "
             "dictionary is trained on them, like the baseline in everything else. The control loses the span of as "
             "many latents that fire on at most %g %% of tokens, drawn at random.",
             100 * w->threshold, 100 * w->threshold);
    SAE_TRY(sae_result_note(w->r, note, err));
    SAE_TRY(sae_result_plot(w->r, "counts", "Dense latents after training", "firing on more than this share of tokens",
                            "latents", SAE_PLOT_BAR, 0, err));
    SAE_TRY(sae_result_table(w->r, "counts", "Dense latents after training", columns, 7, err));
    SAE_TRY(count_row(w, "all of the rows", &w->baseline, 0, "baseline", err));
    SAE_TRY(count(w, RETRAIN_DENSE, &w->dense, "rows without its dense latents", "less_dense", err));
    SAE_TRY(count(w, RETRAIN_OTHERS, &w->others, "rows without as many others", "less_others", err));
    SAE_TRY(sae_result_control(w->r, "counts", "rows without as many others", err));
done:
    return status;
}

sae_status retrain_report(sae_result *r, sae_dict *baseline, sample *s, double threshold, uint64_t seed,
                          retrain_train train, void *user, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    ablated w = {.r = r, .s = s, .train = train, .user = user, .progress = progress, .threshold = threshold};
    bool leaves = false;
    char note[128];

    SAE_TRY(core_measure(&w.baseline, s, baseline, progress, err));
    SAE_TRY(find_spans(&w, baseline, seed, err));
    snprintf(note, sizeof note, "The baseline has no latent over %g %%: there is nothing to remove.", 100 * threshold);
    if (w.n_dense == 0) {
        SAE_TRY(sae_result_note(r, note, err));
    } else {
        SAE_TRY(row_moments_of_sample(&w.rows, s, err));
        SAE_TRY(leaves_something(&w, &w.dense, "the baseline's dense latents", &leaves, err));
    }
    if (leaves) SAE_TRY(leaves_something(&w, &w.others, "as many other latents", &leaves, err));
    if (leaves) SAE_TRY(measure(&w, err));
done:
    ablated_free(&w);
    return status;
}

/* ---- The part of a run -------------------------------------------------------------------------------------------------------- */

static sae_status train_arm(void *user, retrain_arm arm, const subspace *less, sae_dict **out, sae_error *err)
{
    sae_status status = SAE_OK;
    experiment *e = user;
    const roster_use use = arm == RETRAIN_DENSE ? USE_DENSE : USE_OTHERS;

    for (int i = 0; i < e->roster.n; i++)
        if (e->roster.entries[i].use == use) SAE_TRY(roster_look(e, &e->roster.entries[i], err));
    SAE_TRY(arms_train(e, use, use, less, err));
    SAE_TRY(roster_load(e, roster_find(e, e->options.archs[0], use, SAE_P1, e->options.seed), out, err));
done:
    return status;
}

static const roster_entry *first_baseline(const experiment *e)
{
    return roster_find(e, e->options.archs[0], USE_BASELINE, SAE_P1, e->options.seed);
}

static sae_status retrain(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *baseline = NULL;
    sae_result *r = NULL;

    SAE_TRY(experiment_sample(e, err));
    SAE_TRY(roster_load(e, first_baseline(e), &baseline, err));
    SAE_TRY(experiment_result(e, "retrain", "Dense latents removed, and trained anew", &r, err));
    SAE_TRY(retrain_report(r, baseline, &e->held_out, e->options.dense_threshold, e->options.seed, train_arm, e,
                           e->progress, err));
done:
    sae_dict_free(baseline);
    return status;
}

sae_status retrain_parts(experiment *e, sae_error *err)
{
    json_t *about;

    if (e->options.retrain <= 0) return SAE_OK;
    about = json_pack("{so sf}", "baseline", roster_identity(e, first_baseline(e)), "dense_threshold",
                      e->options.dense_threshold);
    return part_run(e, "retrain", part_identity(e, about), retrain, err);
}
