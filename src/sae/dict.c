/*
 * dict.c - a dictionary with its optional scaffold: memory, encode, decode.
 *
 * Invariant: no matrix of rows x d_sae is ever whole. Rows are encoded in tiles whose pre-activations fit in
 * TILE_BYTES (where a screen spares most of them, in tiles of SIFTED_ROWS rows); a tile leaves only its active latents behind.
 */
#include "sae/dict.h"

#include "kernels/matmul.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TILE_BYTES = 16 << 20, SIFTED_ROWS = 4096 };
enum { MAX_D_IN = 1 << 24 }; /* with d_sae in an int32 no product of sizes can overflow */

/* ---- Shape and memory ---------------------------------------------------------------------------------------------- */

static sae_status check_groups(const sae_dict_config *c, sae_error *err)
{
    int64_t sum = 0;

    if (c->n_groups < 0 || c->n_groups > SAE_MAX_GROUPS)
        return SAE_FAIL(err, SAE_RANGE, "%d Matryoshka groups; 0 to %d are possible", c->n_groups, SAE_MAX_GROUPS);
    for (int g = 0; g < c->n_groups; g++) {
        if (c->groups[g] < 1 || c->groups[g] > c->d_sae)
            return SAE_FAIL(err, SAE_RANGE, "Matryoshka group %d has %lld latents; expected 1 to d_sae = %lld", g,
                            (long long)c->groups[g], (long long)c->d_sae);
        sum += c->groups[g];
    }
    if (c->n_groups && sum != c->d_sae)
        return SAE_FAIL(err, SAE_SHAPE, "the Matryoshka groups hold %lld latents together; d_sae is %lld",
                        (long long)sum, (long long)c->d_sae);
    return SAE_OK;
}

static sae_status check_config(const sae_dict_config *c, sae_error *err)
{
    if (c->d_in < 1 || c->d_in > MAX_D_IN)
        return SAE_FAIL(err, SAE_RANGE, "d_in is %lld; expected 1 to %d", (long long)c->d_in, MAX_D_IN);
    if (c->d_sae < 1 || c->d_sae > INT32_MAX)
        return SAE_FAIL(err, SAE_RANGE, "d_sae is %lld; expected 1 to %d", (long long)c->d_sae, INT32_MAX);
    if (c->d_out < 0 || c->d_out > MAX_D_IN)
        return SAE_FAIL(err, SAE_RANGE, "d_out is %lld; expected 0 (none) to %d", (long long)c->d_out, MAX_D_IN);
    if (c->rank < 0 || c->rank > c->d_in || c->rank > dict_d_out(c))
        return SAE_FAIL(err, SAE_RANGE, "the scaffold's rank is %lld; expected 0 to %s = %lld", (long long)c->rank,
                        dict_d_out(c) < c->d_in ? "d_out" : "d_in",
                        (long long)(dict_d_out(c) < c->d_in ? dict_d_out(c) : c->d_in));
    if (c->k < (c->arch == SAE_TOPK ? 1 : 0) || c->k > c->d_sae)
        return SAE_FAIL(err, SAE_RANGE, "k is %lld; expected %d to d_sae = %lld", (long long)c->k, c->arch == SAE_TOPK,
                        (long long)c->d_sae);
    if ((int)c->arch < SAE_BATCHTOPK || c->arch > SAE_GATED)
        return SAE_FAIL(err, SAE_RANGE, "architecture number %d is unknown", (int)c->arch);
    if ((int)c->variant < SAE_P1 || c->variant > SAE_P3)
        return SAE_FAIL(err, SAE_RANGE, "scaffold variant number %d is unknown", (int)c->variant);
    if ((int)c->scaffold_centre < SAE_CENTRE_B_DEC || c->scaffold_centre > SAE_CENTRE_OWN)
        return SAE_FAIL(err, SAE_RANGE, "scaffold centre number %d is unknown", (int)c->scaffold_centre);
    if (c->d_out == 0 && c->skip) return SAE_FAIL(err, SAE_UNSUPPORTED, "only a transcoder can have a skip path");
    if (c->d_out > 0 && (c->apply_b_dec_to_input || dict_sees_residual(c)))
        return SAE_FAIL(
            err, SAE_UNSUPPORTED,
            "a transcoder's b_dec and scaffold are of its output: neither can be subtracted from its input");
    return check_groups(c, err);
}

