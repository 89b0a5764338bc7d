/*
 * checkpoint.c - the whole state of a trainer in DIR/checkpoints/STEP, so that a run stopped and resumed gives the same
 * bytes as one never stopped.
 *
 * A folder appears as a whole (io's folder_writer): a safetensors file per dictionary, and state.json with their checksums and
 * its own. Resuming takes the newest whose checksums verify. What is read is hostile even so: sizes and ranges are checked.
 */
#include "sae/recipe_fields.h"
#include "sae/scaffold_fields.h"
#include "sae/train.h"

#include "base/threads.h"
#include "io/io.h"
#include "kernels/matmul.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { FORMAT = 2, TENSORS = 3 * N_PARAMS + 1, NAME_ROOM = 40 };
static const int64_t most = INT64_C(1) << 62; /* counters above it could overflow */

static void file_name(char out[NAME_ROOM], int i) { snprintf(out, NAME_ROOM, "dict_%d.safetensors", i); }

/* Weights and moments of each parameter that there is, and since_fired, as tensors; names live in the caller's buffer. */
static int list_tensors(const learner *l, tensor out[TENSORS], char names[TENSORS][32])
{
    static const char *const parts[3] = {"", "m.", "v."};
    int n = 0;

    for (int i = 0; i < N_PARAMS; i++) {
        const param *p = &l->p[i];
        const float *data[3] = {p->w, p->m, p->v};
        for (int k = 0; k < 3 && p->rows > 0; k++, n++) {
            snprintf(names[n], sizeof names[n], "%s%s", parts[k], p->name);
            out[n] = (tensor){.name = names[n],
                              .type = DTYPE_F32,
                              .rank = 2,
                              .shape = {p->rows, p->columns},
                              .data = data[k],
                              .bytes = (size_t)(p->rows * p->columns) * sizeof(float)};
        }
    }
    snprintf(names[n], sizeof names[n], "since_fired");
    out[n] = (tensor){.name = names[n],
                      .type = DTYPE_I64,
                      .rank = 1,
                      .shape = {l->config.d_sae},
                      .data = l->since_fired,
                      .bytes = (size_t)l->config.d_sae * sizeof(int64_t)};
    return n + 1;
}

/* What must be equal for a checkpoint to be continued, of the dictionary ... */
static json_t *describe(const learner *l)
{
    const sae_dict_config *c = &l->config;
    json_t *groups = json_array();

    for (int g = 0; g < c->n_groups; g++) json_add(&groups, json_integer(c->groups[g]));
    json_t *json =
        json_pack("{si si sI sI sI sI so sb sI sb sf sI sb sI sb}", "arch", (int)c->arch, "variant", (int)c->variant,
                  "d_in", (json_int_t)c->d_in, "d_sae", (json_int_t)c->d_sae, "k", (json_int_t)c->k, "rank",
                  (json_int_t)c->rank, "groups", groups, "scaffold_last", (int)c->scaffold_last, "d_out",
                  (json_int_t)c->d_out, "skip", (int)c->skip, "l1_coefficient", c->l1_coefficient, "seed",
                  (json_int_t)(c->seed & INT64_MAX), "scaffold_pca", (int)(c->scaffold_start == SAE_START_PCA),
                  "scaffold_steps", (json_int_t)c->scaffold_steps, "scaffold_frozen", (int)c->scaffold_frozen);

    if (c->scaffold_start == SAE_START_RANDOM)
        json_put(&json, "scaffold_start", json_string(scaffold_start_names[c->scaffold_start]));
    scaffold_fields_put(&json, c);
    return json;
}

/* ... and of the options: every field of the recipe. */
static json_t *describe_options(const sae_train_options *o)
{
    json_t *json =
        json_pack("{sI sI sf sb si sb}", "batch", (json_int_t)o->batch, "steps", (json_int_t)o->steps, "input_scale",
                  o->input_scale, "unit_scale", (int)o->unit_scale, "encoder_dtype", (int)o->encoder_dtype,
                  "exact_codes", (int)(o->exact_codes || o->screen)); /* a screen gives the same bytes */
    recipe_fields_put(&json, o);
    return json;
}

