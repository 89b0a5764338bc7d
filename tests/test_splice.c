/*
 * test_splice.c - measurements that need a model, on a tiny random one: what is spliced in, what is scored, what is
 * counted, and what latents do.
 */
#include "eval/core.h"
#include "eval/features.h"
#include "report/report.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEQS = 12, CTX = 24, SPECIAL = 5 };
static const char model_folder[] = "data/golden/models/llama_gqa_tied"; /* d 32, 3 layers, 128 tokens */
static const sae_site site = {1, SAE_RESID_POST};

typedef struct bed {
    sae_model *model;
    int32_t ids[SEQS * CTX];
    uint8_t mask[SEQS * CTX];
    int64_t d;
} bed;

static void bed_open(bed *b)
{
    rng r = rng_seed(71, 0);

    ck_assert_int_eq(sae_model_open(&b->model, model_folder, NULL, NULL), SAE_OK);
    b->d = sae_model_get_info(b->model)->d_model;
    for (int i = 0; i < SEQS * CTX; i++) {
        b->ids[i] = i % CTX == 0 ? 0 : (int32_t)rng_below(&r, 128);
        if (i % CTX == 9) b->ids[i] = SPECIAL;
        b->mask[i] = i % CTX != 0 && b->ids[i] != SPECIAL;
    }
}

static sample bed_sample(bed *b, sae_site where, const sample_options *options)
{
    sample s;

    ck_assert_int_eq(sample_of_ids(&s, b->model, b->ids, b->mask, SEQS, CTX, where, options, NULL), SAE_OK);
    return s;
}

/* A dictionary with random weights in which about a fifth of the latents fire at each row. */
static sae_dict *random_dict(int64_t d, int64_t rank, uint64_t seed)
{
    sae_dict_config config = {
        .arch = SAE_BATCHTOPK, .d_in = d, .d_sae = 3 * d, .k = 8, .rank = rank, .apply_b_dec_to_input = true};
    sae_dict *dict = NULL;
    rng r = rng_seed(seed, 0);

    ck_assert_int_eq(sae_dict_create(&dict, &config, NULL), SAE_OK);
    sae_weights w = sae_dict_weights(dict);
    for (int64_t i = 0; i < 3 * d * d; i++) {
        w.W_enc[i] = (float)(rng_normal(&r) / sqrt((double)d));
        w.W_dec[i] = (float)(rng_normal(&r) / sqrt((double)d));
    }
    for (int64_t i = 0; i < 3 * d; i++) w.threshold[i] = 1.0F;
    for (int64_t i = 0; i < rank * d; i++) {
        w.W_down[i] = (float)(rng_normal(&r) / sqrt((double)d));
        w.W_up[i] = (float)(rng_normal(&r) / sqrt((double)d));
    }
    return dict;
}

/* ---- The loss table -------------------------------------------------------------------------------------------------------- */

/* Edits that change nothing leave every sum as it is, bit for bit: no edit, a subspace of rank 0, and a reconstruction
 * that is the identity (a scaffold of full rank with W_down = W_up = 1). */
START_TEST(test_nothing_changes_nothing)
{
    bed b;
    subspace none;
    loss_table t;

    bed_open(&b);
    sample s = bed_sample(&b, site, &(sample_options){0});
    sae_dict_config config = {
        .arch = SAE_BATCHTOPK, .d_in = b.d, .d_sae = 4, .k = 1, .rank = b.d, .apply_b_dec_to_input = true};
    sae_dict *identity = NULL;
    ck_assert_int_eq(sae_dict_create(&identity, &config, NULL), SAE_OK);
    sae_weights w = sae_dict_weights(identity);
    for (int64_t i = 0; i < b.d; i++) w.W_down[i * b.d + i] = w.W_up[i * b.d + i] = 1.0F;
    none = (subspace){.d = b.d};
    edit_space nothing = {&none, NULL};
    edit_recon whole = {identity, true};
    edit edits[] = {{.fn = NULL},
                    {.fn = edit_remove, .user = &nothing},
                    {.fn = edit_reconstruct, .user = &whole},
                    {.fn = edit_zero}};
    ck_assert_int_eq(splice_measure(&t, &s, SEQS, edits, 4, NULL, NULL), SAE_OK);
    for (int e = 1; e < 3; e++) ck_assert_mem_eq(t.nll, t.nll + e * SEQS, SEQS * sizeof *t.nll);
    ck_assert_double_gt(fabs(loss_mean(&t, 3) - loss_mean(&t, 0)), 0.01); /* and zero ablation does not */
    loss_table_free(&t);
    sae_dict_free(identity);
    sample_free(&s);
    sae_model_free(b.model);
}
END_TEST

