/*
 * encode.c - from rows to candidates: the encoder product tile by tile, of which only activations above a cutoff are kept.
 *
 * Invariant: when encode_rows succeeds no activation among the K largest was lost. The cutoff comes from the last step;
 * when it let too few or too many pass, one counting pass finds, by a histogram of the floats' upper 16 bits, the cutoff
 * that lets at least K through, and the tiles are computed again. That happens in the first step and after jumps; where
 * too few passed, a lower cutoff or two are tried first.
 */
#include "sae/train.h"
#include "base/threads.h"

#include "kernels/matmul.h"

#include <math.h>
#include <string.h>

/* A step's cutoff relative to the smallest activation that the last one kept. Lower: more candidates to sort out; higher:
 * more steps in which the product must be repeated. */
static const float CUTOFF_SLACK = 0.95f;
/* When that let too few pass, it is lowered and tried again, at most so often, before values are counted: early in training
 * cutoffs fall by up to a tenth a step, and one more collection, by the screen above all, costs less than the two products of
 * counting. Lowered by as much as lets 1.25 K through, if they grow like the cutoff's fourth power (4 to 5 observed). */
enum { CUTOFF_TRIES = 3 };

static float lower_cutoff(float cutoff, int64_t n, int64_t K)
{
    return cutoff * powf(fmaxf((float)n, 1.0f) / (1.25f * (float)K), 0.25f);
}

enum { STRETCH = 1024, BEST_STRETCH = 512 };

const float *norms_of(const sae_trainer *t, const learner *l) { return l->family->rule ? NULL : t->s.norm; }

/* Norms of W_dec's rows, where they count in the selection. */
static void measure_norms(sae_trainer *t, const learner *l)
{
    int64_t d = l->p[P_W_DEC].columns;

    if (!norms_of(t, l)) return;
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < l->config.d_sae; j++)
        t->s.norm[j] = (float)sqrt(t->ops->sum_squares(l->p[P_W_DEC].w + j * d, d));
}

void unscale_values(const sae_trainer *t, const learner *l, pair_lists *lists)
{
    const float *norm = norms_of(t, l);

    for (int64_t i = 0; norm && i < lists->row_start[t->options.batch]; i++)
        lists->value[i] /= norm[lists->latent[i]] > 0.0f ? norm[lists->latent[i]] : 1.0f;
}

/* s is not kept: forward.c adds h W_up again. */
void centre_rows(sae_trainer *t, const learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in, r = l->config.rank;
    const float *b_dec = l->p[P_B_DEC].w;

    if (l->config.d_out > 0) {
        memcpy(s->c, s->x, (size_t)B * d * sizeof(float)); /* a transcoder's b_dec is of its output */
    } else {
#pragma omp parallel for schedule(static)
        for (int64_t b = 0; b < B; b++)
            for (int64_t i = 0; i < d; i++) s->c[b * d + i] = s->x[b * d + i] - b_dec[i];
    }
    if (r > 0) scaffold_codes(t, l);
    if (s->u == s->c) return;
    const float *seen = l->config.apply_b_dec_to_input ? s->c : s->x;
    if (!sees_residual(l)) {
        memcpy(s->u, seen, (size_t)B * d * sizeof(float));
        return;
    }
    matmul_nn(B, d, r, s->h, r, l->p[P_W_UP].w, d, 0.0f, s->u, d);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < B * d; i++) s->u[i] = seen[i] - s->u[i];
}

/* ---- The things that can be done with a tile ----------------------------------------------------------------- */

/* EXACT beside another: of the values that COLLECT would keep (exact.c), which may differ from the product's. The two of ties: values
 * that are the least above the cutoff are counted by row, or collected as far as the row's count goes, all larger ones beside them. */
typedef enum tile_use {
    COLLECT = 1,
    COUNT = 2,
    COLLECT_AUX = 4,
    COUNT_LOW = 8,
    COLLECT_TOP = 16,
    COLLECT_ABOVE = 32,
    EXACT = 64,
    COUNT_TIES = 128,
    COLLECT_TIES = 256
} tile_use;

