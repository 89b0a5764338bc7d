/*
 * train_dicts.c - the dictionaries of a run: every combination of what the user lists.
 *
 * An axis is an option that may list several values; a combination takes one of each. Names are made of all of them, so that a
 * dictionary keeps its name when the lists grow.
 */
#include "cli/train.h"
#include "sae/effects.h"
#include "sae/scaffold_fields.h"
#include "sae/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What can be trained, by name; ends with a NULL. */
static const char *const arch_names[] = {"batchtopk", "matryoshka", "topk", "jumprelu", "standard", "gated", NULL};
static const sae_arch archs[] = {SAE_BATCHTOPK, SAE_MATRYOSHKA, SAE_TOPK, SAE_JUMPRELU, SAE_STANDARD, SAE_GATED};

/* ---- Axes ---------------------------------------------------------------------------------------------------------------- */

enum { ARCH, WIDTH, K, L1, RANK, VARIANT, SEED, N_AXES };

typedef struct axis {
    const char *option;
    const char *const *choices; /* NULL: numbers */
    bool real;                  /* not whole */
    int64_t *values;            /* owned; of a choice or a real number its index */
    double *reals;              /* owned; NULL: none were given */
    int n;
} axis;

static sae_status axis_value(args *a, const axis *x, const char *text, int64_t *value, sae_error *err)
{
    if (x->choices) {
        int index = 0;
        sae_status status = args_choice_of(a, x->option, text, x->choices, &index, err);
        *value = index;
        return status;
    }
    if (x->real) {
        char *end = NULL;
        double *real = &x->reals[value - x->values];
        *value = value - x->values;
        *real = strtod(text, &end);
        return end != text && !*end && *real >= 0.0 && isfinite(*real)
                   ? SAE_OK
                   : args_fail(a, err, "--%s %s: not a number", x->option, text);
    }
    if (!count_parse(text, value) || *value < 0)
        return args_fail(a, err, "--%s %s: not a whole number", x->option, text);
    return SAE_OK;
}

static sae_status axis_read(args *a, axis *x, sae_error *err)
{
    const char *const *items = NULL;
    int n = args_list(a, x->option, &items);

    x->values = mem_alloc_array((size_t)n + 1, sizeof *x->values, "a list of values", err);
    if (!x->values) return SAE_NOMEM;
    x->n = 1;
    if (x->real && n == 0) return SAE_OK; /* one combination, without a value */
    if (x->real) x->reals = mem_alloc_array((size_t)n, sizeof *x->reals, "a list of values", err);
    if (x->real && !x->reals) return SAE_NOMEM;
    for (int i = 0; i < n; i++) {
        sae_status status = axis_value(a, x, items[i], &x->values[i], err);
        if (status != SAE_OK) return status;
        for (int j = 0; j < i; j++)
            if (x->real ? x->reals[j] == x->reals[i] : x->values[j] == x->values[i])
                return args_fail(a, err, "--%s names %s twice", x->option, items[i]);
    }
    x->n = n;
    return SAE_OK;
}

/* ---- One combination ------------------------------------------------------------------------------------------------------ */

static sae_status groups_refused(args *a, const sae_dict_config *c, const char *item, sae_error *err)
{
    return args_fail(a, err,
                     "--groups %s: ends of prefixes must ascend and lie in [1, %lld], the width; shares of it must lie "
                     "between 0 and 1",
                     item, (long long)c->d_sae);
}

