/*
 * page.h - the HTML page under construction: a growing text with one place where everything hostile is escaped.
 *
 * The first failure sticks and later calls do nothing, so that the code that draws reads as a list of what is drawn.
 * page_put is for our own markup; whatever comes from a result goes through page_text or page_attribute.
 */
#ifndef SAE_REPORT_PAGE_H
#define SAE_REPORT_PAGE_H

#include "report/report.h"

typedef struct page {
    char *text;
    size_t used, room;
    sae_status status;
    sae_error *err;
    json_t *colours; /* label of a series -> its colour, over the whole page: an arm keeps its colour in every plot */
    int n_sections, n_plots;
} page;

void page_put(page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Between tags: markup escaped, characters without a shape shown by symbols. At most `columns` wide, then an ellipsis; 0: all. */
void page_text(page *p, const char *text);
void page_text_cut(page *p, const char *text, int columns);
/* Between the quotes of an attribute, or in <title>. */
void page_attribute(page *p, const char *text);
void page_number(page *p, double value);

enum { N_COLOURS = 8, N_CONTROLS = 4 };
/* How a series is drawn, as classes of the style sheet. Data have colours, without repetition up to N_COLOURS, then broken lines.
 * Controls are grey, each broken in its own way, and take no colour from the data. */
typedef struct look {
    char classes[16]; /* "c3", "c3 again", "control k0" */
    bool control;
} look;
/* Of the n series of one plot. */
void page_looks(page *p, const json_t *series, look *looks, int n);

/* ---- The parts of a page ----------------------------------------------------------------------------------------------- */

extern const char *const page_style[];               /* parts, ended by NULL */
extern const char page_script[], page_script_hash[]; /* base64 of the script's SHA-256 */

/* Decimals that suit a whole column of numbers, so that their points stand in line, or MEASURED. */
enum { MEASURED = -1, EXACT = -2 }; /* each number by itself: by number_format or number_format_exact */
int column_decimals(const json_t *rows, size_t column);
/* A cell as it shall be read; the buffer is used when the cell holds a number only. */
const char *cell_text(const json_t *cell, int decimals, char buffer[NUMBER_TEXT]);
bool column_is_numeric(const json_t *rows, size_t column);

/* Each takes the layout's items [begin, end), all of one kind. */
void html_numbers(page *p, const json_t *root, size_t begin, size_t end);
void html_list(page *p, const json_t *root, const char *home, const char *kind, size_t begin, size_t end);
void html_table(page *p, const json_t *table);
void html_cards(page *p, const json_t *root, size_t begin, size_t end);
void html_plot(page *p, const json_t *plot, bool wide);

/* The name that layout item i holds when it is of this kind, else NULL. */
const char *layout_name(const json_t *root, size_t i, const char *kind);

#endif
