/*
 * documents.c - sparse probing and TPP (docs/method.md, E2 and E3) of the dictionaries of a run: one pass of the model over each
 * labelled set, the codes of all dictionaries from the same rows.
 *
 * The first baseline of an architecture comes first, so gains of the others over it are paired by documents. Numbers are means over the
 * sets, named NAME.probing.k5, NAME.tpp.n20, and NAME.probing.mean, NAME.tpp.mean over all k and n.
 */
#include "eval/probing.h"
#include "eval/tpp.h"
#include "lab/scaffold.h"
#include "lab/topics_sets.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_TRAIN = 800, N_TEST = 200 };

/* The dictionaries that are asked, architecture by architecture, and what was found; while the part runs. */
typedef struct documents {
    const char *names[ROSTER_MAX];
    bool drawn[ROSTER_MAX]; /* in the plot: what the claim compares, of the first seed; the tables have all */
    sae_dict *dicts[ROSTER_MAX];
    int first[ARCHS_MAX + 1]; /* dictionaries first[a] to first[a + 1] - 1 are of architecture a */
    int n, n_archs;
    char **paths;
    int n_sets;
    probing *probing; /* [n_archs, n_sets] */
    tpp *tpp;         /* [n, n_tpp] */
    const char *tpp_sets[LABELLED_MAX];
    int n_tpp, asked; /* sets of three classes or more; so far */
} documents;

static const probing_options probing_how = {.k = {1, 2, 5}, .n_k = 3};
static const tpp_options tpp_how = {.n = {2, 5, 10, 20, 50, 100, 500}, .n_n = 7};

int documents_sizes(bool of_tpp, int64_t sizes[DOCUMENTS_SIZES])
{
    const int n = of_tpp ? tpp_how.n_n : probing_how.n_k;

    for (int i = 0; i < n; i++) sizes[i] = of_tpp ? tpp_how.n[i] : probing_how.k[i];
    return n;
}

static void documents_free(documents *w)
{
    for (int i = 0; i < w->n; i++) sae_dict_free(w->dicts[i]);
    for (int i = 0; w->probing && i < w->n_archs * w->n_sets; i++) probing_free(&w->probing[i]);
    mem_free(w->probing);
    for (int i = 0; w->tpp && i < w->n * w->n_sets; i++) tpp_free(&w->tpp[i]);
    mem_free(w->tpp);
    labelled_paths_free(w->paths, w->n_sets);
}

static sae_status documents_list(const scaffold_options *o, char ***paths, int *n_sets, sae_error *err)
{
    sae_status status = SAE_OK;
    char **all = NULL, **more = NULL, **grown;
    int n = 0, n_more = 0;

    for (int i = 0; i < o->n_labelled; i++) {
        SAE_TRY(labelled_paths(o->labelled[i], &more, &n_more, err));
        grown = mem_grow(all, (size_t)n * sizeof *all, (size_t)(n + n_more) * sizeof *all, "labelled documents", err);
        if (!grown) SAE_TRY(SAE_NOMEM);
        all = grown;
        memcpy(all + n, more, (size_t)n_more * sizeof *all);
        n += n_more;
        mem_free(more);
        more = NULL;
        n_more = 0;
    }
    if (n > LABELLED_MAX) SAE_RAISE(err, SAE_RANGE, "--labelled names %d sets: at most %d", n, (int)LABELLED_MAX);
    *paths = all;
    *n_sets = n;
    all = NULL;
    n = 0;
done:
    labelled_paths_free(more, n_more);
    labelled_paths_free(all, n);
    return status;
}

static sae_status open_set(const experiment *e, const char *path, labelled *docs, split *s, sae_error *err)
{
    sae_status status = SAE_OK;
    labelled_options how = {0};
    split_options parts = {.n_train = N_TRAIN, .n_test = N_TEST, .seed = e->options.seed};

    SAE_TRY(labelled_read(docs, path, &how, err));
    topics_five_subjects(docs, &parts);
    SAE_TRY(split_create(s, docs, &parts, err));
done:
    return status;
}

/* A set twice, by whatever path, would count twice in the means over the sets. */
static sae_status check_new(const experiment *e, const uint64_t *seen, char *const *paths, int i, sae_error *err)
{
    for (int k = 0; k < i; k++)
        if (!e->labelled_unfit[k] && seen[k] == seen[i])
            return SAE_FAIL(err, SAE_RANGE, "--labelled: %s holds the documents of %s: give each set once", paths[i],
                            paths[k]);
    return SAE_OK;
}

/* Tokens of a document of so many bytes, for a plan: a token for three of them (English has four, other languages fewer), as many as are
 * read (pooled.h). */
static double about_tokens(size_t bytes) { return fmin(1 + (double)bytes / 3, 128); }

