/*
 * features.c - one pass over held-out rows that keeps, for each watched latent or direction, counts and its strongest
 * contexts.
 */
#include "eval/features.h"

#include <math.h>
#include <string.h>

const double feature_bin_low = -8;

/* Strengths of one batch: [n targets, batch tokens], 0 where a row is not counted. */
typedef struct scan {
    sample *s;
    const sae_dict *dict;
    const feature_target *targets;
    int n, n_contexts;
    float *strength, *kept;
    int64_t *index;
    int32_t *target_of; /* [d_sae] which target a latent is, or -1 */
} scan;

static void scan_free(scan *w)
{
    mem_free(w->strength);
    mem_free(w->kept);
    mem_free(w->index);
    mem_free(w->target_of);
}

/* target_of [d_sae] must hold -1 everywhere. */
static sae_status mark_targets(int32_t *target_of, int64_t d_sae, const feature_target *targets, int n, sae_error *err)
{
    for (int i = 0; i < n; i++) {
        if (targets[i].read) continue;
        if (targets[i].latent < 0 || targets[i].latent >= d_sae)
            return SAE_FAIL(err, SAE_RANGE, "latent %lld does not exist: the dictionary has latents 0 to %lld",
                            (long long)targets[i].latent, (long long)d_sae - 1);
        if (target_of[targets[i].latent] >= 0)
            return SAE_FAIL(err, SAE_RANGE, "latent %lld is asked for twice", (long long)targets[i].latent);
        target_of[targets[i].latent] = i;
    }
    return SAE_OK;
}

/* Caller frees *out with mem_free. */
static sae_status map_latents(int32_t **out, const sae_dict *dict, const feature_target *targets, int n, sae_error *err)
{
    int64_t d_sae = dict ? sae_dict_get_config(dict)->d_sae : 0;
    int32_t *target_of = mem_alloc_array((size_t)d_sae + 1, sizeof *target_of, "which latents are watched", err);
    sae_status status;

    if (!target_of) return SAE_NOMEM;
    for (int64_t i = 0; i < d_sae; i++) target_of[i] = -1;
    status = mark_targets(target_of, d_sae, targets, n, err);
    if (status == SAE_OK)
        *out = target_of;
    else
        mem_free(target_of);
    return status;
}

sae_status features_check(const sae_dict *dict, const feature_target *targets, int n, sae_error *err)
{
    int32_t *target_of = NULL;
    sae_status status = map_latents(&target_of, dict, targets, n, err);

    mem_free(target_of);
    return status;
}

static sae_status scan_create(scan *w, sae_error *err)
{
    size_t tokens = (size_t)(w->s->batch_seqs * w->s->ctx);

    w->strength = mem_alloc_array((size_t)w->n + 1, tokens * sizeof(float), "strengths", err);
    w->kept = mem_alloc_array(tokens, (size_t)w->s->d * sizeof(float), "counted rows", err);
    w->index = mem_alloc_array(tokens, sizeof *w->index, "places of counted rows", err);
    if (!w->strength || !w->kept || !w->index) return SAE_NOMEM;
    return map_latents(&w->target_of, w->dict, w->targets, w->n, err);
}

static sae_status latent_strengths(scan *w, int64_t n_kept, int64_t stride, sae_error *err)
{
    sae_status status = SAE_OK;
    codes c = {0};

    SAE_TRY(codes_encode(&c, w->dict, w->kept, n_kept, err));
    for (int64_t i = 0; i < n_kept; i++) {
        for (int64_t p = c.row_start[i]; p < c.row_start[i + 1]; p++) {
            int32_t target = w->target_of[c.latent[p]];
            if (target >= 0) w->strength[target * stride + w->index[i]] = c.value[p];
        }
    }
done:
    codes_free(&c);
    return status;
}

static void direction_strengths(const scan *w, int target, int64_t n_kept, int64_t stride)
{
    const feature_target *t = &w->targets[target];

#pragma omp parallel for
    for (int64_t i = 0; i < n_kept; i++) {
        double code = 0;
        for (int64_t j = 0; j < w->s->d; j++) code += t->read[j] * (double)w->kept[i * w->s->d + j];
        w->strength[target * stride + w->index[i]] = (float)fmax(0, t->scale * code - t->offset);
    }
}

