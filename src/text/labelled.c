/*
 * labelled.c - reads labelled documents from .jsonl and .csv.
 */
#include "text/labelled.h"
#include "text/csv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef enum file_kind { NOT_OURS, KIND_JSONL, KIND_CSV } file_kind;

void labelled_free(labelled *l)
{
    for (int c = 0; c < l->n_classes; c++) mem_free(l->names[c]);
    mem_free(l->names);
    mem_free(l->path);
    mem_free(l->bytes);
    mem_free(l->start);
    mem_free(l->label);
    *l = (labelled){0};
}

static bool ends_with(const char *text, size_t size, const char *end)
{
    size_t n = strlen(end);

    return size > n && memcmp(text + size - n, end, n) == 0;
}

static file_kind kind_of(const char *path)
{
    size_t size = strlen(path);

    if (ends_with(path, size, ".zst")) size -= 4;
    if (ends_with(path, size, ".gz")) size -= 3;
    if (ends_with(path, size, ".jsonl")) return KIND_JSONL;
    return ends_with(path, size, ".csv") ? KIND_CSV : NOT_OURS;
}

/* ---- Adding documents ------------------------------------------------------------------------------------------------------- */

/* Where in a file a document stands, for messages. */
typedef struct place {
    const char *path;
    int64_t line;
} place;

static sae_status add_text(labelled *l, const char *text, size_t bytes, sae_error *err)
{
    size_t used = l->start[l->n + 1], room = l->room ? l->room : 1 << 16;
    char *larger;

    if (used + bytes > l->room) {
        while (room < used + bytes) room *= 2;
        larger = mem_grow(l->bytes, used, room, "labelled texts", err);
        if (!larger) return SAE_NOMEM;
        l->bytes = larger;
        l->room = room;
    }
    memcpy(l->bytes + used, text, bytes);
    l->start[l->n + 1] += bytes;
    return SAE_OK;
}

/* Room for one more document, whose text is empty so far. */
static sae_status begin_document(labelled *l, sae_error *err)
{
    if ((size_t)l->n + 2 > l->rooms) {
        size_t rooms = l->rooms ? 2 * l->rooms : 1024, old = l->rooms;
        size_t *start = mem_grow(l->start, old * sizeof *start, rooms * sizeof *start, "labelled documents", err);
        if (!start) return SAE_NOMEM;
        l->start = start;
        int32_t *label = mem_grow(l->label, old * sizeof *label, rooms * sizeof *label, "labels", err);
        if (!label) return SAE_NOMEM;
        l->label = label;
        l->rooms = rooms;
    }
    l->start[l->n + 1] = l->start[l->n];
    return SAE_OK;
}

/* The number of a class by its name, a new one when there is none. */
static sae_status class_of(labelled *l, const char *name, place at, int32_t *class, sae_error *err)
{
    for (*class = 0; *class < l->n_classes; ++*class)
        if (strcmp(l->names[*class], name) == 0) return SAE_OK;
    if (strlen(name) > LABELLED_LABEL_BYTES || !text_is_utf8(name, strlen(name)))
        return SAE_FAIL(err, SAE_FORMAT,
                        "%s, line %lld: the label is no UTF-8 text of at most %d bytes: is the right column named?",
                        at.path, (long long)at.line, LABELLED_LABEL_BYTES);
    if (l->n_classes == LABELLED_MOST_CLASSES)
        return SAE_FAIL(err, SAE_RANGE, "%s, line %lld: more than %d different labels: is the right column named?",
                        at.path, (long long)at.line, LABELLED_MOST_CLASSES);
    if (!l->names) l->names = mem_alloc_array(LABELLED_MOST_CLASSES, sizeof *l->names, "names of classes", err);
    if (!l->names) return SAE_NOMEM;
    l->names[*class] = mem_strdup(name, err);
    if (!l->names[*class]) return SAE_NOMEM;
    l->n_classes++;
    return SAE_OK;
}

/* The document whose text was added gets its label; one without text is left out. */
static sae_status end_document(labelled *l, const char *label, place at, sae_error *err)
{
    if (!*label) return SAE_FAIL(err, SAE_FORMAT, "%s, line %lld: the label is empty", at.path, (long long)at.line);
    if (l->start[l->n + 1] == l->start[l->n]) {
        l->n_empty++;
        return SAE_OK;
    }
    sae_status status = class_of(l, label, at, &l->label[l->n], err);
    if (status == SAE_OK) l->n++;
    return status;
}

/* ---- .jsonl ------------------------------------------------------------------------------------------------------------- */

/* A member by the name given, else by the first of the usual names that is there. */
static const json_t *member_of(const json_t *object, const char *name, const char *usual, const char *other)
{
    if (name) return json_object_get(object, name);
    return json_object_get(object, usual) ? json_object_get(object, usual) : json_object_get(object, other);
}