/* What the bytes of a run may depend on besides its options and its rows. */
static json_t *describe_machine(void)
{
    return json_pack("{si ss ss}", "threads", omp_get_max_threads(), "isa", cpu_isa_name(cpu_isa_get()), "products",
                     matmul_library());
}

/* XXH3 of the state without its own checksum, in jansson's compact form with sorted keys. */
static sae_status state_hash(const json_t *state, char out[17], sae_error *err)
{
    json_t *copy = json_whole_copy(state);
    char *text = NULL;

    if (copy) {
        json_object_del(copy, "checksum");
        text = json_to_text(copy, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17), NULL);
    }
    json_decref(copy);
    if (!text) return SAE_FAIL(err, SAE_NOMEM, "no memory for a checkpoint's state");
    snprintf(out, 17, "%016" PRIx64, (uint64_t)XXH3_64bits(text, strlen(text)));
    mem_free(text);
    return SAE_OK;
}

/* ---- Saving --------------------------------------------------------------------------------------------------------------- */

static sae_status write_learner(const sae_trainer *t, int i, const char *folder, json_t *dicts, sae_error *err)
{
    sae_status status = SAE_OK;
    const learner *l = &t->learners[i];
    tensor tensors[TENSORS];
    char names[TENSORS][32], file[NAME_ROOM], hash_text[17];
    char *path = NULL;
    uint64_t hash;
    int n = list_tensors(l, tensors, names);

    file_name(file, i);
    path = path_join(folder, file, err);
    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(safetensors_write(path, tensors, n, NULL, true, &hash, err));
    snprintf(hash_text, sizeof hash_text, "%016" PRIx64, hash);
    json_t *entry =
        json_pack("{sssssosfsfsfsfsfsIsIsfsIsfsI}", "file", file, "hash", hash_text, "config", describe(l), "threshold",
                  l->threshold, "input_scale", l->input_scale, "target_scale", l->target_scale, "cutoff",
                  (double)l->cutoff, "aux_cutoff", (double)l->aux_cutoff, "died", (json_int_t)l->died, "revived",
                  (json_int_t)l->revived, "coefficient", l->coefficient, "last_pairs", (json_int_t)l->last_pairs,
                  "first_variance", l->first_variance, "weights_read", (json_int_t)l->weights_read);
    if (!entry || json_array_append_new(dicts, entry)) SAE_RAISE(err, SAE_NOMEM, "no memory for a checkpoint's state");
done:
    mem_free(path);
    return status;
}

static sae_status write_state(const sae_trainer *t, const char *folder, int64_t rows_given, json_t *dicts,
                              sae_error *err)
{
    sae_status status = SAE_OK;
    char hash[17];
    char *path = path_join(folder, "state.json", err);
    json_t *state =
        json_pack("{sisIsIsososO}", "format", FORMAT, "step", (json_int_t)t->step, "rows_given", (json_int_t)rows_given,
                  "options", describe_options(&t->options), "machine", describe_machine(), "dicts", dicts);

    if (!path || !state) SAE_RAISE(err, SAE_NOMEM, "no memory for a checkpoint's state");
    if (t->place && json_object_set(state, "place", t->place))
        SAE_RAISE(err, SAE_NOMEM, "no memory for a checkpoint's state");
    SAE_TRY(state_hash(state, hash, err));
    if (json_object_set_new(state, "checksum", json_string(hash)))
        SAE_RAISE(err, SAE_NOMEM, "no memory for a checkpoint's state");
    SAE_TRY(json_write_file(state, path, true, err));
done:
    json_decref(state);
    mem_free(path);
    return status;
}

bool checkpoint_is_file(const char *name)
{
    return strcmp(name, "state.json") == 0 || strncmp(name, "dict_", 5) == 0 || is_leftover(name, "state.json");
}

