/*
 * split.c - divides labelled documents into a training and a test part of equally many documents of each class.
 *
 * Documents that begin alike form a group, and a group goes to one part whole, whatever the labels of its documents: what is
 * tested on was not trained on, not even under another label.
 */
#include "text/labelled.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

void split_free(split *s)
{
    mem_free(s->class_of);
    mem_free(s->train.doc);
    mem_free(s->test.doc);
    *s = (split){0};
}

typedef enum side { UNDECIDED, TRAIN, TEST } side;

typedef struct group_of {
    uint64_t hash;
    int64_t doc;
} group_of;

static int compare_groups(const void *a, const void *b)
{
    const group_of *x = a, *y = b;

    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->doc > y->doc) - (x->doc < y->doc);
}

/* group[i]: the number of document i's group; *n of them. */
static sae_status find_groups(const labelled *l, size_t group_bytes, int64_t *group, int64_t *n, sae_error *err)
{
    group_of *all = mem_alloc_array((size_t)l->n, sizeof *all, "groups of documents", err);

    if (!all) return SAE_NOMEM;
    for (int64_t i = 0; i < l->n; i++) {
        size_t bytes = l->start[i + 1] - l->start[i];
        if (group_bytes && bytes > group_bytes) bytes = group_bytes;
        all[i] = (group_of){XXH3_64bits(l->bytes + l->start[i], bytes), i};
    }
    qsort(all, (size_t)l->n, sizeof *all, compare_groups);
    *n = 0;
    for (int64_t i = 0; i < l->n; i++) {
        *n += i > 0 && all[i].hash != all[i - 1].hash;
        group[all[i].doc] = *n;
    }
    *n += 1;
    mem_free(all);
    return SAE_OK;
}

/* ---- Which classes -------------------------------------------------------------------------------------------------------- */

static sae_status choose_classes(split *s, const labelled *l, const split_options *o, sae_error *err)
{
    s->n_classes = o->n_classes ? o->n_classes : l->n_classes;
    if (s->n_classes < 2) return SAE_FAIL(err, SAE_RANGE, "%s: one class alone cannot be told apart", l->path);
    s->class_of = mem_alloc_array((size_t)s->n_classes, sizeof *s->class_of, "classes", err);
    if (!s->class_of) return SAE_NOMEM;
    for (int c = 0, found = 0; c < l->n_classes; c++) { /* in the order of the names, whatever that of the list */
        bool wanted = o->n_classes == 0;
        for (int i = 0; i < o->n_classes; i++) wanted = wanted || strcmp(o->classes[i], l->names[c]) == 0;
        if (wanted && found < s->n_classes) s->class_of[found++] = c;
        if (c + 1 == l->n_classes && found < s->n_classes)
            return SAE_FAIL(err, SAE_RANGE, "%s: of the %d classes wanted %d are there: check their names", l->path,
                            s->n_classes, found);
    }
    return SAE_OK;
}

/* Documents of the smallest class: how many each class may give to a part. */
static sae_status find_caps(const split *s, const labelled *l, const split_options *o, int64_t *n_train,
                            int64_t *n_test, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t *count = mem_alloc_array((size_t)l->n_classes, sizeof *count, "documents of each class", err);
    int smallest = s->class_of[0];
    int64_t train = o->n_train ? o->n_train : 2000, test = o->n_test ? o->n_test : 500;

    if (!count) return SAE_NOMEM;
    for (int64_t i = 0; i < l->n; i++) count[l->label[i]]++;
    for (int c = 1; c < s->n_classes; c++)
        if (count[s->class_of[c]] < count[smallest]) smallest = s->class_of[c];
    if ((double)count[smallest] < (double)train + (double)test) {
        double share = (double)test / ((double)train + (double)test);
        test = (int64_t)((double)count[smallest] * share + 0.5);
        train = count[smallest] - test;
    }
    if (train < 2 || test < 2)
        SAE_RAISE(err, SAE_RANGE,
                  "%s: class \"%s\" has %lld documents: at least two are needed to train on and two to test on",
                  l->path, l->names[smallest], (long long)count[smallest]);
    *n_train = train;
    *n_test = test;
done:
    mem_free(count);
    return status;
}

/* ---- Dividing ------------------------------------------------------------------------------------------------------------- */

/* What dividing one class needs; documents of a class that are in are doc[0 .. n). */
typedef struct division {
    int64_t *group, *docs; /* [l.n] */
    uint8_t *where;        /* [groups], a side */
    int64_t n_train, n_test;
} division;

/* Documents that are to come first, in front of others; of as many as are needed the order is by chance again, so that both parts
 * have the same share of them. */
static void put_first(const uint8_t *first, int64_t *docs, int64_t n, int64_t needed, rng *random)
{
    int64_t at = 0;

    for (int64_t i = 0; i < n; i++) {
        const int64_t doc = docs[i];
        if (!first[doc]) continue;
        docs[i] = docs[at];
        docs[at++] = doc;
    }
    rng_shuffle(random, docs, needed < n ? needed : n);
}

