/*
 * reading.c - one sequence at a time: its text, whose byte belongs to which token, then words and beginnings.
 */
#include "eval/reading.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { NO_START, SENTENCE_START, PARAGRAPH_START, WORD_BYTES = 64 };

/* The text of a sequence. A special token stands as an empty line. */
typedef struct page {
    char *text;
    int32_t *owner; /* [bytes] which token a byte is of */
    size_t bytes, room;
    uint8_t *start; /* [ctx] what begins in a token */
    uint8_t *word;  /* [ctx], borrowed */
} page;

static void page_free(page *p)
{
    mem_free(p->text);
    mem_free(p->owner);
    mem_free(p->start);
}

static sae_status page_add(page *p, int32_t token, const char *text, size_t bytes, sae_error *err)
{
    size_t wanted = p->room;
    char *longer;
    int32_t *owner;

    while (wanted < p->bytes + bytes) wanted = wanted ? 2 * wanted : 4096;
    if (wanted > p->room) {
        longer = mem_grow(p->text, p->room, wanted, "the text of a sequence", err);
        if (!longer) return SAE_NOMEM;
        p->text = longer;
        owner = mem_grow(p->owner, p->room * sizeof *owner, wanted * sizeof *owner, "the tokens of bytes", err);
        if (!owner) return SAE_NOMEM;
        p->owner = owner;
        p->room = wanted;
    }
    memcpy(p->text + p->bytes, text, bytes);
    for (size_t i = 0; i < bytes; i++) p->owner[p->bytes + i] = token;
    p->bytes += bytes;
    return SAE_OK;
}

static sae_status page_read(page *p, const int32_t *ids, int64_t ctx, const sae_tokenizer *tok, sae_error *err)
{
    sae_status status = SAE_OK;
    char *text = NULL;
    size_t bytes = 0;

    p->bytes = 0;
    for (int64_t t = 0; t < ctx; t++) {
        if (ids[t] < 0 || ids[t] >= sae_tokenizer_get_info(tok).n_vocab || sae_tokenizer_is_special(tok, ids[t])) {
            SAE_TRY(page_add(p, (int32_t)t, "\n\n", 2, err));
            continue;
        }
        SAE_TRY(sae_tokenizer_decode(tok, &ids[t], 1, &text, &bytes, err));
        SAE_TRY(page_add(p, (int32_t)t, text, bytes, err));
        free(text);
        text = NULL;
    }
done:
    free(text);
    return status;
}

/* The character at `at`, and how many bytes it has; a byte that is no UTF-8 stands for itself. */
static int32_t character(const page *p, size_t at, size_t *bytes)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)p->text + at, (utf8proc_ssize_t)(p->bytes - at), &c);

    *bytes = n > 0 ? (size_t)n : 1;
    return n > 0 ? c : (unsigned char)p->text[at];
}

static bool is_letter(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);

    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

static bool is_space(int32_t c) { return (c >= '\t' && c <= '\r') || utf8proc_category(c) == UTF8PROC_CATEGORY_ZS; }

static bool is_apostrophe(int32_t c) { return c == '\'' || c == 0x2019; }

/* ---- Words ------------------------------------------------------------------------------------------------------------------ */

/* The word that begins at `at`: its end, and its text in lower case with a plain apostrophe; longer ones are cut. */
static size_t word_end(const page *p, size_t at, char *word, size_t *length)
{
    size_t n, next;

    *length = 0;
    for (; at < p->bytes; at += n) {
        int32_t c = character(p, at, &n);
        utf8proc_uint8_t lower[4];
        bool inside = is_apostrophe(c) && *length > 0 && at + n < p->bytes && is_letter(character(p, at + n, &next));
        if (!is_letter(c) && !inside) break;
        utf8proc_ssize_t k = utf8proc_encode_char(inside ? '\'' : utf8proc_tolower(c), lower);
        if (*length + (size_t)k <= WORD_BYTES) {
            memcpy(word + *length, lower, (size_t)k);
            *length += (size_t)k;
        }
    }
    return at;
}

