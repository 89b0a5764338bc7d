/*
 * controls.c - sets of latents to compare with: as many as in A, not in A. Where more than half of all latents are in A there
 * are not so many; what is missing is then taken from A itself, and the sets overlap.
 */
#include "lab/redundancy.h"

#include <stdlib.h>
#include <string.h>

/* The latents with taken == which, in random order; returns their number. */
static int64_t shuffled(const uint8_t *taken, uint8_t which, int64_t d_sae, rng *random, int64_t *latents)
{
    int64_t n = 0;

    for (int64_t i = 0; i < d_sae; i++)
        if (taken[i] == which) latents[n++] = i;
    rng_shuffle(random, latents, n);
    return n;
}

/* `missing` latents of A, at random, into the control. */
static sae_status fill_up(const uint8_t *taken, int64_t d_sae, int64_t missing, rng *random, uint8_t *control,
                          sae_error *err)
{
    int64_t *inside = NULL;

    if (missing <= 0) return SAE_OK;
    inside = mem_alloc_array((size_t)d_sae, sizeof *inside, "latents of a set", err);
    if (!inside) return SAE_NOMEM;
    shuffled(taken, 1, d_sae, random, inside);
    for (int64_t k = 0; k < missing; k++) control[inside[k]] = 1;
    mem_free(inside);
    return SAE_OK;
}

sae_status control_random(const uint8_t *taken, int64_t d_sae, rng *random, uint8_t *control, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t *outside = mem_alloc_array((size_t)d_sae, sizeof *outside, "latents outside a set", err), n_outside, n;

    if (!outside) return SAE_NOMEM;
    memset(control, 0, (size_t)d_sae);
    n_outside = shuffled(taken, 0, d_sae, random, outside);
    n = d_sae - n_outside;
    for (int64_t k = 0; k < n && k < n_outside; k++) control[outside[k]] = 1;
    SAE_TRY(fill_up(taken, d_sae, n - n_outside, random, control, err));
done:
    mem_free(outside);
    return status;
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

static int64_t sorted_by_count(const uint8_t *taken, uint8_t which, const density *p, rng *random, int64_t *latents,
                               counted *list)
{
    int64_t n = shuffled(taken, which, p->d_sae, random, latents);

    for (int64_t i = 0; i < n; i++) list[i] = (counted){latents[i], p->fired[latents[i]], i};
    qsort(list, (size_t)n, sizeof *list, by_count);
    return n;
}

/* The next free place at or behind i in the direction that `link` goes; links of places that were passed are shortened. */
static int64_t free_from(int64_t *link, int64_t i)
{
    while (link[i] != i) i = link[i] = link[link[i]];
    return i;
}

enum { NEAREST = 8 };
static const double CALIPER = 0.2; /* as a share of the wanted count: a looser match is taken only when there is none */

/* The free places nearest in count to `wanted`, nearest first, that may stand for it: at least one, none when nothing is free.
 * Places 1 .. n of `list`, densest first, are candidates, 0 and n + 1 are ends that are never taken; `at`: the first place whose
 * count is not above the wanted one. */
static int candidates(int64_t wanted, int64_t at, const counted *list, int64_t n, int64_t *up, int64_t *down,
                      int64_t out[NEAREST])
{
    int64_t above = free_from(up, at - 1), below = free_from(down, at);
    int found = 0;

    while (found < NEAREST && (above > 0 || below <= n)) {
        const int64_t over = above > 0 ? list[above - 1].fired - wanted : INT64_MAX;
        const int64_t under = below <= n ? wanted - list[below - 1].fired : INT64_MAX;
        if (found > 0 && (double)(over < under ? over : under) > CALIPER * (double)wanted) break;
        if (over < under) {
            out[found++] = above;
            above = free_from(up, above - 1);
        } else {
            out[found++] = below;
            below = free_from(down, below + 1);
        }
    }
    return found;
}

/* One at random of those that may stand for it, so that several draws differ as sets of this density do. */
static void match_all(const counted *wanted, int64_t n_wanted, const counted *list, int64_t n, int64_t *up,
                      int64_t *down, rng *random, uint8_t *control)
{
    int64_t at = 1, near[NEAREST];

    for (int64_t i = 0; i <= n + 1; i++) up[i] = down[i] = i;
    for (int64_t k = 0; k < n_wanted && k < n; k++) {
        while (at <= n && list[at - 1].fired > wanted[k].fired) at++;
        int found = candidates(wanted[k].fired, at, list, n, up, down, near);
        int64_t best = near[rng_below(random, (uint64_t)found)];
        control[list[best - 1].latent] = 1;
        up[best] = best - 1;
        down[best] = best + 1;
    }
}

sae_status control_matched(const uint8_t *taken, const density *p, rng *random, uint8_t *control, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t room = (size_t)p->d_sae + 2;
    int64_t *latents = mem_alloc_array(room, sizeof *latents, "latents by density", err);
    int64_t *up = mem_alloc_array(room, sizeof *up, "free latents", err);
    int64_t *down = mem_alloc_array(room, sizeof *down, "free latents", err);
    counted *inside = mem_alloc_array(room, sizeof *inside, "latents by density", err);
    counted *outside = mem_alloc_array(room, sizeof *outside, "latents by density", err);

    if (!latents || !up || !down || !inside || !outside) {
        status = SAE_NOMEM;
        goto done;
    }
    memset(control, 0, (size_t)p->d_sae);
    int64_t n = sorted_by_count(taken, 1, p, random, latents, inside);
    int64_t n_outside = sorted_by_count(taken, 0, p, random, latents, outside);
    match_all(inside, n, outside, n_outside, up, down, random, control);
    SAE_TRY(fill_up(taken, p->d_sae, n - n_outside, random, control, err));
done:
    mem_free(latents);
    mem_free(up);
    mem_free(down);
    mem_free(inside);
    mem_free(outside);
    return status;
}
