/*
 * corpus.c - documents from .jsonl and .txt files, plain or compressed, and standard input. A document of a .jsonl file is
 * one line's "text"; a .txt file is cut at blank lines, so that one long book still gives many documents.
 */
#include "text/corpus.h"
#include "io/io.h"

#include <string.h>

typedef enum file_kind { KIND_TXT, KIND_JSONL, KIND_GUESS } file_kind;

struct corpus {
    char **paths;
    int n_paths, next_path;
    stream *file; /* NULL between files */
    file_kind kind;
    bool stdin_read;
    json_t *line;   /* of a .jsonl file: the document is in it */
    char *document; /* of a .txt file */
    size_t n_document, capacity;
    int blank_lines; /* read since the document's last line */
};

/* ---- Opening -------------------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *text, size_t size, const char *end)
{
    size_t n = strlen(end);

    return size > n && memcmp(text + size - n, end, n) == 0;
}

static sae_status kind_of_path(const char *path, file_kind *kind, sae_error *err)
{
    size_t size = strlen(path);

    if (strcmp(path, "-") == 0) {
        *kind = KIND_GUESS;
        return SAE_OK;
    }
    if (ends_with(path, size, ".zst")) size -= 4;
    if (ends_with(path, size, ".gz")) size -= 3;
    if (ends_with(path, size, ".jsonl"))
        *kind = KIND_JSONL;
    else if (ends_with(path, size, ".txt"))
        *kind = KIND_TXT;
    else
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "%s: not a file of text by its name; expected .txt or .jsonl, each also with .zst or .gz, or - "
                        "for standard input",
                        path);
    if (!file_exists(path)) return SAE_FAIL(err, SAE_IO, "%s: no such file", path);
    return SAE_OK;
}

sae_status corpus_open(corpus **out, const char *const *paths, int n_paths, sae_error *err)
{
    sae_status status = SAE_OK;
    corpus *c = NULL;
    file_kind kind;
    int n_stdin = 0;

    if (n_paths < 1) SAE_RAISE(err, SAE_RANGE, "no file of text was given");
    c = mem_alloc(sizeof *c, "a corpus", err);
    if (!c) return SAE_NOMEM;
    c->paths = mem_alloc_array((size_t)n_paths, sizeof *c->paths, "the paths of a corpus", err);
    if (!c->paths) SAE_TRY(SAE_NOMEM);
    for (; c->n_paths < n_paths; c->n_paths++) {
        SAE_TRY(kind_of_path(paths[c->n_paths], &kind, err));
        if (kind == KIND_GUESS && n_stdin++) SAE_RAISE(err, SAE_RANGE, "standard input (-) can be given only once");
        c->paths[c->n_paths] = mem_strdup(paths[c->n_paths], err);
        if (!c->paths[c->n_paths]) SAE_TRY(SAE_NOMEM);
    }
    *out = c;
    c = NULL;
done:
    corpus_free(c);
    return status;
}

void corpus_free(corpus *c)
{
    if (!c) return;
    stream_close(c->file);
    json_decref(c->line);
    mem_free(c->document);
    for (int i = 0; i < c->n_paths; i++) mem_free(c->paths[i]);
    mem_free(c->paths);
    mem_free(c);
}

sae_status corpus_rewind(corpus *c, sae_error *err)
{
    if (c->stdin_read)
        return SAE_FAIL(err, SAE_STATE,
                        "standard input cannot be read a second time: save it to a .txt or .jsonl file and give that");
    stream_close(c->file);
    c->file = NULL;
    c->next_path = 0;
    return SAE_OK;
}

static sae_status open_next(corpus *c, sae_error *err)
{
    const char *path = c->paths[c->next_path];
    sae_status status = SAE_OK;

    SAE_TRY(kind_of_path(path, &c->kind, err));
    SAE_TRY(stream_open(&c->file, path, err));
    c->stdin_read |= c->kind == KIND_GUESS;
    c->next_path++;
    c->n_document = 0;
    c->blank_lines = 0;
done:
    return status;
}

/* The next line of the open file; closes it at its end (*line = NULL). */
static sae_status next_line(corpus *c, const char **line, size_t *bytes, sae_error *err)
{
    sae_status status = stream_line(c->file, line, bytes, err);

    if (status != SAE_OK || *line) return status;
    stream_close(c->file);
    c->file = NULL;
    return SAE_OK;
}

