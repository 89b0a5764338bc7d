/*
 * training.c - the loop of a run. log.jsonl grows line by line (it can be watched); a resumed run cuts it back to the
 * checkpoint's step and goes on, so that it ends as the log of an undisturbed one.
 */
#include "eval/training.h"

#include "io/io.h"
#include "kernels/dequant.h"
#include "sae/recipe_fields.h"

#include <stdlib.h>
#include <string.h>

enum { LOG_LINES = 200 };

void matryoshka_default_groups(sae_dict_config *c)
{
    int64_t left = c->d_sae;

    c->n_groups = 5;
    for (int g = 0; g < 4; g++) left -= c->groups[g] = c->d_sae >> (5 - g);
    c->groups[4] = left;
}

json_t *recipe_json(const sae_train_options *r)
{
    json_t *json = json_pack("{sI sI}", "batch", (json_int_t)r->batch, "steps", (json_int_t)r->steps);

    if (!json) return NULL;
    recipe_fields_put(json, r);
    json_object_set_new(json, "input_scale", json_real(r->input_scale));
    json_object_set_new(json, "unit_scale", json_boolean(r->unit_scale));
    json_object_set_new(json, "encoder_dtype", json_string(r->encoder_dtype == SAE_ENCODER_BF16 ? "bf16" : "f32"));
    return json;
}

/* ---- Rows in a given order ------------------------------------------------------------------------------------------------ */

void row_order_close(row_order *o)
{
    mem_free(o->pool);
    mem_free(o->index);
    *o = (row_order){0};
}

static sae_status read_index(row_order *o, const tensor *t, const char *path, sae_error *err)
{
    char shape[96];

    if (t->rank != 2 || (t->type != DTYPE_I32 && t->type != DTYPE_I64))
        return SAE_FAIL(err, SAE_SHAPE, "%s: an order is an int32 or int64 tensor [steps, batch]; this is %s %s", path,
                        dtype_table[t->type].name, tensor_shape_text(t, shape, sizeof shape));
    o->n_steps = t->shape[0];
    o->batch = t->shape[1];
    o->index = mem_alloc_array((size_t)tensor_count(t), sizeof *o->index, "an order of rows", err);
    if (!o->index) return SAE_NOMEM;
    for (int64_t i = 0; i < tensor_count(t); i++) {
        int32_t narrow;
        if (t->type == DTYPE_I64) {
            memcpy(&o->index[i], (const char *)t->data + 8 * i, 8);
        } else {
            memcpy(&narrow, (const char *)t->data + 4 * i, 4);
            o->index[i] = narrow;
        }
        if (o->index[i] < 0 || o->index[i] >= o->n_rows)
            return SAE_FAIL(err, SAE_RANGE, "%s: step %lld asks for row %lld of %lld", path, (long long)(i / o->batch),
                            (long long)o->index[i], (long long)o->n_rows);
    }
    return SAE_OK;
}

sae_status row_order_open(row_order *out, const char *array, const char *order, sae_error *err)
{
    sae_status status = SAE_OK;
    array_file rows = {0}, index = {0};
    row_order o = {0};
    char shape[96];

    SAE_TRY(array_open(&rows, array, err));
    if (rows.t.rank != 2 || rows.t.shape[0] < 1 || rows.t.shape[1] < 1)
        SAE_RAISE(err, SAE_SHAPE, "%s: rows are a tensor [rows, d_in]; this is %s", array,
                  tensor_shape_text(&rows.t, shape, sizeof shape));
    o.n_rows = rows.t.shape[0];
    o.d = rows.t.shape[1];
    o.pool = mem_alloc_array((size_t)tensor_count(&rows.t), sizeof *o.pool, "the rows of an array", err);
    if (!o.pool) SAE_TRY(SAE_NOMEM);
    dequant_f32(rows.t.type, rows.t.data, tensor_count(&rows.t), o.pool);
    SAE_TRY(array_open(&index, order, err));
    SAE_TRY(read_index(&o, &index.t, order, err));
    *out = o;
    o = (row_order){0};
done:
    row_order_close(&o);
    array_close(&index);
    array_close(&rows);
    return status;
}

/* ---- The log ---------------------------------------------------------------------------------------------------------------- */

static sae_status log_step(line_log *log, int64_t rows, const sae_step_stats *s, const char *name, sae_error *err)
{
    json_t *line = json_pack("{sI sI so so so so so so so so sI sI}", "step", (json_int_t)s->step, "rows",
                             (json_int_t)rows, "loss", json_number_or_null(s->loss), "l2_loss",
                             json_number_or_null(s->l2_loss), "auxk_loss", json_number_or_null(s->auxk_loss), "l0",
                             json_number_or_null(s->l0), "fvu", json_number_or_null(s->fvu), "threshold",
                             json_number_or_null(s->threshold), "grad_norm", json_number_or_null(s->grad_norm), "lr",
                             json_number_or_null(s->lr), "dead", (json_int_t)s->dead, "dense", (json_int_t)s->dense);
    if (line && name) json_object_set_new(line, "dict", json_string(name));
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    sae_status status =
        text ? line_log_put(log, text, err) : SAE_FAIL(err, SAE_NOMEM, "no memory for a line of the log");

    free(text);
    json_decref(line);
    return status;
}

/* ---- The loop ---------------------------------------------------------------------------------------------------------------- */

typedef struct loop {
    sae_trainer *t;
    const sae_train_options *recipe;
    const training_options *options;
    sae_acts *acts;
    int64_t d, log_every, saved; /* saved: the step of the newest checkpoint; -1: none yet */
    line_log *log;
    float *rows;
    sae_step_stats *stats;
} loop;

