/*
 * screen.c - the order of a screen: column scales, rounding of both factors, the terms of the test; and which table serves.
 *
 * With rounding = (d / 16 + 64) 2^-23, which is over all that a float sum here or in fixed_dot can lose relatively, a pair's
 * test in units of its two steps is
 *     a > cutoff' / (s t) - b_enc' / (s t) - E |w'| / (s t) - X F / (s t)
 * where E = |e| + 4 rounding |u'| and F = |f| are widened, X = |u'| + |e|, and ' on cutoff and bias takes off or adds their
 * own rounding: four products of something of the row and something of the latent.
 *
 * The column scales follow sqrt(max |w_i| / max |u_i|), with the weights' maxima of the load before: any scale is right.
 */
#include "kernels/screen.h"

#include "base/threads.h"

#include <float.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { LANES = 16 };

struct screen {
    screen_shape shape;
    const screen_ops *ops;
    int64_t depth, tile_rows, n_tiles, n_blocks;
    const float *W_enc;
    float rounding;
    bool loaded;                      /* latent_most holds the maxima of some earlier load */
    uint8_t *rows;                    /* [n_tiles, tile_rows, depth] */
    float (*row_terms)[SCREEN_TERMS]; /* [n_tiles, tile_rows] */
    float *row_step;                  /* [n_tiles, tile_rows] */
    int8_t *latents;                  /* [n_blocks, SCREEN_BLOCK, depth] */
    screen_latents *blocks;           /* [n_blocks] */
    float *row_scale, *latent_scale;  /* [d] */
    float *row_most, *latent_most;    /* [n_threads, d] */
    int8_t *line;                     /* [n_threads, LANES, depth] */
};

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t rounded_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

/* ---- Tables ------------------------------------------------------------------------------------------------------------- */

int screen_ops_all(const screen_ops *out[3])
{
    int n = 0;

    out[n++] = &screen_ops_ref;
#if defined(__x86_64__)
    extern const screen_ops screen_ops_avx2, screen_ops_avx512vnni;
    if (cpu_isa_get() >= ISA_AVX2) out[n++] = &screen_ops_avx2;
    if (cpu_isa_get() >= ISA_AVX512 && __builtin_cpu_supports("avx512vnni")) out[n++] = &screen_ops_avx512vnni;
#endif
    return n;
}

const screen_ops *screen_ops_get(void)
{
    const screen_ops *all[3];

    return all[screen_ops_all(all) - 1];
}

/* ---- Creation ----------------------------------------------------------------------------------------------------------- */

static void layout(screen *s, arena *a)
{
    int64_t d = s->shape.d_in, threads = s->shape.n_threads, rows = s->n_tiles * s->tile_rows;

    s->rows = arena_take(a, (size_t)(rows * s->depth));
    s->row_terms = arena_take(a, (size_t)rows * sizeof *s->row_terms);
    s->row_step = arena_take(a, (size_t)rows * sizeof *s->row_step);
    s->latents = arena_take(a, (size_t)(s->n_blocks * SCREEN_BLOCK * s->depth));
    s->blocks = arena_take(a, (size_t)s->n_blocks * sizeof *s->blocks);
    s->row_scale = arena_take(a, (size_t)d * sizeof(float));
    s->latent_scale = arena_take(a, (size_t)d * sizeof(float));
    s->row_most = arena_take(a, (size_t)(threads * d) * sizeof(float));
    s->latent_most = arena_take(a, (size_t)(threads * d) * sizeof(float));
    s->line = arena_take(a, (size_t)(threads * LANES * s->depth));
}

/* All weights are read once for each tile of rows: the taller it is the better, as long as its rows (floats and bytes) stay in the
 * core's own cache beside a block of weights. Less than LOWEST_TILE costs more in weights than it saves in rows (d_in 2,304). */
static int64_t tallest_tile(int64_t d_in)
{
    enum { LOWEST_TILE = 192, USUAL_CACHE = 1 << 20 };
    int64_t cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
    int64_t rows = (cache > 0 ? cache : USUAL_CACHE) / 4 * 3 / (d_in * (int64_t)(sizeof(float) + 1));

    return rows < LOWEST_TILE ? LOWEST_TILE : smaller(rows, SCREEN_TILE);
}

