/*
 * claims_removal.c - what taking something out does: the scaffold (N4, N5, N8, ii), latents that are aligned with it (N6), latents that are
 * aligned with topics (N7).
 */
#include "lab/claims.h"
#include "lab/topics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The ends of an interval. One sequence has none; nor has one draw where it leaves room for others, or a control that is mostly what it
 * is a control of. */
static const char *ends_text(char out[48], const interval *v, int decimals)
{
    if (isfinite(v->low))
        snprintf(out, 48, "[%.*f, %.*f]", decimals, v->low, decimals, v->high);
    else
        snprintf(out, 48, "(no interval)");
    return out;
}

/* A number of every seed's removal, with its interval over seeds. */
static interval over_seeds(const experiment *e, int arch, const char *key)
{
    double of[SEEDS_MAX];
    interval one;

    for (int64_t s = 0; s < e->options.seeds; s++)
        of[s] =
            experiment_found(e, claim_entry(e, arch, USE_SCAFFOLD, s)->name, "removal", key, &one) ? one.value : NAN;
    return interval_of_mean(of, e->options.seeds);
}

/* ---- N4, N5: removal ---------------------------------------------------------------------------------------------------- */

/* The mean CE over the draws of a control, and its least and most. False: not measured. */
static bool draws_found(const experiment *e, const char *pair, const char *what, const char *rows, const char *operator,
                        int n, interval *out)
{
    char key[64];
    interval one;

    *out = (interval){0, INFINITY, -INFINITY};
    for (int i = 1; i <= n; i++) {
        snprintf(key, sizeof key, "%s%d%s.%s", what, i, rows, operator);
        if (!experiment_found(e, pair, "removal", key, &one)) return false;
        *out = (interval){out->value + one.value / n, fmin(out->low, one.value), fmax(out->high, one.value)};
    }
    return n > 0;
}

/* Where position 0's row is changed too, a subspace at random holds next to nothing of it; ones that hold as much as the scaffold are the control
 * that tells whether more than that row is lost. */
static void beside_equal_share(const experiment *e, const char *pair, const char *operator, const char * rows, claim *c)
{
    interval mean, over;
    char key[64], ends[48];

    snprintf(key, sizeof key, "scaffold_over_equal_share%s.%s", rows, operator);
    if (!experiment_found(e, pair, "removal", key, &over)) return;
    if (!draws_found(e, pair, "equal_share", rows, operator, share_draws(&e->options), &mean)) return;
    claim_add(c->here, sizeof c->here, "; random ones with as much of position 0's row %.3f x", mean.value);
    claim_add(c->range, sizeof c->range, "; of theirs %s", ends_text(ends, &over, 3));
    claim_add(c->says, sizeof c->says, "%s", verdict_share(&over));
}

/* What a subspace that has to hold position 0's row costs. */
static void beside_all_rows(const experiment *e, const char *pair, const char *operator, const char * rows, claim *c)
{
    interval all, over, share[2];
    char key[64], ends[48];

    snprintf(key, sizeof key, "pca_all%s.%s", rows, operator);
    if (!experiment_found(e, pair, "removal", key, &all)) return;
    snprintf(key, sizeof key, "scaffold_over_pca_all%s.%s", rows, operator);
    if (!experiment_found(e, pair, "removal", key, &over) ||
        !experiment_found(e, pair, "comparison", "first_position.scaffold", &share[0]) ||
        !experiment_found(e, pair, "comparison", "first_position.pca_all", &share[1]))
        return;
    claim_add(c->more, sizeof c->more,
              "; PCA of all rows %.3f x (of it the scaffold %.3f x %s; of position 0's row it holds %.3f, the scaffold "
              "%.3f)",
              all.value, over.value, ends_text(ends, &over, 3), share[1].value, share[0].value);
}

/* The scaffold's CE over that of a control, of the first seed on other text and over seeds. False, and nothing that could tell: not measured. */
static bool beside(const experiment *e, int arch, const char *control, const char *rows, const char *operator,
                   interval over[2])
{
    char key[64];

    over[0] = over[1] = (interval){NAN, NAN, NAN};
    snprintf(key, sizeof key, "scaffold_over_%s%s.%s", control, rows, operator);
    if (!experiment_found(e, claim_entry(e, arch, USE_SCAFFOLD, 0)->name, "removal", key, &over[0])) return false;
    over[1] = over_seeds(e, arch, key);
    return true;
}

