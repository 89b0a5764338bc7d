/* site.c - names of the places in a model where rows can be read or changed. */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

static const char *const hook_names[] = {
    [SAE_RESID_PRE] = "resid_pre",
    [SAE_RESID_POST] = "resid_post",
    [SAE_ATTN_OUT] = "attn_out",
    [SAE_MLP_OUT] = "mlp_out",
};
enum { N_HOOK = sizeof hook_names / sizeof *hook_names };

/* Digits up to `end`, at most six of them; -1 when there is anything else. */
static int parse_layer(const char *text, const char *end)
{
    int layer = 0;

    if (text == end || end - text > 6) return -1;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9') return -1;
        layer = layer * 10 + (*text - '0');
    }
    return layer;
}

/* "blocks.14.hook_resid_post", "model.layers.14", "resid_post.14"; layer -1 when it is none of them. */
static sae_site parse(const char *name)
{
    sae_site site = {-1, SAE_RESID_POST};
    const char *const end = name + strlen(name);

    if (strncmp(name, "model.layers.", 13) == 0) {
        site.layer = parse_layer(name + 13, end);
    } else if (strncmp(name, "blocks.", 7) == 0) {
        const char *dot = strchr(name + 7, '.');
        if (!dot || strncmp(dot, ".hook_", 6) != 0) return site;
        for (int h = 0; h < N_HOOK; h++)
            if (strcmp(dot + 6, hook_names[h]) == 0) site = (sae_site){parse_layer(name + 7, dot), (sae_hook)h};
    } else {
        const char *dot = strrchr(name, '.');
        for (int h = 0; dot && h < N_HOOK; h++)
            if (strlen(hook_names[h]) == (size_t)(dot - name) &&
                strncmp(name, hook_names[h], (size_t)(dot - name)) == 0)
                site = (sae_site){parse_layer(dot + 1, end), (sae_hook)h};
    }
    return site;
}

void site_full_name(const char *name, char *buffer, size_t size)
{
    sae_site site = parse(name);

    if (site.layer < 0)
        snprintf(buffer, size, "%s", name);
    else
        sae_site_name(site, buffer, size);
}

sae_status sae_site_parse(sae_site *out, const char *name, const sae_model *model, sae_error *err)
{
    sae_site site = parse(name);

    if (site.layer < 0)
        return SAE_FAIL(err, SAE_RANGE,
                        "site \"%s\" is not understood; sites are blocks.L.hook_resid_pre, blocks.L.hook_resid_post, "
                        "blocks.L.hook_attn_out and blocks.L.hook_mlp_out with L from 0 to %lld",
                        name, (long long)model->d.n_layer - 1);
    if (site.layer >= model->d.n_layer)
        return SAE_FAIL(err, SAE_RANGE, "site \"%s\": the model has layers 0 to %lld", name,
                        (long long)model->d.n_layer - 1);
    *out = site;
    return SAE_OK;
}

void sae_site_name(sae_site site, char *buffer, size_t size)
{
    snprintf(buffer, size, "blocks.%d.hook_%s", site.layer, hook_names[site.hook]);
}
