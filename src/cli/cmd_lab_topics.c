/* cmd_lab_topics.c - `sae lab topics`: are topics still to be told after a subspace is removed or features are ablated? */
#include "cli/basis_option.h"
#include "cli/labelled_input.h"
#include "cli/labels_option.h"
#include "cli/result_output.h"
#include "lab/topics_sets.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const option_row options[] = {
    {"dict", OPTION_TEXT, "DICT", "its scaffold's subspace is removed", NULL},
    {"basis", OPTION_TEXT, "FILE", "or the columns of an array [d_in, r]: X.npy or X.safetensors[:name]", NULL},
    {"features", OPTION_TEXT, "DICT", "dictionary whose features are ablated (default: that of --dict)", NULL},
    {"rank", OPTION_COUNT, "R", "of PCA and random subspaces (default: that of the subspace; else d_model / 96)", NULL},
    {"labels", OPTION_LIST, "NAME[,NAME...]", "label sets of MMLU: categories, ten-subjects, subjects",
     "categories,ten-subjects,subjects"},
    LABELLED_INPUT_ROWS("400", "100"),
    OPTION_OUT_ROW("FILE"),
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

typedef struct topics_run {
    labelled_input in;
    topics_set sets[TOPICS_LABELS];
    int n_sets;
    moments tokens;
    pooled pooled;
    double *mean, *covariance;
    subspace space, pca, random[TOPICS_DRAWS];
    bool has_space;
    int64_t rank;
    int scaffold, features; /* numbers of dictionaries; -1: none */
} topics_run;

static void run_close(topics_run *t)
{
    for (int i = 0; i < t->n_sets; i++) topics_set_free(&t->sets[i]);
    for (int i = 0; i < TOPICS_DRAWS; i++) subspace_free(&t->random[i]);
    subspace_free(&t->space);
    subspace_free(&t->pca);
    mem_free(t->mean);
    mem_free(t->covariance);
    moments_free(&t->tokens);
    pooled_free(&t->pooled);
    labelled_input_close(&t->in);
}

/* ---- Inputs ---------------------------------------------------------------------------------------------------------------- */

/* --dict and --features, each once; `paths` has room for two and must outlive the run. */
static sae_status open_input(topics_run *t, args *a, const char **paths, sae_error *err)
{
    const char *scaffold = args_text(a, "dict"), *features = args_text(a, "features");
    int n = 0;

    t->scaffold = t->features = -1;
    if (scaffold && args_text(a, "basis")) return args_fail(a, err, "--dict and --basis: one subspace is removed");
    if (scaffold) {
        t->scaffold = t->features = n;
        paths[n++] = scaffold;
    }
    if (features && (!scaffold || strcmp(features, scaffold) != 0)) {
        t->features = n;
        paths[n++] = features;
    }
    return labelled_input_open(&t->in, a, paths, n, "data/mmlu", err);
}

static sae_status find_space(topics_run *t, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t d = sae_model_get_info(t->in.model)->d_model;

    if (args_text(a, "basis")) {
        SAE_TRY(basis_option_read(&t->space, a, d, err));
        t->has_space = true;
    }
    if (t->scaffold >= 0) {
        sae_dict *dict = t->in.dicts.at[t->scaffold];
        int64_t rank = sae_dict_get_config(dict)->rank;
        if (rank > 0) SAE_TRY(subspace_of_rows(&t->space, sae_dict_weights(dict).W_up, rank, d, err));
        t->has_space = rank > 0 && t->space.rank > 0;
        if (!t->has_space)
            SAE_RAISE(err, SAE_RANGE, "%s has no scaffold: give it as --features, and --basis or a dictionary with one",
                      t->in.dicts.paths[t->scaffold]);
    }
    t->rank = args_given(a, "rank") ? args_int(a, "rank", 0) : t->has_space ? t->space.rank : (d + 48) / 96;
    if (t->rank < 1) t->rank = 1;
    if (t->rank >= d) return args_fail(a, err, "--rank %lld: below d_model, %lld", (long long)t->rank, (long long)d);
done:
    return status;
}

/* ---- Labels ------------------------------------------------------------------------------------------------------------ */

static sae_status add_set(topics_run *t, topics_labels labels, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    topics_set *set = &t->sets[t->n_sets++];

    SAE_TRY(topics_set_read(set, t->in.paths[0], labels, name, &t->in.labels, err));
    SAE_TRY(topics_set_divide(set, &t->in.split, err));
    if (set->docs.n != t->sets[0].docs.n)
        SAE_RAISE(err, SAE_FORMAT, "%s: not every document has all the labels", t->in.paths[0]);
done:
    return status;
}