/* The clean sums are those of a plain run over the same positions. */
START_TEST(test_clean_is_the_model)
{
    bed b;
    loss_table t;
    float nll[SEQS * (CTX - 1)];
    double sum = 0;
    int64_t count = 0;
    edit clean = {.fn = NULL};

    bed_open(&b);
    sample s = bed_sample(&b, site, &(sample_options){.batch_seqs = 5}); /* batches of 5, 5 and 2 */
    sae_run run = {.ids = b.ids, .n_seq = SEQS, .n_ctx = CTX, .nll = nll};
    ck_assert_int_eq(sae_model_run(b.model, &run, NULL), SAE_OK);
    for (int q = 0; q < SEQS; q++) {
        for (int p = 0; p + 1 < CTX; p++) {
            if (!b.mask[q * CTX + p] || !b.mask[q * CTX + p + 1]) continue;
            sum += (double)nll[q * (CTX - 1) + p];
            count++;
        }
    }
    ck_assert_int_eq(splice_measure(&t, &s, SEQS, &clean, 1, NULL, NULL), SAE_OK);
    ck_assert_int_eq(t.n_scored, count);
    ck_assert_double_eq_tol(loss_mean(&t, 0), sum / (double)count, 1e-6);
    ck_assert_int_eq(splice_sequences(&s, 1), 1);
    ck_assert_int_eq(splice_sequences(&s, count), SEQS);
    ck_assert_int_eq(splice_sequences(&s, 10 * count), SEQS);
    loss_table_free(&t);
    sample_free(&s);
    sae_model_free(b.model);
}
END_TEST

START_TEST(test_removing_everything_is_mean_ablation)
{
    bed b;
    loss_table t;
    rng r = rng_seed(72, 0);
    subspace all;
    double mean[64];

    bed_open(&b);
    sample s = bed_sample(&b, site, &(sample_options){0});
    ck_assert_int_eq(subspace_random(&all, b.d, b.d, &r, NULL), SAE_OK);
    for (int64_t j = 0; j < b.d; j++) mean[j] = rng_normal(&r);
    edit_space centred = {&all, mean}, uncentred = {&all, NULL};
    edit edits[] = {{.fn = edit_mean, .user = mean},
                    {.fn = edit_remove, .user = &centred},
                    {.fn = edit_zero},
                    {.fn = edit_remove, .user = &uncentred}};
    ck_assert_int_eq(splice_measure(&t, &s, SEQS, edits, 4, NULL, NULL), SAE_OK);
    ck_assert_double_eq_tol(loss_mean(&t, 0), loss_mean(&t, 1), 1e-5); /* observed 3e-8 */
    /* near zero RMSNorm divides by sqrt(eps), so the last bits of R2 show */
    ck_assert_double_eq_tol(loss_mean(&t, 2), loss_mean(&t, 3), 1e-3);
    ck_assert_double_gt(fabs(loss_mean(&t, 0) - loss_mean(&t, 2)), 1e-3);
    loss_table_free(&t);
    subspace_free(&all);
    sample_free(&s);
    sae_model_free(b.model);
}
END_TEST

/* What an edit is shown: the counted rows and no others. */
typedef struct witness {
    int64_t n_rows;
    double max_norm;
} witness;

