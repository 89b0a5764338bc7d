/* labelled_fixture.h - labelled documents with a tiny model, and pooled documents made by hand with a known truth. */
#ifndef SAE_TESTS_LABELLED_FIXTURE_H
#define SAE_TESTS_LABELLED_FIXTURE_H

#include "eval/pooled.h"
#include "text_fixture.h"

#include <math.h>

/* ---- A tiny random model whose tokenizer knows the printable characters of ASCII -------------------------------------------- */

static inline void copy_file(const char *from, const char *name)
{
    char *text = NULL;
    size_t bytes;

    OK(file_read_all(from, (size_t)1 << 20, &text, &bytes, &err));
    fixture_write(name, text, bytes);
    mem_free(text);
}

static inline void tiny_tokenizer(void)
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

typedef struct tiny {
    sae_model *model;
    sae_tokenizer *tok;
    sae_site site;
    sae_dict *dict; /* random, with a scaffold of rank 2, decoder rows of various norms */
    int64_t d;
} tiny;

static inline sae_dict *random_dict(int64_t d, int64_t d_sae, int64_t rank, uint64_t seed)
{
    sae_dict_config config = {
        .arch = SAE_JUMPRELU, .d_in = d, .d_sae = d_sae, .rank = rank, .k = 4, .apply_b_dec_to_input = true};
    sae_dict *dict = NULL;
    rng r = rng_seed(seed, 0);

    OK(sae_dict_create(&dict, &config, &err));
    sae_weights w = sae_dict_weights(dict);
    for (int64_t i = 0; i < d_sae * d; i++) {
        w.W_enc[i] = (float)(rng_normal(&r) / sqrt((double)d));
        w.W_dec[i] = (float)(rng_normal(&r) * (1 + (double)(i / d % 3)));
    }
    for (int64_t i = 0; i < rank * d; i++) {
        w.W_down[i] = (float)rng_normal(&r);
        w.W_up[i] = (float)rng_normal(&r);
    }
    for (int64_t j = 0; j < d; j++) w.b_dec[j] = (float)(0.1 * rng_normal(&r));
    for (int64_t i = 0; i < d_sae; i++) w.threshold[i] = 0.1F;
    return dict;
}

static inline void tiny_open(tiny *t)
{
    *t = (tiny){0};
    OK(folder_make(scratch_path("model"), &err));
    copy_file("data/golden/models/llama_gqa_tied/config.json", "model/config.json");
    copy_file("data/golden/models/llama_gqa_tied/model.safetensors", "model/model.safetensors");
    tiny_tokenizer();
    OK(sae_model_open(&t->model, scratch_path("model"), NULL, &err));
    OK(sae_tokenizer_open(&t->tok, scratch_path("model"), &err));
    OK(sae_site_parse(&t->site, "blocks.1.hook_resid_post", t->model, &err));
    t->d = sae_model_get_info(t->model)->d_model;
    t->dict = random_dict(t->d, 48, 2, 5);
}

static inline void tiny_close(tiny *t)
{
    sae_dict_free(t->dict);
    sae_tokenizer_free(t->tok);
    sae_model_free(t->model);
    scratch_remove();
}

/* Documents of three classes, each with letters of its own more often than others; some hold a special token, one nothing else. */
static inline void tiny_documents(labelled *l, int n)
{
    static const char *const letters[] = {"abcxyz ", "defxyz ", "ghixyz "};
    static char text[1 << 17];
    rng r = rng_seed(17, 0);
    size_t at = 0;

    for (int i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "{\"label\": \"%c\", \"text\": \"%s", 'A' + i % 3,
                               i % 7 == 3 ? "<|endoftext|>" : "");
        for (int w = 0; w < 3 + (int)rng_below(&r, 30) && i != 10; w++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%c", letters[i % 3][rng_below(&r, 7)]);
        at += (size_t)snprintf(text + at, sizeof text - at, "\"}\n");
    }
    OK(labelled_read(l, scratch_text("documents.jsonl", text), NULL, &err));
}

/* ---- Pooled documents made by hand ------------------------------------------------------------------------------------------ */

/* n documents in equal classes, document i of class i % classes. Latent c fires on class c (`signal`) and, weaker, on others; latents from
 * `classes` on fire on a third of the documents whatever their class. A scaffold of rank 1 has h > 0 on class 0 (`told`), noise
 * else. Rows: the decoded codes and a little noise. */
typedef struct planted {
    pooled p;
    sae_dict *dict;
    labelled docs; /* labels only */
    split s;
    int classes;
} planted;

/* The last PLANTED_ALIKE latents know no class and fire in as many documents of a task as the latent of its class. */
enum { PLANTED_D = 24, PLANTED_SAE = 40, PLANTED_ALIKE = 8 };

