/*
 * scaffold_topics.c - whether the topics of documents are still to be told after the scaffold is taken out of their rows, or the baseline's
 * topic-aligned latents are ablated. topics.h has the measurement; here it gets the run's subspaces, mean and dictionaries.
 */
#include "lab/scaffold.h"
#include "lab/topics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GROUP_BYTES = 200, TEN = 10 }; /* questions that begin alike stay in one part */

/* Documents and what is made of them, while the step runs. */
typedef struct topic_run {
    labelled docs;
    split split;
    pooled pooled;
    subspace random[TOPICS_DRAWS];
} topic_run;

static void topic_run_free(topic_run *t)
{
    for (int i = 0; i < TOPICS_DRAWS; i++) subspace_free(&t->random[i]);
    pooled_free(&t->pooled);
    split_free(&t->split);
    labelled_free(&t->docs);
}

static bool has_ten_subjects(const labelled *l)
{
    int found = 0;

    for (int i = 0; i < l->n_classes; i++)
        for (int s = 0; s < TEN; s++) found += strcmp(l->names[i], topics_ten_subjects[s]) == 0;
    return found == TEN;
}

/* `questions` in all: seven of ten to train the probe. Ten subjects far apart where MMLU is given, else every class. */
static sae_status divide(topic_run *t, const experiment *e, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    labelled_options how = {0};
    split_options parts = {.group_bytes = GROUP_BYTES, .seed = e->options.seed};

    SAE_TRY(labelled_read(&t->docs, path, &how, err));
    int classes = t->docs.n_classes;
    if (has_ten_subjects(&t->docs)) {
        parts.classes = topics_ten_subjects;
        parts.n_classes = classes = TEN;
    }
    parts.n_train = e->options.questions * 7 / 10 / classes;
    parts.n_test = e->options.questions / classes - parts.n_train;
    if (parts.n_train < 2 || parts.n_test < 2)
        SAE_RAISE(err, SAE_RANGE, "%s: %lld documents of %d classes are too few for a probe: raise --questions", path,
                  (long long)e->options.questions, classes);
    SAE_TRY(split_create(&t->split, &t->docs, &parts, err));
done:
    return status;
}

static sae_status open_documents(topic_run *t, const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    char **paths = NULL;
    int n = 0;

    SAE_TRY(labelled_paths(e->options.topics, &paths, &n, err));
    if (n != 1)
        SAE_RAISE(err, SAE_RANGE, "--topics %s names %d sets of documents: give one of them", e->options.topics, n);
    SAE_TRY(divide(t, e, paths[0], err));
done:
    labelled_paths_free(paths, n);
    return status;
}

sae_status scaffold_topics_check(const experiment *e, sae_error *err)
{
    topic_run t = {0};
    sae_status status = e->options.topics ? open_documents(&t, e, err) : SAE_OK;

    topic_run_free(&t);
    return status;
}

static sae_status pool(topic_run *t, experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    const split_part *train = &t->split.train, *test = &t->split.test;
    const sae_dict *baseline = e->dicts[ARM_BASELINE];
    pooled_options how = {.max_norm = e->options.max_norm};
    int64_t *docs = mem_alloc_array((size_t)(train->n + test->n), sizeof *docs, "documents", err);

    if (!docs) return SAE_NOMEM;
    memcpy(docs, train->doc, (size_t)train->n * sizeof *docs);
    memcpy(docs + train->n, test->doc, (size_t)test->n * sizeof *docs);
    SAE_TRY(pooled_create(&t->pooled, e->model, e->tok, e->site, &t->docs, docs, train->n + test->n, &baseline, 1, &how,
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
                        .mean = e->mean,
                        .dict = e->dicts[ARM_BASELINE],
                        .counts = {(width + 4) / 8, width <= 2048 || (width + 4) / 8 == 2048 ? 0 : 2048},
                        .seed = e->options.seed};

    for (int i = 0; i < TOPICS_DRAWS; i++)
        SAE_TRY(subspace_random(&t->random[i], e->d, compared_rank(e), &random, err));
    SAE_TRY(topics_measure(e->topics, &t->pooled, &t->split, &what, e->progress, err));
done:
    return status;
}

sae_status scaffold_topics(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    topic_run t = {0};
    sae_result *r = NULL;
    char text[300];
    const char *name = "topics";

    if (!e->options.topics || e->map.write_space.rank == 0) return SAE_OK; /* W_up never moved: nothing to remove */
    e->topics = mem_alloc(sizeof *e->topics, "topics", err);
    if (!e->topics) return SAE_NOMEM;
    SAE_TRY(open_documents(&t, e, err));
    SAE_TRY(pool(&t, e, err));
    SAE_TRY(measure(&t, e, err));
    SAE_TRY(experiment_result(e, "topics", "Topics of documents", &r, err));
    snprintf(text, sizeof text,
             "Mean rows of %lld documents; mean, principal components and subspaces are those of the training rows.",
             (long long)t.pooled.n);
    SAE_TRY(sae_result_note(r, text, err));
    SAE_TRY(sae_result_input(r, "documents", t.docs.hash, err));
    SAE_TRY(topics_report(r, e->topics, &name, 1, err));
done:
    topic_run_free(&t);
    return status;
}

const topics_arm *scaffold_topics_arm(const experiment *e, const char *arm)
{
    for (int i = 0; e->topics && i < e->topics->n_arms; i++)
        if (strcmp(e->topics->arms[i].name, arm) == 0) return &e->topics->arms[i];
    return NULL;
}