/* Prefixes by where they end: ascending, the last one the whole width (which may be left away). */
static sae_status group_ends(args *a, sae_dict_config *c, const char *const *items, int n, sae_error *err)
{
    int64_t end = 0, begin = 0;

    for (int i = 0; i < n; i++, begin = end) {
        if (!count_parse(items[i], &end) || end <= begin || end > c->d_sae) return groups_refused(a, c, items[i], err);
        c->groups[i] = end - begin;
    }
    if (begin < c->d_sae && n == SAE_MAX_GROUPS) return args_fail(a, err, "--groups: at most %d", SAE_MAX_GROUPS);
    if (begin < c->d_sae) c->groups[n++] = c->d_sae - begin;
    c->n_groups = n;
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
    /* A lone 1 is all of the width; the first of several can only be an end. */
    if (count_parse(items[0], &c->groups[0]) && (c->groups[0] > 1 || n > 1)) return group_ends(a, c, items, n, err);
    double sum = 0;
    for (int i = 0; i < n; i++) {
        char *end = NULL;
        double share = strtod(items[i], &end);
        if (end == items[i] || *end || !(share > 0.0 && share <= 1.0)) return groups_refused(a, c, items[i], err);
        sum += share;
        c->groups[i] = i == n - 1 ? left : (int64_t)(share * (double)c->d_sae);
        left -= c->groups[i];
    }
    if (sum < 0.999 || sum > 1.001)
        return args_fail(a, err, "--groups sum to %g instead of 1 (or give the prefixes' ends: 512,1536,...)", sum);
    c->n_groups = n;
    return SAE_OK;
}

static bool takes_k(sae_arch arch) { return keeps_k(arch) || arch == SAE_JUMPRELU; }
static bool takes_l1(sae_arch arch) { return !keeps_k(arch); }

enum { NOT_TAKEN = -1 }; /* the value of an axis that does nothing to the dictionary */

/* Where none is given or taken, the recipe's; of batchtopk and its like 0. */
static double coefficient(sae_recipe_name recipe, sae_arch arch, const axis *x, int64_t index)
{
    return takes_l1(arch) && x->reals && index != NOT_TAKEN ? x->reals[index] : recipe_l1_coefficient(recipe, arch);
}

sae_status scaffold_choices(sae_dict_config *c, args *a, sae_error *err)
{
    const char *const starts[] = {scaffold_start_names[0], scaffold_start_names[1], scaffold_start_names[2], "random",
                                  NULL}; /* the last, once the first's name, still means it */
    sae_status status = SAE_OK;
    int start = 0, centre = 0, tie = 0;

    SAE_TRY(args_choice(a, "scaffold-start", starts, &start, err));
    SAE_TRY(args_choice(a, "scaffold-centre", scaffold_centre_names, &centre, err));
    SAE_TRY(args_choice(a, "scaffold-tie", scaffold_tie_names, &tie, err));
    c->scaffold_start = start == 3 ? SAE_START_ZERO : (sae_scaffold_start)start;
    c->scaffold_centre = (sae_scaffold_centre)centre;
    c->scaffold_tie = (sae_scaffold_tie)tie;
    c->scaffold_lr = args_real(a, "scaffold-lr", 1);
    if (!(c->scaffold_lr > 0))
        return args_fail(a, err, "--scaffold-lr %g: must be above 0; --scaffold-freeze holds a scaffold still",
                         c->scaffold_lr);
    c->scaffold_steps = args_int(a, "scaffold-steps", 0);
    c->scaffold_frozen = args_flag(a, "scaffold-freeze");
    c->scaffold_last = args_flag(a, "scaffold-last");
done:
    return status;
}

/* What has no meaning for a dictionary does not make it another one: not for a checkpoint that is gone on with. */
static void forget_scaffold(sae_dict_config *c)
{
    if (c->arch != SAE_MATRYOSHKA) c->scaffold_last = false;
    if (c->rank > 0) return;
    c->variant = SAE_P1;
    c->scaffold_start = SAE_START_ZERO;
    c->scaffold_centre = SAE_CENTRE_B_DEC;
    c->scaffold_tie = SAE_TIE_NONE;
    c->scaffold_steps = 0;
    c->scaffold_lr = 0;
    c->scaffold_frozen = c->scaffold_last = false;
}

