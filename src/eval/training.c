/*
 * training.c - the loop of a run: rows in, one step after the other, checkpoints, and what ends it early: the user, the end of
 * the rows, a number that is not finite.
 *
 * A checkpoint is only written of a state that is whole (every dictionary did the same steps) and finite.
 */
#include "eval/training.h"
#include "acts/acts.h"
#include "eval/divergence.h"
#include "eval/subspace.h"
#include "eval/training_log.h"
#include "io/io.h"
#include "sae/recipe_fields.h"
#include "sae/train.h"

#include <math.h>
#include <stdio.h>
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
    recipe_fields_put(&json, r);
    json_put(&json, "input_scale", json_real(r->input_scale));
    json_put(&json, "unit_scale", json_boolean(r->unit_scale));
    json_put(&json, "encoder_dtype", json_string(r->encoder_dtype == SAE_ENCODER_BF16 ? "bf16" : "f32"));
    json_put(&json, "exact_codes", json_boolean(r->exact_codes || r->screen)); /* the same bytes */
    return json;
}

sae_status recipe_read(sae_train_options *out, const json_t *json, int64_t d_in, const char *file, sae_error *err)
{
    static const int64_t MOST_ROWS = (int64_t)1 << 50;
    sae_status status = SAE_OK;
    sae_train_options r = {0};
    const char *type = NULL;
    bool exact = false;

    if (!json_is_object(json)) SAE_RAISE(err, SAE_FORMAT, "%s: holds no \"recipe\"", file);
    SAE_TRY(json_get_int(json, "batch", 0, &r.batch, file, err));
    SAE_TRY(json_get_int(json, "steps", 0, &r.steps, file, err));
    if (r.batch < 1 || r.steps < 1 || r.batch > INT32_MAX || r.steps > MOST_ROWS / r.batch)
        SAE_RAISE(err, SAE_FORMAT, "%s: a recipe of %lld steps of %lld rows", file, (long long)r.steps,
                  (long long)r.batch);
    SAE_TRY(recipe_fields_take(&r, json, file, err));
    SAE_TRY(json_get_double(json, "input_scale", 1, &r.input_scale, file, err));
    SAE_TRY(json_get_bool(json, "unit_scale", false, &r.unit_scale, file, err));
    SAE_TRY(json_get_string(json, "encoder_dtype", "f32", &type, file, err));
    SAE_TRY(json_get_bool(json, "exact_codes", false, &exact, file, err));
    r.encoder_dtype = strcmp(type, "bf16") == 0 ? SAE_ENCODER_BF16 : SAE_ENCODER_F32;
    if (exact && !sae_choose_exact_codes(&r, d_in))
        SAE_RAISE(err, SAE_FORMAT, "%s: a recipe of exact codes, which its other settings do not allow", file);
    *out = r;
done:
    return status;
}

/* ---- The loop ---------------------------------------------------------------------------------------------------------------- */

typedef struct loop {
    sae_trainer *t;
    const sae_train_options *recipe;
    const training_options *options;
    sae_acts *acts;
    int64_t d, log_every,
        saved; /* d: of a row with its targets; saved: the step of the newest checkpoint; -1: none yet */
    training_log *log;
    float *rows;
    float *targets; /* [batch, d_target]; NULL without. Then rows has been packed to [batch, d - d_target] */
    sae_step_stats *stats;
    bool unnamed; /* nothing is to be said of a place in the rows but its number */
} loop;

/* "a checkpoint of step 1000 is in runs/a/checkpoints", for messages. */
static const char *last_checkpoint(const loop *l, char *buffer, size_t size)
{
    if (l->saved < 0)
        snprintf(buffer, size, "no checkpoint was written yet%s",
                 l->options->checkpoint_every > 0 ? "" : " (--checkpoint-every N)");
    else
        snprintf(buffer, size, "the last good checkpoint is %.300s/checkpoints/%012lld", l->options->folder,
                 (long long)l->saved);
    return buffer;
}

