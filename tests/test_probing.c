/* test_probing.c - pooling beside its definition on a tiny model; probing, perturbation and topics on documents whose truth is known. */
#include "eval/controls.h"
#include "eval/probing.h"
#include "eval/tpp.h"
#include "lab/redundancy.h"
#include "lab/topics.h"
#include "labelled_fixture.h"

#include "expect.h"

/* ---- Pooling ---------------------------------------------------------------------------------------------------------------- */

typedef struct slow {
    float rows[64 * 64];
    int64_t n; /* counted rows, together */
} slow;

static sae_status copy_rows(void *user, float *rows, int64_t n_rows, int64_t d, sae_error *err)
{
    (void)err;
    memcpy(user, rows, (size_t)(n_rows * d) * sizeof *rows);
    return SAE_OK;
}

/* The counted rows of one document by itself. */
static void slow_rows(slow *s, const tiny *t, const labelled *l, int64_t doc, int64_t ctx)
{
    static float all[64 * 64];
    int32_t *ids, run_ids[64] = {0};
    size_t n;
    sae_tap tap = {t->site, copy_rows, all};

    OK(sae_tokenizer_encode(t->tok, l->bytes + l->start[doc], l->start[doc + 1] - l->start[doc], true, &ids, &n, &err));
    if ((int64_t)n > ctx - 1) n = (size_t)(ctx - 1);
    memcpy(run_ids + 1, ids, n * sizeof *ids);
    sae_run run = {.ids = run_ids, .n_seq = 1, .n_ctx = (int64_t)n + 1, .taps = &tap, .n_taps = 1};
    OK(sae_model_run(t->model, &run, &err));
    s->n = 0;
    for (size_t i = 0; i < n; i++)
        if (ids[i] != 0) memcpy(s->rows + s->n++ * t->d, all + (i + 1) * (size_t)t->d, (size_t)t->d * sizeof *all);
    free(ids);
}

/* Mean rows, mean codes in units of unit rows, and means of relu(h) and relu(-h): document by document as they are defined. */
static void compare_document(const tiny *t, const pooled *p, const slow *s, int64_t at)
{
    const pooled_codes *c = &p->codes[0];
    const sae_weights w = sae_dict_weights(t->dict);
    codes k = {0};
    double sums[48] = {0}, h[4] = {0}, seen[48] = {0}, n = (double)(s->n ? s->n : 1);

    EXPECT(p->counted[at] == s->n, "document %lld: %d tokens, expected %lld", (long long)at, p->counted[at],
           (long long)s->n);
    for (int64_t j = 0; j < t->d; j++) {
        double sum = 0;
        for (int64_t i = 0; i < s->n; i++) sum += (double)s->rows[i * t->d + j];
        EXPECT_WITHIN(fabs(sum / n - (double)p->rows[at * t->d + j]), 2e-5, "row"); /* observed 4e-6 */
    }
    if (s->n) OK(codes_encode(&k, t->dict, s->rows, s->n, &err));
    for (int64_t e = 0; s->n && e < k.row_start[s->n]; e++) sums[k.latent[e]] += (double)k.value[e] / n;
    for (int64_t i = 0; i < 2 * s->n; i++) {
        h[i % 2] += fmax((double)k.h[i], 0) / n;
        h[2 + i % 2] += fmax(-(double)k.h[i], 0) / n;
    }
    for (int64_t e = c->row_start[at]; e < c->row_start[at + 1]; e++) {
        EXPECT(e == c->row_start[at] || c->latent[e] > c->latent[e - 1], "latents ascend");
        seen[c->latent[e]] = (double)c->value[e];
    }
    for (int i = 0; i < 48; i++) {
        double square = 0;
        for (int64_t j = 0; j < t->d; j++) square += (double)w.W_dec[i * t->d + j] * (double)w.W_dec[i * t->d + j];
        EXPECT_WITHIN(fabs(sums[i] * sqrt(square) - seen[i]), 5e-4, "latent %d: %g, expected %g", i,
                      seen[i], /* observed 8e-5 */
                      sums[i] * sqrt(square));
    }
    for (int i = 0; i < 4; i++) {
        double square = 0;
        for (int64_t j = 0; j < t->d; j++)
            square += (double)w.W_up[i % 2 * t->d + j] * (double)w.W_up[i % 2 * t->d + j];
        EXPECT_WITHIN(fabs(h[i] * sqrt(square) - (double)c->scaffold[at * 4 + i]), 1e-3,
                      "scaffold"); /* observed 1e-4 */
    }
    codes_free(&k);
}

START_TEST(test_pooled)
{
    tiny t;
    labelled l;
    pooled p;
    slow s;
    int64_t docs[60];
    pooled_options o = {.ctx = 24, .batch_tokens = 100, .max_norm = -1, .last = _i == 1};

    tiny_open(&t);
    tiny_documents(&l, 60);
    int64_t n = l.n < 60 ? l.n : 60;
    for (int64_t i = 0; i < n; i++) docs[i] = i % 2 ? n - i : i; /* in disorder, with repeats */
    OK(pooled_create(&p, t.model, t.tok, t.site, &l, docs, n, (const sae_dict *const *)&t.dict, 1, &o, NULL, &err));
    ck_assert_int_le(p.n, n);
    for (int64_t i = 0; i < p.n; i++) {
        if (i) ck_assert_int_gt(p.doc[i], p.doc[i - 1]);
        ck_assert_int_eq(pooled_find(&p, p.doc[i]), i);
        slow_rows(&s, &t, &l, p.doc[i], 24);
        if (o.last && s.n > 1) {
            memmove(s.rows, s.rows + (s.n - 1) * t.d, (size_t)t.d * sizeof *s.rows);
            s.n = 1;
        }
        compare_document(&t, &p, &s, i);
    }
    pooled_free(&p);
    labelled_free(&l);
    tiny_close(&t);
}
END_TEST

/* Rows over the limit are left out and counted; documents too long for the model are refused. */
START_TEST(test_pooled_limits)
{
    tiny t;
    labelled l;
    pooled all, few;
    int64_t docs[40];
    pooled_options o = {.ctx = 24, .max_norm = -1};

    tiny_open(&t);
    tiny_documents(&l, 40);
    for (int64_t i = 0; i < 40; i++) docs[i] = i < l.n ? i : 0;
    OK(pooled_create(&all, t.model, t.tok, t.site, &l, docs, 40, NULL, 0, &o, NULL, &err));
    o.max_norm = 1; /* of the median: about half */
    OK(pooled_create(&few, t.model, t.tok, t.site, &l, docs, 40, NULL, 0, &o, NULL, &err));
    ck_assert_int_eq(all.n_over_norm, 0);
    ck_assert_int_eq(few.n_tokens + few.n_over_norm, all.n_tokens);
    ck_assert_int_gt(few.n_over_norm, all.n_tokens / 4);
    ck_assert_int_ge(all.n_empty, 1); /* document 10 is a special token and nothing else */
    pooled_free(&few);
    o = (pooled_options){.ctx = 24, .max_norm = -1, .with_bos = true}; /* the separator and every special token too */
    OK(pooled_create(&few, t.model, t.tok, t.site, &l, docs, 40, NULL, 0, &o, NULL, &err));
    ck_assert_int_eq(few.n_empty, 0);
    ck_assert_int_ge(few.n_tokens, all.n_tokens + few.n + 1);
    for (int64_t i = 0; i < few.n; i++) ck_assert_int_ge(few.counted[i], all.counted[i] + 1);
    o.ctx = 1 << 20;
    FAILS(pooled_create(&few, t.model, t.tok, t.site, &l, docs, 40, NULL, 0, &o, NULL, &err), SAE_RANGE, "context");
    pooled_free(&all);
    labelled_free(&l);
    pooled_free(&few);
    tiny_close(&t);
}
END_TEST

