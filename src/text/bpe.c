/*
 * bpe.c - byte-pair encoding of one word: of all neighbouring pairs the one with the smallest rank is merged (leftmost
 * first among equals), until no pair is left that the table knows. A heap of pairs makes that n log n, so a megabyte
 * without a space costs what a megabyte of words does; a cache makes words seen before free.
 */
#include "text/tokenizer.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

static const uint64_t no_pair = UINT64_MAX;

_Static_assert(sizeof(bpe_cached) == 64, "a cached word is one cache line");

/* ---- The table ------------------------------------------------------------------------------------------------------------ */

sae_status bpe_create(bpe *b, const vocab *v, size_t n_merges, sae_error *err)
{
    size_t places = 16;
    char name[2];

    *b = (bpe){.unknown = v->unknown};
    for (unsigned i = 0; i < 256; i++) b->byte_id[i] = vocab_find(v, name, vocab_byte_name((unsigned char)i, name));
    if (n_merges > INT32_MAX) return SAE_FAIL(err, SAE_FORMAT, "%zu merges; expected at most %d", n_merges, INT32_MAX);
    while (places < 2 * n_merges) places *= 2;
    b->mask = places - 1;
    b->merges = mem_alloc_array(places, sizeof *b->merges, "the table of merges", err);
    b->cache = mem_alloc_array(BPE_CACHE_SLOTS, sizeof *b->cache, "the cache of words", err);
    b->joined = mem_alloc(v->longest_name, "a token's name", err);
    if (!b->merges || !b->cache || !b->joined) return SAE_NOMEM;
    for (size_t i = 0; i < places; i++) b->merges[i].pair = no_pair;
    return SAE_OK;
}

void bpe_free(bpe *b)
{
    mem_free(b->merges);
    mem_free(b->cache);
    mem_free(b->joined);
    mem_free(b->symbols);
    mem_free(b->heap);
    *b = (bpe){0};
}

static uint64_t pair_of(int32_t left, int32_t right) { return (uint64_t)(uint32_t)left << 32 | (uint32_t)right; }

/* Where a pair stands in the table, or the empty place where it would. */
static bpe_merge *merge_place(const bpe *b, uint64_t pair)
{
    size_t place = (size_t)((pair ^ pair >> 29) * 0x9e3779b97f4a7c15u >> 24) & b->mask;

    while (b->merges[place].pair != pair && b->merges[place].pair != no_pair) place = (place + 1) & b->mask;
    return &b->merges[place];
}

/* The id of the two names joined; -1 when there is none. */
static int32_t find_joined(bpe *b, const vocab *v, const char *left, size_t left_size, const char *right,
                           size_t right_size)
{
    if (left_size + right_size > v->longest_name) return -1;
    memcpy(b->joined, left, left_size);
    memcpy(b->joined + left_size, right, right_size);
    return vocab_find(v, b->joined, left_size + right_size);
}

sae_status bpe_add_merge(bpe *b, const vocab *v, size_t rank, const char *left, size_t left_size, const char *right,
                         size_t right_size, const char *file, sae_error *err)
{
    int show_left = left_size < 60 ? (int)left_size : 60, show_right = right_size < 60 ? (int)right_size : 60;
    int32_t left_id = vocab_find(v, left, left_size), right_id = vocab_find(v, right, right_size);
    int32_t id = find_joined(b, v, left, left_size, right, right_size);
    bpe_merge *merge;

    if (left_id < 0 || right_id < 0)
        return SAE_FAIL(err, SAE_FORMAT, "%s: merge %zu uses \"%.*s\", which is not a token", file, rank,
                        left_id < 0 ? show_left : show_right, left_id < 0 ? left : right);
    if (id < 0)
        return SAE_FAIL(err, SAE_FORMAT, "%s: merge %zu makes \"%.*s%.*s\", which is not a token", file, rank,
                        show_left, left, show_right, right);
    merge = merge_place(b, pair_of(left_id, right_id));
    if (merge->pair != no_pair)
        return SAE_FAIL(err, SAE_FORMAT, "%s: merge %zu (\"%.*s\" and \"%.*s\") repeats merge %u", file, rank,
                        show_left, left, show_right, right, merge->rank);
    if (b->n_merges >= b->mask) return SAE_FAIL(err, SAE_FORMAT, "%s: more merges than announced", file);
    *merge = (bpe_merge){.pair = pair_of(left_id, right_id), .rank = (uint32_t)rank, .id = id};
    b->n_merges++;
    return SAE_OK;
}

sae_status bpe_add_merge_text(bpe *b, const vocab *v, size_t rank, const char *text, size_t size, const char *file,
                              sae_error *err)
{
    const char *space = memchr(text, ' ', size);
    size_t left = space ? (size_t)(space - text) : 0;

    if (!space || left == 0 || left + 1 == size || memchr(space + 1, ' ', size - left - 1))
        return SAE_FAIL(err, SAE_FORMAT, "%s: merge %zu is \"%.*s\"; expected two tokens with one space between", file,
                        rank, size < 60 ? (int)size : 60, text);
    return bpe_add_merge(b, v, rank, text, left, space + 1, size - left - 1, file, err);
}

/* ---- The heap: keys rank << 32 | position, smallest first ---------------------------------------------------------------- */

