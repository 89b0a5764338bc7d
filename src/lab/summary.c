/*
 * summary.c - what was measured beside what the paper states, in words that follow from the numbers. The settings are not
 * the paper's (another model, layer, width, far fewer rows), so a difference contradicts nothing by itself; it is said all
 * the same.
 */
#include "lab/scaffold.h"
#include "lab/topics.h"

#include <math.h>
#include <stdio.h>

static const double LITTLE_HARM = 1.1;   /* a ratio below this is called little */
static const double LITTLE_CHANGE = 0.1; /* of a count: what another seed might as well give */

typedef struct claim {
    const char *name, *paper;
    char here[160], says[220];
} claim;

static sae_status claim_row(sae_result *r, const claim *c, sae_error *err)
{
    const sae_cell cells[] = {{c->name, NAN}, {c->paper, NAN}, {c->here, NAN}, {c->says, NAN}};

    return sae_result_row(r, "claims", cells, 4, err);
}

/* The share by which the scaffold changes a count, in words. */
static void change_text(char *text, size_t size, double base, double with)
{
    if (base > 0)
        snprintf(text, size, "%+.0f %%", 100 * (with / base - 1));
    else
        snprintf(text, size, "none to reduce");
}

/* Counts of both arms in one table: the first thing that a reader looks for. */
static sae_status dense_table(const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"latents firing on more than", "baseline", "scaffold", "change"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(r, "dense", "Dense latents, side by side", columns, 4, err));
    for (int i = 0; i < DENSITY_THRESHOLDS; i++) {
        double base = (double)density_dense(&e->arms[ARM_BASELINE].density, density_thresholds[i]);
        double with = (double)density_dense(&e->arms[ARM_SCAFFOLD].density, density_thresholds[i]);
        char share[32], change[32];
        snprintf(share, sizeof share, "%g %% of tokens", 100 * density_thresholds[i]);
        change_text(change, sizeof change, base, with);
        const sae_cell cells[] = {{share, NAN}, {NULL, base}, {NULL, with}, {change, NAN}};
        SAE_TRY(sae_result_row(r, "dense", cells, 4, err));
    }
done:
    return status;
}

static sae_status dense_claim(const experiment *e, sae_result *r, sae_error *err)
{
    enum { TOO_FEW = 5 };
    claim c = {.name = "dense latents (over 10 % of tokens)", .paper = "up to 84 % fewer"};
    char change[32];
    double base = (double)density_dense(&e->arms[ARM_BASELINE].density, 0.1);
    double with = (double)density_dense(&e->arms[ARM_SCAFFOLD].density, 0.1);

    change_text(change, sizeof change, base, with);
    snprintf(c.here, sizeof c.here, "%.0f in the baseline, %.0f with the scaffold (%s)", base, with, change);
    if (base < TOO_FEW)
        snprintf(c.says, sizeof c.says,
                 "says little: the baseline has too few dense latents here for the claim to be tried");
    else if (fabs(with / base - 1) < LITTLE_CHANGE)
        snprintf(c.says, sizeof c.says, "about as many, as far as one seed can tell: against the paper");
    else if (with < base)
        snprintf(c.says, sizeof c.says, "fewer, as the paper says%s",
                 base - with > 2 * (double)e->map.rank ? ", and more than 2r, which re-housing alone would explain"
                                                       : "; at most 2r of them, which r signed codes can re-house");
    else
        snprintf(c.says, sizeof c.says, "more, not fewer: against the paper");
    return claim_row(r, &c, err);
}

/* By the paired ratio of the two losses on the same resampled sequences. */
static const char *compare_pair(const interval *scaffold_over_pca)
{
    if (scaffold_over_pca->low > 1) return "more harm than PCA, as the paper says";
    if (scaffold_over_pca->high < 1) return "less harm than PCA: against the paper";
    return "cannot be told from PCA on this many tokens";
}

