/* cmd_lab_removal.c - `sae lab removal`: the loss of the model with any one subspace taken out of a site. */
#include "cli/basis_option.h"
#include "cli/dict_set.h"
#include "cli/held_out.h"
#include "cli/ids.h"
#include "cli/result_output.h"
#include "lab/subspace_removal.h"

#include <stdio.h>
#include <string.h>

static const option_row options[] = {
    OPTION_MODEL_ROW,
    {"site", OPTION_LIST, "SITE", "where rows are changed (default: the site of --dict)", NULL},
    {"dict", OPTION_TEXT, "DICT", "the subspace is what this dictionary's scaffold writes: the rows of W_up", NULL},
    {"basis", OPTION_TEXT, "FILE", "or the columns of an array [d_in, r]: X.npy or X.safetensors[:name]", NULL},
    {"ids", OPTION_TEXT, "FILE", "token ids [n, T] to measure on, run as they are: X.npy or X.safetensors[:name]",
     NULL},
    {"stats-ids", OPTION_TEXT, "FILE", "other ids for mean, PCA and median norm (default: those measured on)", NULL},
    {"counted-stats", OPTION_FLAG, NULL,
     "mean and PCA without the rows over the norm limit (default: of all unmasked rows)", NULL},
    {"special", OPTION_LIST, "ID[,ID]", "ids that are special, instead of those that the tokenizer calls so; -1: none",
     NULL},
    OPTION_TEXT_ROW(NULL),
    {"split", OPTION_TEXT, "PART", "of --text: held-out, documents that training did not see; or all", "held-out"},
    OPTION_TOKENS_ROW("8192"),
    OPTION_CTX_ROW("256"),
    OPTION_SEPARATOR_ROW,
    OPTION_MAX_NORM_ROW,
    OPTION_WITH_BOS_ROW,
    {"change", OPTION_TEXT, "ROWS",
     "rows that are changed: counted (unmasked, within the norm limit); position-0, that one too; all", "counted"},
    {"draws", OPTION_COUNT, "N", "random subspaces to compare with", "3"},
    {"seed", OPTION_COUNT, "N", "of the random subspaces, the resampled rows and the intervals", "0"},
    OPTION_OUT_ROW("FOLDER"),
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

typedef struct job {
    char *model_path;
    sae_model *model;
    sae_tokenizer *tok; /* NULL with --special */
    int32_t *special;   /* [n_special] */
    int n_special;
    sae_site site;
    subspace space;
    sample measured;
    row_statistics stats;
} job;

static void job_close(job *j)
{
    row_statistics_free(&j->stats);
    sample_free(&j->measured);
    subspace_free(&j->space);
    sae_tokenizer_free(j->tok);
    sae_model_free(j->model);
    mem_free(j->special);
    mem_free(j->model_path);
    *j = (job){0};
}

/* ---- What is asked --------------------------------------------------------------------------------------------------------- */

static sae_status check_options(args *a, sae_error *err)
{
    static const char *const of_text[] = {"split", "tokens", "ctx", "separator", NULL};
    static const char *const of_ids[] = {"stats-ids", "special", NULL};
    const char *const *texts;
    bool text = args_list(a, "text", &texts) > 0, ids = args_text(a, "ids") != NULL;

    if (args_given(a, "basis") == args_given(a, "dict"))
        return args_fail(a, err, "one of --dict and --basis is needed: which subspace is removed");
    if (text == ids) return args_fail(a, err, "give either --ids or --text");
    for (int i = 0; ids && of_text[i]; i++)
        if (args_given(a, of_text[i]))
            return args_fail(a, err, "--%s is for --text; ids are run as they are", of_text[i]);
    for (int i = 0; text && of_ids[i]; i++)
        if (args_given(a, of_ids[i])) return args_fail(a, err, "--%s is for --ids", of_ids[i]);
    if (args_flag(a, "with-bos") && args_given(a, "special"))
        return args_fail(a, err, "--special would do nothing: --with-bos masks no id");
    if (args_given(a, "change") && args_flag(a, "with-bos") && !args_given(a, "max-norm"))
        return args_fail(a, err, "--change would do nothing: with --with-bos every row counts");
    if (args_int(a, "draws", 3) < 1 || args_int(a, "draws", 3) > REMOVAL_DRAWS_MAX)
        return args_fail(a, err, "--draws: 1 to %d random subspaces", (int)REMOVAL_DRAWS_MAX);
    return out_folder_check(a, NULL, err);
}

static sae_status read_special(job *j, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *items;
    int64_t id;

    j->n_special = args_list(a, "special", &items);
    j->special = mem_alloc_array((size_t)j->n_special + 1, sizeof *j->special, "special ids", err);
    if (!j->special) return SAE_NOMEM;
    for (int i = 0; i < j->n_special; i++) {
        if (!count_parse(items[i], &id) || id > INT32_MAX || id < (j->n_special == 1 ? -1 : 0))
            SAE_TRY(args_fail(a, err, "--special: '%s' is no token id; -1 alone says that none is special", items[i]));
        j->special[i] = (int32_t)id;
    }
done:
    return status;
}

static sae_status open_tokenizer(job *j, sae_error *err)
{
    sae_status status = sae_tokenizer_open(&j->tok, j->model_path, err);

    if (status == SAE_OK || status == SAE_NOMEM || !err) return status;
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used,
             "; with --ids, --special ID,ID says which ids are special without a tokenizer, --special -1 that none is");
    return status;
}

