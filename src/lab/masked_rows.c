/*
 * masked_rows.c - what it adds to take a subspace out of the masked rows as well, as the paper may have done: of position 0's row, where
 * attention sinks are, and of the others (special tokens, norms over the limit). What is scored is the same (docs/method.md 7).
 */
#include "lab/scaffold.h"
#include "lab/verdict.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int way;
    const char *what;
} choices[] = {{0, "counted"}, {WITH_POSITION_0, "and position 0"}, {EVERY_ROW, "and all masked ones"}};
enum { CHOICES = sizeof choices / sizeof *choices };

static sae_status put(sae_result *r, const char *of, const char *what, const interval *v, sae_error *err)
{
    char key[64];

    snprintf(key, sizeof key, "%s.%s", of, what);
    return sae_result_silent(r, key, v->value, v->low, v->high, err);
}

/* ---- What each removal costs more ----------------------------------------------------------------------------------------- */

enum { ADDED_SCAFFOLD, ADDED_PCA, ADDED_RANDOM }; /* edits of the table of additions; behind them further draws */

/* How much larger each sum is where R2 or R3 changes the rows of `way` as well. Caller frees with loss_table_free. */
static sae_status added_losses(loss_table *out, const experiment *e, int way, int op, sae_error *err)
{
    const loss_table *t = &e->losses;
    const size_t row = (size_t)t->n_seq * sizeof(double);
    loss_table added = {ADDED_RANDOM + losses_of_random(e, way + op).n, t->n_seq, t->n_scored, NULL, NULL};

    added.nll = mem_alloc_array((size_t)added.n_edits, row, "additions to losses", err);
    added.count = mem_alloc(row, "scored positions", err);
    if (!added.nll || !added.count) {
        loss_table_free(&added);
        return SAE_NOMEM;
    }
    memcpy(added.count, t->count, row);
    for (int k = 0; k < added.n_edits; k++) {
        const int plain = op + (k == ADDED_SCAFFOLD ? LOSS_R2
                                : k == ADDED_PCA    ? LOSS_PCA
                                                    : LOSS_RANDOM + REMOVAL_WAYS * (k - ADDED_RANDOM));
        for (int64_t i = 0; i < t->n_seq; i++)
            added.nll[k * t->n_seq + i] = t->nll[(plain + way) * t->n_seq + i] - t->nll[plain * t->n_seq + i];
    }
    *out = added;
    return SAE_OK;
}

/* The mean over the draws, and, of more than one, what scaffold and PCA add beyond another one. */
static sae_status beside_random(sae_result *r, const char *key, const loss_table *added, uint64_t seed, char *text,
                                size_t size, sae_error *err)
{
    static const int edit_of[2] = {ADDED_SCAFFOLD, ADDED_PCA};
    static const char *const keys[2] = {"scaffold_over_random", "pca_over_random"};
    sae_status status = SAE_OK;
    const loss_draws random = {ADDED_RANDOM, 1, added->n_edits - ADDED_RANDOM};
    int which[LOSS_DRAWS_MAX];
    double weights[LOSS_DRAWS_MAX];
    char mean[INTERVAL_TEXT], numbers[2][INTERVAL_TEXT];
    interval v[2];

    for (int i = 0; i < random.n; i++) which[i] = ADDED_RANDOM + i, weights[i] = 1.0 / random.n;
    SAE_TRY(loss_weighted(&v[0], added, which, (const double[1]){1}, 1, seed, err));
    SAE_TRY(put(r, key, "random1", &v[0], err));
    SAE_TRY(loss_weighted(&v[0], added, which, weights, random.n, seed, err));
    interval_text(mean, &v[0]);
    snprintf(text, size, ", that of a random subspace %s", mean);
    if (random.n == 1) goto done;
    SAE_TRY(put(r, key, "random", &v[0], err));
    for (int i = 0; i < 2; i++) {
        SAE_TRY(loss_difference_beside(&v[i], added, edit_of[i], random, seed, err));
        SAE_TRY(put(r, key, keys[i], &v[i], err));
        interval_text(numbers[i], &v[i]);
    }
    snprintf(text, size,
             ", those of %d random subspaces %s in the mean (with room for another draw the scaffold's is %s over "
             "theirs%s, PCA's %s%s)",
             random.n, mean, numbers[0], interval_holds_zero(&v[0]) ? ", not told from none" : "", numbers[1],
             interval_holds_zero(&v[1]) ? ", not told from none" : "");
done:
    return status;
}

