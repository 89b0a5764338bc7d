/*
 * roster.c - the dictionaries of a run: which there are, how they are called, where they stand.
 */
#include "eval/training.h"
#include "lab/scaffold.h"
#include "sae/scaffold_fields.h"
#include "sae/train.h"

#include <stdio.h>
#include <string.h>

const char *arch_name(sae_arch arch) { return arch == SAE_MATRYOSHKA ? "matryoshka" : "batchtopk"; }

static roster_entry *add(experiment *e, roster_use use, sae_arch arch, uint64_t seed)
{
    const scaffold_options *o = &e->options;
    roster_entry *r = &e->roster.entries[e->roster.n++];

    *r = (roster_entry){.use = use};
    r->config = (sae_dict_config){.arch = arch,
                                  .variant = SAE_P1,
                                  .d_in = e->d,
                                  .d_sae = o->width,
                                  .k = o->k,
                                  .apply_b_dec_to_input = true,
                                  .seed = seed};
    if (arch == SAE_MATRYOSHKA) matryoshka_default_groups(&r->config);
    snprintf(r->config.site, sizeof r->config.site, "%s", e->site_name);
    snprintf(r->config.model, sizeof r->config.model, "%s", o->model_name);
    return r;
}

static void add_scaffold(experiment *e, roster_use use, sae_arch arch, sae_variant variant, int64_t k, int64_t rank,
                         uint64_t seed)
{
    roster_entry *r = add(e, use, arch, seed);
    const sae_dict_config *like = &e->options.scaffold;

    r->config.variant = variant;
    r->config.k = k;
    r->config.rank = rank;
    r->config.scaffold_start = like->scaffold_start;
    r->config.scaffold_centre = like->scaffold_centre;
    r->config.scaffold_tie = like->scaffold_tie;
    r->config.scaffold_lr = like->scaffold_lr;
    r->config.scaffold_steps = like->scaffold_steps;
    r->config.scaffold_frozen = like->scaffold_frozen;
    r->config.scaffold_last = like->scaffold_last && arch == SAE_MATRYOSHKA;
}

/* By what sets them apart from the pairs. */
static void name(const experiment *e, roster_entry *r)
{
    const sae_dict_config *c = &r->config;
    const bool plain = r->use == USE_BASELINE || r->use == USE_BASE_K;
    const char *what = plain                  ? "baseline"
                       : r->use == USE_DENSE  ? "less-dense"
                       : r->use == USE_OTHERS ? "less-others"
                                              : variant_names[c->variant];
    char more[32] = "";

    if (c->k != e->options.k) snprintf(more, sizeof more, "-k%lld", (long long)c->k);
    if (r->use == USE_RANK) snprintf(more, sizeof more, "-r%lld", (long long)c->rank);
    snprintf(r->name, sizeof r->name, "%s-%s%s-s%llu", arch_name(c->arch), what, more, (unsigned long long)c->seed);
    memcpy(r->config.name, r->name, sizeof r->name); /* both char[64] */
    _Static_assert(sizeof r->config.name == sizeof r->name, "names of one size");
}

void roster_list(experiment *e)
{
    const scaffold_options *o = &e->options;

    e->roster.n = 0;
    for (int a = 0; a < o->n_archs; a++) {
        for (int64_t s = 0; s < o->seeds; s++) {
            uint64_t seed = o->seed + (uint64_t)s;
            add(e, USE_BASELINE, o->archs[a], seed);
            add_scaffold(e, USE_SCAFFOLD, o->archs[a], o->variants[0], o->k, o->rank, seed);
        }
    }
    for (int a = 0; a < o->n_archs; a++) {
        for (int v = 1; v < o->n_variants; v++)
            add_scaffold(e, USE_SCAFFOLD, o->archs[a], o->variants[v], o->k, o->rank, o->seed);
        for (int i = 0; i < o->n_ks; i++) {
            add_scaffold(e, USE_K, o->archs[a], o->variants[0], o->ks[i], o->rank, o->seed);
            add(e, USE_BASE_K, o->archs[a], o->seed)->config.k = o->ks[i];
        }
    }
    for (int i = 0; i < o->n_ranks; i++)
        add_scaffold(e, USE_RANK, o->archs[0], o->variants[0], o->k, o->ranks[i], o->seed);
    if (o->retrain > 0) {
        add(e, USE_DENSE, o->archs[0], o->seed);
        add(e, USE_OTHERS, o->archs[0], o->seed);
    }
    for (int i = 0; i < e->roster.n; i++) name(e, &e->roster.entries[i]);
}

