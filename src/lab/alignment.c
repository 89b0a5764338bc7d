/*
 * alignment.c - which latents of a dictionary are aligned with a subspace, by each of the definitions that fit the words
 * "maximally scaffold-aligned": the paper does not say which it used.
 */
#include "lab/redundancy.h"

#include <math.h>
#include <stdlib.h>

const char *const alignment_names[ALIGN_RULES + 1] = {"energy", "union", "best", "match", NULL};

/* sae_dict_weights gives writable pointers; nothing is written through them here */
static const float *decoder_of(const sae_dict *dict) { return sae_dict_weights((sae_dict *)(uintptr_t)dict).W_dec; }

static double square_norm(const float *v, int64_t d)
{
    double sum = 0;

    for (int64_t j = 0; j < d; j++) sum += (double)v[j] * (double)v[j];
    return sum;
}

/* |v P|^2, not divided by |v|^2 */
static double square_inside(const subspace *s, const float *v)
{
    double sum = 0;

    for (int64_t k = 0; k < s->rank; k++) {
        double code = 0;
        for (int64_t j = 0; j < s->d; j++) code += s->basis[k * s->d + j] * (double)v[j];
        sum += code * code;
    }
    return sum;
}

void alignment_squares(const aligned_space *u, const sae_dict *dict, double *squares)
{
    const float *W_dec = decoder_of(dict);
    int64_t d = u->space.d, d_sae = sae_dict_get_config(dict)->d_sae;

#pragma omp parallel for
    for (int64_t i = 0; i < d_sae; i++) {
        double whole = square_norm(W_dec + i * d, d);
        squares[i] = whole > 0 ? fmin(1, square_inside(&u->space, W_dec + i * d) / whole) : 0;
    }
}

void alignment_energy(const aligned_space *u, const sae_dict *dict, const latent_moments *m, double *energy)
{
    const float *W_dec = decoder_of(dict);
    int64_t d = u->space.d, d_sae = sae_dict_get_config(dict)->d_sae;

#pragma omp parallel for
    for (int64_t i = 0; i < d_sae; i++) energy[i] = m->square[i] * square_inside(&u->space, W_dec + i * d);
}

/* ---- Orders --------------------------------------------------------------------------------------------------------------- */

typedef struct ranked {
    int64_t latent, direction, turn; /* turn: its place among the latents of its direction */
    double score;
} ranked;

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return (x->latent > y->latent) - (x->latent < y->latent);
}

static int by_turn(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    if (x->turn != y->turn) return x->turn < y->turn ? -1 : 1;
    return by_score(a, b);
}

/* score: the largest |cos| with a direction; direction: which. Rows of 0 have none. */
static void best_direction(const aligned_space *u, const float *v, ranked *r)
{
    int64_t d = u->space.d;
    double norm = sqrt(square_norm(v, d));

    r->score = 0;
    for (int64_t k = 0; k < u->n && norm > 0; k++) {
        const float *w = u->directions + k * d;
        double length = sqrt(square_norm(w, d)), product = 0;
        for (int64_t j = 0; j < d; j++) product += (double)v[j] * (double)w[j];
        if (length > 0 && fabs(product) / length / norm > r->score) {
            r->score = fabs(product) / length / norm;
            r->direction = k;
        }
    }
}

static sae_status take_turns(ranked *all, int64_t n, int64_t n_directions, sae_error *err)
{
    int64_t *next = mem_alloc_array((size_t)n_directions + 1, sizeof *next, "latents of each direction", err);

    if (!next) return SAE_NOMEM;
    qsort(all, (size_t)n, sizeof *all, by_score);
    for (int64_t i = 0; i < n; i++) all[i].turn = next[all[i].direction]++;
    qsort(all, (size_t)n, sizeof *all, by_turn);
    mem_free(next);
    return SAE_OK;
}

static void score_directions(const aligned_space *u, const sae_dict *dict, ranked *all, int64_t n)
{
    const float *W_dec = decoder_of(dict);

#pragma omp parallel for
    for (int64_t i = 0; i < n; i++) best_direction(u, W_dec + i * u->space.d, &all[i]);
}