static sae_status make_config(sae_dict_config *c, args *a, const train_input *in, const axis axes[N_AXES],
                              const int64_t value[N_AXES], sae_error *err)
{
    sae_arch arch = archs[value[ARCH]];
    sae_recipe_name recipe;
    sae_status status = train_recipe_name(a, &recipe, err);

    if (status != SAE_OK) return status;
    *c = (sae_dict_config){.arch = arch,
                           .variant = (sae_variant)value[VARIANT],
                           .d_in = in->d_in,
                           .d_sae = value[WIDTH],
                           .k = takes_k(arch) ? value[K] : 0,
                           .l1_coefficient = coefficient(recipe, arch, &axes[L1], value[L1]),
                           .rank = value[RANK],
                           .d_out = in->d_target,
                           .skip = args_flag(a, "skip"),
                           .apply_b_dec_to_input = in->d_target == 0,
                           .seed = (uint64_t)value[SEED]};
    snprintf(c->site, sizeof c->site, "%s", in->site_name);
    snprintf(c->target_site, sizeof c->target_site, "%s", in->target_name);
    snprintf(c->model, sizeof c->model, "%s", args_text(a, "model") ? args_text(a, "model") : in->model_name);
    status = scaffold_choices(c, a, err);
    forget_scaffold(c);
    return status == SAE_OK && c->arch == SAE_MATRYOSHKA ? groups(a, c, err) : status;
}

void shortest_number(char *out, size_t size, double x)
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(out, size, "%.*g", digits, x);
        if (strtod(out, NULL) == x) return;
    }
}

/* "w4608-k32-r4-s1", with what is not the usual case before and behind the rank: "matryoshka-w4608-k32-r4-p2-s1". with_k: k does
 * something to it; else its coefficient says how sparse it shall be. */
static void make_name(char *out, size_t size, const sae_dict_config *c, bool with_k, bool with_l1,
                      const int64_t value[N_AXES])
{
    char k[24] = "", l1[32] = "", number[28];

    const char *arch = value[ARCH] > 0 ? arch_names[value[ARCH]] : "";
    const char *variant = value[RANK] > 0 && value[VARIANT] > 0 ? variant_names[value[VARIANT]] : "";

    if (with_k) snprintf(k, sizeof k, "-k%lld", (long long)value[K]);
    shortest_number(number, sizeof number, c->l1_coefficient);
    if (takes_l1(c->arch) && ((with_l1 && value[L1] != NOT_TAKEN) || !with_k)) snprintf(l1, sizeof l1, "-l%s", number);
    snprintf(out, size, "%s%sw%lld%s%s-r%lld%s%s-s%lld", arch, *arch ? "-" : "", (long long)value[WIDTH], k, l1,
             (long long)value[RANK], *variant ? "-" : "", variant, (long long)value[SEED]);
}

/* ---- All of them ---------------------------------------------------------------------------------------------------------- */

/* The values of combination number `index`, the last axis turning fastest. */
static void combination(const axis axes[N_AXES], int64_t index, int64_t value[N_AXES])
{
    for (int x = N_AXES - 1; x >= 0; x--) {
        value[x] = axes[x].values[index % axes[x].n];
        index /= axes[x].n;
    }
}

/* Whether --k and --l1-coefficient do anything to it. With jumprelu that depends on the recipe: the controller of --l0 finds its weight
 * itself, and without one first thresholds may stand in for k. */
static sae_status axes_taken(args *a, const train_input *in, const int64_t value[N_AXES], bool *k, bool *l1,
                             sae_error *err)
{
    const sae_dict_config c = {
        .arch = archs[value[ARCH]], .d_in = in->d_in, .d_sae = value[WIDTH], .k = value[K], .d_out = in->d_target};
    sae_train_options r;

    *k = takes_k(c.arch);
    *l1 = takes_l1(c.arch);
    if (!*k || !*l1) return SAE_OK;
    sae_status status = train_recipe_of(&r, a, in, &c, err);
    if (status != SAE_OK) return status;
    *k = option_acts("k", &c, &r);
    *l1 = option_acts("l1-coefficient", &c, &r);
    return SAE_OK;
}

