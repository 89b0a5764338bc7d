/* json.c - typed access to jansson values, with errors that name the file and the member. */
#include "base/base.h"

#include <math.h>
#include <string.h>

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
    if (!value)
        return SAE_FAIL(err, SAE_FORMAT, "%s: not valid JSON at line %d column %d: %s", name, error.line, error.column,
                        error.text);
    *out = value;
    return SAE_OK;
}

json_t *json_number_or_null(double value) { return isfinite(value) ? json_real(value) : json_null(); }

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

sae_status json_get_string(const json_t *object, const char *key, const char *otherwise, const char **out,
                           const char *name, sae_error *err)
{
    const json_t *value = member(object, key);

    if (value && !json_is_string(value)) return wrong_type(name, key, "a string", err);
    *out = value ? json_string_value(value) : otherwise;
    return SAE_OK;
}