static void add_sizes(experiment *e, const labelled *docs, const split_part *part)
{
    for (int64_t i = 0; i < part->n; i++)
        e->labelled_tokens += about_tokens(docs->start[part->doc[i] + 1] - docs->start[part->doc[i]]);
    e->labelled_documents += part->n;
}

void documents_forget(experiment *e)
{
    for (int i = 0; i < LABELLED_MAX; i++) mem_free(e->labelled_unfit[i]);
}

/* Is it a file that the user named, not one of a folder? */
static bool is_named(const scaffold_options *o, const char *path)
{
    for (int i = 0; i < o->n_labelled; i++)
        if (strcmp(o->labelled[i], path) == 0) return true;
    return false;
}

/* Reads and divides the i-th set for its size and seen[i], its hash. Passed over: one of a folder that cannot be divided, or that is there
 * already. */
static sae_status check_set(experiment *e, char *const *paths, int i, uint64_t *seen, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error why = {0};
    labelled docs = {0};
    split s = {0};

    status = open_set(e, paths[i], &docs, &s, &why);
    seen[i] = docs.hash;
    if (status == SAE_OK) status = check_new(e, seen, paths, i, &why);
    if (status == SAE_RANGE && !is_named(&e->options, paths[i])) {
        e->labelled_unfit[i] = mem_strdup(why.message, err);
        status = e->labelled_unfit[i] ? SAE_OK : SAE_NOMEM;
        goto done;
    }
    if (status != SAE_OK) SAE_RAISE(err, status, "%s", why.message);
    e->labelled_hash = e->labelled_hash * 31 + docs.hash;
    add_sizes(e, &docs, &s.train);
    add_sizes(e, &docs, &s.test);
done:
    split_free(&s);
    labelled_free(&docs);
    return status;
}

sae_status documents_check(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    char **paths = NULL;
    uint64_t seen[LABELLED_MAX];
    int n = 0, unfit = 0;

    SAE_TRY(documents_list(&e->options, &paths, &n, err));
    for (int i = 0; i < n; i++) {
        SAE_TRY(check_set(e, paths, i, seen, err));
        unfit += e->labelled_unfit[i] != NULL;
    }
    if (n > 0 && unfit == n)
        SAE_RAISE(err, SAE_RANGE, "no set of --labelled can be used; the first: %s", e->labelled_unfit[0]);
done:
    labelled_paths_free(paths, n);
    return status;
}

static int count_unfit(const experiment *e)
{
    int n = 0;

    for (int i = 0; i < LABELLED_MAX; i++) n += e->labelled_unfit[i] != NULL;
    return n;
}

sae_status documents_unfit(const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const heads[] = {"why"};
    sae_status status = SAE_OK;

    if (count_unfit(e) == 0) return SAE_OK;
    SAE_TRY(sae_result_setting(r, "sets passed over", (sae_cell){NULL, count_unfit(e)}, err));
    SAE_TRY(sae_result_table(r, "unfit", "Sets of --labelled passed over", heads, 1, err));
    for (int i = 0; i < LABELLED_MAX; i++)
        if (e->labelled_unfit[i])
            SAE_TRY(sae_result_row(r, "unfit", (const sae_cell[]){{e->labelled_unfit[i], NAN}}, 1, err));
done:
    return status;
}

/* The sets that documents_check has found fit. */
static sae_status list_fit(documents *w, const experiment *e, sae_error *err)
{
    sae_status status = documents_list(&e->options, &w->paths, &w->n_sets, err);
    int kept = 0;

    if (status != SAE_OK) return status;
    for (int i = 0; i < w->n_sets; i++) {
        char *path = w->paths[i];
        if (e->labelled_unfit[i])
            mem_free(path);
        else
            w->paths[kept++] = path;
    }
    w->n_sets = kept;
    return SAE_OK;
}

static sae_status pool(documents *w, experiment *e, const labelled *docs, const split *s, pooled *out, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = 0, *which = NULL;
    pooled_options how = {
        .max_norm = e->options.max_norm, .with_bos = e->options.with_bos, .last = e->options.last_token};

    SAE_TRY(split_documents(&s, 1, &which, &n, err));
    SAE_TRY(pooled_create(out, e->model, e->tok, e->site, docs, which, n, (const sae_dict *const *)w->dicts, w->n, &how,
                          e->progress, err));
done:
    mem_free(which);
    return status;
}

static sae_status count_tpp_sets(documents *w, const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < w->n_sets; i++) {
        labelled docs = {0};
        split s = {0};
        status = open_set(e, w->paths[i], &docs, &s, err);
        w->n_tpp += s.n_classes >= 3;
        split_free(&s);
        labelled_free(&docs);
        SAE_TRY(status);
    }
done:
    return status;
}

/* What was pooled for the dictionaries of one architecture alone; borrows. */
static pooled of_arch(const documents *w, const pooled *all, int arch)
{
    pooled part = *all;

    part.codes += w->first[arch];
    part.n_dicts = w->first[arch + 1] - w->first[arch];
    return part;
}

