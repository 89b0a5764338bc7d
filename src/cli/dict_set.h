/*
 * dict_set.h - the dictionaries that a command is given.
 */
#ifndef SAE_CLI_DICT_SET_H
#define SAE_CLI_DICT_SET_H

#include "cli/cli.h"

typedef struct dict_set {
    int n;
    sae_dict **at;            /* [n] */
    const char *const *paths; /* [n] as given, borrowed */
    char **names;             /* [n] short ones that tell them apart */
} dict_set;

/* Caller closes with dict_set_close. */
sae_status dict_set_open(dict_set *out, const char *const *paths, int n, sae_error *err);
void dict_set_close(dict_set *s);

/* Whether no two of them are one and the same, by whatever path: of equal sizes, W_enc, W_dec and W_up. STATE names both. */
sae_status dict_set_check_differ(const dict_set *s, sae_error *err);

/* Whether there is a subspace that the dictionary's scaffold writes, of rows that it reads: STATE for rank 0, UNSUPPORTED for a
 * transcoder; the message names the path. */
sae_status scaffold_check(const sae_dict *dict, const char *path, sae_error *err);

#endif
