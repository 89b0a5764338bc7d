/*
 * planted.c - how much of a planted truth each family finds, with and without a scaffold, as the tables of docs/planted.md.
 *
 *     build/bench/planted [SEEDS [STEPS]]
 *
 * x = mean + z B + sum_j a_j t_j: sparse unit features t_j, each on with a small probability and a in [1, 2], and a dense part of
 * rank 4, orthonormal B, z ~ N(0, 16). One seed is one draw of the truth and of the rows, which all dictionaries share.
 */
#include "sae/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DENSE = 4, EVAL = 8192, MOST_SEEDS = 16 };

typedef struct problem {
    const char *title;
    int d, features, width, k, batch, steps, n_scaffolds; /* the first so many of `scaffolds` */
    double on, lr;                                        /* probability of a feature */
} problem;

static const problem problems[] = {
    {"256 features in 64 dimensions", 64, 256, 320, 4, 512, 3000, 4, 1.0 / 64, 2e-2},
    {"4,096 features in 256 dimensions", 256, 4096, 5120, 8, 512, 300, 2, 1.0 / 512, 1e-2},
};

static const struct {
    sae_arch arch;
    const char *name;
} families[] = {{SAE_TOPK, "topk"}, {SAE_BATCHTOPK, "batchtopk"}, {SAE_MATRYOSHKA, "matryoshka"}};

static const struct {
    int rank;
    sae_variant variant;
    const char *name;
} scaffolds[] = {{0, SAE_P1, "none"}, {DENSE, SAE_P1, "P1"}, {DENSE, SAE_P2, "P2"}, {DENSE, SAE_P3, "P3"}};

enum { N_FAMILIES = sizeof families / sizeof *families, N_SCAFFOLDS = sizeof scaffolds / sizeof *scaffolds };
enum { MOST_ARMS = N_FAMILIES * N_SCAFFOLDS };

/* What is read off a trained dictionary. */
enum { COSINE, DENSE_LATENTS, OVERLAP, L0, FVU, N_MEASURES };

typedef struct truth {
    const problem *p;
    double *feature, *dense, *mean; /* [features, d], [DENSE, d], [d] */
    rng r;
} truth;

static void fail(const sae_error *err)
{
    fprintf(stderr, "planted: %s\n", err->message);
    exit(1);
}

static void unit(double *v, int d)
{
    double norm = 0;

    for (int i = 0; i < d; i++) norm += v[i] * v[i];
    for (int i = 0; i < d; i++) v[i] /= sqrt(norm);
}

static void remove_along(double *v, const double *w, int d)
{
    double along = 0;

    for (int i = 0; i < d; i++) along += v[i] * w[i];
    for (int i = 0; i < d; i++) v[i] -= along * w[i];
}

static truth plant(const problem *p, int seed)
{
    size_t d = (size_t)p->d;
    truth t = {p, calloc((size_t)p->features * d, sizeof(double)), calloc(DENSE * d, sizeof(double)),
               calloc(d, sizeof(double)), rng_seed(21 + (uint64_t)seed, 1)};

    for (int j = 0; j < p->features; j++) {
        for (int i = 0; i < p->d; i++) t.feature[j * p->d + i] = rng_normal(&t.r);
        unit(t.feature + j * p->d, p->d);
    }
    for (int j = 0; j < DENSE; j++) {
        for (int i = 0; i < p->d; i++) t.dense[j * p->d + i] = rng_normal(&t.r);
        for (int k = 0; k < j; k++) remove_along(t.dense + j * p->d, t.dense + k * p->d, p->d);
        unit(t.dense + j * p->d, p->d);
    }
    for (int i = 0; i < p->d; i++) t.mean[i] = 0.5 * rng_normal(&t.r);
    return t;
}