static sae_status label_text(const json_t *value, place at, char *out, size_t size, sae_error *err)
{
    if (json_is_string(value) && json_string_length(value) == strlen(json_string_value(value)))
        snprintf(out, size, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(out, size, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(out, size, "%.15g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(out, size, "%s", json_is_true(value) ? "true" : "false");
    else
        return SAE_FAIL(
            err, SAE_FORMAT,
            "%s, line %lld: expected a label (\"label\" or \"target\", or the member that is named): a text "
            "without NUL or a number",
            at.path, (long long)at.line);
    return SAE_OK;
}

static sae_status add_strings(labelled *l, const json_t *value, place at, sae_error *err)
{
    sae_status status = SAE_OK;

    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (!json_is_string(json_array_get(value, i))) goto no_text;
            SAE_TRY(add_strings(l, json_array_get(value, i), at, err));
        }
        return SAE_OK;
    }
    if (!json_is_string(value)) goto no_text;
    if (l->start[l->n + 1] > l->start[l->n]) SAE_TRY(add_text(l, "\n", 1, err));
    SAE_TRY(add_text(l, json_string_value(value), json_string_length(value), err));
done:
    return status;
no_text:
    return SAE_FAIL(err, SAE_FORMAT,
                    "%s, line %lld: expected a text (\"text\" or \"prompt\", or the members that are named)", at.path,
                    (long long)at.line);
}

static sae_status add_object(labelled *l, const json_t *object, const labelled_options *o, place at, sae_error *err)
{
    sae_status status = SAE_OK;
    const json_t *text = member_of(object, o->text, "text", "prompt");
    char label[LABELLED_LABEL_BYTES + 8];

    SAE_TRY(label_text(member_of(object, o->label, "label", "target"), at, label, sizeof label, err));
    SAE_TRY(begin_document(l, err));
    SAE_TRY(add_strings(l, json_is_array(text) ? NULL : text, at, err));
    if (o->more) SAE_TRY(add_strings(l, json_object_get(object, o->more), at, err));
    SAE_TRY(end_document(l, label, at, err));
done:
    return status;
}

static bool is_blank(const char *line) { return line[strspn(line, " \t\r\v\f")] == '\0'; }

static sae_status read_jsonl(labelled *l, stream *file, const labelled_options *o, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *object = NULL;
    const char *line;
    size_t bytes;
    char name[600];

    for (;;) {
        SAE_TRY(stream_line(file, &line, &bytes, err));
        if (!line) break;
        if (is_blank(line) && strlen(line) == bytes) continue;
        place at = {stream_path(file), stream_line_number(file)};
        snprintf(name, sizeof name, "%s, line %lld", at.path, (long long)at.line);
        SAE_TRY(json_parse(&object, line, bytes, name, err));
        SAE_TRY(add_object(l, object, o, at, err));
        json_decref(object);
        object = NULL;
    }
done:
    json_decref(object);
    return status;
}

/* ---- .csv --------------------------------------------------------------------------------------------------------------- */

static sae_status find_column(const csv_record *header, const char *name, const char *usual, const char *other,
                              const char *path, int *column, sae_error *err)
{
    const char *const wanted[] = {name ? name : usual, name ? name : other};

    for (int w = 0; w < 2; w++) {
        int found = 0;
        for (int i = 0; i < header->n; i++) {
            if (strcmp(header->bytes + header->start[i], wanted[w]) != 0) continue;
            *column = i;
            found++;
        }
        if (found == 1) return SAE_OK;
        if (found > 1)
            return SAE_FAIL(err, SAE_FORMAT, "%s, line %lld: the header names %d columns \"%s\"", path,
                            (long long)header->line, found, wanted[w]);
    }
    return SAE_FAIL(err, SAE_FORMAT, "%s, line %lld: the header has no column \"%s\"%s%s%s: name the one that is meant",
                    path, (long long)header->line, wanted[0], name ? "" : " and no \"", name ? "" : other,
                    name ? "" : "\"");
}

static sae_status read_csv(labelled *l, stream *file, const labelled_options *o, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *path = stream_path(file);
    csv_record r = {0};
    int text = 0, label = 0, columns;

    if (o->more) SAE_RAISE(err, SAE_UNSUPPORTED, "%s: text is added from a second member of .jsonl only", path);
    SAE_TRY(csv_next(file, &r, err));
    if (r.n == 0) SAE_RAISE(err, SAE_FORMAT, "%s: empty; expected a header line and records", path);
    columns = r.n;
    SAE_TRY(find_column(&r, o->text, "text", "prompt", path, &text, err));
    SAE_TRY(find_column(&r, o->label, "label", "target", path, &label, err));
    for (;;) {
        SAE_TRY(csv_next(file, &r, err));
        if (r.n == 0) break;
        place at = {path, r.line};
        if (r.n != columns)
            SAE_RAISE(err, SAE_FORMAT, "%s, line %lld: %d fields, the header has %d", path, (long long)r.line, r.n,
                      columns);
        if (strlen(r.bytes + r.start[label]) != csv_field_bytes(&r, label))
            SAE_RAISE(err, SAE_FORMAT, "%s, line %lld: the label holds a NUL", path, (long long)r.line);
        SAE_TRY(begin_document(l, err));
        SAE_TRY(add_text(l, r.bytes + r.start[text], csv_field_bytes(&r, text), err));
        SAE_TRY(end_document(l, r.bytes + r.start[label], at, err));
    }
done:
    csv_record_free(&r);
    return status;
}

/* ---- The whole file ----------------------------------------------------------------------------------------------------- */

typedef struct class_name {
    char *name;
    int32_t was;
} class_name;

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const class_name *)a)->name, ((const class_name *)b)->name);
}