sae_status sae_trainer_save(const sae_trainer *t, const char *run_dir, int64_t rows_given, sae_error *err)
{
    sae_status status = SAE_OK;
    folder_writer w = {0};
    char name[48];
    char *path = NULL;
    json_t *dicts = json_array();

    SAE_TRY(trainer_goes_on(t, err));
    snprintf(name, sizeof name, "checkpoints/%012lld", (long long)t->step);
    path = path_join(run_dir, name, err);
    if (!path || !dicts) SAE_RAISE(err, SAE_NOMEM, "no memory for a checkpoint's names");
    SAE_TRY(folder_writer_open(&w, path, true, checkpoint_is_file, err));
    for (int i = 0; i < t->n_dicts; i++) SAE_TRY(write_learner(t, i, w.temporary, dicts, err));
    SAE_TRY(write_state(t, w.temporary, rows_given, dicts, err));
    SAE_TRY(folder_writer_commit(&w, err));
done:
    folder_writer_abort(&w);
    json_decref(dicts);
    mem_free(path);
    return status;
}

/* ---- Resuming ------------------------------------------------------------------------------------------------------------- */

/* Another version's checkpoint is not damaged: it is not passed over for an older one. */
static sae_status check_format(const json_t *state, const char *path, sae_error *err)
{
    int64_t format = 0;
    sae_status status = json_get_int(state, "format", 0, &format, path, err);

    if (status != SAE_OK || format == FORMAT) return status;
    if (format < 1) return SAE_FAIL(err, SAE_FORMAT, "%s: says no \"format\"", path);
    return SAE_FAIL(err, SAE_UNSUPPORTED,
                    "%s: checkpoint format %lld, this program reads %d: resume with the version of sae that wrote it",
                    path, (long long)format, FORMAT);
}

static sae_status check_hash(const json_t *entry, const char *path, const char *state_path, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *expected = NULL;
    char hash[17];
    uint64_t found;

    SAE_TRY(json_get_string(entry, "hash", "", &expected, state_path, err));
    SAE_TRY(file_hash(path, &found, err));
    snprintf(hash, sizeof hash, "%016" PRIx64, found);
    if (strcmp(hash, expected) != 0) SAE_RAISE(err, SAE_FORMAT, "%s: its checksum does not verify", path);
done:
    return status;
}

/* A file that is gone is damage, like one that does not verify; one that cannot be read may be whole. */
static sae_status check_there(const char *path, sae_error *err)
{
    return file_exists(path) ? SAE_OK : SAE_FAIL(err, SAE_FORMAT, "%s: is missing", path);
}

/* The state of one checkpoint folder with every checksum verified; NULL in *out when it does not verify (err says why). */
static sae_status read_state(const char *folder, json_t **out, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = path_join(folder, "state.json", err), *file = NULL;
    char hash[17], name[NAME_ROOM];
    json_t *state = NULL, *entry;
    const char *expected = NULL;
    size_t i;

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(check_there(path, err));
    SAE_TRY(json_read_file(&state, path, err));
    SAE_TRY(check_format(state, path, err));
    SAE_TRY(state_hash(state, hash, err));
    SAE_TRY(json_get_string(state, "checksum", "", &expected, path, err));
    if (strcmp(hash, expected) != 0) SAE_RAISE(err, SAE_FORMAT, "%s: its checksum does not verify", path);
    json_array_foreach(json_object_get(state, "dicts"), i, entry)
    {
        file_name(name, (int)i); /* not as the file says: that could point anywhere */
        mem_free(file);
        file = path_join(folder, name, err);
        if (!file) SAE_TRY(SAE_NOMEM);
        SAE_TRY(check_there(file, err));
        SAE_TRY(check_hash(entry, file, path, err));
    }
    *out = state;
    state = NULL;
done:
    json_decref(state);
    mem_free(file);
    mem_free(path);
    return status;
}

static sae_status load_tensors(learner *l, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    safetensors *st = NULL;
    tensor tensors[TENSORS];
    char names[TENSORS][32];
    int n = list_tensors(l, tensors, names);

    SAE_TRY(safetensors_open(&st, path, err));
    for (int i = 0; i < n; i++) {
        const tensor *found = safetensors_find(st, names[i]);
        if (!found || found->type != tensors[i].type || found->rank != tensors[i].rank ||
            memcmp(found->shape, tensors[i].shape, (size_t)found->rank * sizeof *found->shape) != 0)
            SAE_RAISE(err, SAE_SHAPE, "%s: tensor %s is missing or has another shape", path, names[i]);
        if (found->bytes > 0)
            memcpy((void *)(uintptr_t)tensors[i].data, found->data, found->bytes); /* into the learner's own memory */
    }
    for (int64_t j = 0; j < l->config.d_sae; j++)
        if (l->since_fired[j] < 0 || l->since_fired[j] > most)
            SAE_RAISE(err, SAE_FORMAT, "%s: since_fired of latent %lld is %lld", path, (long long)j,
                      (long long)l->since_fired[j]);
done:
    safetensors_close(st);
    return status;
}

