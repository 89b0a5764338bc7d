/* acts.c - the public calls on a stream of rows, whatever its kind. */
#include "acts/acts.h"

#include <math.h>

struct sae_acts {
    const acts_kind *kind;
    void *self;
    int64_t given; /* rows since opening, or where seek went */
};

sae_status acts_wrap(sae_acts **out, const acts_kind *kind, void *self, sae_error *err)
{
    sae_acts *acts = mem_alloc(sizeof *acts, "a stream of rows", err);

    if (!acts) {
        kind->free(self);
        return SAE_NOMEM;
    }
    *acts = (sae_acts){.kind = kind, .self = self};
    *out = acts;
    return SAE_OK;
}

sae_status acts_options_fill(sae_acts_options *out, const sae_acts_options *given, sae_error *err)
{
    sae_acts_options o = given ? *given : (sae_acts_options){0};

    if (o.buffer_rows == 0) o.buffer_rows = 262144;
    if (o.batch_seqs == 0) o.batch_seqs = 8;
    if (o.max_norm == 0) o.max_norm = 10;
    if (o.buffer_rows < 2 || o.buffer_rows > INT32_MAX)
        return SAE_FAIL(err, SAE_RANGE, "a shuffle buffer of %lld rows; expected 2 to %d", (long long)o.buffer_rows,
                        INT32_MAX);
    if (o.batch_seqs < 1 || o.batch_seqs > 65536)
        return SAE_FAIL(err, SAE_RANGE, "%lld sequences per forward pass; expected 1 to 65536",
                        (long long)o.batch_seqs);
    if (o.read_ahead < 0 || o.read_ahead > INT32_MAX)
        return SAE_FAIL(err, SAE_RANGE, "%lld rows to read ahead; expected 0 to %d", (long long)o.read_ahead,
                        INT32_MAX);
    if (o.drop_positions == 0) o.drop_positions = 1;
    if (o.drop_positions < 0) o.drop_positions = 0;
    if (isnan(o.max_norm) || (o.max_norm > 0 && o.max_norm < 1))
        return SAE_FAIL(err, SAE_RANGE, "max_norm is %g times the median; expected at least 1, or a negative number",
                        o.max_norm);
    *out = o;
    return SAE_OK;
}

sae_status acts_is_plan(sae_error *err)
{
    return SAE_FAIL(err, SAE_STATE, "the stream was opened with plan_only: it gives no rows");
}

void sae_acts_free(sae_acts *acts)
{
    if (!acts) return;
    acts->kind->free(acts->self);
    mem_free(acts);
}

sae_acts_info sae_acts_get_info(const sae_acts *acts) { return acts->kind->info(acts->self); }

sae_status sae_acts_next(sae_acts *acts, int64_t n, float *rows, int32_t *tokens, int32_t *positions, int64_t *n_got,
                         sae_error *err)
{
    if (n < 0) return SAE_FAIL(err, SAE_RANGE, "%lld rows were asked for", (long long)n);
    sae_status status = acts->kind->next(acts->self, n, rows, tokens, positions, n_got, err);
    if (status == SAE_OK) acts->given += *n_got;
    return status;
}

sae_status sae_acts_seek(sae_acts *acts, int64_t row, sae_error *err)
{
    if (row < 0) return SAE_FAIL(err, SAE_RANGE, "row %lld of a stream cannot be gone to", (long long)row);
    sae_status status = acts->kind->seek(acts->self, row, err);
    if (status == SAE_OK) acts->given = row;
    return status;
}

json_t *acts_mark(const sae_acts *acts)
{
    json_t *mark = json_pack("{sI}", "row", (json_int_t)acts->given);

    if (mark && acts->kind->mark) acts->kind->mark(acts->self, &mark);
    return mark;
}

sae_status acts_recall(sae_acts *acts, const json_t *mark, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t row = -1;

    if (!json_is_object(mark)) SAE_RAISE(err, SAE_FORMAT, "%s: the place to go on from must be an object", name);
    SAE_TRY(json_get_int(mark, "row", -1, &row, name, err));
    if (row < 0) SAE_RAISE(err, SAE_FORMAT, "%s: the place to go on from has no \"row\"", name);
    if (acts->kind->recall && json_object_size(mark) > 1)
        SAE_TRY(acts->kind->recall(acts->self, row, mark, name, err));
    else
        SAE_TRY(acts->kind->seek(acts->self, row, err));
    acts->given = row;
done:
    return status;
}

sae_status acts_given_again(const sae_acts *acts, int64_t before, int64_t n, int64_t *again, sae_error *err)
{
    *again = -1;
    return acts->kind->again ? acts->kind->again(acts->self, before, n, again, err) : SAE_OK;
}
