/* cmd_lab_redundancy.c - `sae lab redundancy`: a plain dictionary's latents that are aligned with a subspace, ablated. */
#include "cli/basis_option.h"
#include "cli/lab_input.h"
#include "cli/result_output.h"

#include "lab/redundancy.h"

#include <string.h>

static const option_row options[] = {
    LAB_INPUT_ROWS("20480"),
    {"scaffold-of", OPTION_TEXT, "DICT", "the subspace is what this dictionary's scaffold writes: the rows of W_up",
     NULL},
    {"basis", OPTION_TEXT, "FILE", "or the columns of an array [d_in, r]: X.npy or X.safetensors[:name]", NULL},
    {"select", OPTION_TEXT, "RULE", "which latents are most aligned: energy, union, best or match", "energy"},
    {"points", OPTION_COUNT, "N",
     "sizes of A on a log grid from 1 to the width, beside the marked one; 1: that one alone", "8"},
    {"draws", OPTION_COUNT, "N", "matched and random sets beside the marked sizes; one of each beside the others", "5"},
    OPTION_DENSE_THRESHOLD_ROW("all latents that fire on more than this share of tokens are a set too"),
    {"ce-tokens", OPTION_COUNT, "N", "how many of the tokens each loss is measured on", "4096"},
    OPTION_SEED_ROW("0"),
    OPTION_OUT_ROW("FILE"),
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

/* The rows that span the subspace: of a scaffold borrowed, of a basis file owned. */
typedef struct directions {
    sae_dict *scaffold;
    float *owned;
    const float *rows; /* [n, d] */
    int64_t n;
} directions;

static void directions_free(directions *u)
{
    sae_dict_free(u->scaffold);
    mem_free(u->owned);
}

/* Of the site that the baseline says it was trained on; not asked where --site says what it is. */
static sae_status read_scaffold(directions *u, const args *a, const sae_dict_config *baseline, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *path = args_text(a, "scaffold-of");
    const int64_t d = baseline->d_in;

    SAE_TRY(sae_dict_load(&u->scaffold, path, err));
    const sae_dict_config *c = sae_dict_get_config(u->scaffold);
    if (c->rank == 0) SAE_RAISE(err, SAE_STATE, "%s has no scaffold (rank 0): give one that has, or --basis", path);
    if (c->d_in != d || c->d_out > 0)
        SAE_RAISE(err, SAE_SHAPE, "%s: its scaffold writes rows of width %lld, the baseline reads %lld", path,
                  (long long)(c->d_out > 0 ? c->d_out : c->d_in), (long long)d);
    if (!args_given(a, "site") && *c->site && *baseline->site && strcmp(c->site, baseline->site) != 0)
        SAE_RAISE(err, SAE_STATE,
                  "%s was trained on rows of %s, the baseline on rows of %s: give dictionaries of one site, or --site "
                  "if these are two names of it",
                  path, c->site, baseline->site);
    u->rows = sae_dict_weights(u->scaffold).W_up;
    u->n = c->rank;
done:
    return status;
}

/* The columns themselves: the rules union and best are of single directions. */
static sae_status read_basis(directions *u, const args *a, int64_t d, sae_error *err)
{
    sae_status status = SAE_OK;
    basis_file b = {0};

    SAE_TRY(basis_option_file(&b, a, d, err));
    u->n = b.n_units;
    u->owned = mem_alloc_array((size_t)u->n, (size_t)d * sizeof *u->owned, "a basis", err);
    if (!u->owned) SAE_TRY(SAE_NOMEM);
    for (int64_t i = 0; i < u->n * d; i++) u->owned[i] = (float)b.units[i];
    u->rows = u->owned;
done:
    basis_file_free(&b);
    return status;
}

static sae_status read_options(args *a, redundancy_options *o, sae_error *err)
{
    int rule = 0;
    double dense = 0;
    sae_status status = args_choice(a, "select", alignment_names, &rule, err);

    if (args_given(a, "basis") == args_given(a, "scaffold-of"))
        return args_fail(a, err, "one of --scaffold-of and --basis is needed: what latents shall be aligned with");
    if (args_int(a, "points", 0) < 1 || args_int(a, "points", 0) > 32)
        return args_fail(a, err, "--points must lie between 1 and 32");
    if (args_int(a, "draws", 0) < 1 || args_int(a, "draws", 0) > 8)
        return args_fail(a, err, "--draws must lie between 1 and 8");
    if (status == SAE_OK) status = args_dense_threshold(a, &dense, err);
    if (status != SAE_OK) return status;
    if (args_int(a, "ce-tokens", 0) < 1) return args_fail(a, err, "--ce-tokens must be at least 1");
    *o = (redundancy_options){.rule = (alignment_rule)rule,
                              .points = args_int(a, "points", 0),
                              .draws = (int)args_int(a, "draws", 0),
                              .ce_tokens = args_int(a, "ce-tokens", 0),
                              .dense_threshold = dense,
                              .seed = (uint64_t)args_int(a, "seed", 0)};
    o->space_name = args_given(a, "basis") ? args_text(a, "basis") : args_text(a, "scaffold-of");
    return SAE_OK;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    redundancy_options o = {0};
    lab_input in = {0};
    directions u = {0};
    sae_result *result = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    SAE_TRY(read_options(a, &o, err));
    SAE_TRY(out_check(a, err));
    SAE_TRY(lab_input_open(&in, a, false, &progress, err));
    if (args_given(a, "basis"))
        SAE_TRY(read_basis(&u, a, in.sample.d, err));
    else
        SAE_TRY(read_scaffold(&u, a, sae_dict_get_config(in.h.dict), err));
    o.scaffold = u.scaffold;
    SAE_TRY(redundancy_run(&result, &in.sample, in.h.dict, u.rows, u.n, &o, &progress, err));
    progress_end(&line);
    SAE_TRY(result_show(a, result, err));
done:
    progress_end(&line);
    sae_result_free(result);
    directions_free(&u);
    lab_input_close(&in);
    return status;
}

const command command_lab_redundancy = {
    .name = "lab redundancy",
    .arguments = "",
    .summary = "ablate the latents that are aligned with a scaffold",
    .details =
        "Which latents of --dict (a plain dictionary, or the scaffold's own) are most aligned with a subspace, and\n"
        "how much worse the model predicts without them: x - sum of f_i d_i over more and more latents, against as "
        "many\n"
        "random ones and as many of like density; with the dictionary's error left as it is, and with the subspace "
        "taken out of it too. The size "
        "that\n"
        "is to this width as 787 to 16,384 is marked. --select: energy takes the largest |d_i P|^2; union in turn the "
        "best\n"
        "of each direction; best the largest |cos| with any one direction (both look at the very rows of W_up, or "
        "columns of --basis);\n"
        "match the largest mean |f_i d_i P|^2, and marks where their sum is that of the scaffold's output.",
    .examples = "sae lab redundancy --dict runs/demo/dictionaries/batchtopk-baseline-s0 --scaffold-of "
                "runs/demo/dictionaries/batchtopk-p1-s0 --model smollm2 "
                "--text books.jsonl.zst\n"
                "sae lab redundancy --dict plain/ --basis U.npy --model gpt2/ --ids tokens.npy --select match --json\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .kept_as = "",
    .run = run,
};