/* Tiles of equal height, at least one for each thread. */
static void set_sizes(screen *s, const screen_shape *shape)
{
    s->shape = *shape;
    s->depth = rounded_up(shape->d_in, SCREEN_DEPTH_STEP);
    int64_t tallest = tallest_tile(shape->d_in);
    int64_t tiles = (shape->n_rows + tallest - 1) / tallest;
    tiles = rounded_up(tiles, shape->n_threads);
    s->tile_rows = smaller(SCREEN_TILE, rounded_up((shape->n_rows + tiles - 1) / tiles, SCREEN_ROW_STEP));
    s->n_tiles = (shape->n_rows + s->tile_rows - 1) / s->tile_rows;
    s->n_blocks = (shape->d_sae + SCREEN_BLOCK - 1) / SCREEN_BLOCK;
    s->rounding = (float)(((double)shape->d_in / 16 + 64) * 0x1p-23);
}

size_t screen_bytes(const screen_shape *shape)
{
    screen s = {0};
    arena a = {0};

    set_sizes(&s, shape);
    layout(&s, &a);
    return a.used + sizeof s;
}

sae_status screen_create(screen **out, const screen_shape *shape, const screen_ops *ops, sae_error *err)
{
    arena a = {0};

    if (shape->d_in > SCREEN_LARGEST_D_IN)
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "--screen multiplies in 32-bit integers, which hold rows of at most %d columns: d_in is %lld",
                        SCREEN_LARGEST_D_IN, (long long)shape->d_in);
    screen *s = mem_alloc(screen_bytes(shape), "the 8-bit screen", err);
    if (!s) return SAE_NOMEM;
    set_sizes(s, shape);
    s->ops = ops;
    a.base = (unsigned char *)s;
    arena_take(&a, sizeof *s);
    layout(s, &a);
    *out = s;
    return SAE_OK;
}

void screen_free(screen *s) { mem_free(s); }

/* ---- Loading ------------------------------------------------------------------------------------------------------------ */

/* The threads' column maxima into the first. */
static void join_largest(const screen *s, float *most)
{
    int64_t d = s->shape.d_in;

    for (int i = 1; i < s->shape.n_threads; i++)
        for (int64_t k = 0; k < d; k++) most[k] = most[i * d + k] > most[k] ? most[i * d + k] : most[k];
}

static void column_largest(const screen *s, const float *x, int64_t n, float *most)
{
    int64_t d = s->shape.d_in;

    memset(most, 0, (size_t)(s->shape.n_threads * d) * sizeof *most);
#pragma omp parallel for schedule(static) num_threads(s->shape.n_threads)
    for (int64_t i = 0; i < n; i++) s->ops->largest(x + i * d, d, most + omp_get_thread_num() * d);
    join_largest(s, most);
}

static void set_scales(screen *s)
{
    for (int64_t k = 0; k < s->shape.d_in; k++) {
        float w = s->latent_most[k], u = s->row_most[k], scale = 1.0f;
        if (w > FLT_MIN && u > FLT_MIN && isfinite(w) && isfinite(u)) scale = sqrtf(w) / sqrtf(u);
        scale = scale < 0x1p-30f ? 0x1p-30f : scale > 0x1p30f ? 0x1p30f : scale;
        s->row_scale[k] = scale;
        s->latent_scale[k] = 1.0f / scale;
    }
}

/* Rows behind the last hold nothing that could survive. */
static void load_row(screen *s, const float *u, int64_t row)
{
    int64_t d = s->shape.d_in;
    float *terms = s->row_terms[row], wider = 1.0f + s->rounding;

    if (row >= s->shape.n_rows) {
        memset(s->rows + row * s->depth, s->ops->zero, (size_t)s->depth);
        s->row_step[row] = 1.0f;
        terms[0] = INFINITY;
        for (int i = 1; i < SCREEN_TERMS; i++) terms[i] = 0.0f;
        return;
    }
    screen_rounding r =
        s->ops->round_row(u + row * d, s->row_scale, d, s->depth, s->ops->zero, s->rows + row * s->depth);
    float norm = r.norm * wider + (float)d * FLT_MIN, error = r.error * wider + (float)d * FLT_MIN;
    s->row_step[row] = r.step;
    terms[1] = 1.0f / r.step;
    terms[2] = -(error + 4.0f * s->rounding * norm) / r.step;
    terms[3] = -(norm + error) / r.step;
}