static sae_status make_all(train_dicts *out, args *a, const train_input *in, const axis axes[N_AXES], sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = 1, value[N_AXES];
    bool k = false, l1 = false;

    for (int x = 0; x < N_AXES; x++) {
        n *= axes[x].n;
        if (n > MOST_DICTS) SAE_TRY(args_fail(a, err, "these are over %d dictionaries", MOST_DICTS));
    }
    out->configs = mem_alloc_array((size_t)n + 1, sizeof *out->configs, "the dictionaries", err);
    out->names = mem_alloc_array((size_t)n + 1, sizeof *out->names, "their names", err);
    out->name_space = mem_alloc_array((size_t)n + 1, sizeof *out->name_space, "their names", err);
    if (!out->configs || !out->names || !out->name_space) SAE_TRY(SAE_NOMEM);
    for (int64_t i = 0; i < n; i++) {
        combination(axes, i, value);
        if (value[RANK] == 0 && value[VARIANT] != axes[VARIANT].values[0]) continue; /* without a scaffold all one */
        SAE_TRY(axes_taken(a, in, value, &k, &l1, err)); /* what does nothing makes no more of it */
        if ((!k && value[K] != axes[K].values[0]) || (!l1 && value[L1] > 0)) continue;
        if (!l1) value[L1] = NOT_TAKEN;
        SAE_TRY(make_config(&out->configs[out->n], a, in, axes, value, err));
        make_name(out->name_space[out->n], sizeof *out->name_space, &out->configs[out->n], k, axes[L1].reals != NULL,
                  value);
        out->names[out->n] = out->name_space[out->n];
        snprintf(out->configs[out->n].name, sizeof out->configs[out->n].name, "%s", out->names[out->n]);
        out->n++;
    }
done:
    return status;
}

sae_status train_dicts_make(train_dicts *out, args *a, const train_input *in, sae_error *err)
{
    sae_status status = SAE_OK;
    axis axes[N_AXES] = {[ARCH] = {"arch", arch_names},
                         [WIDTH] = {"width"},
                         [K] = {"k"},
                         [L1] = {"l1-coefficient", .real = true},
                         [RANK] = {"rank"},
                         [VARIANT] = {"variant", variant_names},
                         [SEED] = {"seed"}};

    for (int x = 0; x < N_AXES; x++) SAE_TRY(axis_read(a, &axes[x], err));
    SAE_TRY(make_all(out, a, in, axes, err));
done:
    for (int x = 0; x < N_AXES; x++) {
        mem_free(axes[x].values);
        mem_free(axes[x].reals);
    }
    return status;
}

const char *train_arch_name(sae_arch arch)
{
    for (int i = 0; arch_names[i]; i++)
        if (archs[i] == arch) return arch_names[i];
    return "?";
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
    json_t *json = json_pack("{ss ss sI sI sI sf sI ss sI ss}", "name", name, "arch", train_arch_name(c->arch), "d_in",
                             (json_int_t)c->d_in, "d_sae", (json_int_t)c->d_sae, "k", (json_int_t)c->k,
                             "l1_coefficient", c->l1_coefficient, "rank", (json_int_t)c->rank, "variant",
                             variant_names[c->variant], "seed", (json_int_t)(c->seed & INT64_MAX), "site", c->site);

    if (json && c->rank > 0) {
        /* zero by the name that it had: a run of that time can be resumed */
        json_put(&json, "scaffold_start",
                 json_string(c->scaffold_start == SAE_START_ZERO ? "random" : scaffold_start_names[c->scaffold_start]));
        json_put(&json, "scaffold_steps", json_integer(c->scaffold_steps));
        json_put(&json, "scaffold_frozen", json_boolean(c->scaffold_frozen));
        json_put(&json, "scaffold_last", json_boolean(c->scaffold_last));
        scaffold_fields_put(&json, c);
    }
    if (json && c->n_groups > 0) {
        json_t *groups = json_array();
        for (int g = 0; g < c->n_groups; g++) json_add(&groups, json_integer(c->groups[g]));
        json_put(&json, "groups", groups);
    }
    if (json && c->d_out > 0) {
        json_put(&json, "d_out", json_integer(c->d_out));
        json_put(&json, "skip", json_boolean(c->skip));
        json_put(&json, "target_site", json_string(c->target_site));
    }
    return json;
}

