/*
 * scaffold_topics.c - whether the topics of documents are still to be told after the scaffold is taken out of their rows, or topic-aligned
 * latents of the baseline (or of the scaffold arm's own dictionary) are ablated. topics.h has the measurement; here it gets the run's
 * subspaces, mean and dictionaries.
 *
 * Of MMLU ten subjects that lie far apart; beyond the quick budget the four categories, where the documents say theirs, and all 57
 * subjects too, with the first architecture. Of other documents every class.
 */
#include "lab/scaffold.h"
#include "lab/topics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GROUP_BYTES = 200, TEN = 10, LABELS_MAX = 3 }; /* questions that begin alike stay in one part */

/* One set of labels of the same documents. */
typedef struct label_set {
    const char *name;
    labelled docs;
    split split;
    topics found;
} label_set;

/* Documents and what is made of them, while the part runs. */
typedef struct topic_run {
    label_set sets[LABELS_MAX];
    int n;
    bool no_categories; /* MMLU without them: its documents have no member "category" */
    pooled pooled;
    subspace random[TOPICS_DRAWS];
} topic_run;

static void topic_run_free(topic_run *t)
{
    for (int i = 0; i < TOPICS_DRAWS; i++) subspace_free(&t->random[i]);
    pooled_free(&t->pooled);
    for (int i = 0; i < LABELS_MAX; i++) {
        split_free(&t->sets[i].split);
        labelled_free(&t->sets[i].docs);
    }
}

/* `questions` in all: seven of ten to train the probe. */
static sae_status add_set(topic_run *t, const experiment *e, const char *path, const char *name, const char *label,
                          bool ten, const uint8_t *only, sae_error *err)
{
    sae_status status = SAE_OK;
    label_set *set = &t->sets[t->n];
    labelled_options how = {.label = label};
    split_options parts = {.group_bytes = GROUP_BYTES, .only = only, .seed = e->options.seed};

    set->name = name;
    if (set->docs.n == 0) SAE_TRY(labelled_read(&set->docs, path, &how, err));
    int classes = set->docs.n_classes;
    if (ten) {
        parts.classes = topics_ten_subjects;
        parts.n_classes = classes = TEN;
    }
    parts.n_train = e->options.questions * 7 / 10 / classes;
    parts.n_test = e->options.questions / classes - parts.n_train;
    if (parts.n_train < 2 || parts.n_test < 2)
        SAE_RAISE(err, SAE_RANGE, "%s: %lld documents of %d classes are too few for a probe: raise --questions", path,
                  (long long)e->options.questions, classes);
    SAE_TRY(split_create(&set->split, &set->docs, &parts, err));
    t->n++;
done:
    return status;
}

/* All 57 subjects take minutes: the first architecture stands for the other. */
static bool is_first_arch(const experiment *e)
{
    return !e->pair[ARM_SCAFFOLD] || e->pair[ARM_SCAFFOLD]->config.arch == e->options.archs[0];
}

/* Marks those in either part of a set: [documents], mem_free. */
static sae_status documents_of(const label_set *set, uint8_t **marks, sae_error *err)
{
    *marks = mem_alloc_array((size_t)set->docs.n, 1, "documents of a set", err);
    if (!*marks) return SAE_NOMEM;
    for (int64_t i = 0; i < set->split.train.n; i++) (*marks)[set->split.train.doc[i]] = 1;
    for (int64_t i = 0; i < set->split.test.n; i++) (*marks)[set->split.test.doc[i]] = 1;
    return SAE_OK;
}

/* Categories are told of the questions that the subjects have, so that the model reads these alone. A user's own MMLU may have
 * subjects only. */
static sae_status add_categories(topic_run *t, const experiment *e, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    const labelled_options how = {.label = "category"};
    sae_error why = {0};
    uint8_t *only = NULL;

    status = labelled_read(&t->sets[t->n].docs, path, &how, &why);
    t->no_categories = status == SAE_FORMAT;
    if (t->no_categories) return SAE_OK;
    if (status != SAE_OK) return SAE_FAIL(err, status, "%s", why.message);
    SAE_TRY(documents_of(&t->sets[t->n - 1], &only, err));
    SAE_TRY(add_set(t, e, path, "categories", how.label, false, only, err));
done:
    mem_free(only);
    return status;
}

static sae_status open_documents(topic_run *t, const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    labelled_options how = {0};
    char **paths = NULL;
    int n = 0;

    SAE_TRY(labelled_paths(e->options.topics, &paths, &n, err));
    if (n != 1)
        SAE_RAISE(err, SAE_RANGE, "--topics %s names %d sets of documents: give one of them", e->options.topics, n);
    SAE_TRY(labelled_read(&t->sets[0].docs, paths[0], &how, err));
    bool mmlu = topics_are_mmlu(&t->sets[0].docs);
    SAE_TRY(add_set(t, e, paths[0], mmlu ? "ten-subjects" : "classes", NULL, mmlu, NULL, err));
    if (mmlu && e->options.budget != BUDGET_QUICK && is_first_arch(e)) {
        SAE_TRY(add_set(t, e, paths[0], "subjects", NULL, false, NULL, err));
        SAE_TRY(add_categories(t, e, paths[0], err));
    }
done:
    labelled_paths_free(paths, n);
    return status;
}

