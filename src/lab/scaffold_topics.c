/*
 * scaffold_topics.c - whether the topics of documents are still to be told after the scaffold is taken out of their rows, or topic-aligned
 * latents of the baseline (or of the scaffold arm's own dictionary) are ablated. topics.h has the measurement; here it gets the run's
 * subspaces, mean and dictionaries, and others read its numbers.
 *
 * Of MMLU the sets of labels that are asked for; all 57 subjects take minutes and are told with the first architecture alone, unless they
 * come first in the list. Of other documents every class.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char own_classes[] = "classes"; /* of documents that are not MMLU's */

/* Documents and what is made of them, while the part runs. */
typedef struct topic_run {
    topics_set sets[TOPICS_LABELS];
    int n;
    bool no_categories; /* MMLU without them: its documents have no member "category" */
    pooled pooled;
    subspace random[TOPICS_DRAWS];
} topic_run;

static void topic_run_free(topic_run *t)
{
    for (int i = 0; i < TOPICS_DRAWS; i++) subspace_free(&t->random[i]);
    pooled_free(&t->pooled);
    for (int i = 0; i < TOPICS_LABELS; i++) topics_set_free(&t->sets[i]);
}

/* ---- Documents ----------------------------------------------------------------------------------------------------------- */

/* `questions` in all: seven of ten to train the probe. */
static sae_status divide(topics_set *set, const experiment *e, const uint8_t *first, sae_error *err)
{
    const int classes = set->n_classes ? set->n_classes : set->docs.n_classes;
    split_options parts = {.first = first, .seed = e->options.seed};

    parts.n_train = e->options.questions * 7 / 10 / classes;
    parts.n_test = e->options.questions / classes - parts.n_train;
    if (parts.n_train < 2 || parts.n_test < 2)
        return SAE_FAIL(err, SAE_RANGE, "%s: %lld documents of %d classes are too few for a probe: raise --questions",
                        set->docs.path, (long long)e->options.questions, classes);
    return topics_set_divide(set, &parts, err);
}

static bool is_measured(const experiment *e, topics_labels labels)
{
    const bool first_arch = !e->pair[ARM_SCAFFOLD] || e->pair[ARM_SCAFFOLD]->config.arch == e->options.archs[0];

    return labels != TOPICS_SUBJECTS || first_arch || e->options.labels[0] == TOPICS_SUBJECTS;
}

/* Marks those in either part of a set: [documents], mem_free. */
static sae_status documents_of(const topics_set *set, uint8_t **marks, sae_error *err)
{
    *marks = mem_alloc_array((size_t)set->docs.n, 1, "documents of a set", err);
    if (!*marks) return SAE_NOMEM;
    for (int64_t i = 0; i < set->split.train.n; i++) (*marks)[set->split.train.doc[i]] = 1;
    for (int64_t i = 0; i < set->split.test.n; i++) (*marks)[set->split.test.doc[i]] = 1;
    return SAE_OK;
}

/* The questions of the 57 subjects, as many of each, come first in the other sets: the model then reads few besides. All architectures
 * have the same questions, whichever of the sets they measure. */
static sae_status common_questions(const experiment *e, const char *path, uint8_t **marks, sae_error *err)
{
    sae_status status = SAE_OK;
    topics_set subjects = {0};
    bool wanted = false;

    for (int i = 0; i < e->options.n_labels; i++) wanted = wanted || e->options.labels[i] == TOPICS_SUBJECTS;
    if (!wanted) return SAE_OK;
    SAE_TRY(topics_set_read(&subjects, path, TOPICS_SUBJECTS, NULL, &(labelled_options){0}, err));
    SAE_TRY(divide(&subjects, e, NULL, err));
    SAE_TRY(documents_of(&subjects, marks, err));
done:
    topics_set_free(&subjects);
    return status;
}

/* One set of labels of MMLU. A user's own MMLU may have subjects only. */
static sae_status add_labels(topic_run *t, const experiment *e, const char *path, topics_labels labels,
                             const uint8_t *first, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error why = {0};

    status = topics_set_read(&t->sets[t->n], path, labels, NULL, &(labelled_options){0}, &why);
    if (labels == TOPICS_CATEGORIES && status == SAE_FORMAT) {
        t->no_categories = true;
        return SAE_OK;
    }
    if (status != SAE_OK) return SAE_FAIL(err, status, "%s", why.message);
    SAE_TRY(divide(&t->sets[t->n], e, labels == TOPICS_SUBJECTS ? NULL : first, err));
    t->n++;
done:
    return status;
}

