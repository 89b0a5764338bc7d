/* status.c - the error record: first failure wins, callers may only put a prefix before it. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *sae_status_name(sae_status code)
{
    switch (code) {
#define SAE_STATUS_CASE(name, value, sentence)                                                                         \
    case SAE_##name: return #name;
        SAE_STATUS_MAP(SAE_STATUS_CASE)
#undef SAE_STATUS_CASE
    }
    return "UNKNOWN";
}

const char *sae_status_sentence(sae_status code)
{
    switch (code) {
#define SAE_STATUS_CASE(name, value, sentence)                                                                         \
    case SAE_##name: return sentence;
        SAE_STATUS_MAP(SAE_STATUS_CASE)
#undef SAE_STATUS_CASE
    }
    return "unknown status";
}

const char *sae_version(void) { return SAE_VERSION; }

/* Names out of files reach a terminal through messages: no escape sequence may. */
static void remove_controls(char *text)
{
    for (; *text; text++)
        if ((*text > 0 && *text < 32 && *text != '\n' && *text != '\t') || *text == 127) *text = '?';
}

sae_status sae_fail_at(sae_error *err, sae_status code, const char *where, const char *format, ...)
{
    if (err && err->code == SAE_OK) {
        va_list args;
        err->code = code;
        err->where = where;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        remove_controls(err->message);
    }
    return code;
}

void sae_error_prefix(sae_error *err, const char *format, ...)
{
    char prefix[sizeof err->message];
    char rest[sizeof err->message];
    va_list args;

    if (!err || err->code == SAE_OK) return;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    memcpy(rest, err->message, sizeof rest);
    size_t length = strlen(prefix);
    if (length + 3 > sizeof err->message) return;
    snprintf(err->message, sizeof err->message, "%s: %.*s", prefix, (int)(sizeof err->message - length - 3), rest);
}