static void lay_out(sae_weights *w, const sae_dict_config *c, arena *a)
{
    size_t d_in = (size_t)c->d_in, d_out = (size_t)dict_d_out(c), d_sae = (size_t)c->d_sae;
    size_t rank = (size_t)c->rank, f = sizeof(float);

    w->W_enc = arena_take(a, d_sae * d_in * f);
    w->b_enc = arena_take(a, d_sae * f);
    w->W_dec = arena_take(a, d_sae * d_out * f);
    w->b_dec = arena_take(a, d_out * f);
    w->threshold = arena_take(a, d_sae * f);
    w->W_down = rank ? arena_take(a, rank * d_in * f) : NULL;
    w->W_up = rank ? arena_take(a, rank * d_out * f) : NULL;
    w->b_mag = c->arch == SAE_GATED ? arena_take(a, d_sae * f) : NULL;
    w->r_mag = c->arch == SAE_GATED ? arena_take(a, d_sae * f) : NULL;
    w->W_skip = c->skip ? arena_take(a, d_out * d_in * f) : NULL;
    w->b_down = dict_has_b_down(c) ? arena_take(a, rank * f) : NULL;
}

sae_status sae_dict_create(sae_dict **out, const sae_dict_config *config, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;
    arena a = {0};

    SAE_TRY(check_config(config, err));
    dict = mem_alloc(sizeof *dict, "a dictionary", err);
    if (!dict) {
        status = SAE_NOMEM;
        goto done;
    }
    dict->config = *config;
    dict->config.site[sizeof dict->config.site - 1] = '\0';
    dict->config.model[sizeof dict->config.model - 1] = '\0';
    dict->config.target_site[sizeof dict->config.target_site - 1] = '\0';
    lay_out(&dict->weights, config, &a);
    dict->block = mem_alloc(a.used, "the weights of a dictionary", err);
    if (!dict->block) {
        status = SAE_NOMEM;
        goto done;
    }
    a = (arena){.base = dict->block};
    lay_out(&dict->weights, config, &a);
    *out = dict;
    dict = NULL;
done:
    sae_dict_free(dict);
    return status;
}

void sae_dict_free(sae_dict *dict)
{
    if (!dict) return;
    mem_free(dict->block);
    mem_free(dict);
}

const sae_dict_config *sae_dict_get_config(const sae_dict *dict) { return &dict->config; }
sae_weights sae_dict_weights(sae_dict *dict) { return dict->weights; }

/* ---- Encode -------------------------------------------------------------------------------------------------------- */

/* An active latent of a row. */
typedef struct active {
    float value;
    int32_t latent;
} active;

/* Work space of one tile of rows. */
typedef struct tile {
    int64_t rows;
    float *u;     /* [rows, d_in] what the encoder sees */
    float *c;     /* [rows, d_in] what the scaffold sees: x - b_dec or x; is u when those are the same */
    float *h;     /* [rows, rank] */
    sift *sift;   /* NULL: every pre-activation is computed */
    float *a;     /* [rows, d_sae] pre-activations; without a sift */
    float *limit; /* [d_sae] a latent is active when its pre-activation (gated: its magnitude) is greater */
    float *scale; /* [d_sae] exp(r_mag), gated only */
    active *top;  /* [rows, k] per-token top-k only */
    int64_t *n;   /* [rows] active latents */
    void *block;
} tile;

static void lay_out_tile(tile *t, const sae_dict_config *c, arena *a)
{
    size_t rows = (size_t)t->rows, d_in = (size_t)c->d_in, d_sae = (size_t)c->d_sae, rank = (size_t)c->rank;
    bool own_c = rank > 0 && (dict_sees_residual(c) || dict_scaffold_is_centred(c) != c->apply_b_dec_to_input);

    t->u = arena_take(a, rows * d_in * sizeof *t->u);
    t->c = own_c ? arena_take(a, rows * d_in * sizeof *t->c) : t->u;
    t->h = rank ? arena_take(a, rows * rank * sizeof *t->h) : NULL;
    t->a = t->sift ? NULL : arena_take(a, rows * d_sae * sizeof *t->a);
    t->limit = arena_take(a, d_sae * sizeof *t->limit);
    t->scale = c->arch == SAE_GATED ? arena_take(a, d_sae * sizeof *t->scale) : NULL;
    t->top = c->arch == SAE_TOPK ? arena_take(a, rows * (size_t)c->k * sizeof *t->top) : NULL;
    t->n = arena_take(a, rows * sizeof *t->n);
}

