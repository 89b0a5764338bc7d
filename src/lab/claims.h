/*
 * claims.h - rows of the table "the paper and this run" while they are made.
 */
#ifndef SAE_LAB_CLAIMS_H
#define SAE_LAB_CLAIMS_H

#include "lab/scaffold.h"
#include "lab/verdict.h"

enum { CLAIM_TEXT = 400, CLAIM_MORE = 2 * CLAIM_TEXT + 2 * VERDICT_TEXT };

/* here, range, says: the claim's numbers with their control, the intervals, the verdict: what the first page has to say. more: what stands
 * beside them, in a table of its own; may be "". */
typedef struct claim {
    const char *number, *name, *paper;
    char here[CLAIM_TEXT], range[CLAIM_TEXT], says[2 * VERDICT_TEXT], more[CLAIM_MORE];
} claim;

/* Both tables, empty; and a row of each. */
sae_status claim_tables(sae_result *r, sae_error *err);
sae_status claim_row(sae_result *r, const claim *c, sae_error *err);
/* Behind what `text` of `size` bytes holds already, as far as there is room. */
void claim_add(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Of the pairs that the claims are about; seed: counted from 0. */
const roster_entry *claim_entry(const experiment *e, int arch, roster_use use, int64_t seed);
/* An interval over seeds and what it is of, or that there is one seed. */
void claim_range(char out[CLAIM_TEXT], const interval *v, const char *what);

/* What `key` is with the scaffold where the rule makes it equal to the baseline, less what it is without; first seed. `how`: whether that
 * dictionary was trained, as words behind the rule's name. */
bool claim_change(const experiment *e, int arch, int rule, const char *key, double *change, char how[40]);
/* The same less what the baseline of that L0 has: without what the lower k of the rule does by itself. */
bool claim_change_at_l0(const experiment *e, int arch, int rule, const char *key, double *change);
/* What is told at equal k (side 1: more with the scaffold, -1: less) is not what another rule shows, beside the baseline at
 * k or the one of its L0: said behind a verdict. */
void claim_other_rules(const experiment *e, int arch, const char *key, int side, char *says, size_t size);

/* claims_documents.c: N3, of both measures; and a table of what they gain at each k and n. */
sae_status claims_of_documents(const experiment *e, int arch, sae_result *r, sae_error *err);
sae_status gains_report(const experiment *e, sae_result *r, sae_error *err);
/* claims_removal.c: N4 to N8, and ii. */
sae_status claims_of_removal(const experiment *e, int arch, sae_result *r, sae_error *err);
/* variants.c: N4 and N5 of the variants that are not the first of the list, of the first seed. */
sae_status claims_of_variants(const experiment *e, int arch, sae_result *r, sae_error *err);
sae_status claim_necessity(const experiment *e, int arch, sae_result *r, sae_error *err);

#endif
