/* cmd_tap.c - `sae tap`: the rows at sites of a model, for token ids that are run as they are. */
#include "cli/cli.h"
#include "cli/ids.h"
#include "io/io.h"

#include <string.h>

enum { MAX_SITES = 256 };

/* Where the rows of one site go. */
typedef struct target {
    float *rows; /* [n_seq, n_ctx, d] */
    int64_t at;  /* rows written so far */
} target;

static sae_status copy_rows(void *user, float *rows, int64_t n_rows, int64_t d_model, sae_error *err)
{
    target *t = user;

    (void)err;
    memcpy(t->rows + t->at * d_model, rows, (size_t)(n_rows * d_model) * sizeof *rows);
    t->at += n_rows;
    return SAE_OK;
}

typedef struct tap_job {
    sae_model *model;
    token_ids ids;
    const char *const *names;
    int n_sites;
    sae_tap taps[MAX_SITES];
    target targets[MAX_SITES];
    tensor tensors[MAX_SITES + 1];
    float *logits; /* [n_seq, n_ctx, n_vocab] or NULL */
} tap_job;

static sae_status parse_sites(tap_job *job, args *a, sae_error *err)
{
    sae_status status = SAE_OK;

    job->n_sites = args_list(a, "site", &job->names);
    if (job->n_sites > MAX_SITES) SAE_TRY(args_fail(a, err, "at most %d sites at once", MAX_SITES));
    if (job->n_sites == 0 && !args_flag(a, "logits")) SAE_TRY(args_fail(a, err, "give --site, --logits or both"));
    for (int i = 0; i < job->n_sites; i++) {
        job->taps[i] = (sae_tap){.fn = copy_rows, .user = &job->targets[i]};
        SAE_TRY(sae_site_parse(&job->taps[i].site, job->names[i], job->model, err));
        for (int j = 0; j < i; j++)
            if (strcmp(job->names[i], job->names[j]) == 0)
                SAE_TRY(args_fail(a, err, "site %s is given twice", job->names[i]));
    }
done:
    return status;
}

/* A tensor [n_seq, n_ctx, width] of the result, with memory of its own. */
static sae_status make_tensor(tensor *t, const token_ids *ids, int64_t width, const char *name, float **data,
                              sae_error *err)
{
    size_t bytes = 0;

    *t = (tensor){.name = name, .type = DTYPE_F32, .rank = 3, .shape = {ids->n_seq, ids->n_ctx, width}};
    if (mul_overflows((size_t)(ids->n_seq * ids->n_ctx), (size_t)width * sizeof(float), &bytes)) bytes = SIZE_MAX;
    *data = mem_alloc(bytes, name, err);
    t->data = *data;
    t->bytes = bytes;
    return *data ? SAE_OK : SAE_NOMEM;
}

static sae_status run_model(tap_job *job, const args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t at_once = sequences_at_once(job->ids.n_ctx), n_vocab = sae_model_get_info(job->model)->n_vocab;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    for (int64_t s = 0; s < job->ids.n_seq; s += at_once) {
        int64_t n = job->ids.n_seq - s < at_once ? job->ids.n_seq - s : at_once, row = s * job->ids.n_ctx;
        sae_run run = {
            .ids = job->ids.ids + row, .n_seq = n, .n_ctx = job->ids.n_ctx, .taps = job->taps, .n_taps = job->n_sites};
        run.logits = job->logits ? job->logits + row * n_vocab : NULL;
        SAE_TRY(sae_model_run(job->model, &run, err));
        if (progress.report(progress.user, "tokens", (double)((s + n) * job->ids.n_ctx),
                            (double)(job->ids.n_seq * job->ids.n_ctx)))
            SAE_RAISE(err, SAE_CANCELLED, "stopped");
    }
done:
    progress_end(&line);
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    tap_job job = {0};
    char *path = NULL;
    const char *const *operands, *ids = NULL, *out = NULL;

    args_operands(a, &operands);
    SAE_TRY(args_require(a, "ids", &ids, err));
    SAE_TRY(args_require(a, "out", &out, err));
    if (file_exists(out) && !args_flag(a, "force")) SAE_RAISE(err, SAE_EXISTS, "%s exists; --force overwrites it", out);
    SAE_TRY(model_path(operands[0], &path, err));
    SAE_TRY(sae_model_open(&job.model, path, NULL, err));
    SAE_TRY(parse_sites(&job, a, err));
    SAE_TRY(token_ids_read(&job.ids, ids, err));
    const sae_model_info *info = sae_model_get_info(job.model);
    for (int i = 0; i < job.n_sites; i++)
        SAE_TRY(make_tensor(&job.tensors[i], &job.ids, info->d_model, job.names[i], &job.targets[i].rows, err));
    int n_tensors = job.n_sites;
    if (args_flag(a, "logits"))
        SAE_TRY(make_tensor(&job.tensors[n_tensors++], &job.ids, info->n_vocab, "logits", &job.logits, err));
    SAE_TRY(run_model(&job, a, err));
    SAE_TRY(safetensors_write(out, job.tensors, n_tensors, NULL, args_flag(a, "force"), NULL, err));
    say(a, "%s: %d tensor%s for %lld sequences of %lld tokens", out, n_tensors, n_tensors == 1 ? "" : "s",
        (long long)job.ids.n_seq, (long long)job.ids.n_ctx);
done:
    for (int i = 0; i < job.n_sites && i < MAX_SITES; i++) mem_free(job.targets[i].rows);
    mem_free(job.logits);
    token_ids_free(&job.ids);
    sae_model_free(job.model);
    mem_free(path);
    return status;
}

static const option_row options[] = {
    {"ids", OPTION_TEXT, "FILE", "token ids [n, T], uint16, uint32, int32 or int64: X.npy or X.safetensors[:name]",
     NULL},
    OPTION_SITE_ROW(NULL),
    {"logits", OPTION_FLAG, NULL, "the logits [n, T, V] too, as a tensor of that name", NULL},
    OPTION_OUT_ROW("FILE.safetensors"),
    OPTION_FORCE_ROW,
    OPTION_END_ROW,
};

const command command_tap = {
    .name = "tap",
    .arguments = "MODEL",
    .summary = "write a model's activations for given token ids",
    .details = "The ids are run as they are: nothing is added. The file holds a tensor [n, T, d] per site, named\n"
               "exactly as the site was given. The pass stops after the last site unless logits are asked for.",
    .examples = "sae tap smollm2 --ids ids.npy --site blocks.14.hook_resid_post --out rows.safetensors\n"
                "sae tap smollm2 --ids ids.npy --site resid_pre.0,mlp_out.7 --logits --out rows.safetensors\n",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run,
};
