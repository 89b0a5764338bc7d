/*
 * loss_report.c - see loss_report.h.
 */
#include "lab/loss_report.h"

#include <math.h>
#include <stdio.h>

void interval_text(char out[INTERVAL_TEXT], const interval *i)
{
    if (isfinite(i->low))
        snprintf(out, INTERVAL_TEXT, "%.3f [%.3f, %.3f]", i->value, i->low, i->high);
    else
        snprintf(out, INTERVAL_TEXT, "%.3f", i->value);
}

sae_status loss_view_ratio(interval *out, const loss_view *v, int which, sae_error *err)
{
    return loss_ratio(out, v->losses, which, v->clean, v->seed, err);
}

double loss_view_to_uniform(const loss_view *v, double ce)
{
    double clean = loss_mean(v->losses, v->clean);

    return (ce - clean) / (log((double)v->n_vocab) - clean);
}

enum { COLUMNS = 7 }; /* the last one only where there is a reconstruction */

sae_status loss_view_table(sae_result *r, const char *name, const loss_view *v, const char *title, sae_error *err)
{
    static const char *const columns[COLUMNS] = {"what is replaced or removed",
                                                 "how",
                                                 "CE, nats",
                                                 "ratio to clean [95 %]",
                                                 "CE - clean [95 %]",
                                                 "share of the way to uniform",
                                                 "ratio to the reconstruction [95 %]"};

    return sae_result_table(r, name, title, columns, v->recon < 0 ? COLUMNS - 1 : COLUMNS, err);
}

sae_status loss_view_row(sae_result *r, const char *name, const loss_view *v, int which, const char *what,
                         const char *how, sae_error *err)
{
    sae_status status = SAE_OK;
    double ce = loss_mean(v->losses, which);
    interval ratio, nats, over_recon = {NAN, NAN, NAN};
    char ratio_text[INTERVAL_TEXT], nats_text[INTERVAL_TEXT], over_text[INTERVAL_TEXT];

    SAE_TRY(loss_view_ratio(&ratio, v, which, err));
    SAE_TRY(loss_difference(&nats, v->losses, which, v->clean, v->seed, err));
    interval_text(ratio_text, &ratio);
    interval_text(nats_text, &nats);
    if (v->recon >= 0) SAE_TRY(loss_ratio(&over_recon, v->losses, which, v->recon, v->seed, err));
    interval_text(over_text, &over_recon);
    const sae_cell cells[COLUMNS] = {{what, NAN},
                                     {how, NAN},
                                     {NULL, ce},
                                     {ratio_text, ratio.value},
                                     {nats_text, nats.value},
                                     {NULL, loss_view_to_uniform(v, ce)},
                                     {over_text, over_recon.value}};
    SAE_TRY(sae_result_row(r, name, cells, v->recon < 0 ? COLUMNS - 1 : COLUMNS, err));
done:
    return status;
}