/* "where R2 changes them too, the scaffold's removal costs 1.2 nats more than above, PCA's 0.9, .." */
static sae_status costs(const experiment *e, sae_result *r, const char *key, const char *lead, int way, int op,
                        sae_error *err)
{
    sae_status status = SAE_OK;
    loss_table added = {0};
    const uint64_t seed = e->options.seed;
    char text[900], random[400], numbers[3][INTERVAL_TEXT];
    interval v[3];

    SAE_TRY(added_losses(&added, e, way, op, err));
    for (int i = ADDED_SCAFFOLD; i <= ADDED_PCA; i++)
        SAE_TRY(loss_weighted(&v[i], &added, &i, (const double[1]){1}, 1, seed, err));
    SAE_TRY(loss_difference(&v[2], &added, ADDED_SCAFFOLD, ADDED_PCA, seed, err));
    for (int i = 0; i < 3; i++) {
        static const char *const keys[3] = {"scaffold", "pca", "difference"};
        SAE_TRY(put(r, key, keys[i], &v[i], err));
        interval_text(numbers[i], &v[i]);
    }
    SAE_TRY(beside_random(r, key, &added, seed, random, sizeof random, err));
    snprintf(text, sizeof text,
             "%swhere %s changes them too, the scaffold's removal costs %s nats more than above, PCA's %s%s. The "
             "difference between scaffold and PCA moves by %s nats%s.",
             lead, op == OP_R2 ? "R2" : "R3", numbers[0], numbers[1], random, numbers[2],
             interval_holds_zero(&v[2]) ? ", not told from none" : "");
    SAE_TRY(sae_result_note(r, text, err));
done:
    loss_table_free(&added);
    return status;
}

/* ---- Which rows move the difference ----------------------------------------------------------------------------------------- */

static sae_status table(const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"rows that are changed", "removed by", "scaffold: CE - clean",
                                          "PCA: CE - clean", "scaffold - PCA, nats [95 %]"};
    sae_status status = SAE_OK;
    const double clean = loss_mean(&e->losses, LOSS_CLEAN);
    interval gap;
    char text[INTERVAL_TEXT];

    SAE_TRY(sae_result_table(r, "masked_rows", "Scaffold against PCA with masked rows changed too, on the same tokens",
                             columns, 5, err));
    for (int i = 0; i < 2 * CHOICES; i++) {
        const int way = choices[i % CHOICES].way + (i < CHOICES ? OP_R2 : OP_R3), scaffold = LOSS_R2 + way,
                  pca = LOSS_PCA + way;
        if (!loss_measured(e, scaffold)) continue;
        SAE_TRY(loss_difference(&gap, &e->losses, scaffold, pca, e->options.seed, err));
        interval_text(text, &gap);
        const sae_cell cells[] = {{choices[i % CHOICES].what, NAN}, {loss_name_of(scaffold).operator, NAN },
                                                                     {NULL, loss_mean(&e->losses, scaffold) - clean},
                                                                     {NULL, loss_mean(&e->losses, pca) - clean},
                                                                     {text, gap.value}};
        SAE_TRY(sae_result_row(r, "masked_rows", cells, 5, err));
    }
done:
    return status;
}

/* PCA of counted rows holds position 0's row by accident alone; that of all rows has to hold it. */
static sae_status beside_all_rows(const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"rows that are changed", "removed by", "scaffold: CE / clean",
                                          "PCA of all rows: CE / clean", "scaffold over it [95 %]"};
    sae_status status = SAE_OK;
    const double clean = loss_mean(&e->losses, LOSS_CLEAN);
    interval over;
    char text[INTERVAL_TEXT], note[700];
    double share[2], left[2];
    static const char *const of[2] = {"scaffold", "pca_all"};

    SAE_TRY(sae_result_table(r, "all_rows", "Scaffold against the principal components of all rows, masked ones too",
                             columns, 5, err));
    for (int i = 0; i < 2 * CHOICES; i++) {
        const int way = choices[i % CHOICES].way + (i < CHOICES ? OP_R2 : OP_R3), scaffold = LOSS_R2 + way,
                  all = LOSS_ALL + way;
        SAE_TRY(loss_ratio(&over, &e->losses, scaffold, all, e->options.seed, err));
        interval_text(text, &over);
        const sae_cell cells[] = {{choices[i % CHOICES].what, NAN},
                                  {i < CHOICES ? "R2 uncentred" : "R3 centred", NAN},
                                  {NULL, loss_mean(&e->losses, scaffold) / clean},
                                  {NULL, loss_mean(&e->losses, all) / clean},
                                  {text, over.value}};
        SAE_TRY(sae_result_row(r, "all_rows", cells, 5, err));
    }
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "first_position.%s", of[i]);
        share[i] = sae_result_get(r, text, NAN);
        snprintf(text, sizeof text, "first_position_left.%s", of[i]);
        left[i] = sae_result_get(r, text, NAN);
    }
    SAE_TRY(loss_ratio(&over, &e->losses, LOSS_R2 + WITH_POSITION_0, LOSS_ALL + WITH_POSITION_0, e->options.seed, err));
    interval_text(text, &over);
    snprintf(note, sizeof note,
             "PCA of all rows: the first %lld principal components, about the mean, of all %lld held-out rows, masked "
             "ones too. Of position 0's row it holds %.4f of the square, the scaffold %.4f; what remains is %.3g and "
             "%.3g times as long as the median row. R2 with position 0 too: the scaffold's CE is %s times its.",
             (long long)e->all.rank, (long long)(e->held_out.n_seq * e->held_out.ctx), share[1], share[0], left[1],
             left[0], text);
    SAE_TRY(sae_result_note(r, note, err));
