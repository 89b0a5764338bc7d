/*
 * features_parts.c - the parts that look at single latents of the first seed's pair of each architecture: what the baseline's
 * dense latents are, whether its latents hold what the scaffold holds, topics, and cards to look at.
 */
#include "lab/dense.h"
#include "lab/redundancy.h"
#include "lab/scaffold.h"
#include "lab/topics.h"

#include <stdio.h>

static sae_status dense_classes(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *found = NULL;
    dense_options how = {.threshold = e->options.dense_threshold, .seed = e->options.seed};
    char title[128];

    SAE_TRY(experiment_sample(e, err));
    for (int a = 0; a < ARMS; a++) {
        SAE_TRY(dense_run(&found, &e->held_out, e->dicts[a], e->tok, &how, e->progress, err));
        snprintf(title, sizeof title, "What the dense latents of %s are", e->pair[a]->name);
        SAE_TRY(experiment_adopt(e, arm_names[a], title, found, err));
    }
done:
    return status;
}

/* In full all of it is asked of both architectures; else of the second only what the claim needs, the first rule at the marked size. */
static bool in_brief(const experiment *e)
{
    return e->options.budget != BUDGET_FULL && e->pair[ARM_SCAFFOLD]->config.arch != e->options.archs[0];
}

/* The first rule on the whole grid of sizes; the others at the paper's share. */
static sae_status redundancy(experiment *e, sae_error *err)
{
    const bool brief = in_brief(e);
    const int of = e->options.ablate;
    sae_status status = SAE_OK;
    sae_result *found = NULL;
    char title[160];

    SAE_TRY(experiment_sample(e, err));
    for (int rule = 0; rule < ALIGN_RULES; rule++) {
        if (brief && rule != ALIGN_ENERGY) continue;
        redundancy_options how = {.rule = (alignment_rule)rule,
                                  .points = rule == ALIGN_ENERGY && !brief ? e->options.points : 1,
                                  .mean = e->rows.mean, /* as everywhere in the run */
                                  .ce_tokens = e->options.ce_tokens,
                                  .dense_threshold = e->options.dense_threshold,
                                  .seed = e->options.seed,
                                  .scaffold = e->dicts[ARM_SCAFFOLD],
                                  .space_name = e->pair[ARM_SCAFFOLD]->name};
        SAE_TRY(redundancy_run(&found, &e->held_out, e->dicts[of], sae_dict_weights(e->dicts[ARM_SCAFFOLD]).W_up,
                               e->pair[ARM_SCAFFOLD]->config.rank, &how, e->progress, err));
        snprintf(title, sizeof title, "Latents of %s aligned with the scaffold, ablated (rule: %s)", e->pair[of]->name,
                 alignment_names[rule]);
        SAE_TRY(experiment_adopt(e, alignment_names[rule], title, found, err));
    }
done:
    return status;
}

static sae_status cards(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(experiment_sample(e, err));
    for (int a = 0; a < ARMS; a++) SAE_TRY(core_measure(&e->arms[a], &e->held_out, e->dicts[a], e->progress, err));
    SAE_TRY(showcase_report(e, err));
done:
    return status;
}

static json_t *identity_of(const experiment *e, const char *key, json_t *more)
{
    return part_identity(e, json_pack("{so so so}", "baseline", roster_identity(e, e->pair[ARM_BASELINE]), "scaffold",
                                      roster_identity(e, e->pair[ARM_SCAFFOLD]), key, more));
}

static json_t *topics_labels_json(const scaffold_options *o)
{
    json_t *list = json_array();

    for (int i = 0; i < o->n_labels; i++) json_add(&list, json_string(topics_labels_names[o->labels[i]]));
    return list;
}

static sae_status of_arch(experiment *e, int a, sae_error *err)
{
    const scaffold_options *o = &e->options;
    sae_status status = SAE_OK;
    const char *arch = arch_name(o->archs[a]);
    char name[64];

    SAE_TRY(pair_open(e, roster_pair(e, o->archs[a], USE_BASELINE, o->seed),
                      roster_pair(e, o->archs[a], USE_SCAFFOLD, o->seed), err));
    snprintf(name, sizeof name, "%s-dense", arch);
    SAE_TRY(part_run(e, name, identity_of(e, "threshold", json_real(o->dense_threshold)), dense_classes, err));
    if (o->points > 0 && e->map.rank > 0) {
        snprintf(name, sizeof name, "%s-redundancy", arch);
        SAE_TRY(part_run(
            e, name,
            identity_of(e, "points",
                        json_pack("{sI ss sf ss}", "sizes", (json_int_t)(in_brief(e) ? 1 : o->points), "controls",
                                  "of all latents", "dense_threshold", o->dense_threshold, "of", arm_names[o->ablate])),
            redundancy, err));
    }
    if (o->topics && e->map.write_space.rank > 0) { /* else W_up never moved: there is nothing to remove */
        snprintf(name, sizeof name, "%s-topics", arch);
        SAE_TRY(part_run(e, name,
                         identity_of(e, "topics",
                                     json_pack("{so sb sI sI sb si ss}", "labels", topics_labels_json(o), "first",
                                               (int)(a == 0), "documents", (json_int_t)(e->topics_hash & INT64_MAX),
                                               "questions", (json_int_t)o->questions, "last_token", (int)o->last_token,
                                               "draws", TOPICS_DRAWS, "of", arm_names[o->ablate])),
                         scaffold_topics, err));
    }
    if (a == 0) SAE_TRY(part_run(e, "cards", identity_of(e, "cards", json_integer(o->cards)), cards, err));
done:
    pair_close(e);
    return status;
}

sae_status features_parts(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int a = 0; a < e->options.n_archs; a++) SAE_TRY(of_arch(e, a, err));
done:
    return status;
}
