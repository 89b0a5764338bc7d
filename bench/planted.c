/*
 * planted.c - how much of a planted truth each family finds, with and without a scaffold, as the tables of docs/planted.md.
 *
 *     build/bench/planted [SEEDS [STEPS [PROBLEM [FAMILY]]]]   tables; PROBLEM 1 or 2, else both; one FAMILY, else all
 *     build/bench/planted --penalties [PROBLEM]                the search for the coefficients of standard and gated below
 *
 * One seed is one draw of the truth, of the rows and of the initial weights; all dictionaries of a seed see the same rows.
 */
#include "sae/train.h"
#include "truth.h"

#include <stdio.h>
#include <time.h>

enum { EVAL = 8192, MOST_SEEDS = 16, N_FAMILIES = 6, N_SCAFFOLDS = 4, MOST_ARMS = N_SCAFFOLDS * 8 };

static const struct {
    sae_arch arch;
    const char *name;
} families[N_FAMILIES] = {{SAE_TOPK, "topk"},         {SAE_BATCHTOPK, "batchtopk"}, {SAE_MATRYOSHKA, "matryoshka"},
                          {SAE_JUMPRELU, "jumprelu"}, {SAE_STANDARD, "standard"},   {SAE_GATED, "gated"}};

static const struct {
    int rank;
    sae_variant variant;
    const char *name;
} scaffolds[N_SCAFFOLDS] = {{0, SAE_P1, "none"}, {DENSE, SAE_P1, "P1"}, {DENSE, SAE_P2, "P2"}, {DENSE, SAE_P3, "P3"}};

typedef struct problem {
    const char *title;
    int d, features, width, k, batch, steps, n_scaffolds; /* the first so many of `scaffolds` */
    int scaffold_steps;                                   /* in which a scaffold learns alone */
    int dead_rows;                                        /* a latent is dead after so many; 0: the recipe's share */
    double at_once;                                       /* features of a row, on average */
    double lr[N_FAMILIES];
    double l1[2][N_SCAFFOLDS]; /* of standard and gated: --penalties */
    double first_l1;           /* the largest that --penalties tries */
} problem;

static const problem problems[] = {
    {.title = "256 features in 64 dimensions",
     .d = 64,
     .features = 256,
     .width = 320,
     .k = 4,
     .batch = 512,
     .steps = 2000,
     .n_scaffolds = 4,
     .at_once = 4,
     .lr = {2e-2, 2e-2, 2e-2, 5e-3, 2e-2, 2e-2},
     .l1 = {{0.695, 0.138, 0.158, 0.159}, {0.304, 0.144, 0.159, 0.158}},
     .first_l1 = 0.8},
    {.title = "4,096 features in 256 dimensions",
     .d = 256,
     .features = 4096,
     .width = 4608,
     .k = 6, /* room for the dense part, too: DENSE + at_once */
     .batch = 256,
     .steps = 1200,
     .n_scaffolds = 3,
     .scaffold_steps = 50,
     .dead_rows = 20480, /* in which a feature is on ten times */
     .at_once = 2,
     .lr = {3e-3, 3e-3, 3e-3, 3e-3, 3e-3, 3e-3},
     .l1 = {{0.271, 0.0584, 0.0624}, {0.0948, 0.0595, 0.0602}},
     .first_l1 = 0.4},
};

/* What is read off a trained dictionary; the columns of the tables. */
enum { COSINE, SHARE, DENSE_LATENTS, OVERLAP, L0, FVU, DEAD, REVIVED, N_MEASURES };

/* A trainer of one family: its dictionaries and what is read off them. */
typedef struct group {
    sae_trainer *trainer;
    int n; /* 0: this family is left out */
    sae_dict_config config[MOST_ARMS];
    sae_step_stats stats[MOST_ARMS];
    double found[MOST_ARMS][N_MEASURES];
} group;

static void fail(const sae_error *err)
{
    fprintf(stderr, "planted: %s\n", err->message);
    exit(1);
}

static bool has_coefficient(int which)
{
    return families[which].arch == SAE_STANDARD || families[which].arch == SAE_GATED;
}

