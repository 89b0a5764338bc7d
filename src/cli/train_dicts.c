/* train_dicts.c - the dictionaries of a run: every combination of the widths, ks and ranks that the user names. */
#include "cli/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A list of counts: "0,6,24". Caller frees *values with mem_free. */
static sae_status counts(args *a, const char *name, int64_t **values, int *n, sae_error *err)
{
    const char *const *items = NULL;

    *n = args_list(a, name, &items);
    *values = mem_alloc_array((size_t)*n + 1, sizeof **values, "a list of numbers", err);
    if (!*values) return SAE_NOMEM;
    for (int i = 0; i < *n; i++) {
        char *end = NULL;
        (*values)[i] = strtoll(items[i], &end, 10);
        if (end == items[i] || *end || (*values)[i] < 0)
            return args_fail(a, err, "--%s %s: not a whole number", name, items[i]);
        for (int j = 0; j < i; j++)
            if ((*values)[j] == (*values)[i]) return args_fail(a, err, "--%s names %s twice", name, items[i]);
    }
    return SAE_OK;
}

static sae_status groups(args *a, sae_dict_config *c, sae_error *err)
{
    const char *const *items = NULL;
    int n = args_list(a, "groups", &items);
    int64_t left = c->d_sae;

    if (n == 0) {
        matryoshka_default_groups(c);
        return SAE_OK;
    }
    if (n > SAE_MAX_GROUPS) return args_fail(a, err, "--groups: at most %d", SAE_MAX_GROUPS);
    double sum = 0;
    for (int i = 0; i < n; i++) {
        char *end = NULL;
        double share = strtod(items[i], &end);
        if (end == items[i] || *end || !(share > 0.0 && share <= 1.0))
            return args_fail(a, err, "--groups %s: not a share between 0 and 1", items[i]);
        sum += share;
        c->groups[i] = i == n - 1 ? left : (int64_t)(share * (double)c->d_sae);
        left -= c->groups[i];
    }
    if (sum < 0.999 || sum > 1.001) return args_fail(a, err, "--groups sum to %g instead of 1", sum);
    c->n_groups = n;
    return SAE_OK;
}

sae_status train_dicts_make(train_dicts *out, args *a, const train_input *in, sae_error *err)
{
    static const char *const archs[] = {"batchtopk", "matryoshka", NULL}, *const variants[] = {"p1", "p2", NULL};
    sae_status status = SAE_OK;
    int64_t *widths = NULL, *ks = NULL, *ranks = NULL;
    int n_widths = 0, n_ks = 0, n_ranks = 0, arch = 0, variant = 0, n = 0;

    SAE_TRY(args_choice(a, "arch", archs, &arch, err));
    SAE_TRY(args_choice(a, "variant", variants, &variant, err));
    SAE_TRY(counts(a, "width", &widths, &n_widths, err));
    SAE_TRY(counts(a, "k", &ks, &n_ks, err));
    SAE_TRY(counts(a, "rank", &ranks, &n_ranks, err));
    out->n = n_widths * n_ks * n_ranks;
    out->configs = mem_alloc_array((size_t)out->n + 1, sizeof *out->configs, "the dictionaries", err);
    out->names = mem_alloc_array((size_t)out->n + 1, sizeof *out->names, "their names", err);
    out->name_space = mem_alloc_array((size_t)out->n + 1, sizeof *out->name_space, "their names", err);
    if (!out->configs || !out->names || !out->name_space) SAE_TRY(SAE_NOMEM);
    if (!arch && args_given(a, "groups")) warn("--groups is for --arch matryoshka: ignored");
    for (int w = 0; w < n_widths; w++)
        for (int k = 0; k < n_ks; k++)
            for (int r = 0; r < n_ranks; r++, n++) {
                sae_dict_config *c = &out->configs[n];
                *c = (sae_dict_config){.arch = arch ? SAE_MATRYOSHKA : SAE_BATCHTOPK,
                                       .variant = variant ? SAE_P2 : SAE_P1,
                                       .d_in = in->d_in,
                                       .d_sae = widths[w],
                                       .k = ks[k],
                                       .rank = ranks[r],
                                       .apply_b_dec_to_input = true,
                                       .seed = (uint64_t)args_int(a, "seed", 0)};
                snprintf(c->site, sizeof c->site, "%s", in->site_name);
                snprintf(c->model, sizeof c->model, "%s",
                         args_text(a, "model") ? args_text(a, "model") : in->model_name);
                if (arch) SAE_TRY(groups(a, c, err));
                snprintf(out->name_space[n], sizeof out->name_space[n], "width%lld-k%lld-rank%lld",
                         (long long)widths[w], (long long)ks[k], (long long)ranks[r]);
                out->names[n] = out->name_space[n];
            }
done:
    mem_free(widths);
    mem_free(ks);
    mem_free(ranks);
    return status;
}

void train_dicts_free(train_dicts *dicts)
{
    mem_free(dicts->configs);
    mem_free(dicts->names);
    mem_free(dicts->name_space);
    *dicts = (train_dicts){0};
}

json_t *train_dict_json(const sae_dict_config *c, const char *name)
{
    return json_pack("{ss ss sI sI sI sI ss ss}", "name", name, "arch",
                     c->arch == SAE_MATRYOSHKA ? "matryoshka" : "batchtopk", "d_in", (json_int_t)c->d_in, "d_sae",
                     (json_int_t)c->d_sae, "k", (json_int_t)c->k, "rank", (json_int_t)c->rank, "variant",
                     c->variant == SAE_P2 ? "p2" : "p1", "site", c->site);
}
