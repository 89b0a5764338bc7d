/*
 * matched.c - dictionaries with a scaffold that are trained where L0, L0 + r and FVU are the baseline's, in place of what lies between two
 * others (matching.c).
 *
 * The first k of each rule is the one at which the curve of those that are trained fulfils it. For L0 a better k follows from the curve
 * with what was found at the last, until the baseline's L0 is met within 1 %, no whole k is left between, or three corrections were made.
 * A rule's dictionary is then the nearest of all that there are, so one may serve several rules.
 */
#include "lab/census.h"
#include "lab/scaffold.h"
#include "sae/scaffold_fields.h"

#include <math.h>
#include <stdio.h>

static const double WITHIN = 0.01; /* of the baseline's L0 */

/* ---- Which k ---------------------------------------------------------------------------------------------------------------- */

/* The curve of the grid and of what was trained for a rule and measured. */
static void whole_curve(const experiment *e, sae_arch arch, matching_place *curve, matching_set *s)
{
    matching_set_of(e, arch, curve, s);
    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *r = &e->roster.entries[i];
        if (r->use != USE_MATCHED || !roster_is_at_k(e, r, arch)) continue;
        curve[s->n] = matching_place_of(e, r);
        s->n += isfinite(curve[s->n].at[0]); /* measured */
    }
}

static const matching_place *nearest(const matching_set *s, int rule)
{
    const matching_place *best = &s->curve[0];

    for (int i = 1; i < s->n; i++)
        if (fabs(matching_off(s, rule, &s->curve[i])) < fabs(matching_off(s, rule, best))) best = &s->curve[i];
    return best;
}

/* The k of the next dictionary for a rule; 0: none is wanted. */
static int64_t next_k(const experiment *e, sae_arch arch, int rule, bool correction)
{
    matching_place curve[MATCHING_CURVE_MAX];
    matching_set s;

    whole_curve(e, arch, curve, &s);
    if (correction && (rule != MATCHING_L0 || fabs(matching_off(&s, rule, nearest(&s, rule))) <= WITHIN)) return 0;
    const double at = matching_k(&s, rule);
    if (!isfinite(at)) return 0;
    int64_t k = llround(fmin(fmax(at, 1), (double)e->options.width));
    const roster_entry *there = roster_at_k(e, arch, k);
    if (!there) return k;
    if (!correction) return 0;
    k += experiment_number(e, there, "l0") < matching_target(&s, rule) ? 1 : -1; /* the other k beside the point */
    return k >= 1 && k <= e->options.width && !roster_at_k(e, arch, k) ? k : 0;
}

/* ---- Trained and measured --------------------------------------------------------------------------------------------------- */

/* Trains and measures those of the roster from `first` on. */
static sae_status measure_from(experiment *e, int first, const loss_table *clean, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    census_entry n;

    for (int i = first; i < e->roster.n; i++) SAE_TRY(roster_look(e, &e->roster.entries[i], err));
    SAE_TRY(arms_train(e, USE_MATCHED, USE_MATCHED, NULL, err));
    for (int i = first; i < e->roster.n; i++) {
        SAE_TRY(census_of(e, &e->roster.entries[i], clean, &n, err));
        SAE_TRY(census_row(r, &n, err));
    }
done:
    return status;
}

/* All rules of all architectures together, so that they are trained on one reading of the rows; then the corrections. */
static sae_status train_all(experiment *e, const loss_table *clean, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int round = 0; round <= MATCHED_CORRECTIONS; round++) {
        const int first = e->roster.n;
        for (int a = 0; a < e->options.n_archs; a++)
            for (int rule = 0; rule < MATCHING_RULES; rule++) {
                const int64_t k = next_k(e, e->options.archs[a], rule, round > 0);
                if (k > 0) roster_list_matched(e, e->options.archs[a], k);
            }
        SAE_TRY(measure_from(e, first, clean, r, err));
    }
done:
    return status;
}

/* ---- What was found --------------------------------------------------------------------------------------------------------- */

static sae_status miss_note(sae_result *r, const matching_set *s, const matching_place *p, sae_error *err)
{
    char text[320];

    snprintf(text, sizeof text,
             "%s: no %s here has the baseline's L0 within %g %%: the nearest, of k %.0f, is %+.2g %% off. k is a whole "
             "number, and after the first at most %d more k are tried.",
             s->name, s->kind, 100 * WITHIN, p->k, 100 * matching_off(s, MATCHING_L0, p), (int)MATCHED_CORRECTIONS);
    return sae_result_note(r, text, err);
}

static sae_status rule_row(const experiment *e, sae_arch arch, int rule, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    matching_place curve[MATCHING_CURVE_MAX];
    matching_set s;
    char what[96], key[64];

    whole_curve(e, arch, curve, &s);
    const bool known = isfinite(matching_k(&s, rule));
    const matching_place *p = nearest(&s, rule);
    const double off = matching_off(&s, rule, p);
    snprintf(what, sizeof what, "%s, equal %s%s", s.name, matching_rules[rule].name,
             known ? "" : " (beyond the k trained)");
    const sae_cell cells[] = {{what, NAN},
                              {NULL, matching_target(&s, rule)},
                              {NULL, known ? p->k : NAN},
                              {NULL, known ? p->at[matching_rules[rule].measure] : NAN},
                              {NULL, known ? 100 * off : NAN}};
    SAE_TRY(sae_result_row(r, "rules", cells, 5, err));
    if (!known) goto done;
    snprintf(key, sizeof key, "%s.%s.k", s.name, matching_rules[rule].key);
    SAE_TRY(sae_result_silent(r, key, p->k, p->k, p->k, err));
    snprintf(key, sizeof key, "%s.%s.off", s.name, matching_rules[rule].key);
    SAE_TRY(sae_result_silent(r, key, off, off, off, err));
    if (rule == MATCHING_L0 && fabs(off) > WITHIN) SAE_TRY(miss_note(r, &s, p, err));
done:
    return status;
}

