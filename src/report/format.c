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

/* Characters that would move or hide what stands beside them: marks, embeddings, overrides and isolates of direction, the
 * byte order mark, and the code points that are no characters. */
static bool is_shapeless(int32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x061C || code == 0x200E || code == 0x200F ||
           (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF ||
           (code & 0xFFFE) == 0xFFFE || (code >= 0xFDD0 && code <= 0xFDEF);
}

bool text_symbol(int32_t code, char out[SYMBOL_TEXT])
{
    if (code == '\n') {
        snprintf(out, SYMBOL_TEXT, "⏎");
    } else if (code == '\t') {
        snprintf(out, SYMBOL_TEXT, "⇥");
    } else if (is_shapeless(code)) {
        snprintf(out, SYMBOL_TEXT, code < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)code);
    } else {
        out[utf8proc_encode_char(code, (utf8proc_uint8_t *)out)] = '\0';
        return false;
    }
    return true;
}

static int code_width(int32_t code)
{
    char symbol[SYMBOL_TEXT];

    if (text_symbol(code, symbol)) return symbol[0] == '\\' ? (int)strlen(symbol) : 1;
    return utf8proc_charwidth(code) > 0 ? utf8proc_charwidth(code) : 0;
}

int text_width(const char *text)
{
    size_t bytes = strlen(text), length;
    int width = 0;

    for (size_t i = 0; i < bytes; i += length) width += code_width(text_next(text + i, bytes - i, &length));
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

/* What both forms share: whole and large numbers, and what is not finite. */
static bool format_whole(char out[NUMBER_TEXT], double value)
{
    char digits[NUMBER_TEXT], grouped[NUMBER_TEXT];
    double size = fabs(value);
    const char *sign = value < 0 ? MINUS : "";

    if (isnan(value)) {
        snprintf(out, NUMBER_TEXT, "\xE2\x80\x93");
    } else if (isinf(value)) {
        snprintf(out, NUMBER_TEXT, "%s\xE2\x88\x9E", sign);
    } else if (size < 1e15 && (size == floor(size) || size >= 999.95)) {
        snprintf(digits, sizeof digits, "%.0f", size);
        group_thousands(grouped, digits);
        snprintf(out, NUMBER_TEXT, "%s%s", size == 0 ? "" : sign, grouped);
    } else {
        return false;
    }
    return true;
}

void number_format(char out[NUMBER_TEXT], double value)
{
    double size = fabs(value);
    char digits[NUMBER_TEXT];

    if (format_whole(out, value)) return;
    snprintf(digits, sizeof digits, size < 1e-4 || size >= 1e15 ? "%.3e" : "%#.4g", size);
    snprintf(out, NUMBER_TEXT, "%s%s", value < 0 ? MINUS : "", digits);
}

void number_format_exact(char out[NUMBER_TEXT], double value)
{
    if (format_whole(out, value)) return;
    snprintf(out, NUMBER_TEXT, "%s%.10g", value < 0 ? MINUS : "", fabs(value));
}