static sae_status tile_create(tile *t, const sae_dict *dict, int64_t n, sae_error *err)
{
    const sae_dict_config *c = &dict->config;
    int64_t rows = TILE_BYTES / ((int64_t)sizeof(float) * (c->d_sae > c->d_in ? c->d_sae : c->d_in));
    arena a = {0};
    sae_status status = sift_create(&t->sift, dict, n < SIFTED_ROWS ? n : SIFTED_ROWS, err);

    if (status != SAE_OK) return status;
    if (t->sift) rows = SIFTED_ROWS;
    t->rows = rows < 1 ? 1 : rows < n ? rows : n;
    lay_out_tile(t, c, &a);
    t->block = mem_alloc(a.used, "encoding a tile of rows", err);
    if (!t->block) return SAE_NOMEM;
    a = (arena){.base = t->block};
    lay_out_tile(t, c, &a);
    /* A negative threshold must not let negative values through, so relu is part of the limit. */
    for (int64_t j = 0; t->scale && j < c->d_sae; j++) t->scale[j] = expf(dict->weights.r_mag[j]);
    if (c->arch != SAE_TOPK && c->arch != SAE_STANDARD && c->arch != SAE_GATED)
        for (int64_t j = 0; j < c->d_sae; j++)
            t->limit[j] = dict->weights.threshold[j] > 0 ? dict->weights.threshold[j] : 0;
    return SAE_OK;
}

/* Centres the rows and applies the scaffold: fills u, and h when the rank is not 0. */
static sae_status prepare_inputs(const sae_dict *dict, tile *t, const float *rows, int64_t n, int64_t first,
                                 sae_error *err)
{
    const sae_dict_config *c = &dict->config;
    const sae_weights *w = &dict->weights;
    int64_t d = c->d_in, bad = -1;
    bool centred = dict_scaffold_is_centred(c);

#pragma omp parallel for reduction(max : bad)
    for (int64_t i = 0; i < n; i++) {
        float poison = 0; /* becomes NaN when one entry is not finite */
#pragma omp simd reduction(+ : poison)
        for (int64_t j = 0; j < d; j++) {
            float x = rows[i * d + j];
            poison += x * 0;
            t->u[i * d + j] = c->apply_b_dec_to_input ? x - w->b_dec[j] : x;
        }
        if (poison != 0) bad = i;
        for (int64_t j = 0; t->c != t->u && j < d; j++)
            t->c[i * d + j] = centred ? rows[i * d + j] - w->b_dec[j] : rows[i * d + j];
    }
    if (bad >= 0)
        return SAE_FAIL(err, SAE_NUMERIC, "row %lld to be encoded holds infinite or undefined numbers",
                        (long long)(first + bad));
    if (c->rank == 0) return SAE_OK;
    matmul_nt(n, c->rank, d, t->c, d, w->W_down, d, 0, t->h, c->rank);
    for (int64_t i = 0; w->b_down && i < n * c->rank; i++) t->h[i] += w->b_down[i % c->rank];
    return SAE_OK;
}

/* P2 and P3: u -= h W_up. c is not needed any more and serves as the product's place. */
static void subtract_scaffold(const sae_dict *dict, tile *t, int64_t n)
{
    int64_t d = dict->config.d_in;

    matmul_nn(n, d, dict->config.rank, t->h, dict->config.rank, dict->weights.W_up, d, 0, t->c, d);
#pragma omp parallel for
    for (int64_t i = 0; i < n * d; i++) t->u[i] -= t->c[i];
}

/* Adds the bias in place and counts the latents over their limits. */
static int64_t count_row(float *a, const float *bias, const float *limit, int64_t d_sae)
{
    int32_t count = 0;

#pragma omp simd reduction(+ : count)
    for (int64_t j = 0; j < d_sae; j++) {
        a[j] += bias[j];
        count += a[j] > limit[j];
    }
    return count;
}

/* From products to magnitudes in place, 0 where the gate is shut, and counts those above 0. */
static int64_t count_gated_row(float *a, const sae_weights *w, const float *scale, int64_t d_sae)
{
    int32_t count = 0;

#pragma omp simd reduction(+ : count)
    for (int64_t j = 0; j < d_sae; j++) {
        float magnitude = scale[j] * a[j] + w->b_mag[j];
        a[j] = a[j] + w->b_enc[j] > 0 && magnitude > 0 ? magnitude : 0;
        count += a[j] > 0;
    }
    return count;
}