static void draw(truth *t, float *rows, int n)
{
    const problem *p = t->p;
    double x[512];

    for (int b = 0; b < n; b++) {
        memcpy(x, t->mean, (size_t)p->d * sizeof *x);
        for (int j = 0; j < DENSE; j++) {
            double z = 4.0 * rng_normal(&t->r);
            for (int i = 0; i < p->d; i++) x[i] += z * t->dense[j * p->d + i];
        }
        /* from one feature that is on to the next: the gap is geometric */
        for (double j = -1;;) {
            j += 1 + floor(log(1 - rng_uniform(&t->r)) / log(1 - p->on));
            if (j >= p->features) break;
            double a = 1.0 + rng_uniform(&t->r);
            const double *f = t->feature + (int64_t)j * p->d;
            for (int i = 0; i < p->d; i++) x[i] += a * f[i];
        }
        for (int i = 0; i < p->d; i++) rows[(int64_t)b * p->d + i] = (float)x[i];
    }
}

/* The mean over planted features of the largest |cosine| with a decoder row (which has norm 1). */
static double recovery(const truth *t, const float *W_dec)
{
    const problem *p = t->p;
    double sum = 0;

#pragma omp parallel for reduction(+ : sum)
    for (int f = 0; f < p->features; f++) {
        double best = 0;
        for (int j = 0; j < p->width; j++) {
            double cosine = 0;
            for (int i = 0; i < p->d; i++) cosine += t->feature[f * p->d + i] * (double)W_dec[(int64_t)j * p->d + i];
            best = fmax(best, fabs(cosine));
        }
        sum += best / p->features;
    }
    return sum;
}

/* The share of the row space of W_up in the planted dense space. */
static double overlap(const truth *t, const float *W_up)
{
    int d = t->p->d;
    double *basis = calloc((size_t)(DENSE * d), sizeof *basis), sum = 0;

    for (int j = 0; j < DENSE; j++) {
        double *v = basis + j * d;
        for (int i = 0; i < d; i++) v[i] = (double)W_up[j * d + i];
        for (int twice = 0; twice < 2; twice++)
            for (int k = 0; k < j; k++) remove_along(v, basis + k * d, d);
        unit(v, d);
        for (int k = 0; k < DENSE; k++) {
            double along = 0;
            for (int i = 0; i < d; i++) along += v[i] * t->dense[k * d + i];
            sum += along * along / DENSE;
        }
    }
    free(basis);
    return sum;
}

/* Density and L0 on fresh rows, with the exported dictionary's own rule of what is active. */
static void count(const sae_dict *dict, const float *rows, double out[N_MEASURES])
{
    const sae_dict_config *c = sae_dict_get_config(dict);
    int64_t *start = calloc(EVAL + 1, sizeof *start), *fired = calloc((size_t)c->d_sae, sizeof *fired);
    int32_t *latent = NULL;
    float *value = NULL;
    sae_error err = {0};

    if (sae_dict_encode(dict, rows, EVAL, start, &latent, &value, NULL, &err)) fail(&err);
    for (int64_t i = 0; i < start[EVAL]; i++) fired[latent[i]]++;
    out[DENSE_LATENTS] = 0;
    for (int64_t j = 0; j < c->d_sae; j++) out[DENSE_LATENTS] += fired[j] > EVAL / 10;
    out[L0] = (double)start[EVAL] / EVAL;
    free(start);
    free(fired);
    free(latent);
    free(value);
}

static sae_dict_config config_of(const problem *p, int i, int seed)
{
    int s = i % p->n_scaffolds;
    sae_dict_config c = {.arch = families[i / p->n_scaffolds].arch,
                         .variant = scaffolds[s].variant,
                         .rank = scaffolds[s].rank,
                         .d_in = p->d,
                         .d_sae = p->width,
                         .k = p->k,
                         .seed = (uint64_t)seed};

    if (c.arch == SAE_MATRYOSHKA) { /* a quarter, a quarter, the rest */
        c.n_groups = 3;
        c.groups[0] = c.groups[1] = p->width / 4;
        c.groups[2] = p->width - 2 * (p->width / 4);
    }
    return c;
}

