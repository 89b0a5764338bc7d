/*
 * core_report.c - puts core measures into a result, each with the words that say what it is.
 */
#include "eval/core.h"

#include <math.h>
#include <stdio.h>

/* A number with what it is called and what it is. */
static sae_status measure(sae_result *result, const char *key, const char *name, double value, const char *meaning,
                          sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_number(result, key, value, err));
    SAE_TRY(sae_result_label(result, key, name, meaning, err));
done:
    return status;
}

static sae_status report_fit(sae_result *result, const core_arm *a, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t rank = sae_dict_get_config(a->dict)->rank, d_sae = a->density.d_sae;
    double dead = (double)density_dead(&a->density);

    SAE_TRY(measure(result, "l0", "L0", core_l0(a), "latents above zero per token", err));
    if (rank)
        SAE_TRY(measure(result, "l0_plus_rank", "L0 + r", core_l0(a) + (double)rank, "with the scaffold's codes", err));
    SAE_TRY(measure(result, "fvu", "FVU", fit_fvu(&a->full), "sum |x - recon|^2 / sum |x - mean|^2", err));
    SAE_TRY(measure(result, "explained_variance", "explained variance", 1 - fit_fvu(&a->full), "1 - FVU", err));
    if (rank)
        SAE_TRY(measure(result, "fvu_sparse_only", "FVU, sparse part only", fit_fvu(&a->sparse), "without the scaffold",
                        err));
    SAE_TRY(measure(result, "cosine", "cosine", fit_cosine(&a->full), "mean of cos(x, recon)", err));
    SAE_TRY(measure(result, "dead", "dead latents", dead, "never fired on these tokens", err));
    SAE_TRY(measure(result, "dead_share", "dead, share of width", dead / (double)d_sae, NULL, err));
done:
    return status;
}

static sae_status report_losses(sae_result *result, const core_losses *l, sae_error *err)
{
    sae_status status = SAE_OK;
    double clean = loss_mean(l->table, l->clean), zero = loss_mean(l->table, l->zero);
    double recon = loss_mean(l->table, l->recon);
    interval ratio;

    SAE_TRY(measure(result, "ce_tokens", "tokens scored", (double)l->table->n_scored, "current and next token unmasked",
                    err));
    SAE_TRY(measure(result, "ce_clean", "CE, clean", clean, "nats per token", err));
    SAE_TRY(measure(result, "ce_reconstruction", "CE, reconstruction", recon, "the site's rows replaced", err));
    if (l->sparse >= 0)
        SAE_TRY(measure(result, "ce_sparse_only", "CE, sparse part only", loss_mean(l->table, l->sparse),
                        "reconstruction without the scaffold", err));
    SAE_TRY(measure(result, "ce_zero", "CE, zero ablation", zero, "the site's rows set to 0", err));
    SAE_TRY(measure(result, "ce_uniform", "CE, uniform", log((double)l->n_vocab), "every token equally likely", err));
    SAE_TRY(measure(result, "loss_recovered", "loss recovered", (zero - recon) / (zero - clean),
                    "(zero - reconstruction) / (zero - clean)", err));
    SAE_TRY(loss_ratio(&ratio, l->table, l->recon, l->clean, l->seed, err));
    SAE_TRY(sae_result_interval(result, "ce_ratio", ratio.value, ratio.low, ratio.high, err));
    SAE_TRY(sae_result_label(result, "ce_ratio", "CE, reconstruction / clean", "95 % interval over sequences", err));
done:
    return status;
}

sae_status core_density_plot(sae_result *result, const char *const *labels, const density *const *densities, int n,
                             sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t counts[DENSITY_BINS];
    double x[DENSITY_BINS], y[DENSITY_BINS];

    SAE_TRY(sae_result_plot(result, "density", "How often latents fire", "log10 of the share of tokens", "latents",
                            SAE_PLOT_STEP, 0, err));
    for (int k = 0; k < n; k++) {
        density_histogram(densities[k], counts);
        for (int i = 0; i < DENSITY_BINS; i++) {
            x[i] = density_log10_low + (double)i * density_bin_width;
            y[i] = (double)counts[i];
        }
        SAE_TRY(sae_result_series(result, "density", labels[k], x, y, DENSITY_BINS, err));
    }
    SAE_TRY(sae_result_line(result, "density", "10 % of tokens", true, -1, err));
done:
    return status;
}

static sae_status report_density(sae_result *result, const density *p, sae_error *err)
{
    sae_status status = SAE_OK;
    char key[48], name[64];

    for (int i = 0; i < DENSITY_THRESHOLDS; i++) {
        double threshold = density_thresholds[i];
        snprintf(key, sizeof key, "dense_%g", threshold);
        snprintf(name, sizeof name, "dense latents, over %g %%", 100 * threshold);
        SAE_TRY(measure(result, key, name, (double)density_dense(p, threshold), NULL, err));
        snprintf(key, sizeof key, "density_mass_%g", threshold);
        snprintf(name, sizeof name, "of them active per token");
        SAE_TRY(measure(result, key, name, density_mass(p, threshold), NULL, err));
    }
done:
    return status;
}

sae_status core_report(sae_result *result, const core_arm *a, const sample *s, const core_losses *losses,
                       sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(measure(result, "tokens", "tokens counted", (double)s->n_counted, NULL, err));
    SAE_TRY(sae_result_silent(result, "sequences", (double)s->n_seq, (double)s->n_seq, (double)s->n_seq, err));
    if (s->n_documents > 0)
        SAE_TRY(sae_result_silent(result, "documents", (double)s->n_documents, (double)s->n_documents,
                                  (double)s->n_documents, err));
    SAE_TRY(report_fit(result, a, err));
    SAE_TRY(report_losses(result, losses, err));
    SAE_TRY(report_density(result, &a->density, err));
done:
    return status;
}

sae_status core_few_sequences(sae_result *result, int64_t n_seq, sae_error *err)
{
    char text[240];

    if (n_seq >= FEW_SEQUENCES) return SAE_OK;
    snprintf(
        text, sizeof text,
        "Warning: losses are of %lld sequences alone; intervals by resampling so few are much too narrow: measure more "
        "tokens, or shorter sequences.",
        (long long)n_seq);
    return sae_result_note(result, text, err);
}

sae_status core_describe(sae_result *result, const sample *s, sae_error *err)
{
    sae_status status = SAE_OK;
    char name[64], text[480], documents[64] = "";

    if (s->n_documents > 0) snprintf(documents, sizeof documents, " from %lld documents", (long long)s->n_documents);
    sae_site_name(s->site, name, sizeof name);
    SAE_TRY(sae_result_setting(result, "site", (sae_cell){name, NAN}, err));
    SAE_TRY(sae_result_setting(result, "ctx", (sae_cell){NULL, (double)s->ctx}, err));
    SAE_TRY(sae_result_input(result, "model", sae_model_hash(s->model), err));
    snprintf(
        text, sizeof text,
        "Measured on %lld sequences of %lld held-out tokens%s: %lld tokens counted, %lld masked (position 0, special "
        "tokens), %lld over the norm limit (median norm %.4g). Rows that are not counted are neither changed nor "
        "scored.",
        (long long)s->n_seq, (long long)s->ctx, documents, (long long)s->n_counted, (long long)s->n_masked,
        (long long)s->n_over_norm, s->median_norm);
    SAE_TRY(sae_result_note(result, text, err));
done:
    return status;
}
