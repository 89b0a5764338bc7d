/*
 * select.c - from candidates to the exact batch top-k, as lists by row and by latent.
 *
 * The K-th largest value is found by a radix select on the floats' bits (positive floats order like integers).
 */
#include "sae/train.h"
#include "base/threads.h"

#include <string.h>

/* The bin that holds the `rank`-th largest entry (1 is the largest), and in *above how many lie in higher bins. */
static int64_t bin_of_rank(const uint32_t *histogram, int64_t rank, int64_t *above)
{
    int64_t bin = HISTOGRAM_BINS - 1;

    for (*above = 0; bin > 0 && *above + histogram[bin] < rank; bin--) *above += histogram[bin];
    return bin;
}

/* Bits of the K-th largest of n > K candidates; *n_ties of those equal to it belong to the K. */
static uint32_t edge(const candidate *c, int64_t n, int64_t K, uint32_t *histogram, int64_t *n_ties)
{
    int64_t above_high, above_low;

    memset(histogram, 0, HISTOGRAM_BINS * sizeof *histogram);
    for (int64_t i = 0; i < n; i++) histogram[bits_of(c[i].value) >> 16]++;
    int64_t high = bin_of_rank(histogram, K, &above_high);
    memset(histogram, 0, HISTOGRAM_BINS * sizeof *histogram);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_of(c[i].value);
        if (bits >> 16 == high) histogram[bits & 0xffff]++;
    }
    int64_t low = bin_of_rank(histogram, K - above_high, &above_low);
    *n_ties = K - above_high - above_low;
    return (uint32_t)high << 16 | (uint32_t)low;
}

/* Takes out of the lists by row what equals the edge, but for the first n_ties. */
static void drop_ties(pair_lists *k, int64_t n_rows, uint32_t edge_bits, int64_t n_ties)
{
    int64_t out = 0, start = 0;

    for (int64_t b = 0; b < n_rows; b++) {
        int64_t end = k->row_start[b + 1];
        for (int64_t i = start; i < end; i++) {
            if (bits_of(k->value[i]) == edge_bits && n_ties-- <= 0) continue;
            k->latent[out] = k->latent[i];
            k->value[out++] = k->value[i];
        }
        start = end;
        k->row_start[b + 1] = out;
    }
}

/* The first row whose pairs begin at or behind a share of all pairs. */
static int64_t row_of_share(const pair_lists *lists, int64_t n_rows, int64_t part, int64_t parts)
{
    int64_t low = 0, high = n_rows, wanted = lists->row_start[n_rows] * part / parts;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (lists->row_start[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return part == parts ? n_rows : low;
}

/* Each thread takes a range of rows with about as many pairs, counts them by latent, and then fills its own part of each latent's
 * list: the parts follow each other as the rows do. counter [n_threads, n_latents]. */
void lists_by_latent(pair_lists *lists, int64_t n_rows, int64_t n_latents, int64_t *counter)
{
#pragma omp parallel num_threads(lists->n_threads)
    {
        int64_t me = omp_get_thread_num(), threads = omp_get_num_threads();
        int64_t first = row_of_share(lists, n_rows, me, threads), end = row_of_share(lists, n_rows, me + 1, threads);
        int64_t *mine = counter + me * n_latents;
        memset(mine, 0, (size_t)n_latents * sizeof *mine);
        for (int64_t i = lists->row_start[first]; i < lists->row_start[end]; i++) mine[lists->latent[i]]++;
#pragma omp barrier
#pragma omp single
        {
            int64_t sum = 0;
            for (int64_t j = 0; j < n_latents; j++) {
                lists->latent_start[j] = sum;
                for (int64_t n = 0; n < threads; n++) {
                    int64_t count = counter[n * n_latents + j];
                    counter[n * n_latents + j] = sum;
                    sum += count;
                }
            }
            lists->latent_start[n_latents] = sum;
        }
        for (int64_t b = first; b < end; b++) {
            for (int64_t i = lists->row_start[b]; i < lists->row_start[b + 1]; i++) {
                int64_t to = mine[lists->latent[i]]++;
                lists->row[to] = (int32_t)b;
                lists->weight[to] = lists->value[i];
                if (lists->position) lists->position[to] = (int32_t)i;
            }
        }
    }
}

void select_kept(sae_trainer *t, learner *l, step_sums *sums)
{
    scratch *s = &t->s;
    pair_lists *k = &s->kept;
    int64_t B = t->options.batch, K = l->k * B, n = s->n_candidates, n_ties = 0, n_at_edge = 0;
    const candidate *c = s->candidates;
    uint32_t least = 0;

    if (n > K) least = edge(c, n, K, s->histogram, &n_ties);
    memset(k->row_start, 0, (size_t)(B + 1) * sizeof *k->row_start);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_of(c[i].value);
        n_at_edge += bits == least;
        k->row_start[c[i].row + 1] += bits >= least;
    }
    for (int64_t b = 0; b < B; b++) k->row_start[b + 1] += k->row_start[b];
    memcpy(s->counter, k->row_start, (size_t)B * sizeof *s->counter);
    for (int64_t i = 0; i < n; i++) {
        if (bits_of(c[i].value) < least) continue;
        int64_t to = s->counter[c[i].row]++;
        k->latent[to] = c[i].latent;
        k->value[to] = c[i].value;
    }
    if (n > K && n_at_edge > n_ties) drop_ties(k, B, least, n_ties);

    sums->n_kept = k->row_start[B];
    float smallest = 0.0f;
    for (int64_t i = 0; i < sums->n_kept; i++)
        if (i == 0 || k->value[i] < smallest) smallest = k->value[i];
    sums->smallest = smallest;
    l->cutoff = sums->n_kept < K ? 0.0f : smallest;
    unscale_values(t, l, k);
    lists_by_latent(k, B, l->config.d_sae, s->counter);
}