static sae_status matched(experiment *e, sae_error *err)
{
    static const char *const columns[] = {"rule", "asked for", "k", "found", "off, % of the baseline's"};
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    loss_table clean = {0};

    SAE_TRY(experiment_sample(e, err));
    SAE_TRY(census_clean(&clean, &e->held_out, e->options.ce_tokens, e->progress, err));
    SAE_TRY(experiment_result(e, "matched", "Trained at equal L0, L0 + r and FVU", &r, err));
    SAE_TRY(sae_result_table(r, "rules", "The dictionary of each rule", columns, 5, err));
    SAE_TRY(census_table(r, err));
    SAE_TRY(train_all(e, &clean, r, err));
    for (int a = 0; a < e->options.n_archs; a++)
        for (int rule = 0; rule < MATCHING_RULES; rule++) SAE_TRY(rule_row(e, e->options.archs[a], rule, r, err));
    SAE_TRY(sae_result_note(
        r,
        "The first seed's scaffold was trained at further k. The first of each rule is the whole k next to where the "
        "curve over those that were trained fulfils it; L0's is corrected until it is met within 1 %. The nearest of "
        "all that there are is a rule's. The second table has those that were trained for a rule.",
        err));
done:
    loss_table_free(&clean);
    return status;
}

/* ---- The part of a run ------------------------------------------------------------------------------------------------------ */

const roster_entry *matched_entry(const experiment *e, sae_arch arch, int rule)
{
    char key[64];
    interval k;

    snprintf(key, sizeof key, "%s.%s.k", arch_name(arch), matching_rules[rule].key);
    return experiment_found(e, "matched", "matched", key, &k) ? roster_at_k(e, arch, (int64_t)k.value) : NULL;
}

bool matched_number(const experiment *e, sae_arch arch, int rule, const char *key, interval *out, double *off)
{
    const char *is = matching_rules[rule].key;
    char name[96];
    interval v;

    snprintf(name, sizeof name, "%s.%s_trained.off", arch_name(arch), is);
    const bool trained = experiment_found(e, "matching", "matching", name, &v);
    *off = trained ? v.value : NAN;
    snprintf(name, sizeof name, "%s.%s%s.%s", arch_name(arch), is, trained ? "_trained" : "", key);
    return experiment_found(e, "matching", "matching", name, out);
}

bool matched_baseline(const experiment *e, sae_arch arch, int rule, const char *key, interval *out)
{
    char name[96];
    interval with;
    double off;

    if (!matched_number(e, arch, rule, key, &with, &off)) return false;
    snprintf(name, sizeof name, "%s.%s%s_baseline.%s", arch_name(arch), matching_rules[rule].key,
             isfinite(off) ? "_trained" : "", key);
    return experiment_found(e, "matching", "matching", name, out);
}

/* The roster has those that are a rule's, whether they were found in this call or in an earlier one: what was tried beside them is not
 * looked at any further. One that is gone is trained again. */
static sae_status settle(experiment *e, int first, sae_error *err)
{
    sae_status status = SAE_OK;
    char key[64];
    interval k;

    e->roster.n = first;
    for (int a = 0; a < e->options.n_archs; a++)
        for (int rule = 0; rule < MATCHING_RULES; rule++) {
            const sae_arch arch = e->options.archs[a];
            snprintf(key, sizeof key, "%s.%s.k", arch_name(arch), matching_rules[rule].key);
            if (!experiment_found(e, "matched", "matched", key, &k) || roster_at_k(e, arch, (int64_t)k.value)) continue;
            roster_list_matched(e, arch, (int64_t)k.value);
        }
    for (int i = first; i < e->roster.n; i++) SAE_TRY(roster_look(e, &e->roster.entries[i], err));
    SAE_TRY(arms_train(e, USE_MATCHED, USE_MATCHED, NULL, err));
done:
    return status;
}

sae_status matched_parts(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    const scaffold_options *o = &e->options;
    const int first = e->roster.n;
    json_t *about;

    if (o->matched <= 0) return SAE_OK;
    about = json_pack("{sf}", "dense_threshold", o->dense_threshold);
    for (int a = 0; a < o->n_archs; a++)
        for (int i = 0; i < first; i++) {
            const roster_entry *r = &e->roster.entries[i];
            if (roster_is_at_k(e, r, o->archs[a]) || r == roster_pair(e, o->archs[a], USE_BASELINE, o->seed))
                json_put(&about, r->name, roster_identity(e, r));
        }
    SAE_TRY(part_run(e, "matched", part_identity(e, about), matched, err));
    SAE_TRY(settle(e, first, err));
done:
    return status;
}