/* The cutoff that lets values of these bits and more through: the scan is strict, and lets nothing but positive ones through. */
static float below(uint32_t bits) { return bits ? float_of(bits - 1) : 0.0f; }

void put_candidate(scratch *s, stretch *mine, candidate c)
{
    if (mine->next == mine->end) {
        int64_t start;
#pragma omp atomic capture
        {
            start = s->n_candidates;
            s->n_candidates += STRETCH;
        }
        if (start + STRETCH > s->candidate_capacity) return; /* overflow: seen by n_candidates */
        mine->next = start;
        mine->end = start + STRETCH;
    }
    s->candidates[mine->next++] = c;
}

/* COUNT: by the upper 16 bits. COUNT_LOW: by the lower ones, of values in the bin just above the cutoff. */
static void count_value(uint32_t *histogram, uint32_t bits, tile_use use, uint32_t cutoff)
{
    if (use & COUNT)
        histogram[bits >> 16]++;
    else if (bits >> 16 == (cutoff + 1) >> 16)
        histogram[bits & 0xffff]++;
}

/* Of n hits of a row, in the order of latents. */
static void use_hits(scratch *s, int me, tile_use use, float cutoff, int64_t row, const int32_t *latent,
                     const float *value, int64_t n)
{
    uint32_t *histogram = s->histogram + (size_t)me * HISTOGRAM_BINS, least = bits_of(cutoff) + 1;

    for (int64_t j = 0; j < n; j++) {
        bool tie = bits_of(value[j]) == least;
        if (use & COLLECT || (use & COLLECT_TIES && (!tie || s->counter[row]-- > 0)))
            put_candidate(s, &s->stretches[me], (candidate){value[j], (int32_t)row, latent[j]});
        else if (use & (COUNT | COUNT_LOW))
            count_value(histogram, bits_of(value[j]), use, bits_of(cutoff));
        else if (use & COUNT_TIES)
            s->counter[row] += tie;
    }
}

/* What passes the cutoff of n latents from `first` on, of whose products p is the first. */
static int64_t scan(const sae_trainer *t, const learner *l, const float *p, const float *bias, int64_t first, int64_t n,
                    float cutoff, int32_t *latent, float *value)
{
    const float *norm = norms_of(t, l);

    if (norm) return t->ops->scan_scaled(p, bias + first, norm + first, n, cutoff, (int32_t)first, latent, value);
    return t->ops->scan_above(p, bias + first, n, cutoff, (int32_t)first, latent, value);
}

/* The cutoff rises from one stretch of latents to the next. */
static void put_best(const sae_trainer *t, const learner *l, best_rows *best, int64_t row, const float *p,
                     const float *bias, int64_t latent0, int64_t n_latents, int32_t *latent, float *value)
{
    for (int64_t j = 0; j < n_latents; j += BEST_STRETCH) {
        int64_t n = n_latents - j < BEST_STRETCH ? n_latents - j : BEST_STRETCH;
        n = scan(t, l, p + j, bias, latent0 + j, n, best->rows[row].cutoff, latent, value);
        best_put(best, row, latent, value, n);
    }
}

/* Rows keep their thread from tile to tile (static schedule), so that the candidates of a row come in latent order. */
static void use_tile(sae_trainer *t, const learner *l, tile_use use, float cutoff, int64_t row0, int64_t n_rows,
                     int64_t latent0, int64_t n_latents, int64_t ld)
{
    scratch *s = &t->s;

#pragma omp parallel num_threads(s->n_threads)
    {
        int me = omp_get_thread_num();
        int32_t *latent = s->hit_latent + me * (ld + 16);
        float *value = s->hit_value + me * (ld + 16);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n_rows; i++) {
            const float *p = s->tile + i * ld;
            if (use & COLLECT_ABOVE) {
                int64_t n = t->ops->scan_limits(p, l->p[P_B_ENC].w + latent0, s->limit + latent0, n_latents,
                                                (int32_t)latent0, latent, value);
                for (int64_t j = 0; j < n; j++)
                    put_candidate(s, &s->stretches[me], (candidate){value[j], (int32_t)(row0 + i), latent[j]});
            }
            if (use & (COLLECT | COUNT | COUNT_LOW | COUNT_TIES | COLLECT_TIES)) {
                bool exact = s->exact && use & (COLLECT | EXACT);
                float lower = exact ? cutoff - s->row_margin[row0 + i] : cutoff;
                int64_t n = scan(t, l, p, l->p[P_B_ENC].w, latent0, n_latents, lower, latent, value);
                if (exact) n = exact_values(t, l, row0 + i, cutoff, latent, value, n);
                use_hits(s, me, use, cutoff, row0 + i, latent, value, n);
            }
            if (use & COLLECT_TOP)
                put_best(t, l, &s->top, row0 + i, p, l->p[P_B_ENC].w, latent0, n_latents, latent, value);
            if (use & COLLECT_AUX)
                put_best(t, l, &s->best_dead, row0 + i, p, s->aux_bias, latent0, n_latents, latent, value);
        }
    }
}

