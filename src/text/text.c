/*
 * text.c - packs documents into sequences of equal length.
 *
 * The documents of the split form one stream of tokens, each document followed by the separator:
 *
 *     d1 d1 d1 SEP d2 d2 SEP d3 d3 d3 d3 SEP ...           with `repeat` it begins again behind the last SEP
 *
 * Sequence i is the separator and tokens i (ctx - 1) .. (i + 1)(ctx - 1) - 1 of that stream. So a place in the data is one
 * number, and with `repeat` the stream has a period, which makes seeking far ahead cheap.
 */
#include "text/corpus.h"
#include "text/tokenizer.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

/* Of the hash that splits documents: changing it changes every split. */
static const uint64_t split_seed = 0x5ae;

struct sae_text {
    const sae_tokenizer *tok;
    corpus *corpus;
    sae_text_options options;
    int64_t sequence; /* number of the next one */

    id_list ids; /* tokens of the stream that were made but not given: from `given` on */
    size_t given;
    unsigned char *mask; /* beside ids.ids */
    size_t mask_capacity;

    int64_t epoch_tokens; /* made since the corpus began */
    int64_t period;       /* tokens of the whole corpus; 0 until its end was seen */
    bool ended;
    bool failed;  /* a document may be lost: nothing is given any more */
    bool used_up; /* it failed since standard input cannot begin again */

    const int32_t
        *fixed_ids; /* [n_fixed, ctx], borrowed: sequences that are there already; NULL: they are made of the corpus */
    const uint8_t *fixed_mask;
    int64_t n_fixed;

    int64_t document, n_hashed; /* documents read since the corpus began, and most in any epoch */
    XXH3_state_t *hash;
};

sae_text_options sae_text_defaults(void)
{
    return (sae_text_options){.ctx = 256, .separator = -1, .split = SAE_SPLIT_ALL, .held_out = 0.05};
}

/* ---- Opening -------------------------------------------------------------------------------------------------------------- */

static sae_status check_options(const sae_tokenizer *tok, sae_text_options *o, sae_error *err)
{
    sae_tokenizer_info info = sae_tokenizer_get_info(tok);

    if (o->ctx == 0) o->ctx = 256;
    if (o->held_out == 0) o->held_out = 0.05;
    if (o->ctx < 2 || o->ctx > 1 << 20)
        return SAE_FAIL(err, SAE_RANGE, "sequences of %lld tokens; expected 2 to %d", (long long)o->ctx, 1 << 20);
    if (!(o->held_out > 0 && o->held_out < 1))
        return SAE_FAIL(err, SAE_RANGE, "the held-out share is %g; expected a number between 0 and 1", o->held_out);
    if (o->split != SAE_SPLIT_ALL && o->split != SAE_SPLIT_TRAIN && o->split != SAE_SPLIT_HELD_OUT)
        return SAE_FAIL(err, SAE_RANGE, "split %d is none of sae_split", (int)o->split);
    if (o->separator == -1) {
        o->separator = info.separator;
        if (o->separator < 0)
            return SAE_FAIL(err, SAE_RANGE,
                            "the tokenizer names no <|endoftext|>, BOS or EOS token to begin sequences with: give a "
                            "separator's id");
    }
    if (o->separator < 0 || o->separator >= info.n_vocab)
        return SAE_FAIL(err, SAE_RANGE, "separator %d is not in the vocabulary; ids are 0 to %d", o->separator,
                        info.n_vocab - 1);
    return SAE_OK;
}

static void hash_options(sae_text *text)
{
    const sae_text_options *o = &text->options;
    struct {
        int64_t ctx, separator, split, repeat;
        double held_out;
    } said = {o->ctx, o->separator, o->split, o->repeat, o->split == SAE_SPLIT_ALL ? 0 : o->held_out};

    XXH3_64bits_reset(text->hash);
    XXH3_64bits_update(text->hash, &said, sizeof said);
}

sae_status sae_text_open(sae_text **out, const sae_tokenizer *tok, const char *const *paths, int n_paths,
                         const sae_text_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_text *text = mem_alloc(sizeof *text, "a stream of text", err);

    if (!text) return SAE_NOMEM;
    text->tok = tok;
    text->options = options ? *options : sae_text_defaults();
    text->hash = mem_alloc(sizeof *text->hash, "a hash", err);
    if (!text->hash) SAE_TRY(SAE_NOMEM);
    SAE_TRY(check_options(tok, &text->options, err));
    SAE_TRY(corpus_open(&text->corpus, paths, n_paths, err));
    hash_options(text);
    *out = text;
    text = NULL;
done:
    sae_text_free(text);
    return status;
}

