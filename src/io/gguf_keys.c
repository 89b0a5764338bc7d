/* gguf_keys.c - typed access to the metadata of a GGUF file, with errors that name the key. */
#include "io/gguf.h"

#include <stdio.h>

static const char *const type_names[GGUF_N_VALUES] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                      "bool", "string", "array", "u64", "i64", "f64"};

static sae_status wrong_type(const gguf *g, const gguf_value *v, const char *expected, sae_error *err)
{
    return SAE_FAIL(err, SAE_FORMAT, "%s: key '%s' has type %s, expected %s", g->map.path, v->key, type_names[v->type],
                    expected);
}

/* False when the type is no integer (or bool), or the value lies beyond int64_t. */
static bool as_int(uint32_t type, const unsigned char *p, int64_t *out)
{
    switch (type) {
    case GGUF_U8: *out = p[0]; return true;
    case GGUF_BOOL: *out = p[0] != 0; return true;
    case GGUF_I8: *out = (int8_t)p[0]; return true;
    case GGUF_U16: *out = load_u16(p); return true;
    case GGUF_I16: *out = (int16_t)load_u16(p); return true;
    case GGUF_U32: *out = load_u32(p); return true;
    case GGUF_I32: *out = (int32_t)load_u32(p); return true;
    case GGUF_I64: *out = (int64_t)load_u64(p); return true;
    case GGUF_U64: *out = (int64_t)load_u64(p); return *out >= 0;
    default: return false;
    }
}

static bool as_double(uint32_t type, const unsigned char *p, double *out)
{
    float single;

    if (type == GGUF_F64) {
        memcpy(out, p, sizeof *out);
        return true;
    }
    if (type != GGUF_F32) return false;
    memcpy(&single, p, sizeof single);
    *out = (double)single;
    return true;
}

bool gguf_has(const gguf *g, const char *key) { return gguf_value_find(g, key) != NULL; }

sae_status gguf_int(const gguf *g, const char *key, int64_t *out, sae_error *err)
{
    const gguf_value *v = gguf_value_find(g, key);

    if (!v) return SAE_FAIL(err, SAE_FORMAT, "%s: metadata key '%s' is missing", g->map.path, key);
    if (!as_int(v->type, v->data, out)) return wrong_type(g, v, "an integer below 2^63", err);
    return SAE_OK;
}

sae_status gguf_int_or(const gguf *g, const char *key, int64_t otherwise, int64_t *out, sae_error *err)
{
    if (gguf_has(g, key)) return gguf_int(g, key, out, err);
    *out = otherwise;
    return SAE_OK;
}

sae_status gguf_float_or(const gguf *g, const char *key, double otherwise, double *out, sae_error *err)
{
    const gguf_value *v = gguf_value_find(g, key);

    if (!v)
        *out = otherwise;
    else if (!as_double(v->type, v->data, out))
        return wrong_type(g, v, "f32 or f64", err);
    return SAE_OK;
}

sae_status gguf_string_or_null(const gguf *g, const char *key, const char **text, size_t *bytes, sae_error *err)
{
    const gguf_value *v = gguf_value_find(g, key);

    if (v && v->type != GGUF_STRING) return wrong_type(g, v, "a string", err);
    *text = v ? (const char *)v->data + 8 : NULL;
    *bytes = v ? (size_t)load_u64(v->data) : 0;
    return SAE_OK;
}

sae_status gguf_array_count(const gguf *g, const char *key, int64_t *n, sae_error *err)
{
    const gguf_value *v = gguf_value_find(g, key);

    if (v && v->type != GGUF_ARRAY) return wrong_type(g, v, "an array", err);
    *n = v ? (int64_t)v->count : 0;
    return SAE_OK;
}

static sae_status array_element(const gguf *g, const char *key, int64_t i, const gguf_value **out, sae_error *err)
{
    const gguf_value *v = gguf_value_find(g, key);

    if (!v) return SAE_FAIL(err, SAE_FORMAT, "%s: metadata key '%s' is missing", g->map.path, key);
    if (v->type != GGUF_ARRAY) return wrong_type(g, v, "an array", err);
    if (i < 0 || (uint64_t)i >= v->count)
        return SAE_FAIL(err, SAE_FORMAT, "%s: key '%s' has %llu elements, element %lld was asked for", g->map.path, key,
                        (unsigned long long)v->count, (long long)i);
    *out = v;
    return SAE_OK;
}

sae_status gguf_array_string(const gguf *g, const char *key, int64_t i, const char **text, size_t *bytes,
                             sae_error *err)
{
    const gguf_value *v = NULL;
    sae_status status = array_element(g, key, i, &v, err);

    if (status != SAE_OK) return status;
    if (v->element != GGUF_STRING)
        return SAE_FAIL(err, SAE_FORMAT, "%s: key '%s' is an array of %s, expected of strings", g->map.path, key,
                        type_names[v->element]);
    *text = (const char *)v->strings[i] + 8;
    *bytes = (size_t)load_u64(v->strings[i]);
    return SAE_OK;
}

sae_status gguf_array_int(const gguf *g, const char *key, int64_t i, int64_t *out, sae_error *err)
{
    const gguf_value *v = NULL;
    sae_status status = array_element(g, key, i, &v, err);

    if (status != SAE_OK) return status;
    if (!as_int(v->element, v->data + (size_t)i * (size_t)gguf_value_bytes[v->element], out))
        return SAE_FAIL(err, SAE_FORMAT, "%s: key '%s' is an array of %s, expected of integers below 2^63", g->map.path,
                        key, type_names[v->element]);
    return SAE_OK;
}

static void value_text(const gguf_value *v, char *out, size_t room)
{
    int64_t whole = 0;
    double real = 0;

    if (v->type == GGUF_STRING) {
        uint64_t bytes = load_u64(v->data);
        int shown = bytes < 60 ? (int)bytes : 60;
        snprintf(out, room, "\"%.*s\"%s", shown, (const char *)v->data + 8, bytes > 60 ? "..." : "");
        for (char *c = out; *c; c++)
            if ((unsigned char)*c < 32 || *c == 127) *c = ' '; /* a template's newlines; an escape sequence */
    } else if (v->type == GGUF_ARRAY) {
        snprintf(out, room, "%llu x %s", (unsigned long long)v->count, type_names[v->element]);
    } else if (v->type == GGUF_BOOL) {
        snprintf(out, room, "%s", v->data[0] ? "true" : "false");
    } else if (as_double(v->type, v->data, &real)) {
        snprintf(out, room, "%.9g", real);
    } else if (as_int(v->type, v->data, &whole)) {
        snprintf(out, room, "%lld", (long long)whole);
    } else {
        snprintf(out, room, "%llu", (unsigned long long)load_u64(v->data));
    }
}

void gguf_each_key(const gguf *g, void (*fn)(void *user, const char *key, const char *type, const char *value),
                   void *user)
{
    char text[128];

    for (int64_t i = 0; i < g->n_values; i++) {
        value_text(&g->values[i], text, sizeof text);
        fn(user, g->values[i].key, type_names[g->values[i].type], text);
    }
}