/* Puts the documents of class c, shuffled, into its stretch of both parts; *train, *test of them. First those whose group already
 * has a side, then new groups: to the test part until it is full. */
static void divide_class(split *s, const labelled *l, const split_options *o, division *d, int c, int64_t *train,
                         int64_t *test)
{
    int64_t n = 0;
    rng random = rng_seed(o->seed, 1000 + (uint64_t)c);

    for (int64_t i = 0; i < l->n; i++)
        if (l->label[i] == s->class_of[c]) d->docs[n++] = i;
    rng_shuffle(&random, d->docs, n);
    if (o->first) put_first(o->first, d->docs, n, d->n_train + d->n_test, &random);
    *train = *test = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < n; i++) {
            int64_t doc = d->docs[i];
            uint8_t *where = doc >= 0 ? &d->where[d->group[doc]] : NULL;
            if (!where || (pass == 0 && *where == UNDECIDED)) continue;
            if (*where == UNDECIDED) *where = *test < d->n_test ? TEST : TRAIN;
            if (*where == TEST && *test < d->n_test) s->test.doc[c * d->n_test + (*test)++] = doc;
            if (*where == TRAIN && *train < d->n_train) s->train.doc[c * d->n_train + (*train)++] = doc;
            d->docs[i] = -1;
        }
    }
}

/* All classes keep as many as the one with the fewest. */
static void level(split_part *p, int n_classes, int64_t room, int64_t fewest)
{
    for (int c = 0; c < n_classes; c++)
        memmove(p->doc + c * fewest, p->doc + c * room, (size_t)fewest * sizeof *p->doc);
    p->per_class = fewest;
    p->n = fewest * n_classes;
}

static sae_status divide(split *s, const labelled *l, const split_options *o, division *d, sae_error *err)
{
    int64_t fewest_train = d->n_train, fewest_test = d->n_test, train, test;

    for (int c = 0; c < s->n_classes; c++) {
        divide_class(s, l, o, d, c, &train, &test);
        if (train < fewest_train) fewest_train = train;
        if (test < fewest_test) fewest_test = test;
        if (train < 2 || test < 2)
            return SAE_FAIL(err, SAE_RANGE,
                            "%s: class \"%s\" leaves %lld documents to train on and %lld to test on when those that "
                            "begin alike stay together: two of each are needed",
                            l->path, l->names[s->class_of[c]], (long long)train, (long long)test);
    }
    level(&s->train, s->n_classes, d->n_train, fewest_train);
    level(&s->test, s->n_classes, d->n_test, fewest_test);
    return SAE_OK;
}

sae_status split_create(split *out, const labelled *l, const split_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    split s = {0};
    division d = {0};
    int64_t n_groups = 0;

    SAE_TRY(choose_classes(&s, l, options, err));
    SAE_TRY(find_caps(&s, l, options, &d.n_train, &d.n_test, err));
    d.group = mem_alloc_array((size_t)l->n, sizeof *d.group, "groups of documents", err);
    d.docs = mem_alloc_array((size_t)l->n, sizeof *d.docs, "documents of a class", err);
    d.where = mem_alloc_array((size_t)l->n, 1, "sides of groups", err);
    s.train.doc = mem_alloc_array((size_t)(d.n_train * s.n_classes), sizeof(int64_t), "documents to train on", err);
    s.test.doc = mem_alloc_array((size_t)(d.n_test * s.n_classes), sizeof(int64_t), "documents to test on", err);
    if (!d.group || !d.docs || !d.where || !s.train.doc || !s.test.doc) SAE_TRY(SAE_NOMEM);
    SAE_TRY(find_groups(l, options->group_bytes, d.group, &n_groups, err));
    SAE_TRY(divide(&s, l, options, &d, err));
    *out = s;
    s = (split){0};
done:
    mem_free(d.group);
    mem_free(d.docs);
    mem_free(d.where);
    split_free(&s);
    return status;
}

sae_status split_documents(const split *const *of, int n, int64_t **docs, int64_t *n_docs, sae_error *err)
{
    int64_t total = 0, at = 0;

    for (int i = 0; i < n; i++) total += of[i]->train.n + of[i]->test.n;
    *docs = mem_alloc_array((size_t)total, sizeof **docs, "documents", err);
    if (!*docs) return SAE_NOMEM;
    for (int i = 0; i < n; i++) {
        const split_part *parts[] = {&of[i]->train, &of[i]->test};
        for (int k = 0; k < 2; at += parts[k++]->n)
            memcpy(*docs + at, parts[k]->doc, (size_t)parts[k]->n * sizeof **docs);
    }
    *n_docs = total;
    return SAE_OK;
}