static sae_status edit_watch(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err)
{
    witness *w = (witness *)(uintptr_t)user;

    (void)err;
    for (int64_t i = 0; i < n; i++) {
        double norm = 0;
        for (int64_t j = 0; j < d; j++) norm += (double)rows[i * d + j] * (double)rows[i * d + j];
        w->max_norm = fmax(w->max_norm, sqrt(norm));
    }
    w->n_rows += n;
    memcpy(out, rows, (size_t)(n * d) * sizeof *out);
    return SAE_OK;
}

START_TEST(test_what_is_counted)
{
    bed b;
    loss_table t;
    witness w = {0};
    int64_t scored = 0;

    bed_open(&b);
    sample s = bed_sample(&b, site, &(sample_options){.max_norm = 1.1});
    ck_assert_int_gt(s.n_over_norm, 0);
    ck_assert_int_gt(s.n_counted, 0);
    ck_assert_int_eq(s.n_counted + s.n_over_norm + s.n_masked, SEQS * CTX);
    edit watch = {.fn = edit_watch, .user = &w};
    ck_assert_int_eq(splice_measure(&t, &s, SEQS, &watch, 1, NULL, NULL), SAE_OK);
    ck_assert_int_eq(w.n_rows, s.n_counted);
    ck_assert_double_le(w.max_norm, 1.1 * s.median_norm);
    for (int i = 0; i + 1 < SEQS * CTX; i++)
        if (i % CTX + 1 < CTX) scored += s.counted[i] && b.mask[i + 1];
    ck_assert_int_eq(t.n_scored, scored);
    loss_table_free(&t);
    w = (witness){0};
    watch.rows = EDIT_EVERY_ROW; /* it sees all rows; what is scored is the same */
    ck_assert_int_eq(splice_measure(&t, &s, SEQS, &watch, 1, NULL, NULL), SAE_OK);
    ck_assert_int_eq(w.n_rows, SEQS * CTX);
    ck_assert_double_gt(w.max_norm, 1.1 * s.median_norm);
    ck_assert_int_eq(t.n_scored, scored);
    watch.rows = EDIT_COUNTED;
    loss_table_free(&t);
    sample_free(&s);
    s = bed_sample(&b, site,
                   &(sample_options){.max_norm = -1, .with_bos = true}); /* every row, and all but the last scored */
    ck_assert_int_eq(s.n_counted, SEQS * CTX);
    ck_assert_int_eq(s.n_masked, 0);
    ck_assert_int_eq(splice_measure(&t, &s, SEQS, &watch, 1, NULL, NULL), SAE_OK);
    ck_assert_int_eq(t.n_scored, SEQS * (CTX - 1));
    loss_table_free(&t);
    sample_free(&s);
    sae_model_free(b.model);
}
END_TEST

/* Sets rows to 0 that do not count: those of position 0, or the others. */
typedef struct marked {
    const sample *s;
    bool position_0;
} marked;

static sae_status edit_zero_marked(const void *user, const float *rows, int64_t n, int64_t d, float *out,
                                   sae_error *err)
{
    const marked *m = user;
    const size_t row = (size_t)d * sizeof *rows;

    (void)err;
    memcpy(out, rows, (size_t)n * row);
    for (int64_t i = 0; i < n; i++) {
        int at = 0; /* its place, or one that has the same row: sequences begin alike */
        while (at < SEQS * CTX && memcmp(m->s->cache + at * d, rows + i * d, row) != 0) at++;
        ck_assert_int_lt(at, SEQS * CTX);
        if (!m->s->counted[at] && (at % CTX == 0) == m->position_0) memset(out + i * d, 0, row);
    }
    return SAE_OK;
}

/* An edit that sees position 0 too differs from one of the counted rows at that row alone, and one of every row from it at the others
 * alone; in none is there a counted row that the others leave. */