static void heap_push(bpe *b, size_t *n, uint64_t key)
{
    size_t i = (*n)++;

    b->work++;
    for (; i > 0 && b->heap[(i - 1) / 2] > key; i = (i - 1) / 2) b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = key;
}

static uint64_t heap_pop(bpe *b, size_t *n)
{
    uint64_t top = b->heap[0], last = b->heap[--*n];
    size_t i = 0;

    b->work++;
    for (size_t child; (child = 2 * i + 1) < *n; i = child) {
        if (child + 1 < *n && b->heap[child + 1] < b->heap[child]) child++;
        if (b->heap[child] >= last) break;
        b->heap[i] = b->heap[child];
    }
    b->heap[i] = last;
    return top;
}

/* ---- Merging ---------------------------------------------------------------------------------------------------------------- */

/* The merge of the symbol at `i` with the next one; NULL when there is none. */
static const bpe_merge *merge_at(const bpe *b, int32_t i)
{
    const bpe_symbol *s = &b->symbols[i];
    const bpe_merge *merge;

    if (s->id < 0 || s->next < 0) return NULL;
    merge = merge_place(b, pair_of(s->id, b->symbols[s->next].id));
    return merge->pair == no_pair ? NULL : merge;
}

static void push_merge(bpe *b, size_t *n_heap, int32_t i)
{
    const bpe_merge *merge = i < 0 ? NULL : merge_at(b, i);

    if (merge) heap_push(b, n_heap, (uint64_t)merge->rank << 32 | (uint32_t)i);
}

static void merge_symbols(bpe *b, size_t n)
{
    size_t n_heap = 0;

    for (size_t i = 0; i + 1 < n; i++) push_merge(b, &n_heap, (int32_t)i);
    while (n_heap > 0) {
        uint64_t key = heap_pop(b, &n_heap);
        int32_t i = (int32_t)(uint32_t)key, gone;
        const bpe_merge *merge = merge_at(b, i);
        /* A key is out of date when one of its two symbols has been merged since. */
        if (!merge || merge->rank != key >> 32) continue;
        gone = b->symbols[i].next;
        b->symbols[i].id = merge->id;
        b->symbols[i].next = b->symbols[gone].next;
        if (b->symbols[gone].next >= 0) b->symbols[b->symbols[gone].next].previous = i;
        b->symbols[gone].id = -1;
        push_merge(b, &n_heap, b->symbols[i].previous);
        push_merge(b, &n_heap, i);
    }
}

/* At most n - 1 keys at first and one more net per merge: 2 n is enough for the heap. */
static sae_status word_reserve(bpe *b, size_t size, sae_error *err)
{
    size_t capacity = b->word_capacity ? b->word_capacity : 64;

    if (size <= b->word_capacity) return SAE_OK;
    while (capacity < size) capacity *= 2;
    b->word_capacity = 0;
    mem_free(b->symbols);
    mem_free(b->heap);
    b->heap = NULL;
    b->symbols = mem_alloc_array(capacity, sizeof *b->symbols, "the symbols of a word", err);
    if (b->symbols) b->heap = mem_alloc_array(2 * capacity, sizeof *b->heap, "the pairs of a word", err);
    if (!b->symbols || !b->heap) return SAE_NOMEM;
    b->word_capacity = capacity;
    return SAE_OK;
}

static sae_status encode_uncached(bpe *b, const char *word, size_t size, id_list *out, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t n = 0;

    if (size > BPE_MAX_WORD)
        SAE_RAISE(err, SAE_RANGE,
                  "a run of %zu bytes without a place to cut; at most %zu can be tokenised: is this text?", size,
                  BPE_MAX_WORD);
    SAE_TRY(word_reserve(b, size, err));
    for (size_t i = 0; i < size; i++) {
        int32_t id = b->byte_id[(unsigned char)word[i]];
        if (id < 0) id = b->unknown;
        if (id < 0) continue;
        b->symbols[n] = (bpe_symbol){.id = id, .previous = (int32_t)n - 1, .next = (int32_t)n + 1};
        n++;
    }
    if (n == 0) goto done;
    b->symbols[n - 1].next = -1;
    merge_symbols(b, n);
    SAE_TRY(id_list_reserve(out, n, err));
    for (int32_t i = 0; i >= 0; i = b->symbols[i].next) out->ids[out->n++] = b->symbols[i].id;
done:
    return status;
}

sae_status bpe_encode(bpe *b, const char *word, size_t size, id_list *out, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t start = out->n, n;
    bpe_cached *slot;

    if (size > BPE_CACHE_WORD) return encode_uncached(b, word, size, out, err);
    slot = &b->cache[XXH3_64bits(word, size) & (BPE_CACHE_SLOTS - 1)];
    if (slot->size == size && memcmp(slot->word, word, size) == 0) return id_list_add(out, slot->ids, slot->n, err);

    SAE_TRY(encode_uncached(b, word, size, out, err));
    n = out->n - start;
    if (n > 0 && n <= BPE_CACHE_IDS) {
        slot->size = (uint8_t)size;
        slot->n = (uint8_t)n;
        memcpy(slot->word, word, size);
        memcpy(slot->ids, out->ids + start, n * sizeof *slot->ids);
    }
done:
    return status;
}
