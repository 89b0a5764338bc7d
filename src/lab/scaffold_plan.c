/*
 * scaffold_plan.c - what a run will take, before anything of it is made: dictionaries, disk, memory, arithmetic, and hours by the
 * speed of this machine's products.
 *
 * Arithmetic is that of the matrix products, which are most of the time; the rest is taken to add a quarter (docs/performance.md:
 * 80 to 84 % of a forward pass and of a live run lie in products). Long attention is not counted.
 */
#include "base/threads.h"
#include "lab/dense.h"
#include "lab/machine_rate.h"
#include "lab/redundancy.h"
#include "lab/scaffold.h"
#include "text/labelled.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double overhead = 1.25;
enum { DENSE_TAKEN = 100 }; /* dense latents of a dictionary, where their number matters */

typedef struct plan {
    const scaffold_options *o;
    const model_shape *shape;
    const roster *roster;
    int64_t documents; /* labelled ones, of all sets */
    double document_tokens;
    double below, above; /* FLOP of a token up to the site; behind it, with the unembedding */
    double encode;       /* of a row in one dictionary */
    machine_rate machine;
} plan;

static void fill(plan *p)
{
    const model_shape *m = p->shape;
    double embedding = (double)m->n_vocab * (double)m->d_model;
    double layer = 2 * ((double)m->n_params - embedding) / (double)m->n_layer;

    p->below = layer * (double)(m->layer + 1);
    p->above = layer * (double)(m->n_layer - m->layer - 1) + 2 * embedding;
    p->encode = 2 * (double)m->d_model * (double)p->o->width;
}

static int used_as(const plan *p, roster_use use)
{
    int n = 0;

    for (int i = 0; i < p->roster->n; i++) n += p->roster->entries[i].use == use;
    return n;
}

/* One part: FLOP, and what of. */
static sae_status part(sae_result *r, const plan *p, const char *name, const char *key, double flop, const char *what,
                       double *total, sae_error *err)
{
    sae_status status = SAE_OK;
    char name_of[48];
    const sae_cell cells[] = {
        {name, NAN}, {what, NAN}, {NULL, flop / 1e12}, {NULL, flop / p->machine.flops * overhead / 3600}};

    if (flop <= 0) return SAE_OK;
    *total += flop;
    SAE_TRY(sae_result_row(r, "parts", cells, 4, err));
    snprintf(name_of, sizeof name_of, "flop.%s", key);
    SAE_TRY(sae_result_silent(r, name_of, flop, flop, flop, err));
done:
    return status;
}

/* Edits of the pairs, each once: reconstructions, R1 to R6 of each scaffold, R2 and R3 of it in masked rows too; of each architecture the
 * densest latents, position 0 by each variant, and random subspaces that hold as much of it; and those that know no dictionary. */
static double edits(const plan *p)
{
    const double of_masked =
        5.0 * (1 + p->o->draws) +
        6; /* R2 and R3 of PCA and the draws in both choices of rows, R6 in one; R2 and R3 of PCA of all rows in three */

    return 9.0 * used_as(p, USE_SCAFFOLD) + used_as(p, USE_BASELINE) +
           (OPERATORS + 3.0 * p->o->n_variants + 5.0 * share_draws(p->o)) * p->o->n_archs + 3 +
           (double)OPERATORS * (2 + p->o->draws) + of_masked;
}

static double held_out_mib(const plan *p)
{
    return (double)p->o->held_out_tokens * (double)p->shape->d_model * 4 / (1 << 20);
}

/* Rules that redundancy asks of all architectures. */
static int rules(const scaffold_options *o)
{
    if (o->points <= 0) return 0;
    return ALIGN_RULES + (o->n_archs - 1) * (o->budget == BUDGET_FULL ? ALIGN_RULES : 1);
}

