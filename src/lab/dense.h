/*
 * dense.h - what dense latents are: how many, whether they come in antipodal pairs, and for each which of the classes of "Dense
 * SAE Latents Are Features, Not Bugs" (arXiv 2506.15679) its tests put it into, with the same tests on as many latents that
 * are not dense beside: what the tests find where nothing is to be explained. docs/method.md 11.
 */
#ifndef SAE_LAB_DENSE_H
#define SAE_LAB_DENSE_H

#include "eval/antipodal.h"
#include "eval/density.h"
#include "eval/reading.h"
#include "eval/sample.h"
#include "eval/subspace.h"

/* In the order in which they are asked: a latent's class is the first whose test it passes. */
typedef enum dense_class {
    DENSE_POSITION, /* |Spearman| of its code with the distance since sentence, paragraph or context start > 0.4 */
    DENSE_PCA,      /* |cos| of its decoder row with the first principal component > 0.75 */
    DENSE_NULL,     /* share of its decoder row in the last 10 left singular vectors of the unembedding > 0.2 */
    DENSE_ALPHABET, /* of the 100 tokens it promotes, or suppresses, most at least 90 share an initial letter */
    DENSE_WORD,     /* AUC of "the token is of a content word" for its firing > 0.75 */
    DENSE_NO_CLASS,
    DENSE_CLASSES
} dense_class;
extern const char *const dense_class_names[DENSE_CLASSES];

typedef struct latent_facts {
    int64_t latent;
    double p; /* density */
    antipode antipode;
    double rho[READING_STARTS];
    double pca, null_share, alphabet, auc; /* alphabet: the larger share of the two sides */
    int32_t letter;                        /* the initial of that share; 0: none */
    bool passes[DENSE_NO_CLASS];
    dense_class class;
} latent_facts;

/* What latents are compared with. */
typedef struct dense_frame {
    int64_t d, n_vocab; /* n_vocab: tokens that both model and tokenizer have */
    subspace first;     /* the first principal component of the counted rows */
    subspace null;      /* last left singular vectors of the unembedding */
    int32_t *initials;  /* [n_vocab] first letter of each token behind spaces, in lower case; 0: none */
    reading reading;    /* of the sample's tokens */
} dense_frame;
sae_status dense_frame_create(dense_frame *out, sample *s, const sae_tokenizer *tok, const sae_progress *progress,
                              sae_error *err);
void dense_frame_free(dense_frame *f);

/* The largest share of one initial letter among the `top` tokens with the largest sign * logits (all of them, when there are
 * not more than `top`, share NaN: no choice is made). */
double alphabet_share(const float *logits, const int32_t *initials, int64_t n_vocab, float sign, int top,
                      int32_t *letter);
/* passes and class, from the numbers. */
void dense_classify(latent_facts *f);
/* How many latents' codes are held at once: for each so many the n_rows counted rows are read once. At least 1. */
int64_t dense_at_once(int64_t n_rows);
/* Every number of n latents (facts[i].latent is given, p is kept), and their classes. */
sae_status dense_measure(latent_facts *facts, int64_t n, const dense_frame *frame, sample *s, const sae_dict *dict,
                         const sae_progress *progress, sae_error *err);

typedef struct dense_options {
    double threshold; /* a latent is dense above this share of tokens; 0: 0.1 */
    uint64_t seed;    /* of the choice of control latents */
} dense_options;

/* Fails with SHAPE when widths differ. Caller frees *out with sae_result_free. */
sae_status dense_run(sae_result **out, sample *s, const sae_dict *dict, const sae_tokenizer *tok,
                     const dense_options *options, const sae_progress *progress, sae_error *err);

#endif
