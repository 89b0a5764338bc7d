/*
 * screen.h - which (row, latent) pairs of u W_enc^T + b_enc can exceed a cutoff, found by a product of 8-bit integers.
 *
 * Columns are scaled (u' = u D, w' = w / D, which leaves every product as it is), then each row and each latent is rounded to
 * integers times a step of its own: u' = s q + e, w' = t p + f. By Cauchy and Schwarz
 *     |u . w - s t (q . p)|  <=  |e| |w'| + |s q| |f|,
 * and all four norms are known. A pair survives unless s t (q . p) + b_enc + that bound (widened by what float arithmetic may
 * lose, in this file's sums and in fixed_dot's) is at most the cutoff: no pair over it is ever lost, whatever D is.
 * What a survivor's value is, fixed_dot says, which is the same float on every instruction set.
 */
#ifndef SAE_SCREEN_H
#define SAE_SCREEN_H

#include "base/base.h"

typedef struct screen screen;

typedef struct screen_shape {
    int64_t n_rows, d_in, d_sae;
    int n_threads; /* that will work at once */
} screen_shape;

/* Latents come in blocks of this many, rows in tiles of at most SCREEN_TILE. */
enum { SCREEN_BLOCK = 64, SCREEN_TILE = 480 };

/* The survivors of one tile of rows and one block of latents: rows[j][0 .. n[j]) of latent block * SCREEN_BLOCK + j, ascending,
 * counted from the tile's first row. */
typedef struct screen_survivors {
    int32_t n[SCREEN_BLOCK];
    uint16_t rows[SCREEN_BLOCK][SCREEN_TILE];
} screen_survivors;

/* A row or latent as integers, and what its rounding cost. */
typedef struct screen_rounding {
    float step, norm, error; /* s; upper bounds of |u'| and |e| */
    int32_t sum;             /* of the integers */
} screen_rounding;

/* What the test of one pair needs: the integer product a survives when not a <= sum over i of row[i] * latent[i]. */
enum { SCREEN_TERMS = 4 };
typedef struct screen_latents {
    float terms[SCREEN_TERMS][SCREEN_BLOCK];
    int32_t start[SCREEN_BLOCK]; /* -zero x the sum of the latent's integers: what the rows' zero adds, taken off */
} screen_latents;

/* A tile and a block as the integer product reads them. */
typedef struct screen_product {
    const uint8_t *rows; /* [n_rows, depth]: integers + zero */
    int64_t n_rows;      /* a multiple of SCREEN_ROW_STEP */
    int64_t depth;       /* a multiple of SCREEN_DEPTH_STEP */
    const float (*row_terms)[SCREEN_TERMS];
    const int8_t *latents; /* [SCREEN_BLOCK / 16, depth / 4, 16, 4] */
    const screen_latents *block;
    const char *ahead; /* memory that is read next: fetched meanwhile */
    int64_t ahead_bytes;
} screen_product;
enum { SCREEN_ROW_STEP = 12, SCREEN_DEPTH_STEP = 16 };

typedef struct screen_ops {
    const char *isa;
    /* Rows are rounded to [-(zero - 1), zero - 1] and kept as integer + zero; latents to [-127, 127]. Where octet_limit is
     * not 0, sums of 16 bits hold eight products: the positive integers of each octet of a latent must not sum to more than it,
     * nor the negative ones. Octet h of 16 neighbours: those whose index has (index & 2) == 2 h. */
    int zero, octet_limit;
    /* sum a_i b_i in one order: sixteen sums by fused multiply-adds, sum l of i = l, l + 16, ... (the last ones padded with
     * zeros), then sums l and l + 8 added, l and l + 4, l and l + 2, l and l + 1. */
    float (*fixed_dot)(const float *a, const float *b, int64_t n);
    /* out[j] = fixed_dot(w, x[j], n) */
    void (*fixed_dot4)(const float *w, const float *const x[4], int64_t n, float out[4]);
    /* x [n] times scale [n] to integers (padded with zeros up to depth) + zero, by steps of the largest / (zero - 1). */
    screen_rounding (*round_row)(const float *x, const float *scale, int64_t n, int64_t depth, int zero, uint8_t *out);
    /* The same for a latent, within the octet limit. */
    screen_rounding (*round_latent)(const float *x, const float *scale, int64_t n, int64_t depth, int octet_limit,
                                    int8_t *out);
    /* largest[i] = max(largest[i], |x_i|) */
    void (*largest)(const float *x, int64_t n, float *largest);
    void (*survivors)(const screen_product *p, screen_survivors *out);
} screen_ops;

extern const screen_ops screen_ops_ref;
/* Every table that this processor can run, the reference first; returns how many (at most 3). */
int screen_ops_all(const screen_ops *out[3]);
/* The fastest within cpu_isa_get(). */
const screen_ops *screen_ops_get(void);

/* d_in for which the integer sums cannot overflow. */
enum { SCREEN_LARGEST_D_IN = 65536 };

/* Bytes that screen_create takes. */
size_t screen_bytes(const screen_shape *shape);
/* SAE_UNSUPPORTED for d_in over SCREEN_LARGEST_D_IN. `ops` is screen_ops_get() or, for tests, another. Caller frees with screen_free. */
sae_status screen_create(screen **out, const screen_shape *shape, const screen_ops *ops, sae_error *err);
void screen_free(screen *s);

/* Once per step: W_enc [d_sae, d_in] and u [n_rows, d_in] are rounded; both are borrowed until the next call. Runs on all threads. */
void screen_load(screen *s, const float *W_enc, const float *b_enc, const float *u);
/* The cutoff of all rows. */
void screen_set_cutoff(screen *s, float cutoff);

int64_t screen_n_tiles(const screen *s);  /* of rows */
int64_t screen_n_blocks(const screen *s); /* of latents */
/* First row of a tile (n_rows for the one behind the last). */
int64_t screen_tile_row(const screen *s, int64_t tile);
/* Survivors of a tile and a block, on the calling thread. What can survive includes every pair whose fixed_dot + b_enc, in
 * float, is over the cutoff. */
void screen_block(const screen *s, int64_t tile, int64_t block, screen_survivors *out);
/* value[i] = fixed_dot(w, the row of survivor i) of the survivors of latent j of the block, whose weights w are; u: the tile's first row. */
void screen_values(const screen *s, const screen_survivors *found, int64_t j, const float *w, const float *u,
                   float value[SCREEN_TILE]);

#endif
