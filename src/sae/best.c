/*
 * best.c - the largest activations of each row, kept while the tiles pass: what TopK selects and AuxK rebuilds from.
 *
 * A key holds an activation's bits, ordered, over ~latent: the larger key is the larger activation, of equal ones the lower latent.
 * A row's keys are compacted to the best `keep` whenever there are `room`; from then on only what is above the least of them
 * can be among the best. Latents must come in ascending order.
 */
#include "sae/train.h"

#include <string.h>

static uint64_t key_of(float value, int32_t latent)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t)~latent;
}

static float value_of(uint64_t key)
{
    uint32_t bits = (uint32_t)(key >> 32);
    float value;

    bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void largest_keys_first(uint64_t *keys, int64_t n, int64_t keep)
{
    int64_t low = 0, high = n - 1;

    while (low < high) {
        uint64_t a = keys[low], b = keys[low + (high - low) / 2], c = keys[high];
        uint64_t pivot = a < b ? (b < c ? b : (a < c ? c : a)) : (a < c ? a : (b < c ? c : b));
        int64_t i = low, j = high;
        while (i <= j) {
            while (keys[i] > pivot) i++;
            while (keys[j] < pivot) j--;
            if (i > j) break;
            uint64_t swap = keys[i];
            keys[i++] = keys[j];
            keys[j--] = swap;
        }
        if (keep - 1 <= j)
            high = j;
        else if (keep - 1 >= i)
            low = i;
        else
            return;
    }
}

int64_t best_room(int64_t keep) { return 2 * keep + 16; }

void best_empty(best_rows *r, int64_t n_rows, int64_t keep, float cutoff, bool guessed)
{
    r->keep = keep;
    r->room = best_room(keep); /* not what the largest dictionary has: keys fall into an order that depends on it */
    for (int64_t b = 0; b < n_rows; b++) r->rows[b] = (best_row){0, guessed, cutoff};
}

static void compact(best_row *a, uint64_t *keys, int64_t keep)
{
    uint64_t least;

    largest_keys_first(keys, a->n, keep);
    a->n = (int32_t)keep;
    a->dropped = true;
    least = keys[0];
    for (int64_t j = 1; j < keep; j++) least = keys[j] < least ? keys[j] : least;
    a->cutoff = value_of(least);
}

void best_put(best_rows *r, int64_t row, const int32_t *latent, const float *value, int64_t n)
{
    best_row *a = &r->rows[row];
    uint64_t *keys = r->keys + row * r->room;

    for (int64_t i = 0; i < n; i++) {
        if (!(value[i] > a->cutoff)) continue;
        if (a->n == r->room) {
            compact(a, keys, r->keep);
            if (!(value[i] > a->cutoff)) continue;
        }
        keys[a->n++] = key_of(value[i], latent[i]);
    }
}

/* Takes out what fired, then keeps the k largest. Returns how many there are. */
static int64_t finish_row(best_row *a, uint64_t *keys, int64_t k, const int64_t *fired)
{
    int64_t n = 0;

    for (int64_t i = 0; i < a->n; i++) {
        uint32_t latent = ~(uint32_t)keys[i];
        if (!fired || fired[latent + 1] == fired[latent]) keys[n++] = keys[i];
    }
    if (n <= k) return n;
    largest_keys_first(keys, n, k);
    return k;
}

bool best_list(best_rows *r, int64_t n_rows, int64_t k, const int64_t *fired, pair_lists *out)
{
    bool enough = true;

    out->row_start[0] = 0;
#pragma omp parallel for schedule(dynamic, 32) reduction(&& : enough)
    for (int64_t b = 0; b < n_rows; b++) {
        int64_t n = out->row_start[b + 1] = finish_row(&r->rows[b], r->keys + b * r->room, k, fired);
        if (n < k && r->rows[b].dropped) enough = false;
    }
    for (int64_t b = 0; b < n_rows; b++) out->row_start[b + 1] += out->row_start[b];
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < n_rows; b++) {
        const uint64_t *keys = r->keys + b * r->room;
        for (int64_t i = out->row_start[b]; i < out->row_start[b + 1]; i++, keys++) {
            out->latent[i] = (int32_t) ~(uint32_t)*keys;
            out->value[i] = value_of(*keys);
        }
    }
    return enough;
}