/* T8, its law: what ablation takes off pooled rows is what decoding the codes with and without the latents differs by, token by token, and whether
 * decoding adds the scaffold's part or not makes no difference. */
START_TEST(test_ablation_on_tokens)
{
    tiny t;
    labelled l;
    pooled p;
    slow s;
    static const int64_t which[] = {3, 7, 8, 20, 41};
    int64_t docs[30];
    pooled_options o = {.ctx = 24, .max_norm = -1};
    static float changed[30 * 64], without[64 * 64], with[64 * 64];

    tiny_open(&t);
    tiny_documents(&l, 30);
    for (int64_t i = 0; i < l.n; i++) docs[i] = i;
    OK(pooled_create(&p, t.model, t.tok, t.site, &l, docs, l.n, (const sae_dict *const *)&t.dict, 1, &o, NULL, &err));
    pooled_rows(&p, docs, l.n, changed);
    OK(tpp_ablate(&p, 0, t.dict, docs, l.n, which, 5, changed, &err));
    for (int64_t i = 0; i < l.n; i++) {
        codes c = {0};
        slow_rows(&s, &t, &l, i, 24);
        if (s.n == 0) continue;
        for (int scaffold = 0; scaffold < 2; scaffold++) {
            OK(codes_encode(&c, t.dict, s.rows, s.n, &err));
            OK(codes_decode(&c, t.dict, scaffold, with, &err));
            for (int64_t e = 0; e < c.row_start[s.n]; e++)
                for (int k = 0; k < 5; k++)
                    if (c.latent[e] == which[k]) c.value[e] = 0;
            OK(codes_decode(&c, t.dict, scaffold, without, &err));
            for (int64_t j = 0; j < t.d; j++) {
                double sum = 0; /* x' = decode(f ablated) + (x - decode(f)) */
                for (int64_t k = 0; k < s.n; k++)
                    sum += (double)without[k * t.d + j] + (double)s.rows[k * t.d + j] - (double)with[k * t.d + j];
                EXPECT_WITHIN(fabs(sum / (double)s.n - (double)changed[i * t.d + j]), 1e-4,
                              "document %lld", /* observed 8e-6 */
                              (long long)i);
            }
            codes_free(&c);
        }
    }
    pooled_free(&p);
    labelled_free(&l);
    tiny_close(&t);
}
END_TEST

/* What an ablation takes off a probe's margins is what the probe sees of the rows without it, latents and codes. */
START_TEST(test_ablation_seen_by_probes)
{
    enum { DOCS = 30, PROBES = 2 };
    tiny t;
    labelled l;
    pooled p;
    static const int64_t which[] = {3, 7, 8, 20, 41, 49};
    int64_t docs[DOCS];
    pooled_options o = {.ctx = 24, .max_norm = -1};
    static float rows[DOCS * 64], changed[DOCS * 64];
    double w[PROBES][64], along[PROBES * 50], off[PROBES * DOCS], moved = 0;
    rng random = rng_seed(3, 0);

    tiny_open(&t);
    tiny_documents(&l, DOCS);
    for (int64_t i = 0; i < l.n; i++) docs[i] = i;
    OK(pooled_create(&p, t.model, t.tok, t.site, &l, docs, l.n, (const sae_dict *const *)&t.dict, 1, &o, NULL, &err));
    ck_assert_int_eq(p.codes[0].d_sae + p.codes[0].rank, 50);
    for (int k = 0; k < PROBES; k++) {
        for (int64_t j = 0; j < t.d; j++) w[k][j] = rng_normal(&random);
        tpp_along(&p, 0, t.dict, w[k], along + k * 50);
    }
    pooled_rows(&p, docs, l.n, rows);
    pooled_rows(&p, docs, l.n, changed);
    OK(tpp_ablate(&p, 0, t.dict, docs, l.n, which, 6, changed, &err));
    OK(tpp_margins_off(&p, 0, along, PROBES, docs, l.n, which, 6, off, &err));
    for (int k = 0; k < PROBES; k++)
        for (int64_t i = 0; i < l.n; i++) {
            double seen = 0;
            for (int64_t j = 0; j < t.d; j++)
                seen += w[k][j] * ((double)rows[i * t.d + j] - (double)changed[i * t.d + j]);
            EXPECT_WITHIN(fabs(off[k * l.n + i] - seen), 1e-4, "document %lld", (long long)i); /* observed 1.6e-5 */
            moved += fabs(seen);
        }
    ck_assert_double_gt(moved, 1);
    pooled_free(&p);
    labelled_free(&l);
    tiny_close(&t);
}
END_TEST

/* Law: without all codes of the scaffold a pooled row is the mean of x less the scaffold's output, token by token. */
START_TEST(test_codes_on_tokens)
{
    tiny t;
    labelled l;
    pooled p;
    slow s;
    static const int64_t which[] = {48, 49};
    int64_t docs[12];
    pooled_options o = {.ctx = 24, .max_norm = -1};
    static float changed[12 * 64], without[64 * 64], with[64 * 64];
    double moved = 0;

    tiny_open(&t);
    tiny_documents(&l, 12);
    for (int64_t i = 0; i < l.n; i++) docs[i] = i;
    OK(pooled_create(&p, t.model, t.tok, t.site, &l, docs, l.n, (const sae_dict *const *)&t.dict, 1, &o, NULL, &err));
    pooled_rows(&p, docs, l.n, changed);
    OK(tpp_ablate(&p, 0, t.dict, docs, l.n, which, 2, changed, &err));
    for (int64_t i = 0; i < l.n; i++) {
        codes c = {0};
        slow_rows(&s, &t, &l, i, 24);
        if (s.n == 0) continue;
        OK(codes_encode(&c, t.dict, s.rows, s.n, &err));
        OK(codes_decode(&c, t.dict, true, with, &err));
        OK(codes_decode(&c, t.dict, false, without, &err));
        for (int64_t j = 0; j < t.d; j++) {
            double sum = 0, scaffold = 0;
            for (int64_t k = 0; k < s.n; k++) {
                const double out = (double)with[k * t.d + j] - (double)without[k * t.d + j];
                sum += (double)s.rows[k * t.d + j] - out;
                scaffold += fabs(out);
            }
            moved += scaffold;
            EXPECT_WITHIN(fabs(sum / (double)s.n - (double)changed[i * t.d + j]), 1e-3, "document %lld", (long long)i);
        }
        codes_free(&c);
    }
    ck_assert_double_gt(moved, 1);
    pooled_free(&p);
    labelled_free(&l);
    tiny_close(&t);
}
END_TEST

/* ---- Tasks ---------------------------------------------------------------------------------------------------------------- */

