/*
 * report.h - results inside the library: the JSON that holds one, its checks, and its text form for terminals.
 *
 * A result that sae_result_* built, or that sae_result_read accepted, always has the shape that result_check demands;
 * what renders it relies on that and checks nothing again.
 */
#ifndef SAE_REPORT_H
#define SAE_REPORT_H

#include "base/base.h"
#include "io/io.h"

#include <stdio.h>

/* The whole result as JSON, as in its file; borrowed until sae_result_free. */
const json_t *result_json(const sae_result *result);

/* Whether `root` has the shape of a result; `name` (of the file) stands in messages. (result_check.c) */
sae_status result_check(const json_t *root, const char *name, sae_error *err);

/* Settings, numbers, texts, notes, tables and cards as aligned text; plots are left to the page. Caller's FILE, which
 * stays open. (print.c) */
sae_status report_print(FILE *out, const sae_result *result, sae_error *err);

/* ---- Texts and numbers (format.c) ------------------------------------------------------------------------------------ */

/* UTF-8 with every byte that is not part of a valid sequence replaced by U+FFFD. Caller frees with mem_free. */
char *text_clean(const char *text, size_t bytes, sae_error *err);
/* Columns that a terminal takes for it. */
int text_width(const char *text);
/* Whether a cell's text reads as a number ("1,024", "-0.3", "12 %", "1.2 ± 0.1"): such columns are set right-aligned. */
bool text_is_numeric(const char *text);
/* The code point at text[0..bytes) and its length; U+FFFD and 1 when it is not UTF-8. bytes > 0. */
int32_t text_next(const char *text, size_t bytes, size_t *length);
/* What stands on paper for a character that has no shape of its own (a newline, a tab, a control character, one that turns
 * the direction of the text), in `out`. False: the character itself can stand, and is in `out`. */
enum { SYMBOL_TEXT = 12 };
bool text_symbol(int32_t code, char out[SYMBOL_TEXT]);

enum { NUMBER_TEXT = 40 };
/* A measured number for people: whole numbers with thousands separators, else four significant digits; NaN is a dash. */
void number_format(char out[NUMBER_TEXT], double value);
/* A number that somebody chose, without zeros at its end: 0.001. */
void number_format_exact(char out[NUMBER_TEXT], double value);

/* JSON null is NaN. */
double json_double(const json_t *value);

#endif
