/*
 * verdict.c - from intervals to words. The constants are chosen here, once, and printed with what they decide.
 */
#include "lab/verdict.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double LITTLE_HARM = 1.1;     /* a ratio of losses below this is called little */
static const double ALIKE = 1.05;          /* ratios of losses up to this, or one over it, are called the same */
static const double LITTLE_CHANGE = 0.1;   /* of a count */
static const double LITTLE_FALL = 0.05;    /* of an accuracy: "virtually unchanged" */
static const double NEAR_CHANCE = 0.1;     /* an accuracy this close above it may be called chance */
static const double NEAR_IDENTICAL = 0.95; /* an overlap above it is called so */
static const double TOO_FEW = 5;           /* dense latents, for a claim about them to be tried */

void verdict_rank(char out[VERDICT_TEXT], const interval *knee, double margin, double spread)
{
    if (knee->low > 0 && margin <= spread)
        snprintf(out, VERDICT_TEXT,
                 "not decided: the step into the knee gains %.4f of FVU more than sparse features in random positions "
                 "explain, and what a scaffold gains differs by %.4f between trainings",
                 margin, spread);
    else if (knee->low > 0)
        snprintf(out, VERDICT_TEXT, "some directions are worth more than sparse features in random positions explain%s",
                 isfinite(spread) ? "" : ", by these trainings, one of each rank");
    else if (knee->high > 0)
        snprintf(out, VERDICT_TEXT, "not decided: whether any direction is worth it depends on the text");
    else
        snprintf(out, VERDICT_TEXT,
                 "no direction is worth more than sparse features in random positions explain: no scaffold is called "
                 "for");
}

interval percent_fewer(const double *fewer, const double *base, int64_t n, bool counted)
{
    const double mean = interval_of_mean(base, n).value;

    if (!(mean > 0)) return (interval){NAN, NAN, NAN};
    const interval share = interval_of_ratio(fewer, base, n);
    if (counted && mean < TOO_FEW) return (interval){100 * share.value, NAN, NAN};
    return (interval){100 * share.value, 100 * share.low, isnan(share.high) ? NAN : fmin(100, 100 * share.high)};
}

void verdict_dense(char out[VERDICT_TEXT], double base, double with, const interval *fewer, int64_t rank)
{
    const bool seeds = isfinite(fewer->low);

    if (!(base >= TOO_FEW))
        snprintf(out, VERDICT_TEXT,
                 "says little: the baseline has too few dense latents here for the claim to be tried");
    else if (!seeds)
        snprintf(out, VERDICT_TEXT, "%s in one seed; how much seeds move it is not known: nothing is told",
                 with < base   ? "fewer"
                 : with > base ? "more"
                               : "as many");
    else if (!interval_has_width(fewer))
        snprintf(out, VERDICT_TEXT,
                 "%s in every seed, by one number: how much seeds move it is not known: nothing is told",
                 with < base   ? "fewer"
                 : with > base ? "more"
                               : "as many");
    else if (fewer->low <= 0 && fewer->high >= 0)
        snprintf(out, VERDICT_TEXT, "cannot be told from none over these seeds");
    else if (fmax(fabs(fewer->low), fabs(fewer->high)) < LITTLE_CHANGE * base)
        snprintf(out, VERDICT_TEXT, "about as many (within a tenth): against the paper");
    else if (with > base)
        snprintf(out, VERDICT_TEXT, "more, not fewer: against the paper");
    else
        snprintf(out, VERDICT_TEXT, "fewer, as the paper says%s",
                 fewer->low > 2 * (double)rank ? ", and more than the 2r that re-housing alone would explain"
                                               : "; not told from the 2r of them that r signed codes can re-house");
}

static const char *side_of_count(const threshold_count *c)
{
    const interval *f = &c->fewer;

    if (!(c->base >= TOO_FEW)) return "too few to tell";
    if (!interval_has_width(f) || (f->low <= 0 && f->high >= 0)) return "not told";
    if (fmax(fabs(f->low), fabs(f->high)) < LITTLE_CHANGE * c->base) return "about as many";
    return f->low > 0 ? "fewer" : "more";
}

void verdict_thresholds(char out[VERDICT_TEXT], const threshold_count *counts, int n)
{
    const char *last = NULL;

    *out = '\0';
    for (int i = 0; i < n; i++) {
        const char *side = side_of_count(&counts[i]);
        const size_t used = strlen(out);
        if (last && strcmp(side, last) == 0) /* over one list of them: "over 10 and 20 %" */
            snprintf(out + used - 2, VERDICT_TEXT - used + 2, " and %g %%", 100 * counts[i].share);
        else
            snprintf(out + used, VERDICT_TEXT - used, "%s %s over %g %%", i ? "," : "; by threshold, over seeds:", side,
                     100 * counts[i].share);
        last = side;
    }
}