static void mark_words(page *p)
{
    char word[WORD_BYTES];
    size_t n, length;

    for (size_t at = 0; at < p->bytes;) {
        if (!is_letter(character(p, at, &n))) {
            at += n;
            continue;
        }
        size_t end = word_end(p, at, word, &length);
        uint8_t kind = is_function_word(word, length) ? TOKEN_FUNCTION_WORD : TOKEN_CONTENT_WORD;
        for (; at < end; at++)
            if (p->word[p->owner[at]] == TOKEN_NO_WORD) p->word[p->owner[at]] = kind;
    }
}

/* ---- Sentences and paragraphs --------------------------------------------------------------------------------------------------- */

static bool ends_sentence(int32_t c) { return c == '.' || c == '!' || c == '?' || c == 0x2026; }

static bool is_closer(int32_t c)
{
    return c == '"' || is_apostrophe(c) || c == ')' || c == ']' || c == 0x201d || c == 0xbb;
}

static void mark_starts(page *p)
{
    int newlines = 2; /* a sequence begins with a paragraph */
    bool ended = false, spaces = false;
    size_t n;

    for (size_t at = 0; at < p->bytes; at += n) {
        int32_t c = character(p, at, &n);
        uint8_t begins = NO_START;
        if (is_space(c)) {
            newlines += c == '\n';
            spaces = true;
            continue;
        }
        if (newlines >= 2)
            begins = PARAGRAPH_START;
        else if (ended && spaces && utf8proc_category(c) != UTF8PROC_CATEGORY_LL)
            begins = SENTENCE_START;
        if (begins > p->start[p->owner[at]]) p->start[p->owner[at]] = begins;
        ended = ends_sentence(c) || (ended && !spaces && is_closer(c));
        newlines = 0;
        spaces = false;
    }
}

static void count_since(const page *p, int64_t ctx, reading *r, int64_t first)
{
    for (int64_t t = 0; t < ctx; t++) {
        int64_t at = first + t;
        r->since[SINCE_CONTEXT][at] = (int32_t)t;
        r->since[SINCE_SENTENCE][at] = t && p->start[t] == NO_START ? r->since[SINCE_SENTENCE][at - 1] + 1 : 0;
        r->since[SINCE_PARAGRAPH][at] = t && p->start[t] != PARAGRAPH_START ? r->since[SINCE_PARAGRAPH][at - 1] + 1 : 0;
    }
}

/* ---- All of it -------------------------------------------------------------------------------------------------------------------- */

void reading_free(reading *r)
{
    mem_free(r->word);
    for (int i = 0; i < READING_STARTS; i++) mem_free(r->since[i]);
    *r = (reading){0};
}

sae_status reading_create(reading *out, const int32_t *ids, int64_t n_seq, int64_t ctx, const sae_tokenizer *tok,
                          sae_error *err)
{
    sae_status status = SAE_NOMEM;
    reading r = {.n = n_seq * ctx};
    page p = {0};

    r.word = mem_alloc((size_t)r.n, "kinds of words", err);
    p.start = mem_alloc((size_t)ctx, "where sentences begin", err);
    if (!r.word || !p.start) goto done;
    for (int i = 0; i < READING_STARTS; i++) {
        r.since[i] = mem_alloc_array((size_t)r.n, sizeof(int32_t), "distances", err);
        if (!r.since[i]) goto done;
    }
    for (int64_t s = 0; s < n_seq; s++) {
        memset(p.start, NO_START, (size_t)ctx);
        p.word = r.word + s * ctx;
        SAE_TRY(page_read(&p, ids + s * ctx, ctx, tok, err));
        mark_words(&p);
        mark_starts(&p);
        count_since(&p, ctx, &r, s * ctx);
    }
    *out = r;
    r = (reading){0};
    status = SAE_OK;
done:
    page_free(&p);
    reading_free(&r);
    return status;
}