bool roster_is_at_k(const experiment *e, const roster_entry *r, sae_arch arch)
{
    const bool is_pair = r->use == USE_SCAFFOLD && r->config.variant == e->options.variants[0];

    return r->config.arch == arch && r->config.seed == e->options.seed &&
           (is_pair || r->use == USE_K || r->use == USE_MATCHED);
}

bool roster_is_baseline_at_k(const experiment *e, const roster_entry *r, sae_arch arch)
{
    return r->config.arch == arch && r->config.seed == e->options.seed &&
           (r->use == USE_BASELINE || r->use == USE_BASE_K);
}

const roster_entry *roster_at_k(const experiment *e, sae_arch arch, int64_t k)
{
    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *r = &e->roster.entries[i];
        if (roster_is_at_k(e, r, arch) && r->config.k == k) return r;
    }
    return NULL;
}

void roster_list_matched(experiment *e, sae_arch arch, int64_t k)
{
    const scaffold_options *o = &e->options;

    add_scaffold(e, USE_MATCHED, arch, o->variants[0], k, o->rank, o->seed);
    name(e, &e->roster.entries[e->roster.n - 1]);
}

sae_status roster_check(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;

    roster_list(e);
    for (int i = 0; i < e->roster.n && status == SAE_OK; i++)
        status = trainer_check(&e->roster.entries[i].config, 1, &e->recipe, err);
    return status;
}

static char *record_path(const experiment *e, const roster_entry *r, sae_error *err)
{
    char path[96];

    snprintf(path, sizeof path, "dictionaries/%s.json", r->name);
    return experiment_path(e, path, err);
}

/* ---- What stands on disk --------------------------------------------------------------------------------------------------- */

/* A record is of a training but for this: the checksum of each file of the folder, by its name. Taken out of the record; NULL: records of
 * before had none. */
static json_t *take_checksums(json_t *record)
{
    json_t *sums = json_incref(json_object_get(record, "xxh3"));

    json_object_del(record, "xxh3");
    return sums;
}