/* Dictionary i of the trainer from entry `from` of the checkpoint. */
static sae_status load_learner(sae_trainer *t, int i, int from, const char *folder, const json_t *entry, sae_error *err)
{
    sae_status status = SAE_OK;
    learner *l = &t->learners[i];
    char file[NAME_ROOM];
    char *path = NULL;
    double cutoff, aux_cutoff;
    int64_t weights_read;
    json_t *ours = describe(l);
    const char *difference = ours ? json_any_difference(ours, json_object_get(entry, "config")) : NULL;

    if (!ours) SAE_RAISE(err, SAE_NOMEM, "no memory to describe a dictionary");
    if (difference)
        SAE_RAISE(err, SAE_STATE,
                  "%s: was trained with another \"%s\"%s: resume with the options it was started with (they are in "
                  "run.json, those of a sweep in group.json)",
                  folder, difference, recipe_difference_hint(difference));
    file_name(file, from);
    path = path_join(folder, file, err);
    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(load_tensors(l, path, err));
    SAE_TRY(json_get_double(entry, "threshold", -1.0, &l->threshold, folder, err));
    SAE_TRY(json_get_double(entry, "input_scale", 0.0, &l->input_scale, folder, err));
    SAE_TRY(json_get_double(entry, "target_scale", 0.0, &l->target_scale, folder, err));
    SAE_TRY(json_get_double(entry, "first_variance", 0.0, &l->first_variance, folder, err));
    SAE_TRY(json_get_double(entry, "cutoff", -1.0, &cutoff, folder, err));
    SAE_TRY(json_get_double(entry, "aux_cutoff", 0.0, &aux_cutoff, folder, err));
    SAE_TRY(json_get_int(entry, "died", 0, &l->died, folder, err));
    SAE_TRY(json_get_int(entry, "revived", 0, &l->revived, folder, err));
    SAE_TRY(json_get_double(entry, "coefficient", 0.0, &l->coefficient, folder, err));
    SAE_TRY(json_get_int(entry, "last_pairs", -1, &l->last_pairs, folder, err));
    SAE_TRY(json_get_int(entry, "weights_read", 0, &weights_read, folder, err));
    if (l->threshold < -1.0 || l->input_scale < 0.0 || l->target_scale < 0.0 || fabs(cutoff) > (double)FLT_MAX ||
        fabs(aux_cutoff) > (double)FLT_MAX)
        SAE_RAISE(err, SAE_FORMAT, "%s: threshold %g, input scale %g, target scale %g, cutoff %g cannot be", folder,
                  l->threshold, l->input_scale, l->target_scale, cutoff);
    if (l->died < 0 || l->died > most || l->revived < 0 || l->revived > most)
        SAE_RAISE(err, SAE_FORMAT, "%s: %lld latents died, %lld revived: that cannot be", folder, (long long)l->died,
                  (long long)l->revived);
    if (!(l->coefficient >= 0.0) || isinf(l->coefficient))
        SAE_RAISE(err, SAE_FORMAT, "%s: coefficient %g cannot be", folder, l->coefficient);
    if (weights_read < 0 || weights_read >= 1 << N_PARAMS)
        SAE_RAISE(err, SAE_FORMAT, "%s: weights_read %lld cannot be", folder, (long long)weights_read);
    l->weights_read = (uint32_t)weights_read;
    l->cutoff = (float)cutoff;
    l->aux_cutoff = (float)aux_cutoff;
done:
    if (status != SAE_OK) dict_name_error(&l->config, i, t->n_dicts, err);
    json_decref(ours);
    mem_free(path);
    return status;
}

/* The first entry from `from` on that is of dictionary i; n: none is. */
static int find_entry(const sae_trainer *t, int i, const json_t *dicts, int from)
{
    json_t *ours = describe(&t->learners[i]);
    int n = (int)json_array_size(dicts);

    while (ours && from < n &&
           json_any_difference(ours, json_object_get(json_array_get(dicts, (size_t)from), "config")))
        from++;
    json_decref(ours);
    return from;
}

