/*
 * train_plan.c - what a run will take, before anything of it is made: memory, arithmetic, and time by a calibration of about two
 * seconds.
 *
 * Families whose codes only become sparse by their penalty are counted, and timed, as they begin: every product over all latents
 * (dense.c). That bounds the run from above, and the plan says what a step is later.
 *
 * The calibration steps real trainers of the same batch, k and scaffolds at two small widths: a step's time is linear in the
 * width. Where even these are too large the batch (to which a step's time is nearly proportional) and the number of dictionaries are
 * cut, and the time scaled back by the arithmetic. A scaffold's start by PCA, minutes of a wide site, is timed for a smaller matrix.
 */
#include "cli/train.h"
#include "kernels/linalg.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_WIDTH = 1024, MOST_CALIBRATED = 4, LEAST_BATCH = 256 };
static const double most_flops = 2e10, seconds_each = 0.6;

/* ---- Arithmetic of a step --------------------------------------------------------------------------------------------------- */

typedef struct flops {
    double encoder, sparse, adam, auxk; /* of a step of all dictionaries as they begin; auxk: its worst case */
    double later;                       /* of a step once all codes are sparse, like encoder + sparse + adam */
    double model;                       /* of a token */
} flops;

/* jumprelu finds thresholds that leave k codes a row, unless it is given some. */
static bool begins_dense(const sae_dict_config *c, const sae_train_options *r)
{
    return c->arch == SAE_STANDARD || c->arch == SAE_GATED || (c->arch == SAE_JUMPRELU && r->first_threshold > 0.0);
}

static flops flops_of(const sae_dict_config *c, int n, const sae_train_options *r)
{
    flops f = {0};

    for (int i = 0; i < n; i++) {
        double B = (double)r->batch, d = (double)c[i].d_in, F = (double)c[i].d_sae;
        bool penalised = c[i].arch == SAE_STANDARD || c[i].arch == SAE_GATED || c[i].arch == SAE_JUMPRELU;
        double aux = r->auxk_alpha > 0 && !penalised ? (double)(r->auxk_k > 0 ? r->auxk_k : c[i].d_in / 2) : 0;
        double scaffold = 12 * B * (double)c[i].rank * d, sparse = 8 * B * (double)c[i].k * d + scaffold;
        f.encoder += 2 * B * d * F;
        f.later += 2 * B * d * F + sparse + 10 * 2 * F * d; /* sparse: decode, and three gradients */
        /* The encoder again, decode, three gradients; what the gate rebuilds, and its slopes. */
        f.sparse += !begins_dense(&c[i], r) ? sparse : (c[i].arch == SAE_GATED ? 14 : 10) * B * d * F + scaffold;
        f.adam += 10 * 2 * F * d;
        f.auxk += 8 * B * (aux < F ? aux : F) * d;
    }
    return f;
}

/* Where the forward pass may stop. */
static sae_site last_site(const train_input *in)
{
    return in->d_target > 0 && in->target_site.layer >= in->site.layer ? in->target_site : in->site;
}

size_t train_model_bytes(const train_input *in)
{
    return in->model ? weights_pass_bytes(in->model, last_site(in).layer + 1) : 0;
}

/* Products of the blocks up to the site, and their attention over half of a sequence. */
static double model_flops(const train_input *in, int64_t ctx)
{
    const sae_model_info *m = sae_model_get_info(in->model);
    double embedding = (double)(m->n_vocab * m->d_model) * (m->tied ? 1 : 2);
    double layers = last_site(in).layer + 1;

    return layers * (2 * ((double)m->n_params - embedding) / (double)m->n_layer +
                     2 * (double)ctx * (double)(m->n_head * m->d_head));
}

/* ---- Calibration -------------------------------------------------------------------------------------------------------------- */

