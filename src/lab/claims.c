/*
 * claims.c - every number that the paper states (docs/method.md, N1 to N8) beside what was measured here, with an interval and a
 * verdict in words that follow from the numbers. The settings are not the paper's (another model, layer, width, far fewer rows), so
 * a difference contradicts nothing by itself; it is said all the same.
 */
#include "lab/scaffold.h"
#include "lab/verdict.h"
#include "sae/scaffold_fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct claim {
    const char *number, *name, *paper;
    char here[400], range[200], says[VERDICT_TEXT];
} claim;

static sae_status claim_row(sae_result *r, const claim *c, sae_error *err)
{
    const sae_cell cells[] = {
        {c->number, NAN}, {c->name, NAN}, {c->paper, NAN}, {c->here, NAN}, {*c->range ? c->range : "-", NAN},
        {c->says, NAN}};

    return sae_result_row(r, "claims", cells, 6, err);
}

/* ---- What other parts found --------------------------------------------------------------------------------------------- */

/* False: not measured in this run. */
static bool number_of(const experiment *e, const char *part, const char *file, const char *key, interval *out)
{
    const sae_result *r = experiment_find(e, part, file);
    double v[3];

    if (!r || !sae_result_get_interval(r, key, v)) return false;
    *out = (interval){v[0], v[1], v[2]};
    return true;
}

static const roster_entry *entry(const experiment *e, int arch, roster_use use, int64_t seed)
{
    return roster_find(e, e->options.archs[arch], use, SAE_P1, e->options.seed + (uint64_t)seed);
}

static void range_text(char out[200], const interval *v, const char *what)
{
    if (isfinite(v->low))
        snprintf(out, 200, "[%.3g, %.3g] %s", v->low, v->high, what);
    else
        snprintf(out, 200, "one seed");
}

/* An interval that leaves room for other draws, of which one has none. */
static const char *draws_text(char out[48], const interval *v)
{
    if (isfinite(v->low))
        snprintf(out, 48, "[%.4f, %.4f]", v->low, v->high);
    else
        snprintf(out, 48, "(one draw: no interval)");
    return out;
}

/* ---- N1: the rank ------------------------------------------------------------------------------------------------------- */

static sae_status rank_claim(const experiment *e, sae_result *r, sae_error *err)
{
    claim c = {.number = "N1", .name = "rank of the scaffold", .paper = "24 (d 2,304)"};
    interval knee;

    snprintf(c.here, sizeof c.here, "%lld used%s (d %lld)", (long long)e->options.rank,
             e->options.rank_knee ? ", found before the comparison" : "", (long long)e->d);
    /* Without other ranks than the knee there is no sweep after the comparison, only the one before it. */
    if (!number_of(e, "ranks", "ranks", "knee", &knee) && !number_of(e, "knee", "knee", "knee", &knee)) {
        snprintf(c.says, sizeof c.says, "chosen, not found: no rank sweep in this run");
    } else {
        snprintf(c.here + strlen(c.here), sizeof c.here - strlen(c.here), "; knee of the sweep at %g", knee.value);
        snprintf(c.range, sizeof c.range, "knee [%g, %g] over sequences; first seed", knee.low, knee.high);
        snprintf(c.says, sizeof c.says, "%s", verdict_rank(&knee));
    }
    return claim_row(r, &c, err);
}

/* ---- N2: dense latents -------------------------------------------------------------------------------------------------- */