sae_status alignment_order(alignment_rule rule, const aligned_space *u, const sae_dict *dict, const latent_moments *m,
                           int64_t *order, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = sae_dict_get_config(dict)->d_sae;
    ranked *all = mem_alloc_array((size_t)n, sizeof *all, "latents in order", err);
    double *score = mem_alloc_array((size_t)n, sizeof *score, "scores of latents", err);

    if (!all || !score) {
        status = SAE_NOMEM;
        goto done;
    }
    if (rule == ALIGN_ENERGY) alignment_squares(u, dict, score);
    if (rule == ALIGN_MATCH) alignment_energy(u, dict, m, score);
    for (int64_t i = 0; i < n; i++) all[i] = (ranked){.latent = i, .score = score[i]};
    if (rule == ALIGN_UNION || rule == ALIGN_BEST) score_directions(u, dict, all, n);
    if (rule == ALIGN_UNION)
        SAE_TRY(take_turns(all, n, u->n, err));
    else
        qsort(all, (size_t)n, sizeof *all, by_score);
    for (int64_t i = 0; i < n; i++) order[i] = all[i].latent;
done:
    mem_free(all);
    mem_free(score);
    return status;
}

int64_t alignment_match(const int64_t *order, const double *energy, int64_t n, double wanted)
{
    double sum = 0;

    if (wanted <= 0) return 0;
    for (int64_t i = 0; i < n; i++) {
        sum += energy[order[i]];
        if (sum >= wanted) return i + 1;
    }
    return -1;
}

/* ---- What latents do on the sample ------------------------------------------------------------------------------------------ */

void latent_moments_free(latent_moments *m)
{
    density_free(&m->density);
    mem_free(m->square);
    mem_free(m->mean);
    *m = (latent_moments){0};
}

static sae_status moments_of_batch(latent_moments *m, const sae_dict *dict, const float *rows, int64_t n, int64_t d,
                                   sae_error *err)
{
    sae_status status = SAE_OK;
    codes c = {0};

    SAE_TRY(codes_encode(&c, dict, rows, n, err));
    density_add(&m->density, &c);
    for (int64_t p = 0; p < c.row_start[n]; p++) m->square[c.latent[p]] += (double)c.value[p] * (double)c.value[p];
    for (int64_t i = 0; i < n * d; i++) m->mean[i % d] += (double)rows[i];
done:
    codes_free(&c);
    return status;
}

sae_status latent_moments_measure(latent_moments *out, sample *s, const sae_dict *dict, const sae_progress *progress,
                                  sae_error *err)
{
    sae_status status = SAE_OK;
    latent_moments m = {0};
    int64_t d_sae = sae_dict_get_config(dict)->d_sae;
    const float *rows = NULL;
    float *kept = mem_alloc_array((size_t)(s->batch_seqs * s->ctx), (size_t)s->d * sizeof *kept, "counted rows", err);

    m.square = mem_alloc_array((size_t)d_sae, sizeof *m.square, "energies of latents", err);
    m.mean = mem_alloc_array((size_t)s->d, sizeof *m.mean, "the mean row", err);
    if (!kept || !m.square || !m.mean) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(density_create(&m.density, d_sae, err));
    for (int64_t first = 0; first < s->n_seq; first += s->batch_seqs) {
        int64_t n = sample_batch(s, first, s->n_seq);
        SAE_TRY(sample_rows(s, first, n, &rows, err));
        SAE_TRY(moments_of_batch(&m, dict, kept, sample_gather(s, first, n, rows, kept, NULL), s->d, err));
        if (progress && progress->report(progress->user, "sequences encoded", (double)(first + n), (double)s->n_seq))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
    for (int64_t i = 0; i < d_sae; i++) m.square[i] /= (double)m.density.n_rows;
    for (int64_t j = 0; j < s->d; j++) m.mean[j] /= (double)m.density.n_rows;
    *out = m;
    m = (latent_moments){0};
done:
    latent_moments_free(&m);
    mem_free(kept);
    return status;
}
