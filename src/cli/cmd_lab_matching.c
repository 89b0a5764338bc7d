/* cmd_lab_matching.c - `sae lab matching`: a scaffold against its baseline with something held equal. */
#include "cli/dict_set.h"
#include "cli/lab_input.h"
#include "cli/result_output.h"
#include "sae/scaffold_fields.h"
#include "cli/train.h"
#include "eval/core.h"
#include "lab/census.h"
#include "lab/matching.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_COMPARED = 64 };

static const option_row options[] = {
    LAB_SAMPLE_ROWS("20480"),
    {"ce-tokens", OPTION_COUNT, "N", "how many of the tokens each loss is measured on", "8192"},
    OPTION_DENSE_THRESHOLD_ROW("mass and antipodality are of latents that fire on more than this share of tokens"),
    {"seed", OPTION_COUNT, "N", "of the intervals of losses", "0"},
    OPTION_OUT_ROW("FILE"),
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

typedef struct job {
    dict_set dicts;
    lab_input in;
    census_entry entries[MOST_COMPARED];
    int base, scaffold; /* the first without a scaffold and the first with */
    double threshold;
} job;

/* ---- Do they make a comparison? ---------------------------------------------------------------------------------------------------- */

static sae_status find_base(job *j, sae_error *err)
{
    j->base = j->scaffold = -1;
    for (int i = 0; i < j->dicts.n; i++) {
        const sae_dict_config *c = sae_dict_get_config(j->dicts.at[i]);
        if (c->k < 1)
            return SAE_FAIL(err, SAE_STATE, "%s does not say the k that it was trained with", j->dicts.paths[i]);
        int *first = c->rank > 0 ? &j->scaffold : &j->base;
        if (*first < 0) *first = i;
    }
    if (j->base < 0) return SAE_FAIL(err, SAE_STATE, "none of the dictionaries is a baseline: one of rank 0 is needed");
    if (j->scaffold < 0)
        return SAE_FAIL(err, SAE_STATE, "none of the dictionaries has a scaffold to hold against the baseline");
    return SAE_OK;
}

static bool differ(const char *a, const char *b) { return *a && *b && strcmp(a, b) != 0; } /* as far as both say it */

/* In what two dictionaries of one curve differ besides k; NULL: in nothing. Where --site or --model says what it is, the names that
 * they had in training are not asked. */
static const char *difference(const args *o, const sae_dict_config *a, const sae_dict_config *b)
{
    if (a->arch != b->arch) return "architecture";
    if (a->d_in != b->d_in) return "width of rows";
    if (a->d_sae != b->d_sae) return "width";
    if (a->rank > 0 && b->rank > 0 && a->rank != b->rank) return "rank";
    if (a->rank > 0 && b->rank > 0 && a->variant != b->variant) return "variant";
    if (a->rank > 0 && b->rank > 0 && a->scaffold_centre != b->scaffold_centre) return "--scaffold-centre";
    if (a->rank > 0 && b->rank > 0 && a->scaffold_tie != b->scaffold_tie) return "--scaffold-tie";
    if (!args_given(o, "site") && differ(a->site, b->site)) return "site";
    if (!args_given(o, "model") && differ(a->model, b->model)) return "model";
    return NULL;
}

static sae_status check(job *j, const args *a, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(find_base(j, err));
    for (int i = 0; i < j->dicts.n; i++) {
        const sae_dict_config *c = sae_dict_get_config(j->dicts.at[i]);
        for (int k = 0; k < i; k++) {
            const sae_dict_config *other = sae_dict_get_config(j->dicts.at[k]);
            const char *what = difference(a, c, other);
            if (what)
                SAE_RAISE(err, SAE_STATE, "%s has another %s than %s: what is compared differs in scaffold and k alone",
                          j->dicts.paths[i], what, j->dicts.paths[k]);
            if ((c->rank > 0) != (other->rank > 0) || c->k != other->k) continue;
            SAE_RAISE(err, SAE_STATE,
                      c->rank > 0 ? "%s and %s both have k %lld: the curve has one dictionary for each k"
                                  : "%s and %s have no scaffold and k %lld: give one baseline of each k",
                      j->dicts.paths[k], j->dicts.paths[i], (long long)c->k);
        }
    }
done:
    return status;
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------------------------- */

static sae_status measure(job *j, args *a, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t ce_tokens = args_int(a, "ce-tokens", 0);
    loss_table clean = {0};

    SAE_TRY(census_clean(&clean, &j->in.sample, ce_tokens, progress, err));
    for (int i = 0; i < j->dicts.n; i++) {
        census_entry *n = &j->entries[i];
        *n = (census_entry){
            .name = j->dicts.names[i], .config = sae_dict_get_config(j->dicts.at[i]), .threshold = j->threshold};
        status = census_measure(n, &j->in.sample, j->dicts.at[i], &clean, ce_tokens, (uint64_t)args_int(a, "seed", 0),
                                progress, err);
        if (status != SAE_OK) sae_error_prefix(err, "%s", j->dicts.paths[i]);
        SAE_TRY(status);
    }
done:
    loss_table_free(&clean);
    return status;
}

static matching_place place_of(const census_entry *n)
{
    return (matching_place){
        .k = (double)n->config->k,
        .at = {n->l0, n->fvu, n->ce_ratio.value, n->dense[0], n->dense[1], n->dense[2], n->mass, NAN, NAN, NAN}};
}

static sae_status compare(const job *j, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    matching_place curve[MOST_COMPARED], base_curve[MOST_COMPARED], equal_k;
    char title[128];
    const sae_dict_config *base = j->entries[j->base].config, *other = j->entries[j->scaffold].config;
    matching_set set = {.name = train_arch_name(base->arch),
                        .title = title,
                        .kind = variant_labels[other->variant],
                        .rank = (double)other->rank,
                        .n_measures = MATCHING_CENSUS,
                        .base = place_of(&j->entries[j->base]),
                        .curve = curve,
                        .base_curve = base_curve};

    for (int i = 0; i < j->dicts.n; i++) {
        if (j->entries[i].config->rank == 0) {
            base_curve[set.n_base++] = place_of(&j->entries[i]);
            continue;
        }
        curve[set.n++] = place_of(&j->entries[i]);
        if (j->entries[i].config->k != base->k) continue;
        equal_k = place_of(&j->entries[i]);
        set.equal_k = &equal_k;
    }
    snprintf(title, sizeof title, "%s, width %lld, rank %lld", set.name, (long long)base->d_sae,
             (long long)other->rank);
    SAE_TRY(matching_note(r, err));
    SAE_TRY(matching_report(r, &set, err));
    SAE_TRY(census_table(r, err));
    for (int i = 0; i < j->dicts.n; i++) SAE_TRY(census_row(r, &j->entries[i], err));
    SAE_TRY(census_note(r, j->threshold, err));
done:
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *operands;
    int n = args_operands(a, &operands);
    job j = {0};
    sae_result *result = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    if (n > MOST_COMPARED) SAE_TRY(args_fail(a, err, "%d dictionaries: at most %d", n, (int)MOST_COMPARED));
    if (args_int(a, "ce-tokens", 0) < 1) SAE_TRY(args_fail(a, err, "--ce-tokens must be at least 1"));
    SAE_TRY(args_dense_threshold(a, &j.threshold, err));
    SAE_TRY(out_check(a, err));
    SAE_TRY(dict_set_open(&j.dicts, operands, n, err));
    SAE_TRY(check(&j, a, err));
    SAE_TRY(lab_input_open_for(&j.in, a, operands[0], false, &progress, err));
    SAE_TRY(measure(&j, a, &progress, err));
    progress_end(&line);
    SAE_TRY(sae_result_create(&result, "With something held equal", err));
    SAE_TRY(core_describe(result, &j.in.sample, err));
    SAE_TRY(compare(&j, result, err));
    SAE_TRY(result_show(a, result, err));
done:
    progress_end(&line);
    sae_result_free(result);
    lab_input_close(&j.in);
    dict_set_close(&j.dicts);
    return status;
}

const command command_lab_matching = {
    .name = "lab matching",
    .arguments = "DICT DICT [DICT...]",
    .summary = "a scaffold against its baseline at equal k, L0, L0 + r and FVU",
    .details = "Dictionaries without a scaffold and with one, alike but for their k, measured on the same held-out "
               "tokens: L0,\n"
               "FVU, CE of the reconstruction over the clean model's, dense latents. Then the dictionary with a "
               "scaffold at the\n"
               "baseline's k, and where its L0, its L0 with the scaffold's r codes, and its FVU are the baseline's: "
               "between two k\n"
               "every number is taken to be linear, beyond them nothing is said. The baseline is the first without a "
               "scaffold;\n"
               "others, at other k, say what the lower k at equal L0 + r and equal FVU does by itself.",
    .examples =
        "sae lab matching runs/paper/dictionaries/batchtopk-baseline-s0 runs/paper/dictionaries/batchtopk-p1-s0 "
        "runs/paper/dictionaries/batchtopk-p1-k16-s0 runs/paper/dictionaries/batchtopk-p1-k48-s0 "
        "runs/paper/dictionaries/batchtopk-baseline-k16-s0 runs/paper/dictionaries/batchtopk-baseline-k48-s0 --model "
        "smollm2 --text books.jsonl.zst\n"
        "sae lab matching plain/sae k16/sae k24/sae k32/sae --model gpt2/ --ids tokens.npy --json\n",
    .min_operands = 2,
    .max_operands = -1,
    .options = options,
    .kept_as = "",
    .run = run,
};