/* P1 of every seed; P2 and P3 are trained of the first. */
static sae_status dense_claim(const experiment *e, int arch, sae_variant variant, sae_result *r, sae_error *err)
{
    claim c = {.number = "N2", .paper = "up to 84 % fewer"};
    char name[96];
    double base[SEEDS_MAX] = {0}, with[SEEDS_MAX] = {0}, fewer[SEEDS_MAX] = {0}, percent[SEEDS_MAX] = {0};
    int64_t n = variant == SAE_P1 ? e->options.seeds : 1;

    for (int64_t s = 0; s < n; s++) {
        const roster_entry *scaffold =
            roster_find(e, e->options.archs[arch], USE_SCAFFOLD, variant, e->options.seed + (uint64_t)s);
        if (!scaffold) return SAE_OK; /* not in this run */
        base[s] = experiment_number(e, entry(e, arch, USE_BASELINE, s), e->dense_key);
        with[s] = experiment_number(e, scaffold, e->dense_key);
        fewer[s] = base[s] - with[s];
        percent[s] = 100 * fewer[s] / base[s];
    }
    const interval b = interval_of_mean(base, n), w = interval_of_mean(with, n), f = interval_of_mean(fewer, n);
    snprintf(name, sizeof name, "dense latents (over %g %%), %s%s", 100 * e->options.dense_threshold,
             arch_name(e->options.archs[arch]),
             variant == SAE_P1   ? ""
             : variant == SAE_P2 ? ", P2"
                                 : ", P3 (stop-gradient)");
    c.name = name;
    if (b.value > 0)
        snprintf(c.here, sizeof c.here, "%.3g in the baseline, %.3g with the scaffold (%+.0f %%)", b.value, w.value,
                 round(100 * (w.value / b.value - 1)) + 0.0); /* no "-0 %" */
    else
        snprintf(c.here, sizeof c.here, "%.3g in the baseline, %.3g with the scaffold", b.value, w.value);
    const interval part = interval_of_mean(percent, n);
    range_text(c.range, &f, "fewer, over seeds");
    if (isfinite(part.low))
        snprintf(c.range + strlen(c.range), sizeof c.range - strlen(c.range), ": [%.0f, %.0f] %%", part.low, part.high);
    verdict_dense(c.says, b.value, w.value, &f, e->options.rank);
    return claim_row(r, &c, err);
}

/* ---- N3: probing and TPP at matched sparsity ---------------------------------------------------------------------------- */

/* To four decimals, without a "-0.0000". */
static double four_decimals(double v) { return round(v * 1e4) / 1e4 + 0.0; }

/* What is gained at equal k over the seeds, and at the other rules by interpolation. */
static sae_status documents_claim(const experiment *e, int arch, const char *file, const char *at_size,
                                  const char *label, sae_result *r, sae_error *err)
{
    static const char *const rules[] = {"l0", "l0r", "fvu"};
    static const char *const names[] = {"L0", "L0 + r", "FVU"};
    const char *family = arch_name(e->options.archs[arch]);
    claim c = {.number = "N3", .paper = "better at matched sparsity"};
    char name[128], part[96], key[32];
    double gain[SEEDS_MAX];
    interval base, at, paired; /* paired: of the first seed, over documents */

    snprintf(key, sizeof key, "%s.%s", file, at_size);
    for (int64_t s = 0; s < e->options.seeds; s++)
        gain[s] = experiment_number(e, entry(e, arch, USE_SCAFFOLD, s), key) -
                  experiment_number(e, entry(e, arch, USE_BASELINE, s), key);
    const interval g = interval_of_mean(gain, e->options.seeds);
    if (!isfinite(g.value)) return SAE_OK; /* not measured in this run */
    snprintf(part, sizeof part, "%s-%s", family, file);
    snprintf(name, sizeof name, "%s.%s.gain.%s", entry(e, arch, USE_SCAFFOLD, 0)->name, file, at_size);
    if (!number_of(e, "documents", part, name, &paired)) return SAE_OK;
    snprintf(name, sizeof name, "%s, %s", label, family);
    c.name = name;
    snprintf(c.here, sizeof c.here, "%+.4f at equal k", four_decimals(g.value));
    snprintf(part, sizeof part, "%s.baseline.%s", family, key);
    if (number_of(e, "matching", "matching", part, &base)) {
        for (int i = 0; i < 3; i++) {
            snprintf(part, sizeof part, "%s.%s.%s", family, rules[i], key);
            if (!number_of(e, "matching", "matching", part, &at)) continue;
            snprintf(c.here + strlen(c.here), sizeof c.here - strlen(c.here), "; %+.4f at equal %s",
                     four_decimals(at.value - base.value), names[i]);
        }
    }
    snprintf(c.range, sizeof c.range, "[%.4f, %.4f] over documents", paired.low, paired.high);
    if (isfinite(g.low))
        snprintf(c.range + strlen(c.range), sizeof c.range - strlen(c.range), "; [%.4f, %.4f] seeds", g.low, g.high);
    snprintf(c.says, sizeof c.says, "%s%s",
             verdict_both(&paired, &g, 0, "better, as the paper says", "worse: against the paper",
                          "cannot be told from no gain"),
             isfinite(g.low) ? "" : " (one seed: how two trainings differ is not in it)");
    return claim_row(r, &c, err);
}

