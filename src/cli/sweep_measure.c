/*
 * sweep_measure.c - what each dictionary of a sweep comes to: exported, read back and measured as it was saved (--scaffold drop
 * leaves the scaffold away, latents makes latents of it), on rows that follow the trained ones in the stream, and, where that has
 * ended and begun again, may be among these: sweep_report.c says so. All dictionaries of all
 * groups are measured on the same rows.
 */
#include "acts/acts.h"
#include "cli/sweep.h"
#include "eval/codes.h"
#include "eval/density.h"
#include "eval/fit.h"
#include "io/io.h"
#include "sae/train.h"

#include <stdio.h>
#include <string.h>

enum { MOST_BYTES = 64 << 20, MOST_CODE_BYTES = 32 << 20 };

int64_t sweep_measure_rows(const sweep *s)
{
    int64_t most = MOST_BYTES / ((s->in.d_in + s->in.d_target) * (int64_t)sizeof(float));

    return most < SWEEP_MEASURE_CHUNK ? SWEEP_MEASURE_CHUNK : most < SWEEP_MEASURE_ROWS ? most : SWEEP_MEASURE_ROWS;
}

/* Floats that the codes of a row take at most, also while their lists grow (12 bytes each then). What keeps k latents keeps about as
 * many by its threshold; of a penalised family all latents may be active. */
static int64_t code_floats(const sae_dict_config *c)
{
    return (keeps_k(c->arch) ? 8 * c->k : 3 * c->d_sae) + 6 * c->rank; /* of a scaffold h, or 2r latents */
}

/* Rows that are encoded at once: as many as have room for their codes. */
static int64_t chunk_rows(const sae_dict_config *c)
{
    int64_t most = MOST_CODE_BYTES / (code_floats(c) * (int64_t)sizeof(float));

    return most < 1 ? 1 : most < SWEEP_MEASURE_CHUNK ? most : SWEEP_MEASURE_CHUNK;
}

size_t sweep_measure_bytes(const sweep *s, const sae_dict_config *c)
{
    int64_t d = s->in.d_in, d_out = s->in.d_target > 0 ? s->in.d_target : d, both = d + s->in.d_target;
    int64_t weights = (d + d_out + 4) * c->d_sae + (d + d_out) * c->rank + (c->skip ? d * d_out : 0);
    int64_t m = chunk_rows(c),
            chunk = m * (s->in.d_target > 0 ? both + d_out : d); /* a transcoder's rows are taken apart */
    int64_t rows = sweep_measure_rows(s) * both + chunk;

    /* As it was trained and as it was read back, or, while it is saved in another form, that one too; then as it was saved. */
    int copies = c->rank > 0 && s->how != SAE_SCAFFOLD_NATIVE ? 3 : 2;
    return (size_t)(copies * weights + rows + m * code_floats(c)) * sizeof(float);
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
    if (status == SAE_STATE) /* a text from a pipe has ended */
        sae_error_prefix(err, "all %lld steps are trained, and %lld rows more are wanted to measure on",
                         (long long)s->recipes->steps, (long long)n);
    if (status == SAE_OK && got < n)
        return SAE_FAIL(err, SAE_STATE, "the rows ended: %lld of %lld to measure on were left", (long long)got,
                        (long long)n);
    return status;
}

/* Of a text that came through a pipe when the sweep was begun the checksum of all that was read to train and measure the group, "" of any
 * other (sweep.json has that of the whole file). STATE when the finished dictionaries are of another text. */
