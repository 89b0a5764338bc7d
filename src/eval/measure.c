/*
 * measure.c - the public measurements: text to rows to a result, in one call.
 */
#include "eval/core.h"
#include "eval/features.h"

#include <stdio.h>

static const sae_eval_options no_options;

static sae_status read_sample(sample *s, sae_model *model, sae_text *held_out, sae_site site,
                              const sae_eval_options *options, const sae_progress *progress, sae_error *err)
{
    sample_options want = {.tokens = options->tokens ? options->tokens : 20480, .max_norm = options->max_norm};

    return sample_create(s, model, held_out, site, &want, progress, err);
}

sae_status sae_eval_core(sae_result **out, const sae_dict *dict, sae_model *model, sae_text *held_out, sae_site site,
                         const sae_eval_options *options, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    sample s = {0};

    if (!options) options = &no_options;
    SAE_TRY(core_check_width(dict, model, err));
    SAE_TRY(read_sample(&s, model, held_out, site, options, progress, err));
    SAE_TRY(core_run(out, &s, dict, options, progress, err));
done:
    sample_free(&s);
    return status;
}

/* ---- Features ------------------------------------------------------------------------------------------------------------ */

static sae_status add_latent(sae_result *result, const sae_dict *dict, sae_model *model, const sae_tokenizer *tok,
                             int64_t latent, const feature *f, sae_error *err)
{
    sae_status status = SAE_OK;
    /* sae_dict_weights gives writable pointers; nothing is written through them here */
    const float *W_dec = sae_dict_weights((sae_dict *)(uintptr_t)dict).W_dec;
    char id[32], title[48], facts[160];

    snprintf(id, sizeof id, "%lld", (long long)latent);
    snprintf(title, sizeof title, "latent %lld", (long long)latent);
    feature_facts(f, facts, sizeof facts);
    card c = {"Latents", id, title, facts, W_dec + latent * sae_dict_get_config(dict)->d_in};
    SAE_TRY(card_add(result, &c, f, model, tok, err));
    SAE_TRY(feature_histogram(result, title, f, err));
done:
    return status;
}

sae_status sae_eval_features(sae_result **out, const sae_dict *dict, sae_model *model, const sae_tokenizer *tok,
                             sae_text *held_out, sae_site site, const int64_t *latents, int n,
                             const sae_eval_options *options, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *result = NULL;
    sample s = {0};
    feature_target *targets = NULL;
    feature *features = NULL;

    if (!options) options = &no_options;
    if (n < 1) return SAE_FAIL(err, SAE_RANGE, "no latents are asked for");
    targets = mem_alloc_array((size_t)n, sizeof *targets, "latents to look at", err);
    features = mem_alloc_array((size_t)n, sizeof *features, "what latents do", err);
    if (!targets || !features) {
        status = SAE_NOMEM;
        goto done;
    }
    for (int i = 0; i < n; i++) targets[i].latent = latents[i];
    SAE_TRY(core_check_width(dict, model, err));
    SAE_TRY(features_check(dict, targets, n, err));
    SAE_TRY(read_sample(&s, model, held_out, site, options, progress, err));
    SAE_TRY(features_scan(features, &s, dict, targets, n, options->contexts ? options->contexts : 8, progress, err));
    SAE_TRY(sae_result_create(&result, "features", err));
    SAE_TRY(core_describe(result, &s, err));
    for (int i = 0; i < n; i++) SAE_TRY(add_latent(result, dict, model, tok, latents[i], &features[i], err));
    *out = result;
    result = NULL;
done:
    sae_result_free(result);
    sample_free(&s);
    mem_free(features);
    mem_free(targets);
    return status;
}
