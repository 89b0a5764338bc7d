/*
 * scaffold_map.c - the linear map of a scaffold in a form that does not depend on how it was factored.
 */
#include "lab/scaffold_map.h"
#include "kernels/linalg.h"

#include <math.h>
#include <string.h>

static const double rank_tolerance = 1e-6;

void scaffold_map_free(scaffold_map *m)
{
    mem_free(m->read);
    mem_free(m->write);
    mem_free(m->singular);
    mem_free(m->mean);
    mem_free(m->spread);
    mem_free(m->real);
    mem_free(m->imag);
    subspace_free(&m->write_space);
    subspace_free(&m->read_space);
    *m = (scaffold_map){0};
}

int64_t scaffold_map_compared(const scaffold_map *m) { return m->rank > 0 ? m->rank : m->width; }

static double dot_ff(const float *a, const float *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* In the bases of the two row spaces the map is small: core [read rank, write rank] = R (W_down^T W_up) W^T. */
static void core_of(const scaffold_map *m, const sae_weights *w, int64_t rank, double *core)
{
    const subspace *read = &m->read_space, *write = &m->write_space;

    for (int64_t k = 0; k < rank; k++) {
        for (int64_t i = 0; i < read->rank; i++) {
            double left = 0;
            for (int64_t j = 0; j < m->d; j++) left += read->basis[i * m->d + j] * (double)w->W_down[k * m->d + j];
            for (int64_t o = 0; o < write->rank; o++) {
                double right = 0;
                for (int64_t j = 0; j < m->d; j++) right += write->basis[o * m->d + j] * (double)w->W_up[k * m->d + j];
                core[i * write->rank + o] += left * right;
            }
        }
    }
}

/* out [n, d] = A [n, m] basis [m, d], A given by rows (or, transposed, by columns of At [m, n]). */
static void combine(int64_t n, int64_t m, int64_t d, const double *A, bool transposed, const double *basis, double *out)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < m; k++)
            for (int64_t j = 0; j < d; j++)
                out[i * d + j] += (transposed ? A[k * n + i] : A[i * m + k]) * basis[k * d + j];
}

/* What b_down adds along the direction that is written: <b_down W_up, write>. */
static double own_centre(const scaffold_map *m, const sae_weights *w, int64_t rank, int64_t i)
{
    double sum = 0;

    for (int64_t k = 0; w->b_down && k < rank; k++)
        for (int64_t j = 0; j < m->d; j++)
            sum += (double)w->b_down[k] * (double)w->W_up[k * m->d + j] * m->write[i * m->d + j];
    return sum;
}

static void code_moments(scaffold_map *m, const sae_dict_config *c, const sae_weights *w, const double *mean,
                         const double *covariance)
{
    bool centred = c->scaffold_centre == SAE_CENTRE_B_DEC;

    for (int64_t i = 0; i < m->rank; i++) {
        const double *u = m->read + i * m->d;
        double centre = 0;
        subspace line = {.d = m->d, .rank = 1, .basis = m->read + i * m->d};
        for (int64_t j = 0; j < m->d; j++) centre += u[j] * (mean[j] - (centred ? (double)w->b_dec[j] : 0));
        m->mean[i] = m->singular[i] * centre + own_centre(m, w, c->rank, i);
        m->spread[i] = m->singular[i] * sqrt(fmax(0, subspace_variance(&line, covariance)));
    }
}