/* How often all held-out rows are read once they were counted: core measures of each arm of a pair; of each dictionary by the census; of
 * dense latents core measures, the principal component, codes group by group, for two dictionaries of each architecture; in redundancy the
 * latents' moments and the energy of s; two core measures and three scans for the cards; three and the rows' covariance for retrain; of
 * a rank sweep mean, variance and each dictionary, for its knee, once more where the rank is chosen by it. */
static double passes(const plan *p)
{
    const scaffold_options *o = p->o;
    const double census = p->roster->n - used_as(p, USE_DENSE) - used_as(p, USE_OTHERS);
    const double knee = used_as(p, USE_RANK) > 0 ? used_as(p, USE_RANK) + 4 : 0;
    const double groups = ceil(2.0 * DENSE_TAKEN / (double)dense_at_once(o->held_out_tokens));

    return 2 * used_as(p, USE_SCAFFOLD) + census + 2 * o->n_archs * (2 + groups) + 2 * rules(o) + 5 +
           (o->retrain > 0 ? 4 : 0) + knee + (o->rank_knee ? used_as(p, USE_RANK) + 3 : 0);
}

/* And those that losses are measured on, once for all edits of a call: pairs, the census with the clean loss, redundancy, ranks. */
static double loss_passes(const plan *p)
{
    const double census = p->roster->n - used_as(p, USE_DENSE) - used_as(p, USE_OTHERS);
    const int ranks = used_as(p, USE_RANK);

    return used_as(p, USE_SCAFFOLD) + census + 1 + rules(p->o) + (ranks ? ranks + 1 : 0);
}

/* Where they do not fit into memory each reading runs the layers up to the site. */
static sae_status read_again(sae_result *r, const plan *p, double *total, sae_error *err)
{
    const double tokens = passes(p) * (double)p->o->held_out_tokens + loss_passes(p) * (double)p->o->ce_tokens;
    char what[96];

    if (held_out_mib(p) <= SAMPLE_CACHE_MIB) return SAE_OK;
    snprintf(what, sizeof what, "%.0f readings; they take over %d MiB", passes(p) + loss_passes(p), SAMPLE_CACHE_MIB);
    return part(r, p, "held-out rows, again", "again", tokens * p->below, what, total, err);
}

static sae_status parts(sae_result *r, const plan *p, double *total, sae_error *err)
{
    const scaffold_options *o = p->o;
    sae_status status = SAE_OK;
    /* Sets of labels share most of their questions, where there are many (scaffold_topics.c: common_questions). */
    const double sets = o->n_labels == 1 ? 1 : o->budget == BUDGET_QUICK ? 2 : 1.2;
    const double asked = (double)o->questions * sets * o->n_archs;
    const double ce = (double)o->ce_tokens * p->above;
    const double reads = (double)o->held_out_tokens * p->encode, n = p->roster->n;
    char what[5][96];

    snprintf(what[0], 96, "%lld tokens through %lld layers", (long long)o->tokens, (long long)p->shape->layer + 1);
    snprintf(what[1], 96, "%d dictionaries x %lld rows", p->roster->n, (long long)o->rows);
    snprintf(what[2], 96, "%.0f edits of %lld tokens", edits(p), (long long)o->ce_tokens);
    snprintf(what[3], 96, "%.0f questions of about 70 tokens", asked);
    snprintf(what[4], 96, "%lld documents, %.0f tokens", (long long)p->documents, p->document_tokens);
    SAE_TRY(part(r, p, "training rows", "rows", (double)o->tokens * p->below, what[0], total, err));
    SAE_TRY(part(r, p, "training", "training", n * (double)o->rows * p->encode, what[1], total, err));
    SAE_TRY(part(r, p, "pairs", "pairs",
                 edits(p) * ce + 2 * used_as(p, USE_SCAFFOLD) * reads + (double)o->held_out_tokens * p->below, what[2],
                 total, err));
    SAE_TRY(part(r, p, "census", "census",
                 n * reads +
                     (used_as(p, USE_K) + used_as(p, USE_BASE_K) + used_as(p, USE_RANK) + used_as(p, USE_MATCHED)) * ce,
                 "each dictionary's fit and loss", total, err));
    if (o->points >
        0) { /* A, with its error projected, and one or five controls of either kind; by the other rules four marked sets */
        const double marked = 2 + 2 * 5, whole = ((double)o->points * 4 + 6 * marked) * ce;
        const double other = o->n_archs < 2 ? 0 : o->budget == BUDGET_FULL ? whole : marked * ce;
        SAE_TRY(part(r, p, "redundancy", "redundancy", whole + other, "sets of aligned features, and controls", total,
                     err));
    }
    if (o->topics) SAE_TRY(part(r, p, "topics", "topics", asked * 70 * (p->below + p->encode), what[3], total, err));
    SAE_TRY(
        part(r, p, "probing, TPP", "documents", p->document_tokens * (p->below + n * p->encode), what[4], total, err));
    SAE_TRY(part(r, p, "ranks", "ranks",
                 used_as(p, USE_RANK) > 0
                     ? (4.0 + 2 * RANK_DRAWS) * used_as(p, USE_RANK) * ce + (used_as(p, USE_RANK) + 2) * reads
                     : 0,
                 "removal at each rank, and the knee", total, err));
    SAE_TRY(read_again(r, p, total, err));
done:
    return status;
}