static sae_status ask_set(documents *w, experiment *e, int set, sae_error *err)
{
    sae_status status = SAE_OK;
    probing_options how = probing_how;
    tpp_options ablating = tpp_how;
    labelled docs = {0};
    split s = {0};
    pooled p = {0};

    how.seed = ablating.seed = e->options.seed;
    SAE_TRY(open_set(e, w->paths[set], &docs, &s, err));
    SAE_TRY(pool(w, e, &docs, &s, &p, err));
    for (int a = 0; a < w->n_archs; a++) {
        const pooled part = of_arch(w, &p, a);
        SAE_TRY(probing_measure(&w->probing[a * w->n_sets + set], &part, &s, &how, e->progress, err));
    }
    if (s.n_classes < 3) goto done; /* two tasks of two classes are mirror images */
    SAE_TRY(tpp_measure(w->tpp + w->asked, w->n_tpp, &p, w->dicts, &s, &ablating, e->progress, err));
    w->tpp_sets[w->asked++] = w->paths[set];
done:
    pooled_free(&p);
    split_free(&s);
    labelled_free(&docs);
    return status;
}

static sae_status report(documents *w, experiment *e, int a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *arch = arch_name(e->options.archs[a]), *const *names = w->names + w->first[a];
    const int n = w->first[a + 1] - w->first[a];
    sae_result *r = NULL;
    char title[96], file[32];

    snprintf(title, sizeof title, "Sparse probing, %s", arch);
    snprintf(file, sizeof file, "%s-probing", arch);
    SAE_TRY(experiment_result(e, file, title, &r, err));
    SAE_TRY(probing_report(r, w->probing + a * w->n_sets, (const char *const *)w->paths, w->n_sets, names, &probing_how,
                           err));
    SAE_TRY(documents_unfit(e, r, err));
    if (w->n_tpp == 0) goto done;
    snprintf(title, sizeof title, "Targeted probe perturbation (TPP), %s", arch);
    snprintf(file, sizeof file, "%s-tpp", arch);
    SAE_TRY(experiment_result(e, file, title, &r, err));
    SAE_TRY(tpp_report(r, w->tpp + w->first[a] * w->n_tpp, w->tpp_sets, w->n_tpp, names, w->drawn + w->first[a], n,
                       &tpp_how, err));
done:
    return status;
}

static bool is_asked(const experiment *e, const roster_entry *r, int arch)
{
    return r->use < USE_DENSE && r->config.arch == e->options.archs[arch];
}

/* Of each architecture the baseline of the first seed first; then the others. */
static sae_status open_dicts(documents *w, const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;

    for (w->n_archs = 0; w->n_archs < e->options.n_archs; w->first[++w->n_archs] = w->n)
        for (int i = 0; i < e->roster.n; i++) {
            const roster_entry *r = &e->roster.entries[i];
            if (!is_asked(e, r, w->n_archs)) continue;
            SAE_TRY(roster_load(e, r, &w->dicts[w->n], err));
            w->drawn[w->n] = r->use <= USE_SCAFFOLD && r->config.seed == e->options.seed;
            w->names[w->n++] = r->name;
        }
done:
    return status;
}

static sae_status ask(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    documents *w = mem_alloc(sizeof *w, "documents", err);

    if (!w) return SAE_NOMEM;
    SAE_TRY(open_dicts(w, e, err));
    SAE_TRY(list_fit(w, e, err));
    w->probing = mem_alloc_array((size_t)(w->n_archs * w->n_sets), sizeof *w->probing, "probing", err);
    w->tpp = mem_alloc_array((size_t)(w->n_sets * w->n), sizeof *w->tpp, "TPP", err);
    if (!w->probing || !w->tpp) SAE_TRY(SAE_NOMEM);
    SAE_TRY(count_tpp_sets(w, e, err));
    for (int i = 0; i < w->n_sets; i++) SAE_TRY(ask_set(w, e, i, err));
    for (int a = 0; a < w->n_archs; a++) SAE_TRY(report(w, e, a, err));
done:
    documents_free(w);
    mem_free(w);
    return status;
}

sae_status documents_parts(experiment *e, sae_error *err)
{
    json_t *all;

    if (e->options.n_labelled == 0) return SAE_OK;
    all = json_object();
    for (int a = 0; a < e->options.n_archs; a++)
        for (int i = 0; i < e->roster.n; i++)
            if (is_asked(e, &e->roster.entries[i], a))
                json_put(&all, e->roster.entries[i].name, roster_identity(e, &e->roster.entries[i]));
    json_put(&all, "documents", json_integer((json_int_t)(e->labelled_hash & INT64_MAX)));
    if (count_unfit(e) > 0) json_put(&all, "passed_over", json_integer(count_unfit(e)));
    json_put(&all, "last_token", json_boolean(e->options.last_token));
    return part_run(e, "documents", part_identity(e, all), ask, err);
}