static sae_dict_config config_of(const problem *p, int which, int scaffold, uint64_t seed)
{
    sae_dict_config c = {.arch = families[which].arch,
                         .variant = scaffolds[scaffold].variant,
                         .rank = scaffolds[scaffold].rank,
                         .scaffold_steps = p->scaffold_steps,
                         .d_in = p->d,
                         .d_sae = p->width,
                         .k = p->k,
                         .seed = seed};

    if (has_coefficient(which)) c.l1_coefficient = p->l1[c.arch == SAE_GATED][scaffold];
    if (c.arch == SAE_MATRYOSHKA) { /* a quarter, a quarter, the rest */
        c.n_groups = 3;
        c.groups[0] = c.groups[1] = p->width / 4;
        c.groups[2] = p->width - 2 * (p->width / 4);
    }
    return c;
}

static void begin(group *g, const problem *p, int which, int steps)
{
    sae_train_options o = sae_recipe(SAE_RECIPE_SAEBENCH, families[which].arch, p->batch, steps, p->width);
    sae_error err = {0};

    o.lr = p->lr[which];
    if (p->dead_rows > 0) o.dead_tokens = p->dead_rows;
    if (sae_trainer_create(&g->trainer, g->config, g->n, &o, &err)) fail(&err);
}

/* Density, L0 and FVU on fresh rows, with the exported dictionary's own rule of what is active. */
static void measure_codes(const sae_dict *dict, const float *rows, double out[N_MEASURES])
{
    const sae_dict_config *c = sae_dict_get_config(dict);
    int64_t d = c->d_in, *start = calloc(EVAL + 1, sizeof *start), *fired = calloc((size_t)c->d_sae, sizeof *fired);
    float *h = calloc((size_t)(EVAL * (c->rank + 1)), sizeof *h), *recon = calloc((size_t)(EVAL * d), sizeof *recon);
    float *value = NULL;
    int32_t *latent = NULL;
    double residual = 0, variance = 0;
    sae_error err = {0};

    if (sae_dict_encode(dict, rows, EVAL, start, &latent, &value, c->rank ? h : NULL, &err)) fail(&err);
    if (sae_dict_decode(dict, EVAL, start, latent, value, c->rank ? h : NULL, rows, recon, &err)) fail(&err);
    for (int64_t i = 0; i < start[EVAL]; i++) fired[latent[i]]++;
    out[DENSE_LATENTS] = 0;
    for (int64_t j = 0; j < c->d_sae; j++) out[DENSE_LATENTS] += fired[j] > EVAL / 10;
    out[L0] = (double)start[EVAL] / EVAL;
    for (int64_t i = 0; i < d; i++) {
        double mean = 0;
        for (int64_t b = 0; b < EVAL; b++) mean += (double)rows[b * d + i] / EVAL;
        for (int64_t b = 0; b < EVAL; b++) {
            double x = (double)rows[b * d + i], e = x - (double)recon[b * d + i];
            residual += e * e;
            variance += (x - mean) * (x - mean);
        }
    }
    out[FVU] = residual / variance;
    free(start);
    free(fired);
    free(h);
    free(recon);
    free(latent);
    free(value);
}

static void end(group *g, const truth *t, const float *rows)
{
    sae_error err = {0};

    for (int i = 0; i < g->n; i++) {
        double *out = g->found[i];
        sae_dict *dict = NULL;
        if (sae_trainer_export(g->trainer, i, &dict, &err)) fail(&err);
        sae_weights w = sae_dict_weights(dict);
        measure_codes(dict, rows, out);
        truth_found(t, w.W_dec, (int)g->config[i].d_sae, &out[COSINE], &out[SHARE]);
        out[OVERLAP] = g->config[i].rank ? truth_overlap(t, w.W_up) - (double)DENSE / t->d : NAN;
        out[DEAD] = (double)g->stats[i].dead;
        out[REVIVED] = (double)g->stats[i].revived;
        sae_dict_free(dict);
    }
    sae_trainer_free(g->trainer);
}

