/*
 * test_dense.c - what dense latents are, on latents of which it is known: antipodal pairs and duplicates, positions, principal
 * components, directions that do not reach the logits, initials, words.
 */
#include "eval/association.h"
#include "lab/dense.h"
#include "model/model.h"
#include "report/report.h"
#include "text_fixture.h"

#include <math.h>

/* ---- Association ---------------------------------------------------------------------------------------------------------------- */

START_TEST(test_ranks)
{
    static const float values[] = {3, 1, 3, 0, 7, 3};
    static const double expected[] = {4, 2, 4, 1, 6, 4}; /* three equal ones share 3, 4 and 5 */
    double ranks[6];

    OK(ranks_of(values, 6, ranks, &err));
    for (int i = 0; i < 6; i++) ck_assert_double_eq(ranks[i], expected[i]);
}
END_TEST

/* Spearman's is 1 for any increasing function, -1 for a decreasing one, 1 - 6 sum d^2 / (n (n^2 - 1)) without ties. */
START_TEST(test_spearman)
{
    enum { N = 50 };
    float x[N], up[N], down[N], flat[N] = {0};
    double a[N], b[N], square = 0;
    rng r = rng_seed(1, 0);

    for (int i = 0; i < N; i++) {
        x[i] = (float)rng_normal(&r);
        up[i] = expf(x[i]);
        down[i] = -x[i] * x[i] * x[i];
    }
    OK(ranks_of(x, N, a, &err));
    OK(ranks_of(up, N, b, &err));
    ck_assert_double_eq_tol(correlation(a, b, N), 1, 1e-12);
    OK(ranks_of(down, N, b, &err));
    ck_assert_double_eq_tol(correlation(a, b, N), -1, 1e-12);
    for (int i = 0; i < N; i++) up[i] = x[i] + (float)rng_normal(&r);
    OK(ranks_of(up, N, b, &err));
    for (int i = 0; i < N; i++) square += (a[i] - b[i]) * (a[i] - b[i]);
    ck_assert_double_eq_tol(correlation(a, b, N), 1 - 6 * square / (N * (N * N - 1.0)), 1e-12);
    OK(ranks_of(flat, N, b, &err));
    ck_assert(isnan(correlation(a, b, N)));
}
END_TEST

START_TEST(test_auc)
{
    static const uint8_t flag[] = {1, 1, 1, 0, 0, 0, 0, 1}, same[] = {1, 1, 1, 0, 0, 0, 0, 1}, none[8] = {0},
                         half[] = {1, 0, 0, 0, 1, 1, 1, 1};

    ck_assert_double_eq(auc_of_flag(flag, same, 8), 1);
    ck_assert_double_eq_tol(auc_of_flag(flag, half, 8), 0.5 + (2.0 / 5 - 2.0 / 3) / 2, 1e-12);
    ck_assert(isnan(auc_of_flag(flag, none, 8)));
}
END_TEST

/* ---- Antipodality ---------------------------------------------------------------------------------------------------------------- */

enum { D = 64, WIDTH = 80 };

static sae_dict *random_dict(int64_t d, int64_t d_sae)
{
    sae_dict_config config = {.arch = SAE_BATCHTOPK, .d_in = d, .d_sae = d_sae, .k = 8, .apply_b_dec_to_input = true};
    sae_dict *dict = NULL;
    rng r = rng_seed(2, 0);

    OK(sae_dict_create(&dict, &config, &err));
    sae_weights w = sae_dict_weights(dict);
    for (int64_t i = 0; i < d * d_sae; i++) {
        w.W_enc[i] = (float)rng_normal(&r);
        w.W_dec[i] = (float)rng_normal(&r);
    }
    return dict;
}

static void copy_scaled(float *rows, int from, int to, float scale)
{
    for (int j = 0; j < D; j++) rows[to * D + j] = scale * rows[from * D + j];
}

/* A pair scores 1 whatever its lengths; a duplicate scores no more than chance; a latent that reads the opposite but writes the
 * same does not score; all against a plain search. */