/* ---- What the scaffold is ----------------------------------------------------------------------------------------------- */

static sae_status structure_claim(const experiment *e, int arch, sae_result *r, sae_error *err)
{
    claim c = {.number = "i", .paper = "near-identical to PCA-24"};
    char name[96], key[64];
    double overlap[SEEDS_MAX];
    interval v, chance = {0};
    double rank = INFINITY;

    for (int64_t s = 0; s < e->options.seeds; s++) {
        const char *pair = entry(e, arch, USE_SCAFFOLD, s)->name;
        rank = fmin(rank, number_of(e, pair, "structure", "rank", &v) ? v.value : 0);
        overlap[s] = number_of(e, pair, "structure", "overlap_pca_r", &v) ? v.value : NAN;
        number_of(e, pair, "structure", "overlap_chance_r", &chance);
    }
    const interval mean = interval_of_mean(overlap, e->options.seeds);
    snprintf(name, sizeof name, "the scaffold is the top principal components, %s", arch_name(e->options.archs[arch]));
    c.name = name;
    snprintf(c.here, sizeof c.here, "overlap %.3f (1 identical, %.4f by chance)", mean.value, chance.value);
    snprintf(key, sizeof key, "seeds.%s", arch_name(e->options.archs[arch]));
    if (number_of(e, "stability", "stability", key, &v))
        snprintf(c.here + strlen(c.here), sizeof c.here - strlen(c.here), "; %.3f between seeds", v.value);
    range_text(c.range, &mean, "over seeds");
    snprintf(c.says, sizeof c.says, "%s", verdict_overlap(mean.value, rank));
    return claim_row(r, &c, err);
}

static sae_status outliers_claim(const experiment *e, int arch, sae_result *r, sae_error *err)
{
    claim c = {.number = "i", .paper = "stated, without a number"};
    const char *pair = entry(e, arch, USE_SCAFFOLD, 0)->name;
    char name[96], key[48];
    interval count[2], inside[2], rank;

    if (!number_of(e, pair, "structure", "rank", &rank)) return SAE_OK;
    for (int i = 0; i < 2; i++) {
        snprintf(key, sizeof key, "outlier_count_O%d", i + 1);
        if (!number_of(e, pair, "structure", key, &count[i])) return SAE_OK;
        snprintf(key, sizeof key, "outlier_inside_O%d", i + 1);
        if (!number_of(e, pair, "structure", key, &inside[i])) return SAE_OK;
    }
    snprintf(name, sizeof name, "and outlier dimensions, %s", arch_name(e->options.archs[arch]));
    c.name = name;
    snprintf(
        c.here, sizeof c.here,
        "of the axis of an outlier dimension lies inside: %.3f (O1, %.0f of them), %.3f (O2, %.0f); by chance %.4f",
        inside[0].value, count[0].value, inside[1].value, count[1].value, rank.value / (double)e->d);
    snprintf(c.range, sizeof c.range, "first seed");
    snprintf(c.says, sizeof c.says, "%s",
             verdict_outliers(fmax(inside[0].value, inside[1].value), rank.value / (double)e->d,
                              count[0].value + count[1].value));
    return claim_row(r, &c, err);
}

/* ---- N4, N5: removal ---------------------------------------------------------------------------------------------------- */