static sae_status memory(sae_result *r, const plan *p, const sae_train_options *recipe, sae_error *err)
{
    sae_status status = SAE_OK;
    const double mib = 1.0 / (1 << 20), d = (double)p->shape->d_model;
    const sae_memory_plan one = sae_trainer_plan(&p->roster->entries[0].config, 1, recipe);
    sae_dict_config two[2] = {p->roster->entries[0].config, p->roster->entries[1].config};
    const double each = (double)sae_trainer_plan(two, 2, recipe).total - (double)one.total;
    const struct {
        const char *key, *label, *remark;
        double value;
    } numbers[] = {
        {"dictionaries", "dictionaries", NULL, p->roster->n},
        {"disk_store", "disk for rows, MiB", "bf16", (double)p->o->tokens * d * 2 * mib},
        {"disk_dictionaries", "disk for dictionaries, MiB", NULL, p->roster->n * 2 * d * (double)p->o->width * 4 * mib},
        {"memory_model", "model, MiB", "all weights as f32", (double)p->shape->n_params * 4 * mib},
        {"memory_trainer", "a trainer of one dictionary, MiB", NULL, (double)one.total * mib},
        {"memory_each_more", "each further one in it, MiB", "as many as --memory allows are trained together",
         each * mib},
        {"memory_held_out", "held-out rows, MiB", "at most; else computed again at each use",
         fmin(SAMPLE_CACHE_MIB, held_out_mib(p))},
        {"gflops", "this machine, GFLOP/s", "f32 products, measured now", p->machine.flops * 1e-9}};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        SAE_TRY(sae_result_number(r, numbers[i].key, round(numbers[i].value), err));
        SAE_TRY(sae_result_label(r, numbers[i].key, numbers[i].label, numbers[i].remark, err));
    }
done:
    return status;
}

/* One line for each number of cores that people have. */
static sae_status hours(sae_result *r, const plan *p, double total, sae_error *err)
{
    static const char *const columns[] = {"cores", "hours"};
    static const int cores[] = {2, 8, 32, 96};
    sae_status status = SAE_OK;
    double here = total / p->machine.flops * overhead / 3600;
    int threads = omp_get_max_threads();

    SAE_TRY(sae_result_number(r, "hours", here, err));
    SAE_TRY(sae_result_label(r, "hours", "hours here", "an estimate", err));
    SAE_TRY(sae_result_table(r, "hours_by_cores", "On machines with cores as fast as these", columns, 2, err));
    for (size_t i = 0; i < sizeof cores / sizeof *cores; i++) {
        const sae_cell cells[] = {{NULL, cores[i]}, {NULL, here * threads / cores[i]}};
        SAE_TRY(sae_result_row(r, "hours_by_cores", cells, 2, err));
    }
done:
    return status;
}