static sae_status check_text(const sweep *s, const char *folder, char out[32], sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *place = NULL;

    *out = '\0';
    if (s->in.of_pipe == 0) goto done;
    place = acts_mark(s->in.acts);
    const char *text = json_string_value(json_object_get(place, "text_xxh3"));
    if (!text) SAE_RAISE(err, SAE_NOMEM, "no memory for the place in the rows");
    snprintf(out, 32, "%s", text);
    if (*s->text && strcmp(s->text, out) != 0)
        SAE_RAISE(err, SAE_STATE,
                  "%s: the finished dictionaries of this sweep were trained and measured on another text (checksum %s) "
                  "than this one (%s): one table has dictionaries of the same rows. Remove that folder "
                  "and give the text that the sweep was begun with, or give another --out",
                  folder, s->text, out);
done:
    json_decref(place);
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

/* On rows [n, d_in + d_target], `chunk` of them at once. A transcoder's fit is that of its output to the targets. */
static sae_status measure(const sae_dict *dict, const float *rows, int64_t n, int64_t chunk, density *p, fit *f,
                          sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_dict_config *config = sae_dict_get_config(dict);
    int64_t d = config->d_in, d_target = config->d_out, d_out = d_target > 0 ? d_target : d;
    codes c = {0};
    float *apart = NULL; /* [chunk, d], then [chunk, d_target] */
    float *recon = mem_alloc_array((size_t)chunk, (size_t)d_out * sizeof *recon, "reconstructed rows", err);

    if (d_target > 0)
        apart = mem_alloc_array((size_t)chunk, (size_t)(d + d_target) * sizeof *apart, "rows of a chunk", err);
    if (!recon || (d_target > 0 && !apart)) SAE_TRY(SAE_NOMEM);
    for (int64_t at = 0; at < n; at += chunk) {
        int64_t m = n - at < chunk ? n - at : chunk;
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

/* The last line of a group's log that speaks of each member: an object by their names, those without a line left out. From the end, as
 * far as needed: all lines of each member once more would be a sweep's largest part. Caller json_decref's. */
static sae_status last_of_log(const char *folder, const sweep_part *p, json_t **out, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = path_join(folder, "log.jsonl", err);
    json_t *all = json_object(), *line = NULL;
    file_map log = {0};

    if (!path) SAE_TRY(SAE_NOMEM);
    if (!all) SAE_RAISE(err, SAE_NOMEM, "no memory for the end of %s", path);
    SAE_TRY(file_map_open(&log, path, err));
    const char *text = (const char *)log.data, *end = memrchr(text, '\n', log.bytes);
    while (end && (int)json_object_size(all) < p->dicts.n) {
        const char *before = memrchr(text, '\n', (size_t)(end - text)), *begin = before ? before + 1 : text;
        SAE_TRY(json_parse(&line, begin, (size_t)(end - begin), path, err));
        const char *dict = json_string_value(json_object_get(line, "dict"));
        if (dict && !json_object_get(all, dict)) json_put(&all, dict, json_incref(line));
        if (!all) SAE_RAISE(err, SAE_NOMEM, "no memory for the end of %s", path);
        json_decref(line);
        line = NULL;
        end = before;
    }
    *out = all;
    all = NULL;
done:
    file_map_close(&log);
    json_decref(line);
    json_decref(all);
    mem_free(path);
    return status;
}

/* Exports member i to FOLDER/sae, and measures what lies there then. */
static sae_status measure_saved(const sweep *s, const sae_trainer *t, const sweep_part *p, int i, const char *folder,
                                const float *rows, int64_t n, json_t **out, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = path_join(folder, "sae", err);
    sae_dict *dict = NULL;
    density found = {0};
    fit f = {0};

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(train_export(s->a, t, i, folder, s->how, err));
    SAE_TRY(sae_dict_load(&dict, path, err));
    SAE_TRY(density_create(&found, sae_dict_get_config(dict)->d_sae, err));
    SAE_TRY(fit_create(&f, s->in.d_target > 0 ? s->in.d_target : s->in.d_in, err));
    SAE_TRY(measure(dict, rows, n, chunk_rows(&p->dicts.configs[i]), &found, &f, err));
    *out = json_pack("{sI so so so sI sI}", "rows", (json_int_t)n, "l0",
                     json_number_or_null((double)found.n_fired / (double)n), "fvu", json_number_or_null(fit_fvu(&f)),
                     "cosine", json_number_or_null(fit_cosine(&f)), "dead", (json_int_t)density_dead(&found), "dense",
                     (json_int_t)density_dense(&found, 0.1));
    if (s->in.text) json_put(out, "text_passes", json_real(sae_text_passes(s->in.text)));
    if (!*out) SAE_RAISE(err, SAE_NOMEM, "no memory for the result of %s", p->dicts.names[i]);
done:
    fit_free(&f);
    density_free(&found);
    sae_dict_free(dict);
    mem_free(path);
    return status;
}

/* last: the line of the log that speaks of it; NULL: there is none. text: of check_text. */
static sae_status finish_one(sweep *s, const sae_trainer *t, const sweep_part *p, int i, json_t *last, const char *text,
                             const float *rows, int64_t n, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *name = p->dicts.names[i];
    json_t *result = NULL, *numbers = NULL;
    char *folder = path_join(s->folder, name, err), *path = folder ? path_join(folder, "result.json", err) : NULL;
    char weights[HASH_TEXT];

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(measure_saved(s, t, p, i, folder, rows, n, &numbers, err));
    SAE_TRY(sweep_weights_hash(folder, NULL, weights, err));
    result = train_dict_json(&p->dicts.configs[i], name);
    json_put(&result, "dictionary", sweep_dict_json(s, p->index[i]));
    json_put(&result, "measured", json_incref(numbers));
    json_put(&result, "weights_xxh3", json_string(weights));
    json_put(&result, "recipe", recipe_json(p->recipe));
    if (*text) json_put(&result, "text_xxh3", json_string(text));
    if (last) json_object_del(last, "dict");
    if (last) json_put(&result, "last_step", json_incref(last));
    if (!result) SAE_RAISE(err, SAE_NOMEM, "no memory for the result of %s", name);
    SAE_TRY(json_write_file(result, path, true, err));
    s->finished[p->index[i]] = true;
done:
    json_decref(result);
    json_decref(numbers);
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
    json_t *lines = NULL;
    char text[32];

    if (!rows || !checkpoints) SAE_TRY(SAE_NOMEM);
    SAE_TRY(read_rows(s, n, rows, err));
    SAE_TRY(check_text(s, folder, text, err));
    SAE_TRY(last_of_log(folder, p, &lines, err));
    for (int i = 0; i < p->dicts.n; i++) {
        if (s->finished[p->index[i]]) continue;
        if (interrupted())
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request before %s was measured; %s holds all that was learned",
                      p->dicts.names[i], checkpoints);
        SAE_TRY(finish_one(s, t, p, i, json_object_get(lines, p->dicts.names[i]), text, rows, n, err));
    }
    SAE_TRY(train_folder_forget_checkpoints(folder, err)); /* nothing is left to go on with */
done:
    json_decref(lines);
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
    if (s->in.of_pipe > 0) json_put(&result, "text_place", acts_mark(s->in.acts));
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