/* rows: "" the counted ones, "_position_0" that one too, or "_every" the masked ones too. */
static sae_status removal_claim(const experiment *e, int arch, const char *operator, const char * rows,
                                const char *label, sae_result *r, sae_error *err)
{
    claim c = {.number = "N4, N5", .paper = "7.5 x, PCA 2.8 x"};
    const char *pair = claim_entry(e, arch, USE_SCAFFOLD, 0)->name;
    char name[160], key[64], ends[2][48], draws[48];
    interval a, b, of_pca[2], over_random[2], random;

    for (int i = 0; i < 2; i++) {
        snprintf(key, sizeof key, "%s%s.%s", i ? "pca" : "scaffold", rows, operator);
        if (!experiment_found(e, pair, "removal", key, i ? &b : &a)) return SAE_OK;
    }
    if (!beside(e, arch, "pca", rows, operator, of_pca)) return SAE_OK;
    const bool drawn = beside(e, arch, "random", rows, operator, over_random);
    const interval paired = of_pca[0], seeds = of_pca[1];
    snprintf(name, sizeof name, "CE after removal, %s, %s", label, arch_name(e->options.archs[arch]));
    c.name = name;
    snprintf(c.here, sizeof c.here, "%.3f x; PCA %.3f x", a.value, b.value);
    if (draws_found(e, pair, "random", rows, operator, e->options.draws, &random))
        claim_add(c.here, sizeof c.here, ", random subspaces %.3f x", random.value);
    claim_add(c.here, sizeof c.here, "; of PCA's %.3f", paired.value);
    snprintf(c.range, sizeof c.range, "%s; PCA %s; of PCA's %s", ends_text(ends[0], &a, 3), ends_text(ends[1], &b, 3),
             ends_text(draws, &paired, 3));
    if (isfinite(seeds.low)) {
        claim_add(c.here, sizeof c.here, ", over seeds %.3f", seeds.value);
        claim_add(c.range, sizeof c.range, ", over seeds [%.3f, %.3f]", seeds.low, seeds.high);
    }
    if (rows[0] && drawn)
        snprintf(c.more, sizeof c.more, "the scaffold %.3f x %s of the mean of %d random subspaces",
                 over_random[0].value, ends_text(draws, &over_random[0], 3), e->options.draws);
    snprintf(c.says, sizeof c.says, "%s%s", verdict_beside_pca(of_pca, over_random),
             isfinite(seeds.low) ? "" : " (one seed's scaffold)");
    if (rows[0]) beside_equal_share(e, pair, operator, rows, &c);
    if (rows[0]) beside_all_rows(e, pair, operator, rows, &c);
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
        if (experiment_found(e, part, rules[i], key, &out[found].over)) out[found++].rule = rules[i];
    return found;
}

static void other_rules(const rule_cost *rules, int n, claim *c)
{
    char draws[48];

    for (int i = 1; i < n; i++)
        claim_add(c->more, sizeof c->more, "%s %s %+.3f %s",
                  i > 1 ? "," : "; by other rules over equal density, nats:", rules[i].rule, rules[i].over.value,
                  ends_text(draws, &rules[i].over, 4));
}