static sae_status open_by_basis(job *j, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *name, *const *sites;

    SAE_TRY(args_require(a, "model", &name, err));
    if (args_list(a, "site", &sites) != 1)
        SAE_TRY(args_fail(a, err, "--site is needed: one site, where rows are changed"));
    SAE_TRY(model_path(name, &j->model_path, err));
    SAE_TRY(sae_model_open(&j->model, j->model_path, NULL, err));
    SAE_TRY(sae_site_parse(&j->site, sites[0], j->model, err));
    SAE_TRY(basis_option_read(&j->space, a, sae_model_get_info(j->model)->d_model, err));
done:
    return status;
}

/* The span of W_up, as `sae scaffold` removes it; model and site are the dictionary's own unless given. */
static sae_status open_by_dict(job *j, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    held_out h = {0};
    const char *path = args_text(a, "dict");

    SAE_TRY(held_out_open_site(&h, a, path, err));
    SAE_TRY(scaffold_check(h.dict, path, err));
    const sae_dict_config *c = sae_dict_get_config(h.dict);
    SAE_TRY(subspace_of_rows(&j->space, sae_dict_weights(h.dict).W_up, c->rank, c->d_in, err));
    if (j->space.rank == 0)
        SAE_RAISE(err, SAE_RANGE,
                  "%s: W_up is 0, so its scaffold writes nothing that could be removed: train it for longer", path);
    j->site = h.site;
    j->model = h.model;
    j->model_path = h.model_path;
    h.model = NULL;
    h.model_path = NULL;
done:
    held_out_close(&h);
    return status;
}

static sae_status job_open(job *j, args *a, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(check_options(a, err));
    SAE_TRY(read_special(j, a, err));
    SAE_TRY(args_given(a, "dict") ? open_by_dict(j, a, err) : open_by_basis(j, a, err));
    if (!j->n_special && (args_given(a, "text") || !args_flag(a, "with-bos"))) SAE_TRY(open_tokenizer(j, err));
done:
    return status;
}

/* ---- Rows ---------------------------------------------------------------------------------------------------------------------- */

static sae_status sample_of_file(sample *out, const job *j, const char *path, const sample_options *want,
                                 sae_error *err)
{
    const special_ids special = {j->tok, j->special, j->n_special};

    return ids_sample(out, j->model, path, &special, j->site, want, err);
}

static sae_status sample_of_text(sample *out, const job *j, args *a, const sample_options *want,
                                 const sae_progress *progress, sae_error *err)
{
    static const char *const splits[] = {"held-out", "all", NULL};
    sae_status status = SAE_OK;
    sae_text *text = NULL;
    sae_text_options how = sae_text_defaults();
    const char *const *paths;
    int split = 0, n = args_list(a, "text", &paths);

    SAE_TRY(args_choice(a, "split", splits, &split, err));
    how.ctx = args_int(a, "ctx", 256);
    how.split = split == 0 ? SAE_SPLIT_HELD_OUT : SAE_SPLIT_ALL;
    if (args_given(a, "separator")) how.separator = (int32_t)args_int(a, "separator", -1);
    SAE_TRY(sae_text_open(&text, j->tok, paths, n, &how, err));
    SAE_TRY(sample_create(out, j->model, text, j->site, want, progress, err));
done:
    sae_text_free(text);
    return status;
}

