/*
 * census.h - the first numbers of a dictionary: how sparse, how well it fits, how many dense latents, what its reconstruction costs the
 * model.
 */
#ifndef SAE_LAB_CENSUS_H
#define SAE_LAB_CENSUS_H

#include "eval/core.h"

typedef struct census_entry {
    const char *name; /* borrowed, as its configuration */
    const sae_dict_config *config;
    double threshold; /* `headline`, mass and antipodality are of latents over this share of tokens */
    double headline, l0, fvu, fvu_sparse, dense[DENSITY_THRESHOLDS], mass, dead, antipodal;
    interval ce_ratio; /* CE with the reconstruction over clean CE */
} census_entry;

/* The losses that census_measure compares with: of the clean model on the first tokens of the sample, about ce_tokens. Caller frees with
 * loss_table_free. */
sae_status census_clean(loss_table *out, sample *s, int64_t ce_tokens, const sae_progress *progress, sae_error *err);
/* All but name, config and threshold. `seed`: of the interval. */
sae_status census_measure(census_entry *out, sample *s, const sae_dict *dict, const loss_table *clean,
                          int64_t ce_tokens, uint64_t seed, const sae_progress *progress, sae_error *err);

/* The table "dictionaries", a row of it with numbers "NAME.l0", "NAME.fvu", "NAME.dense_0.1", "NAME.ce_ratio", .., and what it means. */
sae_status census_table(sae_result *r, sae_error *err);
sae_status census_row(sae_result *r, const census_entry *n, sae_error *err);
sae_status census_note(sae_result *r, double threshold, sae_error *err);

#endif
