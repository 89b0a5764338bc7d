/*
 * report_demo.h - two results to look at: one as a comparison would make it (invented numbers), one of everything that is
 * hard on a page: long names, one point, nothing, gaps, huge and tiny values, hostile tokens.
 */
#ifndef REPORT_DEMO_H
#define REPORT_DEMO_H

#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEMO(call)                                                                                                     \
    do {                                                                                                               \
        sae_error demo_error = {0};                                                                                    \
        if ((call) != SAE_OK) {                                                                                        \
            fprintf(stderr, "%s: %s\n", #call, demo_error.message);                                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { DEMO_STEPS = 240 };

static void demo_number(sae_result *r, const char *key, double value, const char *label, const char *remark)
{
    DEMO(sae_result_number(r, key, value, &demo_error));
    DEMO(sae_result_label(r, key, label, remark, &demo_error));
}

static void demo_training_plot(sae_result *r, const char *plot, const char *title, const char *y_label, int flags,
                               double start, double end, double end2)
{
    static const char *const arms[] = {"baseline", "scaffold, r = 6"};
    double x[DEMO_STEPS], y[DEMO_STEPS];
    rng noise = rng_seed(7, (uint64_t)plot[0]);

    DEMO(sae_result_plot(r, plot, title, "tokens", y_label, SAE_PLOT_LINE, flags, &demo_error));
    for (int arm = 0; arm < 2; arm++) {
        double last = arm ? end2 : end;
        for (int i = 0; i < DEMO_STEPS; i++) {
            x[i] = 4096.0 * (i + 1);
            y[i] = last + (start - last) * exp(-i / 30.0) + 0.01 * (fabs(start) + fabs(last)) * rng_normal(&noise);
            if (flags == 0 && y[i] < 0) y[i] = 0;
        }
        DEMO(sae_result_series(r, plot, arms[arm], x, y, DEMO_STEPS, &demo_error));
    }
}

static void demo_summary(sae_result *r)
{
    DEMO(sae_result_section(r, "Summary", &demo_error));
    DEMO(sae_result_note(
        r,
        "Two dictionaries were trained on the same rows in the same order, from the same initial weights: "
        "a plain BatchTopK autoencoder (baseline) and one with a dense scaffold of rank 6 beside it.\n\n"
        "Dense latents are those that fire on more than a tenth of held-out tokens.",
        &demo_error));
    demo_number(r, "dense.baseline", 17, "Dense latents, baseline", "fire on > 10 % of tokens");
    demo_number(r, "dense.scaffold", 6, "Dense latents, scaffold", "fire on > 10 % of tokens");
    DEMO(sae_result_interval(r, "fvu.baseline", 0.18731, 0.18512, 0.18950, &demo_error));
    DEMO(sae_result_label(r, "fvu.baseline", "FVU, baseline", NULL, &demo_error));
    DEMO(sae_result_interval(r, "fvu.scaffold", 0.17428, 0.17215, 0.17641, &demo_error));
    DEMO(sae_result_label(r, "fvu.scaffold", "FVU, scaffold", NULL, &demo_error));
    demo_number(r, "recovered", 0.9634, "Loss recovered, scaffold", "1: as good as the model itself");
    demo_number(r, "rows", 1048576, "Rows per arm", "from 214,016 distinct tokens");
}

static void demo_settings(sae_result *r)
{
    DEMO(sae_result_section(r, "Settings and cost", &demo_error));
    DEMO(sae_result_setting(r, "model", (sae_cell){"models/SmolLM2-135M-Instruct.Q4_1.gguf", NAN}, &demo_error));
    DEMO(sae_result_setting(r, "site", (sae_cell){"blocks.14.hook_resid_post", NAN}, &demo_error));
    DEMO(sae_result_setting(r, "d_in", (sae_cell){.number = 576}, &demo_error));
    DEMO(sae_result_setting(r, "d_sae", (sae_cell){.number = 4608}, &demo_error));
    DEMO(sae_result_setting(r, "k", (sae_cell){.number = 32}, &demo_error));
    DEMO(sae_result_setting(r, "rank", (sae_cell){.number = 6}, &demo_error));
    DEMO(sae_result_setting(r, "lr", (sae_cell){.number = 1e-3}, &demo_error));
    DEMO(sae_result_setting(r, "training", (sae_cell){"6 min 12 s", NAN}, &demo_error));
    DEMO(sae_result_setting(r, "peak memory", (sae_cell){"1.2 GB", 1.2}, &demo_error));
}

static void demo_training(sae_result *r)
{
    DEMO(sae_result_section(r, "Training", &demo_error));
    demo_training_plot(r, "loss", "Loss", "squared error per row", SAE_PLOT_LOG_Y, 900, 110, 96);
    demo_training_plot(r, "l0", "L0", "latents per row", 0, 30, 32, 32);
    demo_training_plot(r, "fvu", "FVU", "", 0, 0.9, 0.19, 0.175);
    demo_training_plot(r, "dead", "Dead latents", "latents", 0, 0, 412, 377);
}

static void demo_core(sae_result *r)
{
    static const char *const columns[] = {"Measure", "Baseline", "Scaffold", "Scaffold, its latents alone"};
    static const struct {
        const char *name;
        double a, b, c;
    } rows[] = {{"L0", 31.94, 32.02, 32.02},
                {"FVU", 0.1873, 0.1743, 0.3391},
                {"explained variance", 0.8127, 0.8257, 0.6609},
                {"dead latents", 412, 377, 377},
                {"dense at 0.05", 41, 19, 19},
                {"dense at 0.1", 17, 6, 6},
                {"dense at 0.2", 9, 2, 2},
                {"dense at 0.3", 5, 0, 0},
                {"cosine", 0.9313, 0.9378, 0.8604},
                {"CE, model itself", 3.1240, 3.1240, 3.1240},
                {"CE, reconstruction spliced in", 3.3917, 3.3672, 5.0211},
                {"CE, zero ablation", 10.7134, 10.7134, 10.7134},
                {"loss recovered", 0.9647, 0.9680, NAN}};

    DEMO(sae_result_section(r, "Core measures", &demo_error));
    DEMO(sae_result_table(r, "core", "On 20,480 held-out tokens", columns, 4, &demo_error));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sae_cell cells[] = {{rows[i].name, NAN}, {NULL, rows[i].a}, {NULL, rows[i].b}, {NULL, rows[i].c}};
        DEMO(sae_result_row(r, "core", cells, 4, &demo_error));
    }
}

static void demo_density(sae_result *r)
{
    double x[50], y[50];

    DEMO(sae_result_section(r, "Density", &demo_error));
    DEMO(sae_result_plot(r, "density", "How often latents fire", "log10 of the share of tokens", "latents",
                         SAE_PLOT_STEP, 0, &demo_error));
    for (int arm = 0; arm < 2; arm++) {
        for (int i = 0; i < 50; i++) {
            x[i] = -5 + 0.1 * i;
            y[i] = floor(260 * exp(-pow((x[i] + 2.4 + 0.1 * arm) / 0.5, 2)) + (arm ? 1.2 : 4) * (x[i] > -1.1));
        }
        DEMO(sae_result_series(r, "density", arm ? "scaffold, r = 6" : "baseline", x, y, 50, &demo_error));
    }
    DEMO(sae_result_line(r, "density", "dense: 0.1", true, -1, &demo_error));
}

static void demo_removal(sae_result *r)
{
    static const char *const operators[] = {"R1", "R2", "R3", "R4"};
    static const char *const spaces[] = {"scaffold, r = 6", "PCA, uncentred", "PCA, centred", "random subspaces"};
    static const double ratio[4][4] = {
        {1.92, 1.71, 1.66, 1.88}, {2.61, 2.22, 2.14, 2.40}, {1.34, 1.29, 1.31, 1.33}, {1.003, 1.002, 1.002, 1.004}};
    static const char *const columns[] = {"Removed",  "Operator", "CE",
                                          "CE − CE₀", "Ratio",    "Share of the way to uniform"};
    double low[4], high[4];

    DEMO(sae_result_section(r, "Removal", &demo_error));
    DEMO(sae_result_note(
        r, "The ratio is CE after the removal over CE of the model itself: 1 means that nothing was lost.",
        &demo_error));
    DEMO(sae_result_plot(r, "removal", "CE ratio after removing a subspace of 6 dimensions", "operator", "CE ratio",
                         SAE_PLOT_BAR, 0, &demo_error));
    for (int s = 0; s < 4; s++) {
        for (int i = 0; i < 4; i++) low[i] = ratio[s][i] * 0.98, high[i] = ratio[s][i] * 1.02;
        DEMO(sae_result_bars(r, "removal", spaces[s], operators, ratio[s], low, high, 4, &demo_error));
    }
    DEMO(sae_result_control(r, "removal", "random subspaces", &demo_error));
    DEMO(sae_result_line(r, "removal", "uniform", false, 3.46, &demo_error));
    DEMO(sae_result_line(r, "removal", "zero ablation", false, 3.43, &demo_error));
    DEMO(sae_result_line(r, "removal", "untouched", false, 1, &demo_error));
    DEMO(sae_result_table(r, "removal", "Removal, on 8,192 held-out tokens", columns, 6, &demo_error));
    for (int s = 0; s < 4; s++) {
        for (int i = 0; i < 4; i++) {
            double ce = 3.124 * ratio[s][i];
            sae_cell cells[] = {{spaces[s], NAN},   {operators[i], NAN}, {NULL, ce},
                                {NULL, ce - 3.124}, {NULL, ratio[s][i]}, {NULL, (ce - 3.124) / (10.8 - 3.124)}};
            DEMO(sae_result_row(r, "removal", cells, 6, &demo_error));
        }
    }
}

static void demo_structure(sae_result *r)
{
    double q[32], overlap[32], chance[32], energy[32], low[32], high[32];

    for (int i = 0; i < 32; i++) {
        q[i] = i + 1;
        overlap[i] = 1 - exp(-(i + 1) / 5.0);
        chance[i] = (i + 1) / 576.0;
        low[i] = overlap[i] - 0.04;
        high[i] = fmin(1, overlap[i] + 0.04);
        energy[i] = 0.8 * exp(-i / 3.0) + 1e-4;
    }
    DEMO(sae_result_section(r, "Structure", &demo_error));
    demo_number(r, "captured", 0.6132, "Variance captured by the scaffold", "of all, centred");
    demo_number(r, "captured.pca", 0.6641, "Variance captured by PCA-6", "the most that six can capture");
    DEMO(sae_result_plot(r, "overlap", "Overlap with the top q principal components", "q",
                         "share of the scaffold inside", SAE_PLOT_LINE, 0, &demo_error));
    DEMO(sae_result_series_interval(r, "overlap", "scaffold, r = 6", q, overlap, low, high, 32, &demo_error));
    DEMO(sae_result_series(r, "overlap", "chance, q / d", q, chance, 32, &demo_error));
    DEMO(sae_result_control(r, "overlap", "chance, q / d", &demo_error));
    DEMO(sae_result_plot(r, "energy", "Energy per principal component", "component", "share", SAE_PLOT_LINE,
                         SAE_PLOT_LOG_Y, &demo_error));
    DEMO(sae_result_series(r, "energy", "scaffold, r = 6", q, energy, 32, &demo_error));
    DEMO(sae_result_line(r, "energy", "chance, 1 / d", false, 1 / 576.0, &demo_error));
}

static void demo_cards(sae_result *r, const char *group, const char *prefix, int n, bool is_signed)
{
    static const char *const pieces[] = {"\n",      "The",
                                         " old",    " harbour",
                                         " master", ",",
                                         " who",    " had",
                                         " seen",   " the",
                                         " fleet",  " leave",
                                         " in",     " 18",
                                         "47",      ",",
                                         " wrote",  " to",
                                         " his",    " sister",
                                         ":",       " \xE2\x80\x9C",
                                         "We",      " shall",
                                         " not",    " see",
                                         " them",   " again",
                                         ".",       "\xE2\x80\x9D",
                                         "\n",      "\n"};
    enum { N = sizeof pieces / sizeof pieces[0] };
    double strengths[N];
    rng random = rng_seed(11, (uint64_t)n);
    char id[32], title[64], facts[160];

    for (int c = 0; c < n; c++) {
        snprintf(id, sizeof id, "%s%d", prefix, c);
        snprintf(title, sizeof title, is_signed ? "Direction %d" : "Latent %d", is_signed ? c : 37 + 413 * c);
        snprintf(facts, sizeof facts,
                 is_signed ? "variance %.3f · norm of W_up %.2f" : "fires on %.3f of tokens · mean %.2f",
                 0.62 / (c + 1), 3.1 + c);
        DEMO(sae_result_card(r, group, id, title, facts, " the\n The\nthe\n a\n this\n its\n THE\n\xE3\x81\xAE",
                             is_signed ? " of\nnesses\n\xEF\xBF\xBD\n });" : NULL, &demo_error));
        for (int k = 0; k < 6; k++) {
            int64_t peak = 0;
            for (int i = 0; i < N; i++) {
                double v = rng_uniform(&random);
                strengths[i] = v > 0.72 ? (v - 0.6) * 20 / (k + 1.5) : 0;
                if (is_signed && rng_uniform(&random) < 0.5) strengths[i] = -strengths[i];
                if (fabs(strengths[i]) > fabs(strengths[peak])) peak = i;
            }
            DEMO(sae_result_context(r, id, pieces, strengths, N, peak, &demo_error));
        }
    }
}

/* Caller frees with sae_result_free. */
static sae_result *demo_comparison(void)
{
    sae_result *r = NULL;

    DEMO(sae_result_create(&r, "scaffold", &demo_error));
    demo_summary(r);
    demo_settings(r);
    demo_training(r);
    demo_core(r);
    demo_density(r);
    demo_removal(r);
    demo_structure(r);
    DEMO(sae_result_section(r, "What the dense latents do", &demo_error));
    demo_cards(r, "Baseline: its densest latents", "b", 4, false);
    demo_cards(r, "Scaffold: its directions", "d", 3, true);
    DEMO(sae_result_input(r, "model", 0x1234567890abcdefu, &demo_error));
    DEMO(sae_result_input(r, "text", 0x42u, &demo_error));
    return r;
}

/* A name of a thing in a result must be UTF-8; its texts need not. */
#define HOSTILE_NAME "<script>document.title='owned'</script>\"'&amp; \x01\x1b[31m\xe2\x80\xae\t\n\x7f</style>]]>-->"
#define HOSTILE      "<script>document.title='owned'</script>\"'&amp; \x01\x1b[31m\xff\xfe\xe2\x80\xae\t\n\x7f</style>]]>-->"

static void hard_plots(sae_result *r)
{
    double x[300], y[300];
    char label[64];
    static const char *const long_names[] = {
        "a category with a name that goes on for much longer than there is room below a bar", "short",
        "religion, philosophy and the history of ideas", HOSTILE};
    const double heights[] = {3, -1.5, NAN, 2};

    DEMO(sae_result_section(r, "Plots that are hard", &demo_error));
    DEMO(sae_result_plot(r, "empty", "Nothing at all", "x", "y", SAE_PLOT_LINE, 0, &demo_error));
    DEMO(sae_result_plot(r, "emptybars", "No bars", "x", "y", SAE_PLOT_BAR, 0, &demo_error));
    x[0] = 5, y[0] = 12345678;
    DEMO(sae_result_series(r, "one", "one point", x, y, 1, &demo_error));
    DEMO(sae_result_line(r, "one", "a line far from it with a name of some length", false, 5e6, &demo_error));
    for (int i = 0; i < 300; i++) x[i] = i, y[i] = i % 40 < 4 || i % 57 == 0 ? NAN : sin(i / 20.0) * 3e-7;
    DEMO(sae_result_plot(r, "gaps", "Gaps and tiny values", "step", "amplitude", SAE_PLOT_LINE, 0, &demo_error));
    DEMO(sae_result_series(r, "gaps", "sine", x, y, 300, &demo_error));
    for (int i = 0; i < 40; i++) x[i] = pow(10, i / 5.0), y[i] = pow(10, i / 2.0 - 8);
    x[40] = 0, y[40] = 1;
    DEMO(sae_result_plot(r, "loglog", "Huge and small on logarithmic axes", "", "", SAE_PLOT_LINE,
                         SAE_PLOT_LOG_X | SAE_PLOT_LOG_Y, &demo_error));
    DEMO(sae_result_series(r, "loglog", "power", x, y, 41, &demo_error));
    DEMO(sae_result_line(r, "loglog", "n = 787", true, 787, &demo_error));
    DEMO(sae_result_line(r, "loglog", "n = 2,048, another line whose name is long", true, 2048, &demo_error));
    DEMO(sae_result_plot(r, "many", "Many series", "rank", "value", SAE_PLOT_LINE, 0, &demo_error));
    for (int s = 0; s < 11; s++) {
        for (int i = 0; i < 9; i++) x[i] = i, y[i] = 1e12 * (s + sqrt(i));
        snprintf(label, sizeof label, "series with the number %d", s);
        DEMO(sae_result_series(r, "many", label, x, y, 9, &demo_error));
    }
    DEMO(sae_result_plot(r, "longbars", HOSTILE, "x", "difference", SAE_PLOT_BAR, 0, &demo_error));
    DEMO(sae_result_bars(r, "longbars", HOSTILE_NAME, long_names, heights, NULL, NULL, 4, &demo_error));
    DEMO(sae_result_line(r, "longbars", HOSTILE_NAME, false, 1, &demo_error));
}

/* Wider than paper, as those of redundancy and of the rank sweep are. */
static void hard_tables(sae_result *r)
{
    static const char *const of_sets[] = {
        "latents in A",        "ratio to clean [95 %]", "and error projected", "matched in density (draws)",
        "random sets (draws)", "over matched, nats",    "over random, nats",   "ratio to the reconstruction"};
    static const char *const of_ranks[] = {"rank",        "L0",       "FVU",        "dense 5 %",  "10 %",   "20 %",
                                           "probing k 5", "TPP n 20", "removed R2", "removed R3", "PCA R2", "PCA R3"};
    const sae_cell set[] = {{"221, 787 of 16,384", 221},   {"1.044 [1.039, 1.049]", 1},   {"1.046 [1.041, 1.051]", 1},
                            {"1.040 (1.032 to 1.054)", 1}, {"1.006 (1.003 to 1.008)", 1}, {"0.016 [-0.090, 0.122]", 0},
                            {"0.149 [0.123, 0.175]", 0},   {"1.006 [0.998, 1.014]", 1}};
    sae_cell rank[12];

    DEMO(sae_result_section(r, "Tables that are wide", &demo_error));
    DEMO(sae_result_table(r, "sets", "Ablating aligned latents", of_sets, 8, &demo_error));
    DEMO(sae_result_row(r, "sets", set, 8, &demo_error));
    for (int i = 0; i < 12; i++) rank[i] = (sae_cell){.number = 0.17561 * (i + 1)};
    DEMO(sae_result_table(r, "ranks", "By rank", of_ranks, 12, &demo_error));
    DEMO(sae_result_row(r, "ranks", rank, 12, &demo_error));
}

static sae_result *demo_hard(void)
{
    static const char *const columns[] = {HOSTILE, "a number", "another"};
    static const char *const pieces[] = {
        HOSTILE, "\n", "\t", "", " \xF0\x9F\xA6\x9C", "\xD9\x85\xD8\xB1\xD8\xAD\xD8\xA8\xD8\xA7", "plain"};
    const double strengths[] = {1, -0.5, INFINITY, 0, 0.2, NAN, 1e-9};
    const sae_cell rows[][3] = {{{HOSTILE, 0}, {NULL, NAN}, {"–", 0}},
                                {{"1 < 2 & 3", 0}, {NULL, -1e300}, {"12 ± 3", 12}},
                                {{"", 0}, {NULL, 1e-300}, {NULL, 123456.789}}};
    char key[32];
    sae_result *r = NULL;

    DEMO(sae_result_create(&r, "hard " HOSTILE_NAME, &demo_error));
    DEMO(sae_result_note(r, "Before any section. " HOSTILE, &demo_error));
    DEMO(sae_result_section(r, HOSTILE, &demo_error));
    DEMO(sae_result_text(r, HOSTILE_NAME, HOSTILE, &demo_error));
    DEMO(sae_result_table(r, "t", HOSTILE, columns, 3, &demo_error));
    for (int i = 0; i < 3; i++) DEMO(sae_result_row(r, "t", rows[i], 3, &demo_error));
    DEMO(sae_result_table(r, "none", "A table without rows", columns + 1, 2, &demo_error));
    DEMO(sae_result_section(r, "Twenty numbers", &demo_error));
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "number.%d", i);
        DEMO(sae_result_interval(r, key, pow(-10, i - 9) / 3, -INFINITY, NAN, &demo_error));
    }
    hard_tables(r);
    hard_plots(r);
    DEMO(sae_result_section(r, "Cards", &demo_error));
    DEMO(sae_result_card(r, HOSTILE, "a", HOSTILE, HOSTILE, HOSTILE, "", &demo_error));
    DEMO(sae_result_context(r, "a", pieces, strengths, 7, 0, &demo_error));
    DEMO(sae_result_context(r, "a", pieces, strengths, 0, -1, &demo_error));
    DEMO(sae_result_card(r, "", "b", "", NULL, NULL, NULL, &demo_error));
    return r;
}

#endif
