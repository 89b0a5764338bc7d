/*
 * topics_probe.h - a multinomial logistic regression on rows whose columns are standardised by the rows that it was fitted on.
 */
#ifndef SAE_LAB_TOPICS_PROBE_H
#define SAE_LAB_TOPICS_PROBE_H

#include "eval/logistic.h"

typedef struct topics_probe {
    logistic m;
    double *mean, *spread; /* [d] */
} topics_probe;

/* Fits rows [n, d] with labels y [n] below `classes`. `like` (NULL: none): a probe on rows much like these, to begin at. The caller frees,
 * also when it fails, with topics_probe_free. */
sae_status topics_probe_fit(topics_probe *q, const float *rows, const int32_t *y, int64_t n, int64_t d, int classes,
                            const topics_probe *like, sae_error *err);
void topics_probe_free(topics_probe *q);
/* rows [n, d] in the probe's coordinates: out [n, d]. */
void topics_standardise(const topics_probe *q, const float *rows, int64_t n, int64_t d, float *out);

#endif
