/*
 * rows.c - the training rows: computed once into OUT/acts, kept for the next run when everything that they were computed
 * from is the same.
 */
#include "lab/inputs.h"
#include "lab/scaffold.h"

#include <stdio.h>
#include <string.h>

/* Everything that decides the rows. */
sae_status rows_describe(experiment *e, sae_error *err)
{
    const scaffold_options *o = &e->options;
    sae_status status = lab_inputs(&e->inputs, o->model, e->model, o->texts, o->n_texts, err);

    if (status != SAE_OK) return status;
    json_put(&e->inputs, "site", json_string(e->site_name));
    json_put(&e->inputs, "ctx", json_integer((json_int_t)o->ctx));
    json_put(&e->inputs, "separator", json_integer((json_int_t)o->separator));
    json_put(&e->inputs, "tokens", json_integer((json_int_t)o->tokens));
    json_put(&e->inputs, "max_norm", json_real(o->max_norm));
    if (o->with_bos) json_put(&e->inputs, "with_bos", json_true());
    return e->inputs ? SAE_OK : SAE_FAIL(err, SAE_NOMEM, "no memory to describe the inputs");
}

/* Does OUT/acts hold these very rows? Anything unreadable there counts as no. */
static bool store_matches(const experiment *e, const char *store, const char *inputs_path)
{
    sae_error ignored = {0};
    sae_acts *acts = NULL;
    json_t *inputs = NULL;
    bool same = file_exists(inputs_path) && json_read_file(&inputs, inputs_path, &ignored) == SAE_OK &&
                json_equal(json_object_get(inputs, "inputs"), e->inputs) &&
                sae_acts_open_store(&acts, &store, 1, NULL, &ignored) == SAE_OK && sae_acts_get_info(acts).d == e->d;

    sae_acts_free(acts);
    json_decref(inputs);
    return same;
}

sae_status experiment_text(const experiment *e, sae_split which, sae_text **text, sae_error *err)
{
    sae_text_options options = sae_text_defaults();

    options.ctx = e->options.ctx;
    options.separator = e->options.separator;
    options.split = which;
    return sae_text_open(text, e->tok, e->options.texts, e->options.n_texts, &options, err);
}

static sae_status store_create(experiment *e, const char *store, const char *inputs_path, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_text *text = NULL;
    sae_acts *acts = NULL;
    json_t *about = NULL;
    sae_acts_options live = {.max_norm = e->options.max_norm,
                             .keep_special = e->options.with_bos,
                             .drop_positions = e->options.with_bos ? -1 : 0,
                             .in_order = true};
    char *described = json_to_text(e->inputs, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17), err);
    sae_store_options options = {
        .about = described, .resumable = true, .force = true}; /* folder_begin has asked already */

    if (!described) SAE_TRY(SAE_NOMEM);
    SAE_TRY(experiment_text(e, SAE_SPLIT_TRAIN, &text, err));
    SAE_TRY(sae_acts_open_live(&acts, e->model, text, &e->site, 1, &live, err));
    SAE_TRY(file_remove(inputs_path, err)); /* from here on no old description stands beside the rows */
    SAE_TRY(sae_store_write(store, acts, e->options.tokens, &options, e->progress, err));
    about = json_pack("{sO sI}", "inputs", e->inputs, "dropped", (json_int_t)sae_acts_get_info(acts).dropped);
    if (!about) SAE_RAISE(err, SAE_NOMEM, "no memory to describe the inputs");
    SAE_TRY(json_write_file(about, inputs_path, true, err));
done:
    json_decref(about);
    sae_acts_free(acts);
    sae_text_free(text);
    mem_free(described);
    return status;
}

static sae_status dropped_rows(experiment *e, const char *inputs_path, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *about = NULL;

    SAE_TRY(json_read_file(&about, inputs_path, err));
    SAE_TRY(json_get_int(about, "dropped", 0, &e->dropped_rows, inputs_path, err));
done:
    json_decref(about);
    return status;
}

static sae_status measure_rows(experiment *e, const char *store, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_acts *acts = NULL;
    sae_acts_options options = {.in_order = true, .max_norm = -1};

    SAE_TRY(sae_acts_open_store(&acts, &store, 1, &options, err));
    SAE_TRY(row_moments_of_acts(&e->rows, acts, e->progress, err));
done:
    sae_acts_free(acts);
    return status;
}

sae_status experiment_sample(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_text *text = NULL;
    sample_options want = {
        .tokens = e->options.held_out_tokens, .max_norm = e->options.max_norm, .with_bos = e->options.with_bos};
    char *path = NULL, *of = NULL;
    json_t *about = NULL;

    if (e->held_out.ids) return SAE_OK;
    path = experiment_path(e, "losses.jsonl", err);
    about = json_pack("{si sO}", "revision", LOSSES_REVISION, "inputs", e->inputs);
    if (!about) SAE_RAISE(err, SAE_NOMEM, "no memory to describe losses");
    of = json_to_text(about, JSON_SORT_KEYS, err);
    if (!path || !of) SAE_TRY(SAE_NOMEM);
    SAE_TRY(loss_log_open(&e->known, path, of, err));
    SAE_TRY(experiment_text(e, SAE_SPLIT_HELD_OUT, &text, err));
    SAE_TRY(sample_create(&e->held_out, e->model, text, e->site, &want, e->progress, err));
    lab_tell_short(&e->options.notice, &e->held_out, want.tokens);
    e->held_out.known = e->known;
done:
    sae_text_free(text);
    json_decref(about);
    mem_free(path);
    mem_free(of);
    return status;
}

sae_status rows_prepare(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    char *store = experiment_path(e, "acts", err), *inputs_path = experiment_path(e, "acts.json", err);

    if (!store || !inputs_path) {
        status = SAE_NOMEM;
        goto done;
    }
    e->store_reused = store_matches(e, store, inputs_path);
    if (!e->store_reused) SAE_TRY(store_create(e, store, inputs_path, err));
    SAE_TRY(dropped_rows(e, inputs_path, err));
    SAE_TRY(measure_rows(e, store, err));
    if (e->rows.n < 2 * e->options.batch)
        SAE_RAISE(err, SAE_RANGE,
                  "the training text gives %lld rows, two batches of %lld are needed: give more text, more "
                  "--tokens or a smaller --batch",
                  (long long)e->rows.n, (long long)e->options.batch);
done:
    mem_free(store);
    mem_free(inputs_path);
    return status;
}
