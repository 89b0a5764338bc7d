/*
 * rows_option.h - rows of a site that were kept: the folder of --store or the file of --array.
 */
#ifndef SAE_CLI_ROWS_OPTION_H
#define SAE_CLI_ROWS_OPTION_H

#include "cli/cli.h"

/* All of them in their order, each once; NULL when neither is given, a usage error when both are. SHAPE: their width is not d, that of
 * what `reader` (a path, for the message) reads. Caller frees with sae_acts_free. */
sae_status rows_option_open(sae_acts **out, args *a, int64_t d, const char *reader, sae_error *err);

/* What a store says it is about ("site", "model"), as `sae acts` noted it; "" where it does not. */
sae_status store_about(const char *store, const char *key, char *out, size_t room, sae_error *err);
/* STATE: the store says that its rows are of another site than the one that the dictionary in the folder `path` says it was trained on. */
sae_status rows_option_check_site(const char *store, const sae_dict *dict, const char *path, sae_error *err);

#endif
