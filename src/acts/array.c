/* array.c - rows of someone's own arrays, taken as they are: nothing is dropped. */
#include "acts/table.h"

#include <stdio.h>

static sae_status open_part(table_part *p, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    char shape[200];

    SAE_TRY(table_part_create(p, path, 1, err));
    SAE_TRY(array_open(&p->array, path, err));
    const tensor *a = &p->array.t;
    if (a->rank != 2)
        SAE_RAISE(err, SAE_SHAPE, "%s: has shape %s; expected [rows, width]", path,
                  tensor_shape_text(a, shape, sizeof shape));
    p->type = a->type;
    p->d = a->shape[1];
    p->shards[0] = (shard){.rows = a->data, .n = a->shape[0], .checked = true};
done:
    return status;
}

sae_status sae_acts_open_arrays(sae_acts **out, const char *const *paths, int n_paths, const sae_acts_options *options,
                                sae_error *err)
{
    enum { MOST_PARTS = 64 };
    sae_status status = SAE_OK;
    table *t = NULL;
    size_t used = 0;

    if (n_paths < 1 || n_paths > MOST_PARTS)
        SAE_RAISE(err, SAE_RANGE, "%d arrays to read side by side; expected 1 to %d", n_paths, MOST_PARTS);
    SAE_TRY(table_create(&t, n_paths, options, err));
    for (int i = 0; i < n_paths; i++) {
        const table_part *p = &t->parts[i];
        SAE_TRY(open_part(&t->parts[i], paths[i], err));
        if (used >= sizeof t->describe) continue;
        used += (size_t)snprintf(t->describe + used, sizeof t->describe - used, "%s%.400s: %lld rows of %lld %s",
                                 i ? "; beside it " : "", paths[i], (long long)p->shards[0].n, (long long)p->d,
                                 dtype_table[p->type].name);
    }
    status = table_finish(out, t, err);
    t = NULL;
done:
    table_free(t);
    return status;
}

sae_status sae_acts_open_array(sae_acts **out, const char *path, const sae_acts_options *options, sae_error *err)
{
    return sae_acts_open_arrays(out, &path, 1, options, err);
}
