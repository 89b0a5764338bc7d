/*
 * tokenizer.h - the parts of a byte-level BPE tokenizer, in the order in which text meets them:
 *
 *   added.c        tokens that are cut out of the text before anything else (`<|endoftext|>`)
 *   pretokenize.c  the rest is cut into words by regular expressions
 *   bpe.c          a word's bytes are merged, best-ranked pair first, into tokens
 *   vocab.c        ids and bytes of tokens; filled from a file by load_gguf.c or load_json.c
 *   tokenizer.c    all of that together: open, encode, decode
 */
#ifndef SAE_TEXT_TOKENIZER_H
#define SAE_TEXT_TOKENIZER_H

#include "base/base.h"

/* A growing list of ids or bytes; released with id_list_free. */
typedef struct id_list {
    int32_t *ids;
    size_t n, capacity;
} id_list;
sae_status id_list_reserve(id_list *list, size_t more, sae_error *err); /* room for `more` further ids */
sae_status id_list_add(id_list *list, const int32_t *ids, size_t n, sae_error *err);
void id_list_free(id_list *list);

/* ---- Vocabulary (vocab.c) ------------------------------------------------------------------------------------------- */

typedef enum token_kind {
    TOKEN_ABSENT,  /* no token has this id */
    TOKEN_NORMAL,  /* made by merging */
    TOKEN_SPECIAL, /* control: never made from plain text; recognised in the text when asked for */
    TOKEN_ADDED,   /* an added word: always recognised in the text */
    TOKEN_UNUSED,  /* a placeholder: has an id and a text, is never made */
} token_kind;

typedef struct token {
    size_t start;  /* of its bytes in vocab.bytes */
    uint32_t size; /* in bytes */
    uint8_t kind;
} token;

/* Names: byte-level BPE files write a token's bytes as printable characters (GPT-2's table: a space is U+0120). The names
 * are needed only while merges are read; they are borrowed from the file. */
enum { VOCAB_CODES = 0x144 };
typedef struct vocab {
    int32_t n; /* ids are 0 .. n - 1 */
    token *tokens;
    char *bytes;
    size_t n_bytes, capacity;
    const char **names;
    uint32_t *name_sizes;
    size_t longest_name;
    int32_t *by_name; /* open addressing, -1: empty */
    size_t mask;
    uint16_t byte_of_code[VOCAB_CODES]; /* the byte that a character of a name stands for, + 1; 0: none */
    int32_t bos, eos, unknown;          /* -1: none */
} vocab;

sae_status vocab_create(vocab *v, int64_t n, const char *file, sae_error *err);
void vocab_free(vocab *v);
/* Adds the token `id`, whose name must live until vocab_forget_names. A SPECIAL or ADDED token's name is its very bytes. */
sae_status vocab_add(vocab *v, int64_t id, const char *name, size_t size, token_kind kind, const char *file,
                     sae_error *err);
int32_t vocab_find(const vocab *v, const char *name, size_t size); /* by name; -1 when there is none */
void vocab_forget_names(vocab *v);
/* The name of a single byte; writes at most 2 bytes, returns how many. */
size_t vocab_byte_name(unsigned char byte, char name[2]);

/* ---- Merging (bpe.c) ------------------------------------------------------------------------------------------------ */

typedef struct bpe_merge {
    uint64_t pair; /* left id << 32 | right id; all ones: an empty place */
    uint32_t rank; /* smaller is merged first */
    int32_t id;    /* of the result */
} bpe_merge;

/* A word of the cache and its ids. Direct-mapped: a newer word takes the place. One cache line. */
enum { BPE_CACHE_WORD = 30, BPE_CACHE_IDS = 8, BPE_CACHE_SLOTS = 1 << 15 };
typedef struct bpe_cached {
    uint8_t size, n;
    char word[BPE_CACHE_WORD];
    int32_t ids[BPE_CACHE_IDS];
} bpe_cached;

typedef struct bpe_symbol {
    int32_t id, previous, next; /* neighbours in the word, -1: none; id -1: merged away */
} bpe_symbol;

typedef struct bpe {
    int32_t byte_id[256]; /* -1: the vocabulary lacks this byte */
    int32_t unknown;      /* stands for a byte that is lacking; -1: such bytes are left out */
    bpe_merge *merges;
    size_t n_merges, mask;
    char *joined; /* scratch while merges are added */
    bpe_cached *cache;
    bpe_symbol *symbols; /* scratch for the longest word so far */
    uint64_t *heap;
    size_t word_capacity;
    uint64_t work; /* heap operations so far: lets a test bound the work without a clock */
} bpe;

