/*
 * core.c - streams the counted rows of a sample through a dictionary and sums what the core measures need.
 */
#include "eval/core.h"

void core_arm_free(core_arm *a)
{
    density_free(&a->density);
    fit_free(&a->full);
    fit_free(&a->sparse);
    *a = (core_arm){0};
}

double core_l0(const core_arm *a) { return (double)a->density.n_fired / (double)a->density.n_rows; }

sae_status core_check_width(const sae_dict *dict, const sae_model *model, sae_error *err)
{
    const sae_dict_config *config = sae_dict_get_config(dict);
    const sae_model_info *info = sae_model_get_info(model);

    if (config->d_out > 0)
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "a transcoder%s%s writes another site than it reads: these measures are of dictionaries that "
                        "rebuild their own rows. Its FVU against its targets is in its run's log.jsonl",
                        config->target_site[0] ? " to " : "", config->target_site);
    if (config->d_in == info->d_model) return SAE_OK;
    return SAE_FAIL(
        err, SAE_SHAPE,
        "the dictionary reads rows of width %lld (d_in), the model %s has width %lld (d_model): give the model "
        "that the dictionary was trained on%s%s",
        (long long)config->d_in, info->path, (long long)info->d_model, config->model[0] ? ": " : "", config->model);
}

static sae_status measure_rows(core_arm *a, const float *rows, int64_t n, float *recon, sae_error *err)
{
    sae_status status = SAE_OK;
    codes c = {0};

    SAE_TRY(codes_encode(&c, a->dict, rows, n, err));
    density_add(&a->density, &c);
    SAE_TRY(codes_decode(&c, a->dict, true, recon, err));
    fit_add(&a->full, rows, recon, n);
    if (c.h) SAE_TRY(codes_decode(&c, a->dict, false, recon, err));
    fit_add(&a->sparse, rows, recon, n);
done:
    codes_free(&c);
    return status;
}

static sae_status arm_create(core_arm *a, const sae_dict *dict, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_dict_config *config = sae_dict_get_config(dict);

    a->dict = dict;
    SAE_TRY(density_create(&a->density, config->d_sae, err));
    SAE_TRY(fit_create(&a->full, config->d_in, err));
    SAE_TRY(fit_create(&a->sparse, config->d_in, err));
done:
    return status;
}

sae_status core_measure(core_arm *out, sample *s, const sae_dict *dict, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    core_arm a = {0};
    const float *rows = NULL;
    size_t n_batch = (size_t)(s->batch_seqs * s->ctx), row = (size_t)s->d * sizeof(float);
    float *kept = mem_alloc_array(n_batch, row, "counted rows", err);
    float *recon = mem_alloc_array(n_batch, row, "reconstructions", err);

    if (!kept || !recon) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(core_check_width(dict, s->model, err));
    SAE_TRY(arm_create(&a, dict, err));
    for (int64_t first = 0; first < s->n_seq; first += s->batch_seqs) {
        int64_t n = sample_batch(s, first, s->n_seq);
        SAE_TRY(sample_rows(s, first, n, &rows, err));
        SAE_TRY(measure_rows(&a, kept, sample_gather(s, first, n, rows, kept, NULL), recon, err));
        if (progress && progress->report(progress->user, "sequences encoded", (double)(first + n), (double)s->n_seq))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
    *out = a;
    a = (core_arm){0};
done:
    core_arm_free(&a);
    mem_free(recon);
    mem_free(kept);
    return status;
}

sae_status core_run(sae_result **out, sample *s, const sae_dict *dict, const sae_eval_options *options,
                    const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *result = NULL;
    core_arm arm = {0};
    loss_table losses = {0};
    edit_recon full = {dict, true}, sparse = {dict, false};
    edit edits[] = {{.fn = NULL},
                    {.fn = edit_zero},
                    {.fn = edit_reconstruct, .user = &full},
                    {.fn = edit_reconstruct, .user = &sparse}};
    int n_edits = sae_dict_get_config(dict)->rank ? 4 : 3;
    const char *label = "latents";
    const density *histogram = &arm.density;

    SAE_TRY(core_measure(&arm, s, dict, progress, err));
    SAE_TRY(splice_measure(&losses, s, splice_sequences(s, options->ce_tokens ? options->ce_tokens : 8192), edits,
                           n_edits, progress, err));
    SAE_TRY(sae_result_create(&result, "core", err));
    SAE_TRY(core_describe(result, s, err));
    SAE_TRY(core_few_sequences(result, losses.n_seq, err));
    core_losses where = {.table = &losses, .clean = 0, .zero = 1, .recon = 2, .sparse = n_edits > 3 ? 3 : -1};
    where.n_vocab = sae_model_get_info(s->model)->n_vocab;
    where.seed = options->seed;
    SAE_TRY(core_report(result, &arm, s, &where, err));
    SAE_TRY(core_density_plot(result, &label, &histogram, 1, err));
    *out = result;
    result = NULL;
done:
    sae_result_free(result);
    loss_table_free(&losses);
    core_arm_free(&arm);
    return status;
}