/* Seconds of one step, the median of those within `seconds_each`; *first: what the first step takes more (it starts b_dec). */
static sae_status time_steps(const sae_dict_config *c, int n, const sae_train_options *r, const float *rows,
                             const float *targets, double *seconds, double *first, sae_error *err)
{
    enum { MOST_STEPS = 256 };
    sae_status status = SAE_OK;
    sae_trainer *t = NULL;
    double times[MOST_STEPS], begun = clock_seconds(), spent = 0;
    int steps = 0;

    SAE_TRY(sae_trainer_create(&t, c, n, r, err));
    begun = clock_seconds();
    SAE_TRY(sae_trainer_step(t, rows, targets, NULL, err));
    *first = clock_seconds() - begun;
    SAE_TRY(sae_trainer_step(t, rows, targets, NULL, err)); /* the cutoff settles */
    while (steps < 3 || (spent < seconds_each && steps < MOST_STEPS)) {
        begun = clock_seconds();
        SAE_TRY(sae_trainer_step(t, rows, targets, NULL, err));
        times[steps] = clock_seconds() - begun;
        spent += times[steps++];
    }
    *seconds = sort_quantile(times, steps, 0.5);
    *first = *first > *seconds ? *first - *seconds : 0;
done:
    sae_trainer_free(t);
    return status;
}

/* Some of the dictionaries, none wider than `width` (or its own k), as in a step in which all of it learns. */
static int reduced(sae_dict_config *out, const train_dicts *dicts, int64_t width)
{
    int stride = (dicts->n + MOST_CALIBRATED - 1) / MOST_CALIBRATED, n = 0;

    for (int i = 0; i < dicts->n; i += stride) {
        sae_dict_config *c = &out[n++];
        *c = dicts->configs[i];
        c->scaffold_steps = 0;
        c->scaffold_frozen = false;
        if (c->scaffold_start == SAE_START_PCA) c->scaffold_start = SAE_START_RANDOM; /* timed apart */
        int64_t least = 2 * c->k > width ? 2 * c->k : width;
        if (c->d_sae > least) {
            c->d_sae = least;
            if (c->arch == SAE_MATRYOSHKA) matryoshka_default_groups(c);
        }
    }
    return n;
}

static int pca_starts(const train_dicts *dicts)
{
    int n = 0;

    for (int i = 0; i < dicts->n; i++)
        n += dicts->configs[i].rank > 0 && dicts->configs[i].scaffold_start == SAE_START_PCA;
    return n;
}

/* Seconds of the eigenvectors that one such start takes: their operations grow with the cube of the side. A larger matrix gets a little
 * more done in a second (on one thread 768 take 0.09 s and 2,304 take 2.2, not 2.5); the first call takes longer than others. */
static sae_status pca_seconds(int64_t d, double *seconds, sae_error *err)
{
    enum { WARM = 64, SIDE = 768 };
    sae_status status = SAE_OK;
    const int64_t sides[] = {d < WARM ? d : WARM, d < SIDE ? d : SIDE}, most = sides[1];
    rng random = rng_seed(1, 2);
    double *A = mem_alloc_array((size_t)(most * most), sizeof *A, "a matrix to calibrate with", err);
    double *V = mem_alloc_array((size_t)(most * most + most), sizeof *V, "a matrix to calibrate with", err);

    if (!A || !V) SAE_TRY(SAE_NOMEM);
    for (int k = 0; k < 2; k++) {
        int64_t n = sides[k];
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++) A[i * n + j] = A[j * n + i] = rng_normal(&random);
        double begun = clock_seconds();
        SAE_TRY(linalg_eigh(n, A, V + n * n, V, err));
        *seconds = (clock_seconds() - begun) * pow((double)d / (double)n, 3);
    }
done:
    mem_free(A);
    mem_free(V);
    return status;
}

static double total_width(const sae_dict_config *c, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++) sum += (double)c[i].d_sae;
    return sum;
}