/* Trains all groups on one stream of rows. random[]: the measures of as many random rows as there are latents. */
static void train(const problem *p, group *groups, int n_groups, int steps, uint64_t seed, double random[N_MEASURES])
{
    truth t = truth_plant(p->d, p->features, p->at_once / p->features, 21 + seed);
    float *rows = calloc((size_t)EVAL * (size_t)p->d, sizeof *rows), *any = random_rows(&t.r, p->width, p->d);
    double began = clock_seconds(), shown = began;
    sae_error err = {0};

    truth_found(&t, any, p->width, &random[COSINE], &random[SHARE]);
    for (int n = 0; n < steps; n++) {
        truth_draw(&t, rows, p->batch);
        for (int i = 0; i < n_groups; i++)
            if (groups[i].n > 0 && sae_trainer_step(groups[i].trainer, rows, NULL, groups[i].stats, &err)) fail(&err);
        if (clock_seconds() - shown < 30.0) continue;
        shown = clock_seconds();
        fprintf(stderr, "%s: seed %d, step %d of %d, %.0f s\n", p->title, (int)seed, n + 1, steps, shown - began);
    }
    truth_draw(&t, rows, EVAL);
    for (int i = 0; i < n_groups; i++) end(&groups[i], &t, rows);
    fprintf(stderr, "%s: seed %d took %.0f s\n", p->title, (int)seed, clock_seconds() - began);
    free(rows);
    free(any);
    truth_free(&t);
}

/* ---- The tables ----------------------------------------------------------------------------------------------------------- */

/* The mean over seeds and half the width of its 95 % interval (Student's t). */
static void print_cell(FILE *out, const double *values, int n, const char *format)
{
    static const double t[MOST_SEEDS + 1] = {0,     0,     12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365,
                                             2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131};
    double mean = 0, square = 0;

    for (int i = 0; i < n; i++) mean += values[i] / n;
    for (int i = 0; i < n; i++) square += (values[i] - mean) * (values[i] - mean);
    if (isnan(mean)) {
        fprintf(out, " | -");
        return;
    }
    fprintf(out, " | ");
    fprintf(out, format, mean);
    if (n > 1) {
        fprintf(out, " ± ");
        fprintf(out, format, t[n] * sqrt(square / (n - 1) / n));
    }
}

static void print_head(FILE *out, const problem *p, int n_seeds, int steps, double random[MOST_SEEDS][N_MEASURES])
{
    double cosine = 0, share = 0;

    for (int s = 0; s < n_seeds; s++) {
        cosine += random[s][COSINE] / n_seeds;
        share += random[s][SHARE] / n_seeds;
    }
    fprintf(
        out,
        "### %s\n\nd_sae %d, k %d, %g features at once (each on with probability 1/%g), %d steps of %d rows, %d seeds. "
        "Learning rates: ",
        p->title, p->width, p->k, p->at_once, p->features / p->at_once, steps, p->batch, n_seeds);
    for (int f = 0; f < N_FAMILIES; f++)
        fprintf(out, "%s %g%s", families[f].name, p->lr[f], f < N_FAMILIES - 1 ? ", " : ".\n\n");
    fprintf(out,
            "| family | scaffold | mean max cosine | share over 0.9 | dense latents | scaffold in the dense space, "
            "over chance | L0 | FVU | "
            "dead | revived |\n|---|---|---|---|---|---|---|---|---|---|\n"
            "| random rows | - | %.3f | %.3f | - | 0 | - | - | - | - |\n",
            cosine, share);
}

typedef double results[MOST_SEEDS][N_FAMILIES][N_SCAFFOLDS][N_MEASURES];

static void print_table(FILE *out, const problem *p, int n_seeds, int steps, results found,
                        double random[MOST_SEEDS][N_MEASURES], const char *only)
{
    static const char *const formats[N_MEASURES] = {"%.3f", "%.3f", "%.1f", "%.3f", "%.2f", "%.4f", "%.0f", "%.0f"};

    print_head(out, p, n_seeds, steps, random);
    for (int f = 0; f < N_FAMILIES; f++)
        for (int i = 0; i < p->n_scaffolds && (!only || strcmp(only, families[f].name) == 0); i++) {
            fprintf(out, "| %s | %s", families[f].name, scaffolds[i].name);
            for (int m = 0; m < N_MEASURES; m++) {
                double values[MOST_SEEDS];
                for (int s = 0; s < n_seeds; s++) values[s] = found[s][f][i][m];
                print_cell(out, values, n_seeds, formats[m]);
            }
            fprintf(out, " |\n");
        }
    fprintf(out, "\n");
    fflush(out);
}

