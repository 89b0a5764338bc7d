/*
 * claims_documents.c - N3: sparse probing and TPP at matched sparsity.
 *
 * Both are measured at several sizes, k latents of a probe and n latents ablated, and what they gain may differ from size to size. The claim
 * goes by the mean over all that were measured, which chooses none of them afterwards; what is told at each by itself stands beside it.
 */
#include "lab/claims.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct measure {
    const char *file, *label; /* "tpp": of keys, and of results behind the architecture */
    char size;                /* 'k' or 'n' */
} measure;
static const measure measures[2] = {{"probing", "sparse probing", 'k'}, {"tpp", "TPP", 'n'}};

/* The gain of an arm of the scaffold over the baseline's latents: of the first seed on the same documents, and over the seeds. */
typedef struct gain {
    interval paired, seeds;
    double first; /* of the first seed */
} gain;

/* scaffold_at: of the scaffold's key behind "tpp."; gain_at: of that of its gain. False: not measured in this run. */
static bool find_gain(const experiment *e, int arch, const measure *m, const char *scaffold_at, const char *gain_at,
                      const char *base_at, gain *out)
{
    double gains[SEEDS_MAX];
    char key[48], base[48], part[96], name[160];

    snprintf(key, sizeof key, "%s.%s", m->file, scaffold_at);
    snprintf(base, sizeof base, "%s.%s", m->file, base_at);
    for (int64_t s = 0; s < e->options.seeds; s++)
        gains[s] = experiment_number(e, claim_entry(e, arch, USE_SCAFFOLD, s), key) -
                   experiment_number(e, claim_entry(e, arch, USE_BASELINE, s), base);
    out->seeds = interval_of_mean(gains, e->options.seeds);
    out->first = gains[0];
    snprintf(part, sizeof part, "%s-%s", arch_name(e->options.archs[arch]), m->file);
    snprintf(name, sizeof name, "%s.%s.%s", claim_entry(e, arch, USE_SCAFFOLD, 0)->name, m->file, gain_at);
    return isfinite(out->seeds.value) && experiment_found(e, "documents", part, name, &out->paired);
}

static bool gain_at(const experiment *e, int arch, const measure *m, const char *at, gain *out)
{
    char key[32];

    snprintf(key, sizeof key, "gain.%s", at);
    return find_gain(e, arch, m, at, key, at, out);
}

/* 1 better, -1 worse, 0 not told: by documents and by seeds. */
static int side_of(const gain *g)
{
    const char *side = verdict_both(&g->paired, &g->seeds, 0, "+", "-", "");

    return *side == '+' ? 1 : *side == '-' ? -1 : 0;
}

/* To four decimals, without a "-0.0000". */
static double four_decimals(double v) { return round(v * 1e4) / 1e4 + 0.0; }

/* What the first seed's latents do more than ones of equal density, without the scaffold and with it; "": probing has no such number. */
static const char *aimed(const experiment *e, int arch, const measure *m)
{
    static const roster_use uses[2] = {USE_BASELINE, USE_SCAFFOLD};
    interval over[2] = {{NAN, NAN, NAN}, {NAN, NAN, NAN}};
    char part[96], key[160];

    snprintf(part, sizeof part, "%s-%s", arch_name(e->options.archs[arch]), m->file);
    for (int i = 0; i < 2; i++) {
        snprintf(key, sizeof key, "%s.%s.over_random.mean", claim_entry(e, arch, uses[i], 0)->name, m->file);
        experiment_found(e, "documents", part, key, &over[i]);
    }
    return verdict_aimed(&over[0], &over[1]);
}

/* Behind the claim's numbers: the sizes at which by themselves a gain or a loss is told. */
static void tell_sizes(const experiment *e, int arch, const measure *m, claim *c)
{
    static const char *const names[2] = {"worse", "better"};
    int64_t sizes[DOCUMENTS_SIZES];
    const int n = documents_sizes(m->size == 'n', sizes);
    bool any = false;
    char at[32];
    gain g;

    for (int better = 0; better < 2; better++) {
        bool begun = false;
        for (int i = 0; i < n; i++) {
            snprintf(at, sizeof at, "%c%lld", m->size, (long long)sizes[i]);
            if (!gain_at(e, arch, m, at, &g) || side_of(&g) != 2 * better - 1) continue;
            if (begun)
                claim_add(c->more, sizeof c->more, ", %lld", (long long)sizes[i]);
            else
                claim_add(c->more, sizeof c->more, "; by itself %s at %c %lld", names[better], m->size,
                          (long long)sizes[i]);
            begun = any = true;
        }
    }
    if (!any) claim_add(c->more, sizeof c->more, "; told at no %c by itself", m->size);
}