/* Of all that was saved in the folder. */
static sae_status checksums_of(const experiment *e, const char *folder, json_t **out, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *path = NULL, text[HASH_TEXT];
    int n = 0;
    json_t *sums = json_object();

    SAE_TRY(folder_list(folder, &names, &n, err));
    for (int i = 0; i < n; i++) {
        mem_free(path);
        path = path_join(folder, names[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        SAE_TRY(file_hash_text(path, e->progress, text, err));
        json_put(&sums, names[i], json_string(text));
    }
    if (!sums) SAE_RAISE(err, SAE_NOMEM, "no memory for the checksums of %s", folder);
    *out = sums;
    sums = NULL;
done:
    json_decref(sums);
    folder_list_free(names, n);
    mem_free(path);
    return status;
}

/* FORMAT: the file is not what was saved. */
static sae_status file_is_saved(const experiment *e, const char *path, const char *sum, sae_error *err)
{
    sae_status status = SAE_OK;
    char text[HASH_TEXT];

    SAE_TRY(file_hash_text(path, e->progress, text, err));
    if (!sum || strcmp(sum, text) != 0) SAE_RAISE(err, SAE_FORMAT, "%s is not as it was saved", path);
done:
    return status;
}

/* Fails where the folder is not what was saved; without checksums, where it is no dictionary. */
static sae_status folder_is_saved(const experiment *e, const char *folder, json_t *sums, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;
    char *path = NULL;
    const char *name;
    json_t *sum;

    if (!json_is_object(sums)) SAE_TRY(sae_dict_load(&dict, folder, err));
    json_object_foreach(sums, name, sum)
    {
        mem_free(path);
        path = path_join(folder, name, err);
        if (!path) SAE_TRY(SAE_NOMEM);
        SAE_TRY(file_is_saved(e, path, json_string_value(sum), err));
    }
done:
    sae_dict_free(dict);
    mem_free(path);
    return status;
}

/* Said, since it takes the time of a training. */
static void tell_trained_anew(const experiment *e, const roster_entry *r, const char *why)
{
    const lab_notice *notice = &e->options.notice;
    char text[sizeof((sae_error *)0)->message + sizeof r->name + 32];

    if (!notice->tell) return;
    snprintf(text, sizeof text, "%s: %s is trained again", why, r->name);
    notice->tell(notice->user, text);
}

/* Is OUT/dictionaries/NAME there, its record of this very training, and the folder what was saved then? */
sae_status roster_look(const experiment *e, roster_entry *r, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error ignored = {0}, why = {0};
    char folder[96], *path = NULL, *record = record_path(e, r, err);
    json_t *ours = roster_identity(e, r), *theirs = NULL, *sums = NULL;

    snprintf(folder, sizeof folder, "dictionaries/%s", r->name);
    path = experiment_path(e, folder, err);
    if (!record || !path || !ours) SAE_RAISE(err, SAE_NOMEM, "no memory to describe a dictionary");
    r->trained = false;
    if (!file_is_folder(path) || !file_exists(record) || json_read_file(&theirs, record, &ignored) != SAE_OK) goto done;
    sums = take_checksums(theirs);
    if (!json_equal(ours, theirs)) goto done;
    const sae_status whole = folder_is_saved(e, path, sums, &why);
    if (whole == SAE_NOMEM || whole == SAE_CANCELLED) SAE_RAISE(err, whole, "%s", why.message);
    r->trained = whole == SAE_OK;
    if (!r->trained) tell_trained_anew(e, r, why.message);
done:
    json_decref(sums);
    json_decref(ours);
    json_decref(theirs);
    mem_free(record);
    mem_free(path);
    return status;
}

/* Which of the list is trained, but for those that only a part may train, which looks itself (retrain.c). */
static sae_status look_all(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < e->roster.n; i++)
        if (e->roster.entries[i].use < USE_DENSE) SAE_TRY(roster_look(e, &e->roster.entries[i], err));
done:
    return status;
}

sae_status roster_make(experiment *e, sae_error *err)
{
    roster_list(e);
    return look_all(e, err);
}

sae_status roster_make_ranks(experiment *e, sae_error *err)
{
    const scaffold_options *o = &e->options;

    e->roster.n = 0;
    add(e, USE_BASELINE, o->archs[0], o->seed);
    for (int i = 0; i < o->n_ranks; i++)
        add_scaffold(e, USE_RANK, o->archs[0], o->variants[0], o->k, o->ranks[i], o->seed);
    for (int i = 0; i < e->roster.n; i++) name(e, &e->roster.entries[i]);
    return look_all(e, err);
}

static const char *rows_name(const roster_entry *r)
{
    return r->use == USE_DENSE ? "without dense latents" : r->use == USE_OTHERS ? "without others" : "all";
}

void scaffold_choices_put(json_t **object, const sae_dict_config *c)
{
    if (c->scaffold_frozen) json_put(object, "scaffold_frozen", json_true());
    scaffold_fields_put(object, c);
}

static json_t *identity_of(const experiment *e, const roster_entry *r)
{
    const sae_dict_config *c = &r->config;

    json_t *json = json_pack(
        "{si sO so ss sI ss ss sI sI sI sI ss sI sb sI}", "training_revision", TRAINING_REVISION, "inputs", e->inputs,
        "recipe", recipe_json(&e->recipe), "rows", rows_name(r), "order", (json_int_t)(e->options.seed & INT64_MAX),
        "arch", arch_name(c->arch), "variant", c->rank ? variant_names[c->variant] : "none", "d_sae",
        (json_int_t)c->d_sae, "k", (json_int_t)c->k, "rank", (json_int_t)c->rank, "seed",
        (json_int_t)(c->seed & INT64_MAX), "start", scaffold_start_names[c->scaffold_start], "scaffold_steps",
        (json_int_t)c->scaffold_steps, "scaffold_last", (int)c->scaffold_last, "held_out_tokens",
        (json_int_t)(r->use < USE_DENSE ? 0 : e->options.held_out_tokens)); /* where density is measured */

    scaffold_choices_put(&json, c);
    return json;
}

json_t *roster_identity(const experiment *e, const roster_entry *r)
{
    json_t *about = identity_of(e, r);

    if (r->use >= USE_DENSE) json_put(&about, "dense_threshold", json_real(e->options.dense_threshold));
    return about;
}

const roster_entry *roster_find(const experiment *e, sae_arch arch, roster_use use, sae_variant variant, uint64_t seed)
{
    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *r = &e->roster.entries[i];
        if (r->use == use && r->config.arch == arch && r->config.variant == variant && r->config.seed == seed) return r;
    }
    return NULL;
}

