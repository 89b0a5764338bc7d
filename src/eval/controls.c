/*
 * controls.c - sets of latents to compare a set A with: as many, drawn from all latents, those of A among them. Were A but one more draw of
 * the kind, it would then differ from the draws as they differ from one another, whatever its size; draws from the others alone would be
 * too much alike, the more latents A takes, and could not have its density where A has all dense ones.
 */
#include "eval/controls.h"

#include <stdlib.h>
#include <string.h>

static void shuffle_all(int64_t d_sae, rng *random, int64_t *latents)
{
    for (int64_t i = 0; i < d_sae; i++) latents[i] = i;
    rng_shuffle(random, latents, d_sae);
}

sae_status control_random(const uint8_t *taken, int64_t d_sae, rng *random, uint8_t *control, sae_error *err)
{
    int64_t *all = mem_alloc_array((size_t)d_sae, sizeof *all, "latents in random order", err), at = 0;

    if (!all) return SAE_NOMEM;
    memset(control, 0, (size_t)d_sae);
    shuffle_all(d_sae, random, all);
    for (int64_t i = 0; i < d_sae; i++)
        if (taken[i]) control[all[at++]] = 1;
    mem_free(all);
    return SAE_OK;
}

/* ---- Matched in density --------------------------------------------------------------------------------------------------- */

typedef struct counted {
    int64_t latent, fired, at; /* at: its place in a random order, so that ties fall by chance */
} counted;

static int by_count(const void *a, const void *b)
{
    const counted *x = a, *y = b;

    if (x->fired != y->fired) return x->fired < y->fired ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

enum { ALIKE_MOST = 8 };
static const double ALIKE = 0.8; /* of the count of the densest of them */

/* How many latents from the first of a list on, densest first, are of like density. */
static int64_t alike(const counted *list, int64_t n)
{
    int64_t m = 1;

    while (m < n && m < ALIKE_MOST && (double)list[m].fired >= ALIKE * (double)list[0].fired) m++;
    return m;
}

/* As many of n alike latents as A has of them. */
static void draw_alike(const counted *list, int64_t n, const uint8_t *taken, rng *random, uint8_t *control)
{
    int64_t latents[ALIKE_MOST], wanted = 0;

    for (int64_t i = 0; i < n; i++) {
        latents[i] = list[i].latent;
        wanted += taken[list[i].latent];
    }
    rng_shuffle(random, latents, n);
    for (int64_t i = 0; i < wanted; i++) control[latents[i]] = 1;
}

sae_status control_matched(const uint8_t *taken, const int64_t *counts, int64_t d_sae, rng *random, uint8_t *control,
                           sae_error *err)
{
    sae_status status = SAE_OK;
    const size_t n = (size_t)d_sae;
    int64_t *latents = mem_alloc_array(n, sizeof *latents, "latents by density", err);
    counted *list = mem_alloc_array(n, sizeof *list, "latents by density", err);

    if (!latents || !list) SAE_TRY(SAE_NOMEM);
    memset(control, 0, n);
    shuffle_all(d_sae, random, latents);
    for (int64_t i = 0; i < d_sae; i++) list[i] = (counted){latents[i], counts[latents[i]], i};
    qsort(list, n, sizeof *list, by_count);
    for (int64_t i = 0, m; i < d_sae; i += m) {
        m = alike(list + i, d_sae - i);
        draw_alike(list + i, m, taken, random, control);
    }
done:
    mem_free(latents);
    mem_free(list);
    return status;
}