static void blame(const loop *l, int dict)
{
    if (l->options->diverged) *l->options->diverged = dict;
}

static sae_status save(loop *l, sae_error *err)
{
    int64_t step = sae_trainer_steps_done(l->t);
    sae_status status = SAE_OK;
    const char *what = NULL;
    char last[400], why[ADVICE_ROOM];
    int i = 0;

    if (l->saved != step) {
        if (!trainer_is_finite(l->t, &i, &what)) {
            blame(l, i);
            SAE_RAISE(err, SAE_NUMERIC, "step %lld: %s%s%s became infinite or undefined: %s; %s", (long long)step - 1,
                      what, l->options->names ? " of " : "", l->options->names ? l->options->names[i] : "",
                      divergence_advice(l->t, i, step - 1, step, 0, why), last_checkpoint(l, last, sizeof last));
        }
        SAE_TRY(training_log_sync(l->log, err)); /* no checkpoint without the lines before it */
        SAE_TRY(sae_trainer_save(l->t, l->options->folder, step * l->recipe->batch, err));
        l->saved = step;
    }
    SAE_TRY(sae_checkpoints_prune(l->options->folder, step, l->options->keep_checkpoints, err));
done:
    return status;
}

/* Of rows [n, d]: the first that is not finite; -1: none. */
static int64_t first_bad_row(const float *rows, int64_t n, int64_t d)
{
    for (int64_t b = 0; b < n; b++) {
        float poison = 0; /* becomes NaN when one entry is not finite */
#pragma omp simd reduction(+ : poison)
        for (int64_t j = 0; j < d; j++) poison += rows[b * d + j] * 0;
        if (poison != 0) return b;
    }
    return -1;
}

static sae_status ordered_rows(loop *l, int64_t step, sae_error *err)
{
    const row_order *o = l->options->order;
    int64_t batch = l->recipe->batch;
    const int64_t *index = o->index + step * batch;

    for (int64_t b = 0; b < batch; b++)
        memcpy(l->rows + b * l->d, o->pool + index[b] * o->d, (size_t)l->d * sizeof *l->rows);
    int64_t bad = first_bad_row(l->rows, batch, l->d);
    if (bad >= 0)
        return SAE_FAIL(err, SAE_NUMERIC,
                        "row %lld of the array, row %lld of the batch, holds infinite or undefined numbers",
                        (long long)index[bad], (long long)bad);
    return SAE_OK;
}

/* The trainer gets the place in the rows behind a whole step, if there is more to say of it than their number: of what text they are. */
static sae_status note_place(loop *l, sae_error *err)
{
    if (!l->acts || l->unnamed) return SAE_OK;
    json_t *place = acts_mark(l->acts);
    if (!place) return SAE_FAIL(err, SAE_NOMEM, "no memory for the place in the rows");
    l->unnamed = json_object_size(place) == 1;
    json_decref(l->t->place);
    l->t->place = l->unnamed ? NULL : json_incref(place);
    json_decref(place);
    return SAE_OK;
}

/* Whether the text up to the known place, if training has come just there, is the one that was read before. */
static sae_status check_known_place(const loop *l, sae_error *err)
{
    const json_t *known = l->options->known_place, *place = l->t->place;

    if (!known || !place || !json_equal(json_object_get(known, "row"), json_object_get(place, "row"))) return SAE_OK;
    const char *then = json_string_value(json_object_get(known, "text_xxh3"));
    const char *now = json_string_value(json_object_get(place, "text_xxh3"));
    if (!then || !now || strcmp(then, now) == 0) return SAE_OK;
    return SAE_FAIL(err, SAE_STATE,
                    "%s: the text up to row %lld is not the one that was read before, when a dictionary diverged there "
                    "(checksum %.16s now, then %.16s). Remove that folder and give the text that was begun with, or "
                    "another --out",
                    l->options->folder, (long long)json_integer_value(json_object_get(known, "row")), now, then);
}

