/*
 * survey.h - where there is something for a scaffold to absorb: dense latents of plain dictionaries over a grid of sites, widths, k and
 * rows seen. No scaffold is trained, so that a setting chosen from it is chosen blind to what a scaffold does.
 */
#ifndef SAE_LAB_SURVEY_H
#define SAE_LAB_SURVEY_H

#include "eval/density.h"
#include "lab/inputs.h"

enum { SURVEY_SITES = 32, SURVEY_SIZES = 8, SURVEY_STAGES = 4 };

typedef struct survey_options {
    const char *out;        /* the run's folder */
    const char *model;      /* its path */
    const char *model_name; /* as the user calls it; NULL: the path */
    const char *const *sites;
    int n_sites;
    const char *const *texts;
    int n_texts;
    int32_t separator;       /* -1: the tokenizer's */
    int64_t ctx;             /* 0: 256 */
    int64_t tokens;          /* distinct training rows of each site; 0: 262,144 */
    int64_t rows;            /* training rows of a dictionary, epochs over them; 0: 1,048,576 */
    int64_t held_out_tokens; /* densities are measured on; 0: 20,480 */
    double max_norm;         /* 0: 10 */
    int64_t widths[SURVEY_SIZES], ks[SURVEY_SIZES];
    int n_widths, n_ks; /* 0: one, 8 x d_model; 0: one, 32 */
    int stages;         /* measured at rows, rows / 2, rows / 4, ...: so many; 0: 3 */
    int64_t batch;      /* 0: 2,048 */
    uint64_t seed;
    lab_notice notice;
} survey_options;

/* What one dictionary has become at one moment of its training. */
typedef struct survey_cell {
    int site; /* index into the options' */
    int64_t width, k, rows;
    double l0, fvu, mass; /* mass: sum of the densities over 10 %, dense latents active per token */
    int64_t dense[DENSITY_THRESHOLDS], dead;
} survey_cell;

/* Trains and counts. Every site's part is kept in OUT when it is finished: the same call goes on where an earlier one was stopped, and one of
 * other sites, widths or k makes what OUT does not have of them. Writes OUT/results/survey.json and OUT/report.html, of what is asked for. Fails with STATE when OUT holds a survey of something else. *result: caller
 * frees with sae_result_free. */
sae_status survey_run(sae_result **result, const survey_options *options, const sae_progress *progress, sae_error *err);

/* The setting with the most latents over 10 % at the last stage; ties go to the larger mass. Index into cells; -1: n is 0. */
int survey_headline(const survey_cell *cells, int n, int64_t rows);

#endif
