/*
 * matching.c - a dictionary with a scaffold against its baseline when something is held equal: k, L0, L0 with the scaffold's codes
 * counted, or FVU (docs/method.md, A7). At equal k a scaffold lowers FVU, so the question is open until it is asked both ways.
 *
 * P1 was trained at a few k. Between two of them every number is taken to be linear in L0; beyond them nothing is said.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEASURES = 10, CURVE_MAX = KS_MAX + 1 };
static const struct {
    const char *key, *column;
} measures[MEASURES] = {{"l0", "L0"},
                        {"fvu", "FVU"},
                        {"ce_ratio", "CE / clean"},
                        {"dense_0.05", "dense 5 %"},
                        {"dense_0.1", "10 %"},
                        {"dense_0.2", "20 %"},
                        {"dense_mass", "mass"},
                        {"probing.k1", "probing k 1"},
                        {"probing.k5", "probing k 5"},
                        {"tpp.n20", "TPP n 20"}};
enum { L0, FVU };

/* A dictionary as a point of the curve. */
typedef struct place {
    double k, at[MEASURES];
} place;

double experiment_number(const experiment *e, const roster_entry *r, const char *key)
{
    char name[128], probing[32], tpp[32];

    snprintf(name, sizeof name, "%s.%s", r->name, key);
    snprintf(probing, sizeof probing, "%s-probing", arch_name(r->config.arch));
    snprintf(tpp, sizeof tpp, "%s-tpp", arch_name(r->config.arch));
    const sae_result *in[] = {experiment_find(e, "census", "census"), experiment_find(e, "documents", probing),
                              experiment_find(e, "documents", tpp)};
    for (int i = 0; i < 3; i++)
        if (in[i] && isfinite(sae_result_get(in[i], name, NAN))) return sae_result_get(in[i], name, NAN);
    return NAN;
}

static place place_of(const experiment *e, const roster_entry *r)
{
    place p = {.k = (double)r->config.k};

    for (int m = 0; m < MEASURES; m++) p.at[m] = experiment_number(e, r, measures[m].key);
    return p;
}

static int by_l0(const void *a, const void *b)
{
    const place *x = a, *y = b;

    return (x->at[L0] > y->at[L0]) - (x->at[L0] < y->at[L0]);
}

/* The curve's point at which measure `which` is `value`; false: it lies beyond the curve. */
static bool interpolate(const place *curve, int n, int which, double value, place *out)
{
    for (int i = 0; i + 1 < n; i++) {
        double low = curve[i].at[which], high = curve[i + 1].at[which], t = (value - low) / (high - low);
        if (!(t >= 0 && t <= 1)) continue;
        out->k = curve[i].k + t * (curve[i + 1].k - curve[i].k);
        for (int m = 0; m < MEASURES; m++) out->at[m] = curve[i].at[m] + t * (curve[i + 1].at[m] - curve[i].at[m]);
        return true;
    }
    return false;
}

static sae_status add_row(sae_result *r, const char *table, const char *what, const place *p, sae_error *err)
{
    sae_cell cells[MEASURES + 2] = {{what, NAN}, {NULL, p ? p->k : NAN}};

    for (int m = 0; m < MEASURES; m++) cells[m + 2] = (sae_cell){NULL, p ? p->at[m] : NAN};
    return sae_result_row(r, table, cells, MEASURES + 2, err);
}

/* "batchtopk.l0.dense_0.1": with the scaffold, where L0 is the baseline's. */
static sae_status add_numbers(sae_result *r, const char *arch, const char *rule, const place *p, sae_error *err)
{
    sae_status status = SAE_OK;
    char key[96];

    for (int m = 0; m < MEASURES; m++) {
        snprintf(key, sizeof key, "%s.%s.%s", arch, rule, measures[m].key);
        SAE_TRY(sae_result_silent(r, key, p->at[m], p->at[m], p->at[m], err));
    }
done:
    return status;
}

/* P1 of the first seed at every k, ascending in L0. */
static int curve_of(const experiment *e, sae_arch arch, place *curve)
{
    int n = 0;

    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *r = &e->roster.entries[i];
        bool is_pair = r->use == USE_SCAFFOLD && r->config.variant == SAE_P1;
        if (r->config.arch == arch && r->config.seed == e->options.seed && (r->use == USE_K || is_pair))
            curve[n++] = place_of(e, r);
    }
    qsort(curve, (size_t)n, sizeof *curve, by_l0);
    return n;
}

static sae_status of_arch(experiment *e, sae_arch arch, sae_result *r, sae_error *err)
{
    const scaffold_options *o = &e->options;
    sae_status status = SAE_OK;
    const char *columns[MEASURES + 2] = {"dictionary", "k"}, *table = arch_name(arch);
    place curve[CURVE_MAX], base = place_of(e, roster_find(e, arch, USE_BASELINE, SAE_P1, o->seed));
    place equal_k = place_of(e, roster_find(e, arch, USE_SCAFFOLD, SAE_P1, o->seed));
    int n = curve_of(e, arch, curve);
    const struct {
        const char *what, *rule;
        int measure;
        double value;
    } rules[] = {{"P1, equal L0", "l0", L0, base.at[L0]},
                 {"P1, equal L0 + r", "l0r", L0, base.at[L0] - (double)o->rank},
                 {"P1, equal FVU", "fvu", FVU, base.at[FVU]}};
    char title[96];

    for (int m = 0; m < MEASURES; m++) columns[m + 2] = measures[m].column;
    snprintf(title, sizeof title, "%s, seed %llu", table, (unsigned long long)o->seed);
    SAE_TRY(sae_result_table(r, table, title, columns, MEASURES + 2, err));
    SAE_TRY(add_row(r, table, "baseline", &base, err));
    SAE_TRY(add_numbers(r, table, "baseline", &base, err));
    SAE_TRY(add_row(r, table, "P1, equal k", &equal_k, err));
    SAE_TRY(add_numbers(r, table, "k", &equal_k, err));
    for (int i = 0; n > 1 && i < 3; i++) {
        place p;
        bool inside = interpolate(curve, n, rules[i].measure, rules[i].value, &p);
        char what[64];
        snprintf(what, sizeof what, "%s%s", rules[i].what, inside ? "" : " (beyond the k trained)");
        SAE_TRY(add_row(r, table, what, inside ? &p : NULL, err));
        if (inside) SAE_TRY(add_numbers(r, table, rules[i].rule, &p, err));
    }
done:
    return status;
}

static sae_status matching(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;

    SAE_TRY(experiment_result(e, "matching", "With something held equal", &r, err));
    SAE_TRY(sae_result_note(
        r,
        "The scaffold's codes are not counted in k or L0; \"equal L0 + r\" counts them. At other k than the pairs' "
        "numbers are taken between the k that were trained, linear in L0, from one seed: they say which way it goes, "
        "not whether it would in another.",
        err));
    for (int a = 0; a < e->options.n_archs; a++) SAE_TRY(of_arch(e, e->options.archs[a], r, err));
done:
    return status;
}

sae_status matching_parts(experiment *e, sae_error *err) { return part_derive(e, "matching", matching, err); }