static void sort_classes(labelled *l)
{
    class_name order[LABELLED_MOST_CLASSES];
    int32_t now[LABELLED_MOST_CLASSES];

    for (int c = 0; c < l->n_classes; c++) order[c] = (class_name){l->names[c], c};
    qsort(order, (size_t)l->n_classes, sizeof *order, compare_names);
    for (int c = 0; c < l->n_classes; c++) {
        l->names[c] = order[c].name;
        now[order[c].was] = c;
    }
    for (int64_t i = 0; i < l->n; i++) l->label[i] = now[l->label[i]];
}

static void hash_all(labelled *l)
{
    uint64_t hash = XXH3_64bits(l->bytes, l->start[l->n]);

    hash = XXH3_64bits_withSeed(l->start, (size_t)(l->n + 1) * sizeof *l->start, hash);
    hash = XXH3_64bits_withSeed(l->label, (size_t)l->n * sizeof *l->label, hash);
    for (int c = 0; c < l->n_classes; c++) hash = XXH3_64bits_withSeed(l->names[c], strlen(l->names[c]) + 1, hash);
    l->hash = hash;
}

sae_status labelled_read(labelled *out, const char *path, const labelled_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    labelled l = {0};
    stream *file = NULL;
    const labelled_options none = {0}, *o = options ? options : &none;
    file_kind kind = kind_of(path);

    if (kind == NOT_OURS)
        SAE_RAISE(err, SAE_UNSUPPORTED,
                  "%s: no labelled documents by its name; expected .jsonl or .csv, each also with .zst or .gz", path);
    l.path = mem_strdup(path, err);
    if (!l.path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(stream_open(&file, path, err));
    SAE_TRY(kind == KIND_JSONL ? read_jsonl(&l, file, o, err) : read_csv(&l, file, o, err));
    if (l.n_classes < 2)
        SAE_RAISE(err, SAE_RANGE, "%s: %lld documents of %d class%s, two classes are needed to tell apart", path,
                  (long long)l.n, l.n_classes, l.n_classes == 1 ? "" : "es");
    sort_classes(&l);
    hash_all(&l);
    *out = l;
    l = (labelled){0};
done:
    stream_close(file);
    labelled_free(&l);
    return status;
}

/* ---- Folders ------------------------------------------------------------------------------------------------------------ */

void labelled_paths_free(char **paths, int n)
{
    for (int i = 0; paths && i < n; i++) mem_free(paths[i]);
    mem_free(paths);
}

sae_status labelled_paths(const char *path, char ***paths, int *n, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, **found = NULL;
    int n_names = 0, n_found = 0;
    bool folder = file_is_folder(path);

    if (folder) SAE_TRY(folder_list(path, &names, &n_names, err));
    found = mem_alloc_array((size_t)n_names + 1, sizeof *found, "paths of labelled documents", err);
    if (!found) SAE_TRY(SAE_NOMEM);
    for (int i = 0; folder && i < n_names; i++) {
        if (names[i][0] == '.' || kind_of(names[i]) == NOT_OURS) continue;
        found[n_found] = path_join(path, names[i], err);
        if (!found[n_found]) SAE_TRY(SAE_NOMEM);
        n_found++;
    }
    if (folder && n_found == 0)
        SAE_RAISE(err, SAE_RANGE, "%s: no .jsonl or .csv file (also .zst, .gz) is in this folder", path);
    if (!folder) {
        found[0] = mem_strdup(path, err);
        if (!found[0]) SAE_TRY(SAE_NOMEM);
        n_found = 1;
    }
    *paths = found;
    *n = n_found;
    found = NULL;
done:
    labelled_paths_free(found, n_found);
    folder_list_free(names, n_names);
    return status;
}