/* AuxK's values of a few latents by a product of their own: the same whether the large one is computed or not. */
static void few_aux(sae_trainer *t, const learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in, n = s->n_aux_few;

    for (int64_t j = 0; j < n; j++) {
        memcpy(s->few_W + j * d, l->p[P_W_ENC].w + s->few_latent[j] * d, (size_t)d * sizeof(float));
        s->few_bias[j] = s->aux_bias[s->few_latent[j]];
    }
    for (int64_t row0 = 0; row0 < B; row0 += s->tile_rows) {
        int64_t rows = B - row0 < s->tile_rows ? B - row0 : s->tile_rows;
        matmul_nt(rows, n, d, s->u + row0 * d, d, s->few_W, d, 0.0f, s->tile, n);
#pragma omp parallel num_threads(s->n_threads)
        {
            int me = omp_get_thread_num();
            int32_t *latent = s->hit_latent + me * (s->tile_latents + 16);
            float *value = s->hit_value + me * (s->tile_latents + 16);
#pragma omp for schedule(static)
            for (int64_t i = 0; i < rows; i++) {
                int64_t hits = t->ops->scan_above(s->tile + i * n, s->few_bias, n, s->best_dead.rows[row0 + i].cutoff,
                                                  0, latent, value);
                for (int64_t j = 0; j < hits; j++) latent[j] = s->few_latent[latent[j]];
                best_put(&s->best_dead, row0 + i, latent, value, hits);
            }
        }
    }
}

static sae_status all_tiles(sae_trainer *t, const learner *l, encoder *e, tile_use use, float cutoff, sae_error *err)
{
    sae_status status = SAE_OK;
    scratch *s = &t->s;
    encoder_shape shape = encoder_shape_of(t, (int)(l - t->learners));
    int64_t tile_rows, tile_latents, n_rows, n_latents;

    if (use & (COLLECT | COUNT | EXACT)) set_margins(t, l);
    encoder_tile_shape(&shape, &tile_rows, &tile_latents);
    for (int64_t row0 = 0; row0 < shape.n_rows; row0 += tile_rows) {
        for (int64_t latent0 = 0; latent0 < shape.d_sae; latent0 += tile_latents) {
            SAE_TRY(encoder_tile(e, row0, latent0, s->tile, &n_rows, &n_latents, err));
            use_tile(t, l, use, cutoff, row0, n_rows, latent0, n_latents, tile_latents);
        }
    }
done:
    return status;
}

/* ---- Cutoffs ------------------------------------------------------------------------------------------------------------ */

/* The lowest bin such that it and all above hold at least `rank` values, and in *above how many lie above it; 0: there are fewer. */
static int64_t bin_from_histogram(const scratch *s, int64_t rank, int64_t *above)
{
    for (int64_t bin = HISTOGRAM_BINS - 1, sum = 0; bin >= 0; bin--) {
        *above = sum;
        for (int i = 0; i < s->n_threads; i++) sum += s->histogram[(size_t)i * HISTOGRAM_BINS + bin];
        if (sum >= rank) return bin;
    }
    return 0;
}

static sae_status count_tiles(sae_trainer *t, const learner *l, encoder *e, tile_use use, float cutoff, sae_error *err)
{
    memset(t->s.histogram, 0, (size_t)t->s.n_threads * HISTOGRAM_BINS * sizeof *t->s.histogram);
    return all_tiles(t, l, e, use, cutoff, err);
}