/* The table of the seeds so far goes to stderr after each. */
static void run(const problem *p, int n_seeds, int steps, const char *only)
{
    static results found;
    static double random[MOST_SEEDS][N_MEASURES];
    static group groups[N_FAMILIES];

    for (int s = 0; s < n_seeds; s++) {
        for (int f = 0; f < N_FAMILIES; f++) {
            if (only && strcmp(only, families[f].name) != 0) continue;
            groups[f].n = p->n_scaffolds;
            for (int i = 0; i < p->n_scaffolds; i++) groups[f].config[i] = config_of(p, f, i, (uint64_t)s);
            begin(&groups[f], p, f, steps);
        }
        train(p, groups, N_FAMILIES, steps, (uint64_t)s, random[s]);
        for (int f = 0; f < N_FAMILIES; f++)
            for (int i = 0; i < p->n_scaffolds; i++) memcpy(found[s][f][i], groups[f].found[i], sizeof found[s][f][i]);
        if (s + 1 < n_seeds) print_table(stderr, p, s + 1, steps, found, random, only);
    }
    print_table(stdout, p, n_seeds, steps, found, random, only);
}

/* ---- The penalties of standard and gated --------------------------------------------------------------------------------- */

enum { GRID = 5, SEARCH_SEED = 100 }; /* a seed of its own; each coefficient of the grid is half the one before */

/* Where L0 is k on the line, in the logarithms, between the first two neighbours on either side of it; else the nearest. */
static double choose(const double l1[GRID], const double l0[GRID], double k)
{
    int nearest = 0;

    for (int i = 0; i < GRID; i++) {
        if (fabs(log(l0[i] / k)) < fabs(log(l0[nearest] / k))) nearest = i;
        if (i > 0 && (l0[i - 1] < k) != (l0[i] < k) && l0[i - 1] > 0 && l0[i] > 0)
            return l1[i] * pow(l1[i - 1] / l1[i], log(k / l0[i]) / log(l0[i - 1] / l0[i]));
    }
    return l1[nearest];
}

static void search_penalties(const problem *p)
{
    static group groups[2];
    double random[N_MEASURES], l1[GRID], l0[GRID];
    int first = N_FAMILIES - 2;

    for (int i = 0; i < GRID; i++) l1[i] = p->first_l1 / (1 << i);
    for (int f = 0; f < 2; f++) {
        groups[f].n = p->n_scaffolds * GRID;
        for (int i = 0; i < groups[f].n; i++) {
            groups[f].config[i] = config_of(p, first + f, i / GRID, SEARCH_SEED);
            groups[f].config[i].l1_coefficient = l1[i % GRID];
        }
        begin(&groups[f], p, first + f, p->steps);
    }
    train(p, groups, 2, p->steps, SEARCH_SEED, random);
    for (int f = 0; f < 2; f++)
        for (int s = 0; s < p->n_scaffolds; s++) {
            printf("%s, %s, %s:", p->title, families[first + f].name, scaffolds[s].name);
            for (int i = 0; i < GRID; i++) {
                l0[i] = groups[f].found[s * GRID + i][L0];
                printf(" %g gives L0 %.2f (cosine %.3f),", l1[i], l0[i], groups[f].found[s * GRID + i][COSINE]);
            }
            printf(" chosen %.3g\n", choose(l1, l0, p->k));
        }
}

static int number(int argc, char **argv, int i, int otherwise) { return i < argc ? atoi(argv[i]) : otherwise; }

int main(int argc, char **argv)
{
    bool search = argc > 1 && strcmp(argv[1], "--penalties") == 0;
    int seeds = search ? 1 : number(argc, argv, 1, 5), steps = search ? 0 : number(argc, argv, 2, 0);
    int only = number(argc, argv, search ? 2 : 3, 0); /* 0: both problems; steps 0: each problem's own */
    const char *only_family = argc > 4 && !search ? argv[4] : NULL;
    double began = clock_seconds();

    if (seeds < 1 || seeds > MOST_SEEDS) {
        fprintf(stderr, "planted: 1 to %d seeds\n", MOST_SEEDS);
        return 2;
    }
    for (int f = 0; only_family && strcmp(only_family, families[f].name) != 0; f++)
        if (f + 1 == N_FAMILIES) {
            fprintf(stderr, "planted: no family is named %s\n", only_family);
            return 2;
        }
    for (int i = 0; i < (int)(sizeof problems / sizeof *problems); i++) {
        const problem *p = &problems[i];
        if (only && only != i + 1) continue;
        if (search)
            search_penalties(p);
        else
            run(p, seeds, steps > 0 ? steps : p->steps, only_family);
    }
    fprintf(stderr, "planted: %.0f s, %.0f s of the processor\n", clock_seconds() - began,
            (double)clock() / CLOCKS_PER_SEC);
    return 0;
}
