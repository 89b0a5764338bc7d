/* sweep_report.c - all results of a sweep: as a table, as results.json, and as a page with two plots. */
#include "acts/acts.h"
#include "cli/sweep.h"
#include "io/io.h"
#include "sae/effects.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- The results ----------------------------------------------------------------------------------------------------------- */

/* The result.json of every dictionary, in the order of the grid and then of the folder. Caller json_decref's. */
static sae_status gather(const sweep *s, json_t **out, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *all = json_array(), *one = NULL;
    char *path = NULL;

    if (!all) SAE_RAISE(err, SAE_NOMEM, "no memory for the results");
    for (int i = 0; i < s->dicts.n; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s/result.json", s->dicts.names[i]);
        mem_free(path);
        path = path_join(s->folder, name, err);
        if (!path) SAE_TRY(SAE_NOMEM);
        SAE_TRY(json_read_file(&one, path, err));
        json_object_del(one, "recipe"); /* sweep.json has them, once each */
        if (json_array_append_new(all, one)) SAE_RAISE(err, SAE_NOMEM, "no memory for the results");
        one = NULL;
    }
    *out = json_pack("{sO}", "dictionaries", all);
    if (!*out) SAE_RAISE(err, SAE_NOMEM, "no memory for the results");
done:
    json_decref(all);
    mem_free(path);
    return status;
}

static const json_t *result_at(const json_t *results, int i)
{
    return json_array_get(json_object_get(results, "dictionaries"), (size_t)i);
}

/* Of the part "measured" or "last_step" of a result; NULL when it is not there. */
static const json_t *value_at(const json_t *results, int i, const char *part, const char *key)
{
    return json_object_get(json_object_get(result_at(results, i), part), key);
}