void verdict_pairs(char out[VERDICT_TEXT], double n, double share, double mean, double control)
{
    char how[96];

    *out = '\0';
    if (!isfinite(share) || !(n >= TOO_FEW)) return;
    snprintf(how, sizeof how, "antipodality %.3f, of others %.3f", mean, control);
    if (share > 0)
        snprintf(
            out, VERDICT_TEXT,
            "; of the first seed's %.0f dense latents in the baseline %.0f are halves of antipodal pairs (over 0.9; "
            "%s), which r signed codes can re-house two by two",
            n, round(share * n), how);
    else
        snprintf(
            out, VERDICT_TEXT,
            "; there are no antipodal pairs to re-house, which 2r supposes: of the first seed's %.0f dense latents in "
            "the baseline none is half of one (over 0.9; %s)",
            n, how);
}

const char *verdict_both(const interval *text, const interval *seeds, double none, const char *more, const char *less,
                         const char *open)
{
    const bool one = !isfinite(seeds->low);

    if (text->low > none && (one || seeds->low > none)) return more;
    if (text->high < none && (one || seeds->high < none)) return less;
    return open;
}

const char *verdict_aimed(const interval *base, const interval *with)
{
    const bool one = base->low > 0, other = with->low > 0;

    if (!isfinite(base->value) || !isfinite(with->value) || (one && other)) return "";
    if (one) return "; with the scaffold not told from latents of equal density";
    if (other) return "; without the scaffold not told from latents of equal density";
    return "; neither with the scaffold nor without told from latents of equal density";
}

const char *verdict_codes(const interval with[2], const interval added[2])
{
    const char *more =
        "; not made up by the scaffold's codes: with these to ablate too it is less of a loss, and still one";

    if (!isfinite(with[0].value) || !isfinite(added[0].value)) return "";
    const bool add = strcmp(verdict_both(&added[0], &added[1], 0, "more", "", ""), "more") == 0;
    return verdict_both(
        &with[0], &with[1], 0, "; more than made up by the scaffold's codes: with these to ablate too it is a gain",
        add ? more : "; not made up by the scaffold's codes: with these to ablate too it stays a loss",
        add ? "; made up by the scaffold's codes as far as can be told: with these to ablate too no loss is left that "
              "is told"
            : "; with the scaffold's codes to ablate too it cannot be told from no loss, nor that they add anything");
}

static bool alike(const interval *v) { return v->low > 1 / ALIKE && v->high < ALIKE; }

const char *verdict_beside_pca(const interval of_pca[2], const interval over_random[2])
{
    if (alike(&of_pca[0]) && (alike(&of_pca[1]) || !isfinite(of_pca[1].low)))
        return "about as much harm as PCA (within a twentieth): against the paper";
    const char *more = verdict_both(
        &over_random[0], &over_random[1], 1, "more harm than PCA, as the paper says",
        "more harm than PCA, and less than random directions: nothing is told",
        "more harm than PCA, but not told from random directions, so that nothing is told of the scaffold");
    return verdict_both(&of_pca[0], &of_pca[1], 1, more, "less harm than PCA: against the paper",
                        "cannot be told from PCA on these tokens and seeds");
}

const char *verdict_length(double early, double end, const interval *fewer)
{
    const bool shrank = early - end > 100 * LITTLE_CHANGE;

    if (!shrank || !interval_has_width(fewer)) return "";
    if (fewer->low > 0) return "; a reduction at this length of training, which shrank on the way";
    return fewer->high < 0 && early > 0 ? "; early in this training there were fewer" : "";
}

const char *verdict_share(const interval *over)
{
    if (over->low > 1) return "; in the first seed more than random subspaces that hold as much of position 0's row";
    if (over->high < 1) return "; in the first seed less than random subspaces that hold as much of position 0's row";
    return "; in the first seed not told from random subspaces that hold as much of position 0's row";
}

/* What the overlap itself says; alike: whether it may be called near-identical, or not. */
static const char *overlap_itself(double low, double high, bool alike)
{
    if (!alike)
        return high <= 0.5 ? "largely other directions"
               : low > 0.5 ? "mostly the same directions"
                           : "whether most of the directions are the same is not told";
    if (high <= 0.5) return "largely other directions: against the paper";
    if (high > NEAR_IDENTICAL)
        return low > 0.5 ? "mostly the same directions, whether near-identical is not told" : "not told";
    return low > 0.5 ? "mostly the same directions, not near-identical"
                     : "not near-identical: against the paper; whether most of the directions are the same is not told";
}