/* Sixteen latents at a time: four integers of each in turn. */
static void load_latents(screen *s, const float *W_enc, const float *b_enc, int64_t first)
{
    int64_t d = s->shape.d_in, n = smaller(LANES, s->shape.d_sae - first);
    int me = omp_get_thread_num();
    int8_t *line = s->line + me * LANES * s->depth, *to = s->latents + first * s->depth;
    screen_latents *block = &s->blocks[first / SCREEN_BLOCK];
    float wider = 1.0f + s->rounding;

    for (int64_t l = 0; l < LANES; l++) {
        int64_t at = first % SCREEN_BLOCK + l;
        screen_rounding r = {.step = 1.0f};
        float bias = 0;
        if (l < n) {
            const float *w = W_enc + (first + l) * d;
            s->ops->largest(w, d, s->latent_most + me * d);
            r = s->ops->round_latent(w, s->latent_scale, d, s->depth, s->ops->octet_limit, line + l * s->depth);
            bias = b_enc[first + l];
        } else {
            memset(line + l * s->depth, 0, (size_t)s->depth);
        }
        float norm = r.norm * wider + (float)d * FLT_MIN, error = r.error * wider + (float)d * FLT_MIN;
        block->terms[0][at] = 1.0f / r.step;
        block->terms[1][at] = -(bias + s->rounding * fabsf(bias)) / r.step;
        block->terms[2][at] = norm * wider / r.step;
        block->terms[3][at] = error * wider / r.step;
        block->start[at] = -s->ops->zero * r.sum;
    }
    for (int64_t k = 0; k < s->depth; k += 4)
        for (int64_t l = 0; l < LANES; l++) memcpy(to + (k * LANES + 4 * l), line + l * s->depth + k, 4);
}

void screen_load(screen *s, const float *W_enc, const float *b_enc, const float *u)
{
    int64_t d = s->shape.d_in, F = s->shape.d_sae, rows = s->n_tiles * s->tile_rows;

    s->W_enc = W_enc;
    if (!s->loaded) column_largest(s, W_enc, F, s->latent_most);
    s->loaded = true;
    column_largest(s, u, s->shape.n_rows, s->row_most);
    set_scales(s);
    memset(s->latent_most, 0, (size_t)(s->shape.n_threads * d) * sizeof *s->latent_most);
#pragma omp parallel num_threads(s->shape.n_threads)
    {
#pragma omp for schedule(static) nowait
        for (int64_t row = 0; row < rows; row++) load_row(s, u, row);
#pragma omp for schedule(static)
        for (int64_t first = 0; first < s->n_blocks * SCREEN_BLOCK; first += LANES)
            load_latents(s, W_enc, b_enc, first);
    }
    join_largest(s, s->latent_most);
}

void screen_set_cutoff(screen *s, float cutoff)
{
    float lower = cutoff - s->rounding * fabsf(cutoff);

    for (int64_t row = 0; row < s->shape.n_rows; row++) s->row_terms[row][0] = lower / s->row_step[row];
}

/* ---- The product -------------------------------------------------------------------------------------------------------- */

int64_t screen_n_tiles(const screen *s) { return s->n_tiles; }
int64_t screen_n_blocks(const screen *s) { return s->n_blocks; }
int64_t screen_tile_row(const screen *s, int64_t tile) { return smaller(tile * s->tile_rows, s->shape.n_rows); }

void screen_block(const screen *s, int64_t tile, int64_t block, screen_survivors *out)
{
    int64_t first = tile * s->tile_rows, d = s->shape.d_in;
    int64_t latents = smaller(SCREEN_BLOCK, s->shape.d_sae - block * SCREEN_BLOCK);
    screen_product p = {.rows = s->rows + first * s->depth,
                        .n_rows = smaller(s->tile_rows, rounded_up(s->shape.n_rows - first, SCREEN_ROW_STEP)),
                        .depth = s->depth,
                        .row_terms = (const float(*)[SCREEN_TERMS])(s->row_terms + first),
                        .latents = s->latents + block * SCREEN_BLOCK * s->depth,
                        .block = &s->blocks[block],
                        .ahead = (const char *)(s->W_enc + block * SCREEN_BLOCK * d),
                        .ahead_bytes = latents * d * (int64_t)sizeof(float)};

    s->ops->survivors(&p, out);
    for (int64_t j = latents; j < SCREEN_BLOCK; j++) out->n[j] = 0;
    /* Weights that are not finite let everything through, the rows behind the last too. */
    for (int64_t j = 0; j < latents && s->shape.n_rows - first < p.n_rows; j++)
        while (out->n[j] > 0 && out->rows[j][out->n[j] - 1] >= s->shape.n_rows - first) out->n[j]--;
}

void screen_values(const screen *s, const screen_survivors *found, int64_t j, const float *w, const float *u,
                   float value[SCREEN_TILE])
{
    const uint16_t *rows = found->rows[j];
    int64_t d = s->shape.d_in;
    const float *x[4];
    float dots[4];

    for (int i = 0; i < found->n[j]; i += 4) {
        int m = found->n[j] - i < 4 ? found->n[j] - i : 4;
        for (int r = 0; r < 4; r++) x[r] = u + rows[i + (r < m ? r : 0)] * d;
        s->ops->fixed_dot4(w, x, d, dots);
        memcpy(value + i, dots, (size_t)m * sizeof *dots);
    }
}
