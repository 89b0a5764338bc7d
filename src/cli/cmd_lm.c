/* cmd_lm.c - `sae lm`: the loss of the language model itself, on text or on given token ids. */
#include "cli/cli.h"
#include "cli/ids.h"
#include "io/io.h"

#include <math.h>
#include <stdio.h>

typedef struct lm_result {
    double sum;       /* of the losses, nats */
    int64_t n_losses; /* tokens that were predicted */
    int64_t n_tokens; /* tokens that went through the model */
    double seconds;   /* in the model */
} lm_result;

/* One batch: losses into nll [n_seq, n_ctx - 1]. */
static sae_status run_batch(sae_model *model, const int32_t *ids, int64_t n_seq, int64_t n_ctx, float *nll,
                            lm_result *result, sae_error *err)
{
    double begin = clock_seconds();
    sae_run run = {.ids = ids, .n_seq = n_seq, .n_ctx = n_ctx, .nll = nll};
    sae_status status = sae_model_run(model, &run, err);

    if (status != SAE_OK) return status;
    result->seconds += clock_seconds() - begin;
    result->n_tokens += n_seq * n_ctx;
    result->n_losses += n_seq * (n_ctx - 1);
    for (int64_t i = 0; i < n_seq * (n_ctx - 1); i++) result->sum += (double)nll[i];
    return SAE_OK;
}

static sae_status run_ids(args *a, sae_model *model, const char *path, lm_result *result, sae_error *err)
{
    sae_status status = SAE_OK;
    token_ids t = {0};
    float *nll = NULL;
    const char *out = args_text(a, "nll");
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    SAE_TRY(token_ids_read(&t, path, err));
    if (t.n_ctx < 2) SAE_RAISE(err, SAE_SHAPE, "%s: sequences of one token have no loss", path);
    nll = mem_alloc_array((size_t)(t.n_seq * (t.n_ctx - 1)), sizeof *nll, "losses", err);
    if (!nll) SAE_TRY(SAE_NOMEM);
    int64_t at_once = sequences_at_once(t.n_ctx);
    for (int64_t s = 0; s < t.n_seq; s += at_once) {
        int64_t n = t.n_seq - s < at_once ? t.n_seq - s : at_once;
        SAE_TRY(run_batch(model, t.ids + s * t.n_ctx, n, t.n_ctx, nll + s * (t.n_ctx - 1), result, err));
        if (progress.report(progress.user, "tokens", (double)result->n_tokens, (double)(t.n_seq * t.n_ctx)))
            SAE_RAISE(err, SAE_CANCELLED, "stopped");
    }
    if (out) {
        tensor losses = {.name = "nll", .type = DTYPE_F32, .rank = 2, .shape = {t.n_seq, t.n_ctx - 1}, .data = nll};
        losses.bytes = (size_t)(t.n_seq * (t.n_ctx - 1)) * sizeof *nll;
        SAE_TRY(npy_write(out, &losses, args_flag(a, "force"), err));
    }
done:
    progress_end(&line);
    mem_free(nll);
    token_ids_free(&t);
    return status;
}

static sae_status run_text(args *a, sae_model *model, const char *path, lm_result *result, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_tokenizer *tok = NULL;
    sae_text *text = NULL;
    int32_t *ids = NULL;
    uint8_t *mask = NULL;
    float *nll = NULL;
    const char *const *files;
    int n_files = args_list(a, "text", &files);
    int64_t n_ctx = args_int(a, "ctx", 256), n_tokens = args_int(a, "tokens", 0);
    sae_text_options options = sae_text_defaults();
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    if (n_ctx < 2 || n_ctx > sae_model_get_info(model)->n_ctx)
        SAE_TRY(args_fail(a, err, "--ctx %lld: must be 2 to the model's context of %lld", (long long)n_ctx,
                          (long long)sae_model_get_info(model)->n_ctx));
    options.ctx = n_ctx;
    options.separator = (int32_t)args_int(a, "separator", -1);
    SAE_TRY(sae_tokenizer_open(&tok, path, err));
    SAE_TRY(sae_text_open(&text, tok, files, n_files, &options, err));
    int64_t at_once = sequences_at_once(n_ctx), wanted = (n_tokens + n_ctx - 1) / n_ctx, got = 0;
    ids = mem_alloc_array((size_t)(at_once * n_ctx), sizeof *ids, "token ids", err);
    mask = mem_alloc_array((size_t)(at_once * n_ctx), sizeof *mask, "the mask", err);
    nll = mem_alloc_array((size_t)(at_once * n_ctx), sizeof *nll, "losses", err);
    if (!ids || !mask || !nll) SAE_TRY(SAE_NOMEM);
    for (int64_t s = 0; s < wanted; s += got) {
        int64_t n = wanted - s < at_once ? wanted - s : at_once;
        SAE_TRY(sae_text_next(text, n, ids, mask, &got, err));
        if (got == 0) break;
        SAE_TRY(run_batch(model, ids, got, n_ctx, nll, result, err));
        if (progress.report(progress.user, "tokens", (double)result->n_tokens, (double)(wanted * n_ctx)))
            SAE_RAISE(err, SAE_CANCELLED, "stopped");
    }
    if (result->n_losses == 0)
        SAE_RAISE(err, SAE_RANGE,
                  "the text is shorter than one sequence of %lld tokens: give more text or a smaller --ctx",
                  (long long)n_ctx);
done:
    progress_end(&line);
    sae_text_free(text);
    sae_tokenizer_free(tok);
    mem_free(ids);
    mem_free(mask);
    mem_free(nll);
    return status;
}