static sae_status read_sets(topics_run *t, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    topics_labels labels[TOPICS_LABELS];
    int n = 0;

    if (t->in.n_sets != 1)
        return args_fail(a, err, "--data: topics are told in one set of documents, %d are given", t->in.n_sets);
    if (args_given(a, "label-name") && args_given(a, "labels"))
        return args_fail(a, err, "--labels would do nothing: --label-name names the one member that is told");
    if (args_given(a, "label-name")) return add_set(t, TOPICS_LABELS, args_text(a, "label-name"), err);
    SAE_TRY(labels_option_read(a, labels, &n, err));
    for (int i = 0; i < n; i++) SAE_TRY(add_set(t, labels[i], NULL, err));
done:
    return status;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------------- */

/* The documents of all label sets at once: each is run through the model once. */
static sae_status pool_all(topics_run *t, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t total = 0, *docs = NULL;
    pooled_options how = t->in.pooled;

    SAE_TRY(topics_sets_documents(t->sets, t->n_sets, &docs, &total, err));
    SAE_TRY(moments_create(&t->tokens, sae_model_get_info(t->in.model)->d_model, err));
    how.tokens = &t->tokens;
    SAE_TRY(pooled_create(&t->pooled, t->in.model, t->in.tok, t->in.site, &t->sets[0].docs, docs, total,
                          (const sae_dict *const *)t->in.dicts.at, t->in.dicts.n, &how, progress, err));
done:
    mem_free(docs);
    return status;
}

static sae_status make_subspaces(topics_run *t, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t d = (size_t)t->pooled.d;
    rng random = rng_seed(t->in.seed, 77);

    t->mean = mem_alloc_array(d, sizeof *t->mean, "a mean", err);
    t->covariance = mem_alloc_array(d, d * sizeof *t->covariance, "a covariance", err);
    if (!t->mean || !t->covariance) return SAE_NOMEM;
    SAE_TRY(moments_finish(&t->tokens, t->mean, t->covariance, err));
    SAE_TRY(subspace_pca(&t->pca, t->covariance, t->pooled.d, 0, t->rank, NULL, err));
    for (int i = 0; i < TOPICS_DRAWS; i++) SAE_TRY(subspace_random(&t->random[i], t->pooled.d, t->rank, &random, err));
done:
    return status;
}

static sae_status measure(topics_run *t, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    topics_what what = {.space = t->has_space ? &t->space : NULL, .pca = &t->pca, .random = t->random};

    what.space_name = t->scaffold >= 0 ? TOPICS_SCAFFOLD : "basis";
    what.mean = t->mean;
    what.seed = t->in.seed;
    if (t->features >= 0) {
        int64_t width = t->pooled.codes[t->features].d_sae;
        what.dict = t->in.dicts.at[t->features];
        what.which_dict = t->features;
        what.counts[0] = (width + 4) / 8; /* 12.5 % */
        what.counts[1] = what.counts[0] == 2048 || width < 2048 ? 0 : 2048;
    }
    for (int i = 0; i < t->n_sets; i++)
        SAE_TRY(topics_measure(&t->sets[i].found, &t->pooled, &t->sets[i].split, &what, progress, err));
done:
    return status;
}

static sae_status describe(sae_result *result, const topics_run *t, sae_error *err)
{
    sae_status status = SAE_OK;
    char text[300];

    SAE_TRY(labelled_input_describe(result, &t->in, err));
    SAE_TRY(sae_result_setting(result, "rank", (sae_cell){NULL, (double)t->rank}, err));
    SAE_TRY(sae_result_input(result, t->in.paths[0], t->sets[0].docs.hash, err));
    snprintf(
        text, sizeof text,
        "%lld documents of %s, %lld tokens counted, %lld left out for their norm, %lld documents without a counted "
        "token.",
        (long long)t->pooled.n, t->in.paths[0], (long long)t->pooled.n_tokens, (long long)t->pooled.n_over_norm,
        (long long)t->pooled.n_empty);
    SAE_TRY(sae_result_note(result, text, err));
done:
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *paths[2];
    sae_result *result = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);
    topics_run *t = mem_alloc(sizeof *t, "a run", err);

    if (!t) return SAE_NOMEM;
    SAE_TRY(out_check(a, err));
    SAE_TRY(open_input(t, a, paths, err));
    SAE_TRY(find_space(t, a, err));
    SAE_TRY(read_sets(t, a, err));
    SAE_TRY(pool_all(t, &progress, err));
    SAE_TRY(make_subspaces(t, err));
    SAE_TRY(measure(t, &progress, err));
    progress_end(&line);
    SAE_TRY(sae_result_create(&result, "topics", err));
    SAE_TRY(describe(result, t, err));
    SAE_TRY(topics_report(result, t->sets, t->n_sets, err));
    SAE_TRY(result_show(a, result, err));
done:
    progress_end(&line);
    sae_result_free(result);
    run_close(t);
    mem_free(t);
    return status;
}

const command command_lab_topics = {
    .name = "lab topics",
    .arguments = "",
    .summary = "topics of questions after removing a subspace or ablating features",
    .details =
        "A multinomial probe tells the topic of MMLU's questions from their mean rows: four categories, ten\n"
        "subjects, 57 subjects. Accuracy clean, after removing a scaffold's subspace (--dict) or any other\n"
        "(--basis), uncentred and centred, beside PCA and random subspaces of the same rank; after ablating the\n"
        "features of a dictionary that align with the topics (12.5 % of its width, and 2,048), beside as many of\n"
        "equal density. Each with the probe as it was and with one trained anew. --label-name: another set's labels.",
    .examples =
        "sae lab topics --dict runs/demo/dictionaries/batchtopk-p1-s0 --features "
        "runs/demo/dictionaries/batchtopk-baseline-s0 --model smollm2\n"
        "sae lab topics --basis U.npy --model smollm2 --site blocks.14.hook_resid_post --labels categories --json\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .kept_as = "",
    .run = run,
};