const roster_entry *roster_pair(const experiment *e, sae_arch arch, roster_use use, uint64_t seed)
{
    return roster_find(e, arch, use, use == USE_SCAFFOLD ? e->options.variants[0] : SAE_P1, seed);
}

sae_status roster_load(const experiment *e, const roster_entry *r, sae_dict **dict, sae_error *err)
{
    char folder[96], *path;
    sae_status status = SAE_NOMEM;

    snprintf(folder, sizeof folder, "dictionaries/%s", r->name);
    path = experiment_path(e, folder, err);
    if (path) status = sae_dict_load(dict, path, err);
    mem_free(path);
    return status;
}

sae_status roster_save(const experiment *e, roster_entry *r, const sae_dict *dict, sae_error *err)
{
    sae_status status = SAE_OK;
    char folder[96], *path = NULL, *record = record_path(e, r, err), *all = experiment_path(e, "dictionaries", err);
    json_t *about = roster_identity(e, r), *sums = NULL;

    snprintf(folder, sizeof folder, "dictionaries/%s", r->name);
    path = experiment_path(e, folder, err);
    if (!record || !path || !all || !about) SAE_RAISE(err, SAE_NOMEM, "no memory to describe a dictionary");
    SAE_TRY(folder_make(all, err));
    SAE_TRY(file_remove(record, err)); /* while the folder changes it is of no training */
    SAE_TRY(sae_dict_save(dict, path, SAE_SCAFFOLD_NATIVE, true, err));
    SAE_TRY(checksums_of(e, path, &sums, err));
    json_put(&about, "xxh3", sums);
    if (!about) SAE_RAISE(err, SAE_NOMEM, "no memory to describe a dictionary");
    SAE_TRY(json_write_file(about, record, true, err));
    r->trained = true;
done:
    json_decref(about);
    mem_free(record);
    mem_free(path);
    mem_free(all);
    return status;
}

static bool is_listed(const experiment *e, const char *name)
{
    for (int i = 0; i < e->roster.n; i++)
        if (strcmp(e->roster.entries[i].name, name) == 0) return true;
    return false;
}

/* OUT/dictionaries/NAME and its record, when that is what a dictionary of the list is called in a sweep over ranks, and its record. */
static sae_status forget_twin(const experiment *e, const char *found, const char *record, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error ignored = {0};
    char folder[96], *path = NULL;
    json_t *theirs = NULL;
    bool twin = false;

    if (json_read_file(&theirs, record, &ignored) != SAE_OK) goto done;
    json_decref(take_checksums(theirs));
    for (int i = 0; i < e->roster.n && !twin; i++) {
        roster_entry as_rank = e->roster.entries[i];
        as_rank.use = USE_RANK;
        name(e, &as_rank);
        if (e->roster.entries[i].use != USE_SCAFFOLD || strcmp(as_rank.name, found) != 0) continue;
        json_t *ours = roster_identity(e, &e->roster.entries[i]);
        twin = json_equal(ours, theirs);
        json_decref(ours);
    }
    if (!twin) goto done;
    snprintf(folder, sizeof folder, "dictionaries/%s", found);
    path = experiment_path(e, folder, err);
    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(file_remove(record, err));
    SAE_TRY(folder_remove(path, err));
done:
    json_decref(theirs);
    mem_free(path);
    return status;
}

sae_status roster_forget(const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *folder = experiment_path(e, "dictionaries", err), *record = NULL;
    int n = 0;

    if (!folder) return SAE_NOMEM;
    if (e->options.rank_knee) goto done; /* the same call finds the knee of all of them */
    SAE_TRY(folder_list(folder, &names, &n, err));
    for (int i = 0; i < n; i++) {
        const size_t length = strlen(names[i]);
        char found[64];
        if (length < 6 || length - 5 >= sizeof found || strcmp(names[i] + length - 5, ".json") != 0) continue;
        snprintf(found, length - 4, "%s", names[i]);
        if (is_listed(e, found)) continue;
        mem_free(record);
        record = path_join(folder, names[i], err);
        if (!record) SAE_TRY(SAE_NOMEM);
        SAE_TRY(forget_twin(e, found, record, err));
    }
done:
    folder_list_free(names, n);
    mem_free(record);
    mem_free(folder);
    return status;
}