static sae_status print_result(const args *a, const sae_model_info *info, const lm_result *r, sae_error *err)
{
    double loss = r->sum / (double)r->n_losses, rate = (double)r->n_tokens / r->seconds;

    if (args_flag(a, "json")) {
        json_t *o = json_pack("{s:o, s:o, s:o, s:I, s:o}", "model", json_text(info->name), "loss",
                              json_number_or_null(loss), "perplexity", json_number_or_null(exp(loss)),
                              "predicted_tokens", (json_int_t)r->n_losses, "tokens_per_s", json_number_or_null(rate));
        sae_status status = print_json(o, err);
        json_decref(o);
        return status;
    }
    printf("model        %s\n", info->name);
    printf("loss         %.4f nats per token, over %lld predicted tokens\n", loss, (long long)r->n_losses);
    printf("perplexity   %.3f\n", exp(loss));
    printf("speed        %.0f tokens/s\n", rate);
    return SAE_OK;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_model *model = NULL;
    char *path = NULL;
    lm_result result = {0};
    const char *const *operands, *const *files;
    const char *ids = args_text(a, "ids"), *out = args_text(a, "nll");

    args_operands(a, &operands);
    int n_files = args_list(a, "text", &files);
    if ((ids != NULL) == (n_files > 0)) SAE_TRY(args_fail(a, err, "give either --text or --ids"));
    if (out && !ids) SAE_TRY(args_fail(a, err, "--nll needs --ids"));
    if (out && file_exists(out) && !args_flag(a, "force"))
        SAE_RAISE(err, SAE_EXISTS, "%s exists; --force overwrites it", out);
    SAE_TRY(model_path(operands[0], &path, err));
    SAE_TRY(sae_model_open(&model, path, NULL, err));
    if (ids)
        SAE_TRY(run_ids(a, model, ids, &result, err));
    else
        SAE_TRY(run_text(a, model, path, &result, err));
    SAE_TRY(print_result(a, sae_model_get_info(model), &result, err));
done:
    sae_model_free(model);
    mem_free(path);
    return status;
}

static const option_row options[] = {
    OPTION_TEXT_ROW(NULL),
    {"ids", OPTION_TEXT, "FILE", "token ids [n, T], uint16, uint32, int32 or int64: X.npy or X.safetensors[:name]",
     NULL},
    {"nll", OPTION_TEXT, "OUT.npy", "with --ids: the losses [n, T-1], float32, in nats", NULL},
    OPTION_TOKENS_ROW("20k"),
    OPTION_CTX_ROW("256"),
    OPTION_SEPARATOR_ROW,
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

const command command_lm = {
    .name = "lm",
    .arguments = "MODEL",
    .summary = "loss, perplexity and speed of the language model itself",
    .details = "Text is packed into sequences of --ctx tokens that begin with the separator; every token but the\n"
               "first of a sequence is predicted. Ids are run as they are.",
    .examples = "sae lm smollm2 --text data/text/books.train.jsonl.zst --tokens 50k\n"
                "sae lm smollm2 --ids ids.npy --nll losses.npy\n",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run,
};