START_TEST(test_tasks)
{
    planted w;
    tasks t;

    planted_open(&w, 300, 5, 1, 0, 2);
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        OK(tasks_create(&t, &w.s, shuffled, 4, &err));
        ck_assert_int_eq(t.n, 5);
        for (int c = 0; c < t.n; c++) {
            const task *k = &t.test[c];
            int of_class[5] = {0}, wrong = 0;
            EXPECT(k->n == 2 * w.s.test.per_class, "balanced");
            for (int64_t i = 0; i < k->n; i++) {
                EXPECT(k->y[i] == (i < k->n / 2), "positives first");
                EXPECT(w.s.test.doc[k->place[i]] == k->doc[i], "places");
                wrong += (w.docs.label[k->doc[i]] == c) != k->y[i];
                if (!k->y[i]) of_class[w.docs.label[k->doc[i]]]++;
            }
            EXPECT(shuffled ? wrong > k->n / 5 : wrong == 0, "%d wrong labels", wrong);
            for (int o = 0; o < 5 && !shuffled; o++)
                EXPECT(o == c || abs(of_class[o] - (int)k->n / 8) <= 5, "negatives come evenly");
        }
        tasks_free(&t);
    }
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* ---- Probing --------------------------------------------------------------------------------------------------------------- */

static const probing_arm *arm_of(const probing *m, probing_what what)
{
    for (int i = 0; i < m->n_arms; i++)
        if (m->arms[i].what == what) return &m->arms[i];
    ck_abort_msg("no such arm");
    return NULL;
}