START_TEST(test_antipodal)
{
    sae_dict *dict = random_dict(D, WIDTH);
    sae_weights w = sae_dict_weights(dict);
    int64_t latents[WIDTH];
    antipode found[WIDTH];
    double worst = 0;

    copy_scaled(w.W_enc, 3, 70, -2.0F), copy_scaled(w.W_dec, 3, 70, -0.5F); /* antipodes */
    copy_scaled(w.W_enc, 4, 71, 1.0F), copy_scaled(w.W_dec, 4, 71, 3.0F);   /* duplicates */
    copy_scaled(w.W_enc, 5, 72, -1.0F), copy_scaled(w.W_dec, 5, 72, 1.0F);  /* neither */
    for (int i = 0; i < WIDTH; i++) latents[i] = i;
    OK(antipodal_scores(dict, latents, WIDTH, found, &err));
    ck_assert_double_eq_tol(found[3].score, 1, 1e-5);
    ck_assert_int_eq(found[3].partner, 70);
    ck_assert_int_eq(found[70].partner, 3);
    for (int i = 0; i < WIDTH; i++) {
        double best = 0;
        for (int k = 0; k < WIDTH; k++) {
            double e = 0, o = 0, ee = 0, oo = 0, ee2 = 0, oo2 = 0;
            for (int j = 0; j < D; j++) {
                double a = (double)w.W_enc[i * D + j], b = (double)w.W_enc[k * D + j];
                double c = (double)w.W_dec[i * D + j], f = (double)w.W_dec[k * D + j];
                e += a * b, ee += a * a, ee2 += b * b, o += c * f, oo += c * c, oo2 += f * f;
            }
            e /= sqrt(ee * ee2), o /= sqrt(oo * oo2);
            if (i != k && e < 0 && o < 0) best = fmax(best, e * o);
        }
        ck_assert_double_eq_tol(found[i].score, best, 1e-5);
        if (i != 3 && i != 70) worst = fmax(worst, found[i].score);
    }
    if (getenv("SAE_OBSERVED")) printf("# others score at most %.3f\n", worst);
    ck_assert_double_lt(worst, 0.3); /* observed 0.087 */
    sae_dict_free(dict);
}
END_TEST

/* ---- Reading ------------------------------------------------------------------------------------------------------------------------ */

/* A tokenizer of single bytes: the printable characters of ASCII, space, line end, and a separator of id 0. */
static void write_tokenizer(void)
{
    json_t *vocabulary = json_object();
    int id = 1;

    for (char c = 0x21; c <= 0x7e; c++) json_object_set_new(vocabulary, (char[2]){c, 0}, json_integer(id++));
    json_object_set_new(vocabulary, "\xc4\xa0", json_integer(id++)); /* space */
    json_object_set_new(vocabulary, "\xc4\x8a", json_integer(id));   /* line end */
    scratch_json("model/tokenizer.json",
                 json_pack("{s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:n, s:{s:s, s:b}, s:{s:s, s:o, s:[]}}",
                           "added_tokens", "id", 0, "content", "<|endoftext|>", "special", 1, "lstrip", 0, "rstrip", 0,
                           "single_word", 0, "normalized", 0, "normalizer", "pre_tokenizer", "type", "ByteLevel",
                           "add_prefix_space", 0, "model", "type", "BPE", "vocab", vocabulary, "merges"));
}

static int32_t id_of(char c) { return c == ' ' ? 95 : c == '\n' ? 96 : c == '|' ? 0 : (int32_t)(c - 0x21 + 1); }

