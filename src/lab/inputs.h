/* inputs.h - what an experiment's numbers come from, by contents, so that a renamed file is the same one. */
#ifndef SAE_LAB_INPUTS_H
#define SAE_LAB_INPUTS_H

#include "eval/sample.h"

/* What a run has to tell that is no failure, a line each. tell may be NULL. */
typedef struct lab_notice {
    void (*tell)(void *user, const char *text);
    void *user;
} lab_notice;
/* Tells of held-out text that ended before the unmasked tokens that were asked for. */
void lab_tell_short(const lab_notice *notice, const sample *held_out, int64_t asked);

/* {"version", "model", "model_files", "texts"}: this program's version and hashes of the weights, of what stands beside them in a
 * model's folder and decides ids and rows too, and of the texts. UNSUPPORTED: a text is standard input, which cannot be read
 * twice. Caller json_decref's. */
sae_status lab_inputs(json_t **out, const char *path, const sae_model *model, const char *const *texts, int n_texts,
                      sae_error *err);

#endif