START_TEST(test_which_rows_change)
{
    enum { CHOICES = 3 };
    bed b;
    loss_table t;
    witness seen[CHOICES] = {{0}};
    edit edits[4 * CHOICES];

    bed_open(&b);
    sample s = bed_sample(&b, site, &(sample_options){.max_norm = 1.1});
    ck_assert_int_gt(s.n_over_norm, 0);
    ck_assert_int_gt(s.n_masked, SEQS);
    marked first = {&s, true}, others = {&s, false};
    for (int i = 0; i < CHOICES; i++) {
        edits[i] = (edit){NULL, NULL, (edit_rows)i};
        edits[CHOICES + i] = (edit){edit_zero_marked, &first, (edit_rows)i};
        edits[2 * CHOICES + i] = (edit){edit_zero_marked, &others, (edit_rows)i};
        edits[3 * CHOICES + i] = (edit){edit_watch, &seen[i], (edit_rows)i};
    }
    ck_assert_int_eq(splice_measure(&t, &s, SEQS, edits, 4 * CHOICES, NULL, NULL), SAE_OK);
    const bool clean[3][CHOICES] = {{true, true, true}, {true, false, false}, {true, true, false}};
    for (int i = 0; i < 3 * CHOICES; i++)
        ck_assert_msg((memcmp(t.nll, t.nll + i * SEQS, SEQS * sizeof *t.nll) == 0) == clean[i / CHOICES][i % CHOICES],
                      "edit %d", i);
    const double *zeroed = t.nll + (CHOICES + EDIT_WITH_POSITION_0) * SEQS;
    ck_assert_mem_eq(zeroed, zeroed + SEQS, SEQS * sizeof *t.nll); /* EDIT_EVERY_ROW shows the edit that row as well */
    ck_assert_int_eq(seen[EDIT_COUNTED].n_rows, s.n_counted);
    ck_assert_int_eq(seen[EDIT_WITH_POSITION_0].n_rows, s.n_counted + SEQS);
    ck_assert_int_eq(seen[EDIT_EVERY_ROW].n_rows, SEQS * CTX);
    loss_table_free(&t);
    sample_free(&s);
    sae_model_free(b.model);
}
END_TEST

/* Rows that are kept and rows that are computed again give the same bytes; so does another size of batch to rounding. */
START_TEST(test_cache)
{
    bed b;
    loss_table t[2];

    bed_open(&b);
    sae_dict *dict = random_dict(b.d, 2, 73);
    edit_recon whole = {dict, true};
    edit recon = {.fn = edit_reconstruct, .user = &whole};
    for (int i = 0; i < 2; i++) {
        sample s = bed_sample(&b, site, &(sample_options){.cache_bytes = i ? 1 : 0});
        ck_assert(i ? !s.cache : s.cache != NULL);
        ck_assert_int_eq(splice_measure(&t[i], &s, SEQS, &recon, 1, NULL, NULL), SAE_OK);
        sample_free(&s);
    }
    ck_assert_mem_eq(t[0].nll, t[1].nll, SEQS * sizeof(double));
    loss_table_free(&t[0]);
    loss_table_free(&t[1]);
    sae_dict_free(dict);
    sae_model_free(b.model);
}
END_TEST

/* A site inside a block cannot start the pass: it is replaced on the way. */
START_TEST(test_site_inside_a_block)
{
    bed b;
    loss_table t;
    edit edits[] = {{.fn = NULL}, {.fn = edit_zero}};
    loss_table plain;

    bed_open(&b);
    sample inside = bed_sample(&b, (sae_site){1, SAE_MLP_OUT}, &(sample_options){.max_norm = -1});
    sample residual = bed_sample(&b, site, &(sample_options){.max_norm = -1});
    ck_assert_int_eq(splice_measure(&t, &inside, SEQS, edits, 2, NULL, NULL), SAE_OK);
    ck_assert_int_eq(splice_measure(&plain, &residual, SEQS, edits, 1, NULL, NULL), SAE_OK);
    ck_assert_double_eq_tol(loss_mean(&t, 0), loss_mean(&plain, 0), 1e-6);
    ck_assert_double_gt(fabs(loss_mean(&t, 1) - loss_mean(&t, 0)), 1e-3);
    loss_table_free(&t);
    loss_table_free(&plain);
    sample_free(&inside);
    sample_free(&residual);
    sae_model_free(b.model);
}
END_TEST

