/* array.c - rows of someone's own array, taken as they are: nothing is dropped. */
#include "acts/table.h"

#include <stdio.h>

sae_status sae_acts_open_array(sae_acts **out, const char *path, const sae_acts_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    table *t = NULL;
    char shape[200];

    SAE_TRY(table_create(&t, 1, options, err));
    table_part *p = &t->parts[0];
    SAE_TRY(table_part_create(p, path, 1, err));
    SAE_TRY(array_open(&p->array, path, err));
    const tensor *a = &p->array.t;
    if (a->rank != 2)
        SAE_RAISE(err, SAE_SHAPE, "%s: has shape %s; expected [rows, width]", path,
                  tensor_shape_text(a, shape, sizeof shape));
    p->type = a->type;
    p->d = a->shape[1];
    p->shards[0] = (shard){.rows = a->data, .n = a->shape[0], .checked = true};
    snprintf(t->describe, sizeof t->describe, "%.400s: %lld rows of %lld %s", path, (long long)a->shape[0],
             (long long)a->shape[1], dtype_table[a->type].name);
    status = table_finish(out, t, err);
    t = NULL;
done:
    table_free(t);
    return status;
}
