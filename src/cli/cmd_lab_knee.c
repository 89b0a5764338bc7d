/* cmd_lab_knee.c - `sae lab knee`: how many directions a scaffold is worth, from a sweep over ranks. */
#include "cli/lab_input.h"
#include "cli/result_output.h"

#include "io/io.h"
#include "lab/knee.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const option_row options[] = {
    OPTION_OUT_ROW("FILE"),
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

/* Dictionaries of a sweep that are alike but for the scaffold. */
typedef struct family {
    char label[96];
    int64_t d;
    int n;
    int64_t ranks[KNEE_RANKS_MAX];
    double fvu[KNEE_RANKS_MAX], dense[KNEE_RANKS_MAX];
} family;

typedef struct families {
    family *items;
    int n;
} families;

static family *family_named(families *all, const char *label, sae_error *err)
{
    family *grown;

    for (int i = 0; i < all->n; i++)
        if (strcmp(all->items[i].label, label) == 0) return &all->items[i];
    grown = mem_grow(all->items, (size_t)all->n * sizeof *grown, (size_t)(all->n + 1) * sizeof *grown,
                     "dictionaries that are alike", err);
    if (!grown) return NULL;
    all->items = grown;
    grown[all->n] = (family){0};
    snprintf(grown[all->n].label, sizeof grown[all->n].label, "%s", label);
    return &grown[all->n++];
}

/* In the order of ranks; a rank that is there twice means that more than the rank differs. */
static sae_status add_rank(family *f, int64_t rank, double fvu, double dense, const char *path, sae_error *err)
{
    int at = f->n;

    if (f->n == KNEE_RANKS_MAX)
        return SAE_FAIL(err, SAE_RANGE, "%s: %s: over %d ranks", path, f->label, KNEE_RANKS_MAX);
    for (; at > 0 && f->ranks[at - 1] >= rank; at--) {
        if (f->ranks[at - 1] == rank)
            return SAE_FAIL(
                err, SAE_STATE,
                "%s: %s: two dictionaries of rank %lld: they must differ in their rank alone (one --variant, one "
                "--scaffold-start)",
                path, f->label, (long long)rank);
        f->ranks[at] = f->ranks[at - 1];
        f->fvu[at] = f->fvu[at - 1];
        f->dense[at] = f->dense[at - 1];
    }
    f->ranks[at] = rank;
    f->fvu[at] = fvu;
    f->dense[at] = dense;
    f->n++;
    return SAE_OK;
}

static sae_status take_dictionary(families *all, const json_t *entry, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    const json_t *measured = json_object_get(entry, "measured");
    const char *arch = NULL;
    int64_t d_in = 0, d_sae = 0, k = 0, rank = 0, seed = 0;
    double fvu = 0, dense = 0;
    char label[96];
    family *f;

    if (!json_is_object(entry) || !json_is_object(measured))
        SAE_RAISE(err, SAE_FORMAT, "%s: a dictionary without what was measured: give the results.json of a sweep",
                  path);
    SAE_TRY(json_get_string(entry, "arch", "", &arch, path, err));
    SAE_TRY(json_get_int(entry, "d_in", 0, &d_in, path, err));
    SAE_TRY(json_get_int(entry, "d_sae", 0, &d_sae, path, err));
    SAE_TRY(json_get_int(entry, "k", 0, &k, path, err));
    SAE_TRY(json_get_int(entry, "rank", 0, &rank, path, err));
    SAE_TRY(json_get_int(entry, "seed", 0, &seed, path, err));
    SAE_TRY(json_get_double(measured, "fvu", NAN, &fvu, path, err));
    SAE_TRY(json_get_double(measured, "dense", NAN, &dense, path, err));
    if (d_in < 1) SAE_RAISE(err, SAE_FORMAT, "%s: d_in is %lld", path, (long long)d_in);
    snprintf(label, sizeof label, "%.24s, width %lld, k %lld, seed %lld", arch, (long long)d_sae, (long long)k,
             (long long)seed);
    f = family_named(all, label, err);
    if (!f) SAE_TRY(SAE_NOMEM);
    f->d = d_in;
    SAE_TRY(add_rank(f, rank, fvu, dense, path, err));
done:
    return status;
}