static int64_t file_bytes(const char *path)
{
    struct stat s;

    ck_assert_int_eq(stat(path, &s), 0);
    return s.st_size;
}

/* Losses that were measured before are found by the rows: the same sums bit for bit, without the model (of which there is none then);
 * in another call, after the log was damaged, and for another edit that comes to the same rows. Other positions that count, other ids or
 * another model are other losses. */
START_TEST(test_known_losses)
{
    bed b;
    subspace none;
    loss_table plain, t;
    loss_log *log = NULL;
    char path[] = "/tmp/sae-losses-XXXXXX";
    const int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    close(fd);
    bed_open(&b);
    sample s = bed_sample(&b, site, &(sample_options){.batch_seqs = 5});
    none = (subspace){.d = b.d};
    const edit_space nothing = {&none, NULL};
    const edit edits[] = {{.fn = NULL}, {.fn = edit_zero}, {.fn = edit_remove, .user = &nothing}};
    ck_assert_int_eq(splice_measure(&plain, &s, SEQS, edits, 3, NULL, NULL), SAE_OK);

    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(loss_log_open(&log, path, "a model", NULL), SAE_OK);
        s.known = log;
        s.model = round == 1 ? NULL : b.model; /* nothing is left to measure */
        ck_assert_int_eq(splice_measure(&t, &s, SEQS, edits, 3, NULL, NULL), SAE_OK);
        ck_assert_mem_eq(t.nll, plain.nll, 3 * SEQS * sizeof *t.nll);
        loss_table_free(&t);
        loss_log_close(log);
        if (round == 1) ck_assert_int_eq(truncate(path, 150), 0); /* in the middle of a line */
    }
    s.model = b.model;

    /* Without the memory to read it nothing of it is lost. */
    const int64_t whole = file_bytes(path);
    sae_status opened = SAE_NOMEM;
    for (int64_t nth = 1; opened != SAE_OK; nth++) {
        mem_fail_nth(nth);
        opened = loss_log_open(&log, path, "a model", NULL);
        mem_fail_nth(0);
        ck_assert_int_eq(file_bytes(path), whole);
        ck_assert(opened == SAE_OK ? nth > 5 : opened == SAE_NOMEM);
    }
    loss_log_close(log);

    ck_assert_int_eq(loss_log_open(&log, path, "a model", NULL), SAE_OK);
    const loss_key key = loss_log_key(log, s.cache, 5 * CTX, b.d, s.ids, s.mask, s.counted);
    const double *sums = loss_log_find(log, key, 5);
    ck_assert_ptr_nonnull(sums);
    ck_assert_mem_eq(sums, plain.nll, 5 * sizeof *sums);
    ck_assert_ptr_null(loss_log_find(log, key, 4));
    s.counted[3] ^= 1;
    ck_assert_ptr_null(loss_log_find(log, loss_log_key(log, s.cache, 5 * CTX, b.d, s.ids, s.mask, s.counted), 5));
    s.counted[3] ^= 1;
    s.ids[CTX - 1] ^= 1;
    ck_assert_ptr_null(loss_log_find(log, loss_log_key(log, s.cache, 5 * CTX, b.d, s.ids, s.mask, s.counted), 5));
    s.ids[CTX - 1] ^= 1;
    loss_log_close(log);
    ck_assert_int_eq(loss_log_open(&log, path, "another model", NULL), SAE_OK);
    ck_assert_ptr_null(loss_log_find(log, loss_log_key(log, s.cache, 5 * CTX, b.d, s.ids, s.mask, s.counted), 5));
    loss_log_close(log);
    loss_table_free(&plain);
    sample_free(&s);
    sae_model_free(b.model);
    unlink(path);
}
END_TEST

/* All losses but the one of key 1, when `but` says so, are in the log. */
static void all_known(const char *path, uint64_t n, const double nll[2], bool but)
{
    loss_log *log = NULL;

    ck_assert_int_eq(loss_log_open(&log, path, "a model", NULL), SAE_OK);
    for (uint64_t i = 0; i < n; i++) {
        const double *found = loss_log_find(log, (loss_key){i, 7}, 2);
        ck_assert_msg((found == NULL) == (but && i == 1), "line %d", (int)i);
        if (found) ck_assert_mem_eq(found, nll, 2 * sizeof *nll);
    }
    loss_log_close(log);
}