static void count_strength(feature *f, float strength)
{
    double bin;

    if (!(strength > 0)) return;
    bin = floor(2 * (log2((double)strength) - feature_bin_low));
    f->histogram[(int)fmin(fmax(bin, 0), FEATURE_BINS - 1)]++;
    f->n_active++;
    f->sum += (double)strength;
    f->max = fmax(f->max, (double)strength);
}

static void copy_context(feature_context *c, const sample *s, int64_t seq, int64_t t, const float *strength)
{
    int64_t from = t > CONTEXT_RADIUS ? t - CONTEXT_RADIUS : 0;
    int64_t to = t + CONTEXT_RADIUS < s->ctx ? t + CONTEXT_RADIUS : s->ctx - 1;

    *c = (feature_context){.peak = strength[t], .seq = seq, .t = t, .n = to - from + 1, .at = t - from};
    memcpy(c->ids, s->ids + seq * s->ctx + from, (size_t)c->n * sizeof *c->ids);
    memcpy(c->strength, strength + from, (size_t)c->n * sizeof *c->strength);
}

/* Keeps the list sorted; among equals the earlier one stays in front. */
static void offer_context(feature *f, int n_contexts, const sample *s, int64_t seq, int64_t t, const float *strength)
{
    int at = f->n_contexts;

    while (at > 0 && f->contexts[at - 1].peak < strength[t]) at--;
    if (at >= n_contexts) return;
    if (f->n_contexts < n_contexts) f->n_contexts++;
    memmove(f->contexts + at + 1, f->contexts + at, (size_t)(f->n_contexts - at - 1) * sizeof *f->contexts);
    copy_context(&f->contexts[at], s, seq, t, strength);
}

/* strength [n_seq, ctx] of one target. */
static void look_at(feature *f, const scan *w, int64_t first, int64_t n_seq, const float *strength)
{
    const sample *s = w->s;

    for (int64_t i = 0; i < n_seq; i++) {
        const float *row = strength + i * s->ctx;
        int64_t best = 0;
        for (int64_t t = 0; t < s->ctx; t++) {
            f->n_rows += s->counted[(first + i) * s->ctx + t];
            count_strength(f, row[t]);
            if (row[t] > row[best]) best = t;
        }
        if (row[best] > 0) offer_context(f, w->n_contexts, s, first + i, best, row);
    }
}

static sae_status scan_batch(scan *w, feature *features, int64_t first, int64_t n_seq, sae_error *err)
{
    sae_status status = SAE_OK;
    const float *rows = NULL;
    int64_t stride = w->s->batch_seqs * w->s->ctx, n_kept;

    SAE_TRY(sample_rows(w->s, first, n_seq, &rows, err));
    n_kept = sample_gather(w->s, first, n_seq, rows, w->kept, w->index);
    memset(w->strength, 0, (size_t)(w->n * stride) * sizeof *w->strength);
    if (w->dict) SAE_TRY(latent_strengths(w, n_kept, stride, err));
    for (int i = 0; i < w->n; i++) {
        if (w->targets[i].read) direction_strengths(w, i, n_kept, stride);
        look_at(&features[i], w, first, n_seq, w->strength + i * stride);
    }
done:
    return status;
}

sae_status features_scan(feature *features, sample *s, const sae_dict *dict, const feature_target *targets, int n,
                         int n_contexts, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    scan w = {.s = s, .dict = dict, .targets = targets, .n = n};

    w.n_contexts = n_contexts < CONTEXTS_MAX ? n_contexts : CONTEXTS_MAX;
    memset(features, 0, (size_t)n * sizeof *features);
    SAE_TRY(scan_create(&w, err));
    for (int64_t first = 0; first < s->n_seq; first += s->batch_seqs) {
        int64_t n_seq = sample_batch(s, first, s->n_seq);
        SAE_TRY(scan_batch(&w, features, first, n_seq, err));
        if (progress && progress->report(progress->user, "sequences read", (double)(first + n_seq), (double)s->n_seq))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
done:
    scan_free(&w);
    return status;
}