static void swap_doubles(double *a, double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

static void sort_by_spread(scaffold_map *m)
{
    for (int64_t i = 0; i < m->rank; i++) {
        for (int64_t j = i + 1; j < m->rank; j++) {
            if (m->spread[j] <= m->spread[i]) continue;
            swap_doubles(m->read + i * m->d, m->read + j * m->d, m->d);
            swap_doubles(m->write + i * m->d, m->write + j * m->d, m->d);
            swap_doubles(m->singular + i, m->singular + j, 1);
            swap_doubles(m->mean + i, m->mean + j, 1);
            swap_doubles(m->spread + i, m->spread + j, 1);
        }
    }
}

static sae_status directions_of(scaffold_map *m, const sae_weights *w, int64_t rank, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n_read = m->read_space.rank, n_write = m->write_space.rank, n = n_read < n_write ? n_read : n_write;
    size_t side = (size_t)(rank * rank) + 1, row = (size_t)m->d * sizeof(double);
    double *core = mem_alloc_array(side, sizeof(double), "a scaffold's map", err);
    double *U = mem_alloc_array(side, sizeof(double), "a scaffold's map", err);
    double *Vt = mem_alloc_array(side, sizeof(double), "a scaffold's map", err);

    m->read = mem_alloc_array((size_t)rank + 1, row, "read directions", err);
    m->write = mem_alloc_array((size_t)rank + 1, row, "write directions", err);
    m->singular = mem_alloc_array((size_t)rank + 1, sizeof(double), "singular values", err);
    m->mean = mem_alloc_array((size_t)rank + 1, sizeof(double), "means of codes", err);
    m->spread = mem_alloc_array((size_t)rank + 1, sizeof(double), "spreads of codes", err);
    if (!core || !U || !Vt || !m->read || !m->write || !m->singular || !m->mean || !m->spread) {
        status = SAE_NOMEM;
        goto done;
    }
    if (n == 0) goto done; /* W_up is still 0: the map is 0 */
    core_of(m, w, rank, core);
    SAE_TRY(linalg_svd(n_read, n_write, core, U, m->singular, Vt, err));
    while (m->rank < n && m->singular[m->rank] > rank_tolerance * m->singular[0]) m->rank++;
    combine(n, n_read, m->d, U, true, m->read_space.basis, m->read);
    combine(n, n_write, m->d, Vt, false, m->write_space.basis, m->write);
done:
    mem_free(core);
    mem_free(U);
    mem_free(Vt);
    return status;
}

/* What W_down W_up [d, d] has besides 0 the small W_up W_down [rank, rank] has too. */
static sae_status eigenvalues_of(scaffold_map *m, const sae_weights *w, int64_t rank, sae_error *err)
{
    sae_status status = SAE_OK;
    double *small = mem_alloc_array((size_t)(rank * rank), sizeof *small, "a scaffold's map", err);

    m->real = mem_alloc_array((size_t)rank, sizeof *m->real, "eigenvalues", err);
    m->imag = mem_alloc_array((size_t)rank, sizeof *m->imag, "eigenvalues", err);
    if (!small || !m->real || !m->imag) SAE_TRY(SAE_NOMEM);
    for (int64_t i = 0; i < rank; i++)
        for (int64_t j = 0; j < rank; j++) small[i * rank + j] = dot_ff(w->W_up + i * m->d, w->W_down + j * m->d, m->d);
    SAE_TRY(linalg_eigenvalues(rank, small, m->real, m->imag, err));
done:
    mem_free(small);
    return status;
}

sae_status scaffold_map_create(scaffold_map *out, sae_dict *dict, const double *mean, const double *covariance,
                               sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_dict_config *config = sae_dict_get_config(dict);
    sae_weights w = sae_dict_weights(dict);
    int64_t d = config->d_in, rank = config->rank;
    scaffold_map m = {.d = d, .width = rank};

    if (rank < 1) return SAE_FAIL(err, SAE_STATE, "the dictionary has no scaffold (rank 0)");
    if (config->d_out > 0)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "a transcoder's scaffold is no map of a site to itself");
    SAE_TRY(subspace_of_rows(&m.write_space, w.W_up, rank, d, err));
    SAE_TRY(subspace_of_rows(&m.read_space, w.W_down, rank, d, err));
    SAE_TRY(directions_of(&m, &w, rank, err));
    SAE_TRY(eigenvalues_of(&m, &w, rank, err));
    for (int64_t i = 0; i < rank; i++) {
        m.trace += dot_ff(w.W_down + i * d, w.W_up + i * d, d);
        for (int64_t j = 0; j < rank; j++)
            m.square += dot_ff(w.W_down + i * d, w.W_down + j * d, d) * dot_ff(w.W_up + i * d, w.W_up + j * d, d);
    }
    code_moments(&m, config, &w, mean, covariance);
    sort_by_spread(&m);
    *out = m;
    m = (scaffold_map){0};
done:
    scaffold_map_free(&m);
    return status;
}
