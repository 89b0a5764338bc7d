/*
 * verdict.h - what a measured number says about a claim, in words. A verdict takes intervals, not points: what the interval leaves open
 * is said to be open, whether or not it would please the paper. All functions are pure; the tests are a table.
 */
#ifndef SAE_LAB_VERDICT_H
#define SAE_LAB_VERDICT_H

#include "eval/bootstrap.h"

enum { VERDICT_TEXT = 480 };

/* N1: the knee of the rank sweep, with its interval over sequences. margin: by how much FVU the step into it gains more than its limit;
 * spread: what that may differ by between trainings, NaN: not known. */
void verdict_rank(char out[VERDICT_TEXT], const interval *knee, double margin, double spread);
/* What is `fewer` than in the baseline in per cent of that, means of n seeds: at most 100. The interval leaves 0 out just when that of
 * the difference does; NaN where there is none (interval_of_ratio), and where fewer than 5 were counted in the baseline, of which
 * one more or less is much. NaN too as the value where the baseline has nothing. */
interval percent_fewer(const double *fewer, const double *base, int64_t n, bool counted);
/* N2: means over seeds of dense latents; fewer: of their difference, low NaN with one seed; rank of the scaffold. */
void verdict_dense(char out[VERDICT_TEXT], double base, double with, const interval *fewer, int64_t rank);
/* N2, behind those words: at which thresholds fewer, more or neither is told over the seeds. n counts, each at its share of tokens with the
 * mean in the baseline. */
typedef struct threshold_count {
    double share, base;
    interval fewer;
} threshold_count;
void verdict_thresholds(char out[VERDICT_TEXT], const threshold_count *counts, int n);
/* N2, behind those: whether the baseline's n dense latents are halves of antipodal pairs, of which r signed codes could re-house 2r. share: of
 * them over 0.9; mean antipodality, and that of as many others. "": not measured (NaN), or fewer than 5. */
void verdict_pairs(char out[VERDICT_TEXT], double n, double share, double mean, double control);
/* N3, N4: `text` is the paired interval of one seed over documents or sequences, `seeds` that over seeds (low NaN: one seed). Both must
 * leave `none` (0 of a gain, 1 of a ratio) out on the same side. The texts are for more, less, and open. */
const char *verdict_both(const interval *text, const interval *seeds, double none, const char *more, const char *less,
                         const char *open);
/* N3, of TPP: behind the words of a gain, whether what is aimed at does more than latents of equal density at all, without the scaffold and with it
 * (tpp.h: over_drawn); a gain of what is not told from draws says little. "" where it does in both, or was not measured. */
const char *verdict_aimed(const interval *base, const interval *with);
/* N3, of TPP: behind the words of a loss (worse: both intervals of a gain lie below 0), whether the scaffold's codes make it up. with: the gain over the
 * baseline's latents when the codes stand for choice too, of one seed on documents and over seeds (low NaN: one seed); added: what the codes
 * add to the scaffold's own latents, likewise. "" where any was not measured. */
const char *verdict_codes(const interval with[2], const interval added[2]);
/* N4: the scaffold's CE over PCA's and over the mean of random subspaces (beside other draws), each of one seed on other text and over seeds (low
 * NaN: one seed). Within a twentieth of PCA it is neither more nor less, however narrow the intervals are; more is said to be the paper's claim
 * only where the scaffold is told from random directions too. */
const char *verdict_beside_pca(const interval of_pca[2], const interval over_random[2]);
/* N2: behind its words, whether the reduction in per cent shrank while training, from a tenth of the rows to their end, so that what is told (fewer: by
 * how many latents, over seeds) is told of this length. "" where nothing is. */
const char *verdict_length(double early, double end, const interval *fewer);
/* N4 and ii with position 0 changed: behind the words of a comparison, the scaffold's CE over that of random subspaces which hold as much of
 * position 0's row, beside other draws of them: whether more is lost than that share of that row. One seed's. */
const char *verdict_share(const interval *over);
/* The share of a scaffold's write space in the top principal components, over seeds (low NaN: one seed); rank 0: nothing was learned.
 * control: the same of P3, whose scaffold learns PCA by construction, in as many steps: where that is not near-identical, no scaffold's could have been
 * found to be; NaN: the run has none. further: by how much P3's is larger; low NaN: how much seeds move it is not known. */
void verdict_overlap(char out[VERDICT_TEXT], const interval *overlap, double rank, double control,
                     const interval *further);
/* Mean P_jj over outlier dimensions by the definitions O1 and O2, of which there are counts: 1 when all of them lie inside, rank / d by
 * chance; over seeds (low NaN: one seed). */
void verdict_outliers(char out[VERDICT_TEXT], const interval inside[2], const double counts[2], double chance);
/* Removing the scaffold against removing random subspaces: ratio to clean; to their mean, beside other draws (interval_beside_draws); [0] of one
 * seed on other text, [1] over seeds (low NaN: one seed). */
const char *verdict_necessity(const interval ratio[2], const interval over_random[2]);
/* What features that are aligned by a rule cost over those of equal density, nats; low NaN: one set of those, whose spread is unknown. */
typedef struct rule_cost {
    const char *rule;
    interval over;
} rule_cost;
/* What ablating the first rule's features costs beyond removing the scaffold, nats on the same sequences: their ablation less R2 and less R3;
 * with the dictionary's error projected too, less R2. */
typedef struct beside_removal {
    interval aligned_r2, aligned_r3, error_r2;
} beside_removal;
/* N6: by the first of n rules, with what the others say where they disagree. */
void verdict_redundancy(char out[VERDICT_TEXT], const rule_cost *rules, int n, const beside_removal *less);

/* Of a probe on questions: accuracy clean, fixed, and trained anew, the paired falls of the two, and chance; random: of the fixed probe
 * after as many features of equal density or random directions; over_random: how much more it falls than after those, beside other draws
 * of them; retrained_over_random: the same of the probe trained anew and those trained after draws; low NaN: one draw.
 * held: the share of the features that those of equal density hold. Over a half of it nothing is compared: NaN. */
typedef struct topic_numbers {
    interval clean, fixed, fall, retrained, retrained_fall, random, over_random;
    double chance;
    interval retrained_over_random;
    double held;
} topic_numbers;
void verdict_features(char out[VERDICT_TEXT], const topic_numbers *n); /* N7 */
/* N8; pca: the fixed probe without PCA's directions; centred: with the scaffold removed about the mean (R3). */
void verdict_topics(char out[VERDICT_TEXT], const topic_numbers *n, const interval *pca, const interval *centred);

#endif
