/*
 * pretokenize.c - cuts text into words by regular expressions, as the tokenizer was trained on. Every step keeps all of
 * the text: what a pattern does not match becomes pieces of its own, so the words joined are the text.
 */
#include "text/tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>
#include <utf8proc.h>

/* White space as Unicode defines it. PCRE2's own \s also counts U+180E, which stopped being a space in Unicode 6.3. */
#define SPACE "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

/* GPT-2's pattern: https://github.com/openai/gpt-2/blob/master/src/encoder.py */
#define GPT2                                                                                                           \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|"                                         \
    "[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"
#define DIGIT "\\p{N}"

/* What GGUF files call the ways of cutting. The names of a row cut alike; the first is the one shown. */
static const struct {
    const char *names[6];
    const char *patterns[PRETOKENIZER_MAX_STEPS];
} known[] = {
    {{"gpt-2", "phi-2", "mpt", "olmo"}, {GPT2}},
    {{"smollm", "starcoder", "refact", "command-r", "codeshell"}, {DIGIT, GPT2}},
    {{"default"}, {"[\\p{P}$+<=>^~|]+", GPT2, DIGIT "+", "[0-9][0-9][0-9]"}},
};

/* ---- Building -------------------------------------------------------------------------------------------------------------- */

static sae_status add_step(pretokenizer *p, const char *pattern, size_t size, uint32_t options, const char *file,
                           sae_error *err)
{
    int show = size < 100 ? (int)size : 100, code;
    PCRE2_SIZE where;
    pcre2_code *step;

    if (p->n_steps == PRETOKENIZER_MAX_STEPS)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: a pre-tokenizer of more than %d steps", file,
                        PRETOKENIZER_MAX_STEPS);
    step = pcre2_compile((PCRE2_SPTR)pattern, size, PCRE2_UTF | options, &code, &where, NULL);
    if (!step) {
        char reason[120];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: the pattern \"%.*s\" cannot be used: %s at offset %zu", file, show,
                        pattern, reason, (size_t)where);
    }
    p->steps[p->n_steps++] = step;
    pcre2_jit_compile(step, PCRE2_JIT_COMPLETE); /* where there is no JIT, pcre2_match interprets */
    /* A match is all that is read of match data: one pair serves every pattern. */
    if (!p->match) p->match = pcre2_match_data_create(1, NULL);
    return p->match ? SAE_OK : SAE_FAIL(err, SAE_NOMEM, "no memory for pattern matching");
}

sae_status pretokenizer_named(pretokenizer *p, const char *name, size_t size, const char *file, sae_error *err)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        for (const char *const *alias = known[i].names; *alias; alias++) {
            sae_status status = SAE_OK;
            if (strlen(*alias) != size || memcmp(*alias, name, size) != 0) continue;
            p->name = *alias;
            for (const char *const *pattern = known[i].patterns; *pattern && status == SAE_OK; pattern++)
                status = add_step(p, *pattern, strlen(*pattern), PCRE2_UCP, file, err);
            return status;
        }
    return SAE_FAIL(err, SAE_UNSUPPORTED,
                    "%s: pre-tokenizer \"%.*s\" is not known; known are gpt-2, smollm, default and their like", file,
                    size < 60 ? (int)size : 60, name);
}

void pretokenizer_free(pretokenizer *p)
{
    for (int i = 0; i < p->n_steps; i++) pcre2_code_free(p->steps[i]);
    pcre2_match_data_free(p->match);
    *p = (pretokenizer){0};
}

/* ---- Building from tokenizer.json ------------------------------------------------------------------------------------------- */

/* {"type": "Split", "pattern": {"Regex": R} or {"String": S}, "behavior": "Isolated", "invert": whatever}. */
static sae_status add_split(pretokenizer *p, const json_t *config, const char *file, sae_error *err)
{
    const json_t *pattern = json_object_get(config, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex"), *string = json_object_get(pattern, "String");
    const char *behavior = NULL;
    sae_status status = SAE_OK;

    SAE_TRY(json_get_string(config, "behavior", "", &behavior, file, err));
    if (strcmp(behavior, "Isolated") != 0)
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: pre-tokenizer Split with behavior \"%.40s\"; only \"Isolated\" is known",
                  file, behavior);
    if (json_is_string(regex))
        status = add_step(p, json_string_value(regex), json_string_length(regex), PCRE2_UCP, file, err);
    else if (json_is_string(string) && json_string_length(string) > 0)
        status = add_step(p, json_string_value(string), json_string_length(string), PCRE2_LITERAL, file, err);
    else
        SAE_RAISE(err, SAE_FORMAT, "%s: pre-tokenizer Split needs a \"pattern\" with a \"Regex\" or a \"String\"",
                  file);
done:
    return status;
}

