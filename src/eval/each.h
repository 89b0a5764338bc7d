/* each.h - work on items that do not need each other, on all threads. */
#ifndef SAE_EVAL_EACH_H
#define SAE_EVAL_EACH_H

#include "base/base.h"

/* Calls one(user, i) for i in 0 .. n - 1, in any order and several at once, unless one has failed: of several failures the first is told.
 * CANCELLED when `progress` (may be NULL; called by one thread at a time, with `what`) says so. */
sae_status each_item(int n, sae_status (*one)(void *user, int i, sae_error *err), void *user,
                     const sae_progress *progress, const char *what, sae_error *err);

#endif
