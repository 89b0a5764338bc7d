/* json.c - typed access to jansson values, with errors that name the file and the member. */
#include "base/base.h"

#include <math.h>
#include <string.h>
#include <utf8proc.h>

/* jansson recurses once per level: a file of a million '[' would exhaust the stack before its own limit (2048) does
 * harm on small thread stacks. Brackets inside strings are skipped. */
static bool deeper_than(const char *text, size_t bytes, int limit)
{
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > limit) return true;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return false;
}

sae_status json_parse(json_t **out, const char *text, size_t bytes, const char *name, sae_error *err)
{
    json_error_t error;
    json_t *value;

    if (deeper_than(text, bytes, 64)) return SAE_FAIL(err, SAE_FORMAT, "%s: JSON nested deeper than 64 levels", name);
    value = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!value && !error.text[0]) /* jansson has a text for every other failure */
        return SAE_FAIL(err, SAE_NOMEM, "%s: no memory to read its JSON", name);
    if (!value)
        return SAE_FAIL(err, SAE_FORMAT, "%s: not valid JSON at line %d column %d: %s", name, error.line, error.column,
                        error.text);
    *out = value;
    return SAE_OK;
}

/* ---- Building ---------------------------------------------------------------------------------------------------------- */

void json_put(json_t **object, const char *key, json_t *value)
{
    if (*object && json_object_set_new(*object, key, value) == 0) return; /* it took the value, also when it failed */
    if (!*object) json_decref(value);
    json_decref(*object);
    *object = NULL;
}

void json_add(json_t **array, json_t *value)
{
    if (*array && json_array_append_new(*array, value) == 0) return;
    if (!*array) json_decref(value);
    json_decref(*array);
    *array = NULL;
}

json_t *json_whole_copy(const json_t *value)
{
    json_t *copy = json_deep_copy((json_t *)(uintptr_t)value); /* which changes nothing in it */

    if (!value || json_equal(copy, value)) return copy;
    json_decref(copy);
    return NULL;
}

typedef struct growing {
    char *text;
    size_t used, room;
    bool failed; /* stays: jansson does not look at what writing a key gave */
} growing;

static int text_grow(const char *part, size_t bytes, void *user)
{
    growing *g = user;
    size_t room = g->room;

    while (room < g->used + bytes + 1) room = room ? 2 * room : 1024;
    char *grown = g->failed ? NULL : g->text;
    if (grown && room > g->room) grown = mem_grow(g->text, g->used, room, "JSON", NULL);
    if (!grown && !g->failed && !g->text) grown = mem_alloc(room, "JSON", NULL);
    g->failed = g->failed || !grown;
    if (g->failed) return -1;
    g->text = grown;
    g->room = room;
    memcpy(grown + g->used, part, bytes);
    g->used += bytes;
    return 0;
}

char *json_to_text(const json_t *value, size_t flags, sae_error *err)
{
    growing g = {0};

    if (!value || json_dump_callback(value, text_grow, &g, flags) != 0 || g.failed || text_grow("", 1, &g) != 0) {
        mem_free(g.text);
        SAE_FAIL(err, SAE_NOMEM, "no memory for a value as JSON");
        return NULL;
    }
    return g.text;
}

bool text_is_utf8(const char *text, size_t bytes)
{
    utf8proc_int32_t code;

    for (size_t i = 0; i < bytes;) {
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(bytes - i), &code);
        if (n <= 0) return false;
        i += (size_t)n;
    }
    return true;
}

json_t *json_text(const char *text)
{
    static const char replacement[] = "\xEF\xBF\xBD";
    size_t bytes = strlen(text), used = 0;
    json_t *value = NULL;
    char *clean = mem_alloc_array(bytes + 1, 3, "a text", NULL); /* each byte could become three */

    for (size_t i = 0; clean && i < bytes;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(bytes - i), &code);
        memcpy(clean + used, n > 0 ? text + i : replacement, n > 0 ? (size_t)n : 3);
        used += n > 0 ? (size_t)n : 3;
        i += n > 0 ? (size_t)n : 1;
    }
    if (clean) value = json_stringn(clean, used);
    mem_free(clean);
    return value;
}

json_t *json_number_or_null(double value) { return isfinite(value) ? json_real(value) : json_null(); }

/* ---- Reading ----------------------------------------------------------------------------------------------------------- */

/* NULL when absent or null. */
static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}

static sae_status wrong_type(const char *name, const char *key, const char *expected, sae_error *err)
{
    return SAE_FAIL(err, SAE_FORMAT, "%s: \"%s\" must be %s", name, key, expected);
}

sae_status json_get_int(const json_t *object, const char *key, int64_t otherwise, int64_t *out, const char *name,
                        sae_error *err)
{
    const json_t *value = member(object, key);

    if (value && json_is_real(value)) { /* 64.0 counts as an integer: some writers know only floats */
        double real = json_real_value(value);
        if (real != floor(real) || fabs(real) > 9e15) return wrong_type(name, key, "a whole number", err);
        *out = (int64_t)real;
        return SAE_OK;
    }
    if (value && !json_is_integer(value)) return wrong_type(name, key, "a whole number", err);
    *out = value ? (int64_t)json_integer_value(value) : otherwise;
    return SAE_OK;
}

sae_status json_get_double(const json_t *object, const char *key, double otherwise, double *out, const char *name,
                           sae_error *err)
{
    const json_t *value = member(object, key);

    if (value && !json_is_number(value)) return wrong_type(name, key, "a number", err);
    *out = value ? json_number_value(value) : otherwise;
    return SAE_OK;
}

sae_status json_get_bool(const json_t *object, const char *key, bool otherwise, bool *out, const char *name,
                         sae_error *err)
{
    const json_t *value = member(object, key);

    if (value && !json_is_boolean(value)) return wrong_type(name, key, "true or false", err);
    *out = value ? json_is_true(value) : otherwise;
    return SAE_OK;
}

const char *json_first_difference(const json_t *ours, const json_t *theirs)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)ours, key, value)
    {
        const json_t *other = json_object_get(theirs, key);
        bool equal = json_is_number(value) && json_is_number(other)
                         ? json_number_value(value) == json_number_value(other)
                         : json_equal(value, other);
        if (!equal) return key;
    }
    return NULL;
}

const char *json_any_difference(const json_t *ours, const json_t *theirs)
{
    const char *key = json_first_difference(ours, theirs);

    return key ? key : json_first_difference(theirs, ours);
}

sae_status json_get_string(const json_t *object, const char *key, const char *otherwise, const char **out,
                           const char *name, sae_error *err)
{
    const json_t *value = member(object, key);

    if (value && !json_is_string(value)) return wrong_type(name, key, "a string", err);
    *out = value ? json_string_value(value) : otherwise;
    return SAE_OK;
}
