/* lab_input.c - opens what an experiment looks at, and gives out what it found. */
#include "cli/lab_input.h"

#include "cli/ids.h"

void lab_input_close(lab_input *in)
{
    sample_free(&in->sample);
    held_out_close(&in->h);
}

/* What belongs to a text does nothing to ids: refused. */
static sae_status refuse_text_options(args *a, sae_error *err)
{
    static const char *const names[] = {"text", "tokens", "ctx", "separator", "split"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (args_given(a, names[i]))
            return args_fail(a, err, "--%s is for texts: --ids are taken whole, as they are", names[i]);
    return SAE_OK;
}

static sae_status open_tokenizer(lab_input *in, bool needed, sae_error *err)
{
    sae_error ignored = {0};

    if (needed) return sae_tokenizer_open(&in->h.tok, in->h.model_path, err);
    if (sae_tokenizer_open(&in->h.tok, in->h.model_path, &ignored) != SAE_OK)
        warn("which ids are special tokens is not known, only position 0 is masked: %s", ignored.message);
    return SAE_OK;
}

static sae_status sample_from_ids(lab_input *in, args *a, bool needs_tokenizer, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *path = args_text(a, "ids");
    sample_options want = {.with_bos = args_flag(a, "with-bos")};

    SAE_TRY(refuse_text_options(a, err));
    SAE_TRY(args_max_norm(a, args_flag(a, "with-bos"), &want.max_norm, err));
    if (needs_tokenizer || !want.with_bos) SAE_TRY(open_tokenizer(in, needs_tokenizer, err));
    const special_ids special = {.tok = in->h.tok};
    SAE_TRY(ids_sample(&in->sample, in->h.model, path, &special, in->h.site, &want, err));
    if (in->sample.n_seq < 2) SAE_RAISE(err, SAE_RANGE, "%s holds one sequence, two are needed for intervals", path);
done:
    return status;
}

static sae_status sample_from_text(lab_input *in, args *a, const char *dict, const sae_progress *progress,
                                   sae_error *err)
{
    sae_status status = SAE_OK;
    sample_options want = {.with_bos = args_flag(a, "with-bos")};

    if (!args_given(a, "text")) return args_fail(a, err, "--text or --ids is needed: what to measure on");
    SAE_TRY(args_max_norm(a, args_flag(a, "with-bos"), &want.max_norm, err));
    SAE_TRY(held_out_open(&in->h, a, dict, err));
    want.tokens = in->h.options.tokens;
    SAE_TRY(sample_create(&in->sample, in->h.model, in->h.text, in->h.site, &want, progress, err));
done:
    return status;
}

sae_status lab_input_open_for(lab_input *out, args *a, const char *dict, bool needs_tokenizer,
                              const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    lab_input in = {0};

    if (args_given(a, "ids")) {
        SAE_TRY(held_out_open_site(&in.h, a, dict, err));
        SAE_TRY(sample_from_ids(&in, a, needs_tokenizer, err));
    } else {
        SAE_TRY(sample_from_text(&in, a, dict, progress, err));
    }
    *out = in;
    in = (lab_input){0};
done:
    lab_input_close(&in);
    return status;
}

sae_status lab_input_open(lab_input *out, args *a, bool needs_tokenizer, const sae_progress *progress, sae_error *err)
{
    const char *dict = NULL;
    sae_status status = args_require(a, "dict", &dict, err);

    return status == SAE_OK ? lab_input_open_for(out, a, dict, needs_tokenizer, progress, err) : status;
}
