/*
 * planted_paper.c - the paper's experiments on planted rows, as the table of docs/planted.md.
 *
 *     build/bench/planted_paper [SEEDS [STEPS]]
 */
#include "paper.h"

enum { MOST_SEEDS = 16 };

static const paper problem = {.d = 512,
                              .features = 2048,
                              .width = 1024,
                              .k = 16,
                              .batch = 256,
                              .steps = 200,
                              .scaffold_steps = 0,
                              .eval_rows = 4096,
                              .truth_rows = 32768,
                              .at_once = 8,
                              .lr = 3e-3,
                              .variant = SAE_P1,
                              .n_ranks = MOST_RANKS,
                              .ranks = {0, 2, 4, 8, 16, 24, 32, 48, 64}};

static void print_run(const paper *p, int rank, bool mean, int seed, const paper_found *f)
{
    printf("| %d | %s | %d |", rank, mean ? "yes" : "no", seed);
    for (int i = 0; i < p->n_ranks; i++) printf(" %lld", (long long)f->dense[i]);
    printf(" |");
    for (int i = 0; i < p->n_ranks; i++) printf(" %.4f", f->fvu[i]);
    printf(" | %lld |", (long long)f->knee.rank);
    if (isnan(f->overlap))
        printf(" - | - | - |\n");
    else
        printf(" %.4f | %.4f of %.4f (%+.1f %%) | %.4f of %.4f (%+.1f %%) |\n", f->overlap, f->r2, f->r2_truth,
               100 * (f->r2 / f->r2_truth - 1), f->r3, f->r3_truth, 100 * (f->r3 / f->r3_truth - 1));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const int planted[] = {4, 24, 48, 0};
    paper p = problem;
    int seeds = argc > 1 ? atoi(argv[1]) : 3;
    double began = clock_seconds();

    if (seeds < 1 || seeds > MOST_SEEDS) {
        fprintf(stderr, "planted_paper: 1 to %d seeds\n", MOST_SEEDS);
        return 2;
    }
    if (argc > 2 && atoi(argv[2]) > 0) p.steps = atoi(argv[2]);
    if (getenv("PV")) p.variant = atoi(getenv("PV"));
    if (getenv("PK")) p.k = atoi(getenv("PK"));
    if (getenv("PLR")) p.lr = atof(getenv("PLR"));
    if (getenv("PS")) p.scaffold_steps = atoi(getenv("PS"));
    if (getenv("PP")) p.pca = atoi(getenv("PP"));
    if (getenv("PW")) p.width = atoi(getenv("PW"));
    for (int i = 0; i < 4; i++)
        for (int mean = 0; mean < 2; mean++)
            for (int seed = 0; seed < seeds; seed++) {
                paper_found f;
                if (getenv("PR") && planted[i] != atoi(getenv("PR"))) continue;
                if (getenv("PM") && mean != atoi(getenv("PM"))) continue;
                paper_run(&p, planted[i], mean, (uint64_t)seed, &f);
                print_run(&p, planted[i], mean, seed, &f);
                fprintf(stderr, "%.0f s\n", clock_seconds() - began);
            }
    return 0;
}
