/*
 * dense.c - counts dense latents, chooses as many others, tests both, and puts what was found into a result.
 */
#include "lab/dense.h"
#include "eval/core.h"

#include <math.h>
#include <stdio.h>
#include <utf8proc.h>

enum { CONTROL_FIRED = 10 }; /* a control latent fires at least so often: rarer ones have nothing to be tested on */

typedef struct dense {
    dense_options options;
    const sae_dict *dict;
    sample *s;
    core_arm arm;
    dense_frame frame;
    latent_facts *facts; /* [n_dense + n_control] */
    int64_t n_dense, n_control;
} dense;

static void dense_free(dense *w)
{
    core_arm_free(&w->arm);
    dense_frame_free(&w->frame);
    mem_free(w->facts);
}

/* Dense latents, densest first, then as many others by chance (fewer when there are not so many). */
static sae_status choose_latents(dense *w, sae_error *err)
{
    sae_status status = SAE_OK;
    const density *p = &w->arm.density;
    rng random = rng_seed(w->options.seed, 79);
    int64_t n_others = 0, *latents;

    w->n_dense = density_dense(p, w->options.threshold);
    w->facts = mem_alloc_array((size_t)(2 * w->n_dense + 1), sizeof *w->facts, "what latents are", err);
    latents = mem_alloc_array((size_t)p->d_sae, sizeof *latents, "latents", err);
    if (!w->facts || !latents) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(density_top(p, w->n_dense, latents, err));
    for (int64_t i = 0; i < w->n_dense; i++) w->facts[i].latent = latents[i];
    for (int64_t i = 0; i < p->d_sae; i++)
        if (density_of(p, i) <= w->options.threshold && p->fired[i] >= CONTROL_FIRED) latents[n_others++] = i;
    rng_shuffle(&random, latents, n_others);
    w->n_control = n_others < w->n_dense ? n_others : w->n_dense;
    for (int64_t i = 0; i < w->n_control; i++) w->facts[w->n_dense + i].latent = latents[i];
    for (int64_t i = 0; i < w->n_dense + w->n_control; i++) w->facts[i].p = density_of(p, w->facts[i].latent);
done:
    mem_free(latents);
    return status;
}

/* ---- The result ------------------------------------------------------------------------------------------------------------------- */

static sae_status fact(sae_result *r, const char *key, const char *label, double value, const char *remark,
                       sae_error *err)
{
    sae_status status = sae_result_number(r, key, value, err);

    return status == SAE_OK ? sae_result_label(r, key, label, remark, err) : status;
}

static sae_status counts(const dense *w, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    const density *p = &w->arm.density;
    char key[32], label[64];

    SAE_TRY(fact(r, "l0", "L0", core_l0(&w->arm), "latents above zero per token", err));
    for (int i = 0; i < DENSITY_THRESHOLDS; i++) {
        double at = density_thresholds[i];
        snprintf(key, sizeof key, "dense_%g", at);
        snprintf(label, sizeof label, "latents over %g %%", 100 * at);
        SAE_TRY(fact(r, key, label, (double)density_dense(p, at), NULL, err));
        snprintf(key, sizeof key, "mass_%g", at);
        snprintf(label, sizeof label, "their density mass, over %g %%", 100 * at);
        SAE_TRY(fact(r, key, label, density_mass(p, at), "sum of their p_i: how many are active per token", err));
    }
done:
    return status;
}

static void antipodality(const latent_facts *facts, int64_t n, double *mean, double *share)
{
    *mean = *share = 0;
    for (int64_t i = 0; i < n; i++) {
        *mean += facts[i].antipode.score / (double)n;
        *share += (facts[i].antipode.score > 0.9) / (double)n;
    }
    if (n == 0) *mean = *share = NAN;
}

static sae_status pairs(const dense *w, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    double mean, share;

    antipodality(w->facts, w->n_dense, &mean, &share);
    SAE_TRY(fact(r, "antipodality", "antipodality, mean", mean,
                 "of dense latents; 1: reads and writes opposite another", err));
    SAE_TRY(fact(r, "antipodal_share", "of them over 0.9", share, "halves of a signed direction", err));
    antipodality(w->facts + w->n_dense, w->n_control, &mean, &share);
    SAE_TRY(fact(r, "antipodality_control", "antipodality, control", mean, "of as many that are not dense", err));
    SAE_TRY(fact(r, "antipodal_share_control", "of them over 0.9, control", share, NULL, err));
done:
    return status;
}