static sae_status next_rows(loop *l, int64_t step, sae_error *err)
{
    const row_order *o = l->options->order;
    int64_t batch = l->recipe->batch, got = 0;
    sae_status status = SAE_OK;

    if (o) {
        for (int64_t b = 0; b < batch; b++)
            memcpy(l->rows + b * l->d, o->pool + o->index[step * batch + b] * o->d, (size_t)l->d * sizeof *l->rows);
        return SAE_OK;
    }
    SAE_TRY(sae_acts_next(l->acts, batch, l->rows, NULL, NULL, &got, err));
    if (got < batch)
        SAE_RAISE(err, SAE_STATE,
                  "the rows ended at step %lld of %lld (%lld of %lld rows of its batch): use fewer --steps or "
                  "more text",
                  (long long)step, (long long)l->recipe->steps, (long long)got, (long long)batch);
done:
    return status;
}

static sae_status save(loop *l, sae_error *err)
{
    int64_t step = sae_trainer_steps_done(l->t);
    sae_status status = SAE_OK;

    if (l->saved != step) {
        SAE_TRY(line_log_sync(l->log, err)); /* no checkpoint without the lines before it */
        SAE_TRY(sae_trainer_save(l->t, l->options->folder, step * l->recipe->batch, err));
        l->saved = step;
    }
    SAE_TRY(sae_checkpoints_prune(l->options->folder, step, l->options->keep_checkpoints, err));
done:
    return status;
}

static sae_status one_step(loop *l, int64_t step, sae_error *err)
{
    sae_status status = SAE_OK;
    const training_options *o = l->options;
    int64_t rows = (step + 1) * l->recipe->batch;

    status = next_rows(l, step, err);
    if (status != SAE_OK) { /* what was learned so far is kept */
        if (step > 0) save(l, NULL);
        goto done;
    }
    SAE_TRY(sae_trainer_step(l->t, l->rows, NULL, l->stats, err));
    if (step % l->log_every == 0 || step == l->recipe->steps - 1) {
        for (int i = 0; i < sae_trainer_n_dicts(l->t); i++)
            SAE_TRY(log_step(l->log, rows, &l->stats[i], o->names ? o->names[i] : NULL, err));
        if (o->logged) o->logged(o->user, rows, l->stats);
    }
    if (o->checkpoint_every > 0 && (step + 1) % o->checkpoint_every == 0) SAE_TRY(save(l, err));
done:
    return status;
}

static sae_status start(loop *l, sae_error *err)
{
    sae_status status = SAE_OK;
    const row_order *o = l->options->order;
    int64_t rows_given = 0;

    if (o && (o->d != l->d || o->batch != l->recipe->batch || o->n_steps < l->recipe->steps))
        SAE_RAISE(err, SAE_SHAPE,
                  "the order holds %lld steps of %lld rows of width %lld; asked for are %lld of %lld of width %lld",
                  (long long)o->n_steps, (long long)o->batch, (long long)o->d, (long long)l->recipe->steps,
                  (long long)l->recipe->batch, (long long)l->d);
    if (!l->options->resume) goto done;
    SAE_TRY(sae_trainer_resume(l->t, l->options->folder, &rows_given, err));
    l->saved = sae_trainer_steps_done(l->t);
    if (l->options->notice && *sae_trainer_notice(l->t)) l->options->notice(l->options->user, sae_trainer_notice(l->t));
    if (l->acts) SAE_TRY(sae_acts_seek(l->acts, rows_given, err));
done:
    return status;
}

/* Lines of steps that the checkpoint does not have yet are cut off. */
static bool line_stands(void *user, const char *line, size_t bytes)
{
    int64_t step = 0;
    json_t *value = NULL;
    bool stands = json_parse(&value, line, bytes, "log", NULL) == SAE_OK &&
                  json_get_int(value, "step", INT64_MAX, &step, "log", NULL) == SAE_OK && step < *(int64_t *)user;

    json_decref(value);
    return stands;
}

sae_status training_run(sae_trainer *t, const sae_train_options *recipe, int64_t d_in, sae_acts *acts,
                        const training_options *options, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    loop l = {.t = t, .recipe = recipe, .options = options, .acts = acts, .d = d_in, .saved = -1};
    char *log_path = path_join(options->folder, "log.jsonl", err);
    int64_t step = 0;

    l.log_every = options->log_every > 0 ? options->log_every : (recipe->steps + LOG_LINES - 1) / LOG_LINES;
    l.rows = mem_alloc_array((size_t)recipe->batch, (size_t)d_in * sizeof *l.rows, "a batch of rows", err);
    l.stats = mem_alloc_array((size_t)sae_trainer_n_dicts(t), sizeof *l.stats, "statistics of a step", err);
    if (!log_path || !l.rows || !l.stats) SAE_TRY(SAE_NOMEM);
    SAE_TRY(start(&l, err));
    step = sae_trainer_steps_done(t);
    SAE_TRY(line_log_open(&l.log, log_path, options->resume ? line_stands : NULL, &step, err));
    for (; step < recipe->steps; step++) {
        SAE_TRY(one_step(&l, step, err));
        if (progress && progress->report(progress->user, "rows trained", (double)((step + 1) * recipe->batch),
                                         (double)(recipe->steps * recipe->batch))) {
            SAE_TRY(save(&l, err));
            SAE_RAISE(err, SAE_CANCELLED,
                      "stopped on request after step %lld; a checkpoint was written: continue with --resume",
                      (long long)step);
        }
    }
    SAE_TRY(save(&l, err));
done:
    line_log_close(l.log);
    mem_free(l.stats);
    mem_free(l.rows);
    mem_free(log_path);
    return status;
}
