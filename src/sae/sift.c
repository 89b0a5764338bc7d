/*
 * sift.c - encoding with one threshold for all latents, without computing what lies below it.
 *
 * Of a dictionary that keeps 64 of 4,608 latents a row, 99 % of the encoder product is thrown away. The 8-bit screen
 * (kernels/screen.h) finds every pair that can be over the threshold, and only those are computed, each as a dot product in one
 * fixed order: from SIFT_FEWEST_ROWS rows a call on, codes of the same inputs are the same floats on every instruction set. Fewer rows
 * take the whole product, whose last bits differ.
 */
#include "sae/dict.h"

#include "base/threads.h"
#include "kernels/screen.h"

#include <math.h>

/* Fewer rows than this do not pay for rounding the weights, fewer latents not for the tests. */
enum { SIFT_FEWEST_ROWS = 256, SIFT_FEWEST_LATENTS = 1024 };

typedef struct hit {
    float value;
    int32_t row, latent;
} hit;

/* Of one of the screen's tiles of rows, which one thread goes through: of each row latents ascending. */
typedef struct hits {
    hit *all;
    int64_t n, room;
} hits;

struct sift {
    const sae_dict *dict;
    screen *screen;
    screen_survivors *found; /* [n_threads] */
    hits *tiles;             /* [n_tiles] */
    int64_t n_tiles;
    int n_threads;
    float limit;
};

void sift_free(sift *s)
{
    if (!s) return;
    for (int64_t i = 0; s->tiles && i < s->n_tiles; i++) mem_free(s->tiles[i].all);
    screen_free(s->screen);
    mem_free(s->found);
    mem_free(s->tiles);
    mem_free(s);
}

/* One threshold for all, above 0, and a processor that multiplies small integers fast. */
static bool can_sift(const sae_dict *dict, int64_t n)
{
    const sae_dict_config *c = &dict->config;
    const float *threshold = dict->weights.threshold;

    if (c->arch != SAE_BATCHTOPK && c->arch != SAE_MATRYOSHKA && c->arch != SAE_JUMPRELU) return false;
    if (n < SIFT_FEWEST_ROWS || c->d_sae < SIFT_FEWEST_LATENTS || c->d_in > SCREEN_LARGEST_D_IN) return false;
    if (screen_ops_get() == &screen_ops_ref || !(threshold[0] > 0) || !isfinite(threshold[0])) return false;
    for (int64_t j = 1; j < c->d_sae; j++)
        if (threshold[j] != threshold[0]) return false;
    return true;
}

sae_status sift_create(sift **out, const sae_dict *dict, int64_t rows, sae_error *err)
{
    sae_status status = SAE_OK;
    const int n_threads = omp_get_max_threads();
    const screen_shape shape = {rows, dict->config.d_in, dict->config.d_sae, n_threads};
    sift *s;

    *out = NULL;
    if (!can_sift(dict, rows)) return SAE_OK;
    s = mem_alloc(sizeof *s, "the 8-bit screen", err);
    if (!s) return SAE_NOMEM;
    *s = (sift){.dict = dict, .n_threads = n_threads, .limit = dict->weights.threshold[0]};
    SAE_TRY(screen_create(&s->screen, &shape, screen_ops_get(), err));
    s->n_tiles = screen_n_tiles(s->screen);
    s->found = mem_alloc_array((size_t)n_threads, sizeof *s->found, "survivors of the screen", err);
    s->tiles = mem_alloc_array((size_t)s->n_tiles, sizeof *s->tiles, "active latents", err);
    if (!s->found || !s->tiles) SAE_TRY(SAE_NOMEM);
    *out = s;
    s = NULL;
done:
    sift_free(s);
    return status;
}

static bool put(hits *h, hit one)
{
    if (h->n == h->room) {
        size_t room = h->room ? 2 * (size_t)h->room : 4096;
        hit *grown = mem_grow(h->all, (size_t)h->n * sizeof *grown, room * sizeof *grown, "active latents", NULL);
        if (!grown) return false;
        h->all = grown;
        h->room = (int64_t)room;
    }
    h->all[h->n++] = one;
    return true;
}

/* The survivors of a block of latents in a tile of rows from row0 on: those over the limit. */
static bool keep_survivors(sift *s, const screen_survivors *found, const float *u, int64_t row0, int64_t latent0,
                           hits *to)
{
    const sae_weights *w = &s->dict->weights;
    const int64_t d = s->dict->config.d_in;
    float value[SCREEN_TILE];

    for (int64_t j = 0; j < SCREEN_BLOCK; j++) {
        const int64_t latent = latent0 + j;
        if (found->n[j] == 0) continue; /* the last block is not full */
        screen_values(s->screen, found, j, w->W_enc + latent * d, u + row0 * d, value);
        for (int i = 0; i < found->n[j]; i++) {
            const float a = value[i] + w->b_enc[latent];
            if (!(a > s->limit)) continue;
            if (!put(to, (hit){a, (int32_t)(row0 + found->rows[j][i]), (int32_t)latent})) return false;
        }
    }
    return true;
}

sae_status sift_rows(sift *s, const float *u, int64_t n, int64_t *counts, sae_error *err)
{
    bool room = true;

    screen_load(s->screen, s->dict->weights.W_enc, s->dict->weights.b_enc, u);
    screen_set_cutoff(s->screen, s->limit);
#pragma omp parallel num_threads(s->n_threads) reduction(&& : room)
    {
        screen_survivors *found = &s->found[omp_get_thread_num()];
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < s->n_tiles; tile++) {
            s->tiles[tile].n = 0;
            for (int64_t block = 0; block < screen_n_blocks(s->screen) && room; block++) {
                screen_block(s->screen, tile, block, found);
                room = keep_survivors(s, found, u, screen_tile_row(s->screen, tile), block * SCREEN_BLOCK,
                                      &s->tiles[tile]);
            }
        }
    }
    if (!room) return SAE_FAIL(err, SAE_NOMEM, "no memory for active latents; encode fewer rows");
    for (int64_t i = 0; i < n; i++) counts[i] = 0;
    for (int64_t tile = 0; tile < s->n_tiles; tile++)
        for (int64_t i = 0; i < s->tiles[tile].n; i++)
            if (s->tiles[tile].all[i].row < n) counts[s->tiles[tile].all[i].row]++;
    return SAE_OK;
}

void sift_write(const sift *s, int64_t n, int64_t *place, int32_t *latent, float *value)
{
    for (int64_t tile = 0; tile < s->n_tiles; tile++)
        for (int64_t i = 0; i < s->tiles[tile].n; i++) {
            const hit *h = &s->tiles[tile].all[i];
            if (h->row >= n) continue;
            latent[place[h->row]] = h->latent;
            value[place[h->row]++] = h->value;
        }
}