static bool weaker(active x, active y) { return x.value < y.value || (x.value == y.value && x.latent > y.latent); }

/* Moves the root of a heap, whose root is the weakest, to where it belongs. */
static void sift_down(active *heap, int64_t n)
{
    int64_t i = 0;

    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= n) return;
        if (child + 1 < n && weaker(heap[child + 1], heap[child])) child++;
        if (!weaker(heap[child], heap[i])) return;
        active swap = heap[i];
        heap[i] = heap[child];
        heap[child] = swap;
        i = child;
    }
}

static void sift_up(active *heap, int64_t i)
{
    while (i > 0 && weaker(heap[i], heap[(i - 1) / 2])) {
        active swap = heap[i];
        heap[i] = heap[(i - 1) / 2];
        heap[(i - 1) / 2] = swap;
        i = (i - 1) / 2;
    }
}

static int compare_latents(const void *x, const void *y)
{
    const active *a = x, *b = y;

    return (a->latent > b->latent) - (a->latent < b->latent);
}

/* The k largest positive pre-activations, latents ascending; of equal ones the lower latents. Selecting among the
 * positive ones only is the same as relu after selecting. */
static int64_t top_row(const float *a, const float *bias, int64_t d_sae, int64_t k, active *top)
{
    int64_t n = 0;

    for (int64_t j = 0; j < d_sae; j++) {
        active x = {a[j] + bias[j], (int32_t)j};
        if (!(x.value > 0)) continue;
        if (n < k) {
            top[n] = x;
            sift_up(top, n++);
        } else if (x.value > top[0].value) {
            top[0] = x;
            sift_down(top, n);
        }
    }
    qsort(top, (size_t)n, sizeof *top, compare_latents);
    return n;
}

static void select_active(const sae_dict *dict, tile *t, int64_t n)
{
    int64_t d_sae = dict->config.d_sae, k = dict->config.k;

#pragma omp parallel for schedule(dynamic, 4)
    for (int64_t i = 0; i < n; i++) {
        float *a = t->a + i * d_sae;
        if (t->top)
            t->n[i] = top_row(a, dict->weights.b_enc, d_sae, k, t->top + i * k);
        else if (t->scale)
            t->n[i] = count_gated_row(a, &dict->weights, t->scale, d_sae);
        else
            t->n[i] = count_row(a, dict->weights.b_enc, t->limit, d_sae);
    }
}

/* Codes found so far; malloc'ed because they become the caller's. */
typedef struct codes {
    int32_t *latent;
    float *value;
    size_t room;
} codes;

static sae_status codes_reserve(codes *out, size_t need, sae_error *err)
{
    size_t room = out->room + out->room / 2;
    void *latent, *value;

    if (need <= out->room) return SAE_OK;
    if (room < need) room = need;
    latent = realloc(out->latent, room * sizeof *out->latent);
    if (latent) out->latent = latent;
    value = realloc(out->value, room * sizeof *out->value);
    if (value) out->value = value;
    if (!latent || !value) return SAE_FAIL(err, SAE_NOMEM, "no memory for %zu active latents; encode fewer rows", room);
    out->room = room;
    return SAE_OK;
}

static void write_codes(const tile *t, int64_t d_sae, int64_t k, int64_t n, const int64_t *row_start, codes *out)
{
#pragma omp parallel for schedule(dynamic, 4)
    for (int64_t i = 0; i < n; i++) {
        int32_t *latent = out->latent + row_start[i];
        float *value = out->value + row_start[i];
        const float *a = t->a + i * d_sae;
        int64_t found = 0;
        for (int64_t j = 0; found < t->n[i]; j++) {
            if (t->top) {
                latent[found] = t->top[i * k + j].latent;
                value[found++] = t->top[i * k + j].value;
            } else if (a[j] > t->limit[j]) {
                latent[found] = (int32_t)j;
                value[found++] = a[j];
            }
        }
    }
}

