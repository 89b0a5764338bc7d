/*
 * added.c - finds added tokens in text. The set is sorted, so a search walks down from "all that begin with this byte" to
 * "all that begin with these bytes" until none is left; the last whole one on the way is the longest. White space and
 * word borders follow Hugging Face's tokenizers (added_vocabulary.rs).
 */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

sae_status added_set_add(added_set *set, added_token added, sae_error *err)
{
    if (set->n == set->capacity) {
        size_t capacity = set->capacity ? 2 * set->capacity : 64;
        added_token *tokens =
            mem_grow(set->tokens, set->n * sizeof *tokens, capacity * sizeof *tokens, "the added tokens", err);
        if (!tokens) return SAE_NOMEM;
        set->tokens = tokens;
        set->capacity = capacity;
    }
    set->tokens[set->n++] = added;
    return SAE_OK;
}

void added_set_free(added_set *set)
{
    mem_free(set->tokens);
    *set = (added_set){0};
}

static int by_text(const void *left, const void *right)
{
    const added_token *a = left, *b = right;
    int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);

    return order ? order : (a->size > b->size) - (a->size < b->size);
}

void added_set_sort(added_set *set, const vocab *v)
{
    size_t i = 0;

    for (size_t k = 0; k < set->n; k++) {
        const token *t = &v->tokens[set->tokens[k].id];
        set->tokens[k].text = v->bytes + t->start;
        set->tokens[k].size = t->size;
    }
    if (set->n > 0) qsort(set->tokens, set->n, sizeof *set->tokens, by_text);
    for (size_t b = 0; b <= 256; b++) {
        while (i < set->n && (unsigned char)set->tokens[i].text[0] < b) i++;
        set->first[b] = i;
    }
}

/* Of tokens[low .. high), which agree on the bytes before `at`: the first whose byte `at` is not below `byte`. A token that
 * ends at `at` sorts before all others. */
static size_t lower_bound(const added_set *set, size_t low, size_t high, size_t at, unsigned byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const added_token *t = &set->tokens[middle];
        if (t->size <= at || (unsigned char)t->text[at] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest token that the text begins with; NULL when there is none. */
static const added_token *longest_here(const added_set *set, const char *text, size_t size, bool special)
{
    size_t low = set->first[(unsigned char)text[0]], high = set->first[(unsigned char)text[0] + 1];
    const added_token *longest = NULL;

    for (size_t at = 1; low < high; at++) {
        if (set->tokens[low].size == at && (special || !set->tokens[low].special)) longest = &set->tokens[low];
        if (at == size) break;
        low = lower_bound(set, low, high, at, (unsigned char)text[at]);
        high = lower_bound(set, low, high, at, (unsigned char)text[at] + 1u);
    }
    return longest;
}

/* ---- White space and word borders ------------------------------------------------------------------------------------------- */

/* The character that begins at text[0]; -1 at the end or where the bytes are not UTF-8. */
static int32_t character_after(const char *text, size_t size, size_t *bytes)
{
    utf8proc_int32_t code;
    utf8proc_ssize_t n = size ? utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, &code) : 0;

    *bytes = n > 0 ? (size_t)n : 0;
    return n > 0 ? code : -1;
}

/* The character that ends at text[end - 1]. */
static int32_t character_before(const char *text, size_t end, size_t *bytes)
{
    for (size_t n = 1; n <= 4 && n <= end; n++) {
        int32_t code;
        if (((unsigned char)text[end - n] & 0xc0) == 0x80) continue;
        code = character_after(text + end - n, n, bytes);
        return *bytes == n ? code : -1;
    }
    return -1;
}

static bool is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool is_word(int32_t c)
{
    if (c < 0) return false;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return false;
    }
}

bool added_set_find(const added_set *set, const char *text, size_t size, size_t from, bool special, added_match *match)
{
    if (set->n == 0) return false;
    for (size_t i = from; i < size; i++) {
        const added_token *t;
        size_t n, start = i, end;
        if (set->first[(unsigned char)text[i]] == set->first[(unsigned char)text[i] + 1]) continue;
        t = longest_here(set, text + i, size - i, special);
        if (!t) continue;
        end = i + t->size;
        if (t->single_word &&
            (is_word(character_before(text, start, &n)) || is_word(character_after(text + end, size - end, &n)))) {
            i = end - 1;
            continue;
        }
        while (t->lstrip && is_space(character_before(text, start, &n)) && start - n >= from) start -= n;
        while (t->rstrip && is_space(character_after(text + end, size - end, &n))) end += n;
        *match = (added_match){.start = start, .end = end, .id = t->id};
        return true;
    }
    return false;
}
