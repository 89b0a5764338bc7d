/*
 * penalised.c - a step of the families of penalised.h: which way it goes, and the sparse one.
 *
 * Sparse: one encoder pass collects the pairs above each latent's limit; rows are rebuilt from them, gradients come latent by latent.
 * It goes the dense way (dense.c) when the lists cannot hold the pairs, or could not in the last step. Both are decided by counts
 * that depend on nothing but the state, so a resumed run goes the same way.
 */
#include "sae/penalised.h"

#include <math.h>
#include <string.h>

/* A step goes the sparse way up to this share of active latents. By time alone it would be twice as much: at d 768, d_sae 16384 and 4,096
 * rows both cost the same at 4,000 pairs a row, a quarter (docs/performance.md); but the lists take 40 bytes a pair. */
static const double LISTED_SHARE = 1.0 / 8.0;
enum { DENSE_TILE = 2 << 20 }; /* floats of a tile of the dense way */

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t penalised_most_pairs(const sae_dict_config *c, const sae_train_options *o)
{
    int64_t per_row = (int64_t)ceil(LISTED_SHARE * (double)c->d_sae);

    return larger(per_row, 2 * c->k) * o->batch; /* 2 k: jumprelu's first thresholds are found among them */
}

static sae_status check_jumprelu(const sae_dict_config *c, const sae_train_options *o, sae_error *err)
{
    if (o->l0_rule != SAE_L0_LINEAR && c->k < 1)
        return SAE_FAIL(err, SAE_RANGE, "jumprelu needs the L0 that its penalty aims at as k");
    if (!is_float_above_0(0.5 * o->bandwidth))
        return SAE_FAIL(err, SAE_RANGE, "jumprelu's bandwidth %g must be above 0, it and half of it as float32",
                        o->bandwidth);
    if (!is_float_from_0(o->first_threshold))
        return SAE_FAIL(err, SAE_RANGE, "jumprelu's first threshold %g must be 0 or a float32 above 0",
                        o->first_threshold);
    if (!(o->l0_rate >= 0.0))
        return SAE_FAIL(err, SAE_RANGE, "the rate of jumprelu's controller, %g, must not be negative", o->l0_rate);
    if (c->k < 1 && o->first_threshold <= 0.0) return SAE_FAIL(err, SAE_RANGE, "jumprelu needs k or a first threshold");
    return SAE_OK;
}

sae_status penalised_check(const sae_dict_config *c, const sae_train_options *o, sae_error *err)
{
    if (!is_float_from_0(c->l1_coefficient))
        return SAE_FAIL(err, SAE_RANGE, "the penalty's coefficient %g must be 0 or a float32 above 0",
                        c->l1_coefficient);
    if (c->arch == SAE_JUMPRELU) {
        sae_status status = check_jumprelu(c, o, err);
        if (status != SAE_OK) return status;
    }
    if (c->arch == SAE_GATED && o->gate_rule == SAE_GATE_TRAINS_DECODER && c->d_out > 0)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "a gate that trains the decoder is not for transcoders");
    if (penalised_most_pairs(c, o) > INT32_MAX / 2)
        return SAE_FAIL(err, SAE_RANGE, "%lld pairs a step are over 2^30: use a smaller batch",
                        (long long)penalised_most_pairs(c, o));
    return SAE_OK;
}

void penalised_layout(sae_trainer *t, learner *l, const extent *e, arena *a)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch;
    bool gated = false;

    for (learner *other = t->learners; other < t->learners + t->n_dicts; other++) {
        if (other < l && other->family->rule) return; /* the first one takes it for all */
        gated = gated || (other->family->rule && other->family->rule->gated);
    }
    size_t pairs = (size_t)s->candidate_capacity * sizeof(float);
    s->limit = arena_take(a, (size_t)e->F * sizeof *s->limit);
    s->codes_of = arena_take(a, (size_t)e->F * sizeof *s->codes_of);
    s->pull_of = arena_take(a, (size_t)e->F * sizeof *s->pull_of);
    s->fired = arena_take(a, (size_t)(e->F + 1) * sizeof *s->fired);
    s->pre = arena_take(a, pairs);
    s->gate_value = arena_take(a, gated ? pairs : 0);
    s->gate_slope = arena_take(a, gated ? pairs : 0);
    s->gate_grad = arena_take(a, gated ? (size_t)(B * e->d_out) * sizeof(float) : 0);
    s->dense_latents = smaller(e->F, larger(64, DENSE_TILE / B));
    for (int i = 0; i < (gated ? 4 : 3); i++)
        s->dense[i] = arena_take(a, (size_t)(s->dense_latents * B) * sizeof(float));
}