/* Words longer than this are refused: merging takes 28 bytes of memory a byte. */
#define BPE_MAX_WORD ((size_t)16 << 20)

sae_status bpe_create(bpe *b, const vocab *v, size_t n_merges, sae_error *err);
void bpe_free(bpe *b);
/* Rank `rank` goes to the merge of two tokens, given by name. */
sae_status bpe_add_merge(bpe *b, const vocab *v, size_t rank, const char *left, size_t left_size, const char *right,
                         size_t right_size, const char *file, sae_error *err);
/* "left right" as one string. */
sae_status bpe_add_merge_text(bpe *b, const vocab *v, size_t rank, const char *text, size_t size, const char *file,
                              sae_error *err);
/* Appends the tokens of one word. */
sae_status bpe_encode(bpe *b, const char *word, size_t size, id_list *out, sae_error *err);

/* ---- Words (pretokenize.c) -------------------------------------------------------------------------------------------- */

enum { PRETOKENIZER_MAX_STEPS = 8 };

/* Each step cuts every piece that the step before left into its matches and what lies between them. */
typedef struct pretokenizer {
    const char *name; /* static storage */
    int n_steps;
    void *steps[PRETOKENIZER_MAX_STEPS]; /* pcre2_code */
    void *match;                         /* pcre2_match_data */
} pretokenizer;

typedef sae_status (*piece_fn)(void *user, const char *piece, size_t size, sae_error *err);

/* By the name that GGUF files use. */
sae_status pretokenizer_named(pretokenizer *p, const char *name, size_t size, const char *file, sae_error *err);
/* From the "pre_tokenizer" member of a tokenizer.json. */
sae_status pretokenizer_from_json(pretokenizer *p, const json_t *config, const char *file, sae_error *err);
void pretokenizer_free(pretokenizer *p);
/* Calls fn for each word of `text`, which must be valid UTF-8; the words joined are the text. */
sae_status pretokenizer_split(const pretokenizer *p, const char *text, size_t size, piece_fn fn, void *user,
                              sae_error *err);

/* The size of the longest start of `text` that is all valid UTF-8, or holds no valid character at all: *valid tells. */
size_t utf8_run(const char *text, size_t size, bool *valid);

/* ---- Added tokens (added.c) ------------------------------------------------------------------------------------------- */

typedef struct added_token {
    const char *text; /* borrowed from the vocabulary's bytes once added_set_sort has run */
    size_t size;
    int32_t id;
    bool special, lstrip, rstrip, single_word;
} added_token;

/* Sorted by text, so that all tokens that begin like the text at hand are neighbours. */
typedef struct added_set {
    added_token *tokens;
    size_t n, capacity;
    size_t first[257]; /* tokens that begin with byte b are first[b] .. first[b + 1] - 1 */
} added_set;

sae_status added_set_add(added_set *set, added_token added, sae_error *err);
void added_set_sort(added_set *set, const vocab *v);
void added_set_free(added_set *set);

typedef struct added_match {
    size_t start, end; /* white space taken along by lstrip and rstrip included */
    int32_t id;
} added_match;
/* The next match at or after `from`: the leftmost, of those the longest. Special tokens only when `special`. */
bool added_set_find(const added_set *set, const char *text, size_t size, size_t from, bool special, added_match *match);

/* ---- The whole (tokenizer.c, load_gguf.c, load_json.c) ------------------------------------------------------------------ */

struct sae_tokenizer {
    vocab vocab;
    bpe *bpe; /* its own block: encoding with a const tokenizer fills the cache */
    pretokenizer pre;
    added_set raw, normalized; /* found before and after normalisation */
    bool nfc;
    int32_t separator;
};

/* Each fills a zeroed tokenizer: vocabulary with its names, merges, pre-tokenizer, added tokens. */
sae_status tokenizer_load_gguf(sae_tokenizer *tok, const char *path, sae_error *err);
sae_status tokenizer_load_json(sae_tokenizer *tok, const char *path, sae_error *err); /* tokenizer.json */
sae_status tokenizer_load_gpt2(sae_tokenizer *tok, const char *vocab_path, const char *merges_path, sae_error *err);

/* What all loaders end with: the separator is found, the sets are sorted, the names (borrowed from the file) are dropped. */
void tokenizer_finish(sae_tokenizer *tok);

/* Encodes and appends to `out`: see sae_tokenizer_encode. */
sae_status tokenizer_encode(const sae_tokenizer *tok, const char *text, size_t bytes, bool special, id_list *out,
                            sae_error *err);

#endif