static sae_status removal_claim(const experiment *e, int arch, const char *operator, const char * label, sae_result *r,
                                sae_error *err)
{
    claim c = {.number = "N4, N5", .paper = "7.5 x, PCA 2.8 x"};
    const char *pair = entry(e, arch, USE_SCAFFOLD, 0)->name;
    char name[96], key[64];
    double over[SEEDS_MAX];
    interval a, b, paired, one;

    for (int i = 0; i < 2; i++) {
        snprintf(key, sizeof key, "%s.%s", i ? "pca" : "scaffold", operator);
        if (!number_of(e, pair, "removal", key, i ? &b : &a)) return SAE_OK;
    }
    snprintf(key, sizeof key, "scaffold_over_pca.%s", operator);
    if (!number_of(e, pair, "removal", key, &paired)) return SAE_OK;
    for (int64_t s = 0; s < e->options.seeds; s++)
        over[s] = number_of(e, entry(e, arch, USE_SCAFFOLD, s)->name, "removal", key, &one) ? one.value : NAN;
    const interval seeds = interval_of_mean(over, e->options.seeds);
    snprintf(name, sizeof name, "CE after removal, %s, %s", label, arch_name(e->options.archs[arch]));
    c.name = name;
    snprintf(c.here, sizeof c.here, "%.3f x for the scaffold, %.3f x for PCA (of one another %.3f x", a.value, b.value,
             paired.value);
    if (isfinite(seeds.low))
        snprintf(c.here + strlen(c.here), sizeof c.here - strlen(c.here), "; over seeds %.3f [%.3f, %.3f]", seeds.value,
                 seeds.low, seeds.high);
    snprintf(c.here + strlen(c.here), sizeof c.here - strlen(c.here), ")");
    snprintf(c.range, sizeof c.range, "[%.3f, %.3f]; PCA [%.3f, %.3f]", a.low, a.high, b.low, b.high);
    snprintf(c.says, sizeof c.says, "%s%s",
             verdict_both(&paired, &seeds, 1, "more harm than PCA, as the paper says",
                          "less harm than PCA: against the paper", "cannot be told from PCA on these tokens and seeds"),
             isfinite(seeds.low) ? "" : " (one seed's scaffold)");
    return claim_row(r, &c, err);
}

static sae_status necessity_claim(const experiment *e, int arch, sae_result *r, sae_error *err)
{
    static const char key[] = "scaffold_over_random.R3";
    claim c = {.number = "ii", .paper = "stated, from N4"};
    const char *pair = entry(e, arch, USE_SCAFFOLD, 0)->name;
    char name[96];
    double over[SEEDS_MAX];
    interval ratio, over_random, one;
    char draws[48];

    if (!number_of(e, pair, "removal", "scaffold.R3", &ratio) || !number_of(e, pair, "removal", key, &over_random))
        return SAE_OK;
    for (int64_t s = 0; s < e->options.seeds; s++)
        over[s] = number_of(e, entry(e, arch, USE_SCAFFOLD, s)->name, "removal", key, &one) ? one.value : NAN;
    const interval seeds = interval_of_mean(over, e->options.seeds);
    snprintf(name, sizeof name, "the scaffold is causally necessary, %s", arch_name(e->options.archs[arch]));
    c.name = name;
    snprintf(c.here, sizeof c.here, "centred: %.3f x of clean, %.3f x of the mean of %d random subspaces", ratio.value,
             over_random.value, e->options.draws);
    snprintf(c.range, sizeof c.range, "[%.3f, %.3f]; over random %s", ratio.low, ratio.high,
             draws_text(draws, &over_random));
    if (isfinite(seeds.low))
        snprintf(c.range + strlen(c.range), sizeof c.range - strlen(c.range), "; [%.3f, %.3f] over seeds", seeds.low,
                 seeds.high);
    snprintf(c.says, sizeof c.says, "%s%s", verdict_necessity(&ratio, &over_random, &seeds),
             isfinite(seeds.low) ? "" : " (one seed's scaffold)");
    return claim_row(r, &c, err);
}

/* ---- N6: redundancy ----------------------------------------------------------------------------------------------------- */

/* Of the baseline, as the paper seems to mean, nothing is said. */
static const char *whose(const experiment *e)
{
    return e->options.ablate == ARM_SCAFFOLD ? " of its own dictionary" : "";
}

