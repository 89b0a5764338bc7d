/* survey_report.h - the counts of a survey as JSON, and as a result for people. */
#ifndef SAE_LAB_SURVEY_REPORT_H
#define SAE_LAB_SURVEY_REPORT_H

#include "lab/survey.h"

/* NULL: no memory. */
json_t *survey_cells_json(const survey_cell *cells, int n);
/* Those of this TRAINING_REVISION, *n of them; `cells` has room for all. FORMAT, with the file's name, when one lacks a number. */
sae_status survey_cells_read(survey_cell *cells, int *n, int site, const json_t *from, const char *path,
                             sae_error *err);

/* Table, plots and the headline; rows: of the last stage. Caller frees *out with sae_result_free. */
sae_status survey_report(sae_result **out, const survey_options *options, char (*names)[64], const survey_cell *cells,
                         int n, int64_t rows, sae_error *err);

#endif
