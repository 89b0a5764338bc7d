/*
 * panels.c - the product of a sparse matrix with a dense one, a panel of columns at a time.
 *
 * A list's rows come from anywhere in the dense matrix. Gathering whole rows for each pair would stream them from the shared cache
 * or from memory again and again. A panel of PANEL columns of all rows, packed, fits in a core's own cache, and the sums of a list
 * stay in registers from its first entry to its last. Lists are shared out among the threads, the panel is common to all.
 */
#include "sae/train.h"

#include <string.h>

/* Columns [column, column + width) of row i, as PANEL floats with zeros behind. */
static void pack_row(float *panel, const float *from, int64_t i, int64_t d, int64_t column, int64_t width)
{
    float *to = panel + i * PANEL;

    from += i * d + column;
    if (width == PANEL) {
        memcpy(to, from, PANEL * sizeof *to);
        return;
    }
    memcpy(to, from, (size_t)width * sizeof *to);
    memset(to + width, 0, (size_t)(PANEL - width) * sizeof *to);
}

/* out [PANEL] and w [PANEL] of list i. */
static void product_row(const sae_ops *ops, const sparse_rows *s, const float *panel, int64_t i, const float *w,
                        float *out)
{
    int64_t start = s->start[i], count = s->start[i + 1] - start;

    if (s->dots)
        ops->gather_dot(out, panel, s->index + start, s->coefficient + start, count, w, s->dots + start);
    else
        ops->gather(out, panel, s->index + start, s->coefficient + start, count);
}

/* The same for the last columns, fewer than PANEL. */
static void product_narrow(const sae_ops *ops, const sparse_rows *s, const float *panel, int64_t i, const float *w,
                           float *out, int64_t width)
{
    float sum[PANEL] = {0}, weights[PANEL] = {0};

    memcpy(sum, out, (size_t)width * sizeof *sum);
    if (w) memcpy(weights, w, (size_t)width * sizeof *weights);
    product_row(ops, s, panel, i, weights, sum);
    memcpy(out, sum, (size_t)width * sizeof *sum);
}

void sparse_times_dense(sae_trainer *t, const sparse_rows *s, const float *from, int64_t d, bool add, float *out)
{
    float *panel = t->s.panel;

    if (s->dots)
        memset(s->dots + s->start[s->first], 0, (size_t)(s->start[s->end] - s->start[s->first]) * sizeof *s->dots);
#pragma omp parallel
    for (int64_t column = 0; column < d; column += PANEL) {
        int64_t width = d - column < PANEL ? d - column : PANEL;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < s->n_from; i++)
            if (!s->used || s->used[i + 1] > s->used[i]) pack_row(panel, from, i, d, column, width);
#pragma omp for schedule(dynamic, 64)
        for (int64_t i = s->first; i < s->end; i++) {
            float *to = out + i * d + column;
            const float *w = s->dots ? s->w + i * d + column : NULL;
            if (s->start[i + 1] == s->start[i]) continue;
            bool added = add || (s->earlier && s->earlier[i + 1] > s->earlier[i]);
            if (!added) memset(to, 0, (size_t)width * sizeof *to);
            if (width == PANEL)
                product_row(t->ops, s, panel, i, w, to);
            else
                product_narrow(t->ops, s, panel, i, w, to, width);
        }
    }
}
