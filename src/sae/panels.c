/*
 * panels.c - the product of a sparse matrix with a dense one, a panel of columns at a time.
 *
 * AuxK has about 400 pairs a row, all among the dead latents. Gathering whole rows for each pair would stream them from the shared
 * cache or from memory again and again. A panel of PANEL columns of all rows, packed, fits in a core's own cache, and the sums
 * of a list stay in registers from its first entry to its last.
 */
#include "sae/train.h"

#include <omp.h>
#include <string.h>

/* Columns [column, column + width) of the rows in use, each as PANEL floats with zeros behind. */
static void pack(float *panel, const float *from, const sparse_rows *s, int64_t d, int64_t column, int64_t width)
{
    for (int64_t i = 0; i < s->n_from; i++) {
        if (s->used && s->used[i + 1] == s->used[i]) continue;
        memcpy(panel + i * PANEL, from + i * d + column, (size_t)width * sizeof *panel);
        memset(panel + i * PANEL + width, 0, (size_t)(PANEL - width) * sizeof *panel);
    }
}

void sparse_times_dense(sae_trainer *t, const sparse_rows *s, const float *from, int64_t d, bool add, float *out)
{
    int64_t n_panels = (d + PANEL - 1) / PANEL;

#pragma omp parallel for schedule(dynamic, 1) num_threads(t->s.panel_threads)
    for (int64_t n = 0; n < n_panels; n++) {
        float *panel = t->s.panels + (int64_t)omp_get_thread_num() * t->s.panel_rows * PANEL;
        int64_t column = n * PANEL, width = d - column < PANEL ? d - column : PANEL;
        pack(panel, from, s, d, column, width);
        for (int64_t i = 0; i < s->n_out; i++) {
            float sum[PANEL] = {0};
            int64_t start = s->start[i], count = s->start[i + 1] - start;
            if (count == 0) continue;
            if (add) memcpy(sum, out + i * d + column, (size_t)width * sizeof *sum);
            t->ops->gather(sum, panel, s->index + start, s->coefficient + start, count);
            memcpy(out + i * d + column, sum, (size_t)width * sizeof *sum);
        }
    }
}