static sae_status step_pace(const train_dicts *dicts, const sae_train_options *recipe, train_pace *pace, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict_config all[MOST_CALIBRATED], small[MOST_CALIBRATED], large[MOST_CALIBRATED];
    sae_train_options r = *recipe;
    int n = reduced(all, dicts, INT64_MAX);
    double low = 0, high = 0, first = 0, more = 0, d = (double)all[0].d_in;
    rng random = rng_seed(1, 1);

    reduced(small, dicts, SMALL_WIDTH);
    reduced(large, dicts, 2 * SMALL_WIDTH);
    while (r.batch > LEAST_BATCH && 2 * (double)r.batch * d * total_width(large, n) > most_flops) r.batch /= 2;
    int64_t width = all[0].d_in + all[0].d_out; /* the targets of transcoders lie behind the rows */
    float *rows = mem_alloc_array((size_t)r.batch, (size_t)width * sizeof *rows, "rows to calibrate with", err);
    if (!rows) SAE_TRY(SAE_NOMEM);
    const float *targets = all[0].d_out > 0 ? rows + r.batch * all[0].d_in : NULL;
    for (int64_t i = 0; i < r.batch * width; i++) rows[i] = (float)rng_normal(&random);
    r.unit_scale = true;
    r.k_anneal_steps = 0; /* the k that most of the run has */
    SAE_TRY(time_steps(small, n, &r, rows, targets, &low, &first, err));
    high = low;
    if (total_width(large, n) > total_width(small, n)) {
        SAE_TRY(time_steps(large, n, &r, rows, targets, &high, &more, err));
        double slope = (high - low) / (total_width(large, n) - total_width(small, n));
        if (slope > 0) high += slope * (total_width(all, n) - total_width(large, n));
    }
    flops part = flops_of(all, n, &r);
    pace->operation = high / (part.encoder + part.sparse);
    pace->first_row = first / ((double)r.batch * n); /* it does not depend on the width */
done:
    mem_free(rows);
    return status;
}

static sae_status look_away(void *user, float *rows, int64_t n_rows, int64_t d_model, sae_error *err)
{
    (void)user, (void)rows, (void)n_rows, (void)d_model, (void)err;
    return SAE_OK;
}

/* Seconds of the model for one row that counts: masked tokens are computed as well. */
static sae_status model_seconds(const train_input *in, double *seconds, sae_error *err)
{
    enum { SEQUENCES = 8 };
    sae_status status = SAE_OK;
    int64_t ctx = sae_text_ctx(in->text), got = 0, counted = 0;
    int32_t *ids = mem_alloc_array((size_t)(SEQUENCES * ctx), sizeof *ids, "tokens to calibrate with", err);
    uint8_t *mask = mem_alloc_array((size_t)(SEQUENCES * ctx), 1, "tokens to calibrate with", err);
    sae_tap tap = {.site = last_site(in), .fn = look_away};
    double begun = 0;
    int passes = 0;

    if (!ids || !mask) SAE_TRY(SAE_NOMEM);
    SAE_TRY(sae_text_next(in->text, SEQUENCES, ids, mask, &got, err));
    if (got < 1) SAE_RAISE(err, SAE_STATE, "the text has no whole sequence");
    for (int64_t i = 0; i < got * ctx; i++) counted += mask[i];
    if (counted < 1) counted = 1;
    sae_run run = {.ids = ids, .n_seq = got, .n_ctx = ctx, .taps = &tap, .n_taps = 1};
    SAE_TRY(sae_model_run(in->model, &run, err)); /* weights are expanded */
    begun = clock_seconds();
    do {
        SAE_TRY(sae_model_run(in->model, &run, err));
        passes++;
    } while (clock_seconds() - begun < seconds_each);
    *seconds = (clock_seconds() - begun) / (double)(passes * counted);
done:
    mem_free(mask);
    mem_free(ids);
    return status;
}

/* ---- Memory --------------------------------------------------------------------------------------------------------------------- */

