/*
 * lab_input.h - what experiments on a trained dictionary have in common: the dictionary, its model, and rows of its site
 * from held-out text or from token ids.
 */
#ifndef SAE_CLI_LAB_INPUT_H
#define SAE_CLI_LAB_INPUT_H

#include "cli/held_out.h"
#include "eval/sample.h"

typedef struct lab_input {
    held_out h; /* h.tok is NULL where ids were given for a model without a tokenizer */
    sample sample;
} lab_input;

/* clang-format off */
#define LAB_SAMPLE_ROWS(tokens) HELD_OUT_ROWS(tokens),                                                                   \
    {"ids", OPTION_TEXT, "FILE", "token ids [sequences, tokens] in X.npy or X.safetensors[:name] instead of a text", NULL}, \
    OPTION_WITH_BOS_ROW
#define LAB_INPUT_ROWS(tokens) LAB_SAMPLE_ROWS(tokens),                                                                  \
    {"dict", OPTION_TEXT, "DICT", "a SAELens folder: cfg.json and sae_weights.safetensors", NULL}
/* clang-format on */

/* Everything around --dict. With --ids position 0 and the tokenizer's special tokens are masked; `needs_tokenizer`: a model
 * without one is refused, else only position 0 is and a warning says so. Caller closes with lab_input_close. */
sae_status lab_input_open(lab_input *out, args *a, bool needs_tokenizer, const sae_progress *progress, sae_error *err);
/* The same around the dictionary in the folder `dict`, for a command without --dict. */
sae_status lab_input_open_for(lab_input *out, args *a, const char *dict, bool needs_tokenizer,
                              const sae_progress *progress, sae_error *err);
void lab_input_close(lab_input *in);

#endif