/* The place of a name in a list; FORMAT when it is not there. */
static sae_status read_choice(const json_t *dict, const char *key, const char *const *list, const char *otherwise,
                              int *out, const char *path, sae_error *err)
{
    const char *name = NULL;
    sae_status status = json_get_string(dict, key, otherwise, &name, path, err);

    if (status != SAE_OK) return status;
    for (*out = 0; list[*out]; ++*out)
        if (strcmp(list[*out], name) == 0) return SAE_OK;
    return SAE_FAIL(err, SAE_FORMAT, "%s: \"%s\" is \"%s\", which is none", path, key, name);
}

static sae_status read_scaffold(sae_dict_config *c, const json_t *dict, const char *path, sae_error *err)
{
    const char *const starts[] = {"random", scaffold_start_names[1], scaffold_start_names[2], NULL}; /* as written */
    sae_status status = SAE_OK;
    int choice = 0;

    SAE_TRY(read_choice(dict, "scaffold_start", starts, "random", &choice, path, err));
    c->scaffold_start = (sae_scaffold_start)choice;
    SAE_TRY(read_choice(dict, "scaffold_centre", scaffold_centre_names, "b_dec", &choice, path, err));
    c->scaffold_centre = (sae_scaffold_centre)choice;
    SAE_TRY(read_choice(dict, "scaffold_tie", scaffold_tie_names, "none", &choice, path, err));
    c->scaffold_tie = (sae_scaffold_tie)choice;
    SAE_TRY(json_get_double(dict, "scaffold_lr", 1, &c->scaffold_lr, path, err));
    SAE_TRY(json_get_int(dict, "scaffold_steps", 0, &c->scaffold_steps, path, err));
    SAE_TRY(json_get_bool(dict, "scaffold_frozen", false, &c->scaffold_frozen, path, err));
    SAE_TRY(json_get_bool(dict, "scaffold_last", false, &c->scaffold_last, path, err));
done:
    return status;
}

sae_status train_dict_read(sae_dict_config *c, const json_t *dict, const char *path, sae_error *err)
{
    const json_t *prefixes = json_object_get(dict, "groups");
    sae_status status = SAE_OK;
    const char *site = NULL, *target = NULL;
    int arch = 0, variant = 0;
    int64_t seed = 0;

    *c = (sae_dict_config){0};
    SAE_TRY(read_choice(dict, "arch", arch_names, "", &arch, path, err));
    SAE_TRY(read_choice(dict, "variant", variant_names, "", &variant, path, err));
    c->arch = archs[arch];
    c->variant = (sae_variant)variant;
    SAE_TRY(json_get_int(dict, "d_in", 0, &c->d_in, path, err));
    SAE_TRY(json_get_int(dict, "d_sae", 0, &c->d_sae, path, err));
    SAE_TRY(json_get_int(dict, "d_out", 0, &c->d_out, path, err));
    SAE_TRY(json_get_int(dict, "k", 0, &c->k, path, err));
    SAE_TRY(json_get_double(dict, "l1_coefficient", 0, &c->l1_coefficient, path, err));
    SAE_TRY(json_get_int(dict, "rank", 0, &c->rank, path, err));
    SAE_TRY(json_get_int(dict, "seed", 0, &seed, path, err));
    SAE_TRY(json_get_bool(dict, "skip", false, &c->skip, path, err));
    SAE_TRY(json_get_string(dict, "site", "", &site, path, err));
    SAE_TRY(json_get_string(dict, "target_site", "", &target, path, err));
    if (c->d_in < 1 || c->d_sae < 1 || c->rank < 0 || json_array_size(prefixes) > SAE_MAX_GROUPS)
        SAE_RAISE(err, SAE_FORMAT, "%s: \"d_in\", \"d_sae\", \"rank\" or \"groups\" are none", path);
    c->seed = (uint64_t)seed;
    c->apply_b_dec_to_input = c->d_out == 0;
    snprintf(c->site, sizeof c->site, "%s", site);
    snprintf(c->target_site, sizeof c->target_site, "%s", target);
    c->n_groups = (int)json_array_size(prefixes);
    for (int g = 0; g < c->n_groups; g++) c->groups[g] = json_integer_value(json_array_get(prefixes, (size_t)g));
    if (c->rank > 0) SAE_TRY(read_scaffold(c, dict, path, err));
done:
    return status;
}