/* Bytes appear by ByteLevel: *byte_level tells that it came. */
static sae_status add_from_json(pretokenizer *p, const json_t *config, bool *byte_level, const char *file,
                                sae_error *err)
{
    sae_status status = SAE_OK;
    const char *type = NULL;
    bool flag = false;

    if (!json_is_object(config)) SAE_RAISE(err, SAE_FORMAT, "%s: a pre-tokenizer must be an object", file);
    SAE_TRY(json_get_string(config, "type", "", &type, file, err));
    if (strcmp(type, "Sequence") == 0) {
        const json_t *list = json_object_get(config, "pretokenizers");
        if (!json_is_array(list))
            SAE_RAISE(err, SAE_FORMAT, "%s: pre-tokenizer Sequence needs a list \"pretokenizers\"", file);
        for (size_t i = 0; i < json_array_size(list); i++)
            SAE_TRY(add_from_json(p, json_array_get(list, i), byte_level, file, err));
    } else if (*byte_level) {
        /* The names that ByteLevel makes of the bytes would be cut here: no tokenizer in use does that. */
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: pre-tokenizer \"%.40s\" after ByteLevel", file, type);
    } else if (strcmp(type, "ByteLevel") == 0) {
        SAE_TRY(json_get_bool(config, "add_prefix_space", true, &flag, file, err));
        if (flag) SAE_RAISE(err, SAE_UNSUPPORTED, "%s: pre-tokenizer ByteLevel with add_prefix_space", file);
        SAE_TRY(json_get_bool(config, "use_regex", true, &flag, file, err));
        if (flag) SAE_TRY(add_step(p, GPT2, strlen(GPT2), PCRE2_UCP, file, err));
        *byte_level = true;
    } else if (strcmp(type, "Digits") == 0) {
        SAE_TRY(json_get_bool(config, "individual_digits", false, &flag, file, err));
        SAE_TRY(flag ? add_step(p, DIGIT, strlen(DIGIT), PCRE2_UCP, file, err)
                     : add_step(p, DIGIT "+", strlen(DIGIT "+"), PCRE2_UCP, file, err));
    } else if (strcmp(type, "Split") == 0) {
        SAE_TRY(add_split(p, config, file, err));
    } else {
        SAE_RAISE(err, SAE_UNSUPPORTED,
                  "%s: pre-tokenizer \"%.40s\" is not known; known are ByteLevel, Digits, Split and Sequence", file,
                  type);
    }
done:
    return status;
}

/* The name under which GGUF files know these steps. */
static const char *name_of_steps(const json_t *config, int n_steps)
{
    const json_t *list = json_object_get(config, "pretokenizers");
    const json_t *first = json_array_get(list, 0);
    const char *type = json_string_value(json_object_get(config, "type"));

    if (strcmp(type, "ByteLevel") == 0 && n_steps == 1) return "gpt-2";
    if (json_array_size(list) == 1) return name_of_steps(first, n_steps);
    if (json_array_size(list) == 2 && n_steps == 2 && json_is_true(json_object_get(first, "individual_digits")))
        return "smollm";
    return "tokenizer.json";
}

sae_status pretokenizer_from_json(pretokenizer *p, const json_t *config, const char *file, sae_error *err)
{
    sae_status status = SAE_OK;
    bool byte_level = false;

    if (!config || json_is_null(config))
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: no pre-tokenizer: only byte-level BPE is known", file);
    SAE_TRY(add_from_json(p, config, &byte_level, file, err));
    if (!byte_level)
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: no ByteLevel pre-tokenizer: only byte-level BPE is known", file);
    p->name = name_of_steps(config, p->n_steps);
done:
    return status;
}

/* ---- Cutting -------------------------------------------------------------------------------------------------------------- */

typedef struct cutting {
    const pretokenizer *p;
    piece_fn fn;
    void *user;
    sae_error *err;
} cutting;

/* The next non-empty match at or after `from`; *found tells. */
static sae_status find_match(const cutting *c, int step, const char *text, size_t size, size_t from, size_t *start,
                             size_t *end, bool *found)
{
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(c->p->match);

    *found = false;
    while (from < size) {
        int n = pcre2_match(c->p->steps[step], (PCRE2_SPTR)text, size, from, PCRE2_NO_UTF_CHECK, c->p->match, NULL);
        if (n == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its places on the heap */
            n = pcre2_match(c->p->steps[step], (PCRE2_SPTR)text, size, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                            c->p->match, NULL);
        if (n == PCRE2_ERROR_NOMATCH) return SAE_OK;
        if (n < 0) {
            char reason[120];
            pcre2_get_error_message(n, (PCRE2_UCHAR *)reason, sizeof reason);
            return SAE_FAIL(c->err, SAE_UNSUPPORTED, "a pattern of the pre-tokenizer failed on %zu bytes of text: %s",
                            size, reason);
        }
        if (place[0] >= from && place[1] > place[0]) {
            *start = place[0];
            *end = place[1];
            *found = true;
            return SAE_OK;
        }
        from = place[0] > from ? place[0] : from; /* an empty match: go on behind the next character */
        do from++;
        while (from < size && ((unsigned char)text[from] & 0xc0) == 0x80);
    }
    return SAE_OK;
}

static sae_status cut(const cutting *c, int step, const char *text, size_t size)
{
    sae_status status = SAE_OK;
    size_t done_up_to = 0, start = 0, end = 0;
    bool found;

    if (step == c->p->n_steps) return c->fn(c->user, text, size, c->err);
    while (done_up_to < size) {
        SAE_TRY(find_match(c, step, text, size, done_up_to, &start, &end, &found));
        if (!found) start = end = size;
        if (start > done_up_to) SAE_TRY(cut(c, step + 1, text + done_up_to, start - done_up_to));
        if (end > start) SAE_TRY(cut(c, step + 1, text + start, end - start));
        done_up_to = end;
    }
done:
    return status;
}

sae_status pretokenizer_split(const pretokenizer *p, const char *text, size_t size, piece_fn fn, void *user,
                              sae_error *err)
{
    const cutting c = {p, fn, user, err};

    return cut(&c, 0, text, size);
}

size_t utf8_run(const char *text, size_t size, bool *valid)
{
    size_t i = 0;

    while (i < size) {
        utf8proc_int32_t code;
        utf8proc_ssize_t n = 1;
        if ((unsigned char)text[i] >= 0x80)
            n = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(size - i), &code);
        if (i == 0) *valid = n > 0;
        if ((n > 0) != *valid) break;
        i += n > 0 ? (size_t)n : 1;
    }
    return i;
}