static void empty_candidates(scratch *s)
{
    s->n_candidates = 0;
    memset(s->stretches, 0, (size_t)s->n_threads * sizeof *s->stretches);
}

/* Closes the holes at the ends of the threads' stretches. Candidates of one row stay in order. */
static void pack_candidates(scratch *s)
{
    int64_t n = s->n_candidates < s->candidate_capacity ? s->n_candidates : s->candidate_capacity, out = 0;

    for (int i = 0; i < s->n_threads; i++)
        for (int64_t j = s->stretches[i].next; j < s->stretches[i].end; j++) s->candidates[j].row = -1;
    for (int64_t j = 0; j < n; j++)
        if (s->candidates[j].row >= 0) s->candidates[out++] = s->candidates[j];
    s->n_candidates = out;
}

static void empty_aux(sae_trainer *t, float guess)
{
    float floor = t->options.auxk_rule == SAE_AUXK_PLAIN ? -INFINITY : 0.0f; /* not relu'd, or relu'd */

    best_empty(&t->s.best_dead, t->options.batch, t->s.aux_k + t->s.aux_k / 4, guess > 0.0f ? guess : floor,
               guess > 0.0f);
}

/* Collects what is above the cutoff, but of the values that are the least above it only n: those of the first rows, and of a row of the
 * first latents. */
static sae_status collect_with_ties(sae_trainer *t, const learner *l, encoder *e, float cutoff, int64_t n,
                                    sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t *ties = t->s.counter, B = t->options.batch;

    memset(ties, 0, (size_t)B * sizeof *ties);
    SAE_TRY(all_tiles(t, l, e, COUNT_TIES | EXACT, cutoff, err));
    for (int64_t b = 0; b < B; b++) {
        ties[b] = ties[b] < n ? ties[b] : n;
        n -= ties[b];
    }
    empty_candidates(&t->s);
    SAE_TRY(all_tiles(t, l, e, COLLECT_TIES | EXACT, cutoff, err));
done:
    return status;
}

/* Finds a cutoff that lets the K largest through and little more, then collects them. By the product's own values first, to the
 * upper bits: one in 128 of relative width, and the margin of exact ones. When too many values crowd there (duplicates
 * of a latent, rows alike), by the values that candidates get, upper and lower bits, which is exact; and when more tie
 * exactly at the edge than the list can hold, only as many of them as belong to the K. */
static sae_status count_and_collect(sae_trainer *t, const learner *l, encoder *e, int64_t K, tile_use aux,
                                    sae_error *err)
{
    sae_status status = SAE_OK;
    scratch *s = &t->s;
    int64_t above = 0, above_low = 0;

    SAE_TRY(count_tiles(t, l, e, COUNT, 0.0f, err));
    uint32_t bin = (uint32_t)bin_from_histogram(s, K, &above) << 16;
    float cutoff = fmaxf(below(bin) - largest_margin(t), 0.0f);
    empty_candidates(s);
    SAE_TRY(all_tiles(t, l, e, COLLECT | aux, cutoff, err));
    if (s->n_candidates > s->candidate_capacity) {
        if (s->exact) {
            SAE_TRY(count_tiles(t, l, e, COUNT | EXACT, cutoff, err));
            bin = (uint32_t)bin_from_histogram(s, K, &above) << 16;
            cutoff = below(bin);
        }
        SAE_TRY(count_tiles(t, l, e, COUNT_LOW | EXACT, cutoff, err));
        uint32_t edge = bin | (uint32_t)bin_from_histogram(s, K - above, &above_low);
        empty_candidates(s);
        SAE_TRY(all_tiles(t, l, e, COLLECT, below(edge), err));
        if (s->n_candidates > s->candidate_capacity)
            SAE_TRY(collect_with_ties(t, l, e, below(edge), K - above - above_low, err));
    }
    pack_candidates(s);
done:
    return status;
}