/* Every test on both kinds of latents, and the classes that follow. */
static sae_status classes(const dense *w, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"class", "dense: pass the test", "control: pass", "dense: of this class",
                                          "control: of this class"};
    static const char *const keys[DENSE_CLASSES] = {"position", "pca",  "null_space",
                                                    "alphabet", "word", "unclassified"};
    sae_status status = SAE_OK;
    char key[48], label[64];

    SAE_TRY(sae_result_table(r, "classes", "Classes of dense latents", columns, 5, err));
    for (int c = 0; c < DENSE_CLASSES; c++) {
        double pass[2] = {0}, of[2] = {0};
        for (int64_t i = 0; i < w->n_dense + w->n_control; i++) {
            if (c < DENSE_NO_CLASS) pass[i >= w->n_dense] += w->facts[i].passes[c];
            of[i >= w->n_dense] += w->facts[i].class == (dense_class)c;
        }
        bool tested = c < DENSE_NO_CLASS;
        const sae_cell cells[] = {{dense_class_names[c], NAN},
                                  {tested ? NULL : "-", tested ? pass[0] : NAN},
                                  {tested ? NULL : "-", tested ? pass[1] : NAN},
                                  {NULL, of[0]},
                                  {NULL, of[1]}};
        SAE_TRY(sae_result_row(r, "classes", cells, 5, err));
        snprintf(key, sizeof key, "class_%s", keys[c]);
        SAE_TRY(fact(r, key, dense_class_names[c], of[0], "dense latents of this class", err));
        snprintf(key, sizeof key, "control_%s", keys[c]);
        snprintf(label, sizeof label, "%s, control", dense_class_names[c]);
        SAE_TRY(fact(r, key, label, of[1], "of as many latents that are not dense", err));
    }
done:
    return status;
}

static void letter_text(const latent_facts *f, char *text, size_t size)
{
    utf8proc_uint8_t utf8[5] = {0};

    if (f->letter) utf8proc_encode_char(f->letter, utf8);
    snprintf(text, size, "%.2f %s", f->alphabet, (const char *)utf8);
}

static sae_status latent_row(const latent_facts *f, sae_result *r, const char *table, sae_error *err)
{
    char alphabet[32], partner[32];

    snprintf(partner, sizeof partner, "%lld", (long long)f->antipode.partner);
    letter_text(f, alphabet, sizeof alphabet);
    const sae_cell cells[] = {{NULL, (double)f->latent},
                              {NULL, f->p},
                              {NULL, f->antipode.score},
                              {f->antipode.partner < 0 ? "-" : partner, (double)f->antipode.partner},
                              {NULL, f->rho[SINCE_SENTENCE]},
                              {NULL, f->rho[SINCE_PARAGRAPH]},
                              {NULL, f->rho[SINCE_CONTEXT]},
                              {NULL, f->pca},
                              {NULL, f->null_share},
                              {isnan(f->alphabet) ? "-" : alphabet, f->alphabet},
                              {NULL, f->auc},
                              {dense_class_names[f->class], NAN}};
    return sae_result_row(r, table, cells, 12, err);
}

static sae_status latents_table(const latent_facts *facts, int64_t n, sae_result *r, const char *table,
                                const char *title, sae_error *err)
{
    static const char *const columns[] = {"latent",       "density",       "antipodality", "partner",
                                          "rho sentence", "rho paragraph", "rho context",  "|cos| PC 1",
                                          "null share",   "alphabet",      "AUC word",     "class"};
    sae_status status = SAE_OK;

    if (n == 0) goto done;
    SAE_TRY(sae_result_table(r, table, title, columns, 12, err));
    for (int64_t i = 0; i < n; i++) SAE_TRY(latent_row(&facts[i], r, table, err));
done:
    return status;
}

static sae_status report(sae_result **out, const dense *w, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;

    SAE_TRY(sae_result_create(&r, "dense", err));
    SAE_TRY(core_describe(r, w->s, err));
    SAE_TRY(sae_result_setting(r, "dense over", (sae_cell){NULL, w->options.threshold}, err));
    SAE_TRY(counts(w, r, err));
    SAE_TRY(pairs(w, r, err));
    SAE_TRY(sae_result_note(
        r,
        "Position: |Spearman| of the code with the distance since the start of the sentence, paragraph or context > "
        "0.4. "
        "First principal component: |cos| > 0.75. Null space: share of the decoder row in the last 10 left singular "
        "vectors "
        "of the unembedding > 0.2. Alphabet: 90 of the 100 tokens it promotes or suppresses most share an initial. "
        "Meaningful word: AUC of 'the token is of a content word' for firing > 0.75; content words are those not in a "
        "list of "
        "English function words: no tagger is at work. A latent's class is the first whose test it passes. The paper's "
        "class "
        "'context binding' has no test that can be computed and is not looked for. Control: as many latents that are "
        "not dense but fire at least 10 times, chosen at random, by the same tests.",
        err));
    SAE_TRY(classes(w, r, err));
    SAE_TRY(latents_table(w->facts, w->n_dense, r, "latents", "Dense latents", err));
    SAE_TRY(latents_table(w->facts + w->n_dense, w->n_control, r, "controls", "Control latents", err));
    *out = r;
    r = NULL;
done:
    sae_result_free(r);
    return status;
}

sae_status dense_run(sae_result **out, sample *s, const sae_dict *dict, const sae_tokenizer *tok,
                     const dense_options *options, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    dense w = {.options = *options, .dict = dict, .s = s};

    if (w.options.threshold == 0) w.options.threshold = density_thresholds[1];
    SAE_TRY(core_check_width(dict, s->model, err));
    SAE_TRY(core_measure(&w.arm, s, dict, progress, err));
    SAE_TRY(choose_latents(&w, err));
    SAE_TRY(dense_frame_create(&w.frame, s, tok, progress, err));
    SAE_TRY(dense_measure(w.facts, w.n_dense + w.n_control, &w.frame, s, dict, progress, err));
    SAE_TRY(report(out, &w, err));
done:
    dense_free(&w);
    return status;
}