static sae_status removal_claim(const experiment *e, sae_result *r, int scaffold, int pca, const char *name,
                                sae_error *err)
{
    sae_status status = SAE_OK;
    claim c = {.name = name, .paper = "7.5 x for the scaffold, 2.8 x for PCA"};
    interval a, b, paired;

    SAE_TRY(loss_ratio(&a, &e->losses, scaffold, LOSS_CLEAN, e->options.seed, err));
    SAE_TRY(loss_ratio(&b, &e->losses, pca, LOSS_CLEAN, e->options.seed, err));
    SAE_TRY(loss_ratio(&paired, &e->losses, scaffold, pca, e->options.seed, err));
    snprintf(c.here, sizeof c.here, "%.2f x [%.2f, %.2f] for the scaffold, %.2f x [%.2f, %.2f] for PCA", a.value, a.low,
             a.high, b.value, b.low, b.high);
    snprintf(c.says, sizeof c.says, "%s", compare_pair(&paired));
    SAE_TRY(claim_row(r, &c, err));
done:
    return status;
}

static sae_status necessity_claim(const experiment *e, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    claim c = {.name = "removal against chance", .paper = "the scaffold is causally necessary"};
    interval scaffold, random = {.high = -INFINITY}, one;

    SAE_TRY(loss_ratio(&scaffold, &e->losses, LOSS_R3, LOSS_CLEAN, e->options.seed, err));
    for (int i = 0; i < e->options.draws; i++) {
        SAE_TRY(loss_ratio(&one, &e->losses, LOSS_RANDOM + 2 * i + 1, LOSS_CLEAN, e->options.seed, err));
        if (one.high > random.high) random = one;
    }
    snprintf(c.here, sizeof c.here, "centred: %.2f x, the worst of %d random subspaces %.3f x", scaffold.value,
             e->options.draws, random.value);
    if (scaffold.low <= random.high)
        snprintf(c.says, sizeof c.says, "not distinguishable from random directions: against the paper");
    else
        snprintf(c.says, sizeof c.says, "more harm than random directions%s",
                 scaffold.value < LITTLE_HARM ? ", but little: the loss rises by less than a tenth"
                                              : ", as the paper says");
    SAE_TRY(claim_row(r, &c, err));
done:
    return status;
}

static sae_status geometry_claim(const experiment *e, sae_result *r, sae_error *err)
{
    claim c = {.name = "scaffold and top principal components", .paper = "geometrically near-identical"};
    double overlap = subspace_overlap(&e->map.write_space, &e->pca), chance = (double)e->pca.rank / (double)e->d;

    snprintf(c.here, sizeof c.here, "overlap %.3f (1 identical, %.4f by chance) at r = %lld", overlap, chance,
             (long long)e->map.write_space.rank);
    snprintf(c.says, sizeof c.says, "%s",
             overlap > 0.95  ? "near-identical, as the paper says"
             : overlap > 0.5 ? "mostly the same directions, not near-identical"
                             : "largely other directions: against the paper");
    return claim_row(r, &c, err);
}

static sae_status fit_claim(const experiment *e, sae_result *r, sae_error *err)
{
    claim c = {.name = "fit at equal k", .paper = "not stated"};
    double base = fit_fvu(&e->arms[ARM_BASELINE].full), with = fit_fvu(&e->arms[ARM_SCAFFOLD].full);

    snprintf(c.here, sizeof c.here, "FVU %.4f in the baseline, %.4f with the scaffold (L0 %.1f, %.1f)", base, with,
             core_l0(&e->arms[ARM_BASELINE]), core_l0(&e->arms[ARM_SCAFFOLD]));
    snprintf(c.says, sizeof c.says, "%s",
             with < base ? "the scaffold reconstructs better; it also has r more codes per token"
                         : "the scaffold does not reconstruct better");
    return claim_row(r, &c, err);
}

