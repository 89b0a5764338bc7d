/*
 * permutation.c - a seeded order of n things that needs no list of them: any place of it is computed at once.
 *
 * A Feistel network is a bijection of [0, 2^2b) whatever its round function is; values at or over n are sent through it
 * again until one falls below n ("cycle walking", Black and Rogaway 2002), which keeps it a bijection. 2^2b < 4 n, so
 * that takes fewer than four turns on average.
 */
#include "acts/acts.h"

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

permutation permutation_make(int64_t n, uint64_t seed, uint64_t epoch)
{
    permutation p = {.n = (uint64_t)n, .bits = 1};
    rng r = rng_seed(seed, epoch);

    while (p.bits < 31 && ((uint64_t)1 << (2 * p.bits)) < p.n) p.bits++;
    p.mask = ((uint64_t)1 << p.bits) - 1;
    for (int k = 0; k < PERMUTATION_ROUNDS; k++) p.keys[k] = rng_next(&r);
    return p;
}

int64_t permutation_at(const permutation *p, int64_t i)
{
    uint64_t x = (uint64_t)i;

    do {
        uint64_t left = x >> p->bits, right = x & p->mask;
        for (int k = 0; k < PERMUTATION_ROUNDS; k++) {
            uint64_t next = left ^ (mix(right ^ p->keys[k]) & p->mask);
            left = right;
            right = next;
        }
        x = left << p->bits | right;
    } while (x >= p->n);
    return (int64_t)x;
}