/* NaN when it is not there or undefined. */
static double number(const json_t *results, int i, const char *part, const char *key)
{
    const json_t *value = value_at(results, i, part, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* ---- Columns ----------------------------------------------------------------------------------------------------------------- */

static const struct column {
    const char *title, *part, *key, *format;
} columns[] = {
    {"L0", "measured", "l0", "%.2f"},
    {"FVU", "measured", "fvu", "%.4f"},
    {"cosine", "measured", "cosine", "%.4f"},
    {"dead", "measured", "dead", "%.0f"},
    {"dense", "measured", "dense", "%.0f"},
    {"died", "last_step", "died", "%.0f"},
    {"revived", "last_step", "revived", "%.0f"},
};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

static void print_table(const sweep *s, const json_t *results)
{
    int widest = 10;

    for (int i = 0; i < s->dicts.n; i++)
        if ((int)strlen(s->dicts.names[i]) > widest) widest = (int)strlen(s->dicts.names[i]);
    printf("%-*s", widest, "dictionary");
    for (int c = 0; c < N_COLUMNS; c++) printf("  %9s", columns[c].title);
    printf("\n");
    for (int i = 0; i < s->dicts.n; i++) {
        printf("%-*s", widest, s->dicts.names[i]);
        if (s->diverged[i]) {
            printf("  diverged\n");
            continue;
        }
        for (int c = 0; c < N_COLUMNS; c++) {
            char text[32];
            const json_t *value = value_at(results, i, columns[c].part, columns[c].key);
            if (json_is_number(value))
                snprintf(text, sizeof text, columns[c].format, json_number_value(value));
            else
                snprintf(text, sizeof text, "%s", value ? "undefined" : "-");
            printf("  %9s", text);
        }
        printf("\n");
    }
}

static sae_status put_table(const sweep *s, sae_result *r, const json_t *results, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *titles[N_COLUMNS + 1] = {"dictionary"};

    for (int c = 0; c < N_COLUMNS; c++) titles[c + 1] = columns[c].title;
    SAE_TRY(sae_result_table(r, "dictionaries", "Dictionaries", titles, N_COLUMNS + 1, err));
    for (int i = 0; i < s->dicts.n; i++) {
        sae_cell cells[N_COLUMNS + 1] = {{.text = s->dicts.names[i], .number = NAN}};
        char texts[N_COLUMNS][32];
        for (int c = 0; c < N_COLUMNS; c++) {
            double value = number(results, i, columns[c].part, columns[c].key);
            snprintf(texts[c], sizeof texts[c], columns[c].format, value);
            cells[c + 1] = (sae_cell){isnan(value) ? NULL : texts[c], value};
        }
        if (s->diverged[i]) cells[1].text = "diverged";
        SAE_TRY(sae_result_row(r, "dictionaries", cells, N_COLUMNS + 1, err));
    }
done:
    return status;
}

/* ---- Plots -------------------------------------------------------------------------------------------------------------------- */

/* What dictionaries can differ in: the axes of train_dicts.c. */
enum { BY_ARCH, BY_WIDTH, BY_K, BY_L1, BY_RANK, BY_VARIANT, BY_SEED, N_BY };

/* How sparse it shall be: by k, or where that does nothing by its coefficient. Where both act the latter is a part of its own, when the
 * user gave it. */
static void sparsity_part(const sweep *s, int i, int by, char *out, size_t size)
{
    const sae_dict_config *c = &s->dicts.configs[i];
    const sae_train_options *recipe = &s->recipes[s->recipe_of[i]];
    bool k = option_acts("k", c, recipe), l1 = option_acts("l1-coefficient", c, recipe);
    char number[28];

    out[0] = '\0';
    shortest_number(number, sizeof number, c->l1_coefficient);
    if (by == BY_K && k)
        snprintf(out, size, "k%lld", (long long)c->k);
    else if (l1 && (by == BY_K || (k && args_given(s->a, "l1-coefficient"))))
        snprintf(out, size, "l%s", number);
}

/* Of dictionary i; empty where it has no such part. */
static void part_of_name(const sweep *s, int i, int by, char *out, size_t size)
{
    const sae_dict_config *c = &s->dicts.configs[i];

    switch (by) {
    case BY_ARCH: snprintf(out, size, "%s", train_arch_name(c->arch)); break;
    case BY_WIDTH: snprintf(out, size, "w%lld", (long long)c->d_sae); break;
    case BY_K:
    case BY_L1: sparsity_part(s, i, by, out, size); break;
    case BY_RANK: snprintf(out, size, "r%lld", (long long)c->rank); break;
    case BY_VARIANT: snprintf(out, size, "p%d", (int)c->variant + 1); break;
    default: snprintf(out, size, "s%lld", (long long)c->seed); break;
    }
}

static bool varies(const sweep *s, int by)
{
    char first[32], other[32];

    part_of_name(s, 0, by, first, sizeof first);
    for (int i = 1; i < s->dicts.n; i++) {
        part_of_name(s, i, by, other, sizeof other);
        if (strcmp(first, other) != 0) return true;
    }
    return false;
}

/* The varying parts of a name, without those of the set `but` (1 << BY_...): "k32 s1". */
static void short_name(const sweep *s, int i, unsigned but, char *out, size_t size)
{
    out[0] = '\0';
    for (int by = 0; by < N_BY; by++) {
        char part[32];
        size_t used = strlen(out);
        if (but >> by & 1 || !varies(s, by)) continue;
        part_of_name(s, i, by, part, sizeof part);
        snprintf(out + used, size - used, "%s%s", used && *part ? " " : "", part);
    }
}

/* A series for each value of `by`, a point for each dictionary; its name needs no part of the set `told`. */
static sae_status put_points(const sweep *s, sae_result *r, const char *plot, int by, unsigned told, const double *x,
                             const double *y, sae_error *err)
{
    sae_status status = SAE_OK;
    int n = s->dicts.n;
    bool *done = mem_alloc_array((size_t)n, sizeof *done, "points", err);
    double *px = mem_alloc_array((size_t)n, 2 * sizeof *px, "points", err), *py = px ? px + n : NULL;
    char(*space)[96] = mem_alloc_array((size_t)n, sizeof *space, "points", err);
    const char **names = mem_alloc_array((size_t)n, sizeof *names, "points", err);

    if (!done || !px || !space || !names) SAE_TRY(SAE_NOMEM);
    for (int i = 0; i < n; i++) {
        char label[32] = "", other[32];
        int m = 0;
        if (done[i]) continue;
        if (varies(s, by)) part_of_name(s, i, by, label, sizeof label);
        for (int j = i; j < n; j++) {
            part_of_name(s, j, by, other, sizeof other);
            if (*label && strcmp(label, other) != 0) continue;
            done[j] = true;
            short_name(s, j, told | 1u << by, space[m], sizeof *space);
            names[m] = space[m];
            px[m] = x[j];
            py[m++] = y[j];
        }
        SAE_TRY(sae_result_points(r, plot, *label ? label : "dictionaries", px, py, names, m, err));
    }
done:
    mem_free(names);
    mem_free(space);
    mem_free(px);
    mem_free(done);
    return status;
}

/* Of a list that ends with BY_SEED: what series are told by. */
static int first_varying(const sweep *s, const int *list)
{
    while (*list != BY_SEED && !varies(s, *list)) list++;
    return *list;
}

static sae_status put_plots(const sweep *s, sae_result *r, const json_t *results, sae_error *err)
{
    sae_status status = SAE_OK;
    int n = s->dicts.n;
    double *x = mem_alloc_array((size_t)n, 4 * sizeof *x, "points", err), *l0 = x, *fvu = x + n, *rank, *dense;

    if (!x) return SAE_NOMEM;
    rank = x + 2 * n;
    dense = x + 3 * n;
    for (int i = 0; i < n; i++) {
        l0[i] = number(results, i, "measured", "l0");
        fvu[i] = number(results, i, "measured", "fvu");
        rank[i] = (double)s->dicts.configs[i].rank;
        dense[i] = number(results, i, "measured", "dense");
    }
    const int by_rank[] = {BY_RANK, BY_WIDTH, BY_ARCH, BY_SEED}, by_k[] = {BY_K, BY_WIDTH, BY_ARCH, BY_L1, BY_SEED};
    SAE_TRY(sae_result_plot(r, "fit", "Sparsity and fit", "L0", "FVU", SAE_PLOT_LINE, 0, err));
    SAE_TRY(put_points(s, r, "fit", first_varying(s, by_rank), 0, l0, fvu, err));
    SAE_TRY(sae_result_plot(r, "dense", "Dense latents", "rank of the scaffold", "latents in over 10 % of rows",
                            SAE_PLOT_LINE, 0, err));
    SAE_TRY(put_points(s, r, "dense", first_varying(s, by_k), 1u << BY_RANK, rank, dense, err));
done:
    mem_free(x);
    return status;
}

/* ---- What was measured on ----------------------------------------------------------------------------------------------------- */

/* The rows that all dictionaries were measured on; none where all diverged. */
typedef struct measured_rows {
    int64_t n, trained_on; /* trained_on: so many of them; -1: not known how many */
    double passes;         /* over its text that a live run had made behind them; 0: nothing of it came twice */
    bool told;             /* passes is known: an older version did not note them */
    bool order;            /* they are the last ones of --order, which were trained on, whatever follows them there */
} measured_rows;

/* A text that ends begins again, and so does a store or array; an order of given rows has no others. */
static sae_status look_at_measured_rows(const sweep *s, const json_t *results, measured_rows *m, sae_error *err)
{
    *m = (measured_rows){.told = true, .order = s->in.order.pool != NULL};
    for (int i = 0; i < s->dicts.n; i++)
        if (!s->diverged[i]) m->n = sweep_measure_rows(s);
    m->trained_on = m->n;
    if (m->n == 0) return SAE_OK;
    if (!s->in.acts) return SAE_OK;
    sae_status status = acts_given_again(s->in.acts, s->recipes->steps * s->recipes->batch, m->n, &m->trained_on, err);
    if (status != SAE_OK || m->trained_on >= 0) return status;
    m->told = false;
    for (int i = 0; i < s->dicts.n && !m->told; i++) {
        const json_t *passes = value_at(results, i, "measured", "text_passes");
        m->passes = json_number_value(passes);
        m->told = json_is_number(passes);
    }
    if (m->told && m->passes == 0) m->trained_on = 0;
    return SAE_OK;
}

static bool are_fresh(const measured_rows *m) { return m->trained_on == 0 || !m->told; }

/* "rows that follow" the trained ones, and what is to be said against that. */
static const char *which_rows(const measured_rows *m, char *out, size_t size)
{
    if (m->order)
        snprintf(out, size, "rows that were trained on: the last ones that the steps took of --order");
    else if (!m->told)
        snprintf(out, size,
                 "rows that follow (an older version measured on them and did not note whether the text had begun "
                 "again by then)");
    else if (m->passes > 0)
        snprintf(out, size,
                 "rows that follow, but the text had begun again by then (it was read %.2f times): some or all of them "
                 "were trained on",
                 m->passes);
    else if (m->trained_on == 0)
        snprintf(out, size, "rows that follow");
    else if (m->trained_on < m->n)
        snprintf(out, size, "rows that follow, of which %lld were trained on, since the input has no others left",
                 (long long)m->trained_on);
    else
        snprintf(out, size, "rows that were trained on, since the input has no others left");
    return out;
}

/* Below the table. */
static void print_caveat(const measured_rows *m)
{
    char which[200];

    if (!are_fresh(m)) printf("note: measured on %lld %s\n", (long long)m->n, which_rows(m, which, sizeof which));
}

/* ---- The page ------------------------------------------------------------------------------------------------------------------- */

static sae_status write_page(const sweep *s, const json_t *results, const measured_rows *m, const char *path,
                             sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    char note[800], which[200];

    SAE_TRY(sae_result_create(&r, "sweep", err));
    SAE_TRY(sae_result_section(r, "Results", err));
    snprintf(
        note, sizeof note,
        "Each dictionary was trained on %lld rows in the same order and measured as it was saved on %lld %s%s%s. "
        "Dead: fired on none of these; dense: on over a tenth. Died and revived: how often "
        "in training a latent was silent for the recipe's dead_tokens (sweep.json), and how often such a one fired "
        "again.",
        (long long)(s->recipes->steps * s->recipes->batch), (long long)m->n, which_rows(m, which, sizeof which),
        are_fresh(m) ? ""
        : m->order   ? " (their fit flatters)"
                     : " (their fit flatters; fewer steps, or more rows, leave some over)",
        s->in.d_target > 0 ? ", FVU and cosine of its output against the targets" : "");
    SAE_TRY(sae_result_note(
        r, m->n > 0 ? note : "Nothing was measured: each dictionary diverged, and why stands in NAME/result.json.",
        err));
    SAE_TRY(put_plots(s, r, results, err));
    SAE_TRY(put_table(s, r, results, err));
    const sae_result *list[] = {r};
    SAE_TRY(sae_report_write(path, "A sweep of dictionaries", list, 1, true, err));
done:
    sae_result_free(r);
    return status;
}

static sae_status tell_diverged(const sweep *s, sae_error *err)
{
    const char *first = NULL;
    int n = 0;

    for (int i = 0; i < s->n_asked; i++) {
        if (s->diverged[i] && !first) first = s->dicts.names[i];
        n += s->diverged[i];
    }
    if (n == 0) return SAE_OK;
    return SAE_FAIL(err, SAE_NUMERIC, "%d of %d dictionaries diverged (%s%s): why stands in NAME/result.json%s", n,
                    s->n_asked, first, n > 1 ? ", ..." : "", n < s->n_asked ? "; the others are finished" : "");
}

sae_status sweep_report(const sweep *s, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *results = NULL;
    measured_rows m = {0};
    char *path = path_join(s->folder, "results.json", err), *page = path_join(s->folder, "report.html", err);

    if (!path || !page) SAE_TRY(SAE_NOMEM);
    SAE_TRY(gather(s, &results, err));
    SAE_TRY(look_at_measured_rows(s, results, &m, err));
    json_put(&results, "measured_rows_trained_on", m.trained_on < 0 ? json_null() : json_integer(m.trained_on));
    if (!results) SAE_RAISE(err, SAE_NOMEM, "no memory for the results");
    SAE_TRY(json_write_file(results, path, true, err));
    SAE_TRY(write_page(s, results, &m, page, err));
    if (args_flag(s->a, "json")) {
        SAE_TRY(print_json(results, err));
    } else {
        print_table(s, results);
        print_caveat(&m);
    }
    say(s->a, "written   %s and %s", path, page);
    SAE_TRY(tell_diverged(s, err));
done:
    json_decref(results);
    mem_free(page);
    mem_free(path);
    return status;
}
