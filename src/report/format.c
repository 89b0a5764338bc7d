/* format.c - texts and numbers as people read them: UTF-8 made valid, widths, significant digits. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

double json_double(const json_t *value) { return json_is_number(value) ? json_number_value(value) : NAN; }

int32_t text_next(const char *text, size_t bytes, size_t *length)
{
    utf8proc_int32_t code;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &code);

    *length = n > 0 ? (size_t)n : 1;
    return n > 0 ? code : 0xFFFD;
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

char *text_clean(const char *text, size_t bytes, sae_error *err)
{
    char *out = mem_alloc(3 * bytes + 1, "a text", err); /* U+FFFD takes three bytes */
    size_t used = 0, length;

    if (!out) return NULL;
    for (size_t i = 0; i < bytes; i += length) {
        int32_t code = text_next(text + i, bytes - i, &length);
        used += (size_t)utf8proc_encode_char(code, (utf8proc_uint8_t *)out + used);
    }
    out[used] = '\0';
    return out;
}

int32_t text_visible(int32_t code)
{
    if (code == '\n') return 0x23CE;                                       /* ⏎ */
    if (code == '\t') return 0x21E5;                                       /* ⇥ */
    if (code < 0x20) return 0x2400 + code;                                 /* ␀ to ␟ */
    if (code == 0x7F) return 0x2421;                                       /* ␡ */
    if (code >= 0x80 && code < 0xA0) return 0xFFFD;                        /* C1 controls */
    if (code == 0x200E || code == 0x200F || code == 0x061C) return 0xFFFD; /* direction marks */
    if (code >= 0x202A && code <= 0x202E) return 0xFFFD;                   /* embeddings and overrides */
    if (code >= 0x2066 && code <= 0x2069) return 0xFFFD;                   /* isolates */
    if (code == 0x2028 || code == 0x2029) return 0x23CE;                   /* line and paragraph separators */
    if (code == 0xFEFF) return 0xFFFD;                                     /* a byte order mark has no width */
    if ((code & 0xFFFE) == 0xFFFE || (code >= 0xFDD0 && code <= 0xFDEF)) return 0xFFFD; /* no characters */
    return 0;
}

int text_width(const char *text)
{
    size_t bytes = strlen(text), length;
    int width = 0;

    for (size_t i = 0; i < bytes; i += length) {
        int32_t code = text_next(text + i, bytes - i, &length);
        int w = utf8proc_charwidth(text_visible(code) ? text_visible(code) : code);
        width += w > 0 ? w : 0;
    }
    return width;
}

/* U+2212, the minus sign of good typesetting. */
#define MINUS "\xE2\x88\x92"

bool text_is_numeric(const char *text)
{
    static const char *const before[] = {"+", "-", MINUS, "±", "<", ">", "≤", "≥", "≈", "~", "×", "$", "(", "[", " "};
    bool more = true;

    while (more) {
        more = false;
        for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
            size_t n = strlen(before[i]);
            if (strncmp(text, before[i], n) == 0) {
                text += n;
                more = true;
            }
        }
    }
    if (*text == '.') text++;
    return *text >= '0' && *text <= '9';
}

static void group_thousands(char out[NUMBER_TEXT], const char *digits)
{
    size_t n = strlen(digits), used = 0;

    for (size_t i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
}

void number_format(char out[NUMBER_TEXT], double value)
{
    char digits[NUMBER_TEXT], grouped[NUMBER_TEXT];
    double size = fabs(value);
    const char *sign = value < 0 ? MINUS : "";

    if (isnan(value)) {
        snprintf(out, NUMBER_TEXT, "\xE2\x80\x93");
        return;
    }
    if (isinf(value)) {
        snprintf(out, NUMBER_TEXT, "%s\xE2\x88\x9E", sign);
        return;
    }
    if (size < 1e15 && (size == floor(size) || size >= 9999.5)) {
        snprintf(digits, sizeof digits, "%.0f", size);
        group_thousands(grouped, digits);
        snprintf(out, NUMBER_TEXT, "%s%s", size == 0 ? "" : sign, grouped);
        return;
    }
    if (size >= 1e15 || size < 1e-4)
        snprintf(digits, sizeof digits, "%.3e", size);
    else /* four significant digits, and zeros that say so */
        snprintf(digits, sizeof digits, "%#.4g", size);
    size_t n = strlen(digits);
    if (digits[n - 1] == '.') digits[n - 1] = '\0';
    snprintf(out, NUMBER_TEXT, "%s%s", sign, digits);
}