enum { RULES_ASKED = 3 };

/* What aligned features cost over those of equal density, by the rule of the claim and, where they were asked, the others
 * (docs/method.md, A11); how many. Not "match": what it takes costs more than others whatever the subspace is. */
static int rules_of(const experiment *e, const char *part, double n, rule_cost out[RULES_ASKED])
{
    static const char *const rules[RULES_ASKED] = {"energy", "union", "best"};
    char key[64];
    int found = 0;

    snprintf(key, sizeof key, "over_matched.%.0f", n);
    for (int i = 0; i < RULES_ASKED; i++)
        if (number_of(e, part, rules[i], key, &out[found].over)) out[found++].rule = rules[i];
    return found;
}

static void other_rules(const rule_cost *rules, int n, char *text, size_t room)
{
    char draws[48];

    for (int i = 1; i < n; i++) {
        const size_t used = strlen(text);
        snprintf(text + used, room - used, "%s %s %+.3f %s",
                 i > 1 ? "," : "; by other rules over matched, nats:", rules[i].rule, rules[i].over.value,
                 draws_text(draws, &rules[i].over));
    }
}

static sae_status redundancy_claim(const experiment *e, int arch, sae_result *r, sae_error *err)
{
    claim c = {.number = "N6", .paper = "2.9 x for 787 of them, scaffold 7.5 x"};
    char part[64], name[96], key[64];
    interval n, aligned, matched, random, error, r2, r3;
    rule_cost rules[RULES_ASKED];
    char draws[48];

    snprintf(part, sizeof part, "%s-redundancy", arch_name(e->options.archs[arch]));
    if (!number_of(e, part, "energy", "n_marked", &n)) return SAE_OK;
    const struct {
        const char *what;
        interval *to;
    } wanted[] = {{"aligned", &aligned}, {"matched", &matched}, {"random", &random}, {"error", &error}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        snprintf(key, sizeof key, "%s.%.0f", wanted[i].what, n.value);
        if (!number_of(e, part, "energy", key, wanted[i].to)) return SAE_OK;
    }
    if (!number_of(e, part, "energy", "ratio_r2", &r2) || !number_of(e, part, "energy", "ratio_r3", &r3)) return SAE_OK;
    const int n_rules = rules_of(e, part, n.value, rules);
    snprintf(name, sizeof name, "%.0f aligned features%s ablated, %s", n.value, whose(e),
             arch_name(e->options.archs[arch]));
    c.name = name;
    snprintf(c.here, sizeof c.here,
             "%.3f x; density-matched %.3f x, random %.3f x; with the error projected too %.3f x; "
             "the scaffold removed (R2) %.3f x, (R3) %.3f x",
             aligned.value, matched.value, random.value, error.value, r2.value, r3.value);
    other_rules(rules, n_rules, c.here, sizeof c.here);
    snprintf(c.range, sizeof c.range, "[%.3f, %.3f]; over matched %s nats; first seed", aligned.low, aligned.high,
             draws_text(draws, &rules[0].over));
    verdict_redundancy(c.says, rules, n_rules, &aligned, &r2, &r3);
    return claim_row(r, &c, err);
}

/* ---- N7, N8: topics ------------------------------------------------------------------------------------------------------ */

/* Of one change; false: not measured. `drawn`: the change that it is compared with. What has no like is compared with nothing. */
static bool topic_numbers_of(const experiment *e, const char *part, const char *set, const char *arm, const char *drawn,
                             topic_numbers *n)
{
    const interval none = {NAN, NAN, NAN};
    const struct {
        const char *arm, *measure;
        interval *out;
    } needed[] = {{TOPICS_CLEAN, "fixed", &n->clean},
                  {arm, "fixed", &n->fixed},
                  {arm, "fall", &n->fall},
                  {arm, "retrained", &n->retrained},
                  {arm, "retrained_fall", &n->retrained_fall},
                  {drawn, "fixed", &n->random}};
    interval chance, held = none;

    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!scaffold_topics_number(e, part, set, needed[i].arm, needed[i].measure, needed[i].out)) return false;
    if (!scaffold_topics_number(e, part, set, NULL, "chance", &chance)) return false;
    n->over_random = n->retrained_over_random = none;
    scaffold_topics_number(e, part, set, arm, "over_random", &n->over_random);
    scaffold_topics_number(e, part, set, arm, "retrained_over_random", &n->retrained_over_random);
    scaffold_topics_number(e, part, set, arm, "held", &held);
    n->held = held.value;
    n->chance = chance.value;
    return true;
}

