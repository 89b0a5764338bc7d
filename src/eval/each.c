/*
 * each.c - the loop over items, and what ends it. Its critical sections have no name: gcc would export a named one's lock from the library.
 */
#include "eval/each.h"

typedef struct loop {
    sae_status status;
    int done;
} loop;

/* After an item: counts it, asks whether to stop, keeps the first failure. By one thread at a time. */
static void finish_item(loop *l, sae_status got, sae_error *own, const sae_progress *progress, const char *what, int n,
                        sae_error *err)
{
    if (l->status != SAE_OK) return;
    l->done++;
    if (got == SAE_OK && progress && progress->report(progress->user, what, l->done, n))
        got = SAE_FAIL(own, SAE_CANCELLED, "stopped on request");
    l->status = got;
    if (got != SAE_OK && err) *err = *own;
}

sae_status each_item(int n, sae_status (*one)(void *user, int i, sae_error *err), void *user,
                     const sae_progress *progress, const char *what, sae_error *err)
{
    loop l = {0};

#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < n; i++) {
        sae_error own = {0};
        sae_status got = SAE_OK;
        bool ended;
#pragma omp critical
        ended = l.status != SAE_OK;
        if (!ended) got = one(user, i, &own);
#pragma omp critical
        finish_item(&l, got, &own, progress, what, n, err);
    }
    return l.status;
}