static sae_status open_mmlu(topic_run *t, const experiment *e, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    const scaffold_options *o = &e->options;
    uint8_t *first = NULL;

    SAE_TRY(common_questions(e, path, &first, err));
    for (int i = 0; i < o->n_labels; i++)
        if (is_measured(e, o->labels[i])) SAE_TRY(add_labels(t, e, path, o->labels[i], first, err));
    if (t->n == 0)
        SAE_RAISE(err, SAE_FORMAT,
                  "%s: not every document has a \"category\": add it, or --labels ten-subjects,subjects", path);
done:
    mem_free(first);
    return status;
}

static sae_status open_documents(topic_run *t, const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    topics_set *own = &t->sets[0];
    char **paths = NULL;
    int n = 0;

    SAE_TRY(labelled_paths(e->options.topics, &paths, &n, err));
    if (n != 1)
        SAE_RAISE(err, SAE_RANGE, "--topics %s names %d sets of documents: give one of them", e->options.topics, n);
    SAE_TRY(topics_set_read(own, paths[0], TOPICS_LABELS, own_classes, &(labelled_options){0}, err));
    if (topics_are_mmlu(&own->docs)) {
        topics_set_free(own);
        SAE_TRY(open_mmlu(t, e, paths[0], err));
    } else {
        if (e->options.labels_given)
            SAE_RAISE(err, SAE_RANGE, "%s is not labelled with MMLU's subjects: leave --labels out", paths[0]);
        SAE_TRY(divide(own, e, NULL, err));
        t->n = 1;
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

/* ---- The measurement ------------------------------------------------------------------------------------------------------ */

static sae_status pool(topic_run *t, experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_dict *ablated = e->dicts[e->options.ablate];
    pooled_options how = {
        .max_norm = e->options.max_norm, .with_bos = e->options.with_bos, .last = e->options.last_token};
    int64_t total = 0, *docs = NULL;

    SAE_TRY(topics_sets_documents(t->sets, t->n, &docs, &total, err));
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
                        .space_name = TOPICS_SCAFFOLD,
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

/* ---- Numbers for others ---------------------------------------------------------------------------------------------------- */

/* "categories.scaffold removed, R2 uncentred.fixed" */
static void key_of(char key[200], const char *set, const char *arm, const char *measure)
{
    snprintf(key, 200, "%s%s%s.%s", set, arm ? "." : "", arm ? arm : "", measure);
}

bool scaffold_topics_number(const experiment *e, const char *part, const char *set, const char *arm,
                            const char *measure, interval *out)
{
    const sae_result *r = experiment_find(e, part, "topics");
    char key[200];
    double v[3];

    key_of(key, set, arm, measure);
    if (!r || !sae_result_get_interval(r, key, v)) return false;
    *out = (interval){v[0], v[1], v[2]};
    return true;
}

const char *scaffold_topics_set(const experiment *e, const char *part)
{
    interval clean;

    for (int i = 0; i < e->options.n_labels; i++) {
        const char *name = topics_labels_names[e->options.labels[i]];
        if (scaffold_topics_number(e, part, name, TOPICS_CLEAN, "fixed", &clean)) return name;
    }
    return scaffold_topics_number(e, part, own_classes, TOPICS_CLEAN, "fixed", &clean) ? own_classes : NULL;
}

static sae_status numbers(sae_result *r, const topics_set *set, sae_error *err)
{
    sae_status status = SAE_OK;
    char key[200];

    for (int i = 0; i < set->found.n_arms; i++) {
        const topics_arm *arm = &set->found.arms[i];
        const interval held = {arm->held, NAN, NAN};
        const struct {
            const char *measure;
            const interval *v;
        } all[] = {{"fixed", &arm->fixed},
                   {"fall", &arm->fall},
                   {"retrained", &arm->retrained},
                   {"retrained_fall", &arm->retrained_fall},
                   {"over_random", &arm->over_random},
                   {"retrained_over_random", &arm->retrained_over_random},
                   {"held", &held}};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            if (!isfinite(all[k].v->value)) continue; /* nothing to compare with */
            key_of(key, set->name, arm->name, all[k].measure);
            SAE_TRY(sae_result_silent(r, key, all[k].v->value, all[k].v->low, all[k].v->high, err));
        }
    }
    key_of(key, set->name, NULL, "test_questions");
    SAE_TRY(sae_result_silent(r, key, (double)set->split.test.n, NAN, NAN, err));
done:
    return status;
}

static sae_status report(const topic_run *t, experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
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
    for (int i = 0; i < t->n; i++) SAE_TRY(numbers(r, &t->sets[i], err));
    SAE_TRY(topics_report(r, t->sets, t->n, err));
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