done:
    return status;
}

/* Random subspaces that hold as much of position 0's row as the scaffold: what costs no more than they do is no more than that row. */
static sae_status beside_equal_share(const experiment *e, sae_result *r, sae_error *err)
{
    static const struct {
        int way;
        const char *what;
    } of[] = {{WITH_POSITION_0 + OP_R2, "R2 with position 0 too"},
              {WITH_POSITION_0 + OP_R3, "R3"},
              {EVERY_ROW + OP_R2, "R2 with all masked rows"},
              {EVERY_ROW + OP_R3, "R3"}};
    sae_status status = SAE_OK;
    char note[700] = "", text[INTERVAL_TEXT];
    const bool one = share_draws(&e->options) == 1;
    interval over, draws;

    if (losses_of_share(e, WITH_POSITION_0).n == 0) return SAE_OK;
    snprintf(note, sizeof note,
             "%d random %s as much of position 0's row as the scaffold (%.4f of its square) and %s random otherwise:",
             share_draws(&e->options), one ? "subspace that holds" : "subspaces that hold",
             sae_result_get(r, "first_position.scaffold", NAN), one ? "is" : "are");
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        SAE_TRY(removal_ratio(e, LOSS_SHARE, of[i].way, &draws, err));
        SAE_TRY(loss_ratio_beside(&over, &e->losses, LOSS_R2 + of[i].way, losses_of_share(e, of[i].way),
                                  e->options.seed, err));
        interval_text(text, &over);
        snprintf(note + strlen(note), sizeof note - strlen(note), "%s %s CE is %.3f x", i ? ";" : "", of[i].what,
                 draws.value);
        if (isfinite(draws.low)) /* of one draw there is no range */
            snprintf(note + strlen(note), sizeof note - strlen(note), " (%.3f to %.3f)", draws.low, draws.high);
        snprintf(note + strlen(note), sizeof note - strlen(note), ", the scaffold's %s of theirs", text);
    }
    snprintf(note + strlen(note), sizeof note - strlen(note), ".");
    SAE_TRY(sae_result_note(r, note, err));
done:
    return status;
}

/* Of what the scaffold's removal costs more than PCA's where position 0's row is changed too, the mean's part and the norm's. */
static sae_status position_0_parts(const experiment *e, sae_result *r, sae_error *err)
{
    enum { S2 = LOSS_R2 + WITH_POSITION_0 + OP_R2, P2 = LOSS_PCA + WITH_POSITION_0 + OP_R2 };
    enum { S3 = LOSS_R2 + WITH_POSITION_0 + OP_R3, P3 = LOSS_PCA + WITH_POSITION_0 + OP_R3 };
    enum { S6 = LOSS_R2 + POSITION_0_R6, P6 = LOSS_PCA + POSITION_0_R6 };
    sae_status status = SAE_OK;
    char note[400], text[3][INTERVAL_TEXT];
    interval whole, part[2];

    SAE_TRY(loss_difference(&whole, &e->losses, S2, P2, e->options.seed, err));
    SAE_TRY(loss_contrast(&part[0], &e->losses, (const int[4]){S2, P2, S3, P3}, e->options.seed, err));
    SAE_TRY(loss_contrast(&part[1], &e->losses, (const int[4]){S2, P2, S6, P6}, e->options.seed, err));
    SAE_TRY(put(r, "position_0", "mean", &part[0], err));
    SAE_TRY(put(r, "position_0", "norm", &part[1], err));
    interval_text(text[0], &whole);
    for (int i = 0; i < 2; i++) interval_text(text[1 + i], &part[i]);
    snprintf(note, sizeof note,
             "Position 0 changed too: by R2 the scaffold's removal costs %s nats more than PCA's; of these the mean is "
             "%s%s (R2 less R3), the norm %s%s (R2 less R6).",
             text[0], text[1], interval_holds_zero(&part[0]) ? ", not told from none" : "", text[2],
             interval_holds_zero(&part[1]) ? ", not told from none" : "");
    SAE_TRY(sae_result_note(r, note, err));
done:
    return status;
}

