/*
 * sweep_measure.c - what each dictionary of a sweep comes to: exported, encoded as it was saved, on rows that follow the
 * trained ones in the stream. All dictionaries of all groups are measured on the same rows.
 */
#include "cli/sweep.h"
#include "eval/codes.h"
#include "eval/density.h"
#include "eval/fit.h"
#include "io/io.h"

#include <stdio.h>
#include <string.h>

enum { MOST_BYTES = 64 << 20 };

int64_t sweep_measure_rows(const sweep *s)
{
    int64_t most = MOST_BYTES / ((s->in.d_in + s->in.d_target) * (int64_t)sizeof(float));

    return most < SWEEP_MEASURE_CHUNK ? SWEEP_MEASURE_CHUNK : most < SWEEP_MEASURE_ROWS ? most : SWEEP_MEASURE_ROWS;
}

size_t sweep_measure_bytes(const sweep *s, const sae_dict_config *c)
{
    int64_t d = s->in.d_in, d_out = s->in.d_target > 0 ? s->in.d_target : d, both = d + s->in.d_target;
    int64_t weights = (d + d_out + 4) * c->d_sae + (d + d_out) * c->rank + (c->skip ? d * d_out : 0);
    int64_t chunk =
        SWEEP_MEASURE_CHUNK * (s->in.d_target > 0 ? both + d_out : d); /* a transcoder's rows are taken apart */
    int64_t rows = sweep_measure_rows(s) * both + chunk, pairs = SWEEP_MEASURE_CHUNK * (8 * c->k + c->rank);

    /* As it was trained and as it was read back, or, while it is saved in another form, that one too. */
    int copies = c->rank > 0 && s->how != SAE_SCAFFOLD_NATIVE ? 3 : 2;
    return (size_t)(copies * weights + rows + pairs) * sizeof(float);
}

/* ---- Rows ------------------------------------------------------------------------------------------------------------------ */

/* Those that follow what was trained on, with their targets behind each; of a given order, which has no more, its last ones. */
static sae_status read_rows(const sweep *s, int64_t n, float *rows, sae_error *err)
{
    const row_order *o = &s->in.order;
    int64_t d = s->in.d_in + s->in.d_target, got = 0, of_order = s->recipes->steps * s->recipes->batch;

    for (int64_t i = 0; o->pool && i < n; i++) {
        int64_t at = (of_order - n + i) % of_order;
        memcpy(rows + i * d, o->pool + o->index[at < 0 ? at + of_order : at] * d, (size_t)d * sizeof *rows);
    }
    if (o->pool) return SAE_OK;
    sae_status status = sae_acts_next(s->in.acts, n, rows, NULL, NULL, &got, err);
    if (status == SAE_OK && got < n)
        return SAE_FAIL(err, SAE_STATE, "the rows ended: %lld of %lld to measure on were left", (long long)got,
                        (long long)n);
    return status;
}

/* ---- One dictionary ---------------------------------------------------------------------------------------------------------- */

/* Takes rows [m, d_in + d_out] apart. */
static void split(const float *both, int64_t m, int64_t d_in, int64_t d_out, float *x, float *y)
{
    for (int64_t i = 0; i < m; i++) {
        memcpy(x + i * d_in, both + i * (d_in + d_out), (size_t)d_in * sizeof *x);
        memcpy(y + i * d_out, both + i * (d_in + d_out) + d_in, (size_t)d_out * sizeof *y);
    }
}

/* On rows [n, d_in + d_target]. A transcoder's fit is that of its output to the targets. */
static sae_status measure(const sae_dict *dict, const float *rows, int64_t n, density *p, fit *f, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_dict_config *config = sae_dict_get_config(dict);
    int64_t d = config->d_in, d_target = config->d_out, d_out = d_target > 0 ? d_target : d;
    codes c = {0};
    float *apart = NULL; /* [CHUNK, d], then [CHUNK, d_target] */
    float *recon = mem_alloc_array(SWEEP_MEASURE_CHUNK, (size_t)d_out * sizeof *recon, "reconstructed rows", err);

    if (d_target > 0)
        apart = mem_alloc_array(SWEEP_MEASURE_CHUNK, (size_t)(d + d_target) * sizeof *apart, "rows of a chunk", err);
    if (!recon || (d_target > 0 && !apart)) SAE_TRY(SAE_NOMEM);
    for (int64_t at = 0; at < n; at += SWEEP_MEASURE_CHUNK) {
        int64_t m = n - at < SWEEP_MEASURE_CHUNK ? n - at : SWEEP_MEASURE_CHUNK;
        const float *x = rows + at * (d + d_target), *y = x;
        if (d_target > 0) {
            split(x, m, d, d_target, apart, apart + m * d);
            x = apart;
            y = apart + m * d;
        }
        codes_free(&c);
        SAE_TRY(codes_encode(&c, dict, x, m, err));
        SAE_TRY(codes_decode(&c, dict, true, recon, err));
        density_add(p, &c);
        fit_add(f, y, recon, m);
    }
done:
    codes_free(&c);
    mem_free(recon);
    mem_free(apart);
    return status;
}