static sae_status next_rows(loop *l, int64_t step, sae_error *err)
{
    int64_t batch = l->recipe->batch, got = 0;
    sae_status status = SAE_OK;

    if (l->options->order) return ordered_rows(l, step, err);
    status = sae_acts_next(l->acts, batch, l->rows, NULL, NULL, &got, err);
    if (status == SAE_STATE) /* a text from a pipe has ended */
        sae_error_prefix(err, "%lld of %lld steps are trained, on %lld of %lld rows", (long long)step,
                         (long long)l->recipe->steps, (long long)(step * batch), (long long)(l->recipe->steps * batch));
    SAE_TRY(status);
    if (got < batch)
        SAE_RAISE(err, SAE_STATE,
                  "the rows ended at step %lld of %lld (%lld of %lld rows of its batch): use fewer --steps or "
                  "more text",
                  (long long)step, (long long)l->recipe->steps, (long long)got, (long long)batch);
    SAE_TRY(note_place(l, err));
done:
    return status;
}

/* Stopped on request when so many steps were done, of which a checkpoint is written. */
static sae_status stopped(loop *l, int64_t steps, sae_error *err)
{
    sae_status status = SAE_OK;

    if (steps == 0) SAE_RAISE(err, SAE_CANCELLED, "stopped on request before the first step");
    SAE_TRY(save(l, err));
    SAE_RAISE(err, SAE_CANCELLED, "stopped on request after step %lld of %lld; %s/checkpoints/%012lld holds all of it",
              (long long)steps - 1, (long long)l->recipe->steps, l->options->folder, (long long)l->saved);
done:
    return status;
}

/* The rows of a step could not be had. What was learned so far is whole, so it is kept. */
static sae_status rows_failed(loop *l, int64_t step, sae_status why, const sae_error *cause, sae_error *err)
{
    int64_t batch = l->recipe->batch;
    char last[400];

    if (why == SAE_CANCELLED) return stopped(l, step, err);
    if (step > 0) save(l, NULL);
    if (why != SAE_NUMERIC) return SAE_FAIL(err, why, "%s", cause->message);
    return SAE_FAIL(err, why, "step %lld, rows %lld to %lld of the stream: %.500s; %s", (long long)step,
                    (long long)(step * batch), (long long)((step + 1) * batch - 1), cause->message,
                    last_checkpoint(l, last, sizeof last));
}

/* The step gave numbers that are not finite, first of all in `dict`: the dictionaries are not to be saved any more. */
static sae_status step_failed(loop *l, int64_t step, int dict, const char *cause, sae_error *err)
{
    int64_t batch = l->recipe->batch;
    double largest, usual;
    char last[400], why[ADVICE_ROOM + 40];
    int64_t bad = absurd_row(l->rows, batch, l->d - l->options->d_target, &largest, &usual);

    if (bad < 0 && l->targets) bad = absurd_row(l->targets, batch, l->options->d_target, &largest, &usual);
    if (bad >= 0)
        snprintf(why, sizeof why,
                 "Row %lld of this batch reaches %.3g, where the median row is %.3g on average: it is the row, not the "
                 "learning rate; take it out (--max-norm does, of rows from a model)",
                 (long long)bad, largest, usual);
    else {
        blame(l, dict);
        char what[ADVICE_ROOM];
        snprintf(why, sizeof why, "All of these rows are finite: %s",
                 divergence_advice(l->t, dict, step, step, largest, what));
    }
    return SAE_FAIL(err, SAE_NUMERIC, "step %lld, rows %lld to %lld of the stream: %.300s. %s; %s", (long long)step,
                    (long long)(step * batch), (long long)((step + 1) * batch - 1), cause, why,
                    last_checkpoint(l, last, sizeof last));
}

/* Takes the targets out of the rows, in place: a row moves only to the front. */
static void split_targets(loop *l)
{
    int64_t d_target = l->options->d_target, d_in = l->d - d_target;

    for (int64_t b = 0; b < l->recipe->batch; b++) {
        memcpy(l->targets + b * d_target, l->rows + b * l->d + d_in, (size_t)d_target * sizeof *l->rows);
        memmove(l->rows + b * d_in, l->rows + b * l->d, (size_t)d_in * sizeof *l->rows);
    }
}