/* "categories, 1200 test questions" */
static void set_text(char out[64], const experiment *e, const char *part, const char *set)
{
    interval questions = {NAN, NAN, NAN};

    scaffold_topics_number(e, part, set, NULL, "test_questions", &questions);
    snprintf(out, 64, "%.24s, %.0f test questions", set, questions.value);
}

static sae_status features_claim(const experiment *e, int arch, const char *part, const char *set, int64_t count,
                                 sae_result *r, sae_error *err)
{
    claim c = {.number = "N7", .paper = "2,048 of them: virtually unchanged"};
    char name[160], arm[TOPICS_NAME], alike[TOPICS_NAME], over[64] = "no like features", anew[48] = "", asked[64];
    topic_numbers n;

    topics_ablated_name(arm, count, TOPICS_ALIGNED);
    topics_ablated_name(alike, count, TOPICS_ALIKE);
    if (!topic_numbers_of(e, part, set, arm, alike, &n)) return SAE_OK;
    snprintf(name, sizeof name, "topics, %s%s, %s", arm, whose(e), arch_name(e->options.archs[arch]));
    c.name = name;
    set_text(asked, e, part, set);
    snprintf(
        c.here, sizeof c.here,
        "%s: clean %.3f; fixed probe %.3f, trained anew %.3f; as many of equal density, which hold %.0f %% of these, "
        "%.3f",
        asked, n.clean.value, n.fixed.value, n.retrained.value, 100 * n.held, n.random.value);
    if (isfinite(n.over_random.value))
        snprintf(over, sizeof over, "over equal density [%.3f, %.3f]", n.over_random.low, n.over_random.high);
    if (isfinite(n.retrained_over_random.value))
        snprintf(anew, sizeof anew, ", over one draw [%.3f, %.3f]", n.retrained_over_random.low,
                 n.retrained_over_random.high);
    snprintf(c.range, sizeof c.range, "fall [%.3f, %.3f], %s; anew [%.3f, %.3f]%s; first seed", n.fall.low, n.fall.high,
             over, n.retrained_fall.low, n.retrained_fall.high, anew);
    verdict_features(c.says, &n);
    return claim_row(r, &c, err);
}

/* A fixed probe falls when its directions are moved; whether the topic is gone, the probe trained anew tells. */
static sae_status topics_claim(const experiment *e, int arch, const char *part, const char *set, sae_result *r,
                               sae_error *err)
{
    claim c = {.number = "N8", .paper = "98.7 % to chance"};
    char name[96], asked[64], arm[TOPICS_NAME], drawn[TOPICS_NAME];
    topic_numbers n;
    interval r3, pca;

    topics_removed_name(arm, TOPICS_SCAFFOLD, TOPICS_R2);
    topics_removed_name(drawn, TOPICS_RANDOM, TOPICS_R2);
    if (!topic_numbers_of(e, part, set, arm, drawn, &n)) return SAE_OK;
    topics_removed_name(arm, TOPICS_SCAFFOLD, TOPICS_R3);
    if (!scaffold_topics_number(e, part, set, arm, "fixed", &r3)) return SAE_OK;
    topics_removed_name(arm, TOPICS_PCA, TOPICS_R2);
    if (!scaffold_topics_number(e, part, set, arm, "fixed", &pca)) return SAE_OK;
    snprintf(name, sizeof name, "topics, scaffold removed, %s", arch_name(e->options.archs[arch]));
    c.name = name;
    set_text(asked, e, part, set);
    snprintf(c.here, sizeof c.here,
             "%s: clean %.3f; fixed probe R2 %.3f (PCA %.3f, random %.3f), R3 %.3f; probe trained anew %.3f; chance "
             "%.3f",
             asked, n.clean.value, n.fixed.value, pca.value, n.random.value, r3.value, n.retrained.value, n.chance);
    snprintf(c.range, sizeof c.range, "R2 [%.3f, %.3f], falls over random [%.3f, %.3f]; anew [%.3f, %.3f]; first seed",
             n.fixed.low, n.fixed.high, n.over_random.low, n.over_random.high, n.retrained.low, n.retrained.high);
    verdict_topics(c.says, &n, &pca, &r3);
    return claim_row(r, &c, err);
}