static void add_losses(const char *path, uint64_t first, uint64_t last, const double nll[2])
{
    loss_log *log = NULL;

    ck_assert_int_eq(loss_log_open(&log, path, "a model", NULL), SAE_OK);
    for (uint64_t i = first; i <= last; i++)
        ck_assert_int_eq(loss_log_add(log, (loss_key){i, 7}, nll, 2, NULL), SAE_OK);
    loss_log_close(log);
}

/* A line that is damaged, or was not written to its end, costs itself alone. */
START_TEST(test_damaged_losses)
{
    enum { N = 4 };
    static const double nll[2] = {1.25, 3.5};
    static const char damage[] = "#\n\0";
    char path[] = "/tmp/sae-losses-XXXXXX", was;
    const int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    add_losses(path, 0, N - 1, nll);
    all_known(path, N, nll, false);
    const off_t line = file_bytes(path) / N; /* all are of one length */
    const off_t places[] = {line, line + 20, 2 * line - 4};
    for (int i = 0; i < 9; i++) {
        ck_assert_int_eq(pread(fd, &was, 1, places[i % 3]), 1);
        ck_assert_int_eq(pwrite(fd, &damage[i / 3], 1, places[i % 3]), 1);
        all_known(path, N, nll, true);
        ck_assert_int_eq(file_bytes(path), N * line);
        if (i < 8) ck_assert_int_eq(pwrite(fd, &was, 1, places[i % 3]), 1);
    }
    add_losses(path, 1, 1, nll); /* measured again: a further line */
    all_known(path, N, nll, false);
    ck_assert_int_eq(ftruncate(fd, N * line + 60), 0); /* as a process leaves it that was killed while it wrote it */
    all_known(path, N, nll, true);
    add_losses(path, 1, 1, nll);
    all_known(path, N, nll, false);
    ck_assert_int_eq(file_bytes(path), (N + 1) * line);
    close(fd);
    unlink(path);
}
END_TEST

/* ---- Core measures ----------------------------------------------------------------------------------------------------------- */

/* T9: masked padding behind each sequence changes no density. */
START_TEST(test_padding_changes_no_density)
{
    enum { LONGER = CTX + 7 };
    bed b;
    core_arm plain, padded;
    int32_t ids[SEQS * LONGER];
    uint8_t mask[SEQS * LONGER] = {0};
    sample longer;

    bed_open(&b);
    for (int i = 0; i < SEQS * LONGER; i++) {
        bool inside = i % LONGER < CTX;
        ids[i] = inside ? b.ids[i / LONGER * CTX + i % LONGER] : 3;
        if (inside) mask[i] = b.mask[i / LONGER * CTX + i % LONGER];
    }
    sae_dict *dict = random_dict(b.d, 2, 74);
    sample s = bed_sample(&b, site, &(sample_options){.max_norm = -1});
    ck_assert_int_eq(
        sample_of_ids(&longer, b.model, ids, mask, SEQS, LONGER, site, &(sample_options){.max_norm = -1}, NULL),
        SAE_OK);
    ck_assert_int_eq(core_measure(&plain, &s, dict, NULL, NULL), SAE_OK);
    ck_assert_int_eq(core_measure(&padded, &longer, dict, NULL, NULL), SAE_OK);
    ck_assert_int_eq(plain.density.n_rows, padded.density.n_rows);
    ck_assert_int_gt(plain.density.n_fired, 0);
    ck_assert_mem_eq(plain.density.fired, padded.density.fired, (size_t)plain.density.d_sae * sizeof(int64_t));
    ck_assert_double_eq_tol(fit_fvu(&plain.full), fit_fvu(&padded.full), 1e-6);
    core_arm_free(&plain);
    core_arm_free(&padded);
    sample_free(&s);
    sample_free(&longer);
    sae_dict_free(dict);
    sae_model_free(b.model);
}
END_TEST