/* With `fewer` those that the trainer does not hold are passed over; all stand in the trainer's order. */
static sae_status load_learners(sae_trainer *t, const char *folder, const json_t *dicts, bool fewer, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t n = json_array_size(dicts);

    if (fewer && n < (size_t)t->n_dicts)
        SAE_RAISE(err, SAE_STATE,
                  "%s: holds %zu dictionar%s, this run has %d: one that diverged was set aside before it was written; "
                  "put its result.json back, or remove the folder that checkpoints is in, so that all begin anew",
                  folder, n, n == 1 ? "y" : "ies", t->n_dicts);
    if (!fewer && n != (size_t)t->n_dicts)
        SAE_RAISE(err, SAE_STATE,
                  "%s: holds %zu dictionar%s, this run has %d: resume with the options it was started with", folder, n,
                  n == 1 ? "y" : "ies", t->n_dicts);
    for (int i = 0, from = 0; i < t->n_dicts; i++, from++) {
        if (n > (size_t)t->n_dicts) from = find_entry(t, i, dicts, from);
        if (from == (int)n)
            SAE_RAISE(err, SAE_STATE, "%s: does not hold dictionary %d of this run: give another --out", folder, i);
        SAE_TRY(load_learner(t, i, from, folder, json_array_get(dicts, (size_t)from), err));
    }
done:
    return status;
}

static sae_status load_state(sae_trainer *t, const char *folder, const json_t *state, bool fewer, int64_t *rows_given,
                             sae_error *err)
{
    sae_status status = SAE_OK;
    const json_t *dicts = json_object_get(state, "dicts");
    int64_t step, rows;
    json_t *ours = describe_options(&t->options);

    if (!ours) SAE_RAISE(err, SAE_NOMEM, "no memory to describe the options");
    const char *difference = recipe_difference(ours, json_object_get(state, "options"));
    if (difference)
        SAE_RAISE(
            err, SAE_STATE,
            "%s: the run was begun with another \"%s\"%s: resume with the options it was started with (they are in "
            "run.json, those of a sweep in group.json)",
            folder, difference, recipe_difference_hint(difference));
    SAE_TRY(load_learners(t, folder, dicts, fewer, err));
    SAE_TRY(json_get_int(state, "step", 0, &step, folder, err));
    SAE_TRY(json_get_int(state, "rows_given", 0, &rows, folder, err));
    if (step < 0 || step > t->options.steps || rows < 0 || rows > most)
        SAE_RAISE(err, SAE_FORMAT, "%s: step %lld and row %lld do not lie in a run of %lld steps", folder,
                  (long long)step, (long long)rows, (long long)t->options.steps);
    t->step = step;
    *rows_given = rows;
    json_decref(t->place);
    t->place = json_incref(json_object_get(state, "place"));
done:
    json_decref(ours);
    return status;
}

static bool is_checkpoint_name(const char *name)
{
    return strspn(name, "0123456789") == strlen(name) && strlen(name) == 12;
}

static bool is_left_of_one(const char *name)
{
    char step[16];

    snprintf(step, sizeof step, "%.12s", name);
    return is_checkpoint_name(step) && is_leftover(name, step);
}

bool checkpoint_is_name(const char *name) { return is_checkpoint_name(name) || is_left_of_one(name); }

/* Adds a sentence to what sae_trainer_notice tells. */
__attribute__((format(printf, 2, 3))) static void note(sae_trainer *t, const char *format, ...)
{
    size_t used = strlen(t->notice);
    va_list args;

    if (used + 3 > sizeof t->notice) return;
    if (used) used += (size_t)snprintf(t->notice + used, sizeof t->notice - used, "; ");
    va_start(args, format);
    vsnprintf(t->notice + used, sizeof t->notice - used, format, args);
    va_end(args);
}

/* The newest checkpoint that verifies, in *state and *folder (both NULL when there is none at all). Only a damaged one is passed over for an
 * older one: the next save would remove what was merely out of reach. */