double loss_weight(const sae_trainer *t) { return 0.5 * t->s.grad_per_error * (double)t->options.batch; }

double penalty_norm(const sae_trainer *t, const learner *l, int64_t j)
{
    const param *W_dec = &l->p[P_W_DEC];

    if (t->options.l1_rule == SAE_L1_CODES) return 1.0;
    return sqrt(t->ops->sum_squares(W_dec->w + j * W_dec->columns, W_dec->columns));
}

/* ---- Forward ---------------------------------------------------------------------------------------------------------------- */

/* The candidates as lists by row; each thread takes a range of rows. */
static void list_rows(sae_trainer *t)
{
    scratch *s = &t->s;
    pair_lists *k = &s->kept;
    int64_t B = t->options.batch;

    memset(k->row_start, 0, (size_t)(B + 1) * sizeof *k->row_start);
    for (int64_t i = 0; i < s->n_candidates; i++) k->row_start[s->candidates[i].row + 1]++;
    for (int64_t b = 0; b < B; b++) k->row_start[b + 1] += k->row_start[b];
    memcpy(s->counter, k->row_start, (size_t)B * sizeof *s->counter);
#pragma omp parallel for schedule(static)
    for (int part = 0; part < s->n_threads; part++) {
        int32_t first = (int32_t)(B * part / s->n_threads), last = (int32_t)(B * (part + 1) / s->n_threads);
        for (int64_t i = 0; i < s->n_candidates; i++) {
            const candidate *c = &s->candidates[i];
            if (c->row < first || c->row >= last) continue;
            int64_t to = s->counter[c->row]++;
            k->latent[to] = c->latent;
            k->value[to] = c->value;
        }
    }
}

/* From pre-activations in the lists to codes, latent by latent. */
static void list_codes(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    pair_lists *k = &s->kept;
    const penalty_rule *rule = l->family->rule;

    list_rows(t);
    lists_by_latent(k, t->options.batch, l->config.d_sae, s->counter);
    if (rule->gated) memcpy(s->gate_value, k->value, (size_t)s->n_candidates * sizeof *k->value);
#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t j = 0; j < l->config.d_sae; j++) {
        int64_t start = k->latent_start[j], n = k->latent_start[j + 1] - start;
        memcpy(s->pre + start, k->weight + start, (size_t)n * sizeof *s->pre);
        s->codes_of[j] = rule->codes(t, l, j, n, s->pre + start, k->weight + start);
        for (int64_t i = start; i < start + n; i++) k->value[k->position[i]] = k->weight[i];
    }
}

/* The rows as the gate's codes rebuild them: gate_grad becomes dL/dx~; returns mean |x~ - x|^2, weighted like that of x^. */
static double gate_rows(sae_trainer *t, const learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->d_out;
    double sum = 0;
    float weight = (float)s->grad_per_error;

#pragma omp parallel for schedule(dynamic, 32)
    for (int64_t b = 0; b < B; b++) {
        float *e = s->gate_grad + b * d;
        add_pairs(t->ops, e, &s->kept, s->gate_value, s->kept.row_start[b], s->kept.row_start[b + 1], l->p[P_W_DEC].w,
                  d);
        s->row_loss[b] = t->ops->sum_squares(e, d);
        for (int64_t i = 0; i < d; i++) e[i] *= weight;
    }
    for (int64_t b = 0; b < B; b++) sum += s->row_loss[b];
    return sum / (double)B * loss_weight(t);
}

