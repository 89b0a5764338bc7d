/* model_name.c - models that are known by a name, and where they are looked for. */
#include "cli/cli.h"
#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct known_model {
    const char *name, *file, *remedy;
} known_model;

static const known_model known_models[] = {
    {"smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "run `make fetch-model` in the source folder (98 MB)"},
};

/* The folders in their order: candidate i in the buffer, or false. */
static bool candidate(int i, const char *file, char *buffer, size_t size)
{
    const char *sae_home = getenv("SAE_HOME"), *home = getenv("HOME");

    if (i == 0) snprintf(buffer, size, "models/%s", file);
    if (i == 1 && sae_home && *sae_home)
        snprintf(buffer, size, "%s/models/%s", sae_home, file);
    else if (i == 1)
        snprintf(buffer, size, "%s/.cache/sae/models/%s", home ? home : "", file);
    return i < 2;
}

sae_status model_path(const char *name, char **path, sae_error *err)
{
    char buffer[4096];

    for (size_t k = 0; k < sizeof known_models / sizeof *known_models; k++) {
        const known_model *known = &known_models[k];
        if (strcmp(name, known->name) != 0 || file_exists(name)) continue;
        for (int i = 0; candidate(i, known->file, buffer, sizeof buffer); i++) {
            if (!file_exists(buffer)) continue;
            *path = mem_strdup(buffer, err);
            return *path ? SAE_OK : SAE_NOMEM;
        }
        return SAE_FAIL(err, SAE_MISSING,
                        "the model %s is not here: neither models/%s nor %s exists; to get it, %s, or give the path "
                        "of a GGUF file or a Hugging Face folder",
                        name, known->file, buffer, known->remedy);
    }
    if (!file_exists(name))
        return SAE_FAIL(err, SAE_IO, "%s: no such file or folder, and not the name of a known model (smollm2)", name);
    *path = mem_strdup(name, err);
    return *path ? SAE_OK : SAE_NOMEM;
}
