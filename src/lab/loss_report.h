/*
 * loss_report.h - rows of a loss table as people read them: CE, its ratio to the clean model's, nats above it, and how far that is
 * on the way to a uniform guess.
 */
#ifndef SAE_LAB_LOSS_REPORT_H
#define SAE_LAB_LOSS_REPORT_H

#include "eval/splice.h"

typedef struct loss_view {
    const loss_table *losses;
    int clean; /* the edit that the others are compared with */
    int recon; /* and, beside it, that with the whole dictionary in place; -1: there is none */
    int64_t n_vocab;
    uint64_t seed; /* of the bootstrap */
} loss_view;

enum { INTERVAL_TEXT = 64 };
void interval_text(char out[INTERVAL_TEXT],
                   const interval *i); /* "1.203 [1.101, 1.311]"; "1.203" without an interval */

sae_status loss_view_ratio(interval *out, const loss_view *v, int which, sae_error *err);
/* (CE - CE_clean) / (ln n_vocab - CE_clean): 0 clean, 1 as bad as a uniform guess, above 1 worse. */
double loss_view_to_uniform(const loss_view *v, double ce);

/* The table `name` with its columns, and a row of it. */
sae_status loss_view_table(sae_result *r, const char *name, const loss_view *v, const char *title, sae_error *err);
sae_status loss_view_row(sae_result *r, const char *name, const loss_view *v, int which, const char *what,
                         const char *how, sae_error *err);

#endif
