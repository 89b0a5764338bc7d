/*
 * reading.h - what a person reading the text knows of each token: how far it stands from where its sentence, its paragraph and
 * the context began, and whether it is (a piece of) a word that means something.
 *
 * Sequences are put together from their tokens' bytes first, so that a word or character cut into tokens is seen whole.
 */
#ifndef SAE_EVAL_READING_H
#define SAE_EVAL_READING_H

#include "base/base.h"

enum { SINCE_SENTENCE, SINCE_PARAGRAPH, SINCE_CONTEXT, READING_STARTS };

typedef enum token_word {
    TOKEN_NO_WORD,       /* no letter in it: digits, punctuation, space, special tokens */
    TOKEN_FUNCTION_WORD, /* of a closed class, by a list of English words: articles, pronouns, prepositions, .. */
    TOKEN_CONTENT_WORD,  /* any other word: in English text nouns, verbs, adjectives, adverbs. No tagger is at work */
} token_word;

typedef struct reading {
    int64_t n;                      /* tokens */
    uint8_t *word;                  /* [n] token_word of the first word with a letter in the token */
    int32_t *since[READING_STARTS]; /* [n] tokens since the one with which it began */
} reading;

/* ids [n_seq, ctx]. A paragraph begins behind an empty line, a special token and at the start of a sequence; a sentence
 * there too, and behind . ! ? or an ellipsis, any closing quotes and brackets, and space, unless a small letter follows.
 * (Abbreviations end sentences.) Caller frees with reading_free. */
sae_status reading_create(reading *out, const int32_t *ids, int64_t n_seq, int64_t ctx, const sae_tokenizer *tok,
                          sae_error *err);
void reading_free(reading *r);

/* `word` in UTF-8 and lower case; contractions count as what stands before the apostrophe. */
bool is_function_word(const char *word, size_t bytes);

#endif