/* One token a character; '|' stands for the separator. */
START_TEST(test_reading)
{
    /* what stands below each character: s a sentence, p a paragraph begins there; f a function word's, c a content word's letter */
    static const char text[] = "|He ran. \"It's odd\" e.g. 3.5 a\nb! Go\n\nThe end.|Don't (x)? y Z";
    static const char starts[] = ".p.......s...............s........s...p........p.............";
    static const char words[] = ".ff.ccc...ffff.ccc..c.c......f.c..cc..fff.ccc..fffff..c...c.c";
    sae_tokenizer *tok = NULL;
    reading r;
    int32_t ids[sizeof text - 1];
    int64_t n = sizeof text - 1;
    char got[2][sizeof text] = {{0}};

    OK(folder_make(scratch_path("model"), &err));
    write_tokenizer();
    OK(sae_tokenizer_open(&tok, scratch_path("model"), &err));
    for (int64_t i = 0; i < n; i++) ids[i] = id_of(text[i]);
    OK(reading_create(&r, ids, 1, n, tok, &err));
    for (int64_t i = 0; i < n; i++) {
        got[0][i] = i == 0 ? '.' : r.since[SINCE_PARAGRAPH][i] == 0 ? 'p' : r.since[SINCE_SENTENCE][i] == 0 ? 's' : '.';
        got[1][i] = r.word[i] == TOKEN_CONTENT_WORD ? 'c' : r.word[i] == TOKEN_FUNCTION_WORD ? 'f' : '.';
        ck_assert_int_eq(r.since[SINCE_CONTEXT][i], i);
    }
    ck_assert_str_eq(got[0], starts);
    ck_assert_str_eq(got[1], words);
    reading_free(&r);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

START_TEST(test_function_words)
{
    static const char *const yes[] = {"the",   "a",    "yourselves", "don't",     "can't",
                                      "won't", "it's", "they'd",     "throughout"};
    static const char *const no[] = {"ship", "", "thereupons", "n't", "man's", "zz", "aa", "'"};

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        ck_assert_msg(is_function_word(yes[i], strlen(yes[i])), "%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        ck_assert_msg(!is_function_word(no[i], strlen(no[i])), "%s", no[i]);
    ck_assert(!is_function_word("the", 2)); /* "th" */
}
END_TEST

/* ---- Logits -------------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_alphabet)
{
    enum { N = 500 };
    float logits[N];
    int32_t initials[N], letter;
    rng r = rng_seed(7, 0);

    for (int i = 0; i < N; i++) {
        logits[i] = (float)rng_normal(&r);
        initials[i] = i % 27 ? 'a' + i % 27 - 1 : 0;
    }
    double chance = alphabet_share(logits, initials, N, 1, 100, &letter);
    if (getenv("SAE_OBSERVED")) printf("# by chance %.2f\n", chance);
    ck_assert_double_lt(chance, 0.2); /* observed 0.09 */
    for (int i = 0; i < N; i++) initials[i] = 0;
    ck_assert_double_eq(alphabet_share(logits, initials, N, 1, 100, &letter), 0); /* no letter is no shared letter */
    ck_assert_int_eq(letter, 0);
    for (int i = 0; i < 100; i++) {
        logits[5 * i] = 10 + (float)(i * 7 % 100);
        initials[5 * i] = i < 92 ? 'q' : 'x';
        logits[5 * i + 1] = -10 - (float)(i * 7 % 100);
        initials[5 * i + 1] = i < 60 ? 'b' : 'c';
    }
    ck_assert_double_eq_tol(alphabet_share(logits, initials, N, 1, 100, &letter), 0.92, 1e-12);
    ck_assert_int_eq(letter, 'q');
    ck_assert_double_eq_tol(alphabet_share(logits, initials, N, -1, 100, &letter), 0.6, 1e-12);
    ck_assert_int_eq(letter, 'b');
    ck_assert(isnan(alphabet_share(logits, initials, 100, 1, 100, &letter))); /* nothing is chosen */
}
END_TEST

/* The products are those of the logit lens: the gram matrix from the logits of the unit directions. */
START_TEST(test_unembed_gram)
{
    static const char *const folders[] = {"data/golden/models/llama_gqa_tied", "data/golden/models/gpt2"};

    for (int which = 0; which < 2; which++) {
        sae_model *model = NULL;
        OK(sae_model_open(&model, folders[which], NULL, &err));
        int64_t d = sae_model_get_info(model)->d_model, n = sae_model_get_info(model)->n_vocab;
        double *gram = calloc((size_t)(d * d), sizeof *gram), worst = 0, largest = 0;
        float *unit = calloc((size_t)(d * d), sizeof *unit), *logits = calloc((size_t)(d * n), sizeof *logits);
        for (int64_t i = 0; i < d; i++) unit[i * d + i] = 1;
        OK(model_unembed_gram(model, gram, &err));
        OK(sae_model_unembed(model, unit, d, false, logits, &err));
        for (int64_t i = 0; i < d; i++)
            for (int64_t j = 0; j < d; j++) {
                double sum = 0;
                for (int64_t v = 0; v < n; v++) sum += (double)logits[i * n + v] * (double)logits[j * n + v];
                worst = fmax(worst, fabs(sum - gram[i * d + j]));
                largest = fmax(largest, fabs(sum));
            }
        if (getenv("SAE_OBSERVED")) printf("# gram: %.2g of %.2g\n", worst, largest);
        ck_assert_double_lt(worst / largest, 2e-6); /* observed 2.4e-7 */
        free(gram), free(unit), free(logits);
        sae_model_free(model);
    }
}
END_TEST

/* ---- The whole, on latents made to be of a class -------------------------------------------------------------------------------------- */

enum { SEQS = 24, CTX = 40 };
static const sae_site site = {0, SAE_RESID_PRE}; /* of gpt2: embedding and learned position */

typedef struct bed {
    sae_model *model;
    sae_tokenizer *tok;
    sample s;
    sae_dict *dict;
    sae_weights w;
    dense_frame frame;
} bed;

/* Words of random letters, of which some are "the" and "of", sentences of some words. */
static void write_ids(int32_t *ids)
{
    static const char *const words[] = {"the", "of", "ship", "glass", "sea", "calm"};
    rng r = rng_seed(31, 0);

    for (int s = 0; s < SEQS; s++) {
        int t = 0;
        ids[s * CTX + t++] = 0;
        while (t < CTX) {
            const char *word = words[rng_below(&r, 6)];
            for (; *word && t < CTX; word++) ids[s * CTX + t++] = id_of(*word);
            if (t < CTX && rng_below(&r, 4) == 0) ids[s * CTX + t++] = id_of('.');
            if (t < CTX) ids[s * CTX + t++] = id_of(' ');
        }
    }
}

static void bed_open(bed *b)
{
    int32_t ids[SEQS * CTX];
    uint8_t mask[SEQS * CTX];

    OK(folder_make(scratch_path("model"), &err));
    write_tokenizer();
    OK(sae_tokenizer_open(&b->tok, scratch_path("model"), &err));
    OK(sae_model_open(&b->model, "data/golden/models/gpt2", NULL, &err));
    write_ids(ids);
    for (int i = 0; i < SEQS * CTX; i++) mask[i] = i % CTX != 0;
    OK(sample_of_ids(&b->s, b->model, ids, mask, SEQS, CTX, site, &(sample_options){0}, &err));
    ck_assert_int_eq(b->s.d, D);
    b->dict = random_dict(D, WIDTH);
    b->w = sae_dict_weights(b->dict);
    for (int i = 0; i < WIDTH; i++) b->w.threshold[i] = 1e-6F;
    OK(dense_frame_create(&b->frame, &b->s, b->tok, NULL, &err));
}

static void bed_close(bed *b)
{
    dense_frame_free(&b->frame);
    sae_dict_free(b->dict);
    sample_free(&b->s);
    sae_model_free(b->model);
    sae_tokenizer_free(b->tok);
    scratch_remove();
}

/* The direction in which rows tell `target` [n tokens] best: (X^T X + 1e-3)^-1 X^T (target - mean), by Gauss and Jordan. */
static void regress(const bed *b, const double *target, float *direction)
{
    static double A[D][D + 1];
    double mean = 0;
    const float *X = b->s.cache;

    memset(A, 0, sizeof A);
    for (int i = 0; i < SEQS * CTX; i++) mean += target[i] / (SEQS * CTX);
    for (int i = 0; i < SEQS * CTX; i++)
        for (int j = 0; j < D; j++) {
            for (int k = 0; k < D; k++) A[j][k] += (double)X[i * D + j] * (double)X[i * D + k];
            A[j][D] += (double)X[i * D + j] * (target[i] - mean);
        }
    for (int j = 0; j < D; j++) A[j][j] += 1e-3;
    for (int j = 0; j < D; j++)
        for (int i = 0; i < D; i++) {
            double factor = A[i][j] / A[j][j];
            for (int k = j; i != j && k <= D; k++) A[i][k] -= factor * A[j][k];
        }
    for (int j = 0; j < D; j++) direction[j] = (float)(A[j][D] / A[j][j]);
}

static void make_latents(bed *b)
{
    double target[SEQS * CTX];

    for (int i = 0; i < SEQS * CTX; i++) target[i] = b->frame.reading.since[SINCE_CONTEXT][i];
    regress(b, target, b->w.W_enc); /* latent 0 tells the position; latent 1 its antipode */
    copy_scaled(b->w.W_enc, 0, 1, -1.0F), copy_scaled(b->w.W_dec, 0, 1, -1.0F);
    for (int j = 0; j < D; j++) b->w.W_dec[2 * D + j] = -3.0F * (float)b->frame.first.basis[j];
    for (int j = 0; j < D; j++) b->w.W_dec[3 * D + j] = (float)b->frame.null.basis[4 * D + j];
    for (int i = 0; i < SEQS * CTX; i++) target[i] = b->frame.reading.word[i] == TOKEN_CONTENT_WORD;
    regress(b, target, b->w.W_enc + 4 * D);
    for (int i = 0; i < SEQS * CTX; i++) target[i] = b->frame.reading.word[i] != TOKEN_CONTENT_WORD;
    regress(b, target, b->w.W_enc + 5 * D); /* fires where no content word is: not of the class */
}

START_TEST(test_known_classes)
{
    enum { MADE = 6 };
    static const dense_class expected[MADE] = {DENSE_POSITION, DENSE_POSITION, DENSE_PCA,
                                               DENSE_NULL,     DENSE_WORD,     DENSE_NO_CLASS};
    bed b;
    latent_facts facts[WIDTH] = {{0}};
    int passes[DENSE_NO_CLASS] = {0};

    bed_open(&b);
    make_latents(&b);
    for (int i = 0; i < WIDTH; i++) facts[i].latent = i;
    OK(dense_measure(facts, WIDTH, &b.frame, &b.s, b.dict, NULL, &err));
    for (int i = 0; i < WIDTH; i++) {
        const latent_facts *f = &facts[i];
        if (getenv("SAE_OBSERVED") && i < MADE)
            printf("# %d: rho %.2f %.2f %.2f, pca %.2f, null %.2f, alphabet %.2f, auc %.2f: %s\n", i, f->rho[0],
                   f->rho[1], f->rho[2], f->pca, f->null_share, f->alphabet, f->auc, dense_class_names[f->class]);
        if (i < MADE) ck_assert_msg(f->class == expected[i], "latent %d: %s", i, dense_class_names[f->class]);
        for (int c = 0; c < DENSE_NO_CLASS && i >= MADE; c++) passes[c] += f->passes[c];
    }
    ck_assert_double_gt(facts[0].antipode.score, 0.999);
    ck_assert_double_lt(facts[0].rho[SINCE_CONTEXT] * facts[1].rho[SINCE_CONTEXT], 0);
    ck_assert_double_eq_tol(facts[2].pca, 1, 1e-6);
    ck_assert_double_eq_tol(facts[3].null_share, 1, 1e-6);
    ck_assert_double_lt(facts[5].auc, 0.25);
    if (getenv("SAE_OBSERVED"))
        printf("# of 74 others pass: %d %d %d %d %d\n", passes[0], passes[1], passes[2], passes[3], passes[4]);
    ck_assert_int_eq(passes[DENSE_PCA], 0); /* random rows: |cos| 0.13 on average */
    bed_close(&b);
}
END_TEST

/* Where there is nothing to explain: random rows lean on no class. Over a few random dictionaries the means of their scores are those of chance: 1/2
 * for the word, 0 for the signed position, 10/d of the null space, and no antipodes. */
START_TEST(test_no_class_by_chance)
{
    enum { DICTS = 10 };
    bed b;
    double auc = 0, auc2 = 0, rho = 0, rho2 = 0, share = 0;
    int antipodes = 0, pca = 0;

    bed_open(&b);
    for (int k = 0; k < DICTS; k++) {
        latent_facts facts[WIDTH] = {{0}};
        rng r = rng_seed(300 + (uint64_t)k, 0);
        for (int i = 0; i < WIDTH * D; i++) b.w.W_enc[i] = (float)rng_normal(&r), b.w.W_dec[i] = (float)rng_normal(&r);
        for (int i = 0; i < WIDTH; i++) facts[i].latent = i;
        OK(dense_measure(facts, WIDTH, &b.frame, &b.s, b.dict, NULL, &err));
        for (int i = 0; i < WIDTH; i++) {
            auc += facts[i].auc, auc2 += (facts[i].auc - 0.5) * (facts[i].auc - 0.5);
            rho += facts[i].rho[SINCE_CONTEXT], rho2 += facts[i].rho[SINCE_CONTEXT] * facts[i].rho[SINCE_CONTEXT];
            share += facts[i].null_share;
            pca += facts[i].passes[DENSE_PCA];
            antipodes += facts[i].antipode.score > 0.9;
        }
    }
    const double n = DICTS * WIDTH, chance = (double)b.frame.null.rank / D;
    /* of a random direction the share in q of d dimensions has the variance 2 q (d - q) / (d^2 (d + 2)) */
    const double q = (double)b.frame.null.rank, spread = sqrt(2 * q * (D - q) / ((double)D * D * (D + 2)) / n);
    if (getenv("SAE_OBSERVED"))
        printf("# word %.2f sigma, position %.2f, null space %.4f by chance %.4f: %.2f\n", (auc - n / 2) / sqrt(auc2),
               rho / sqrt(rho2), share / n, chance, (share / n - chance) / spread);
    ck_assert_double_lt(fabs(auc - n / 2) / sqrt(auc2), 4);
    ck_assert_double_lt(fabs(rho) / sqrt(rho2), 4);
    ck_assert_double_lt(fabs(share / n - chance) / spread, 4);
    ck_assert_int_eq(antipodes, 0);
    ck_assert_int_eq(pca, 0);
    bed_close(&b);
}
END_TEST

/* The command's result: counts agree with the table, the made pair is found, the same seed gives the same result. */
START_TEST(test_run)
{
    bed b;
    sae_result *one = NULL, *two = NULL;
    dense_options o = {.seed = 1};

    bed_open(&b);
    make_latents(&b);
    for (int i = 6; i < WIDTH; i++) b.w.threshold[i] = i % 2 ? 1e9F : 15.0F; /* half of the others never fire */
    OK(dense_run(&one, &b.s, b.dict, b.tok, &o, NULL, &err));
    OK(dense_run(&two, &b.s, b.dict, b.tok, &o, NULL, &err));
    ck_assert(json_equal(result_json(one), result_json(two)));
    double dense = sae_result_get(one, "dense_0.1", -1), sum = 0;
    static const char *const keys[] = {"class_position", "class_pca",  "class_null_space",
                                       "class_alphabet", "class_word", "class_unclassified"};
    for (int c = 0; c < DENSE_CLASSES; c++) sum += sae_result_get(one, keys[c], NAN);
    ck_assert_double_eq(sum, dense);
    ck_assert_double_ge(dense, 6);
    ck_assert_double_ge(sae_result_get(one, "mass_0.1", -1), 0.1 * dense);
    ck_assert_double_ge(sae_result_get(one, "class_position", -1), 2);
    ck_assert_double_gt(sae_result_get(one, "antipodal_share", -1), 0);
    sae_result_free(one);
    sae_result_free(two);
    o.threshold = 0.999999; /* no latent is dense: tables are empty, nothing fails */
    OK(dense_run(&one, &b.s, b.dict, b.tok, &o, NULL, &err));
    ck_assert_double_eq(sae_result_get(one, "class_unclassified", -1), 0);
    sae_result_free(one);
    bed_close(&b);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

START_TEST(test_no_memory)
{
    bed b;
    sae_result *result = NULL;
    sae_status status = SAE_NOMEM;
    dense_options o = {0};
    int failures = 0;

    bed_open(&b);
    OK(dense_run(&result, &b.s, b.dict, b.tok, &o, NULL, &err)); /* what the model keeps is not the experiment's */
    sae_result_free(result);
    size_t before = mem_in_use();
    for (int64_t nth = 1; status != SAE_OK; nth += 1 + nth / 16) {
        mem_fail_nth(nth);
        status = dense_run(&result, &b.s, b.dict, b.tok, &o, NULL, NULL);
        mem_fail_nth(0);
        if (status == SAE_OK) break;
        failures++;
        ck_assert_int_eq(status, SAE_NOMEM);
        ck_assert_uint_eq(mem_in_use(), before);
    }
    ck_assert_int_gt(failures, 20);
    sae_result_free(result);
    bed_close(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dense latents");
    TCase *tc = tcase_create("dense");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_ranks);
    tcase_add_test(tc, test_spearman);
    tcase_add_test(tc, test_auc);
    tcase_add_test(tc, test_antipodal);
    tcase_add_test(tc, test_reading);
    tcase_add_test(tc, test_function_words);
    tcase_add_test(tc, test_alphabet);
    tcase_add_test(tc, test_unembed_gram);
    tcase_add_test(tc, test_known_classes);
    tcase_add_test(tc, test_no_class_by_chance);
    tcase_add_test(tc, test_run);
    tcase_add_test(tc, test_no_memory);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
