/* train_watch.c - what people see of a run: the line of progress, the table at the end, deaths and revivals. */
#include "cli/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

sae_status train_watch_create(train_watch *out, const train_dicts *dicts, sae_error *err)
{
    *out = (train_watch){.dicts = dicts};
    out->last = mem_alloc_array((size_t)dicts->n, sizeof *out->last, "statistics of a step", err);
    return out->last ? SAE_OK : SAE_NOMEM;
}

void train_watch_free(train_watch *w)
{
    mem_free(w->last);
    *w = (train_watch){0};
}

enum { FVU_TEXT = 16 };

static const char *fvu_text(char out[FVU_TEXT], double fvu)
{
    if (isnan(fvu))
        snprintf(out, FVU_TEXT, "undefined");
    else
        snprintf(out, FVU_TEXT, "%.4f", fvu);
    return out;
}

/* Of several dictionaries the range. */
static void note_range(train_watch *w)
{
    const sae_step_stats *s = w->last;
    sae_step_stats low = s[0], high = s[0];
    char low_fvu[FVU_TEXT], high_fvu[FVU_TEXT];

    for (int i = 1; i < w->dicts->n; i++) {
        if (s[i].loss < low.loss) low.loss = s[i].loss;
        if (s[i].loss > high.loss) high.loss = s[i].loss;
        if (s[i].l0 < low.l0) low.l0 = s[i].l0;
        if (s[i].l0 > high.l0) high.l0 = s[i].l0;
        low.fvu = fmin(low.fvu, s[i].fvu); /* NaN where rows do not vary */
        high.fvu = fmax(high.fvu, s[i].fvu);
        if (s[i].dead > high.dead) high.dead = s[i].dead;
        if (s[i].dense > high.dense) high.dense = s[i].dense;
    }
    progress_note(&w->line,
                  "%s%d dictionaries: loss %.4g..%.4g, L0 %.1f..%.1f, FVU %s..%s, dead <= %lld, dense <= %lld",
                  w->what ? w->what : "", w->dicts->n, low.loss, high.loss, low.l0, high.l0, fvu_text(low_fvu, low.fvu),
                  fvu_text(high_fvu, high.fvu), (long long)high.dead, (long long)high.dense);
}

/* Once: the log says of every step whether it has a FVU. */
static void tell_flat(train_watch *w)
{
    if (w->told_flat || !isnan(w->last->fvu)) return;
    w->told_flat = true;
    warn("step %lld: its rows do not vary within the batch, so there is no variance to explain and FVU is undefined; "
         "further such steps are not told",
         (long long)w->last->step);
}

void train_watch_step(void *user, int64_t rows, const sae_step_stats *s, bool logged)
{
    train_watch *w = user;
    char fvu[FVU_TEXT];

    (void)rows;
    (void)logged;
    memcpy(w->last, s, (size_t)w->dicts->n * sizeof *s);
    w->any = true;
    tell_flat(w);
    if (w->dicts->n == 1)
        progress_note(&w->line, "%sloss %.4g, L0 %.1f, FVU %s, dead %lld, dense %lld", w->what ? w->what : "", s->loss,
                      s->l0, fvu_text(fvu, s->fvu), (long long)s->dead, (long long)s->dense);
    else
        note_range(w);
}

void train_watch_notice(void *user, const char *text)
{
    (void)user;
    warn("%s", text);
}

void train_watch_table(const train_watch *w)
{
    if (!w->any) return;
    printf("%-28s %10s %8s %9s %10s %6s %6s\n", "dictionary, last batch", "loss", "L0", "FVU", "threshold", "dead",
           "dense");
    for (int i = 0; i < w->dicts->n; i++) {
        const sae_step_stats *s = &w->last[i];
        char fvu[FVU_TEXT];
        printf("%-28s %10.4g %8.2f %9s %10.4g %6lld %6lld\n", w->dicts->names[i], s->loss, s->l0, fvu_text(fvu, s->fvu),
               s->threshold, (long long)s->dead, (long long)s->dense);
    }
}

void train_watch_tell_deaths(const train_watch *w, const args *a, const sae_train_options *recipe)
{
    if (!w->any) return;
    for (int i = 0; i < w->dicts->n; i++) {
        const sae_step_stats *s = &w->last[i];
        say(a,
            "deaths    %s%s%lld times a latent had not fired for %lld rows; %lld times one came back; dead now %lld of "
            "%lld",
            w->dicts->n > 1 ? w->dicts->names[i] : "", w->dicts->n > 1 ? ": " : "", (long long)s->died,
            (long long)recipe->dead_tokens, (long long)s->revived, (long long)s->dead,
            (long long)w->dicts->configs[i].d_sae);
    }
}