/* Three latents that tell three classes: one is enough; at random they are not. */
START_TEST(test_probing_planted)
{
    planted w;
    probing m;
    probing_options o = {.k = {1, 5}, .n_k = 2, .seed = 1};

    planted_open(&w, 600, 3, 2, 0, 8);
    OK(probing_measure(&m, &w.p, &w.s, &o, NULL, &err));
    const probing_arm *latents = arm_of(&m, PROBING_LATENTS);
    ck_assert_double_gt(latents->accuracy[0].value, 0.98); /* observed 1 */
    ck_assert_double_lt(arm_of(&m, PROBING_RANDOM)->accuracy[0].value, 0.7);
    ck_assert_double_gt(arm_of(&m, PROBING_RESIDUAL)->accuracy[0].value, 0.95);
    ck_assert_double_lt(arm_of(&m, PROBING_NEURONS)->accuracy[0].value, latents->accuracy[0].low);
    ck_assert(arm_of(&m, PROBING_SCAFFOLD)->has_gain && !latents->has_gain);
    for (int i = 0; i < m.n_arms; i++) { /* behind each k stands the mean over them */
        const probing_arm *arm = &m.arms[i];
        double sum = 0;
        for (int k = 0; k < arm->n_k; k++) sum += arm->accuracy[k].value / arm->n_k;
        ck_assert_double_eq_tol(arm->accuracy[arm->n_k].value, sum, 1e-12);
    }
    for (int i = 0; i < m.n_arms; i++)
        for (int k = 0; k < m.arms[i].n_k; k++)
            ck_assert(m.arms[i].accuracy[k].low <= m.arms[i].accuracy[k].value &&
                      m.arms[i].accuracy[k].value <= m.arms[i].accuracy[k].high);
    probing_free(&m);
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* What stands in the scaffold's code alone is found by the arm that may choose it, and by no other that sees codes. */
START_TEST(test_probing_scaffold)
{
    planted w;
    probing m;
    probing_options o = {.k = {1, 2}, .n_k = 2};

    planted_open(&w, 600, 2, 0, 3, 9);
    OK(probing_measure(&m, &w.p, &w.s, &o, NULL, &err));
    ck_assert_int_eq(m.n_tasks, 1);
    const probing_arm *both = arm_of(&m, PROBING_SCAFFOLD);
    ck_assert_double_lt(arm_of(&m, PROBING_LATENTS)->accuracy[0].value, 0.6);
    ck_assert_double_gt(both->accuracy[0].value, 0.98);
    ck_assert_double_gt(both->gain[0].low, 0.3);
    probing_free(&m);
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* A code that is large and tells nothing is chosen by its difference of means, not by that over its deviation; the latent that tells is. What
 * tells is found by either. */
START_TEST(test_probing_scaled)
{
    planted w;
    probing m;
    probing_options o = {.k = {1}, .n_k = 1, .seed = 1};

    planted_open(&w, 600, 3, 2, 0, 8);
    for (int64_t i = 0; i < 2 * w.p.n; i++) w.p.codes[0].scaffold[i] *= 1000;
    OK(probing_measure(&m, &w.p, &w.s, &o, NULL, &err));
    const probing_arm *by_size = arm_of(&m, PROBING_SCAFFOLD), *scaled = arm_of(&m, PROBING_SCAFFOLD_SCALED);
    ck_assert_double_lt(by_size->accuracy[0].value, 0.7);
    ck_assert_double_gt(scaled->accuracy[0].value, 0.98);
    ck_assert(scaled->has_gain && !arm_of(&m, PROBING_LATENTS_SCALED)->has_gain);
    ck_assert_double_lt(by_size->gain[0].high, 0);
    ck_assert(scaled->gain[0].value == 0);
    probing_free(&m);
    planted_close(&w);
    planted_open(&w, 600, 2, 0, 3, 9);
    OK(probing_measure(&m, &w.p, &w.s, &o, NULL, &err));
    ck_assert_double_gt(arm_of(&m, PROBING_SCAFFOLD_SCALED)->gain[0].low, 0.3);
    probing_free(&m);
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* Nothing to tell, and shuffled labels: of 20 worlds the interval leaves 0.5 out in few. Both kinds of null are in each. */
START_TEST(test_probing_null)
{
    int missed[3] = {0}, gained = 0;
    double mean[3] = {0}, gain = 0;

    for (uint64_t seed = 0; seed < 20; seed++) {
        planted w;
        probing m;
        probing_options o = {.k = {1, 3}, .n_k = 2, .seed = seed};
        static const probing_what whats[] = {PROBING_LATENTS, PROBING_SHUFFLED, PROBING_RESIDUAL};
        planted_open(&w, 240, 2, 0, 0, 30 + seed);
        for (int64_t i = 0; i < 2 * w.p.n; i++) w.p.codes[0].scaffold[i] *= 50; /* large enough to be chosen */
        OK(probing_measure(&m, &w.p, &w.s, &o, NULL, &err));
        for (int i = 0; i < 3; i++) {
            const interval *v = &arm_of(&m, whats[i])->accuracy[0];
            missed[i] += v->low > 0.5 || v->high < 0.5;
            mean[i] += v->value / 20;
        }
        const interval *more = &arm_of(&m, PROBING_SCAFFOLD)->gain[1]; /* codes of a scaffold that know nothing */
        gained += more->low > 0 || more->high < 0;
        gain += more->value / 20;
        if (getenv("SAE_OBSERVED")) printf("# gain %.3f [%.3f, %.3f]\n", more->value, more->low, more->high);
        probing_free(&m);
        planted_close(&w);
    }
    ck_assert_int_le(gained, 4);
    ck_assert_double_eq_tol(gain, 0, 0.04);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_le(missed[i], 4);              /* 1 expected; 5 or more by chance in 0.3 % */
        ck_assert_double_eq_tol(mean[i], 0.5, 0.04); /* its own deviation is 0.01 */
    }
    scratch_remove();
}
END_TEST

/* ---- Perturbation ---------------------------------------------------------------------------------------------------------- */

/* TPP of one dictionary of p. */
static sae_status measure_one(tpp *out, const pooled *p, int dict, sae_dict *weights, const split *s,
                              const tpp_options *options, sae_error *e)
{
    pooled one = *p;

    one.codes += dict;
    one.n_dicts = 1;
    return tpp_measure(out, 1, &one, &weights, s, options, NULL, e);
}

START_TEST(test_tpp_planted)
{
    planted w;
    tpp m;
    tpp_options o = {.n = {1, 3}, .n_n = 2, .seed = 1};

    planted_open(&w, 900, 3, 2, 0, 8);
    OK(measure_one(&m, &w.p, 0, w.dict, &w.s, &o, &err));
    ck_assert_double_gt(m.clean[0].value, 0.95);
    ck_assert(m.clean[1].low < 0.5 && m.clean[1].high > 0.5);
    ck_assert_double_gt(m.at[TPP_LATENTS][0].intended.low, 0.2);
    ck_assert_double_gt(m.at[TPP_LATENTS][0].total.low, m.at[TPP_RANDOM][0].total.high);
    ck_assert_double_eq_tol(m.at[TPP_RANDOM][0].total.value - m.held[0] * m.at[TPP_LATENTS][0].total.value, 0,
                            0.05); /* what draws hold of the class's own does what it does, all else nothing */
    ck_assert(m.at[TPP_SHUFFLED][0].total.low <= 0.02 && m.at[TPP_SHUFFLED][0].total.high >= -0.02);
    for (int a = 0; a < TPP_ARMS; a++)
        for (int i = 0; i < 2; i++)
            ck_assert_double_eq_tol(m.at[a][i].total.value, m.at[a][i].intended.value - m.at[a][i].unintended.value,
                                    1e-12);
    ck_assert_double_eq_tol(m.at[TPP_LATENTS][0].ablated, 1, 1e-12);
    tpp_free(&m);
    planted_close(&w);
    planted_open(&w, 200, 2, 1, 0, 8);
    FAILS(measure_one(&m, &w.p, 0, w.dict, &w.s, &o, &err), SAE_RANGE, "three classes");
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* T8: of two dictionaries that differ in nothing but whether decoding adds the scaffold's part every score is the same, bit for bit: the
 * encoder (P1) does not see it, and what is ablated does not have it (but in the arm whose candidates are its codes). */
START_TEST(test_tpp_whether_decoding_adds_the_scaffold)
{
    enum { DOCS = 90 };
    tiny t;
    labelled l;
    pooled p;
    split s;
    tpp m[2];
    int64_t docs[DOCS];
    tpp_options o = {.n = {2, 8}, .n_n = 2, .seed = 4};
    split_options half = {.n_train = 12, .n_test = 12, .seed = 4};

    tiny_open(&t);
    tiny_documents(&l, DOCS);
    OK(split_create(&s, &l, &half, &err));
    for (int64_t i = 0; i < l.n; i++) docs[i] = i;
    sae_dict *silent = random_dict(t.d, 48, 2, 5);
    memset(sae_dict_weights(silent).W_up, 0, (size_t)(2 * t.d) * sizeof(float));
    sae_dict *const dicts[] = {t.dict, silent};
    OK(pooled_create(&p, t.model, t.tok, t.site, &l, docs, l.n, (const sae_dict *const *)dicts, 2,
                     &(pooled_options){.ctx = 24, .max_norm = -1}, NULL, &err));
    for (int i = 0; i < 2; i++) OK(measure_one(&m[i], &p, i, dicts[i], &s, &o, &err));
    ck_assert_double_gt(m[0].at[TPP_LATENTS][1].ablated, 0);
    ck_assert_double_ne(m[0].at[TPP_LATENTS][1].total.value, 0);
    for (int a = 0; a < TPP_ARMS; a++)
        if (a != TPP_WITH_CODES)
            ck_assert_mem_eq(m[0].at[a], m[1].at[a], sizeof m[0].at[a]); /* whose codes write nothing in one */
    ck_assert_mem_eq(m[0].drawn, m[1].drawn, sizeof m[0].drawn);
    for (int i = 0; i < 2; i++) tpp_free(&m[i]);
    pooled_free(&p);
    split_free(&s);
    labelled_free(&l);
    sae_dict_free(silent);
    tiny_close(&t);
}
END_TEST

/* Without latents that know the classes nothing that is ablated is better aimed than at random. */
START_TEST(test_tpp_null)
{
    double sum = 0;

    for (uint64_t seed = 0; seed < 8; seed++) {
        planted w;
        tpp m;
        tpp_options o = {.n = {4}, .n_n = 1, .seed = seed};
        planted_open(&w, 300, 3, 0, 0, 60 + seed);
        OK(measure_one(&m, &w.p, 0, w.dict, &w.s, &o, &err));
        sum += m.at[TPP_LATENTS][0].total.value / 8;
        tpp_free(&m);
        planted_close(&w);
    }
    ck_assert_double_eq_tol(sum, 0, 0.04); /* observed below 0.02 */
    scratch_remove();
}
END_TEST

/* Latents of equal density are drawn more than once, the class's own among them: their mean is what is reported, its interval knows of their
 * spread, and what is more than drawn leaves room for another draw. */
START_TEST(test_tpp_draws)
{
    planted w;
    tpp m;
    tpp_options o = {.n = {1, 3}, .n_n = 2, .seed = 1};

    planted_open(&w, 1200, 6, 2, 0, 8);
    OK(measure_one(&m, &w.p, 0, w.dict, &w.s, &o, &err));
    for (int i = 0; i < 2; i++) {
        const interval *random = &m.at[TPP_RANDOM][i].total, *over = &m.over_drawn[i];
        const interval draws = interval_of_mean(m.drawn[i], TPP_DRAWS);
        ck_assert(interval_has_width(&draws));
        ck_assert_double_eq_tol(random->value, draws.value, 1e-12);
        ck_assert_double_gt(random->high - random->low, draws.high - draws.low);
        ck_assert_double_eq_tol(over->value, m.at[TPP_LATENTS][i].total.value - random->value, 1e-12);
        ck_assert_double_gt(over->low, 0);
        ck_assert_double_ge(over->value - over->low, sqrt(6) * (draws.high - draws.value)); /* t s sqrt(1 + 1/5) */
        ck_assert(m.held[i] > 0 && m.held[i] < CONTROL_MOST_SHARED);
        ck_assert_double_eq_tol(m.at[TPP_RANDOM][i].ablated, m.at[TPP_LATENTS][i].ablated, 1e-12);
        if (getenv("SAE_OBSERVED"))
            printf("# n %lld: %.3f more than drawn [%.3f, %.3f], held %.2f\n", (long long)o.n[i], over->value,
                   over->low, over->high, m.held[i]);
    }
    tpp_free(&m);
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* Latents that know no class beside draws of equal density: of 20 worlds the interval leaves 0 out in few. */
START_TEST(test_tpp_over_drawn)
{
    int missed = 0;

    for (uint64_t seed = 0; seed < 20; seed++) {
        planted w;
        tpp m;
        tpp_options o = {.n = {4}, .n_n = 1, .seed = seed};
        planted_open(&w, 300, 3, 0, 0, 130 + seed);
        OK(measure_one(&m, &w.p, 0, w.dict, &w.s, &o, &err));
        missed += m.over_drawn[0].low > 0 || m.over_drawn[0].high < 0;
        ck_assert_double_le(m.held[0], CONTROL_MOST_SHARED);
        tpp_free(&m);
        planted_close(&w);
    }
    if (getenv("SAE_OBSERVED")) printf("# %d of 20 nulls are told\n", missed);
    ck_assert_int_le(missed, 4);
    scratch_remove();
}
END_TEST

/* Behind all n stands their mean, of scores, draws and documents alike; a gain in it is the mean of the gains. */
START_TEST(test_tpp_mean)
{
    planted w;
    tpp m;
    tpp_options o = {.n = {1, 3, 20}, .n_n = 3, .seed = 1};

    planted_open(&w, 900, 3, 2, 0, 8);
    OK(measure_one(&m, &w.p, 0, w.dict, &w.s, &o, &err));
    for (int a = 0; a < TPP_ARMS; a++) {
        const tpp_score *at = m.at[a];
        ck_assert_double_eq_tol(at[3].total.value, (at[0].total.value + at[1].total.value + at[2].total.value) / 3,
                                1e-12);
        ck_assert_double_eq_tol(at[3].intended.value - at[3].unintended.value, at[3].total.value, 1e-12);
        ck_assert_double_eq_tol(at[3].ablated, (at[0].ablated + at[1].ablated + at[2].ablated) / 3, 1e-12);
        ck_assert(at[3].total.low <= at[3].total.value && at[3].total.value <= at[3].total.high);
        for (int64_t i = 0; i < m.n_docs; i++) {
            const double *change = m.change + (int64_t)a * 4 * m.n_docs + i;
            EXPECT(fabs(change[3 * m.n_docs] - (change[0] + change[m.n_docs] + change[2 * m.n_docs]) / 3) < 1e-12,
                   "document %lld", (long long)i);
        }
    }
    for (int k = 0; k < TPP_DRAWS; k++)
        ck_assert_double_eq_tol(m.drawn[3][k], (m.drawn[0][k] + m.drawn[1][k] + m.drawn[2][k]) / 3, 1e-12);
    ck_assert_double_eq_tol(m.over_drawn[3].value, m.at[TPP_LATENTS][3].total.value - m.at[TPP_RANDOM][3].total.value,
                            1e-12);
    tpp_free(&m);
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* Lets the scaffold write its code into the rows, along its row of W_up. */
static void write_codes(planted *w)
{
    const sae_weights of = sae_dict_weights(w->dict);
    pooled_codes *c = &w->p.codes[0];
    double square = 0;

    for (int64_t j = 0; j < PLANTED_D; j++) square += (double)of.W_up[j] * (double)of.W_up[j];
    c->norm[PLANTED_SAE] = (float)sqrt(square);
    for (int64_t i = 0; i < w->p.n; i++)
        for (int64_t j = 0; j < PLANTED_D; j++)
            w->p.rows[i * PLANTED_D + j] +=
                (c->scaffold[2 * i] - c->scaffold[2 * i + 1]) / c->norm[PLANTED_SAE] * of.W_up[j];
}

/* The latent of class 0 is silent, and its part of the rows gone. */
static void silence_first(planted *w)
{
    const sae_weights of = sae_dict_weights(w->dict);
    pooled_codes *c = &w->p.codes[0];

    for (int64_t i = 0; i < w->p.n; i++)
        for (int64_t e = c->row_start[i]; e < c->row_start[i + 1]; e++) {
            if (c->latent[e] != 0) continue;
            for (int64_t j = 0; j < PLANTED_D; j++)
                w->p.rows[i * PLANTED_D + j] -= c->value[e] / c->norm[0] * of.W_dec[j];
            c->value[e] = 0;
        }
}

/* What a class is told by in the scaffold alone no latent's ablation takes away; that of the code does, and of all codes together. */
START_TEST(test_tpp_codes)
{
    planted w;
    tpp m;
    interval added;
    tpp_options o = {.n = {1}, .n_n = 1, .seed = 1};

    planted_open(&w, 900, 3, 2, 1, 8);
    silence_first(&w);
    write_codes(&w);
    OK(measure_one(&m, &w.p, 0, w.dict, &w.s, &o, &err));
    ck_assert_int_eq(m.rank, 1);
    for (int i = 0; i <= 1; i++) {
        OK(tpp_codes_add(&added, &m, i, 1, &err));
        ck_assert_double_eq_tol(added.value, m.at[TPP_WITH_CODES][i].total.value - m.at[TPP_LATENTS][i].total.value,
                                1e-12);
        ck_assert_double_gt(added.low, 0.02);
        ck_assert_double_gt(m.at[TPP_WITH_CODES][i].codes, 0.3);
        ck_assert(m.at[TPP_LATENTS][i].codes == 0);
    }
    ck_assert_double_gt(m.codes.low, 0.1);
    if (getenv("SAE_OBSERVED"))
        printf("# codes add %.3f [%.3f, %.3f], all fall %.3f\n", added.value, added.low, added.high, m.codes.value);
    tpp_free(&m);
    w.p.codes[0].rank = 0; /* without one the arm is that of the latents */
    OK(measure_one(&m, &w.p, 0, w.dict, &w.s, &o, &err));
    for (int i = 0; i <= 1; i++) {
        OK(tpp_codes_add(&added, &m, i, 1, &err));
        ck_assert(added.value == 0 && added.low == 0 && added.high == 0);
        ck_assert(m.at[TPP_WITH_CODES][i].total.value == m.at[TPP_LATENTS][i].total.value);
    }
    tpp_free(&m);
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* Codes that know no class add nothing: of 20 worlds the interval leaves 0 out in few. */
START_TEST(test_tpp_codes_null)
{
    int missed = 0, chosen = 0;
    double mean = 0;

    for (uint64_t seed = 0; seed < 20; seed++) {
        planted w;
        tpp m;
        interval added;
        tpp_options o = {.n = {4}, .n_n = 1, .seed = seed};
        planted_open(&w, 300, 3, 2, 0, 170 + seed);
        for (int64_t i = 0; i < 2 * w.p.n; i++) w.p.codes[0].scaffold[i] *= 20; /* large enough to be chosen */
        write_codes(&w);
        OK(measure_one(&m, &w.p, 0, w.dict, &w.s, &o, &err));
        OK(tpp_codes_add(&added, &m, 0, seed, &err));
        missed += added.low > 0 || added.high < 0;
        mean += added.value / 20;
        chosen += m.at[TPP_WITH_CODES][0].codes > 0;
        tpp_free(&m);
        planted_close(&w);
    }
    if (getenv("SAE_OBSERVED"))
        printf("# %d of 20 nulls are told, mean %.3f; codes chosen in %d\n", missed, mean, chosen);
    ck_assert_int_gt(chosen, 5);
    ck_assert_int_le(missed, 4);
    ck_assert_double_eq_tol(mean, 0, 0.03);
    scratch_remove();
}
END_TEST

/* Adds a second dictionary that reads the same documents with the same decoder rows: its codes are the first's times `share`. */
static pooled_codes *second_dictionary(planted *w, float share)
{
    const pooled_codes *old;
    pooled_codes *c;
    int64_t n;

    w->p.codes = mem_grow(w->p.codes, sizeof *c, 2 * sizeof *c, "codes", NULL);
    old = &w->p.codes[0];
    c = &w->p.codes[1];
    n = old->row_start[w->p.n];
    *c = (pooled_codes){.d_sae = old->d_sae, .rank = old->rank};
    c->norm = mem_alloc_array(PLANTED_SAE + 1, sizeof(float), "norms", NULL);
    c->row_start = mem_alloc_array((size_t)w->p.n + 1, sizeof(int64_t), "codes", NULL);
    c->latent = mem_alloc_array((size_t)n, sizeof(int32_t), "codes", NULL);
    c->value = mem_alloc_array((size_t)n, sizeof(float), "codes", NULL);
    c->scaffold = mem_alloc_array((size_t)w->p.n, 2 * sizeof(float), "codes", NULL);
    memcpy(c->norm, old->norm, PLANTED_SAE * sizeof(float));
    memcpy(c->row_start, old->row_start, ((size_t)w->p.n + 1) * sizeof(int64_t));
    memcpy(c->latent, old->latent, (size_t)n * sizeof(int32_t));
    for (int64_t e = 0; e < n; e++) c->value[e] = share * old->value[e];
    w->p.n_dicts = 2;
    return c;
}

/* The gain of the whole codes over three tenths of them: the difference of the two scores, and surer than they are apart since documents are the
 * same. Over itself a dictionary gains nothing at all. */
START_TEST(test_tpp_gain)
{
    planted w;
    tpp all, part, together[3] = {0};
    interval gain, back, none;
    tpp_options o = {.n = {1, 3}, .n_n = 2, .seed = 1};

    planted_open(&w, 900, 3, 2, 0, 8);
    second_dictionary(&w, 0.3F);
    OK(measure_one(&all, &w.p, 0, w.dict, &w.s, &o, &err));
    OK(measure_one(&part, &w.p, 1, w.dict, &w.s, &o, &err));
    OK(tpp_measure(together, 2, &w.p, (sae_dict *const[]){w.dict, w.dict}, &w.s, &o, NULL, &err));
    for (int d = 0; d < 2; d++) { /* out[stride] apart */
        const tpp *alone = d ? &part : &all;
        ck_assert(memcmp(together[2 * d].at, alone->at, sizeof alone->at) == 0);
        tpp_free(&together[2 * d]);
    }
    for (int arm = 0; arm < TPP_ARMS; arm++)
        for (int i = 0; i < 2; i++) {
            const interval *a = &all.at[arm][i].total, *b = &part.at[arm][i].total;
            OK(tpp_gain(&gain, &all, &part, (tpp_what)arm, i, 1, &err));
            OK(tpp_gain(&back, &part, &all, (tpp_what)arm, i, 1, &err));
            OK(tpp_gain(&none, &all, &all, (tpp_what)arm, i, 1, &err));
            ck_assert_double_eq_tol(gain.value, a->value - b->value, 1e-12);
            ck_assert_double_eq_tol(gain.value, -back.value, 1e-12);
            ck_assert(gain.low <= gain.value && gain.value <= gain.high);
            ck_assert(none.value == 0 && none.low == 0 && none.high == 0);
        }
    OK(tpp_gain(&gain, &all, &part, TPP_LATENTS, 0, 1, &err));
    ck_assert_double_gt(gain.low, 0.1);
    ck_assert_double_lt(gain.high - gain.low,
                        (all.at[TPP_LATENTS][0].total.high - all.at[TPP_LATENTS][0].total.low) +
                            (part.at[TPP_LATENTS][0].total.high - part.at[TPP_LATENTS][0].total.low));
    tpp_free(&part);
    o.seed = 2; /* other tasks */
    OK(measure_one(&part, &w.p, 1, w.dict, &w.s, &o, &err));
    FAILS(tpp_gain(&gain, &all, &part, TPP_LATENTS, 0, 1, &err), SAE_RANGE, "the same documents");
    tpp_free(&all);
    tpp_free(&part);
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* Two dictionaries that see the same, each in a half of the documents drawn at random: of 20 worlds the gain's interval leaves 0 out in few. */
START_TEST(test_tpp_gain_null)
{
    int missed = 0;
    double mean = 0;

    for (uint64_t seed = 0; seed < 20; seed++) {
        planted w;
        tpp m[2];
        interval gain;
        tpp_options o = {.n = {1}, .n_n = 1, .seed = seed};
        rng r = rng_seed(seed, 4);
        planted_open(&w, 300, 3, 2, 0, 90 + seed);
        pooled_codes *second = second_dictionary(&w, 1), *first = &w.p.codes[0];
        for (int64_t i = 0; i < w.p.n; i++) {
            pooled_codes *blind = rng_below(&r, 2) ? first : second;
            for (int64_t e = blind->row_start[i]; e < blind->row_start[i + 1]; e++)
                if (blind->latent[e] < 3) blind->value[e] *= 0.1F;
        }
        for (int d = 0; d < 2; d++) OK(measure_one(&m[d], &w.p, d, w.dict, &w.s, &o, &err));
        OK(tpp_gain(&gain, &m[1], &m[0], TPP_LATENTS, 0, seed, &err));
        missed += gain.low > 0 || gain.high < 0;
        mean += gain.value / 20;
        for (int d = 0; d < 2; d++) {
            ck_assert_double_gt(m[d].at[TPP_LATENTS][0].total.value, 0.02); /* there is something to compare */
            tpp_free(&m[d]);
        }
        planted_close(&w);
    }
    ck_assert_int_le(missed, 4);            /* 1 expected; 5 or more by chance in 0.3 % */
    ck_assert_double_eq_tol(mean, 0, 0.05); /* observed -0.008 */
    scratch_remove();
}
END_TEST

/* ---- Topics ------------------------------------------------------------------------------------------------------------------ */

/* Labels that say nothing: documents change places, in each part. */
static void shuffle_documents(planted *w, uint64_t seed)
{
    rng r = rng_seed(seed, 6);

    rng_shuffle(&r, w->s.train.doc, w->s.train.n);
    rng_shuffle(&r, w->s.test.doc, w->s.test.n);
}

static const topics_arm *topic_arm(const topics *m, const char *start)
{
    for (int i = 0; i < m->n_arms; i++)
        if (strncmp(m->arms[i].name, start, strlen(start)) == 0) return &m->arms[i];
    ck_abort_msg("no arm %s", start);
    return NULL;
}

/* The latents of the classes fire on their own class alone, in about as many documents as any other: they have likes. */
static void planted_alike(planted *w)
{
    pooled_codes *c = &w->p.codes[0];
    rng r = rng_seed(9, 8);
    int64_t at = 0;

    for (int64_t i = 0; i < w->p.n; i++) {
        const int64_t from = c->row_start[i];
        c->row_start[i] = at;
        for (int64_t e = from; e < c->row_start[i + 1]; e++) {
            if (c->latent[e] < w->classes && c->latent[e] != i % w->classes) continue;
            c->latent[at] = c->latent[e];
            c->value[at++] = c->value[e];
        }
    }
    c->row_start[w->p.n] = at;
    planted_rows(w, &r);
}

/* Classes are told by latents 0 .. 2 alone: taking their decoder rows out leaves chance to a new probe; so does ablating them; other subspaces
 * and features leave the classes. */
START_TEST(test_topics_planted)
{
    planted w;
    topics m;
    subspace space, pca, random[TOPICS_DRAWS];
    rng r = rng_seed(3, 0);
    double zero[PLANTED_D] = {0};

    planted_open(&w, 600, 3, 2, 0, 8);
    OK(subspace_of_rows(&space, sae_dict_weights(w.dict).W_dec, 3, PLANTED_D, &err));
    OK(subspace_random(&pca, PLANTED_D, 3, &r, &err));
    for (int i = 0; i < TOPICS_DRAWS; i++) OK(subspace_random(&random[i], PLANTED_D, 3, &r, &err));
    topics_what what = {&space, "planted", &pca, random, zero, w.dict, 0, {3, 0}, 5};
    OK(topics_measure(&m, &w.p, &w.s, &what, NULL, &err));
    ck_assert_double_gt(m.arms[0].fixed.value, 0.95);
    ck_assert_double_eq(m.arms[0].fixed.value, m.arms[0].retrained.value);
    ck_assert_double_eq(m.arms[0].fall.value, 0);
    ck_assert(m.shuffled.low < 1.0 / 3 + 0.03 && m.shuffled.high > 1.0 / 3 - 0.03);
    const topics_arm *planted_arm = topic_arm(&m, "planted removed, R2"), *other = topic_arm(&m, "random subspace");
    ck_assert(planted_arm->retrained.low < 1.0 / 3 && planted_arm->retrained.high > 1.0 / 3 - 0.03);
    ck_assert_double_lt(planted_arm->fixed.value, 0.5);
    ck_assert_double_gt(other->retrained.value, 0.9);
    /* They fire more often than any other latent: draws of equal density are they themselves, and nothing is compared. */
    const topics_arm *aligned = topic_arm(&m, "3 topic-aligned features"),
                     *alike = topic_arm(&m, "3 features of equal density");
    ck_assert_double_eq(aligned->held, 1);
    ck_assert(isnan(aligned->over_random.value) && isnan(aligned->retrained_over_random.value));
    ck_assert_double_eq(aligned->fixed.value, alike->fixed.value);
    ck_assert(isnan(alike->held));
    ck_assert_int_eq(m.ablated[0], 3);
    /* With the mean 0 the two operators are one. */
    ck_assert_double_eq(planted_arm->fixed.value, topic_arm(&m, "planted removed, R3")->fixed.value);
    ck_assert_double_gt(planted_arm->over_random.low, 0.2);
    ck_assert(isnan(other->over_random.value));
    ck_assert_double_gt(planted_arm->retrained_over_random.low, 0.4);
    /* Where they have likes, ablating them costs more than ablating those, the aligned ones among them, also to a probe trained anew. */
    double over[2] = {0};
    int compared = 0, wide = 0;
    planted_alike(&w);
    for (what.seed = 0; what.seed < 8; what.seed++) {
        OK(topics_measure(&m, &w.p, &w.s, &what, NULL, &err));
        aligned = topic_arm(&m, "3 topic-aligned features");
        ck_assert_double_lt(aligned->held, 1);
        ck_assert(isfinite(aligned->over_random.value) == (aligned->held <= CONTROL_MOST_SHARED));
        if (!isfinite(aligned->over_random.value)) continue;
        ck_assert(aligned->over_random.low >= -1 && aligned->over_random.high <= 1);
        ck_assert(aligned->retrained_over_random.low >= -1 && aligned->retrained_over_random.high <= 1);
        wide +=
            aligned->retrained_over_random.high - aligned->retrained_over_random.low >
            2 * (aligned->retrained.high - aligned->retrained.low); /* some of three draws hold what others do not */
        over[0] += aligned->over_random.value;
        over[1] += aligned->retrained_over_random.value;
        compared++;
        if (getenv("SAE_OBSERVED"))
            printf("# held %.2f, over %.3f [%.3f, %.3f], anew %.3f [%.3f, %.3f]\n", aligned->held,
                   aligned->over_random.value, aligned->over_random.low, aligned->over_random.high,
                   aligned->retrained_over_random.value, aligned->retrained_over_random.low,
                   aligned->retrained_over_random.high);
    }
    ck_assert_int_ge(compared, 4);
    ck_assert_int_ge(wide, 1);
    for (int i = 0; i < 2; i++) ck_assert_double_gt(over[i] / compared, 0.2);
    what.counts[1] = w.p.codes[0].d_sae; /* all: nothing to compare with */
    OK(topics_measure(&m, &w.p, &w.s, &what, NULL, &err));
    ck_assert(isnan(m.arms[m.n_arms - 1].over_random.value));
    ck_assert_int_eq(m.ablated[1], what.counts[1]);
    for (int i = 0; i < TOPICS_DRAWS; i++) subspace_free(&random[i]);
    subspace_free(&space);
    subspace_free(&pca);
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* Of many classes a probe is trained anew after one draw alone, so that nothing is known of how draws differ. */
START_TEST(test_topics_many)
{
    planted w;
    topics m;
    subspace spaces[1 + TOPICS_DRAWS];
    rng r = rng_seed(7, 0);

    planted_open(&w, 660, 11, 2, 0, 8);
    for (int i = 0; i < 1 + TOPICS_DRAWS; i++) OK(subspace_random(&spaces[i], PLANTED_D, 3, &r, &err));
    topics_what what = {.space = spaces, .space_name = "space", .random = spaces + 1};
    OK(topics_measure(&m, &w.p, &w.s, &what, NULL, &err));
    const topics_arm *arm = topic_arm(&m, "space removed, R2");
    ck_assert_int_eq(m.anew, 1);
    ck_assert(isfinite(arm->over_random.low) && isfinite(arm->over_random.high));
    ck_assert(isfinite(arm->retrained_over_random.value));
    ck_assert(isnan(arm->retrained_over_random.low) && isnan(arm->retrained_over_random.high));
    for (int i = 0; i < 1 + TOPICS_DRAWS; i++) subspace_free(&spaces[i]);
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* One of the three directions taken out misleads the probe that leaned on it; a new one tells that class by what it is not. */
START_TEST(test_topics_retrained)
{
    planted w;
    topics m;
    subspace space;

    planted_open(&w, 600, 3, 2, 0, 8);
    OK(subspace_of_rows(&space, sae_dict_weights(w.dict).W_dec, 1, PLANTED_D, &err));
    topics_what what = {.space = &space, .space_name = "one"};
    OK(topics_measure(&m, &w.p, &w.s, &what, NULL, &err));
    const topics_arm *arm = topic_arm(&m, "one removed");
    ck_assert_double_gt(arm->retrained.low, arm->fixed.high);
    ck_assert_double_gt(arm->retrained.value, 0.9);
    ck_assert_double_eq_tol(arm->fall.value, m.arms[0].fixed.value - arm->fixed.value, 1e-12);
    subspace_free(&space);
    planted_close(&w);
    scratch_remove();
}
END_TEST

/* Removing nothing changes no answer. A random subspace does what the random ones beside it do: over worlds the difference of the falls is within
 * its error of 0, where the three directions that hold the classes are far from it. Shuffled labels are told by chance. */
START_TEST(test_topics_null)
{
    enum { WORLDS = 20 };
    double sum[2] = {0}, squares[2] = {0};
    int missed = 0;

    for (uint64_t seed = 0; seed < WORLDS; seed++) {
        planted w;
        topics m;
        subspace spaces[2], none = {.d = PLANTED_D}, random[TOPICS_DRAWS];
        rng r = rng_seed(seed, 5);
        planted_open(&w, 300, 3, 2, 0, 200 + seed);
        OK(subspace_random(&spaces[0], PLANTED_D, 3, &r, &err));
        OK(subspace_of_rows(&spaces[1], sae_dict_weights(w.dict).W_dec, 3, PLANTED_D, &err));
        for (int i = 0; i < TOPICS_DRAWS; i++) OK(subspace_random(&random[i], PLANTED_D, 3, &r, &err));
        for (int i = 0; i < 2; i++) {
            topics_what what = {.space = &spaces[i], .space_name = "space", .random = random, .seed = seed};
            OK(topics_measure(&m, &w.p, &w.s, &what, NULL, &err));
            double more = topic_arm(&m, "space removed, R2")->fall.value - topic_arm(&m, "random subspace")->fall.value;
            sum[i] += more;
            squares[i] += more * more;
        }
        missed += m.shuffled.low > 1.0 / 3 || m.shuffled.high < 1.0 / 3;
        topics_what nothing = {.space = &none, .space_name = "nothing"};
        OK(topics_measure(&m, &w.p, &w.s, &nothing, NULL, &err));
        const interval *fall = &topic_arm(&m, "nothing removed, R2")->fall;
        ck_assert(fall->value == 0 && fall->low == 0 && fall->high == 0);
        for (int i = 0; i < TOPICS_DRAWS; i++) subspace_free(&random[i]);
        for (int i = 0; i < 2; i++) subspace_free(&spaces[i]);
        planted_close(&w);
    }
    for (int i = 0; i < 2; i++) {
        double mean = sum[i] / WORLDS, sigma = sqrt((squares[i] / WORLDS - mean * mean) / (WORLDS - 1));
        if (getenv("SAE_OBSERVED")) printf("# %s: %.4f, %.2f sigma\n", i ? "planted" : "random", mean, mean / sigma);
        if (i == 0)
            ck_assert_double_lt(fabs(mean / sigma), 3.5);
        else
            ck_assert_double_gt(mean / sigma, 10);
    }
    ck_assert_int_le(missed, 4); /* 1 expected; 5 or more by chance in 0.3 % */
    scratch_remove();
}
END_TEST

/* What the verdicts go by: of documents without topics the features aligned with a probe that learned nothing, few of them or a third of all,
 * are told from ones of equal density about once in twenty, and so is a subspace from random ones; few by a probe trained anew as well. */
START_TEST(test_null_of_the_verdict)
{
    enum { WORLDS = 30, CHANGES = 3 };
    int told[CHANGES] = {0}, compared[CHANGES] = {0}, anew = 0;

    for (uint64_t seed = 0; seed < WORLDS; seed++) {
        planted w;
        topics m;
        subspace space, random[TOPICS_DRAWS];
        rng r = rng_seed(seed, 5);
        char few[TOPICS_NAME], many[TOPICS_NAME];
        planted_open(&w, 300, 3, 2, 0, 400 + seed);
        shuffle_documents(&w, seed);
        OK(subspace_random(&space, PLANTED_D, 3, &r, &err));
        for (int i = 0; i < TOPICS_DRAWS; i++) OK(subspace_random(&random[i], PLANTED_D, 3, &r, &err));
        const int64_t width = w.p.codes[0].d_sae;
        topics_what what = {.space = &space,
                            .space_name = "space",
                            .random = random,
                            .dict = w.dict,
                            .counts = {width / 8, width / 3},
                            .seed = seed};
        OK(topics_measure(&m, &w.p, &w.s, &what, NULL, &err));
        const topics_arm *arms[CHANGES] = {topic_arm(&m, "space removed, R2"),
                                           topic_arm(&m, topics_ablated_name(few, width / 8, TOPICS_ALIGNED)),
                                           topic_arm(&m, topics_ablated_name(many, width / 3, TOPICS_ALIGNED))};
        for (int i = 0; i < CHANGES; i++) {
            compared[i] += isfinite(arms[i]->over_random.value);
            told[i] += arms[i]->over_random.low > 0 || arms[i]->over_random.high < 0;
        }
        ck_assert_int_eq(m.anew, TOPICS_ANEW);
        anew += arms[1]->retrained_over_random.low > 0 || arms[1]->retrained_over_random.high < 0;
        for (int i = 0; i < TOPICS_DRAWS; i++) subspace_free(&random[i]);
        subspace_free(&space);
        planted_close(&w);
    }
    if (getenv("SAE_OBSERVED"))
        printf("# told %d, %d and %d of %d, %d and %d; anew %d\n", told[0], told[1], told[2], compared[0], compared[1],
               compared[2], anew);
    for (int i = 0; i < CHANGES; i++)
        ck_assert_int_le(told[i], 5); /* binomial(30, 0.05): more with probability 0.003; observed 0 */
    ck_assert_int_le(anew, 5);        /* observed 0 */
    for (int i = 0; i < CHANGES; i++) ck_assert_int_ge(compared[i], WORLDS / 2);
    scratch_remove();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probing");
    TCase *pooling = tcase_create("pooling"), *measures = tcase_create("measures");

    tcase_set_timeout(pooling, 120);
    tcase_set_timeout(measures, 240);
    tcase_add_loop_test(pooling, test_pooled, 0, 2);
    tcase_add_test(pooling, test_pooled_limits);
    tcase_add_test(pooling, test_ablation_on_tokens);
    tcase_add_test(pooling, test_ablation_seen_by_probes);
    tcase_add_test(pooling, test_codes_on_tokens);
    tcase_add_test(measures, test_tasks);
    tcase_add_test(measures, test_probing_planted);
    tcase_add_test(measures, test_probing_scaffold);
    tcase_add_test(measures, test_probing_null);
    tcase_add_test(measures, test_tpp_planted);
    tcase_add_test(measures, test_tpp_whether_decoding_adds_the_scaffold);
    tcase_add_test(measures, test_tpp_null);
    tcase_add_test(measures, test_tpp_draws);
    tcase_add_test(measures, test_probing_scaled);
    tcase_add_test(measures, test_tpp_mean);
    tcase_add_test(measures, test_tpp_codes);
    tcase_add_test(measures, test_tpp_codes_null);
    tcase_add_test(measures, test_tpp_over_drawn);
    tcase_add_test(measures, test_tpp_gain);
    tcase_add_test(measures, test_tpp_gain_null);
    tcase_add_test(measures, test_topics_planted);
    tcase_add_test(measures, test_topics_many);
    tcase_add_test(measures, test_topics_retrained);
    tcase_add_test(measures, test_topics_null);
    tcase_add_test(measures, test_null_of_the_verdict);
    suite_add_tcase(suite, pooling);
    suite_add_tcase(suite, measures);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
