/*
 * matching.h - a dictionary with a scaffold against its baseline when something is held equal: k, L0, L0 with the scaffold's codes
 * counted, or FVU (docs/method.md, A7). At equal k a scaffold lowers FVU, so the question is open until it is asked both ways.
 */
#ifndef SAE_LAB_MATCHING_H
#define SAE_LAB_MATCHING_H

#include "base/base.h"

/* What is compared, in this order; the first MATCHING_CENSUS of them are those of a dictionary on rows (census.h). */
enum { MATCHING_CENSUS = 7, MATCHING_MEASURES = 12 };
extern const char *const matching_keys[MATCHING_MEASURES]; /* "l0", "fvu", .. */

/* What is held equal beside k, in this order. */
enum { MATCHING_L0, MATCHING_L0R, MATCHING_FVU, MATCHING_RULES };
typedef struct matching_rule {
    const char *key, *name; /* "l0r", "L0 + r" */
    int measure;            /* of those above, which is held equal */
} matching_rule;
extern const matching_rule matching_rules[MATCHING_RULES];

/* A dictionary as a point of the curve; NaN: not measured. */
typedef struct matching_place {
    double k, at[MATCHING_MEASURES];
} matching_place;

typedef struct matching_set {
    const char *name;  /* of the table, and before the numbers: "batchtopk" */
    const char *title; /* of the table */
    const char *kind;  /* of the dictionaries with a scaffold: "P1" */
    double rank;       /* of their scaffolds */
    int n_measures;    /* MATCHING_CENSUS or MATCHING_MEASURES */
    matching_place base;
    const matching_place *equal_k; /* NULL: none has the baseline's k */
    matching_place *curve; /* [n] all with a scaffold, one for each k; borrowed, and brought into the order of L0 */
    int n;
    matching_place
        *base_curve; /* [n_base] without a scaffold, the baseline among them; as `curve`. Fewer than two say nothing */
    int n_base;
    const matching_place *trained[MATCHING_RULES]; /* NULL: none was trained for the rule */
} matching_set;

/* What a rule asks of the dictionary with a scaffold, and by which share of the baseline's number one misses it: 0.01 is 1 % too much. */
double matching_target(const matching_set *s, int rule);
double matching_off(const matching_set *s, int rule, const matching_place *p);
/* The k at which the curve fulfils the rule; of L0 by proportion where it lies beyond the k that were trained. NaN: nothing is known. */
double matching_k(const matching_set *s, int rule);

/* The baseline where its L0 is this: what the k of a dictionary with a scaffold does without one. False: beyond base_curve. */
bool matching_baseline(const matching_set *s, double l0, matching_place *out);

/* A table and its numbers "NAME.baseline.fvu", "NAME.k.fvu", "NAME.l0.fvu", "NAME.l0r.fvu", "NAME.fvu.l0", .. : of the baseline; with a
 * scaffold at its k; where L0, L0 + rank and FVU are the baseline's. Between two points of the curve every number is taken to be linear
 * in the one held equal (of dense latents and their mass the logarithm of one more); beyond them nothing is said, and with fewer than two a note says what it takes. What was
 * trained for a rule has a row of its own below, and numbers "NAME.l0_trained.fvu", .., "NAME.l0_trained.k", "NAME.l0_trained.off".
 *
 * A rule lowers k, and with k alone there are fewer dense latents. So where base_curve has the L0 of a rule's dictionary, the baseline of
 * that L0 has a row and numbers "NAME.l0r_baseline.fvu", "NAME.l0r_trained_baseline.fvu", and the baselines of base_curve have
 * "NAME.baseline_k32.fvu". By how much there are fewer dense latents stands in a table NAME_less, in per cent: "NAME.l0r.dense_0.1.less" than
 * in the baseline, of which "NAME.l0r.dense_0.1.less_by_k" without a scaffold too, and "NAME.l0r.dense_0.1.less_at_l0" than in the baseline of
 * that L0. */
sae_status matching_report(sae_result *r, const matching_set *set, sae_error *err);
/* What the table's rows mean, as a note. */
sae_status matching_note(sae_result *r, sae_error *err);

#endif
