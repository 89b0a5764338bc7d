/*
 * showcase.c - the latents and directions that a person should look at: the densest of each arm, and both sides of every
 * direction of the scaffold.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>

enum { CONTEXTS_SHOWN = 6 };

typedef struct show {
    experiment *e;
    sae_result *result;
    feature *features;
    feature_target *targets;
    float *direction; /* [d] */
} show;

static sae_status show_latents(show *w, int arm, sae_error *err)
{
    experiment *e = w->e;
    sae_status status = SAE_OK;
    int n = e->options.cards;
    int64_t latents[64];
    sae_weights weights = sae_dict_weights(e->dicts[arm]);

    SAE_TRY(density_top(&e->arms[arm].density, n, latents, err));
    for (int i = 0; i < n; i++) w->targets[i] = (feature_target){.latent = latents[i]};
    SAE_TRY(features_scan(w->features, &e->held_out, e->dicts[arm], w->targets, n, CONTEXTS_SHOWN, e->progress, err));
    for (int i = 0; i < n; i++) {
        char group[64], id[64], title[64], facts[160];
        snprintf(group, sizeof group, "Densest latents of the %s",
                 arm == ARM_BASELINE ? "baseline" : "dictionary with the scaffold");
        snprintf(id, sizeof id, "%s-%lld", arm_names[arm], (long long)latents[i]);
        snprintf(title, sizeof title, "latent %lld", (long long)latents[i]);
        feature_facts(&w->features[i], facts, sizeof facts);
        card c = {group, id, title, facts, weights.W_dec + latents[i] * e->d};
        SAE_TRY(card_add(w->result, &c, &w->features[i], e->model, e->tok, err));
    }
done:
    return status;
}

/* Two targets per direction: its code above its mean, and below it. */
static void direction_targets(show *w)
{
    const scaffold_map *m = &w->e->map;

    for (int64_t i = 0; i < m->rank; i++) {
        const double *read = m->read + i * m->d;
        double centre = 0;
        for (int64_t j = 0; j < m->d; j++) centre += read[j] * w->e->rows.mean[j];
        w->targets[2 * i] = (feature_target){-1, read, m->singular[i], m->singular[i] * centre};
        w->targets[2 * i + 1] = (feature_target){-1, read, -m->singular[i], -m->singular[i] * centre};
    }
}

static sae_status show_directions(show *w, sae_error *err)
{
    experiment *e = w->e;
    const scaffold_map *m = &e->map;
    sae_status status = SAE_OK;

    direction_targets(w);
    SAE_TRY(features_scan(w->features, &e->held_out, NULL, w->targets, (int)(2 * m->rank), CONTEXTS_SHOWN, e->progress,
                          err));
    for (int64_t i = 0; i < 2 * m->rank; i++) {
        const bool plus = i % 2 == 0;
        char id[64], title[64], facts[200];
        snprintf(id, sizeof id, "direction-%lld%s", (long long)(i / 2 + 1), plus ? "-above" : "-below");
        snprintf(title, sizeof title, "direction %lld, %s its mean", (long long)(i / 2 + 1), plus ? "above" : "below");
        snprintf(facts, sizeof facts, "code %.3g on average with a spread of %.3g; shown: how far %s; at most %.3g",
                 m->mean[i / 2], m->spread[i / 2], plus ? "above" : "below", w->features[i].max);
        for (int64_t j = 0; j < m->d; j++) w->direction[j] = (float)((plus ? 1 : -1) * m->write[i / 2 * m->d + j]);
        card c = {"Directions of the scaffold", id, title, facts, w->direction};
        SAE_TRY(card_add(w->result, &c, &w->features[i], e->model, e->tok, err));
    }
done:
    return status;
}

sae_status showcase_report(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t most = 2 * e->map.rank > e->options.cards ? 2 * e->map.rank : e->options.cards;
    show w = {.e = e};

    w.features = mem_alloc_array((size_t)most + 1, sizeof *w.features, "features to show", err);
    w.targets = mem_alloc_array((size_t)most + 1, sizeof *w.targets, "features to show", err);
    w.direction = mem_alloc_array((size_t)e->d, sizeof *w.direction, "a direction", err);
    if (!w.features || !w.targets || !w.direction) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(experiment_result(e, "cards", "What was absorbed", &w.result, err));
    SAE_TRY(show_directions(&w, err));
    for (int arm = 0; arm < ARMS; arm++) SAE_TRY(show_latents(&w, arm, err));
done:
    mem_free(w.features);
    mem_free(w.targets);
    mem_free(w.direction);
    return status;
}