sae_status sae_text_open_ids(sae_text **out, const int32_t *ids, const uint8_t *mask, int64_t n_seq, int64_t ctx,
                             bool repeat, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_text *text = mem_alloc(sizeof *text, "a stream of text", err);

    if (!text) return SAE_NOMEM;
    if (n_seq < 1 || ctx < 2 || ctx > 1 << 20 || n_seq > INT64_MAX / ctx)
        SAE_RAISE(err, SAE_SHAPE, "%lld sequences of %lld tokens; expected at least one, of 2 to %d tokens",
                  (long long)n_seq, (long long)ctx, 1 << 20);
    text->options = (sae_text_options){.ctx = ctx, .separator = -1, .repeat = repeat};
    text->fixed_ids = ids;
    text->fixed_mask = mask;
    text->n_fixed = n_seq;
    text->hash = mem_alloc(sizeof *text->hash, "a hash", err);
    if (!text->hash) SAE_TRY(SAE_NOMEM);
    hash_options(text);
    XXH3_64bits_update(text->hash, ids, (size_t)(n_seq * ctx) * sizeof *ids);
    XXH3_64bits_update(text->hash, mask, (size_t)(n_seq * ctx));
    *out = text;
    text = NULL;
done:
    sae_text_free(text);
    return status;
}

void sae_text_free(sae_text *text)
{
    if (!text) return;
    corpus_free(text->corpus);
    id_list_free(&text->ids);
    mem_free(text->mask);
    mem_free(text->hash);
    mem_free(text);
}

/* ---- The stream of tokens ------------------------------------------------------------------------------------------------ */

/* The top 53 bits of the hash as a number in [0, 1): a document is held out when it lies below the share. */
static bool in_split(const sae_text *text, const char *document, size_t bytes)
{
    double place;
    bool held_out;

    if (text->options.split == SAE_SPLIT_ALL) return true;
    place = (double)(XXH3_64bits_withSeed(document, bytes, split_seed) >> 11) * 0x1p-53;
    held_out = place < text->options.held_out;
    return held_out == (text->options.split == SAE_SPLIT_HELD_OUT);
}

/* Drops what was given, so that the list does not grow with the text. */
static void drop_given(sae_text *text)
{
    size_t rest = text->ids.n - text->given;

    if (text->given == 0) return;
    if (rest > 0) {
        memmove(text->ids.ids, text->ids.ids + text->given, rest * sizeof *text->ids.ids);
        memmove(text->mask, text->mask + text->given, rest);
    }
    text->ids.n = rest;
    text->given = 0;
}

static sae_status mask_reserve(sae_text *text, size_t old, sae_error *err)
{
    unsigned char *mask;

    if (text->ids.capacity <= text->mask_capacity) return SAE_OK;
    mask = mem_grow(text->mask, old, text->ids.capacity, "a mask", err);
    if (!mask) return SAE_NOMEM;
    text->mask = mask;
    text->mask_capacity = text->ids.capacity;
    return SAE_OK;
}

/* Appends one document and a separator. One without tokens adds nothing. On failure the list is as before. */
static sae_status add_document(sae_text *text, const char *document, size_t bytes, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t start;

    drop_given(text);
    start = text->ids.n;
    SAE_TRY(tokenizer_encode(text->tok, document, bytes, true, &text->ids, err));
    if (text->ids.n > start) SAE_TRY(id_list_add(&text->ids, &text->options.separator, 1, err));
    SAE_TRY(mask_reserve(text, start, err));
    for (size_t i = start; i < text->ids.n; i++) text->mask[i] = !sae_tokenizer_is_special(text->tok, text->ids.ids[i]);
    if (text->ids.n > start) text->mask[text->ids.n - 1] = 0;
    text->epoch_tokens += (int64_t)(text->ids.n - start);
done:
    if (status != SAE_OK) text->ids.n = start;
    return status;
}

static void hash_document(sae_text *text, const char *document, size_t bytes)
{
    const uint64_t size = bytes;

    if (text->document++ < text->n_hashed) return;
    text->n_hashed = text->document;
    XXH3_64bits_update(text->hash, &size, sizeof size);
    XXH3_64bits_update(text->hash, document, bytes);
}

/* Behind the last document: ends, or begins again. */
static sae_status end_epoch(sae_text *text, sae_error *err)
{
    sae_status status = SAE_OK;

    text->period = text->epoch_tokens;
    if (!text->options.repeat) {
        text->ended = true;
        return SAE_OK;
    }
    if (text->period == 0)
        SAE_RAISE(err, SAE_FORMAT, "the files hold no text%s",
                  text->options.split == SAE_SPLIT_ALL ? "" : " that falls into this split");
    status = corpus_rewind(text->corpus, err);
    text->used_up = status == SAE_STATE;
    SAE_TRY(status);
    text->epoch_tokens = 0;
    text->document = 0;
done:
    return status;
}

