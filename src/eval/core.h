/*
 * core.h - what every dictionary is measured by first: sparsity, fit, densities, and the model's loss with the
 * reconstruction in place.
 */
#ifndef SAE_EVAL_CORE_H
#define SAE_EVAL_CORE_H

#include "eval/density.h"
#include "eval/fit.h"
#include "eval/sample.h"
#include "eval/splice.h"

/* One dictionary on the counted rows of a sample. */
typedef struct core_arm {
    const sae_dict *dict; /* borrowed */
    density density;
    fit full;   /* with the scaffold's part */
    fit sparse; /* without it; equal to `full` at rank 0 */
} core_arm;

sae_status core_measure(core_arm *out, sample *s, const sae_dict *dict, const sae_progress *progress, sae_error *err);
void core_arm_free(core_arm *a);
double core_l0(const core_arm *a); /* codes above zero per row; the scaffold's are not counted */

/* Which edits of a loss table belong to an arm; -1: not measured. */
typedef struct core_losses {
    const loss_table *table;
    int clean, zero, recon, sparse;
    int64_t n_vocab;
    uint64_t seed; /* of the bootstrap */
} core_losses;

/* Puts all of it into a result: numbers with their names. */
sae_status core_report(sae_result *result, const core_arm *a, const sample *s, const core_losses *losses,
                       sae_error *err);
/* The histograms of n densities in one plot, "density". */
sae_status core_density_plot(sae_result *result, const char *const *labels, const density *const *densities, int n,
                             sae_error *err);
/* What was measured on: site, tokens, mask; as settings, inputs and a note. */
sae_status core_describe(sae_result *result, const sample *s, sae_error *err);

/* A warning when losses are of fewer than FEW_SEQUENCES. */
sae_status core_few_sequences(sae_result *result, int64_t n_seq, sae_error *err);

/* Everything above for one dictionary on a sample. Fails with SHAPE when d_in is not the site's width. */
sae_status core_run(sae_result **out, sample *s, const sae_dict *dict, const sae_eval_options *options,
                    const sae_progress *progress, sae_error *err);
/* SHAPE, with both widths in the message, unless they fit. */
sae_status core_check_width(const sae_dict *dict, const sae_model *model, sae_error *err);

#endif