train_memory train_memory_of(const train_input *in, const train_dicts *dicts, const sae_train_options *recipe,
                             size_t measuring)
{
    const row_order *o = &in->order;
    sae_acts_info rows = in->acts ? sae_acts_get_info(in->acts) : (sae_acts_info){0};
    train_memory m = {.trainer = sae_trainer_plan(dicts->configs, dicts->n, recipe),
                      .batch = (size_t)(recipe->batch * (in->d_in + 2 * in->d_target)) *
                               sizeof(float), /* targets apart, too */
                      .measuring = measuring,
                      .shuffle_buffer = in->model ? rows.buffer_bytes : 0,
                      .read_ahead = in->model ? 0 : rows.buffer_bytes,
                      .mapped = in->model ? sae_model_get_info(in->model)->file_bytes : rows.mapped_bytes,
                      .model = train_model_bytes(in),
                      .pass = rows.pass_bytes};

    if (o->pool)
        m.ordered = (size_t)(o->n_rows * o->d) * sizeof *o->pool + (size_t)(o->n_steps * o->batch) * sizeof *o->index;
    m.total = m.trainer.total + m.batch + m.measuring + m.shuffle_buffer + m.read_ahead + m.ordered + m.model + m.pass;
    return m;
}

const char *train_memory_text(const train_memory *m, char *out, size_t size)
{
    const struct {
        const char *name;
        size_t bytes;
        bool always;
    } parts[] = {
        {"weights", m->trainer.weights, true},
        {"gradients", m->trainer.gradients, true},
        {"Adam moments", m->trainer.moments, true},
        {"scratch", m->trainer.scratch, true},
        {"oneDNN", m->trainer.library, true},
        {"batch", m->batch, true},
        {"measuring at the end", m->measuring, false},
        {"rows read ahead", m->read_ahead, false},
        {"the array's rows and their order", m->ordered, false},
        {"shuffle buffer", m->shuffle_buffer, false},
        {"model expanded", m->model, false},
        {"a pass of it", m->pass, false},
    };
    size_t used = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (used < size && (parts[i].always || parts[i].bytes > 0))
            used += (size_t)snprintf(out + used, size - used, "%s%s %.0f", used > 0 ? ", " : "", parts[i].name,
                                     (double)parts[i].bytes / (1 << 20));
    return out;
}

/* ---- Telling -------------------------------------------------------------------------------------------------------------------- */

static const char *duration(double s, char *out, size_t size)
{
    if (s < 0.1)
        snprintf(out, size, "%.3g ms", s * 1e3);
    else if (s < 120)
        snprintf(out, size, "%.1f s", s);
    else if (s < 7200)
        snprintf(out, size, "%.0f min", s / 60);
    else
        snprintf(out, size, "%.1f h", s / 3600);
    return out;
}

sae_status train_plan_measure(train_pace *pace, const train_input *in, const train_dicts *dicts,
                              const sae_train_options *recipe, sae_error *err)
{
    sae_status status = step_pace(dicts, recipe, pace, err);

    if (status == SAE_OK && pace->pca == 0 && pca_starts(dicts) > 0) status = pca_seconds(in->d_in, &pace->pca, err);
    if (status == SAE_OK && in->model && pace->model_row == 0) status = model_seconds(in, &pace->model_row, err);
    return status;
}

