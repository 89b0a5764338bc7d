/*
 * labelled.h - documents with a label each, and their division into a training and a test part.
 *
 * What it keeps true: classes stand in the order of their names; every class has the same number of documents in each
 * part; documents that begin alike are never in both parts; the same file, options and seed give the same division.
 */
#ifndef SAE_TEXT_LABELLED_H
#define SAE_TEXT_LABELLED_H

#include "base/base.h"

enum { LABELLED_MOST_CLASSES = 1024, LABELLED_LABEL_BYTES = 200 };

typedef struct labelled_options {
    const char *text;  /* name of the column or member; NULL: "text", else "prompt" */
    const char *label; /* NULL: "label", else "target" */
    const char *more;  /* JSON: a member, a string or a list of them, added to the text, a line each; NULL: none */
} labelled_options;

typedef struct labelled {
    char *path;
    int64_t n;      /* documents, in the order of the file */
    char *bytes;    /* their texts; document i is bytes[start[i]] .. bytes[start[i + 1]] */
    size_t *start;  /* [n + 1] */
    int32_t *label; /* [n] index into names */
    char **names;   /* [n_classes], in the order of their bytes */
    int n_classes;
    int64_t n_empty;    /* left out: without text */
    uint64_t hash;      /* of texts and labels in their order */
    size_t room, rooms; /* of bytes; of start and label, in documents */
} labelled;

/* Reads one file: .jsonl (an object a line) or .csv (a header line; RFC 4180), each also packed (.zst, .gz). Labels are strings,
 * whole numbers, reals or booleans, by their text. FORMAT names the file and line of what cannot be read, RANGE one with fewer than
 * two classes or more than LABELLED_MOST_CLASSES. Caller frees with labelled_free. */
sae_status labelled_read(labelled *out, const char *path, const labelled_options *options, sae_error *err);
void labelled_free(labelled *l);

/* The sets that a path names: itself when it is a file, else the files of the folder that labelled_read takes by their names, sorted;
 * other files there (a README, a licence) are passed over. Caller frees with labelled_paths_free. */
sae_status labelled_paths(const char *path, char ***paths, int *n, sae_error *err);
void labelled_paths_free(char **paths, int n);

/* ---- Division (split.c) -------------------------------------------------------------------------------------------------- */

typedef struct split_options {
    int64_t n_train, n_test;    /* most documents of a class in each part; 0: 2,000 and 500 */
    size_t group_bytes;         /* documents whose first so many bytes agree stay together; 0: whose texts are equal */
    const char *const *classes; /* only these; */
    int n_classes;              /* 0: all */
    const uint8_t *first;       /* [documents] 1: taken before others of its class; NULL: none is */
    uint64_t seed;
} split_options;

/* A part: `per_class` documents of class 0, then those of class 1, ... */
typedef struct split_part {
    int64_t per_class, n; /* n = per_class x classes */
    int64_t *doc;         /* [n] numbers of documents */
} split_part;

typedef struct split {
    int n_classes;
    int *class_of; /* [n_classes] index into labelled.names */
    split_part train, test;
} split;

/* Divides. A class with fewer than n_train + n_test documents gives them in that proportion, and all classes give as many as the smallest.
 * RANGE: a class is not there, or has fewer than two documents for one of the parts. Caller frees with split_free. */
sae_status split_create(split *out, const labelled *l, const split_options *options, sae_error *err);
void split_free(split *s);
/* The documents of n divisions, one after the other, of each those to train on first: what has to be read for all of them. mem_free
 * *docs. */
sae_status split_documents(const split *const *of, int n, int64_t **docs, int64_t *n_docs, sae_error *err);
static inline int split_class(const split_part *p, int64_t i) { return (int)(i / p->per_class); }

#endif
