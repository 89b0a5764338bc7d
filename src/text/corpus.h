/* corpus.h - documents from files of text, one after the other. */
#ifndef SAE_TEXT_CORPUS_H
#define SAE_TEXT_CORPUS_H

#include "base/base.h"

/* A .txt file is cut where a blank line comes after at least this much, and at the end of the line that passes the
 * second size. */
enum { CORPUS_DOCUMENT_BYTES = 2048, CORPUS_DOCUMENT_MOST = 65536 };

typedef struct corpus corpus;

/* Checks the names and that the files are there. Caller frees with corpus_free. */
sae_status corpus_open(corpus **out, const char *const *paths, int n_paths, sae_error *err);
void corpus_free(corpus *c);
/* The next document, borrowed until the next call; *text = NULL at the end of the last file. Documents are never empty. */
sae_status corpus_next(corpus *c, const char **text, size_t *bytes, sae_error *err);
/* Begins again with the first file. STATE when something was read from standard input. */
sae_status corpus_rewind(corpus *c, sae_error *err);

/* text.c: the text came through standard input, all of it was read, and it should have begun again. */
bool text_is_used_up(const sae_text *text);

#endif