static sae_status find_newest(sae_trainer *t, const char *parent, json_t **state, char **folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *path = NULL;
    sae_error why = {0};
    int n = 0;

    SAE_TRY(folder_list(parent, &names, &n, err));
    for (int i = n - 1; i >= 0 && !*state; i--) { /* sorted names of equal length: newest last */
        if (!is_checkpoint_name(names[i])) continue;
        mem_free(path);
        path = path_join(parent, names[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        why = (sae_error){0};
        status = read_state(path, state, &why);
        if (status != SAE_OK && status != SAE_FORMAT) SAE_RAISE(err, status, "%s", why.message);
        if (status != SAE_OK) note(t, "checkpoint %s is damaged and passed over (%.200s)", names[i], why.message);
        status = SAE_OK;
    }
    if (!*state && why.code)
        SAE_RAISE(err, SAE_FORMAT,
                  "%s: no checkpoint verifies: %.600s. Without this folder the same command begins at the first step",
                  parent, why.message);
    if (*state) {
        *folder = path;
        path = NULL;
    }
done:
    folder_list_free(names, n);
    mem_free(path);
    return status;
}

static void note_machine(sae_trainer *t, const json_t *state)
{
    json_t *ours = describe_machine();
    const char *key = json_first_difference(ours, json_object_get(state, "machine"));

    if (key)
        note(t,
             "the run was begun with other %s than now: it goes on, but may not end with the same bytes as if it had "
             "not been stopped",
             strcmp(key, "isa") == 0 ? "instructions (SAE_ISA)" : key);
    json_decref(ours);
}

sae_status trainer_resume(sae_trainer *t, const char *run_dir, bool fewer, int64_t *rows_given, sae_error *err)
{
    sae_status status = SAE_OK;
    char *parent = path_join(run_dir, "checkpoints", err), *folder = NULL;
    json_t *state = NULL;

    t->notice[0] = '\0';
    *rows_given = 0;
    if (t->finished) SAE_RAISE(err, SAE_STATE, "this trainer is finished: it can only be exported");
    if (!parent) SAE_TRY(SAE_NOMEM);
    if (file_exists(parent)) SAE_TRY(find_newest(t, parent, &state, &folder, err));
    if (state) {
        t->broken = true;
        SAE_TRY(load_state(t, folder, state, fewer, rows_given, err));
        t->broken = false;
        note_machine(t, state);
    } else
        note(t, "%s holds no checkpoint yet: the run begins at its first step", run_dir);
done:
    json_decref(state);
    mem_free(folder);
    mem_free(parent);
    return status;
}

sae_status sae_trainer_resume(sae_trainer *t, const char *run_dir, int64_t *rows_given, sae_error *err)
{
    return trainer_resume(t, run_dir, false, rows_given, err);
}

const char *sae_trainer_notice(const sae_trainer *t) { return t->notice; }

/* ---- Removing old ones ----------------------------------------------------------------------------------------------------- */

/* What a killed run left of the checkpoint that it was writing: STEP.tmp.PID. */
static sae_status remove_leftover(const char *parent, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    char step[16];
    char *path = NULL;

    if (!is_left_of_one(name)) return SAE_OK;
    snprintf(step, sizeof step, "%.12s", name);
    path = path_join(parent, step, err);
    if (!path) return SAE_NOMEM;
    status = leftovers_remove(path, err);
    mem_free(path);
    return status;
}

sae_status sae_checkpoints_prune(const char *run_dir, int64_t step, int64_t keep, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *parent = path_join(run_dir, "checkpoints", err), *folder = NULL;
    int64_t n_found = 0;
    int n = 0;

    if (!parent) SAE_TRY(SAE_NOMEM);
    SAE_TRY(folder_list(parent, &names, &n, err));
    for (int i = n - 1; i >= 0; i--) {
        SAE_TRY(remove_leftover(parent, names[i], err));
        if (!is_checkpoint_name(names[i])) continue;
        if (strtoll(names[i], NULL, 10) <= step && n_found++ < (keep > 0 ? keep : 1)) continue;
        mem_free(folder);
        folder = path_join(parent, names[i], err);
        if (!folder) SAE_TRY(SAE_NOMEM);
        SAE_TRY(folder_discard(folder, err));
    }
done:
    folder_list_free(names, n);
    mem_free(folder);
    mem_free(parent);
    return status;
}