/* Of the first rows, whether the user's scale leaves anything of them. */
static sae_status check_scale(const loop *l, sae_error *err)
{
    const sae_train_options *r = l->recipe;
    sae_status status = SAE_OK;

    if (r->unit_scale) return SAE_OK;
    SAE_TRY(check_scaled(l->rows, r->batch * (l->d - l->options->d_target), r->input_scale, err));
    if (l->targets) SAE_TRY(check_scaled(l->targets, r->batch * l->options->d_target, r->input_scale, err));
done:
    return status;
}

static sae_status step_and_check(loop *l, int64_t step, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error cause = {0};

    if (l->targets) split_targets(l);
    if (step == 0) status = check_scale(l, err);
    if (status != SAE_OK) return status;
    if (l->options->less) status = subspace_remove(l->options->less, NULL, l->rows, l->recipe->batch, l->rows, &cause);
    if (status == SAE_OK) status = sae_trainer_step(l->t, l->rows, l->targets, l->stats, &cause);
    if (status == SAE_NUMERIC) return step_failed(l, step, l->t->failed, cause.message, err);
    if (status != SAE_OK) return SAE_FAIL(err, status, "%s", cause.message);
    for (int i = 0; i < sae_trainer_n_dicts(l->t); i++)
        if (!isfinite(l->stats[i].grad_norm)) {
            char text[128];
            snprintf(text, sizeof text, "%s%sthe norm of the gradient is not finite",
                     l->options->names ? l->options->names[i] : "", l->options->names ? ": " : "");
            return step_failed(l, step, i, text, err);
        }
    return SAE_OK;
}

static sae_status one_step(loop *l, int64_t step, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error cause = {0};
    const training_options *o = l->options;
    int64_t rows = (step + 1) * l->recipe->batch;
    bool logged = step % l->log_every == 0 || step == l->recipe->steps - 1;

    status = next_rows(l, step, &cause);
    if (status != SAE_OK) return rows_failed(l, step, status, &cause, err);
    SAE_TRY(check_known_place(l, err));
    SAE_TRY(step_and_check(l, step, err));
    if (logged) SAE_TRY(training_log_put(l->log, rows, l->stats, sae_trainer_n_dicts(l->t), o->names, err));
    if (o->stepped) o->stepped(o->user, rows, l->stats, logged);
    if (o->checkpoint_every > 0 && (step + 1) % o->checkpoint_every == 0) SAE_TRY(save(l, err));
done:
    return status;
}

/* The rows up to here must be of the text that the checkpoint's were: what comes through a pipe nobody has compared. */
static sae_status check_place(loop *l, int64_t rows, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error cause = {0};
    int64_t row = -1;

    if (!l->t->place) return SAE_OK; /* an older version wrote it, or the rows are no text's */
    SAE_TRY(json_get_int(l->t->place, "row", -1, &row, l->options->folder, err));
    if (row != rows)
        SAE_RAISE(err, SAE_FORMAT, "%s: its checkpoint is of row %lld and names row %lld", l->options->folder,
                  (long long)rows, (long long)row);
    status = acts_recall(l->acts, l->t->place, l->options->folder, &cause);
    if (status == SAE_STATE)
        SAE_RAISE(
            err, SAE_STATE,
            "%.700s A run goes on with the text that it was begun with, from its beginning; for another text give "
            "another --out",
            cause.message);
    if (status != SAE_OK) SAE_RAISE(err, status, "%s", cause.message);
done:
    return status;
}