sae_status train_plan_tell(const train_input *in, const train_dicts *dicts, const sae_train_options *recipe,
                           const train_pace *pace, size_t measuring, json_t **json, sae_error *err)
{
    sae_status status = SAE_OK;
    const double mib = 1.0 / (1 << 20);
    char text[32], more[32], parts[TRAIN_MEMORY_ROOM];
    train_memory m = train_memory_of(in, dicts, recipe, measuring);
    flops f = flops_of(dicts->configs, dicts->n, recipe);
    double rows = (double)recipe->steps * (double)recipe->batch, model_rows = 0, steps = (double)recipe->steps;

    double step = pace->operation * (f.encoder + f.sparse), row = pace->model_row;
    double first = pace->first_row * (double)recipe->batch * dicts->n;
    double covariance = 2 * (double)recipe->batch * (double)in->d_in * (double)in->d_in;
    first += pca_starts(dicts) * (pace->pca + pace->operation * covariance);
    if (in->model) {
        f.model = model_flops(in, sae_text_ctx(in->text));
        int64_t row_bytes = (in->d_in + in->d_target) * (int64_t)sizeof(float) + 12;
        model_rows = rows + (double)m.shuffle_buffer / (double)row_bytes; /* the buffer is filled first */
    }
    double per_step = f.encoder + f.sparse + f.adam, seconds = first + steps * step + model_rows * row;
    double total = per_step * steps + model_rows * f.model;
    if (json) {
        *json = json_pack(
            "{s{sI sI sI sI sI sI sI sI sI sI sI sI sI sI} s{sf sf sf sf sf sf sf} s{sf sf sf sf sf}}", "memory",
            "weights", (json_int_t)m.trainer.weights, "gradients", (json_int_t)m.trainer.gradients, "moments",
            (json_int_t)m.trainer.moments, "scratch", (json_int_t)m.trainer.scratch, "library",
            (json_int_t)m.trainer.library, "batch", (json_int_t)m.batch, "measuring", (json_int_t)m.measuring,
            "read_ahead", (json_int_t)m.read_ahead, "shuffle_buffer", (json_int_t)m.shuffle_buffer, "ordered_rows",
            (json_int_t)m.ordered, "model", (json_int_t)m.model, "pass", (json_int_t)m.pass, "total",
            (json_int_t)m.total, "mapped_files", (json_int_t)m.mapped, "flops", "encoder_per_step", f.encoder,
            "sparse_per_step", f.sparse, "adam_per_step", f.adam, "auxk_worst_per_step", f.auxk, "later_per_step",
            f.later, "model_per_token", f.model, "total", total, "seconds", "per_step", step, "first_step_more", first,
            "model_per_row", row, "model", model_rows * row, "total", seconds);
        if (!*json) SAE_RAISE(err, SAE_NOMEM, "no memory for the plan");
        goto done;
    }
    printf("dictionaries  %d, %.0f steps of %lld rows\n", dicts->n, steps, (long long)recipe->batch);
    printf("memory        %.0f MiB: %s\n", (double)m.total * mib, train_memory_text(&m, parts, sizeof parts));
    if (m.mapped > 0)
        printf("              and up to %.0f MiB of pages of the %s files, which count as resident, and which the "
               "system takes back when memory is short\n",
               (double)m.mapped * mib, in->model ? "model's" : "rows'");
    printf("free now      %.0f MiB\n", (double)memory_available() * mib);
    printf("step          %.2f GFLOP: encoder %.2f, decoder and gradients %.2f, Adam %.2f; AuxK adds %.2f at worst\n",
           per_step * 1e-9, f.encoder * 1e-9, f.sparse * 1e-9, f.adam * 1e-9, f.auxk * 1e-9);
    if (f.later < 0.99 * per_step)
        printf("later         %.2f GFLOP a step, when the penalty has made the codes sparse; total and time below are "
               "as if "
               "no step were\n",
               f.later * 1e-9);
    if (in->model) printf("model         %.3f GFLOP a token, %.0f rows/s\n", f.model * 1e-9, 1 / row);
    printf("in all        %.2f TFLOP\n", total * 1e-12);
    printf("time          %s (a step %s, %.0f rows/s%s%s), with few dead latents and the machine as it is now\n",
           duration(seconds, text, sizeof text), duration(step, more, sizeof more), rows / seconds,
           in->model ? ", of it the model " : "", in->model ? duration(model_rows * row, (char[32]){0}, 32) : "");
done:
    return status;
}