static inline void planted_codes(pooled_codes *c, const planted *t, int64_t n, double signal, double told, rng *r)
{
    int64_t at = 0;

    for (int64_t i = 0; i < n; i++) {
        c->row_start[i] = at;
        for (int64_t k = 0; k < PLANTED_SAE; k++) {
            double mean = k < t->classes ? (k == i % t->classes ? signal : 0) : 0;
            double above = k < t->classes ? -0.3 : k < PLANTED_SAE - PLANTED_ALIKE ? -0.5 : 0.2;
            double value = mean + (k < t->classes ? 0.3 : 1) * rng_normal(r) + above;
            if (value <= 0) continue;
            c->latent[at] = (int32_t)k;
            c->value[at++] = (float)value;
        }
        double h = (i % t->classes == 0 ? told : -told) + 0.2 * rng_normal(r);
        c->scaffold[2 * i] = h > 0 ? (float)h : 0;
        c->scaffold[2 * i + 1] = h < 0 ? (float)-h : 0;
    }
    c->row_start[n] = at;
}

static inline void planted_rows(planted *t, rng *r)
{
    const sae_weights w = sae_dict_weights(t->dict);
    const pooled_codes *c = &t->p.codes[0];

    for (int64_t i = 0; i < t->p.n; i++) {
        for (int64_t j = 0; j < PLANTED_D; j++) t->p.rows[i * PLANTED_D + j] = (float)(0.05 * rng_normal(r));
        for (int64_t e = c->row_start[i]; e < c->row_start[i + 1]; e++)
            for (int64_t j = 0; j < PLANTED_D; j++)
                t->p.rows[i * PLANTED_D + j] +=
                    c->value[e] / c->norm[c->latent[e]] * w.W_dec[c->latent[e] * PLANTED_D + j];
    }
}

static inline void planted_open(planted *t, int64_t n, int classes, double signal, double told, uint64_t seed)
{
    rng r = rng_seed(seed, 3);
    static char text[1 << 17];
    size_t at = (size_t)snprintf(text, sizeof text, "text,label\n");
    split_options half = {.n_train = n / classes / 2, .n_test = n / classes / 2, .seed = seed};
    pooled_codes *c;

    *t = (planted){.classes = classes, .dict = random_dict(PLANTED_D, PLANTED_SAE, 1, seed)};
    t->p = (pooled){.n = n, .d = PLANTED_D, .n_dicts = 1};
    t->p.doc = mem_alloc_array((size_t)n, sizeof *t->p.doc, "documents", NULL);
    t->p.rows = mem_alloc_array((size_t)n, PLANTED_D * sizeof(float), "rows", NULL);
    t->p.codes = c = mem_alloc(sizeof *c, "codes", NULL);
    *c = (pooled_codes){.d_sae = PLANTED_SAE, .rank = 1};
    c->norm = mem_alloc_array(PLANTED_SAE + 1, sizeof(float), "norms", NULL);
    c->row_start = mem_alloc_array((size_t)n + 1, sizeof(int64_t), "codes", NULL);
    c->latent = mem_alloc_array((size_t)n * PLANTED_SAE, sizeof(int32_t), "codes", NULL);
    c->value = mem_alloc_array((size_t)n * PLANTED_SAE, sizeof(float), "codes", NULL);
    c->scaffold = mem_alloc_array((size_t)n, 2 * sizeof(float), "codes", NULL);
    const sae_weights w = sae_dict_weights(t->dict);
    for (int64_t k = 0; k < PLANTED_SAE; k++) {
        double square = 0;
        for (int64_t j = 0; j < PLANTED_D; j++)
            square += (double)w.W_dec[k * PLANTED_D + j] * w.W_dec[k * PLANTED_D + j];
        c->norm[k] = (float)sqrt(square);
    }
    for (int64_t i = 0; i < n; i++) {
        t->p.doc[i] = i;
        at += (size_t)snprintf(text + at, sizeof text - at, "d%lld,%c\n", (long long)i, (char)('A' + i % classes));
    }
    planted_codes(c, t, n, signal, told, &r);
    planted_rows(t, &r);
    FILE *file = fopen(scratch_path("planted.csv"), "w");
    ck_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
    OK(labelled_read(&t->docs, scratch_path("planted.csv"), NULL, &err));
    OK(split_create(&t->s, &t->docs, &half, &err));
}

static inline void planted_close(planted *t)
{
    split_free(&t->s);
    labelled_free(&t->docs);
    pooled_free(&t->p);
    sae_dict_free(t->dict);
}

#endif