static void count_codes(sae_trainer *t, learner *l, step_sums *sums)
{
    scratch *s = &t->s;

    s->fired[0] = 0;
    for (int64_t j = 0; j < l->config.d_sae; j++) s->fired[j + 1] = s->fired[j] + s->codes_of[j].active;
    sums->n_kept = s->fired[l->config.d_sae];
    count_fired(t, l, s->fired, sums);
    l->last_pairs = s->kept.latent_start[l->config.d_sae];
}

sae_status penalised_forward(sae_trainer *t, learner *l, encoder *e, step_sums *sums, sae_error *err)
{
    sae_status status = SAE_OK;
    scratch *s = &t->s;
    const penalty_rule *rule = l->family->rule;
    int64_t most = penalised_most_pairs(&l->config, &t->options);
    double gate_loss = 0;

    s->aux_used = false;
    if (rule->begin) SAE_TRY(rule->begin(t, l, e, err));
    rule->limits(t, l, s->limit);
    s->dense_step = l->last_pairs > most;
    if (s->dense_step) {
        centre_rows(t, l);
    } else {
        SAE_TRY(encode_above(t, l, e, err));
        s->dense_step = s->n_candidates > most;
    }
    begin_errors(t, l, false);
    if (rule->gated) memcpy(s->gate_grad, s->grad, (size_t)(t->options.batch * l->d_out) * sizeof *s->grad);
    if (s->dense_step)
        dense_forward(t, l);
    else
        list_codes(t, l);
    finish_errors(t, l, sums);
    if (rule->gated) gate_loss = gate_rows(t, l);
    sums->sparsity_loss = rule->penalty(t, l, sums) + gate_loss;
    count_codes(t, l, sums);
done:
    return status;
}

/* ---- Backward --------------------------------------------------------------------------------------------------------------- */

/* out[i] = w . rows[index[i]] */
static void dots(const sae_ops *ops, const float *w, const float *rows, const int32_t *index, int64_t n, int64_t d,
                 float *out)
{
    int64_t i = 0;
    const float *x[4];

    for (; i + 4 <= n; i += 4) {
        for (int m = 0; m < 4; m++) x[m] = rows + index[i + m] * d;
        ops->dot4(w, x, d, out + i);
    }
    for (; i < n; i++) out[i] = ops->dot(w, rows + index[i] * d, d);
}

/* out += sum_i coefficient[i] rows[index[i]] */
static void add_rows(const sae_ops *ops, float *out, const float *coefficient, const float *rows, const int32_t *index,
                     int64_t n, int64_t d)
{
    int64_t i = 0;
    const float *x[4];

    for (; i + 4 <= n; i += 4) {
        for (int m = 0; m < 4; m++) x[m] = rows + index[i + m] * d;
        ops->axpy4(out, coefficient + i, x, d);
    }
    for (; i < n; i++) ops->axpy(out, coefficient[i], rows + index[i] * d, d);
}

/* Slopes and gradients of latent j's pairs; by_panels: dL/df and dW_dec are there already, dW_enc is still to come. */
static void listed_latent(sae_trainer *t, learner *l, int64_t j, bool by_panels)
{
    scratch *s = &t->s;
    pair_lists *k = &s->kept;
    const penalty_rule *rule = l->family->rule;
    int64_t d = l->config.d_in, d_out = l->d_out, at = k->latent_start[j], n = k->latent_start[j + 1] - at;
    float *g_enc = l->p[P_W_ENC].g + j * d, *g_dec = l->p[P_W_DEC].g + j * d_out, *gate_slope = NULL;
    const float *w = l->p[P_W_DEC].w + j * d_out;

    if (!by_panels) dots(t->ops, w, s->grad, k->row + at, n, d_out, k->slope + at);
    if (rule->gated) {
        gate_slope = s->gate_slope + at;
        dots(t->ops, w, s->gate_grad, k->row + at, n, d_out, gate_slope);
    }
    s->pull_of[j] = rule->slopes(t, l, j, n, s->pre + at, k->weight + at, gate_slope, k->slope + at);
    for (int64_t i = at; k->d_value && i < at + n; i++) k->d_value[k->position[i]] = k->slope[i];
    if (n > 0 && !by_panels) {
        memset(g_enc, 0, (size_t)d * sizeof *g_enc);
        memset(g_dec, 0, (size_t)d_out * sizeof *g_dec);
        add_rows(t->ops, g_dec, k->weight + at, s->grad, k->row + at, n, d_out);
        add_rows(t->ops, g_enc, k->slope + at, s->u, k->row + at, n, d);
    }
    if (rule->gated && t->options.gate_rule == SAE_GATE_TRAINS_DECODER)
        add_rows(t->ops, g_dec, s->pre + at, s->gate_grad, k->row + at, n, d_out);
}

