/*
 * held_out.h - what `sae eval` and `sae features` share: a dictionary, the model that it reads, and held-out text.
 */
#ifndef SAE_CLI_HELD_OUT_H
#define SAE_CLI_HELD_OUT_H

#include "cli/cli.h"

typedef struct held_out {
    sae_dict *dict;
    sae_model *model;
    char *model_path;
    sae_tokenizer *tok;
    sae_text *text;
    sae_site site;
    sae_eval_options options;
} held_out;

/* The options that held_out_open reads; a command's table begins with them. */
/* clang-format off */
#define HELD_OUT_ROWS(tokens)                                                                                           \
    OPTION_MODEL_ROW, OPTION_TEXT_ROW(NULL),                                                                            \
    {"site", OPTION_LIST, "SITE", "where rows are read (default: the dictionary's site)", NULL}, OPTION_TOKENS_ROW(tokens), \
    OPTION_CTX_ROW("256"), OPTION_SEPARATOR_ROW, OPTION_MAX_NORM_ROW,                                                   \
    {"split", OPTION_TEXT, "PART", "held-out: documents that training did not see; or all", "held-out"}
/* clang-format on */

/* Opens the folder `dict_path` and everything around it. The model and the site are the dictionary's own unless given. */
sae_status held_out_open(held_out *out, args *a, const char *dict_path, sae_error *err);
/* The same without tokenizer and text. */
sae_status held_out_open_site(held_out *out, args *a, const char *dict_path, sae_error *err);
void held_out_close(held_out *h);

#endif