/* What it is a plan of, where --survey or a default has decided; of a shape alone the site is a layer. */
static sae_status setting(sae_result *r, const plan *p, sae_error *err)
{
    const scaffold_options *o = p->o;
    sae_status status = SAE_OK;
    char layer[32], match[96];

    snprintf(layer, sizeof layer, "layer %lld", (long long)p->shape->layer);
    SAE_TRY(sae_result_setting(r, "site", (sae_cell){o->site ? o->site : layer, NAN}, err));
    SAE_TRY(sae_result_setting(r, "width", (sae_cell){NULL, (double)o->width}, err));
    SAE_TRY(sae_result_setting(r, "k", (sae_cell){NULL, (double)o->k}, err));
    SAE_TRY(sae_result_setting(
        r, "rank", o->rank_knee ? (sae_cell){"the knee of --ranks", NAN} : (sae_cell){NULL, (double)o->rank}, err));
    snprintf(match, sizeof match, "trained: %d of the dictionaries at most, %d where no k is corrected",
             used_as(p, USE_MATCHED), MATCHING_RULES * o->n_archs);
    if (o->matched > 0) SAE_TRY(sae_result_setting(r, "match", (sae_cell){match, NAN}, err));
    if (o->survey) SAE_TRY(survey_note(r, o, err));
done:
    return status;
}

sae_status scaffold_plan(sae_result **out, const scaffold_options *options, const model_shape *shape, sae_error *err)
{
    static const char *const columns[] = {"part", "what", "TFLOP", "hours here"};
    sae_status status = SAE_OK;
    experiment *e = mem_alloc(sizeof *e, "a plan", err);
    sae_result *r = NULL;
    double total = 0;
    char note[400];

    if (!e) return SAE_NOMEM;
    e->options = *options;
    e->d = shape->d_model;
    SAE_TRY(budget_fill(&e->options, e->d, err));
    e->recipe = sae_recipe_saebench(e->options.batch, e->options.rows / e->options.batch);
    sae_choose_exact_codes(&e->recipe, e->d);
    roster_list(e);
    for (int a = 0; a < e->options.n_archs; a++) /* which k they will have follows from the others */
        for (int i = 0; e->options.matched > 0 && i < MATCHED_MOST; i++)
            roster_list_matched(e, e->options.archs[a], e->options.k);
    SAE_TRY(documents_check(e, err));
    plan p = {.o = &e->options,
              .shape = shape,
              .roster = &e->roster,
              .documents = e->labelled_documents,
              .document_tokens = e->labelled_tokens};
    SAE_TRY(machine_rate_measure(&p.machine, err));
    fill(&p);
    SAE_TRY(sae_result_create(&r, "plan", err));
    SAE_TRY(setting(r, &p, err));
    SAE_TRY(memory(r, &p, &e->recipe, err));
    SAE_TRY(sae_result_table(r, "parts", "Arithmetic and time", columns, 4, err));
    SAE_TRY(parts(r, &p, &total, err));
    SAE_TRY(hours(r, &p, total, err));
    SAE_TRY(documents_unfit(e, r, err));
    snprintf(note, sizeof note,
             "Nothing was made. Times are those of the matrix products at this machine's speed and a quarter more; the "
             "8-bit screen, which trains faster, is not counted on.%s",
             p.machine.busy ? " The machine was busy while its speed was measured: the hours may be fewer." : "");
    SAE_TRY(sae_result_note(r, note, err));
    *out = r;
    r = NULL;
done:
    sae_result_free(r);
    documents_forget(e);
    mem_free(e);
    return status;
}
