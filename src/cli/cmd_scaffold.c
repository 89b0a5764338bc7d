/* cmd_scaffold.c - `sae scaffold`: the experiments of arXiv 2606.14040 on any model, site and text: trains plain dictionaries and
 * ones with a dense scaffold, compares them, writes the run's folder with its report, and says what was found. */
#include "cli/labels_option.h"
#include "cli/train.h"
#include "lab/scaffold.h"
#include "report/report.h"
#include "sae/scaffold_fields.h"

#include <stdio.h>
#include <string.h>

static const option_row options[] = {
    OPTION_MODEL_ROW,
    {"budget", OPTION_TEXT, "NAME", "quick, standard or full: where all defaults come from", "quick"},
    {"text", OPTION_MANY, "FILE",
     ".txt or .jsonl, of which a part is held out; repeatable (default: data/text/books.train.jsonl.zst)", NULL},
    {"site", OPTION_LIST, "SITE", "where rows are read (default: blocks.L.hook_resid_post at the middle)", NULL},
    OPTION_OUT_ROW("FOLDER"),
    {"arch", OPTION_LIST, "NAME[,NAME]", "batchtopk, matryoshka (default: both; quick: batchtopk)", NULL},
    {"seeds", OPTION_COUNT, "N", "baseline and scaffold with seeds --seed, --seed + 1, .. (default: 3; quick: 1)",
     NULL},
    {"variants", OPTION_LIST, "NAME[,NAME...]",
     "how scaffolds are wired (p1, p2, p3): the first has all seeds and the claims, the others the first seed; all: "
     "p1,p2,p3 (default: all; quick: p1)",
     NULL},
    {"width", OPTION_COUNT, "N", "latents in each dictionary (default: 8 x d_model; full: 16384)", NULL},
    {"k", OPTION_COUNT, "N", "latents kept per row, on average over a batch (default: 32; full: 100)", NULL},
    {"ks", OPTION_LIST, "N[,N...]",
     "baseline and scaffold at these k too, to compare at equal L0 and FVU; or none (default: k / 2, 3 k / 2; full: k "
     "- "
     "rank too; quick: none)",
     NULL},
    {"match", OPTION_TEXT, "HOW",
     "at equal L0, L0 + rank and FVU: interpolated between --ks, or trained there too, the first seed (default: "
     "interpolated; full: trained)",
     NULL},
    {"rank", OPTION_TEXT, "R",
     "rank of the scaffold; knee: that of --ranks, which are trained first (default: max(2, d_model / 96), rounded)",
     NULL},
    {"ranks", OPTION_LIST, "R[,R...]",
     "scaffolds at these ranks too; or none (default: 2,4,6,8,16,24,48; full: "
     "1,2,4,8,16,24,32,48,64,128; quick: none without --rank knee)",
     NULL},
    {"retrain", OPTION_TEXT, "YES",
     "yes or no: ablate the span of dense latents and train anew (default: yes; quick: no)", NULL},
    {"tokens", OPTION_COUNT, "N", "distinct training tokens (default: 262144; standard: 524288; full: 500M)", NULL},
    {"rows", OPTION_COUNT, "N",
     "training rows of a dictionary: several epochs over the tokens (default: 1048576; full: 500M)", NULL},
    {"held-out-tokens", OPTION_COUNT, "N", "held-out tokens for densities and fits (default: 20480; full: 2M)", NULL},
    {"ce-tokens", OPTION_COUNT, "N", "held-out tokens for each loss (default: 5120; standard: 10240; full: 100k)",
     NULL},
    {"draws", OPTION_COUNT, "N", "random subspaces to compare with (default: 3; standard: 5; full: 10)", NULL},
    {"points", OPTION_COUNT, "N",
     "sizes of sets of aligned features to ablate; 0: none (default: 8; full: 12; quick: 0)", NULL},
    {"topics", OPTION_TEXT, "PATH",
     "labelled documents whose topics are told after the removal; or none (default: data/mmlu)", NULL},
    {"questions", OPTION_COUNT, "N",
     "of these documents, for each set of labels (default: 1000; standard: 4000; full: 14042)", NULL},
    {"labels", OPTION_LIST, "NAME[,NAME...]",
     "sets of labels of MMLU, the first makes the claims (default: categories,ten-subjects,subjects; quick: the first "
     "two)",
     NULL},
    {"labelled", OPTION_LIST, "PATH[,PATH...]",
     "labelled sets for sparse probing and TPP; or none (default: data/labelled,data/mmlu; quick: none)", NULL},
    {"survey", OPTION_TEXT, "FOLDER",
     "a finished `sae lab survey`: site, width and k that are not given are those with most dense latents in it", NULL},
    OPTION_SCAFFOLD_ROWS(" (default: 10; full: 1)", NULL),
    OPTION_DENSE_THRESHOLD_ROW("a latent is dense when it fires on more than this share of tokens: in the claims, in "
                               "what dense latents are, in ablate and retrain, in --survey's choice"),
    {"last-token", OPTION_FLAG, NULL, "topics, probing, TPP: a document is its last token's row, not the mean", NULL},
    {"ablate", OPTION_TEXT, "WHOSE", "redundancy, topics: latents of the baseline, or of the scaffold's own dictionary",
     "baseline"},
    OPTION_BATCH_ROW("2048"),
    OPTION_LR_ROW(NULL),
    OPTION_SEED_ROW("0"),
    {"cards", OPTION_COUNT, "N", "densest latents of each arm to show", "10"},
    {"memory", OPTION_COUNT, "BYTES",
     "what trainers may take: as many dictionaries as fit are trained together (default: half of what is free)", NULL},
    {"ctx", OPTION_COUNT, "N", "tokens per sequence (default: 256; full: 1024)", NULL},
    OPTION_SEPARATOR_ROW,
    OPTION_MAX_NORM_ROW,
    OPTION_WITH_BOS_ROW,
    {"plan", OPTION_FLAG, NULL, "print memory, arithmetic and hours by part, and make nothing", NULL},
    {"shape", OPTION_LIST, "D,LAYERS,PARAMS,VOCAB,LAYER",
     "--plan: of a model that is not at hand, and the site's layer (Gemma-2-2B: 2304,26,2614341888,256000,12)", NULL},
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

/* What a run takes when it is not told, where the program is called in its own folder. */
static const char *const default_text[] = {"data/text/books.train.jsonl.zst"};
static const char *const default_labelled[] = {"data/labelled", "data/mmlu"};
static const char default_topics[] = "data/mmlu";

/* A count whose default depends on the budget: 0 when it was not given. */
static int64_t given_count(const args *a, const char *name) { return args_given(a, name) ? args_int(a, name, 0) : 0; }

static bool is_none(const char *text) { return strcmp(text, "none") == 0; }

/* Ascending or not, each once. *n stays 0 when the option was not given; -1: none. */
static sae_status read_grid(args *a, const char *name, int64_t *values, int most, int *n, sae_error *err)
{
    const char *const *items;
    int given = args_given(a, name) ? args_list(a, name, &items) : 0;

    *n = 0;
    if (given == 1 && is_none(items[0])) *n = -1;
    for (int i = 0; i < given && *n >= 0; i++) {
        if (*n == most) return args_fail(a, err, "--%s: at most %d numbers", name, most);
        if (!count_parse(items[i], &values[*n]) || values[*n] < 1)
            return args_fail(a, err, "--%s %s: whole numbers from 1, or none", name, items[i]);
        for (int k = 0; k < *n; k++)
            if (values[k] == values[*n]) return args_fail(a, err, "--%s: %s is there twice", name, items[i]);
        (*n)++;
    }
    return SAE_OK;
}

static sae_status read_archs(args *a, scaffold_options *o, sae_error *err)
{
    static const char *const names[] = {"batchtopk", "matryoshka", NULL};
    const char *const *items;
    int n = args_given(a, "arch") ? args_list(a, "arch", &items) : 0, which = 0;

    if (n > ARCHS_MAX) return args_fail(a, err, "--arch: one or both of batchtopk and matryoshka");
    for (int i = 0; i < n; i++) {
        sae_status status = args_choice_of(a, "arch", items[i], names, &which, err);
        if (status != SAE_OK) return status;
        o->archs[i] = which == 0 ? SAE_BATCHTOPK : SAE_MATRYOSHKA;
        if (i && o->archs[0] == o->archs[1]) return args_fail(a, err, "--arch: %s is there twice", items[i]);
    }
    o->n_archs = n;
    return SAE_OK;
}

static sae_status read_variants(args *a, scaffold_options *o, sae_error *err)
{
    const char *const *items;
    int n = args_given(a, "variants") ? args_list(a, "variants", &items) : 0, which = 0;
    const bool all = n == 1 && strcmp(items[0], "all") == 0;

    if (n > VARIANTS_MAX) return args_fail(a, err, "--variants: each of p1, p2 and p3 once");
    o->n_variants = all ? VARIANTS_MAX : n;
    for (int i = 0; i < o->n_variants; i++) {
        if (!all) {
            sae_status status = args_choice_of(a, "variants", items[i], variant_names, &which, err);
            if (status != SAE_OK) return status;
        }
        o->variants[i] = (sae_variant)(all ? i : which);
        for (int j = 0; j < i; j++)
            if (o->variants[j] == o->variants[i]) return args_fail(a, err, "--variants: %s is there twice", items[i]);
    }
    return SAE_OK;
}

static sae_status read_choices(args *a, scaffold_options *o, sae_error *err)
{
    static const char *const yes_no[] = {"yes", "no", NULL};
    static const char *const matchings[] = {"interpolated", "trained", NULL};
    static const char *const arm_choices[] = {"baseline", "scaffold", NULL};
    sae_status status = SAE_OK;
    int which = 0;

    SAE_TRY(args_choice(a, "budget", budget_names, &which, err));
    o->budget = (scaffold_budget)which;
    SAE_TRY(read_variants(a, o, err));
    if (args_given(a, "match")) {
        SAE_TRY(args_choice(a, "match", matchings, &which, err));
        o->matched = which == 0 ? -1 : 1;
    }
    if (args_given(a, "retrain")) {
        SAE_TRY(args_choice(a, "retrain", yes_no, &which, err));
        o->retrain = which == 0 ? 1 : -1;
    }
    SAE_TRY(scaffold_choices(&o->scaffold, a, err));
    if (!args_given(a, "scaffold-lr")) o->scaffold.scaffold_lr = 0;
    o->last_token = args_flag(a, "last-token");
    SAE_TRY(args_choice(a, "ablate", arm_choices, &o->ablate, err));
    SAE_TRY(read_archs(a, o, err));
    SAE_TRY(read_grid(a, "ks", o->ks, KS_MAX, &o->n_ks, err));
    SAE_TRY(read_grid(a, "ranks", o->ranks, RANKS_MAX, &o->n_ranks, err));
done:
    return status;
}

static sae_status read_sizes(args *a, scaffold_options *o, sae_error *err)
{
    static const char *const positive[] = {
        "width", "k",     "batch", "tokens",    "rows",      "seeds", "held-out-tokens",
        "ctx",   "draws", "cards", "questions", "ce-tokens", NULL};

    for (int i = 0; positive[i]; i++)
        if (args_given(a, positive[i]) && args_int(a, positive[i], 0) < 1)
            return args_fail(a, err, "--%s must be at least 1", positive[i]);
    if (args_int(a, "draws", 0) > 10000 || args_int(a, "cards", 0) > 10000)
        return args_fail(a, err, "--draws and --cards: at most 10000");
    o->width = given_count(a, "width");
    o->rank_knee = args_given(a, "rank") && strcmp(args_text(a, "rank"), "knee") == 0;
    if (args_given(a, "rank") && !o->rank_knee && (!count_parse(args_text(a, "rank"), &o->rank) || o->rank < 1))
        return args_fail(a, err, "--rank %s: a whole number from 1, or knee", args_text(a, "rank"));
    if (o->rank_knee && o->n_ranks < 0) return args_fail(a, err, "--rank knee is that of --ranks: give some");
    o->k = given_count(a, "k");
    o->seeds = given_count(a, "seeds");
    o->batch = args_int(a, "batch", 0);
    o->lr = args_given(a, "lr") ? args_real(a, "lr", 0) : 0;
    o->seed = (uint64_t)args_int(a, "seed", 0);
    o->tokens = given_count(a, "tokens");
    o->rows = given_count(a, "rows");
    o->held_out_tokens = given_count(a, "held-out-tokens");
    o->ce_tokens = given_count(a, "ce-tokens");
    o->draws = (int)given_count(a, "draws");
    o->cards = (int)args_int(a, "cards", 0);
    o->questions = given_count(a, "questions");
    o->points = args_given(a, "points") ? args_int(a, "points", 0) : 0;
    if (args_given(a, "points") && o->points == 0) o->points = -1;
    o->memory = (size_t)given_count(a, "memory");
    o->ctx = given_count(a, "ctx");
    o->with_bos = args_flag(a, "with-bos");
    o->separator = args_given(a, "separator") ? (int32_t)args_int(a, "separator", -1) : -1;
    o->force = args_flag(a, "force");
    const sae_status status = args_max_norm(a, args_flag(a, "with-bos"), &o->max_norm, err);
    return status == SAE_OK ? args_dense_threshold(a, &o->dense_threshold, err) : status;
}

/* Said before the hours of a run, not at its end: what is left out because the repository's data are not in this folder. */
static void tell_missing_data(const args *a, const scaffold_options *o)
{
    if (args_flag(a, "plan")) return; /* which lists what will be done */
    if (!args_given(a, "topics") && !file_exists(default_topics))
        say(a, "topics are left out: no %s in this folder; --topics FILE has them, --topics none is silent",
            default_topics);
    if (!args_given(a, "labelled") && o->budget != BUDGET_QUICK &&
        !(file_exists(default_labelled[0]) && file_exists(default_labelled[1])))
        say(a,
            "sparse probing and TPP are left out: no %s and %s in this folder; --labelled SETS has them, --labelled "
            "none is silent",
            default_labelled[0], default_labelled[1]);
}

static sae_status read_data(args *a, scaffold_options *o, sae_error *err)
{
    o->n_texts = args_list(a, "text", &o->texts);
    if (o->n_texts == 0 && file_exists(default_text[0])) {
        o->texts = default_text;
        o->n_texts = 1;
    }
    if (o->n_texts == 0 && !args_given(a, "shape"))
        return args_fail(a, err, "--text is needed: .txt or .jsonl files, of which a part is held out");
    tell_missing_data(a, o);
    o->topics = args_given(a, "topics") ? args_text(a, "topics") : file_exists(default_topics) ? default_topics : NULL;
    if (o->topics && is_none(o->topics)) o->topics = NULL;
    if (args_given(a, "questions") && !o->topics) return args_fail(a, err, "--questions is for --topics");
    if (args_given(a, "labels")) {
        sae_status status = labels_option_read(a, o->labels, &o->n_labels, err);
        if (status != SAE_OK) return status;
        if (!o->topics) return args_fail(a, err, "--labels is for --topics");
        o->labels_given = true;
    }
    if (args_given(a, "labelled")) {
        o->n_labelled = args_list(a, "labelled", &o->labelled);
        if (o->n_labelled == 1 && is_none(o->labelled[0])) o->n_labelled = 0;
    } else if (o->budget != BUDGET_QUICK && file_exists(default_labelled[0]) && file_exists(default_labelled[1])) {
        o->labelled = default_labelled;
        o->n_labelled = 2;
    }
    o->survey = args_text(a, "survey");
    return SAE_OK;
}

static sae_status read_shape(args *a, model_shape *shape, sae_error *err)
{
    const char *const *items;
    int64_t *const members[] = {&shape->d_model, &shape->n_layer, &shape->n_params, &shape->n_vocab, &shape->layer};

    if (args_list(a, "shape", &items) != 5)
        return args_fail(a, err, "--shape: five numbers, D,LAYERS,PARAMS,VOCAB,LAYER");
    for (int i = 0; i < 5; i++)
        if (!count_parse(items[i], members[i]) || (i < 4 && *members[i] < 1))
            return args_fail(a, err, "--shape %s: not a number of a model", items[i]);
    if (shape->layer >= shape->n_layer || shape->n_params / shape->n_vocab < shape->d_model)
        return args_fail(a, err, "--shape: the layer must be below LAYERS, and PARAMS at least VOCAB x D");
    return SAE_OK;
}

/* The shape of --model and its --site, which gets its full name, or --shape; and what --survey decides. */
static sae_status find_shape(args *a, scaffold_options *o, char site_name[64], model_shape *shape, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_model *model = NULL;
    sae_site site;

    if (args_given(a, "shape")) return read_shape(a, shape, err);
    SAE_TRY(sae_model_open(&model, o->model, NULL, err));
    SAE_TRY(survey_choose(o, model, site_name, err));
    const sae_model_info *m = sae_model_get_info(model);
    site = (sae_site){.layer = (int)(m->n_layer / 2), .hook = SAE_RESID_POST};
    if (o->site) SAE_TRY(sae_site_parse(&site, o->site, model, err));
    sae_site_name(site, site_name, 64);
    o->site = site_name;
    *shape = (model_shape){m->d_model, m->n_layer, m->n_params, m->n_vocab, site.layer};
done:
    sae_model_free(model);
    return status;
}

static sae_status tell_plan(args *a, scaffold_options *o, sae_error *err)
{
    sae_status status = SAE_OK;
    char site_name[64];
    model_shape shape = {0};
    sae_result *plan = NULL;

    SAE_TRY(find_shape(a, o, site_name, &shape, err));
    SAE_TRY(scaffold_plan(&plan, o, &shape, err));
    if (args_flag(a, "json"))
        SAE_TRY(print_json(result_json(plan), err));
    else
        SAE_TRY(report_print(stdout, plan, err));
done:
    sae_result_free(plan);
    return status;
}

/* Of those of a scaffold, over the dictionaries that the run will have: all have one. */
static sae_status refuse_idle_scaffold(args *a, const scaffold_options *o, sae_error *err)
{
    scaffold_options all = *o;
    sae_dict_config dicts[ARCHS_MAX];

    budget_set_archs(&all);
    for (int i = 0; i < all.n_archs; i++) {
        dicts[i] = o->scaffold;
        dicts[i].arch = all.archs[i];
        dicts[i].rank = 1; /* any: it is at least that */
    }
    return train_check_scaffold_effects(a, dicts, all.n_archs, err);
}

/* An option that can do nothing here is refused with the reason. */
static sae_status refuse_idle(args *a, const scaffold_options *o, sae_error *err)
{
    const bool redundancy = o->points > 0 || (o->points == 0 && o->budget != BUDGET_QUICK);

    if (o->last_token && !o->topics && o->n_labelled == 0)
        return args_fail(a, err,
                         "--last-token would do nothing: no documents are looked at; give --topics or --labelled");
    if (args_given(a, "ablate") && !o->topics && !redundancy)
        return args_fail(a, err, "--ablate would do nothing: no latents are ablated; give --topics or --points");
    return refuse_idle_scaffold(a, o, err);
}

static sae_status read_options(args *a, scaffold_options *o, char **path, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *name;
    const char *const *sites;

    if (args_given(a, "shape") && !args_flag(a, "plan")) SAE_TRY(args_fail(a, err, "--shape is for --plan"));
    if (args_given(a, "shape") && args_given(a, "survey"))
        SAE_TRY(args_fail(a, err, "--survey is of a model at hand: with --shape give --width and --k"));
    SAE_TRY(read_choices(a, o, err));
    if (args_given(a, "shape")) {
        SAE_TRY(read_data(a, o, err));
        SAE_TRY(read_sizes(a, o, err));
        SAE_TRY(refuse_idle(a, o, err));
        goto done;
    }
    SAE_TRY(args_require(a, "model", &name, err));
    if (!args_flag(a, "plan")) SAE_TRY(args_require(a, "out", &o->out, err));
    SAE_TRY(read_data(a, o, err));
    if (args_given(a, "site")) {
        if (args_list(a, "site", &sites) != 1) {
            status = args_fail(a, err, "--site: the comparison is made at one site");
            goto done;
        }
        o->site = sites[0];
    }
    SAE_TRY(read_sizes(a, o, err));
    SAE_TRY(refuse_idle(a, o, err));
    SAE_TRY(model_path(name, path, err));
    o->model = *path;
    o->model_name = name;
done:
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    scaffold_options o = {0};
    char *path = NULL;
    sae_result *summary = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    SAE_TRY(read_options(a, &o, &path, err));
    if (args_flag(a, "plan")) {
        SAE_TRY(tell_plan(a, &o, err));
        goto done;
    }
    o.notice = (lab_notice){progress_warn, &line};
    SAE_TRY(scaffold_run(&summary, &o, &progress, err));
    progress_end(&line);
    if (args_flag(a, "json")) {
        SAE_TRY(print_json(result_json(summary), err));
        goto done;
    }
    SAE_TRY(report_print(stdout, summary, err));
    printf("\nThe whole of it: %s/report.html\n", o.out);
done:
    progress_end(&line);
    sae_result_free(summary);
    mem_free(path);
    return status;
}

const command command_scaffold = {
    .name = "scaffold",
    .arguments = "",
    .summary = "train dictionaries with and without a dense scaffold, and compare",
    .details =
        "The experiments of arXiv 2606.14040, each with its controls. Arms see the same rows in the same order and\n"
        "start from the same weights. quick (minutes): one baseline and one P1; dense latents, the loss after\n"
        "removing the scaffold, the top principal components and random subspaces, overlap with principal\n"
        "components, topics. standard (about two hours on two cores with SmolLM2) adds both architectures, three\n"
        "seeds, P2 and P3, equal L0 and FVU, sparse probing, TPP, redundancy, ranks, ablate and retrain. full is\n"
        "the paper's own setting. The first pages of OUT/report.html put every claim beside what was measured.\n"
        "Rows, dictionaries and every finished part are kept in OUT: the same command goes on where it was\n"
        "stopped, and makes nothing anew whose inputs are as they were.",
    .examples =
        "sae scaffold --model smollm2 --site blocks.14.hook_resid_post --text books.jsonl.zst --out runs/demo\n"
        "sae scaffold --model smollm2 --site blocks.14.hook_resid_post --arch batchtopk,matryoshka --seeds 3 --budget "
        "standard --out runs/paper\n"
        "sae scaffold --model smollm2 --rank 12 --arch matryoshka --topics none --out runs/m12\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .run = run,
};
