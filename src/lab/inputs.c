/* inputs.c - hashes of a model and of texts. */
#include "lab/inputs.h"

#include "io/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static json_t *hash_json(uint64_t hash)
{
    char text[32];

    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return json_string(text);
}

/* A GGUF file has all in it. */
static sae_status beside_weights(const char *model, json_t **beside, sae_error *err)
{
    static const char *const names[] = {"config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json",
                                        "merges.txt"};
    sae_status status = SAE_OK;
    char *path = NULL;

    for (size_t i = 0; file_is_folder(model) && i < sizeof names / sizeof *names; i++) {
        uint64_t hash;
        mem_free(path);
        path = path_join(model, names[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        if (!file_exists(path)) continue;
        SAE_TRY(file_hash(path, &hash, err));
        json_put(beside, names[i], hash_json(hash));
    }
done:
    mem_free(path);
    return status;
}

void lab_tell_short(const lab_notice *notice, const sample *held_out, int64_t asked)
{
    const int64_t there = held_out->n_seq * held_out->ctx - held_out->n_masked;
    char text[200];

    if (!notice->tell || there >= asked) return;
    snprintf(text, sizeof text,
             "--held-out-tokens %lld: the held-out part of the text has %lld, all are taken; give more text for more",
             (long long)asked, (long long)there);
    notice->tell(notice->user, text);
}

sae_status lab_inputs(json_t **out, const char *path, const sae_model *model, const char *const *texts, int n_texts,
                      sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *hashes = json_array(), *beside = json_object();

    SAE_TRY(beside_weights(path, &beside, err));
    for (int i = 0; i < n_texts; i++) {
        uint64_t hash;
        if (strcmp(texts[i], "-") == 0)
            SAE_RAISE(err, SAE_UNSUPPORTED,
                      "standard input cannot be read twice (for training and held-out text): give a file");
        SAE_TRY(file_hash(texts[i], &hash, err));
        json_add(&hashes, hash_json(hash));
    }
    *out = json_pack("{ss so sO sO}", "version", sae_version(), "model", hash_json(sae_model_hash(model)),
                     "model_files", beside, "texts", hashes);
    if (!*out) SAE_RAISE(err, SAE_NOMEM, "no memory to describe the inputs");
done:
    json_decref(hashes);
    json_decref(beside);
    return status;
}