static void listed_backward(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    pair_lists *k = &s->kept;
    int64_t F = l->config.d_sae;
    bool by_panels = k->latent_start[F] >= PANEL_PAIRS * F;
    sparse_rows by_latent = {.end = F,
                             .n_from = t->options.batch,
                             .start = k->latent_start,
                             .index = k->row,
                             .coefficient = k->weight,
                             .w = l->p[P_W_DEC].w,
                             .dots = k->slope};

    if (by_panels) sparse_times_dense(t, &by_latent, s->grad, l->d_out, false, l->p[P_W_DEC].g);
#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t j = 0; j < F; j++) listed_latent(t, l, j, by_panels);
    if (!by_panels) return;
    by_latent.coefficient = k->slope;
    by_latent.dots = NULL;
    sparse_times_dense(t, &by_latent, s->u, l->config.d_in, false, l->p[P_W_ENC].g);
}

/* The rest of latent j's gradients, its part of b_dec's and of the norm. */
static void finish_latent(sae_trainer *t, learner *l, int64_t j, int block)
{
    scratch *s = &t->s;
    latent_pull pull = s->pull_of[j];
    int64_t d = l->config.d_in, d_out = l->d_out;
    float *g_enc = l->p[P_W_ENC].g + j * d, *g_dec = l->p[P_W_DEC].g + j * d_out;
    const float *w = l->p[P_W_DEC].w + j * d_out;
    double g_bias = (double)l->p[P_B_ENC].g[j];

    s->squares[block] += g_bias * g_bias;
    if (latent_is_active(s, j) && pull.along != 0.0) t->ops->axpy(g_dec, (float)pull.along, w, d_out);
    unit_rows_before(t, l, j);
    if (!latent_is_active(s, j)) return;
    remove_parallel(t, g_dec, w, d_out);
    t->ops->axpy(s->d_c + block * d, (float)pull.slopes, l->p[P_W_ENC].w + j * d, d);
    s->squares[block] += t->ops->sum_squares(g_enc, d) + t->ops->sum_squares(g_dec, d_out);
}

double penalised_backward(sae_trainer *t, learner *l, encoder *e)
{
    scratch *s = &t->s;
    int64_t F = l->config.d_sae, d = l->config.d_in;

    (void)e;
    if (s->dense_step)
        dense_backward(t, l);
    else
        listed_backward(t, l);
#pragma omp parallel for schedule(dynamic, 1)
    for (int block = 0; block < N_BLOCKS; block++) {
        memset(s->d_c + block * d, 0, (size_t)d * sizeof *s->d_c);
        s->squares[block] = 0;
        for (int64_t j = F * block / N_BLOCKS; j < F * (block + 1) / N_BLOCKS; j++) finish_latent(t, l, j, block);
    }
    if (l->family->rule->gated && t->options.gate_rule == SAE_GATE_TRAINS_DECODER) { /* b_dec of x~, too */
        column_sums(s->gate_grad, t->options.batch, d, 1.0, s->partial, s->column);
        for (int64_t i = 0; i < d; i++) s->d_c[i] -= (float)s->column[i];
    }
    double norm = finish_backward(t, l);
    if (l->family->rule->end) l->family->rule->end(t, l);
    s->dense_step = false; /* the next dictionary may be of another family */
    return norm;
}