/* A fixed probe falls when its directions are moved; whether the topic is gone, the probe trained anew tells. */
static sae_status topics_claim(const experiment *e, sae_result *r, sae_error *err)
{
    claim c = {.name = "topics of documents, scaffold removed", .paper = "98.7 % to chance"};
    const topics_arm *clean = scaffold_topics_arm(e, "clean"), *r2, *r3, *pca;
    double chance;

    if (!clean) return SAE_OK;
    r2 = scaffold_topics_arm(e, "scaffold removed, R2 uncentred");
    r3 = scaffold_topics_arm(e, "scaffold removed, R3 centred");
    pca = scaffold_topics_arm(e, "PCA removed, R2 uncentred");
    if (!r2 || !r3 || !pca) return SAE_OK;
    chance = 1.0 / e->topics->n_classes;
    snprintf(c.here, sizeof c.here,
             "clean %.3f; fixed probe R2 %.3f (PCA %.3f), R3 %.3f; probe trained anew %.3f; chance %.3f",
             clean->fixed.value, r2->fixed.value, pca->fixed.value, r3->fixed.value, r2->retrained.value, chance);
    snprintf(c.says, sizeof c.says, "%s",
             r2->fixed.low > 1.5 * chance ? "topics can still be told: against the paper"
             : r2->retrained.low > 1.5 * chance
                 ? "a fixed probe falls to chance, as the paper says; one trained anew does not"
                 : "falls to chance, as the paper says, also for a probe trained anew");
    return claim_row(r, &c, err);
}

static sae_status uniform_note(const experiment *e, sae_result *r, sae_error *err)
{
    char text[300];
    double uniform = log((double)sae_model_get_info(e->model)->n_vocab);

    snprintf(
        text, sizeof text,
        "Clean CE is %.3f nats, a uniform guess costs %.3f (%.2f x), the site set to zero %.3f, set to its mean %.3f. "
        "A ratio above that of the uniform guess means a model that is confidently wrong, not one that lacks "
        "information.",
        loss_mean(&e->losses, LOSS_CLEAN), uniform, uniform / loss_mean(&e->losses, LOSS_CLEAN),
        loss_mean(&e->losses, LOSS_ZERO), loss_mean(&e->losses, LOSS_MEAN));
    return sae_result_note(r, text, err);
}

static sae_status setting_note(const experiment *e, sae_result *r, sae_error *err)
{
    const scaffold_options *o = &e->options;
    char text[500];

    snprintf(
        text, sizeof text,
        "%s, %s: d %lld, %lld latents, k %lld, rank %lld, %s. %lld training rows per arm from %lld distinct tokens; "
        "densities and fits on %lld held-out tokens, each loss on %lld. One seed. The paper: Gemma-2-2B, layer 12, "
        "rank 24.",
        e->options.model_name, e->site_name, (long long)e->d, (long long)o->width, (long long)o->k, (long long)o->rank,
        o->arch == SAE_MATRYOSHKA ? "Matryoshka-BatchTopK" : "BatchTopK",
        (long long)(e->recipe.steps * e->recipe.batch), (long long)e->store_rows, (long long)e->held_out.n_counted,
        (long long)e->losses.n_scored);
    return sae_result_note(r, text, err);
}

sae_status summary_report(experiment *e, sae_error *err)
{
    static const char *const columns[] = {"claim", "paper", "here", "what that says"};
    sae_status status = SAE_OK;
    sae_result *r = NULL;

    SAE_TRY(experiment_result(e, "summary", "What was found", &r, err));
    SAE_TRY(setting_note(e, r, err));
    SAE_TRY(dense_table(e, r, err));
    SAE_TRY(removal_side_by_side(e, r, err));
    SAE_TRY(difference_report(e, r, err));
    SAE_TRY(sae_result_table(r, "claims", "The paper and this run", columns, 4, err));
    SAE_TRY(dense_claim(e, r, err));
    SAE_TRY(removal_claim(e, r, LOSS_R2, LOSS_PCA_R2, "CE after removal, uncentred (R2)", err));
    SAE_TRY(removal_claim(e, r, LOSS_R3, LOSS_PCA_R3, "CE after removal, centred (R3)", err));
    SAE_TRY(necessity_claim(e, r, err));
    SAE_TRY(geometry_claim(e, r, err));
    SAE_TRY(topics_claim(e, r, err));
    SAE_TRY(fit_claim(e, r, err));
    SAE_TRY(uniform_note(e, r, err));
done:
    return status;
}