/* Whether the sign of the difference turns on the way from counted rows over position 0 to all. */
static const char *order_text(const interval gap[CHOICES])
{
    int sign[CHOICES];

    for (int i = 0; i < CHOICES; i++) sign[i] = interval_holds_zero(&gap[i]) ? 0 : gap[i].low > 0 ? 1 : -1;
    if (sign[0] * sign[1] < 0 && sign[1] * sign[2] > 0) return "Which of the two costs more turns with position 0.";
    if (sign[0] * sign[1] < 0 && sign[2] == 0)
        return "Which of the two costs more turns with position 0; with all masked rows it is not told.";
    if (sign[0] * sign[1] < 0 && sign[1] * sign[2] < 0)
        return "Which of the two costs more turns with position 0, and back with the others.";
    if (sign[0] * sign[2] < 0)
        return sign[1] == 0
                   ? "Which of the two costs more turns with all masked rows; with position 0 alone it is not told."
                   : "Which of the two costs more turns with the others, not with position 0.";
    if (sign[0] * sign[2] > 0)
        return sign[1] == 0 ? "Which of the two costs more does not turn; with position 0 alone it is not told."
                            : "Which of the two costs more does not turn.";
    return "Whether it turns which of the two costs more is not told.";
}

/* Position 0's part of what masked rows add to the difference, the other masked rows' part, and which is larger; by R2 or R3. */
static sae_status parts(const experiment *e, sae_result *r, int op, sae_error *err)
{
    const loss_table *t = &e->losses;
    const uint64_t seed = e->options.seed;
    const int which[2 * CHOICES] = {LOSS_R2 + op,  LOSS_R2 + WITH_POSITION_0 + op,  LOSS_R2 + EVERY_ROW + op,
                                    LOSS_PCA + op, LOSS_PCA + WITH_POSITION_0 + op, LOSS_PCA + EVERY_ROW + op};
    const int first[4] = {which[1], which[4], which[0], which[3]}, others[4] = {which[2], which[5], which[1], which[4]};
    sae_status status = SAE_OK;
    interval part[2], larger, gap[CHOICES];
    char text[700], numbers[3][INTERVAL_TEXT], key[48];

    SAE_TRY(loss_contrast(&part[0], t, first, seed, err));
    SAE_TRY(loss_contrast(&part[1], t, others, seed, err));
    const double a = part[0].value < 0 ? -1 : 1, b = part[1].value < 0 ? -1 : 1; /* sizes are compared */
    const double weights[2 * CHOICES] = {-a, a + b, -b, a, -a - b, b};
    SAE_TRY(loss_weighted(&larger, t, which, weights, 2 * CHOICES, seed, err));
    for (int i = 0; i < CHOICES; i++) SAE_TRY(loss_difference(&gap[i], t, which[i], which[CHOICES + i], seed, err));
    const interval *const all[3] = {&part[0], &part[1], &larger};
    for (int i = 0; i < 3; i++) {
        static const char *const keys[3] = {"position_0.difference", "other_masked.difference",
                                            "position_0_over_other"};
        snprintf(key, sizeof key, "R%d", op == OP_R2 ? 2 : 3);
        SAE_TRY(put(r, keys[i], key, all[i], err));
        interval_text(numbers[i], all[i]);
    }
    snprintf(text, sizeof text,
             "Which masked rows (%s): position 0 moves the difference between scaffold and PCA by %s nats%s, the "
             "others by %s more%s. %s (|position 0's| - |the others'|: %s nats). %s",
             loss_name_of(which[0]).operator, numbers[0], interval_holds_zero(&part[0]) ? ", not told from none" : "",
             numbers[1], interval_holds_zero(&part[1]) ? ", not told from none" : "",
             interval_holds_zero(&larger) ? "Which part is larger is not told"
             : larger.value > 0           ? "Position 0's part is the larger one"
                                          : "The others' part is the larger one",
             numbers[2], order_text(gap));
    SAE_TRY(sae_result_note(r, text, err));
done:
    return status;
}