/* Reads one document further, or ends an epoch. */
static sae_status read_more(sae_text *text, sae_error *err)
{
    const char *document = NULL;
    sae_status status = SAE_OK;
    size_t bytes = 0;

    if (text->failed)
        return SAE_FAIL(err, SAE_STATE, "reading the text failed before, at sequence %lld: open it again",
                        (long long)text->sequence);
    SAE_TRY(corpus_next(text->corpus, &document, &bytes, err));
    if (!document) SAE_TRY(end_epoch(text, err));
    if (!document) goto done;
    hash_document(text, document, bytes);
    if (in_split(text, document, bytes)) SAE_TRY(add_document(text, document, bytes, err));
done:
    text->failed = status != SAE_OK;
    return status;
}

/* ---- Sequences -------------------------------------------------------------------------------------------------------------- */

/* Of sequences that are there already. */
static int64_t next_fixed(sae_text *text, int64_t n_seq, int32_t *ids, uint8_t *mask)
{
    int64_t ctx = text->options.ctx, got = 0;

    for (; got < n_seq && (text->sequence < text->n_fixed || text->options.repeat); got++, text->sequence++) {
        int64_t from = text->sequence % text->n_fixed * ctx;
        memcpy(ids + got * ctx, text->fixed_ids + from, (size_t)ctx * sizeof *ids);
        memcpy(mask + got * ctx, text->fixed_mask + from, (size_t)ctx);
    }
    return got;
}

sae_status sae_text_next(sae_text *text, int64_t n_seq, int32_t *ids, uint8_t *mask, int64_t *n_got, sae_error *err)
{
    size_t body = (size_t)text->options.ctx - 1;
    sae_status status = SAE_OK;
    int64_t got = 0;

    if (text->fixed_ids) {
        *n_got = next_fixed(text, n_seq, ids, mask);
        return SAE_OK;
    }
    for (; got < n_seq; got++) {
        while (text->ids.n - text->given < body && !text->ended) SAE_TRY(read_more(text, err));
        if (text->ids.n - text->given < body) break;
        ids[0] = text->options.separator;
        mask[0] = 0;
        memcpy(ids + 1, text->ids.ids + text->given, body * sizeof *ids);
        memcpy(mask + 1, text->mask + text->given, body);
        text->given += body;
        text->sequence++;
        ids += body + 1;
        mask += body + 1;
    }
    *n_got = got;
done:
    return status;
}

static sae_status rewind_text(sae_text *text, sae_error *err)
{
    sae_status status = corpus_rewind(text->corpus, err);

    if (status != SAE_OK) return status;
    hash_options(text);
    text->ids.n = text->given = 0;
    text->epoch_tokens = text->document = text->n_hashed = text->sequence = 0;
    text->ended = false;
    return SAE_OK;
}

sae_status sae_text_seek(sae_text *text, int64_t sequence, sae_error *err)
{
    int64_t body = text->options.ctx - 1, skip;
    sae_status status = SAE_OK;

    if (sequence < 0 || sequence > INT64_MAX / body)
        SAE_RAISE(err, SAE_RANGE, "sequence number %lld cannot be gone to", (long long)sequence);
    if (text->fixed_ids && sequence > text->n_fixed && !text->options.repeat)
        SAE_RAISE(err, SAE_RANGE, "sequence number %lld lies behind the end, there are %lld", (long long)sequence,
                  (long long)text->n_fixed);
    if (text->fixed_ids) {
        text->sequence = sequence;
        goto done;
    }
    if (sequence < text->sequence) SAE_TRY(rewind_text(text, err));
    skip = (sequence - text->sequence) * body;
    for (;;) {
        int64_t ready = (int64_t)(text->ids.n - text->given), now = skip < ready ? skip : ready;
        text->given += (size_t)now;
        skip -= now;
        if (skip == 0) break;
        if (text->ended) {
            text->sequence = text->period / body;
            SAE_RAISE(err, SAE_RANGE, "sequence number %lld lies behind the end of the text, which holds %lld",
                      (long long)sequence, (long long)text->sequence);
        }
        SAE_TRY(read_more(text, err));
        /* All that was made has been skipped, so at the corpus' beginning whole periods can be left out. */
        if (text->period > 0 && text->document == 0) skip %= text->period;
    }
    text->sequence = sequence;
done:
    return status;
}

bool text_is_used_up(const sae_text *text) { return text->used_up; }
int64_t sae_text_tell(const sae_text *text) { return text->sequence; }
int64_t sae_text_ctx(const sae_text *text) { return text->options.ctx; }

/* Of the place alone, not of what was read on the way to it. */
double sae_text_passes(const sae_text *text)
{
    int64_t body = text->options.ctx - 1, period = text->fixed_ids ? text->n_fixed * body : text->period;
    int64_t given = text->sequence * body;

    return period > 0 && given > period ? (double)given / (double)period : 0;
}

uint64_t sae_text_hash(const sae_text *text) { return XXH3_64bits_digest(text->hash); }
