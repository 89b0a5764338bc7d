/*
 * ranks_knee.c - the knee of dictionaries that differ in the scaffold's rank, on the held-out rows, with its interval over sequences
 * (knee.h has the rule).
 */
#include "eval/codes.h"
#include "lab/knee.h"
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>

static void errors_free(knee_errors *e)
{
    mem_free(e->error);
    mem_free(e->square);
}

static sae_status errors_create(knee_errors *e, int n, int64_t n_seq, sae_error *err)
{
    *e = (knee_errors){.n = n, .n_seq = n_seq};
    e->error = mem_alloc_array((size_t)n, (size_t)n_seq * sizeof *e->error, "errors of sequences", err);
    e->square = mem_alloc_array((size_t)n_seq, sizeof *e->square, "variances of sequences", err);
    return e->error && e->square ? SAE_OK : SAE_NOMEM;
}

/* Rows of one sequence at a time, the counted ones in `kept`. */
typedef struct seq_rows {
    sample *s;
    float *kept, *recon; /* [ctx, d] */
    double *mean;        /* [d] over all counted rows */
} seq_rows;

static sae_status read_sequence(seq_rows *r, int64_t seq, int64_t *n, sae_error *err)
{
    const float *rows = NULL;
    sae_status status = sample_rows(r->s, seq, 1, &rows, err);

    if (status == SAE_OK) *n = sample_gather(r->s, seq, 1, rows, r->kept, NULL);
    return status;
}

static sae_status find_mean(seq_rows *r, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = 0;

    for (int64_t seq = 0; seq < r->s->n_seq; seq++) {
        SAE_TRY(read_sequence(r, seq, &n, err));
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < r->s->d; j++)
                r->mean[j] += (double)r->kept[i * r->s->d + j] / (double)r->s->n_counted;
    }
done:
    return status;
}

static double squared_gap(const float *x, const float *y, const double *mean, int64_t d)
{
    double sum = 0;

    for (int64_t j = 0; j < d; j++) {
        const double gap = (double)x[j] - (y ? (double)y[j] : mean[j]);
        sum += gap * gap;
    }
    return sum;
}

static sae_status add_dictionary(seq_rows *r, const sae_dict *dict, double *error, const sae_progress *progress,
                                 sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t d = r->s->d;
    codes c = {0};
    int64_t n = 0;

    for (int64_t seq = 0; seq < r->s->n_seq; seq++) {
        SAE_TRY(read_sequence(r, seq, &n, err));
        if (n == 0) continue;
        SAE_TRY(codes_encode(&c, dict, r->kept, n, err));
        SAE_TRY(codes_decode(&c, dict, true, r->recon, err));
        codes_free(&c);
        for (int64_t i = 0; i < n; i++) error[seq] += squared_gap(r->kept + i * d, r->recon + i * d, NULL, d);
        if (progress && progress->report(progress->user, "sequences encoded", (double)(seq + 1), (double)r->s->n_seq))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
done:
    codes_free(&c);
    return status;
}

static sae_status measure(experiment *e, const roster_entry *const *of, int n, knee_errors *errors, sae_error *err)
{
    sae_status status = SAE_OK;
    seq_rows r = {.s = &e->held_out};
    size_t rows = (size_t)e->held_out.ctx, row = (size_t)e->d * sizeof(float);
    sae_dict *dict = NULL;
    int64_t n_rows = 0;

    r.kept = mem_alloc_array(rows, row, "rows of a sequence", err);
    r.recon = mem_alloc_array(rows, row, "reconstructions", err);
    r.mean = mem_alloc_array((size_t)e->d, sizeof *r.mean, "the mean row", err);
    if (!r.kept || !r.recon || !r.mean) SAE_TRY(SAE_NOMEM);
    SAE_TRY(find_mean(&r, err));
    for (int64_t seq = 0; seq < r.s->n_seq; seq++) {
        SAE_TRY(read_sequence(&r, seq, &n_rows, err));
        for (int64_t i = 0; i < n_rows; i++) errors->square[seq] += squared_gap(r.kept + i * e->d, NULL, r.mean, e->d);
    }
    for (int i = 0; i < n; i++) {
        SAE_TRY(roster_load(e, of[i], &dict, err));
        SAE_TRY(add_dictionary(&r, dict, errors->error + i * errors->n_seq, e->progress, err));
        sae_dict_free(dict);
        dict = NULL;
    }
done:
    sae_dict_free(dict);
    mem_free(r.kept);
    mem_free(r.recon);
    mem_free(r.mean);
    return status;
}

static sae_status steps_table(sae_result *r, const int64_t *ranks, const double *fvu, const knee *k, sae_error *err)
{
    static const char *const columns[] = {"rank", "FVU", "gain per direction", "limit of sparse features"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(r, "ranks", "Held-out fit of the first architecture and seed", columns, 4, err));
    for (int i = 0; i <= k->n; i++) {
        const sae_cell cells[] = {{NULL, (double)ranks[i]},
                                  {NULL, fvu[i]},
                                  {i ? NULL : "-", i ? k->gain[i - 1] : NAN},
                                  {i ? NULL : "-", i ? k->limit[i - 1] : NAN}};
        SAE_TRY(sae_result_row(r, "ranks", cells, 4, err));
    }
done:
    return status;
}

sae_status ranks_knee(experiment *e, const roster_entry *const *of, int n, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t ranks[KNEE_RANKS_MAX];
    double fvu[KNEE_RANKS_MAX];
    knee_errors errors = {0};
    interval found;
    knee k;
    char text[160];

    SAE_TRY(experiment_sample(e, err));
    SAE_TRY(errors_create(&errors, n, e->held_out.n_seq, err));
    SAE_TRY(measure(e, of, n, &errors, err));
    for (int i = 0; i < n; i++) ranks[i] = of[i]->config.rank;
    knee_fvu(&errors, NULL, fvu);
    SAE_TRY(knee_find(&k, ranks, fvu, n, e->d, err));
    SAE_TRY(knee_interval(&found, ranks, &errors, e->d, e->options.seed, err));
    SAE_TRY(steps_table(r, ranks, fvu, &k, err));
    SAE_TRY(sae_result_interval(r, "knee", found.value, found.low, found.high, err));
    SAE_TRY(sae_result_number(r, "knee_margin", k.margin, err));
    SAE_TRY(sae_result_label(r, "knee_margin", "FVU beyond its limit",
                             "that the step into the knee gains; 0: there is none", err));
    snprintf(text, sizeof text, "interval over %lld sequences, one training of each rank; docs/method.md 12",
             (long long)errors.n_seq);
    SAE_TRY(sae_result_label(r, "knee", "the knee", text, err));
done:
    errors_free(&errors);
    return status;
}
