/* cmd_lab_structure.c - `sae lab structure`: what subspace a scaffold is. */
#include "cli/dict_set.h"
#include "cli/lab_input.h"
#include "cli/result_output.h"
#include "cli/rows_option.h"
#include "eval/core.h"
#include "lab/structure.h"

#include <stdio.h>

static const option_row options[] = {
    LAB_INPUT_ROWS("65536"), OPTION_STORE_ROW,
    OPTION_ARRAY_ROW,        {"seed", OPTION_COUNT, "N", "of the random subspace beside it", "0"},
    OPTION_OUT_ROW("FILE"),  OPTION_FORCE_ROW,
    OPTION_JSON_ROW,         OPTION_END_ROW,
};

typedef struct job {
    lab_input in; /* of kept rows its dictionary alone */
    sae_acts *acts;
    row_moments rows;
    scaffold_map map;
} job;

static void job_close(job *j)
{
    scaffold_map_free(&j->map);
    row_moments_free(&j->rows);
    sae_acts_free(j->acts);
    lab_input_close(&j->in);
}

/* Kept rows are taken whole, as they are. */
static sae_status open_kept(job *j, args *a, const char *path, sae_error *err)
{
    static const char *const of_model[] = {"model", "site",      "text",     "ids",   "tokens",
                                           "ctx",   "separator", "max-norm", "split", "with-bos"};
    sae_status status = SAE_OK;

    for (size_t i = 0; i < sizeof of_model / sizeof *of_model; i++)
        if (args_given(a, of_model[i]))
            SAE_TRY(args_fail(a, err, "--%s is for rows from a model: those of --store or --array are taken whole",
                              of_model[i]));
    SAE_TRY(sae_dict_load(&j->in.h.dict, path, err));
    SAE_TRY(scaffold_check(j->in.h.dict, path, err));
    SAE_TRY(rows_option_open(&j->acts, a, sae_dict_get_config(j->in.h.dict)->d_in, path, err));
    if (args_given(a, "store")) SAE_TRY(rows_option_check_site(args_text(a, "store"), j->in.h.dict, path, err));
done:
    return status;
}

static sae_status read_rows(job *j, args *a, const char *path, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    bool kept = args_given(a, "store") || args_given(a, "array");

    if (!kept && !args_given(a, "text") && !args_given(a, "ids"))
        SAE_TRY(args_fail(a, err, "rows of the site are needed: --store, --array, --text or --ids"));
    if (kept) {
        SAE_TRY(open_kept(j, a, path, err));
        SAE_TRY(row_moments_of_acts(&j->rows, j->acts, progress, err));
        goto done;
    }
    SAE_TRY(lab_input_open(&j->in, a, false, progress, err));
    SAE_TRY(scaffold_check(j->in.h.dict, path, err));
    SAE_TRY(row_moments_of_sample(&j->rows, &j->in.sample, err));
done:
    return status;
}

static sae_status describe(const job *j, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    char text[200];

    if (j->acts)
        SAE_TRY(sae_result_setting(r, "rows", (sae_cell){sae_acts_get_info(j->acts).describe, 0}, err));
    else
        SAE_TRY(core_describe(r, &j->in.sample, err));
    snprintf(text, sizeof text, "Mean, covariance and magnitudes are of %lld rows of width %lld%s.",
             (long long)j->rows.n, (long long)j->rows.d,
             j->rows.n > j->rows.d ? "" : ": too few, components behind their number are of no meaning");
    SAE_TRY(sae_result_note(r, text, err));
done:
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    job j = {0};
    const char *path = NULL;
    char title[300];
    sae_result *result = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    SAE_TRY(args_require(a, "dict", &path, err));
    SAE_TRY(out_check(a, err));
    SAE_TRY(read_rows(&j, a, path, &progress, err));
    progress_end(&line);
    SAE_TRY(scaffold_map_create(&j.map, j.in.h.dict, j.rows.mean, j.rows.covariance, err));
    snprintf(title, sizeof title, "What the scaffold of %s is", path);
    SAE_TRY(sae_result_create(&result, title, err));
    SAE_TRY(describe(&j, result, err));
    const structure s = {.map = &j.map,
                         .rows = &j.rows,
                         .pca = row_components(&j.rows, scaffold_map_compared(&j.map)),
                         .seed = (uint64_t)args_int(a, "seed", 0)};
    SAE_TRY(structure_report(&s, result, err));
    SAE_TRY(result_show(a, result, err));
done:
    progress_end(&line);
    sae_result_free(result);
    job_close(&j);
    return status;
}

const command command_lab_structure = {
    .name = "lab structure",
    .arguments = "",
    .summary = "what subspace a scaffold is: overlap with PCA, variance, outlier dimensions",
    .details =
        "The row space of W_up beside the principal components of rows of its site: overlaps and principal angles,\n"
        "the share of each component, variance captured over the most that as many directions can, read and write\n"
        "space, the distance of W_down W_up from a projector, and what the scaffold and PCA have of outlier\n"
        "dimensions. Chance stands beside every overlap. Rows come from a store, an array, or a model with text.",
    .examples = "sae lab structure --dict runs/demo/dictionaries/batchtopk-p1-s0 --store runs/demo/acts\n"
                "sae lab structure --dict my_sae --model smollm2 --site resid_post.14 --text books.jsonl.zst --split "
                "all --json\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .kept_as = "",
    .run = run,
};