/* The last line of a group's log that speaks of the dictionary; NULL in *out: there is none. Caller json_decref's. */
static sae_status last_of_log(const char *folder, const char *name, json_t **out, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = path_join(folder, "log.jsonl", err), *text = NULL;
    json_t *last = NULL, *line = NULL;
    size_t bytes = 0;

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(file_read_all(path, (size_t)1 << 32, &text, &bytes, err));
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        SAE_TRY(json_parse(&line, at, (size_t)(end - at), path, err));
        const char *dict = json_string_value(json_object_get(line, "dict"));
        if (dict && strcmp(dict, name) == 0) {
            json_decref(last);
            last = json_incref(line);
        }
        json_decref(line);
        line = NULL;
    }
    if (last) json_object_del(last, "dict");
    *out = last;
    last = NULL;
done:
    json_decref(line);
    json_decref(last);
    mem_free(text);
    mem_free(path);
    return status;
}

static sae_status finish_one(sweep *s, const sae_trainer *t, const sweep_part *p, int i, const char *group_folder,
                             const float *rows, int64_t n, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *name = p->dicts.names[i];
    sae_dict *dict = NULL;
    density found = {0};
    fit f = {0};
    json_t *last = NULL, *result = NULL;
    char *folder = path_join(s->folder, name, err), *path = folder ? path_join(folder, "result.json", err) : NULL;

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(train_export(s->a, t, i, folder, s->how, err));
    SAE_TRY(sae_trainer_export(t, i, &dict, err));
    SAE_TRY(density_create(&found, p->dicts.configs[i].d_sae, err));
    SAE_TRY(fit_create(&f, s->in.d_target > 0 ? s->in.d_target : s->in.d_in, err));
    SAE_TRY(measure(dict, rows, n, &found, &f, err));
    SAE_TRY(last_of_log(group_folder, name, &last, err));
    result = train_dict_json(&p->dicts.configs[i], name);
    json_put(&result, "dictionary", sweep_dict_json(s, p->index[i]));
    json_t *numbers = json_pack("{sI so so so sI sI}", "rows", (json_int_t)n, "l0",
                                json_number_or_null((double)found.n_fired / (double)n), "fvu",
                                json_number_or_null(fit_fvu(&f)), "cosine", json_number_or_null(fit_cosine(&f)), "dead",
                                (json_int_t)density_dead(&found), "dense", (json_int_t)density_dense(&found, 0.1));
    if (!result || !numbers || json_object_set_new(result, "measured", numbers) ||
        json_object_set_new(result, "recipe", recipe_json(p->recipe)))
        SAE_RAISE(err, SAE_NOMEM, "no memory for the result of %s", name);
    if (last) json_put(&result, "last_step", json_incref(last));
    SAE_TRY(json_write_file(result, path, true, err));
    s->finished[p->index[i]] = true;
done:
    json_decref(result);
    json_decref(last);
    fit_free(&f);
    density_free(&found);
    sae_dict_free(dict);
    mem_free(path);
    mem_free(folder);
    return status;
}

sae_status sweep_finish_group(sweep *s, const sweep_part *p, int group, const sae_trainer *t, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = sweep_measure_rows(s);
    float *rows =
        mem_alloc_array((size_t)n, (size_t)(s->in.d_in + s->in.d_target) * sizeof *rows, "rows to measure on", err);
    char *folder = sweep_group_folder(s, group, err),
         *checkpoints = folder ? path_join(folder, "checkpoints", err) : NULL;

    if (!rows || !checkpoints) SAE_TRY(SAE_NOMEM);
    SAE_TRY(read_rows(s, n, rows, err));
    for (int i = 0; i < p->dicts.n; i++) {
        if (s->finished[p->index[i]]) continue;
        if (interrupted())
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request before %s was measured; %s holds all that was learned",
                      p->dicts.names[i], checkpoints);
        SAE_TRY(finish_one(s, t, p, i, folder, rows, n, err));
    }
    SAE_TRY(folder_remove(checkpoints, err)); /* nothing is left to go on with */
done:
    mem_free(checkpoints);
    mem_free(folder);
    mem_free(rows);
    return status;
}

sae_status sweep_set_aside(sweep *s, const sweep_part *p, int i, const char *why, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *name = p->dicts.names[i];
    char *folder = path_join(s->folder, name, err), *path = folder ? path_join(folder, "result.json", err) : NULL;
    json_t *result = train_dict_json(&p->dicts.configs[i], name);

    if (!path) SAE_TRY(SAE_NOMEM);
    json_put(&result, "dictionary", sweep_dict_json(s, p->index[i]));
    json_put(&result, "recipe", recipe_json(p->recipe));
    json_put(&result, "diverged", json_string(why));
    if (!result) SAE_RAISE(err, SAE_NOMEM, "no memory for the result of %s", name);
    SAE_TRY(folder_make(folder, err));
    SAE_TRY(json_write_file(result, path, true, err));
    s->finished[p->index[i]] = s->diverged[p->index[i]] = true;
    s->group[p->index[i]] = 0;
    warn("%s is set aside: %s%s", name, why, p->dicts.n > 1 ? "; the others of its group go on" : "");
done:
    json_decref(result);
    mem_free(path);
    mem_free(folder);
    return status;
}