void verdict_overlap(char out[VERDICT_TEXT], const interval *overlap, double rank, double control,
                     const interval *further)
{
    const double low = isfinite(overlap->low) ? overlap->low : overlap->value;
    const double high = isfinite(overlap->low) ? overlap->high : overlap->value;

    if (!(rank > 0) || !isfinite(overlap->value))
        snprintf(out, VERDICT_TEXT, "no scaffold was learned: there is nothing to compare");
    else if (low > NEAR_IDENTICAL)
        snprintf(out, VERDICT_TEXT, "near-identical (over %g), as the paper says", NEAR_IDENTICAL);
    else if (!isfinite(control))
        snprintf(out, VERDICT_TEXT,
                 "%s; whether these steps can show near-identity is not known: no P3, which learns PCA, in this run",
                 overlap_itself(low, high, false));
    else if (control > NEAR_IDENTICAL)
        snprintf(out, VERDICT_TEXT, "%s; P3, which learns PCA, reaches %.3f in these steps",
                 overlap_itself(low, high, true), control);
    else
        snprintf(out, VERDICT_TEXT,
                 "%s; near-identity could not have been shown in these steps (P3, which learns PCA: %.3f)%s",
                 overlap_itself(low, high, false), control,
                 further->low > 0    ? "; further from PCA than P3"
                 : further->high < 0 ? "; nearer to PCA than P3"
                 : further->high > 0 ? "; not told from P3"
                                     : "");
}

static const char *outliers_inside(const interval *inside, double chance)
{
    const double low = isfinite(inside->low) ? inside->low : inside->value;
    const double high = isfinite(inside->low) ? inside->high : inside->value;
    const double more = 3 * chance;

    if (low > 0.5) return "most of their axes lies inside it, as the paper says";
    if (low > more)
        return high > 0.5 ? "more of their axes lies inside it than by chance; whether most is not told"
                          : "more of their axes lies inside it than by chance, not most";
    if (high <= more) return "hardly more of their axes lies inside it than by chance: against the paper";
    return high > 0.5 ? "whether more of their axes lies inside it than by chance is not told"
                      : "not most of their axes lies inside it: against the paper; whether more than by chance is not "
                        "told";
}

void verdict_outliers(char out[VERDICT_TEXT], const interval inside[2], const double counts[2], double chance)
{
    const char *says[2] = {"none stand out here", "none stand out here"};

    for (int i = 0; i < 2; i++)
        if (counts[i] > 0) says[i] = outliers_inside(&inside[i], chance);
    if (!(counts[0] > 0) && !(counts[1] > 0))
        snprintf(out, VERDICT_TEXT, "no dimension stands out here: nothing to compare");
    else if (strcmp(says[0], says[1]) == 0)
        snprintf(out, VERDICT_TEXT, "%s", says[0]);
    else
        snprintf(out, VERDICT_TEXT, "by O1: %s; by O2: %s", says[0], says[1]);
}

const char *verdict_necessity(const interval ratio[2], const interval over_random[2])
{
    const char *more =
        verdict_both(&ratio[0], &ratio[1], LITTLE_HARM, "more harm than random directions, as the paper says",
                     "more harm than random directions, but little: the loss rises by less than a tenth",
                     "more harm than random directions; whether the loss rises by a tenth is not told");

    return verdict_both(&over_random[0], &over_random[1], 1, more,
                        "less harm than random directions: against the paper", "cannot be told from random directions");
}

/* 1 more, -1 less, 0 not told. */
static int side_of(const interval *over) { return over->low > 0 ? 1 : over->high < 0 ? -1 : 0; }

static const char *redundancy_by_one(const interval *over_matched, const beside_removal *less)
{
    const int matched = side_of(over_matched), r2 = side_of(&less->aligned_r2), r3 = side_of(&less->aligned_r3);

    if (matched < 0) return "less than features of equal density: alignment is not what counts";
    if (matched == 0) return "cannot be told from features of equal density";
    if (r2 > 0) return "more than features of equal density, and more than the scaffold: against the paper";
    if (r2 == 0) return "more than features of equal density; not told from the scaffold";
    if (r3 < 0) return "more than features of equal density, less than the scaffold: as the paper says";
    return r3 > 0 ? "more than features of equal density, less than the scaffold: as the paper says, not when the mean "
                    "is kept"
                  : "more than features of equal density, less than the scaffold: as the paper says, not told when the "
                    "mean is kept";
}