static sae_status read_sweep(families *all, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *file = NULL;
    const json_t *list;

    SAE_TRY(json_read_file(&file, path, err));
    list = json_object_get(file, "dictionaries");
    if (!json_is_array(list) || json_array_size(list) == 0)
        SAE_RAISE(err, SAE_FORMAT, "%s has no list of dictionaries: give the results.json of a sweep", path);
    for (size_t i = 0; i < json_array_size(list); i++)
        SAE_TRY(take_dictionary(all, json_array_get(list, i), path, err));
done:
    json_decref(file);
    return status;
}

/* ---- The result --------------------------------------------------------------------------------------------------------------- */

static sae_status report_steps(const family *f, const knee *k, int number, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {
        "rank", "FVU", "dense latents", "gain per direction", "limit of sparse features", "over it"};
    sae_status status = SAE_OK;
    char table[32];

    snprintf(table, sizeof table, "steps%d", number);
    SAE_TRY(sae_result_table(r, table, f->label, columns, 6, err));
    for (int i = 0; i < f->n; i++) {
        bool over = i > 0 && k->gain[i - 1] > k->limit[i - 1];
        const sae_cell cells[] = {{NULL, (double)f->ranks[i]},
                                  {NULL, f->fvu[i]},
                                  {NULL, f->dense[i]},
                                  {i ? NULL : "-", i ? k->gain[i - 1] : NAN},
                                  {i ? NULL : "-", i ? k->limit[i - 1] : NAN},
                                  {i == 0 ? "-"
                                   : over ? "yes"
                                          : "no",
                                   NAN}};
        SAE_TRY(sae_result_row(r, table, cells, 6, err));
    }
done:
    return status;
}

static sae_status report(const families *all, const char *path, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(
        sae_result_note(r,
                        "The rank is the last into which a step gains more FVU per direction than sparse features in "
                        "random positions could "
                        "(4 FVU before it / d), and at which all directions together do. 0: no scaffold is worth it.",
                        err));
    for (int i = 0; i < all->n; i++) {
        const family *f = &all->items[i];
        knee k;
        char key[32];
        status = knee_find(&k, f->ranks, f->fvu, f->n, f->d, err);
        if (status != SAE_OK) sae_error_prefix(err, "%s: %s", path, f->label);
        SAE_TRY(status);
        snprintf(key, sizeof key, "rank%d", i);
        SAE_TRY(sae_result_number(r, key, (double)k.rank, err));
        SAE_TRY(sae_result_label(r, key, "rank", f->label, err));
        SAE_TRY(report_steps(f, &k, i, r, err));
    }
done:
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *operands;
    families all = {0};
    sae_result *result = NULL;

    args_operands(a, &operands);
    SAE_TRY(out_check(a, err));
    SAE_TRY(read_sweep(&all, operands[0], err));
    SAE_TRY(sae_result_create(&result, "knee", err));
    SAE_TRY(report(&all, operands[0], result, err));
    SAE_TRY(result_show(a, result, err));
done:
    sae_result_free(result);
    mem_free(all.items);
    return status;
}

const command command_lab_knee = {
    .name = "lab knee",
    .arguments = "RESULTS.json",
    .summary = "how many directions a scaffold is worth, by a sweep",
    .details =
        "Reads the results.json of a sweep over ranks (0 among them; one variant) and says, for each width, k and "
        "seed,\n"
        "which rank the scaffold is worth: the last of the grid into which FVU falls by more per direction than\n"
        "sparse features could explain; 0 when none does. The same rule is tested on planted rows (docs/planted.md).\n"
        "A sweep runs no model: what removing each rank's scaffold costs, probing and TPP are sae lab removal, "
        "probing\n"
        "and tpp of its dictionaries.",
    .examples = "sae lab knee runs/sweep/results.json\nsae lab knee runs/sweep/results.json --json\n",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .kept_as = "",
    .run = run,
};
