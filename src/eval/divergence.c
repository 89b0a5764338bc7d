/* divergence.c - what is told of a run whose numbers are not finite: whose fault it is, and which options may help. */
#include "eval/divergence.h"
#include "sae/effects.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Rows ------------------------------------------------------------------------------------------------------------------- */

int64_t absurd_row(const float *rows, int64_t n, int64_t d, double *largest, double *usual)
{
    static const double ABSURD = 1e6;
    double *means = mem_alloc_array((size_t)n, sizeof *means, "sizes of rows", NULL);
    int64_t found = -1, counted = 0;

    *largest = *usual = 0;
    if (!means) return -1;
    for (int64_t b = 0; b < n; b++) {
        double most = 0, mean = 0;
        for (int64_t j = 0; j < d; j++) {
            double size = fabs((double)rows[b * d + j]);
            if (size > most) most = size;
            mean += size / (double)d;
        }
        if (mean > 0) means[counted++] = mean;
        if (most <= *largest) continue;
        *largest = most;
        found = b;
    }
    if (counted > 0) qsort(means, (size_t)counted, sizeof *means, compare_doubles);
    if (counted > 0) *usual = means[(counted - 1) / 2];
    mem_free(means);
    if (counted > 1) return *largest > ABSURD * *usual ? found : -1;
    *usual = 0; /* beside rows of zeros nothing says what is usual but the numbers themselves */
    return n > 1 && *largest > ABSURD ? found : -1;
}

static double largest_of(const float *entries, int64_t n)
{
    double largest = 0;

    for (int64_t i = 0; i < n; i++)
        if (fabs((double)entries[i]) > largest) largest = fabs((double)entries[i]);
    return largest;
}

sae_status check_scaled(const float *entries, int64_t n, double scale, sae_error *err)
{
    double largest = largest_of(entries, n), scaled = largest / scale;

    if (largest == 0 || scaled * scaled >= (double)FLT_MIN) return SAE_OK;
    return SAE_FAIL(err, SAE_NUMERIC,
                    "the rows of the first step reach %.3g and are divided by %g: float32 cannot hold the squares of "
                    "that, and nothing can be learned: give --scale-input unit, or a number of the rows' own size",
                    largest, scale);
}

/* ---- Advice ----------------------------------------------------------------------------------------------------------------- */

enum { MOST_HINTS = 6, HINT_ROOM = 64 };
typedef struct hints {
    char text[MOST_HINTS][HINT_ROOM];
    int n;
} hints;

static void hint(hints *h, const char *what) { snprintf(h->text[h->n++], HINT_ROOM, "%s", what); }

static void hint_now(hints *h, const char *option, double now)
{
    snprintf(h->text[h->n++], HINT_ROOM, "%s (now %g)", option, now);
}

/* "a, b or c" */
static const char *join(const hints *h, char *out, size_t size)
{
    size_t used = 0;

    *out = '\0';
    for (int i = 0; i < h->n && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s",
                                 i == 0         ? ""
                                 : i < h->n - 1 ? ", "
                                                : " or ",
                                 h->text[i]);
    return out;
}

/* Weights of the loss, of the user's making: no recipe has one of AuxK over 1. */
static void hint_weights(hints *h, const sae_dict_config *c, const sae_train_options *r)
{
    if (option_acts("auxk-k", c, r) && r->auxk_alpha > 1) hint_now(h, "--auxk-alpha", r->auxk_alpha);
    if (option_acts("l1-coefficient", c, r)) hint_now(h, "--l1-coefficient", c->l1_coefficient);
}

/* The largest entry of all weights that were read from a file; 0: none was. */
static double largest_given(const learner *l)
{
    double largest = 0;

    for (int p = 0; p < N_PARAMS; p++)
        if (was_read(l, p)) largest = fmax(largest, largest_of(l->p[p].w, l->p[p].rows * l->p[p].columns));
    return largest;
}

/* Nothing was trained but, perhaps, the scaffold alone: the cause is among what the dictionary begins with. */
static void advise_beginning(const sae_trainer *t, const learner *l, bool behind_scaffold, double largest,
                             char out[ADVICE_ROOM])
{
    const sae_train_options *r = &t->options;
    const double given = largest_given(l);
    char rows[64] = "rows ", weights[64], list[MOST_HINTS * HINT_ROOM];
    hints h = {.n = 0};

    if (largest > 0) snprintf(rows, sizeof rows, "rows reach %.3g and ", largest);
    if (given > 0) {
        snprintf(weights, sizeof weights, "the weights of --init reach %.3g", given);
        hint(&h, "other weights");
        hint(&h, "another --scale-input"); /* but unit, which does not go with weights that were made for a scale */
    } else {
        snprintf(weights, sizeof weights, "rows of W_dec are %.3g long", r->decoder_norm);
        if (!r->unit_scale) hint(&h, "--scale-input unit");
        hint(&h, "another --decoder-norm");
        hint(&h, "--encoder-norm");
    }
    hint_weights(&h, &l->config, r);
    snprintf(out, ADVICE_ROOM,
             "nothing was trained yet%s, so it is no learning rate: float32 cannot hold what %s begins with: "
             "%sare divided by %.3g, %s; %s may help",
             behind_scaffold ? " but its scaffold" : "", behind_scaffold ? "the dictionary" : "the run", rows,
             l->input_scale, weights, join(&h, list, sizeof list));
}

static void advise_training(const sae_trainer *t, const learner *l, char out[ADVICE_ROOM])
{
    const sae_dict_config *c = &l->config;
    char list[MOST_HINTS * HINT_ROOM];
    hints h = {.n = 0};

    hint_now(&h, "--lr", t->options.lr);
    if (option_acts("scaffold-lr", c, &t->options) && c->scaffold_lr > 1) hint_now(&h, "--scaffold-lr", c->scaffold_lr);
    hint_weights(&h, c, &t->options);
    snprintf(out, ADVICE_ROOM, "it is the training that diverged: a lower %s may help", join(&h, list, sizeof list));
}

/* The first update may have had a learning rate of 0, by the warm-up: then no rate is to blame. Of a dictionary that waits for its
 * scaffold those of the scaffold do not count from its own first step on. */
const char *divergence_advice(const sae_trainer *t, int dict, int64_t step, int64_t updates, double largest,
                              char out[ADVICE_ROOM])
{
    const learner *l = &t->learners[dict];
    const int64_t waited = l->config.rank > 0 && step >= l->config.scaffold_steps ? l->config.scaffold_steps : 0;
    const int64_t own = updates - waited;

    if (own > 1 || (own == 1 && learning_rate(&t->options, 0) > 0))
        advise_training(t, l, out);
    else
        advise_beginning(t, l, waited > 0, largest, out);
    return out;
}