/* Rows [n, d_in] of one tile; row_start is the tile's part, of which row_start[0] is set. */
static sae_status encode_tile(const sae_dict *dict, tile *t, const float *rows, int64_t n, int64_t first,
                              int64_t *row_start, codes *out, float *h, sae_error *err)
{
    const sae_dict_config *c = &dict->config;
    sae_status status = SAE_OK;

    SAE_TRY(prepare_inputs(dict, t, rows, n, first, err));
    if (h && c->rank) memcpy(h, t->h, (size_t)(n * c->rank) * sizeof *h);
    if (dict_sees_residual(c)) subtract_scaffold(dict, t, n);
    if (t->sift) {
        memset(t->u + n * c->d_in, 0, (size_t)((t->rows - n) * c->d_in) * sizeof *t->u); /* of a last tile, half full */
        SAE_TRY(sift_rows(t->sift, t->u, n, t->n, err));
    } else {
        matmul_nt(n, c->d_sae, c->d_in, t->u, c->d_in, dict->weights.W_enc, c->d_in, 0, t->a, c->d_sae);
        select_active(dict, t, n);
    }
    for (int64_t i = 0; i < n; i++) row_start[i + 1] = row_start[i] + t->n[i];
    SAE_TRY(codes_reserve(out, (size_t)row_start[n], err));
    if (t->sift) {
        memcpy(t->n, row_start, (size_t)n * sizeof *t->n);
        sift_write(t->sift, n, t->n, out->latent, out->value);
    } else {
        write_codes(t, c->d_sae, c->k, n, row_start, out);
    }
done:
    return status;
}

sae_status sae_dict_encode(const sae_dict *dict, const float *rows, int64_t n, int64_t *row_start, int32_t **latent,
                           float **value, float *h, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t d_in = dict->config.d_in, rank = dict->config.rank;
    codes out = {0};
    tile t = {0};

    if (n < 0) SAE_RAISE(err, SAE_RANGE, "%lld rows to encode", (long long)n);
    SAE_TRY(codes_reserve(&out, 1, err)); /* the caller's pointers are never NULL */
    SAE_TRY(tile_create(&t, dict, n, err));
    row_start[0] = 0;
    for (int64_t i = 0; i < n; i += t.rows) {
        int64_t rest = n - i < t.rows ? n - i : t.rows;
        SAE_TRY(encode_tile(dict, &t, rows + i * d_in, rest, i, row_start + i, &out, h ? h + i * rank : NULL, err));
    }
    *latent = out.latent;
    *value = out.value;
    out = (codes){0};
done:
    free(out.latent);
    free(out.value);
    sift_free(t.sift);
    mem_free(t.block);
    return status;
}

/* ---- Decode -------------------------------------------------------------------------------------------------------- */

static sae_status check_codes(const sae_dict_config *c, int64_t n, const int64_t *row_start, const int32_t *latent,
                              sae_error *err)
{
    if (n < 0 || row_start[0] != 0)
        return SAE_FAIL(err, SAE_RANGE, "codes of %lld rows that start at entry %lld", (long long)n,
                        (long long)row_start[0]);
    for (int64_t i = 0; i < n; i++)
        if (row_start[i + 1] < row_start[i])
            return SAE_FAIL(err, SAE_RANGE, "row %lld of the codes ends before it starts", (long long)i);
    for (int64_t e = 0; e < row_start[n]; e++)
        if (latent[e] < 0 || latent[e] >= c->d_sae)
            return SAE_FAIL(err, SAE_RANGE, "entry %lld of the codes names latent %d; d_sae is %lld", (long long)e,
                            latent[e], (long long)c->d_sae);
    return SAE_OK;
}

sae_status sae_dict_decode(const sae_dict *dict, int64_t n, const int64_t *row_start, const int32_t *latent,
                           const float *value, const float *h, const float *rows, float *recon, sae_error *err)
{
    const sae_dict_config *c = &dict->config;
    const sae_weights *w = &dict->weights;
    sae_status status = SAE_OK;
    int64_t d = dict_d_out(c);

    SAE_TRY(check_codes(c, n, row_start, latent, err));
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < n; i++) {
        float *x = recon + i * d;
        memcpy(x, w->b_dec, (size_t)d * sizeof *x);
        for (int64_t e = row_start[i]; e < row_start[i + 1]; e++) {
            const float *direction = w->W_dec + (int64_t)latent[e] * d;
            float f = value[e];
            for (int64_t j = 0; j < d; j++) x[j] += f * direction[j];
        }
    }
    if (h && c->rank && n) matmul_nn(n, d, c->rank, h, c->rank, w->W_up, d, 1, recon, d);
    if (rows && c->skip && n) matmul_nt(n, d, c->d_in, rows, c->d_in, w->W_skip, c->d_in, 1, recon, d);
done:
    return status;
}