sae_status masked_rows_report(const experiment *e, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t n_seq = e->losses.n_seq, masked = loss_masked_rows(e);
    char lead[300];

    if (!loss_measured(e, LOSS_R2 + EVERY_ROW)) return SAE_OK;
    snprintf(lead, sizeof lead,
             "The masked rows (position 0, special tokens, norms over the limit: %lld of %lld in the sequences that "
             "losses are of): ",
             (long long)masked, (long long)(n_seq * e->held_out.ctx));
    SAE_TRY(costs(e, r, "masked_rows", lead, EVERY_ROW, OP_R2, err));
    SAE_TRY(costs(e, r, "masked_rows_centred", "The masked rows: ", EVERY_ROW, OP_R3, err));
    if (!loss_measured(e, LOSS_R2 + WITH_POSITION_0)) goto done;
    snprintf(lead, sizeof lead, "Of these position 0's alone (%lld rows): ", (long long)n_seq);
    SAE_TRY(costs(e, r, "position_0", lead, WITH_POSITION_0, OP_R2, err));
    SAE_TRY(costs(e, r, "position_0_centred", "Position 0's rows alone: ", WITH_POSITION_0, OP_R3, err));
    SAE_TRY(position_0_parts(e, r, err));
    SAE_TRY(table(e, r, err));
    if (e->all.rank > 0) SAE_TRY(beside_all_rows(e, r, err));
    SAE_TRY(beside_equal_share(e, r, err));
    if (masked == n_seq) {
        SAE_TRY(sae_result_note(r, "No row but position 0's is masked: there are no others.", err));
        goto done;
    }
    SAE_TRY(parts(e, r, OP_R2, err));
    SAE_TRY(parts(e, r, OP_R3, err));
done:
    return status;
}

/* ---- As a picture ---------------------------------------------------------------------------------------------------------- */

/* The scaffold, PCA (and that of all rows) and random subspaces (and those that hold as much of position 0's row), removed from the counted rows, and from masked ones too, by R2 and R3. */
sae_status masked_rows_plot(const experiment *e, sae_result *r, sae_error *err)
{
    enum { SHOWN = 5 };
    static const struct {
        const char *label;
        int space;
    } spaces[SHOWN] = {{"scaffold", LOSS_R2},
                       {"PCA", LOSS_PCA},
                       {"PCA of all rows", LOSS_ALL},
                       {"random, equal share", LOSS_SHARE},
                       {"random", LOSS_RANDOM}};
    static const char *const rows[CHOICES] = {"counted rows", "position 0 too", "masked rows too"};
    sae_status status = SAE_OK;
    const char *labels[SHOWN];
    double y[SHOWN], low[SHOWN], high[SHOWN];
    char label[48];

    if (!loss_measured(e, LOSS_R2 + EVERY_ROW)) return SAE_OK;
    SAE_TRY(sae_result_plot(r, "masked_rows", "Loss after removal, position 0 and other masked rows", NULL,
                            "CE after / CE clean", SAE_PLOT_BAR, 0, err));
    for (int s = 0; s < 2 * CHOICES; s++) {
        const int op = s < CHOICES ? OP_R2 : OP_R3, way = choices[s % CHOICES].way + op;
        if (!loss_measured(e, LOSS_R2 + way)) continue;
        int n = 0;
        for (int i = 0; i < SHOWN; i++) {
            interval ratio;
            if (!loss_measured(e, spaces[i].space + way)) continue;
            SAE_TRY(removal_ratio(e, spaces[i].space, way, &ratio, err));
            labels[n] = spaces[i].label;
            y[n] = ratio.value, low[n] = ratio.low, high[n++] = ratio.high;
        }
        snprintf(label, sizeof label, "%s, %s", op == OP_R2 ? "R2" : "R3", rows[s % CHOICES]);
        SAE_TRY(sae_result_bars(r, "masked_rows", label, labels, y, low, high, n, err));
    }
    SAE_TRY(sae_result_line(r, "masked_rows", "clean", false, 1, err));
    SAE_TRY(sae_result_line(r, "masked_rows", "every token alike", false,
                            log((double)sae_model_get_info(e->model)->n_vocab) / loss_mean(&e->losses, LOSS_CLEAN),
                            err));
done:
    return status;
}
