/*
 * claims.h - rows of the table "the paper and this run" while they are made.
 */
#ifndef SAE_LAB_CLAIMS_H
#define SAE_LAB_CLAIMS_H

#include "lab/scaffold.h"
#include "lab/verdict.h"

enum { CLAIM_RANGE = 240, CLAIM_HERE = 960, CLAIM_SAYS = 3 * VERDICT_TEXT };

typedef struct claim {
    const char *number, *name, *paper;
    char here[CLAIM_HERE], range[CLAIM_RANGE], says[CLAIM_SAYS];
} claim;

sae_status claim_row(sae_result *r, const claim *c, sae_error *err);
/* Of the pairs that the claims are about; seed: counted from 0. */
const roster_entry *claim_entry(const experiment *e, int arch, roster_use use, int64_t seed);
/* An interval over seeds and what it is of, or that there is one seed. */
void claim_range(char out[CLAIM_RANGE], const interval *v, const char *what);

/* claims_removal.c: N4 to N8, and ii. */
sae_status claims_of_removal(const experiment *e, int arch, sae_result *r, sae_error *err);
/* variants.c: N4 and N5 of the variants that are not the first of the list, of the first seed. */
sae_status claims_of_variants(const experiment *e, int arch, sae_result *r, sae_error *err);
sae_status claim_necessity(const experiment *e, int arch, sae_result *r, sae_error *err);

#endif