static void run_seed(const problem *p, int steps, int seed, double out[MOST_ARMS][N_MEASURES])
{
    sae_dict_config c[MOST_ARMS];
    sae_train_options o = sae_recipe_saebench(p->batch, steps);
    sae_step_stats stats[MOST_ARMS];
    sae_trainer *t = NULL;
    sae_error err = {0};
    int n_arms = N_FAMILIES * p->n_scaffolds;
    truth planted = plant(p, seed);
    float *rows = calloc((size_t)EVAL * (size_t)p->d, sizeof *rows);

    o.lr = p->lr;
    for (int i = 0; i < n_arms; i++) c[i] = config_of(p, i, seed);
    if (sae_trainer_create(&t, c, n_arms, &o, &err)) fail(&err);
    for (int n = 0; n < steps; n++) {
        draw(&planted, rows, p->batch);
        if (sae_trainer_step(t, rows, NULL, stats, &err)) fail(&err);
    }
    draw(&planted, rows, EVAL);
    for (int i = 0; i < n_arms; i++) {
        sae_dict *dict = NULL;
        if (sae_trainer_export(t, i, &dict, &err)) fail(&err);
        sae_weights w = sae_dict_weights(dict);
        count(dict, rows, out[i]);
        out[i][COSINE] = recovery(&planted, w.W_dec);
        out[i][OVERLAP] = c[i].rank ? overlap(&planted, w.W_up) : NAN;
        out[i][FVU] = stats[i].fvu;
        sae_dict_free(dict);
    }
    sae_trainer_free(t);
    free(rows);
    free(planted.feature);
    free(planted.dense);
    free(planted.mean);
}

/* The mean over seeds and half the width of its 95 % interval (Student's t). */
static void print_cell(const double *values, int n, const char *format)
{
    static const double t[MOST_SEEDS + 1] = {0,     0,     12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365,
                                             2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131};
    double mean = 0, square = 0;

    for (int i = 0; i < n; i++) mean += values[i] / n;
    for (int i = 0; i < n; i++) square += (values[i] - mean) * (values[i] - mean);
    if (isnan(mean)) {
        printf(" | -");
        return;
    }
    printf(" | ");
    printf(format, mean);
    if (n > 1) {
        printf(" ± ");
        printf(format, t[n] * sqrt(square / (n - 1) / n));
    }
}

static void run_problem(const problem *p, int n_seeds, int steps)
{
    int n_arms = N_FAMILIES * p->n_scaffolds;
    static double found[MOST_SEEDS][MOST_ARMS][N_MEASURES];

    for (int s = 0; s < n_seeds; s++) {
        run_seed(p, steps, s, found[s]);
        fprintf(stderr, "%s: seed %d of %d\n", p->title, s + 1, n_seeds);
    }
    printf("### %s\n\nd_sae %d, k %d, a feature on with probability 1/%.0f (%.0f at once), %d steps of %d rows, lr %g, "
           "%d seeds.\n\n",
           p->title, p->width, p->k, 1 / p->on, p->features * p->on, steps, p->batch, p->lr, n_seeds);
    printf("| family | scaffold | mean max cosine | dense latents | scaffold in the dense space | L0 | FVU of the last "
           "batch |\n"
           "|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < n_arms; i++) {
        static const char *const formats[N_MEASURES] = {"%.3f", "%.1f", "%.3f", "%.2f", "%.4f"};
        printf("| %s | %s", families[i / p->n_scaffolds].name, scaffolds[i % p->n_scaffolds].name);
        for (int m = 0; m < N_MEASURES; m++) {
            double values[MOST_SEEDS];
            for (int s = 0; s < n_seeds; s++) values[s] = found[s][i][m];
            print_cell(values, n_seeds, formats[m]);
        }
        printf(" |\n");
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int seeds = argc > 1 ? atoi(argv[1]) : 5;

    if (seeds < 1 || seeds > MOST_SEEDS) {
        fprintf(stderr, "planted: 1 to %d seeds\n", MOST_SEEDS);
        return 2;
    }
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        run_problem(&problems[i], seeds, argc > 2 ? atoi(argv[2]) : problems[i].steps);
    return 0;
}