void verdict_redundancy(char out[VERDICT_TEXT], const rule_cost *rules, int n, const beside_removal *less)
{
    static const char *const sides[3] = {"less", "not told", "more"};
    const int first = side_of(&rules[0].over), error = side_of(&less->error_r2);
    /* Less than the scaffold, unless the dictionary's error had carried what the features do: then nothing was taken out. */
    const char *carried = !(first > 0 && side_of(&less->aligned_r2) < 0) || error < 0 ? ""
                          : error > 0 ? "; not when the dictionary's error is projected too"
                                      : "; not told when the dictionary's error is projected too";
    bool any = false;

    snprintf(out, VERDICT_TEXT, "%s%s", redundancy_by_one(&rules[0].over, less), carried);
    for (int i = 1; i < n; i++) {
        const int side = side_of(&rules[i].over);
        const size_t used = strlen(out);
        if (side == first) continue;
        snprintf(out + used, VERDICT_TEXT - used, "%s %s %s",
                 any ? "," : "; by other rules of alignment:", rules[i].rule, sides[side + 1]);
        any = true;
    }
}

static bool clean_says_nothing(char out[VERDICT_TEXT], const topic_numbers *n)
{
    if (n->clean.low > n->chance) return false;
    snprintf(out, VERDICT_TEXT, "says nothing: the clean probe itself is not above chance");
    return true;
}

/* Beside changes at random; NaN: not asked. */
static const char *beside_random(const interval *over, const char *not_told)
{
    return over->low > 0 ? "" : over->high < 0 ? ", less than at random" : not_told;
}

/* What a fixed probe's fall is beside that without features of equal density, where these are others than the aligned ones. */
static void beside_alike(char out[96], const topic_numbers *n)
{
    if (isfinite(n->over_random.value))
        snprintf(out, 96, "%s",
                 n->over_random.low > 0    ? ""
                 : n->over_random.high < 0 ? ", less than without features of equal density"
                                           : ", not told from features of equal density");
    else
        snprintf(out, 96, ", compared with nothing (draws of equal density hold %.0f %% of these)", 100 * n->held);
}

static const char *trained_anew(const topic_numbers *n)
{
    if (!(n->retrained_fall.low > 0)) return "cannot be told from before";
    if (!isfinite(n->retrained_over_random.value)) return "falls, compared with nothing too";
    if (!isfinite(n->retrained_over_random.low)) return "falls too, beside one draw of which the spread is not known";
    if (n->retrained_over_random.high < 0) return "falls too, less than without features of equal density";
    return n->retrained_over_random.low > 0 ? "falls too"
                                            : "falls too, and so it does without features of equal density";
}

void verdict_features(char out[VERDICT_TEXT], const topic_numbers *n)
{
    if (clean_says_nothing(out, n)) return;
    if (n->fall.high < LITTLE_FALL)
        snprintf(out, VERDICT_TEXT, "falls by less than %g, as the paper says", LITTLE_FALL);
    else if (!(n->fall.low > 0))
        snprintf(out, VERDICT_TEXT, "too few questions to tell");
    else {
        char how[64] = ": against the paper", beside[96];
        beside_alike(beside, n);
        if (n->fall.low < LITTLE_FALL) snprintf(how, sizeof how, ", whether by %g or more is not told", LITTLE_FALL);
        snprintf(out, VERDICT_TEXT, "the fixed probe falls%s%s; one trained anew %s", beside, how, trained_anew(n));
    }
}

void verdict_topics(char out[VERDICT_TEXT], const topic_numbers *n, const interval *pca, const interval *centred)
{
    if (clean_says_nothing(out, n)) return;
    if (!(n->fall.low > 0))
        snprintf(out, VERDICT_TEXT, "the fixed probe cannot be told from before%s",
                 n->fixed.low > n->chance ? ", and stays above chance: against the paper" : "");
    else if (n->fixed.low > n->chance)
        snprintf(out, VERDICT_TEXT, "falls%s, but topics can still be told: against the paper",
                 beside_random(&n->over_random, ", not told from random directions"));
    else if (n->fixed.high > n->chance + NEAR_CHANCE)
        snprintf(out, VERDICT_TEXT, "falls; too few questions to tell whether to chance");
    else if (n->fixed.high < n->chance)
        snprintf(out, VERDICT_TEXT,
                 "a fixed probe falls below chance, not to it: it tells wrong topics; one trained anew %s chance",
                 n->retrained.low > n->chance ? "stays above" : "is not told from");
    else
        snprintf(out, VERDICT_TEXT, "a fixed probe falls to chance, as the paper says%s%s; one trained anew %s",
                 !(n->over_random.low > 0) ? ", but not told from random directions"
                 : pca->low <= n->chance   ? ", and so it does without PCA's directions"
                                           : "",
                 centred->low > n->chance ? ", not when the mean is kept" : "",
                 n->retrained.low > n->chance ? "does not" : "does too");
}