/* Everything above the cutoff, by the screen when there is one. */
static sae_status collect(sae_trainer *t, const learner *l, encoder *e, tile_use aux, float cutoff, sae_error *err)
{
    screen *sieve = encoder_screen(e);

    empty_candidates(&t->s);
    t->s.n_survivors = 0;
    /* When fewer than K were kept last time almost all would survive, and AuxK of many latents needs the whole product. */
    if (!sieve || cutoff <= 0.0f || aux) return all_tiles(t, l, e, COLLECT | aux, cutoff, err);
    if (!t->s.screen_is_loaded) screen_load(sieve, l->p[P_W_ENC].w, l->p[P_B_ENC].w, t->s.u);
    t->s.screen_is_loaded = true;
    screen_set_cutoff(sieve, cutoff);
    screened_candidates(t, l, sieve, cutoff);
    return SAE_OK;
}

/* Collects what is above a cutoff near the last step's, and what is there for AuxK. False in *whole: not all of the K are
 * among the candidates. */
static sae_status collect_near(sae_trainer *t, const learner *l, encoder *e, int64_t K, tile_use aux, bool *whole,
                               sae_error *err)
{
    sae_status status = SAE_OK;
    scratch *s = &t->s;
    float cutoff = l->cutoff * CUTOFF_SLACK;

    for (int i = 0; i < CUTOFF_TRIES && !*whole; i++) {
        if (i > 0) cutoff = lower_cutoff(cutoff, s->n_candidates, K);
        SAE_TRY(collect(t, l, e, i ? 0 : aux, cutoff, err));
        if (s->n_candidates > s->candidate_capacity) break;
        pack_candidates(s);
        *whole = s->n_candidates >= K || cutoff == 0.0f;
    }
done:
    return status;
}

sae_status encode_rows(sae_trainer *t, learner *l, encoder *e, bool with_aux, sae_error *err)
{
    sae_status status = SAE_OK;
    scratch *s = &t->s;
    int64_t K = l->k * t->options.batch;
    tile_use aux = with_aux ? COLLECT_AUX : 0;
    bool whole = false;

    centre_rows(t, l);
    measure_norms(t, l);
    SAE_TRY(encoder_load(e, l->p[P_W_ENC].w, s->u, err));
    s->margins_are_set = s->screen_is_loaded = false;
    if (with_aux) empty_aux(t, l->aux_cutoff);
    if (with_aux && s->n_aux_few > 0) {
        few_aux(t, l);
        aux = 0;
    }
    if (l->cutoff >= 0.0f) {
        SAE_TRY(collect_near(t, l, e, K, aux, &whole, err));
        aux = 0; /* done, whatever became of the candidates */
    }
    if (!whole) SAE_TRY(count_and_collect(t, l, e, K, aux, err));
done:
    return status;
}

sae_status encode_above(sae_trainer *t, learner *l, encoder *e, sae_error *err)
{
    sae_status status = SAE_OK;

    centre_rows(t, l);
    SAE_TRY(encoder_load(e, l->p[P_W_ENC].w, t->s.u, err));
    empty_candidates(&t->s);
    SAE_TRY(all_tiles(t, l, e, COLLECT_ABOVE, 0.0f, err));
    if (t->s.n_candidates <= t->s.candidate_capacity) pack_candidates(&t->s);
done:
    return status;
}

sae_status encode_top_rows(sae_trainer *t, learner *l, encoder *e, bool with_aux, sae_error *err)
{
    sae_status status = SAE_OK;

    centre_rows(t, l);
    measure_norms(t, l);
    SAE_TRY(encoder_load(e, l->p[P_W_ENC].w, t->s.u, err));
    best_empty(&t->s.top, t->options.batch, l->k, 0.0f, false);
    if (with_aux) empty_aux(t, l->aux_cutoff);
    SAE_TRY(all_tiles(t, l, e, with_aux ? COLLECT_TOP | COLLECT_AUX : COLLECT_TOP, 0.0f, err));
done:
    return status;
}

sae_status encode_aux_again(sae_trainer *t, const learner *l, encoder *e, sae_error *err)
{
    empty_aux(t, 0.0f);
    if (t->s.n_aux_few > 0) {
        few_aux(t, l);
        return SAE_OK;
    }
    return all_tiles(t, l, e, COLLECT_AUX, 0.0f, err);
}
