/*
 * tpp_probes.c - the probes of targeted probe perturbation: one for each class, on pooled rows.
 */
#include "eval/tpp.h"

void tpp_probes_free(tpp_probes *m)
{
    for (int c = 0; m->probe && c < m->t.n; c++) logistic_free(&m->probe[c]);
    mem_free(m->probe);
    mem_free(m->clean);
    tasks_free(&m->t);
    *m = (tpp_probes){0};
}

static sae_status fit_class(tpp_probes *m, const pooled *p, int c, const tpp_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    const task *train = &m->t.train[c];
    const logistic_options how = {.C = options->C};
    float *x = mem_alloc_array((size_t)train->n, (size_t)p->d * sizeof *x, "rows of a probe", err);

    if (!x) return SAE_NOMEM;
    pooled_rows(p, train->doc, train->n, x);
    SAE_TRY(logistic_fit(&m->probe[c], x, train->y, train->n, p->d, 2, &how, err));
done:
    mem_free(x);
    return status;
}

sae_status tpp_probes_fit(tpp_probes *out, const pooled *p, const split *s, bool shuffled, const tpp_options *options,
                          sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t test = s->test.n;
    float *rows = mem_alloc_array((size_t)test, (size_t)p->d * sizeof *rows, "test rows", err);

    if (!rows) return SAE_NOMEM;
    SAE_TRY(tasks_create(&out->t, s, shuffled, options->seed, err));
    out->probe = mem_alloc_array((size_t)out->t.n, sizeof *out->probe, "probes", err);
    out->clean = mem_alloc_array((size_t)out->t.n, (size_t)test * sizeof *out->clean, "margins", err);
    if (!out->probe || !out->clean) SAE_TRY(SAE_NOMEM);
    pooled_rows(p, s->test.doc, test, rows);
    for (int c = 0; c < out->t.n; c++) {
        SAE_TRY(fit_class(out, p, c, options, err));
        logistic_margins(&out->probe[c], rows, test, out->clean + c * test);
    }
done:
    mem_free(rows);
    return status;
}