/* ---- The page's first part ---------------------------------------------------------------------------------------------- */

static sae_status setting_note(const experiment *e, sae_result *r, sae_error *err)
{
    const scaffold_options *o = &e->options;
    const char *pair = entry(e, 0, USE_SCAFFOLD, 0)->name;
    interval counted = {0}, scored = {0}, documents = {0}, sequences = {0};
    char text[1600], archs[48];

    number_of(e, pair, "baseline", "tokens", &counted);
    number_of(e, pair, "removal", "ce_tokens", &scored);
    number_of(e, pair, "removal", "ce_sequences", &sequences);
    number_of(e, pair, "baseline", "documents", &documents);
    snprintf(archs, sizeof archs, "%s%s%s", arch_name(o->archs[0]), o->n_archs > 1 ? " and " : "",
             o->n_archs > 1 ? arch_name(o->archs[1]) : "");
    snprintf(
        text, sizeof text,
        "%.120s, %s: d %lld; %s, %lld latents, k %lld, rank %lld, %lld seed%s. %lld training rows per dictionary from "
        "%lld distinct tokens; densities and fits on %.0f held-out tokens of %.0f documents, each loss on the first "
        "%.0f, %.0f sequences%s%s. The paper: "
        "Gemma-2-2B, layer 12, rank 24. Intervals are 95 %%: over seeds by Student's t, where only initial "
        "weights differ, and by resampling sequences, documents or questions of the first seed; sequences of one "
        "document count as independent, which makes the latter somewhat narrow. Against controls that were drawn at "
        "random (ii, N6 to N8) an interval leaves room for another draw too. Verdicts of N3 to N5 and ii need both; N2 "
        "and "
        "i go by seeds; N1, N6 to N8 were asked of the first seed only. Each verdict is wrong about once in twenty: of "
        "as "
        "many as stand here, one or two.",
        o->model_name, e->site_name, (long long)e->d, archs, (long long)o->width, (long long)o->k, (long long)o->rank,
        (long long)o->seeds, o->seeds == 1 ? "" : "s", (long long)(e->recipe.steps * e->recipe.batch),
        (long long)e->rows.n, counted.value, documents.value, scored.value, sequences.value,
        sequences.value < FEW_SEQUENCES ? " (so few that intervals over them are much too narrow)" : "",
        o->with_bos ? ", position 0 and special tokens among all of these" : "");
    return sae_result_note(r, text, err);
}

/* How scaffolds were made: without it a random one that is held fixed would read like the paper's. */
static sae_status scaffold_note(const experiment *e, sae_result *r, sae_error *err)
{
    const sae_dict_config *c = &e->options.scaffold;
    char text[400], alone[64] = "";

    if (c->scaffold_steps > 0) snprintf(alone, sizeof alone, ", alone for %lld steps", (long long)c->scaffold_steps);
    snprintf(text, sizeof text, "Scaffolds: start %s, centre %s, tie %s, learning rate %g x the common one%s%s%s.",
             scaffold_start_names[c->scaffold_start], scaffold_centre_names[c->scaffold_centre],
             scaffold_tie_names[c->scaffold_tie], c->scaffold_lr > 0 ? c->scaffold_lr : 1.0, alone,
             c->scaffold_frozen ? ", then held as it is: it does not learn with its dictionary" : "",
             c->scaffold_last ? ", in Matryoshka's last prefix alone" : "");
    return sae_result_note(r, text, err);
}