/* Numbers of the result against their definitions, from a walk of its own. */
START_TEST(test_core_result)
{
    bed b;
    sae_result *result = NULL;
    core_arm arm;

    bed_open(&b);
    sae_dict *dict = random_dict(b.d, 2, 75);
    sample s = bed_sample(&b, site, &(sample_options){0});
    ck_assert_int_eq(core_run(&result, &s, dict, &(sae_eval_options){0}, NULL, NULL), SAE_OK);
    ck_assert_int_eq(core_measure(&arm, &s, dict, NULL, NULL), SAE_OK);
    ck_assert_double_eq(sae_result_get(result, "tokens", NAN), (double)s.n_counted);
    ck_assert_double_eq(sae_result_get(result, "l0", NAN), (double)arm.density.n_fired / (double)s.n_counted);
    ck_assert_double_eq_tol(sae_result_get(result, "fvu", NAN) + sae_result_get(result, "explained_variance", NAN), 1,
                            1e-12);
    ck_assert_double_eq(sae_result_get(result, "dense_0.1", NAN), (double)density_dense(&arm.density, 0.1));
    double clean = sae_result_get(result, "ce_clean", NAN), zero = sae_result_get(result, "ce_zero", NAN);
    double recon = sae_result_get(result, "ce_reconstruction", NAN);
    ck_assert_double_eq_tol(sae_result_get(result, "loss_recovered", NAN), (zero - recon) / (zero - clean), 1e-12);
    ck_assert_double_eq_tol(sae_result_get(result, "ce_uniform", NAN), log(128), 1e-12);
    ck_assert_double_ne(sae_result_get(result, "ce_sparse_only", NAN), recon);
    core_arm_free(&arm);
    sae_result_free(result);
    sample_free(&s);
    sae_dict_free(dict);
    sae_model_free(b.model);
}
END_TEST

START_TEST(test_wrong_width)
{
    bed b;
    sae_error err = {0};
    core_arm arm = {0};

    bed_open(&b);
    sae_dict *dict = random_dict(b.d + 1, 0, 76);
    sample s = bed_sample(&b, site, &(sample_options){0});
    ck_assert_int_eq(core_measure(&arm, &s, dict, NULL, &err), SAE_SHAPE);
    ck_assert_ptr_nonnull(strstr(err.message, "33"));
    ck_assert_ptr_nonnull(strstr(err.message, "32"));
    sample_free(&s);
    sae_dict_free(dict);
    sae_model_free(b.model);
}
END_TEST

/* ---- Features ------------------------------------------------------------------------------------------------------------------ */

