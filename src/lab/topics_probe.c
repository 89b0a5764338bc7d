/*
 * topics_probe.c - see topics_probe.h.
 */
#include "lab/topics_probe.h"

#include <math.h>

void topics_probe_free(topics_probe *q)
{
    logistic_free(&q->m);
    mem_free(q->mean);
    mem_free(q->spread);
    *q = (topics_probe){0};
}

void topics_standardise(const topics_probe *q, const float *rows, int64_t n, int64_t d, float *out)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) out[i * d + j] = (float)(((double)rows[i * d + j] - q->mean[j]) / q->spread[j]);
}

/* A column that does not vary beyond rounding, as those of a removed coordinate, is left out: spread infinite makes it 0. */
static void find_scale(topics_probe *q, const float *rows, int64_t n, int64_t d)
{
    for (int64_t j = 0; j < d; j++) {
        double sum = 0, square = 0, size = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)rows[i * d + j];
        q->mean[j] = sum / (double)n;
        for (int64_t i = 0; i < n; i++) {
            double e = (double)rows[i * d + j] - q->mean[j];
            square += e * e;
            size = fmax(size, fabs((double)rows[i * d + j]));
        }
        double spread = sqrt(square / (double)n);
        q->spread[j] = spread > 1e-6 * size ? spread : INFINITY;
    }
}

/* Answers are all that is asked of a probe: on 2,793 made-up rows of 57 classes a tolerance of 1e-8 takes 1.5 times as long and gives
 * another answer to one. */
sae_status topics_probe_fit(topics_probe *q, const float *rows, const int32_t *y, int64_t n, int64_t d, int classes,
                            const topics_probe *like, sae_error *err)
{
    const logistic_options how = {.tolerance = 1e-6, .start = like ? like->m.W : NULL};
    sae_status status = SAE_OK;
    float *scaled = mem_alloc_array((size_t)n, (size_t)d * sizeof *scaled, "standardised rows", err);

    q->mean = mem_alloc_array((size_t)d, sizeof *q->mean, "means of columns", err);
    q->spread = mem_alloc_array((size_t)d, sizeof *q->spread, "spreads of columns", err);
    if (!scaled || !q->mean || !q->spread) SAE_TRY(SAE_NOMEM);
    find_scale(q, rows, n, d);
    topics_standardise(q, rows, n, d, scaled);
    SAE_TRY(logistic_fit(&q->m, scaled, y, n, d, classes, &how, err));
done:
    mem_free(scaled);
    return status;
}