/* To where the checkpoint was. A live run computes all that lies before, so people see it and can stop it. */
static sae_status pass_over(loop *l, int64_t rows, const sae_progress *progress, sae_error *err)
{
    enum { STOPS = 200 };
    sae_status status = SAE_OK;
    int64_t stride = rows / STOPS + 1;

    for (int64_t at = 0; at < rows;) {
        at = rows - at < stride ? rows : at + stride;
        sae_error cause = {0};
        status = sae_acts_seek(l->acts, at, &cause);
        if (status == SAE_STATE)
            sae_error_prefix(&cause, "on the way to row %lld, where the run goes on", (long long)rows);
        if (status != SAE_OK && status != SAE_CANCELLED) SAE_RAISE(err, status, "%s", cause.message);
        if (status == SAE_CANCELLED ||
            (at < rows && progress && progress->report(progress->user, "rows passed over", (double)at, (double)rows)))
            SAE_RAISE(err, SAE_CANCELLED,
                      "stopped on request on the way to row %lld, where the run goes on; the checkpoint "
                      "stands",
                      (long long)rows);
    }
done:
    return status;
}

static sae_status start(loop *l, const sae_progress *progress, sae_error *err)
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
    SAE_TRY(trainer_resume(l->t, l->options->folder, l->options->fewer, &rows_given, err));
    l->saved = sae_trainer_steps_done(l->t);
    if (l->options->notice && *sae_trainer_notice(l->t)) l->options->notice(l->options->user, sae_trainer_notice(l->t));
    if (l->acts && (l->saved < l->recipe->steps || l->options->rows_follow)) {
        SAE_TRY(pass_over(l, rows_given, progress, err));
        if (rows_given > 0) SAE_TRY(check_place(l, rows_given, err));
    }
done:
    return status;
}

static void tell_of_log(const loop *l, int64_t step)
{
    char text[500];
    const int64_t cut_at = training_log_cut_at(l->log);

    if (!l->options->notice || (cut_at == 0 && !training_log_lacks_the_start(l->log))) return;
    if (cut_at > 0)
        snprintf(
            text, sizeof text,
            "%.300s/log.jsonl: line %lld is damaged, and the log was cut there. What was learned is whole, but the "
            "log, and plots of it, may lack steps from there to %lld",
            l->options->folder, (long long)cut_at, (long long)step);
    else
        snprintf(
            text, sizeof text,
            "%.300s/log.jsonl does not begin with step 0: somebody removed or cut it. What was learned is whole, but "
            "the log, and plots of it, lack steps before %lld",
            l->options->folder, (long long)step);
    l->options->notice(l->options->user, text);
}

sae_status training_run(sae_trainer *t, const sae_train_options *recipe, int64_t d_in, sae_acts *acts,
                        const training_options *options, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t d = d_in + options->d_target;
    loop l = {.t = t, .recipe = recipe, .options = options, .acts = acts, .d = d, .saved = -1};
    int64_t step = 0;

    blame(&l, -1);
    l.log_every = options->log_every > 0 ? options->log_every : (recipe->steps + LOG_LINES - 1) / LOG_LINES;
    l.rows = mem_alloc_array((size_t)recipe->batch, (size_t)d * sizeof *l.rows, "a batch of rows", err);
    if (options->d_target > 0)
        l.targets = mem_alloc_array((size_t)recipe->batch, (size_t)options->d_target * sizeof *l.targets,
                                    "a batch of targets", err);
    l.stats = mem_alloc_array((size_t)sae_trainer_n_dicts(t), sizeof *l.stats, "statistics of a step", err);
    if (!l.rows || !l.stats || (options->d_target > 0 && !l.targets)) SAE_TRY(SAE_NOMEM);
    SAE_TRY(start(&l, progress, err));
    step = sae_trainer_steps_done(t);
    SAE_TRY(training_log_open(&l.log, options->folder, options->resume, step, err));
    tell_of_log(&l, step);
    for (; step < recipe->steps; step++) {
        SAE_TRY(one_step(&l, step, err));
        if (progress && progress->report(progress->user, "rows trained", (double)((step + 1) * recipe->batch),
                                         (double)(recipe->steps * recipe->batch)))
            SAE_TRY(stopped(&l, step + 1, err));
    }
    SAE_TRY(save(&l, err));
done:
    training_log_close(l.log);
    mem_free(l.stats);
    mem_free(l.targets);
    mem_free(l.rows);
    return status;
}