sae_status scaffold_topics_check(experiment *e, sae_error *err)
{
    topic_run t = {0};
    sae_status status = e->options.topics ? open_documents(&t, e, err) : SAE_OK;

    for (int i = 0; i < t.n; i++) e->topics_hash = e->topics_hash * 31 + t.sets[i].docs.hash;
    topic_run_free(&t);
    return status;
}

static sae_status pool(topic_run *t, experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_dict *ablated = e->dicts[e->options.ablate];
    pooled_options how = {
        .max_norm = e->options.max_norm, .with_bos = e->options.with_bos, .last = e->options.last_token};
    const split *splits[LABELS_MAX];
    int64_t total = 0, *docs = NULL;

    for (int i = 0; i < t->n; i++) splits[i] = &t->sets[i].split;
    SAE_TRY(split_documents(splits, t->n, &docs, &total, err));
    SAE_TRY(pooled_create(&t->pooled, e->model, e->tok, e->site, &t->sets[0].docs, docs, total, &ablated, 1, &how,
                          e->progress, err));
done:
    mem_free(docs);
    return status;
}

static sae_status measure(topic_run *t, experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    rng random = rng_seed(e->options.seed, 79);
    int64_t width = e->options.width;
    topics_what what = {.space = &e->map.write_space,
                        .space_name = "scaffold",
                        .pca = &e->pca,
                        .random = t->random,
                        .mean = e->rows.mean,
                        .dict = e->dicts[e->options.ablate],
                        .counts = {(width + 4) / 8, width <= 2048 || (width + 4) / 8 == 2048 ? 0 : 2048},
                        .seed = e->options.seed};

    for (int i = 0; i < TOPICS_DRAWS; i++)
        SAE_TRY(subspace_random(&t->random[i], e->d, compared_rank(e), &random, err));
    for (int i = 0; i < t->n; i++)
        SAE_TRY(topics_measure(&t->sets[i].found, &t->pooled, &t->sets[i].split, &what, e->progress, err));
done:
    return status;
}

/* "ten-subjects.scaffold removed, R2 uncentred.fixed" */
static sae_status numbers(sae_result *r, const label_set *set, sae_error *err)
{
    sae_status status = SAE_OK;
    char key[200];

    for (int i = 0; i < set->found.n_arms; i++) {
        const topics_arm *arm = &set->found.arms[i];
        snprintf(key, sizeof key, "%s.%s.fixed", set->name, arm->name);
        SAE_TRY(sae_result_silent(r, key, arm->fixed.value, arm->fixed.low, arm->fixed.high, err));
        snprintf(key, sizeof key, "%s.%s.fall", set->name, arm->name);
        SAE_TRY(sae_result_silent(r, key, arm->fall.value, arm->fall.low, arm->fall.high, err));
        snprintf(key, sizeof key, "%s.%s.retrained_fall", set->name, arm->name);
        SAE_TRY(sae_result_silent(r, key, arm->retrained_fall.value, arm->retrained_fall.low, arm->retrained_fall.high,
                                  err));
        snprintf(key, sizeof key, "%s.%s.retrained", set->name, arm->name);
        SAE_TRY(sae_result_silent(r, key, arm->retrained.value, arm->retrained.low, arm->retrained.high, err));
        if (!isfinite(arm->over_random.value)) continue;
        snprintf(key, sizeof key, "%s.%s.over_random", set->name, arm->name);
        SAE_TRY(sae_result_silent(r, key, arm->over_random.value, arm->over_random.low, arm->over_random.high, err));
    }
done:
    return status;
}

static sae_status report(const topic_run *t, experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    topics found[LABELS_MAX];
    const char *names[LABELS_MAX];
    char text[300];

    snprintf(text, sizeof text, "Topics of documents, %s", e->pair[ARM_SCAFFOLD]->name);
    SAE_TRY(experiment_result(e, "topics", text, &r, err));
    snprintf(text, sizeof text,
             "%s of %lld documents; mean, principal components and subspaces are those of the training rows, features "
             "those of %s.",
             e->options.last_token ? "Rows of the last token" : "Mean rows", (long long)t->pooled.n,
             e->pair[e->options.ablate]->name);
    SAE_TRY(sae_result_note(r, text, err));
    if (t->no_categories)
        SAE_TRY(sae_result_note(r, "Not every document has a \"category\": the four categories are left out.", err));
    SAE_TRY(sae_result_input(r, "documents", t->sets[0].docs.hash, err));
    for (int i = 0; i < t->n; i++) {
        found[i] = t->sets[i].found;
        names[i] = t->sets[i].name;
        SAE_TRY(numbers(r, &t->sets[i], err));
    }
    SAE_TRY(topics_report(r, found, names, t->n, err));
done:
    return status;
}

sae_status scaffold_topics(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    topic_run *t = mem_alloc(sizeof *t, "topics", err);

    if (!t) return SAE_NOMEM;
    SAE_TRY(open_documents(t, e, err));
    SAE_TRY(pool(t, e, err));
    SAE_TRY(measure(t, e, err));
    SAE_TRY(report(t, e, err));
done:
    topic_run_free(t);
    mem_free(t);
    return status;
}