/* ---- .jsonl ------------------------------------------------------------------------------------------------------------- */

static bool is_blank(const char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!strchr(" \t\r\v\f", line[i]) || !line[i]) return false;
    return true;
}

/* The text of one line, in c->line; an empty one is no document. */
static sae_status parse_line(corpus *c, const char *line, size_t bytes, const char **text, size_t *n, sae_error *err)
{
    sae_status status = SAE_OK;
    const json_t *member;
    char name[600];

    snprintf(name, sizeof name, "%s, line %lld", stream_path(c->file), (long long)stream_line_number(c->file));
    json_decref(c->line);
    c->line = NULL;
    SAE_TRY(json_parse(&c->line, line, bytes, name, err));
    member = json_object_get(c->line, "text");
    if (!json_is_string(member))
        SAE_RAISE(err, SAE_FORMAT, "%s: expected an object with a string member \"text\"", name);
    *text = json_string_value(member);
    *n = json_string_length(member);
done:
    return status;
}

/* ---- .txt ----------------------------------------------------------------------------------------------------------------- */

static sae_status append(corpus *c, const char *bytes, size_t n, sae_error *err)
{
    size_t capacity = c->capacity ? c->capacity : 2 * CORPUS_DOCUMENT_MOST;
    char *document;

    if (n > c->capacity - c->n_document) {
        while (capacity - c->n_document < n) capacity *= 2;
        document = mem_grow(c->document, c->n_document, capacity, "a document", err);
        if (!document) return SAE_NOMEM;
        c->document = document;
        c->capacity = capacity;
    }
    memcpy(c->document + c->n_document, bytes, n);
    c->n_document += n;
    return SAE_OK;
}

/* Adds a line to the document; *whole tells that the document ends behind it. Blank lines are kept between lines of a
 * document and dropped between documents. */
static sae_status add_line(corpus *c, const char *line, size_t bytes, bool *whole, sae_error *err)
{
    sae_status status = SAE_OK;

    *whole = false;
    if (is_blank(line, bytes)) {
        if (c->n_document > 0) c->blank_lines++;
        *whole = c->n_document >= CORPUS_DOCUMENT_BYTES;
        return SAE_OK;
    }
    for (int i = c->n_document > 0 ? -1 : 0; i < c->blank_lines; i++) SAE_TRY(append(c, "\n", 1, err));
    c->blank_lines = 0;
    SAE_TRY(append(c, line, bytes, err));
    *whole = c->n_document >= CORPUS_DOCUMENT_MOST;
done:
    return status;
}

/* ---- Documents ------------------------------------------------------------------------------------------------------------ */

/* One line further; *text is set when a document is whole. */
static sae_status advance(corpus *c, const char **text, size_t *bytes, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *line = NULL;
    size_t n = 0;
    bool whole = false;

    SAE_TRY(next_line(c, &line, &n, err));
    if (!line) {
        whole = c->n_document > 0;
    } else {
        if (c->kind == KIND_GUESS && !is_blank(line, n)) c->kind = line[0] == '{' ? KIND_JSONL : KIND_TXT;
        if (c->kind == KIND_TXT)
            SAE_TRY(add_line(c, line, n, &whole, err));
        else if (!is_blank(line, n))
            SAE_TRY(parse_line(c, line, n, text, bytes, err));
    }
    if (whole) {
        *text = c->document;
        *bytes = c->n_document;
        c->n_document = 0;
        c->blank_lines = 0;
    }
done:
    return status;
}

sae_status corpus_next(corpus *c, const char **text, size_t *bytes, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *document = NULL;
    size_t n = 0;

    while (n == 0) {
        if (!c->file && c->next_path == c->n_paths) {
            document = NULL;
            break;
        }
        SAE_TRY(c->file ? advance(c, &document, &n, err) : open_next(c, err));
    }
    *text = document;
    *bytes = n;
done:
    return status;
}