static sae_status redundancy_claim(const experiment *e, int arch, sae_result *r, sae_error *err)
{
    claim c = {.number = "N6", .paper = "2.9 x for 787 of them, scaffold 7.5 x"};
    char part[64], name[96], key[64];
    interval n, aligned, matched, random, error, r2, r3;
    rule_cost rules[RULES_ASKED];
    beside_removal less;
    char ends[5][48];

    snprintf(part, sizeof part, "%s-redundancy", arch_name(e->options.archs[arch]));
    if (!experiment_found(e, part, "energy", "n_marked", &n)) return SAE_OK;
    const struct {
        const char *what;
        interval *to;
    } wanted[] = {{"aligned", &aligned},
                  {"matched", &matched},
                  {"random", &random},
                  {"error", &error},
                  {"aligned_less_r2", &less.aligned_r2},
                  {"aligned_less_r3", &less.aligned_r3},
                  {"error_less_r2", &less.error_r2}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        snprintf(key, sizeof key, "%s.%.0f", wanted[i].what, n.value);
        if (!experiment_found(e, part, "energy", key, wanted[i].to)) return SAE_OK;
    }
    if (!experiment_found(e, part, "energy", "ratio_r2", &r2) || !experiment_found(e, part, "energy", "ratio_r3", &r3))
        return SAE_OK;
    const int n_rules = rules_of(e, part, n.value, rules);
    snprintf(name, sizeof name, "%.0f aligned features%s ablated, %s", n.value, whose(e),
             arch_name(e->options.archs[arch]));
    c.name = name;
    snprintf(c.here, sizeof c.here,
             "%.3f x; as many of equal density %.3f x, random %.3f x; the scaffold removed (R2) %.3f x, (R3) %.3f x",
             aligned.value, matched.value, random.value, r2.value, r3.value);
    snprintf(c.range, sizeof c.range, "%s; nats over equal density %s, less R2 %s, less R3 %s; first seed",
             ends_text(ends[0], &aligned, 3), ends_text(ends[1], &rules[0].over, 4),
             ends_text(ends[2], &less.aligned_r2, 3), ends_text(ends[3], &less.aligned_r3, 3));
    snprintf(c.more, sizeof c.more, "with the error projected too %.3f x (less R2 %s nats)", error.value,
             ends_text(ends[4], &less.error_r2, 3));
    other_rules(rules, n_rules, &c);
    verdict_redundancy(c.says, rules, n_rules, &less);
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
    if (isfinite(n.retrained_over_random.low))
        snprintf(anew, sizeof anew, ", over draws [%.3f, %.3f]", n.retrained_over_random.low,
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

sae_status claims_of_removal(const experiment *e, int arch, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t eighth = (e->options.width + 4) / 8;
    char part[64];
    const char *set;

    SAE_TRY(removal_claim(e, arch, "R2", "", "uncentred (R2)", r, err));
    SAE_TRY(removal_claim(e, arch, "R3", "", "centred (R3)", r, err));
    SAE_TRY(removal_claim(e, arch, "R2", "_position_0", "uncentred (R2), position 0 too", r, err));
    SAE_TRY(removal_claim(e, arch, "R3", "_position_0", "centred (R3), position 0 too", r, err));
    SAE_TRY(removal_claim(e, arch, "R2", "_every", "uncentred (R2), position 0 and other masked rows too", r, err));
    SAE_TRY(removal_claim(e, arch, "R3", "_every", "centred (R3), position 0 and other masked rows too", r, err));
    SAE_TRY(claims_of_variants(e, arch, r, err));
    SAE_TRY(redundancy_claim(e, arch, r, err));
    snprintf(part, sizeof part, "%s-topics", arch_name(e->options.archs[arch]));
    set = scaffold_topics_set(e, part);
    if (!set) goto done; /* not measured in this run */
    SAE_TRY(features_claim(e, arch, part, set, eighth, r, err));
    if (eighth != 2048) SAE_TRY(features_claim(e, arch, part, set, 2048, r, err));
    SAE_TRY(topics_claim(e, arch, part, set, r, err));
done:
    return status;
}

/* ---- ii: against random directions ---------------------------------------------------------------------------------------- */

/* How much harm it is depends on the operator and on the rows that are changed, so each of these has a row and its words name them. */
static sae_status necessity_row(const experiment *e, int arch, const char *operator, const char * rows,
                                const char *label, sae_result *r, sae_error *err)
{
    claim c = {.number = "ii", .paper = "stated, from N4"};
    const char *pair = claim_entry(e, arch, USE_SCAFFOLD, 0)->name;
    char name[128], key[2][64], ends[2][48];
    interval ratio[2], over_random[2]; /* of the first seed; over seeds */

    snprintf(key[0], sizeof key[0], "scaffold%s.%s", rows, operator);
    snprintf(key[1], sizeof key[1], "scaffold_over_random%s.%s", rows, operator);
    if (!experiment_found(e, pair, "removal", key[0], &ratio[0]) ||
        !experiment_found(e, pair, "removal", key[1], &over_random[0]))
        return SAE_OK;
    ratio[1] = over_seeds(e, arch, key[0]);
    over_random[1] = over_seeds(e, arch, key[1]);
    snprintf(name, sizeof name, "the scaffold is causally necessary, %s: %s", arch_name(e->options.archs[arch]), label);
    c.name = name;
    snprintf(c.here, sizeof c.here, "%.3f x of clean, %.3f x of the mean of %d random subspaces", ratio[0].value,
             over_random[0].value, e->options.draws);
    snprintf(c.range, sizeof c.range, "%s; over random %s", ends_text(ends[0], &ratio[0], 3),
             ends_text(ends[1], &over_random[0], 4));
    if (isfinite(over_random[1].low))
        claim_add(c.range, sizeof c.range, "; over seeds [%.3f, %.3f], over random [%.3f, %.3f]", ratio[1].low,
                  ratio[1].high, over_random[1].low, over_random[1].high);
    snprintf(c.says, sizeof c.says, "%s: %s%s", label, verdict_necessity(ratio, over_random),
             isfinite(over_random[1].low) ? "" : " (one seed's scaffold)");
    if (rows[0]) beside_equal_share(e, pair, operator, rows, &c);
    return claim_row(r, &c, err);
}

sae_status claim_necessity(const experiment *e, int arch, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(necessity_row(e, arch, "R2", "", "uncentred (R2), scored rows", r, err));
    SAE_TRY(necessity_row(e, arch, "R3", "", "centred (R3), scored rows", r, err));
    SAE_TRY(necessity_row(e, arch, "R2", "_every", "uncentred (R2), all masked rows too", r, err));
    SAE_TRY(necessity_row(e, arch, "R3", "_every", "centred (R3), all masked rows too", r, err));
done:
    return status;
}