/* One latent and both sides of one direction against a plain walk over all rows. */
START_TEST(test_features)
{
    enum { LATENT = 11, TOP = 4 };
    bed b;
    feature found[3];
    codes c;
    double read[64] = {0};
    float best[SEQS] = {0};

    bed_open(&b);
    sae_dict *dict = random_dict(b.d, 2, 77);
    sample s = bed_sample(&b, site, &(sample_options){.batch_seqs = 5});
    read[3] = 1;
    feature_target targets[] = {{.latent = LATENT}, {-1, read, 2, 0.5}, {-1, read, -2, -0.5}};
    ck_assert_int_eq(features_scan(found, &s, dict, targets, 3, TOP, NULL, NULL), SAE_OK);
    ck_assert_int_eq(codes_encode(&c, dict, s.cache, SEQS * CTX, NULL), SAE_OK);
    int64_t active = 0, above = 0, below = 0;
    double sum = 0;
    for (int i = 0; i < SEQS * CTX; i++) {
        if (!s.counted[i]) continue;
        double code = 2 * (double)s.cache[i * b.d + 3] - 0.5;
        above += code > 0;
        below += code < 0;
        for (int64_t p = c.row_start[i]; p < c.row_start[i + 1]; p++) {
            if (c.latent[p] != LATENT) continue;
            active++;
            sum += (double)c.value[p];
            best[i / CTX] = fmaxf(best[i / CTX], c.value[p]);
        }
    }
    ck_assert_int_gt(active, TOP);
    ck_assert_int_eq(found[0].n_active, active);
    ck_assert_int_eq(found[0].n_rows, s.n_counted);
    ck_assert_double_eq_tol(found[0].sum, sum, 1e-3);
    ck_assert_int_eq(found[1].n_active, above);
    ck_assert_int_eq(found[2].n_active, below);
    ck_assert_int_eq(found[0].n_contexts, TOP);
    for (int i = 0; i < TOP; i++) {
        const feature_context *x = &found[0].contexts[i];
        ck_assert_float_eq_tol(x->peak, best[x->seq], 1e-4F);
        ck_assert_float_eq(x->strength[x->at], x->peak);
        ck_assert_int_eq(x->ids[x->at], s.ids[x->seq * CTX + x->t]);
        if (i) ck_assert(found[0].contexts[i - 1].peak >= x->peak && found[0].contexts[i - 1].seq != x->seq);
        best[x->seq] = 0; /* what is left must be weaker */
    }
    for (int q = 0; q < SEQS; q++) ck_assert_float_le(best[q], found[0].contexts[TOP - 1].peak + 1e-4F);
    codes_free(&c);
    targets[0].latent = 3 * b.d;
    ck_assert_int_eq(features_scan(found, &s, dict, targets, 1, TOP, NULL, NULL), SAE_RANGE);
    sample_free(&s);
    sae_dict_free(dict);
    sae_model_free(b.model);
}
END_TEST

/* ---- Memory --------------------------------------------------------------------------------------------------------------------- */

/* Every allocation of a whole core measurement fails once: the call says so and gives everything back. */
START_TEST(test_allocation_failures)
{
    bed b;
    int64_t nth = 1;
    sae_status status = SAE_NOMEM;
    sae_result *result = NULL;

    bed_open(&b);
    sae_dict *dict = random_dict(b.d, 2, 78);
    sample s = bed_sample(&b, site, &(sample_options){0});
    ck_assert_int_eq(core_run(&result, &s, dict, &(sae_eval_options){0}, NULL, NULL),
                     SAE_OK); /* fills caches made once */
    sae_result_free(result);
    sample_free(&s);
    size_t before = mem_in_use();
    for (; status != SAE_OK && nth < 5000; nth++) {
        sae_error err = {0};
        result = NULL;
        s = (sample){0};
        mem_fail_nth(nth);
        status = sample_of_ids(&s, b.model, b.ids, b.mask, SEQS, CTX, site, &(sample_options){0}, &err);
        if (status == SAE_OK) status = core_run(&result, &s, dict, &(sae_eval_options){0}, NULL, &err);
        mem_fail_nth(0);
        ck_assert(status == SAE_OK || (status == SAE_NOMEM && err.message[0] && !result));
        sae_result_free(result);
        sample_free(&s);
        ck_assert_uint_eq(mem_in_use(), before);
    }
    ck_assert_int_eq(status, SAE_OK);
    ck_assert_int_gt(nth, 20);
    sae_dict_free(dict);
    sae_model_free(b.model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("splice");
    TCase *tcase = tcase_create("model");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_nothing_changes_nothing);
    tcase_add_test(tcase, test_clean_is_the_model);
    tcase_add_test(tcase, test_removing_everything_is_mean_ablation);
    tcase_add_test(tcase, test_what_is_counted);
    tcase_add_test(tcase, test_which_rows_change);
    tcase_add_test(tcase, test_cache);
    tcase_add_test(tcase, test_site_inside_a_block);
    tcase_add_test(tcase, test_known_losses);
    tcase_add_test(tcase, test_damaged_losses);
    tcase_add_test(tcase, test_padding_changes_no_density);
    tcase_add_test(tcase, test_core_result);
    tcase_add_test(tcase, test_wrong_width);
    tcase_add_test(tcase, test_features);
    tcase_add_test(tcase, test_allocation_failures);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