/* path: of the ids, which may be too few; NULL: of a text. */
static sae_status measure_statistics(job *j, const args *a, sample *of, const char *path, sae_error *err)
{
    const sae_status status = row_statistics_measure(&j->stats, of, args_flag(a, "counted-stats"), err);

    if (status != SAE_OK && path) sae_error_prefix(err, "%s", path);
    return status;
}

/* Statistics first: the norm limit of the rows that are measured on is theirs. */
static sae_status read_rows(job *j, args *a, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    sample other = {0};
    sample_options how = {.tokens = args_int(a, "tokens", 0), .with_bos = args_flag(a, "with-bos")};

    SAE_TRY(args_max_norm(a, args_flag(a, "with-bos"), &how.max_norm, err));
    if (args_text(a, "stats-ids")) {
        SAE_TRY(sample_of_file(&other, j, args_text(a, "stats-ids"), &how, err));
        SAE_TRY(measure_statistics(j, a, &other, args_text(a, "stats-ids"), err));
        how.median_norm = j->stats.median_norm;
    }
    if (args_text(a, "ids"))
        SAE_TRY(sample_of_file(&j->measured, j, args_text(a, "ids"), &how, err));
    else
        SAE_TRY(sample_of_text(&j->measured, j, a, &how, progress, err));
    if (!j->stats.mean) SAE_TRY(measure_statistics(j, a, &j->measured, args_text(a, "ids"), err));
    if (j->stats.n_over_norm)
        warn("of the %lld rows that mean and PCA are of, %lld are over the norm limit, and may decide both; "
             "--counted-stats "
             "leaves them out",
             (long long)j->stats.n, (long long)j->stats.n_over_norm);
done:
    sample_free(&other);
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    job j = {0};
    subspace_removal removal = {0};
    sae_result *result = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);
    static const char *const rows[] = {"counted", "position-0", "all", NULL}; /* as edit_rows */
    subspace_removal_options how = {.draws = (int)args_int(a, "draws", 3), .seed = (uint64_t)args_int(a, "seed", 0)};
    int change = EDIT_COUNTED;

    SAE_TRY(args_choice(a, "change", rows, &change, err));
    how.rows = (edit_rows)change;
    SAE_TRY(job_open(&j, a, err));
    SAE_TRY(read_rows(&j, a, &progress, err));
    SAE_TRY(subspace_removal_measure(&removal, &j.measured, &j.stats, &j.space, &how, &progress, err));
    progress_end(&line);
    SAE_TRY(subspace_removal_report(&result, &removal, &j.measured, &j.stats, &j.space, how.seed, err));
    SAE_TRY(result_folder(a, "removal", "A subspace taken out of a model", result, err));
done:
    progress_end(&line);
    sae_result_free(result);
    subspace_removal_free(&removal);
    job_close(&j);
    return status;
}

const command command_lab_removal = {
    .name = "lab removal",
    .arguments = "",
    .summary = "the model's loss with a scaffold's subspace or one of your own taken out of a site",
    .details =
        "Operators on a row x, P the projector on the subspace, mu the mean row: R2 x - x P; R3\n"
        "x - (x - mu) P; R5 the part inside from another row; R6 as R2, rescaled to |x|. Beside them: the clean "
        "model,\n"
        "rows set to zero, rows set to mu, as many principal components, as many random directions.\n"
        "Mean, principal components and median norm are those of all unmasked rows of --stats-ids (default: of what "
        "is\n"
        "measured on). Masked are position 0 and special ids (--with-bos: none). Masked rows and rows of over\n"
        "--max-norm times the median norm do not count: they are not scored, nor changed unless --change says so.\n"
        "A prediction is scored where its row counts and the next token is unmasked, whatever is changed.\n"
        "With --json the cross-entropies, in nats per token, stand under \"numbers\": clean, zero, mean,\n"
        "R2, R3, R5, R6, pca.R2, pca.R3, pca.R6, random.R2 and random.R3 (means of the draws).",
    .examples =
        "sae lab removal --dict runs/demo/dictionaries/batchtopk-p1-s0 --model smollm2 --text books.jsonl.zst\n"
        "sae lab removal --model smollm2 --site blocks.14.hook_resid_post --ids ids.npy --basis U.npy --json\n"
        "sae lab removal --model smollm2 --site resid_pre.5 --basis U.npy --text books.jsonl.zst --out runs/u\n"
        "sae lab removal --model smollm2 --site resid_pre.5 --basis U.npy --text books.jsonl.zst --change position-0\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .kept_as = "removal",
    .run = run,
};