static sae_status per_arch(const experiment *e, int arch, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t eighth = (e->options.width + 4) / 8;
    char part[64];
    const char *set;

    for (int v = SAE_P1; v <= SAE_P3; v++) SAE_TRY(dense_claim(e, arch, (sae_variant)v, r, err));
    SAE_TRY(documents_claim(e, arch, "probing", "k5", "sparse probing, k 5", r, err));
    SAE_TRY(documents_claim(e, arch, "tpp", "n20", "TPP, n 20", r, err));
    SAE_TRY(removal_claim(e, arch, "R2", "uncentred (R2)", r, err));
    SAE_TRY(removal_claim(e, arch, "R3", "centred (R3)", r, err));
    SAE_TRY(redundancy_claim(e, arch, r, err));
    snprintf(part, sizeof part, "%s-topics", arch_name(e->options.archs[arch]));
    set = scaffold_topics_set(e, part);
    if (set) {
        SAE_TRY(features_claim(e, arch, part, set, eighth, r, err));
        if (eighth != 2048) SAE_TRY(features_claim(e, arch, part, set, 2048, r, err));
        SAE_TRY(topics_claim(e, arch, part, set, r, err));
    }
    SAE_TRY(structure_claim(e, arch, r, err));
    SAE_TRY(outliers_claim(e, arch, r, err));
    SAE_TRY(necessity_claim(e, arch, r, err));
done:
    return status;
}

/* What a reader may miss, and what to ask for. */
static sae_status not_tested(const experiment *e, sae_result *r, sae_error *err)
{
    const scaffold_options *o = &e->options;
    char text[800] = "Not tested in this run:";
    const struct {
        bool missing;
        const char *what;
    } parts[] = {
        {o->seeds < 2, " other seeds (--seeds)"},
        {o->n_archs < 2, " the other architecture (--arch)"},
        {o->variants < 3, " P2 and P3 (--variants)"},
        {o->n_ks == 0, " equal L0 and equal FVU (--ks)"},
        {o->n_ranks == 0, " other ranks (--ranks)"},
        {o->n_labelled == 0, " sparse probing and TPP (--labelled)"},
        {o->points <= 0, " redundancy in sparse features (--points)"},
        {!o->topics, " topics (--topics)"},
        {o->retrain <= 0, " ablate and retrain (--retrain)"},
        {!o->survey, " other sites, widths and k (sae lab survey, --survey)"},
        {!o->with_bos, " position 0 and special tokens (--with-bos)"},
        {o->scaffold.scaffold_tie == SAE_TIE_NONE, " a bottleneck that is tied (--scaffold-tie)"},
        {o->scaffold.scaffold_centre != SAE_CENTRE_OWN, " one with a bias of its own (--scaffold-centre own)"}};
    bool any = false;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!parts[i].missing) continue;
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", any ? ";" : "", parts[i].what);
        any = true;
    }
    snprintf(text + strlen(text), sizeof text - strlen(text),
             "%s other models and texts, the paper's own sizes, outlier dimensions of several layers at once (O3).",
             any ? ";" : "");
    return sae_result_note(r, text, err);
}

sae_status summary_report(experiment *e, sae_error *err)
{
    static const char *const columns[] = {"claim", "what", "paper", "here", "interval, 95 %", "verdict"};
    sae_status status = SAE_OK;
    sae_result *r = NULL;

    SAE_TRY(experiment_result(e, "summary", "What was found", &r, err));
    SAE_TRY(setting_note(e, r, err));
    SAE_TRY(scaffold_note(e, r, err));
    SAE_TRY(sae_result_table(r, "claims", "The paper and this run", columns, 6, err));
    SAE_TRY(rank_claim(e, r, err));
    for (int a = 0; a < e->options.n_archs; a++) SAE_TRY(per_arch(e, a, r, err));
    SAE_TRY(reduction_report(e, r, err));
    SAE_TRY(variants_report(e, r, err));
    SAE_TRY(not_tested(e, r, err));
done:
    return status;
}