/* What the codes add to the scaffold's own latents, over seeds and, of the first, over documents. */
static bool codes_added(const experiment *e, int arch, const measure *m, gain *out)
{
    double added[SEEDS_MAX];
    char key[48];

    snprintf(key, sizeof key, "%s.scaffold.over_latents.mean", m->file);
    for (int64_t s = 0; s < e->options.seeds; s++)
        added[s] = experiment_number(e, claim_entry(e, arch, USE_SCAFFOLD, s), key);
    *out = (gain){.paired = experiment_interval(e, claim_entry(e, arch, USE_SCAFFOLD, 0), key),
                  .seeds = interval_of_mean(added, e->options.seeds),
                  .first = added[0]};
    return isfinite(out->seeds.value);
}

/* TPP with the scaffold's codes to ablate too, beside its latents alone: into the numbers; returns what it says of a loss. */
static const char *tell_codes(const experiment *e, int arch, const measure *m, claim *c)
{
    gain with, added;

    if (m->size != 'n') return ""; /* probing's codes have an arm of their own, in its tables */
    if (!find_gain(e, arch, m, "scaffold.mean", "scaffold.gain.mean", "mean", &with)) return "";
    claim_add(c->here, sizeof c->here, "; with the scaffold's codes to ablate too %+.4f",
              four_decimals(with.seeds.value));
    if (!codes_added(e, arch, m, &added)) return "";
    const interval beyond[2] = {with.paired, with.seeds}, more[2] = {added.paired, added.seeds};
    return verdict_codes(beyond, more);
}

/* What is gained at the rules over the baseline of the same L0, where that is another than the one at k. */
static void tell_gain_at_l0(const experiment *e, int arch, const char *key, claim *c)
{
    double change, at_l0;
    char how[40];
    bool any = false;

    for (int i = 0; i < MATCHING_RULES; i++) {
        if (!claim_change(e, arch, i, key, &change, how) || !claim_change_at_l0(e, arch, i, key, &at_l0)) continue;
        if (!isfinite(at_l0) || four_decimals(at_l0 - change) == 0) continue;
        claim_add(c->more, sizeof c->more, "%s %+.4f at equal %s", any ? "," : "; over the baseline of that L0",
                  four_decimals(at_l0), matching_rules[i].name);
        any = true;
    }
}

/* What is gained at equal k over the seeds, and at the other rules by what was trained for them or else by interpolation. */
static sae_status documents_claim(const experiment *e, int arch, const measure *m, sae_result *r, sae_error *err)
{
    static const char better[] = "better, as the paper says", worse[] = "worse: against the paper";
    claim c = {.number = "N3", .paper = "better at matched sparsity"};
    char name[128], key[32], how[40];
    double change;
    gain g;

    if (!gain_at(e, arch, m, "mean", &g)) return SAE_OK; /* not measured in this run */
    const bool seeds = isfinite(g.seeds.low);
    snprintf(key, sizeof key, "%s.mean", m->file);
    snprintf(name, sizeof name, "%s, mean over %c, %s", m->label, m->size, arch_name(e->options.archs[arch]));
    c.name = name;
    snprintf(c.here, sizeof c.here, "%+.4f at equal k", four_decimals(g.seeds.value));
    if (e->options.seeds > 1) claim_add(c.here, sizeof c.here, ", mean of %lld seeds", (long long)e->options.seeds);
    snprintf(c.more, sizeof c.more, "first seed: %+.4f at equal k", four_decimals(g.first));
    for (int i = 0; i < MATCHING_RULES; i++)
        if (claim_change(e, arch, i, key, &change, how))
            claim_add(c.more, sizeof c.more, ", %+.4f at equal %s%s", four_decimals(change), matching_rules[i].name,
                      how);
    tell_gain_at_l0(e, arch, key, &c);
    tell_sizes(e, arch, m, &c);
    const char *made_up = tell_codes(e, arch, m, &c);
    if (seeds) /* another number than that of the seeds, which its interval need not hold */
        snprintf(c.range, sizeof c.range, "the first seed's %+.4f ", four_decimals(g.first));
    claim_add(c.range, sizeof c.range, "[%.4f, %.4f] over documents", g.paired.low, g.paired.high);
    if (seeds) claim_add(c.range, sizeof c.range, "; [%.4f, %.4f] over seeds", g.seeds.low, g.seeds.high);
    const int side = side_of(&g);
    snprintf(c.says, sizeof c.says, "%s%s",
             side > 0   ? better
             : side < 0 ? worse
                        : "cannot be told from no gain",
             seeds ? "" : " (one seed: how two trainings differ is not in it)");
    if (side != 0) claim_other_rules(e, arch, key, side, c.says, sizeof c.says);
    claim_add(c.says, sizeof c.says, "%s%s", side < 0 ? made_up : "", aimed(e, arch, m));
    return claim_row(r, &c, err);
}

sae_status claims_of_documents(const experiment *e, int arch, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < 2; i++) SAE_TRY(documents_claim(e, arch, &measures[i], r, err));
done:
    return status;
}

/* ---- At each k and n ------------------------------------------------------------------------------------------------------ */

static sae_status gain_row(const experiment *e, int arch, const measure *m, const char *at, const char *size,
                           sae_result *r, sae_error *err)
{
    static const char *const words[3] = {"worse", "not told", "better"};
    sae_status status = SAE_OK;
    const char *family = arch_name(e->options.archs[arch]);
    char what[96], documents[64], seeds[64] = "one seed", key[96];
    gain g;

    if (!gain_at(e, arch, m, at, &g)) return SAE_OK;
    snprintf(what, sizeof what, "%s, %s", m->label, family);
    snprintf(documents, sizeof documents, "[%.4f, %.4f]", g.paired.low, g.paired.high);
    if (isfinite(g.seeds.low)) snprintf(seeds, sizeof seeds, "[%.4f, %.4f]", g.seeds.low, g.seeds.high);
    const sae_cell cells[] = {{what, NAN},
                              {size, NAN},
                              {NULL, four_decimals(g.seeds.value)},
                              {seeds, NAN},
                              {NULL, four_decimals(g.first)},
                              {documents, NAN},
                              {words[1 + side_of(&g)], NAN}};
    SAE_TRY(sae_result_row(r, "gains", cells, 7, err));
    snprintf(key, sizeof key, "%s.%s.gain.%s", family, m->file, at);
    SAE_TRY(sae_result_silent(r, key, g.seeds.value, g.seeds.low, g.seeds.high, err));
done:
    return status;
}

static sae_status gain_rows(const experiment *e, int arch, const measure *m, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t sizes[DOCUMENTS_SIZES];
    const int n = documents_sizes(m->size == 'n', sizes);
    char at[32], size[32];

    for (int i = 0; i < n; i++) {
        snprintf(at, sizeof at, "%c%lld", m->size, (long long)sizes[i]);
        snprintf(size, sizeof size, "%c %lld", m->size, (long long)sizes[i]);
        SAE_TRY(gain_row(e, arch, m, at, size, r, err));
    }
    snprintf(size, sizeof size, "mean over %c", m->size);
    SAE_TRY(gain_row(e, arch, m, "mean", size, r, err));
done:
    return status;
}

sae_status gains_report(const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {
        "measure", "at", "gain, mean of seeds", "over seeds", "of the first seed", "over documents", "told by both"};
    sae_status status = SAE_OK;
    gain g;

    if (!gain_at(e, 0, &measures[0], "mean", &g)) return SAE_OK; /* not measured in this run */
    SAE_TRY(sae_result_table(r, "gains", "N3 at each k and n: what the scaffold gains at equal k", columns, 7, err));
    for (int a = 0; a < e->options.n_archs; a++)
        for (int i = 0; i < 2; i++) SAE_TRY(gain_rows(e, a, &measures[i], r, err));
    SAE_TRY(sae_result_note(r,
                            "N3 goes by the means over k and n. A single k or n is one of several that were looked at: "
                            "by chance up to one in twenty would be told.",
                            err));
done:
    return status;
}
