/*
 * sae.h - train sparse autoencoders (SAEs) on the activations of language models, and measure what they learned.
 *
 * Six nouns, in the order in which data moves through them:
 *
 *   sae_model     a language model opened from a GGUF file or a Hugging Face folder
 *   sae_text      a stream of token sequences with their masks
 *   sae_acts      a stream of activation rows, with token and position beside each
 *   sae_dict      a dictionary (the sparse autoencoder) with its optional dense scaffold
 *   sae_trainer   one stream of rows feeding N dictionaries
 *   sae_result    named numbers, tables and series, and what they were computed from
 *
 * Conventions, everywhere:
 *   - Matrices are row-major float32. Shapes stand in brackets: [n_rows, d_in] means n_rows rows of d_in floats.
 *   - A function that can fail returns sae_status and takes a `sae_error *` last; NULL is accepted there. The first
 *     failure fills it. Output parameters are untouched on failure.
 *   - Ownership is one of: "caller frees with X", "borrowed until Y", "caller's buffer".
 *   - Free functions accept NULL. Options of opening functions may be NULL for defaults, and zero in a field means its default;
 *     recipes, plans and dictionary configurations must be given whole.
 *   - Objects are not shared between threads; the library itself works in parallel inside a call (OpenMP).
 */
#ifndef SAE_H
#define SAE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && defined(SAE_BUILDING)
#define SAE_API __attribute__((visibility("default")))
#else
#define SAE_API
#endif

#define SAE_VERSION "0.1.0"

/* ---- Status and errors ----------------------------------------------------------------------------------------- */

/* One list makes the enum, the names and the sentences. Values are part of the ABI: append only. */
#define SAE_STATUS_MAP(X)                                                                                              \
    X(OK, 0, "done")                                                                                                   \
    X(NOMEM, 1, "out of memory")                                                                                       \
    X(IO, 2, "a file could not be read or written")                                                                    \
    X(FORMAT, 3, "a file does not hold what its format promises")                                                      \
    X(SHAPE, 4, "sizes do not fit together")                                                                           \
    X(UNSUPPORTED, 5, "valid, but not something this program can do")                                                  \
    X(RANGE, 6, "a value lies outside its allowed range")                                                              \
    X(STATE, 7, "the call came at the wrong time")                                                                     \
    X(CANCELLED, 8, "stopped on request")                                                                              \
    X(EXISTS, 9, "would overwrite something")                                                                          \
    X(NUMERIC, 10, "a number became infinite or undefined")                                                            \
    X(MISSING, 11, "something this needs is not on this machine")

typedef enum sae_status {
#define SAE_STATUS_ENUM(name, value, sentence) SAE_##name = (value),
    SAE_STATUS_MAP(SAE_STATUS_ENUM)
#undef SAE_STATUS_ENUM
} sae_status;

/* Zero it before its first use and before using it again (`sae_error err = {0};`): only an empty record is filled. */
typedef struct sae_error {
    sae_status code;
    const char *where;  /* "file.c:line" of the library's source; static storage */
    char message[1000]; /* names the file or value, what was found, what was expected, what to do */
} sae_error;

SAE_API const char *sae_status_name(sae_status code);     /* "SHAPE"; static storage */
SAE_API const char *sae_status_sentence(sae_status code); /* static storage */
SAE_API const char *sae_version(void);                    /* static storage */

/* Long calls report through this. `total` is 0 when unknown; units are named by `what` ("tokens", "rows"; NULL: there is nothing new to
 * show). A nonzero return asks the call to stop: it returns SAE_CANCELLED. */
typedef struct sae_progress {
    int (*report)(void *user, const char *what, double done, double total);
    void *user;
} sae_progress;

/* ---- Tokenizer (a part of a model that can be had without its weights) ------------------------------------------ */

typedef struct sae_tokenizer sae_tokenizer;

/* Byte-level BPE from a GGUF file's metadata, from a folder holding tokenizer.json (or vocab.json + merges.txt), or from
 * such a file itself. Caller frees with sae_tokenizer_free. */
SAE_API sae_status sae_tokenizer_open(sae_tokenizer **out, const char *path, sae_error *err);
SAE_API void sae_tokenizer_free(sae_tokenizer *tok);

/* Encodes `bytes` bytes of UTF-8 (NUL allowed; bytes that are not UTF-8 are encoded as bytes). Nothing is added;
 * special tokens written in the text are recognised when `special` is true. Decoding gives the text back, unless the
 * tokenizer normalises it (NFC), or has no token for a byte: such bytes are left out, as Hugging Face and llama.cpp do
 * (SmolLM2 lacks 21 control characters and bytes that UTF-8 hardly uses). RANGE: a single word is over 16 MiB long.
 * *ids is malloc'ed: caller frees with free. */
SAE_API sae_status sae_tokenizer_encode(const sae_tokenizer *tok, const char *text, size_t bytes, bool special,
                                        int32_t **ids, size_t *n_ids, sae_error *err);

/* The bytes of n ids, one after the other. *text is malloc'ed and NUL-terminated (not counted in *bytes). RANGE: an id
 * is not in the vocabulary (a model may have more logits than its tokenizer has tokens). */
SAE_API sae_status sae_tokenizer_decode(const sae_tokenizer *tok, const int32_t *ids, size_t n, char **text,
                                        size_t *bytes, sae_error *err);

typedef struct sae_tokenizer_info {
    int32_t n_vocab;
    int32_t separator; /* `<|endoftext|>` if it is a control token, else BOS, else EOS; -1 when there is none */
    int32_t bos, eos;  /* -1 when there is none */
    const char *pre;   /* how text is cut into words: "gpt-2", "smollm", ...; static storage */
} sae_tokenizer_info;

SAE_API sae_tokenizer_info sae_tokenizer_get_info(const sae_tokenizer *tok);
SAE_API bool sae_tokenizer_is_special(const sae_tokenizer *tok,
                                      int32_t id); /* control, unknown or added special token */

/* ---- Model ------------------------------------------------------------------------------------------------------ */

typedef struct sae_model sae_model;

/* Where rows can be read or changed. Names: blocks.L.hook_resid_pre, .hook_resid_post, .hook_attn_out, .hook_mlp_out;
 * also "model.layers.L", "resid_post.L", "resid_pre.L", "attn_out.L", "mlp_out.L". */
typedef enum sae_hook { SAE_RESID_PRE, SAE_RESID_POST, SAE_ATTN_OUT, SAE_MLP_OUT } sae_hook;

typedef struct sae_site {
    int layer;
    sae_hook hook;
} sae_site;

typedef struct sae_model_info {
    const char *path, *family, *name, *file_type, *weight_type; /* borrowed from the model */
    int64_t n_layer, d_model, n_head, n_kv_head, d_head, d_mlp, n_vocab, n_ctx;
    int64_t n_params;
    size_t file_bytes;   /* mapped */
    size_t expand_bytes; /* what expanding every weight to float32 takes */
    bool tied;           /* the unembedding is the embedding */
} sae_model_info;

typedef struct sae_model_options {
    int expand; /* 0: choose by memory; 1: expand all weights to f32 once; 2: expand a layer at a time */
} sae_model_options;

/* Opens a GGUF file or a Hugging Face folder. Weights are mapped, not read. Caller frees with sae_model_free. */
SAE_API sae_status sae_model_open(sae_model **out, const char *path, const sae_model_options *options, sae_error *err);
SAE_API void sae_model_free(sae_model *model);
SAE_API const sae_model_info *sae_model_get_info(const sae_model *model); /* borrowed until free */
SAE_API uint64_t sae_model_hash(const sae_model *model); /* xxh3 of the weight files' bytes, computed once */

/* Parses a site's name and checks that the model has it. */
SAE_API sae_status sae_site_parse(sae_site *out, const char *name, const sae_model *model, sae_error *err);
/* Writes the canonical name ("blocks.14.hook_resid_post") into the caller's buffer. */
SAE_API void sae_site_name(sae_site site, char *buffer, size_t size);

/* A tap sees the rows of a site when the pass reaches it, [n_seq * n_ctx, d_model], and may change them: the pass goes
 * on with what the tap leaves there. Taps of one site run in the order given. */
typedef sae_status (*sae_tap_fn)(void *user, float *rows, int64_t n_rows, int64_t d_model, sae_error *err);

typedef struct sae_tap {
    sae_site site;
    sae_tap_fn fn;
    void *user;
} sae_tap;

typedef struct sae_run {
    const int32_t *ids;   /* [n_seq, n_ctx], run as they are */
    int64_t n_seq, n_ctx; /* n_ctx <= the model's */
    const sae_tap *taps;  /* may be NULL */
    int n_taps;
    const float *from_rows; /* NULL: begin at the embedding. Else [n_seq * n_ctx, d_model]: begin with these rows at
                               `from`, which must be a hook_resid_pre or hook_resid_post site. Taps of that very site run. */
    sae_site from;
    float *logits; /* NULL or caller's [n_seq * n_ctx, n_vocab] */
    float *nll;    /* NULL or caller's [n_seq, n_ctx - 1]: -log p(ids[i + 1] | ids[..i]) in nats */
} sae_run;

/* One forward pass. Stops after the last tap when neither logits nor nll are asked for. */
SAE_API sae_status sae_model_run(sae_model *model, const sae_run *run, sae_error *err);

/* Final norm and unembedding of n rows of the residual stream after the last block: [n, d_model] to logits
 * [n, n_vocab]. With apply_norm false: the rows times the unembedding (with the final norm's gain folded in): the
 * logit lens of a direction. */
SAE_API sae_status sae_model_unembed(sae_model *model, const float *rows, int64_t n, bool apply_norm, float *logits,
                                     sae_error *err);

/* ---- Text --------------------------------------------------------------------------------------------------------- */

typedef struct sae_text sae_text;

typedef enum sae_split { SAE_SPLIT_ALL, SAE_SPLIT_TRAIN, SAE_SPLIT_HELD_OUT } sae_split;

typedef struct sae_text_options {
    int64_t ctx;       /* tokens per sequence; 0: 256 */
    int32_t separator; /* token id that begins each sequence and joins documents; -1: the tokenizer's */
    sae_split split;   /* documents are held out by a hash of their text, so the same text is never in both */
    double held_out;   /* share of documents held out; 0: 0.05 */
    bool repeat;       /* begin again at the end of the last file */
} sae_text_options;

/* Fills the defaults. (separator's default is -1, so a zeroed struct is not the default one.) */
SAE_API sae_text_options sae_text_defaults(void);

/* Opens files of text, each also packed (.zst, .gz):
 *   .jsonl  a document is the string member "text" of a line
 *   .txt    a document ends at the first blank line after 2 KiB of it, or at the end of the line that passes 64 KiB, so
 *           that a single book gives documents for both splits; blank lines between documents are dropped
 *   -       standard input: .jsonl when its first line begins with '{', else .txt; cannot be repeated or gone back in
 * Special tokens written in a document are recognised, as Hugging Face's tokenizers do; they are masked. `tok` is borrowed
 * until sae_text_free. Caller frees with sae_text_free. FORMAT names the file and line of a bad document. */
SAE_API sae_status sae_text_open(sae_text **out, const sae_tokenizer *tok, const char *const *paths, int n_paths,
                                 const sae_text_options *options, sae_error *err);
/* A text of sequences that are there already, each run as it stands: ids [n_seq, ctx], mask [n_seq, ctx], 1 where a row counts; both
 * borrowed until sae_text_free. repeat: begin again behind the last one. SHAPE: no sequence, or one of fewer than 2 tokens. */
SAE_API sae_status sae_text_open_ids(sae_text **out, const int32_t *ids, const uint8_t *mask, int64_t n_seq,
                                     int64_t ctx, bool repeat, sae_error *err);
SAE_API void sae_text_free(sae_text *text);

/* The next n_seq sequences: ids [n_seq, ctx]; mask [n_seq, ctx] is 1 where a row counts, 0 at position 0, at separators
 * between documents and at special tokens. With the documents' tokens as one stream, a separator behind each, sequence i
 * is the separator and tokens i (ctx - 1) .. (i + 1)(ctx - 1) - 1 of the stream. *n_got < n_seq only at the end of the
 * text; a rest shorter than a sequence is not given. After a failure only opening anew helps. */
SAE_API sae_status sae_text_next(sae_text *text, int64_t n_seq, int32_t *ids, uint8_t *mask, int64_t *n_got,
                                 sae_error *err);

/* Goes to sequence number `sequence` counted from the start (reading over what lies before; with `repeat` at most twice
 * over the files). What follows is what an uninterrupted run gives. RANGE: behind the end. */
SAE_API sae_status sae_text_seek(sae_text *text, int64_t sequence, sae_error *err);
SAE_API int64_t sae_text_tell(const sae_text *text);
SAE_API int64_t sae_text_ctx(const sae_text *text); /* tokens per sequence */
/* With `repeat`: how often what lies before this place goes through the text, 3.6 for example; 0 as long as nothing of it was given
 * twice. */
SAE_API double sae_text_passes(const sae_text *text);
/* Of the options and the documents up to where the stream stands (of all splits, each counted once). Runs on the same text that stand at
 * the same sequence agree, whether they were interrupted or went back or not. */
SAE_API uint64_t sae_text_hash(const sae_text *text);

/* ---- Activation rows ---------------------------------------------------------------------------------------------- */

typedef struct sae_acts sae_acts;

/* A stretch of a row: the columns of one site, or of one store of several that are read side by side. */
typedef struct sae_acts_part {
    int64_t d;
    double median_norm; /* that rows are dropped against; 0 when they are not filtered */
} sae_acts_part;

typedef struct sae_acts_info {
    int64_t d;           /* width of a row */
    int64_t n_rows;      /* distinct rows; -1 when not known (a live stream) */
    int64_t dropped;     /* rows over max_norm so far */
    double median_norm;  /* of the first part */
    size_t buffer_bytes; /* of the shuffle buffer, and of blocks read ahead */
    size_t pass_bytes;   /* of a forward pass: its rows and the model's scratch; 0: there is no model */
    size_t mapped_bytes; /* of the rows in mapped files, whose pages the system takes back when memory is short */
    const sae_acts_part *parts; /* [n_parts], side by side: their widths sum to d; borrowed until the next call */
    int n_parts;
    const char *describe; /* one line for people; borrowed until free */
} sae_acts_info;

typedef struct sae_acts_options {
    int64_t buffer_rows; /* of the shuffle buffer, live only; 0: 262,144 */
    int64_t batch_seqs;  /* sequences per forward pass, live only; 0: 8 */
    /* Live only: rows with a norm over max_norm x the median of the first 4,096 rows are dropped; 0: 10; negative: keep
     * all. A store or array is taken as it is. */
    double max_norm;
    /* Live only. Rows of special tokens (separators too) are left out unless keep_special; so are the first drop_positions
     * positions of each sequence: 0: 1, the separator that begins it; negative: none. */
    bool keep_special;
    int64_t drop_positions;
    uint64_t seed; /* of the shuffle */
    bool in_order; /* do not shuffle */
    bool repeat;   /* store and array: begin a new epoch (shuffled anew) at the end */
    /* Store and array: a thread reads, checks and decodes blocks of so many rows while the caller computes; a batch is a good
     * size. The rows are the same. 0: none. */
    int64_t read_ahead;
    /* Live only, which takes minutes to fill its buffer or to go on from a row; borrowed until free; NULL, or one without `report`: none. */
    const sae_progress *progress;
    /* Only sae_acts_get_info is wanted: no buffers are taken, and no rows can be asked for (STATE). */
    bool plan_only;
} sae_acts_options;

/* Rows of the sites as the model computes them from `text`; both borrowed until free. A row is the sites' rows of one token
 * side by side, in the order given: [n_sites * d_model]. It is dropped when it is over max_norm at any of the sites. */
SAE_API sae_status sae_acts_open_live(sae_acts **out, sae_model *model, sae_text *text, const sae_site *sites,
                                      int n_sites, const sae_acts_options *options, sae_error *err);
/* Rows of stores that sae_store_write made. Several are read side by side, a row of each as one wider row: they must hold the
 * same tokens in the same order (SHAPE or STATE when they do not). */
SAE_API sae_status sae_acts_open_store(sae_acts **out, const char *const *paths, int n_paths,
                                       const sae_acts_options *options, sae_error *err);
/* Rows of an array in X.npy, or in X.safetensors[:name]: [n, d], f32, f16, bf16 or f64. */
SAE_API sae_status sae_acts_open_array(sae_acts **out, const char *path, const sae_acts_options *options,
                                       sae_error *err);
/* Rows of several arrays side by side, a row of each as one wider row: SHAPE when they do not hold equally many. */
SAE_API sae_status sae_acts_open_arrays(sae_acts **out, const char *const *paths, int n_paths,
                                        const sae_acts_options *options, sae_error *err);
SAE_API void sae_acts_free(sae_acts *acts);
SAE_API sae_acts_info sae_acts_get_info(const sae_acts *acts);

/* The next n rows into the caller's rows [n, d]; tokens and positions [n] may be NULL (-1 where not known).
 * *n_got < n only at the end. */
SAE_API sae_status sae_acts_next(sae_acts *acts, int64_t n, float *rows, int32_t *tokens, int32_t *positions,
                                 int64_t *n_got, sae_error *err);
/* Goes to the state in which `row` rows have been given since opening. Store and array: at once. Live: runs the model over
 * all that lies between, from here when `row` lies ahead, else from where the text was at opening. */
SAE_API sae_status sae_acts_seek(sae_acts *acts, int64_t row, sae_error *err);

/* Writes `n_rows` rows (or all there are when negative) of an in-order or shuffled stream to a store: a folder of checksummed shards with
 * token ids and positions beside the rows. The folder must not exist, unless `force`. */
typedef enum sae_store_dtype {
    SAE_STORE_BF16,
    SAE_STORE_F16, /* RANGE: a number is over 65,504 */
    SAE_STORE_F32,
    SAE_STORE_INT8, /* one scale per row: largest magnitude / 127 */
} sae_store_dtype;

typedef struct sae_store_options {
    sae_store_dtype dtype;
    /* NULL: whole rows go to one store in PATH. Else a name for each part of the rows (sae_acts_info): part i goes to a store of
     * its own, PATH/NAME. The name stands as "site" under "about". */
    const char *const *parts;
    /* All rows in an order that follows from the seed, on disk: reading is sequential then and mixes all the same. */
    bool shuffle;
    uint64_t seed;
    /* Bytes that the shuffle takes, mapped pages of shards included; 0: 1 GiB. RANGE when two shards and a buffer for each shard
     * that there will be do not fit. */
    size_t memory;
    /* What is finished stays in PATH.partial when the call fails, is stopped or killed, and a call with the same options, on a
     * stream opened alike, goes on from there; the result is the same as if nothing had happened. */
    bool resumable;
    /* The rows come behind those that the store holds: the stream, opened alike, is brought to where it stood then.
     * What results is a store written at once. Implies resumable. */
    bool append;
    int64_t shard_rows; /* 0: 262,144, or fewer where a shard would be over 256 MiB, or over a quarter of `memory` */
    bool force;
    /* With resumable or append: a store that is complete says which call made it until sae_store_settle, and that call finds it done
     * instead of failing (EXISTS) or appending once more; with force it computes anew. STATE: the text is another one by now. For a
     * caller that may fail to tell what it wrote. */
    bool settle_later;
    const char *about; /* JSON object text stored under "about": model, site, text; may be NULL */
} sae_store_options;
SAE_API sae_status sae_store_write(const char *path, sae_acts *acts, int64_t n_rows, const sae_store_options *options,
                                   const sae_progress *progress, sae_error *err);
/* The last step of a write with settle_later: from now on the same call is another one. Nothing is done where that is settled. */
SAE_API sae_status sae_store_settle(const char *path, sae_error *err);
/* Reads all of a store, or of all stores that a folder holds: checksums, tokens that agree, rows that are finite. FORMAT names the
 * damaged file. *n_rows: of each. (Opening a store checks sizes only, reading it the checksum of each shard once.) */
SAE_API sae_status sae_store_verify(const char *path, int64_t *n_rows, const sae_progress *progress, sae_error *err);

/* ---- Dictionary ---------------------------------------------------------------------------------------------------- */

typedef struct sae_dict sae_dict;

typedef enum sae_arch {
    SAE_BATCHTOPK,  /* trained by batch top-k, encoded by one threshold */
    SAE_MATRYOSHKA, /* the same with nested prefixes */
    SAE_JUMPRELU,   /* a threshold per latent: what the two above become when saved */
    SAE_TOPK,       /* the k largest of each row */
    SAE_STANDARD,   /* relu */
    SAE_GATED,      /* a gate decides which latents are active, a magnitude how much; they share W_enc */
} sae_arch;

/* How the scaffold and the encoder are joined: with c = x - b_dec, s = h W_up, h = c W_down (method: docs/method.md). */
typedef enum sae_variant {
    SAE_P1, /* parallel: the encoder sees c */
    SAE_P2, /* residual: the encoder sees c - s */
    SAE_P3, /* residual, with a scaffold that learns from |c - s|^2 alone: the dictionary gives it no gradient */
} sae_variant;

/* What the scaffold's codes h are of. A transcoder's scaffold never subtracts b_dec. */
typedef enum sae_scaffold_centre {
    SAE_CENTRE_B_DEC, /* h = (x - b_dec) W_down */
    SAE_CENTRE_NONE,  /* h = x W_down: what the rows are, their mean included */
    SAE_CENTRE_OWN,   /* h = x W_down + b_down: a bias of its own */
} sae_scaffold_centre;

typedef enum sae_scaffold_tie {
    SAE_TIE_NONE,
    SAE_TIE_TRANSPOSE,   /* W_down = W_up^T: one matrix */
    SAE_TIE_ORTHONORMAL, /* the rows of W_up are orthonormal */
} sae_scaffold_tie;

typedef enum sae_scaffold_start {
    SAE_START_ZERO,   /* W_up = 0, W_down random: the first step is that of a dictionary without */
    SAE_START_PCA,    /* principal directions of the first batch */
    SAE_START_RANDOM, /* W_down and W_up random */
} sae_scaffold_start;

#define SAE_MAX_GROUPS       16
#define SAE_ENCODER_REBUILDS (-1.0) /* sae_train_options.encoder_norm */
#define SAE_ENCODER_UNIFORM  (-2.0) /* the same */

typedef struct sae_dict_config {
    sae_arch arch;
    sae_variant variant;
    int64_t d_in, d_sae;
    int64_t d_out;                  /* width that a transcoder writes; 0: an autoencoder, which writes its own rows */
    bool skip;                      /* transcoder: W_skip, a linear path from input to output */
    int64_t k;                      /* target L0; 0 when not known */
    double l1_coefficient;          /* standard and gated: weight of the sparsity penalty */
    int64_t rank;                   /* of the scaffold; 0: none */
    int n_groups;                   /* Matryoshka: number of nested prefixes; 0 or 1: none */
    int64_t groups[SAE_MAX_GROUPS]; /* sizes of the groups (not prefixes); they sum to d_sae */
    bool scaffold_last;             /* Matryoshka: the scaffold joins only the last prefix (M2), else every one (M1) */
    sae_scaffold_start scaffold_start;   /* W_up = 0, PCA of the first batch, or at random */
    sae_scaffold_centre scaffold_centre; /* what its codes are of */
    sae_scaffold_tie scaffold_tie;       /* of W_down and W_up, or of W_up's rows */
    double scaffold_lr;                  /* its learning rate over the common one; 0: 1 */
    int64_t scaffold_steps;              /* in so many first steps the scaffold learns alone, the dictionary waits */
    bool scaffold_frozen;       /* after those (and after a start that is not 0) the scaffold is left as it is */
    bool last_step_threshold;   /* its threshold is what the last step kept, not an average over steps */
    bool apply_b_dec_to_input;  /* subtract b_dec before encoding; a transcoder never does */
    uint64_t seed;              /* of the initial weights */
    char site[128], model[256]; /* where its rows came from, as given; may be empty */
    char target_site[128];      /* transcoder: where its targets came from */
    char name[64];              /* for messages of a trainer of several; not saved; may be empty */
} sae_dict_config;

/* Zero weights of the given shape. Caller frees with sae_dict_free. */
SAE_API sae_status sae_dict_create(sae_dict **out, const sae_dict_config *config, sae_error *err);
SAE_API void sae_dict_free(sae_dict *dict);
SAE_API const sae_dict_config *sae_dict_get_config(const sae_dict *dict); /* borrowed */

/* The weights, borrowed until free; latents are rows in both: W_enc [d_sae, d_in] (the transpose of the field's
 * W_enc), W_dec [d_sae, d_out]; W_down [rank, d_in] (transposed as well), W_up [rank, d_out]; threshold [d_sae]; b_mag and
 * r_mag [d_sae] of gated ones, whose b_enc is b_gate; W_skip [d_out, d_in]; b_down [rank] of a scaffold that is SAE_CENTRE_OWN. What a
 * dictionary does not have is NULL. */
typedef struct sae_weights {
    float *W_enc, *b_enc, *W_dec, *b_dec, *threshold, *W_down, *W_up, *b_mag, *r_mag, *W_skip, *b_down;
} sae_weights;
SAE_API sae_weights sae_dict_weights(sae_dict *dict);

typedef enum sae_scaffold_export {
    SAE_SCAFFOLD_NATIVE,  /* W_down, W_up (and b_down) as tensors of their own: our reader knows them */
    SAE_SCAFFOLD_LATENTS, /* 2r extra latents relu(h), relu(-h): exact for any SAELens */
    SAE_SCAFFOLD_DROP,    /* without the scaffold */
} sae_scaffold_export;

/* Reads a SAELens v6 folder (cfg.json, sae_weights.safetensors), with our W_down and W_up if present. */
SAE_API sae_status sae_dict_load(sae_dict **out, const char *path, sae_error *err);
/* Writes such a folder; refuses to overwrite one unless `force`. */
SAE_API sae_status sae_dict_save(const sae_dict *dict, const char *path, sae_scaffold_export scaffold, bool force,
                                 sae_error *err);

/* Sparse codes of n rows, token-major: row_start [n + 1] (caller's), then *latent and *value (malloc'ed, row_start[n]
 * entries each, latents ascending within a row; caller frees with free). h [n, rank] may be NULL: the scaffold's codes. */
SAE_API sae_status sae_dict_encode(const sae_dict *dict, const float *rows, int64_t n, int64_t *row_start,
                                   int32_t **latent, float **value, float *h, sae_error *err);
/* Reconstruction [n, d_in] of such codes, or what a transcoder writes, [n, d_out]. With `h` the scaffold's part is added, without
 * (NULL) it is not; a skip path is added when `rows`, [n, d_in], those that were encoded, are given. */
SAE_API sae_status sae_dict_decode(const sae_dict *dict, int64_t n, const int64_t *row_start, const int32_t *latent,
                                   const float *value, const float *h, const float *rows, float *recon, sae_error *err);

/* ---- Trainer -------------------------------------------------------------------------------------------------------- */

typedef struct sae_trainer sae_trainer;

typedef enum sae_encoder_dtype { SAE_ENCODER_F32, SAE_ENCODER_BF16 } sae_encoder_dtype;

/* Rules in which trainers differ (docs/method.md, section 8). The first of each is dictionary_learning's. */
typedef enum sae_b_dec_start {
    SAE_B_DEC_MEDIAN,
    SAE_B_DEC_MEAN,
    SAE_B_DEC_ZERO
} sae_b_dec_start; /* of the first batch */

typedef enum sae_decoder_rule {
    SAE_DECODER_UNIT, /* gradient along a row taken out (along w / (|w| + 1e-6)), rows back to norm 1 after the update */
    SAE_DECODER_CONSTRAINED, /* the same without the 1e-6 */
    SAE_DECODER_FREE,        /* rows are left as the update makes them (SAELens) */
    SAE_DECODER_BEFORE, /* rows to norm 1 after the backward pass, then as constrained; left as the update makes them (OpenAI) */
} sae_decoder_rule;

typedef enum sae_warmup_rule {
    SAE_WARMUP_FROM_ZERO, /* lr t / warmup_steps in step t: the first has none */
    SAE_WARMUP_FROM_ONE,  /* lr (t + 1) / warmup_steps (SAELens) */
} sae_warmup_rule;

typedef enum sae_k_anneal_rule {
    SAE_K_ANNEAL_NEXT, /* step t gives step t + 1 its k, rounded down, so that step 0 has the final one; from d_in */
    SAE_K_ANNEAL_NOW,  /* step t has its own, rounded, from step 0 on; from 10 d_in (sparsify) */
} sae_k_anneal_rule;

typedef enum sae_threshold_rule {
    SAE_THRESHOLD_FROM_FIRST, /* the first value after threshold_start_step, then averaged */
    SAE_THRESHOLD_FROM_ZERO,  /* averaged from 0 in every step (SAELens) */
} sae_threshold_rule;

typedef enum sae_loss_rule {
    SAE_LOSS_SUM,   /* mean over rows of |e|^2 */
    SAE_LOSS_FVU,   /* over the variance of the batch's rows (sparsify) */
    SAE_LOSS_FIRST, /* over that of the first batch (OpenAI) */
} sae_loss_rule;

typedef enum sae_optimiser_rule {
    SAE_OPTIMISER_ADAM,
    /* z -= lr sign(gradient), averaged: schedule-free (Defazio et al. 2024) with adam_beta1 as its momentum. The averages are what is
     * exported. Equal weights, which is right for a constant learning rate. */
    SAE_OPTIMISER_SIGNUM,
} sae_optimiser_rule;

typedef enum sae_selection_rule {
    SAE_SELECT_ACTIVATION, /* topk, batchtopk, matryoshka and AuxK: the largest activations */
    SAE_SELECT_TIMES_NORM, /* of activation x norm of the latent's row of W_dec, which is the threshold's unit then (SAELens) */
} sae_selection_rule;

typedef enum sae_dead_rule {
    SAE_DEAD_AFTER_BATCH,  /* dead: at least dead_tokens rows without firing, this batch's counted */
    SAE_DEAD_BEFORE_BATCH, /* more than dead_tokens rows, this batch's not counted (SAELens, sparsify) */
    SAE_DEAD_WITH_FIRING,  /* as after this batch, and the batch in which a latent fires counts too (OpenAI) */
} sae_dead_rule;

typedef enum sae_auxk_rule {
    SAE_AUXK_RESIDUAL, /* relu'd; over the variance of the residual */
    SAE_AUXK_PLAIN,    /* not relu'd; not normalised; times min(dead / auxk_k, 1) (SAELens) */
    SAE_AUXK_VARIANCE, /* relu'd; over the variance of the rows; times min(dead / auxk_k, 1) (sparsify) */
    SAE_AUXK_BIAS, /* as residual, with b_dec in e^ and, as a constant, in what it rebuilds: b_dec learns from it, dead latents or none (OpenAI) */
} sae_auxk_rule;

typedef enum sae_level_rule {
    SAE_LEVELS_MEAN, /* Matryoshka: each prefix weighs 1 / G^2 */
    SAE_LEVELS_SUM,  /* 1 (SAELens) */
} sae_level_rule;

typedef enum sae_l1_rule {
    SAE_L1_CODES, /* standard and gated: the penalty sums codes */
    SAE_L1_NORMS, /* codes times the norms of their rows of W_dec (Anthropic's April update, SAELens) */
} sae_l1_rule;

typedef enum sae_l0_rule {
    SAE_L0_CONTROLLED, /* jumprelu: lambda L0, lambda moved until L0 is k; thresholds start where the first batch's L0 is k */
    SAE_L0_QUADRATIC, /* l1_coefficient (L0 / k - 1)^2 (dictionary_learning); the encoder does not subtract b_dec */
    SAE_L0_LINEAR,    /* l1_coefficient L0, thresholds not below 0 (SAELens) */
} sae_l0_rule;

typedef enum sae_gate_rule {
    SAE_GATE_DETACHED,       /* gated: the gate's own reconstruction trains nothing but the gate */
    SAE_GATE_TRAINS_DECODER, /* and W_dec and b_dec (SAELens) */
} sae_gate_rule;

typedef struct sae_train_options {
    int64_t batch; /* B, rows per step */
    int64_t steps; /* T */
    double lr;
    int64_t warmup_steps; /* lr grows linearly before */
    sae_warmup_rule warmup_rule;
    int64_t sparsity_warmup_steps; /* a sparsity penalty weighs t / sparsity_warmup_steps of its value before */
    int64_t decay_start;           /* linear decay to 0 from here to T */
    sae_selection_rule selection_rule;
    int64_t
        k_anneal_steps; /* topk, batchtopk, matryoshka: k falls over so many steps to the dictionary's; 0: no annealing */
    int64_t k_anneal_start; /* from this; 0: d_in, or 10 d_in, by the rule */
    sae_k_anneal_rule k_anneal_rule;
    double threshold_beta;        /* EMA of the smallest kept activation */
    int64_t threshold_start_step; /* updated in steps > this */
    sae_threshold_rule threshold_rule;
    int64_t dead_tokens; /* a latent is dead after so many rows without firing */
    sae_dead_rule dead_rule;
    double auxk_alpha; /* weight of AuxK */
    int64_t auxk_k;    /* latents that AuxK uses per row; 0: d_in / 2 */
    sae_auxk_rule auxk_rule;
    sae_b_dec_start b_dec_start;
    double decoder_norm; /* of the initial rows of W_dec, and of W_enc, their copy */
    /* Of the initial rows of W_enc; 0: as the decoder's; SAE_ENCODER_REBUILDS: what rebuilds random directions, by the k largest latents
     * of each, at their own length on average (openai); SAE_ENCODER_UNIFORM: entries uniform in +-1/sqrt(d_in), W_dec their directions,
     * a transcoder's 0 (sparsify). */
    double encoder_norm;
    sae_decoder_rule decoder_rule;
    sae_level_rule level_rule;
    sae_l1_rule l1_rule;
    sae_l0_rule l0_rule;
    double l0_rate;         /* of the controller: lambda *= (L0 / k)^l0_rate after a step */
    double bandwidth;       /* of jumprelu's straight-through estimator */
    double first_threshold; /* of jumprelu; 0: found on the first batch */
    sae_gate_rule gate_rule;
    sae_loss_rule loss_rule;
    int64_t resample_every; /* dead latents begin anew at badly reconstructed rows every so many steps; 0: never */
    sae_optimiser_rule optimiser_rule;
    double adam_beta1, adam_beta2, adam_eps;
    double grad_clip;   /* global norm; 0: none */
    double input_scale; /* rows are divided by it while training; it is folded back into what is exported */
    bool unit_scale;    /* measure input_scale on the first rows so that E|x|^2 = 1 */
    /* Of the encoder product. The dense steps of standard, gated and jumprelu, taken while more than an eighth of the latents is active, are
     * f32 either way. */
    sae_encoder_dtype encoder_dtype;
    /* BatchTopK and Matryoshka, f32: codes are dot products summed in one fixed order, whatever product found them. Other
     * dictionaries of the same trainer are trained as without it. */
    bool exact_codes;
    /* Find what is kept by an 8-bit product with a proven error bound and compute only that, as exact_codes does (implied): the
     * same bytes as exact_codes alone, sooner. */
    bool screen;
} sae_train_options;

/* What `sae train` does unless told otherwise, and no recipe: exact codes wherever they are possible for rows of width d_in (f32, ranked
 * by activations), found by the screen where this processor has fast instructions for it. The bytes are the same either way. False:
 * they are not possible. */
SAE_API bool sae_choose_exact_codes(sae_train_options *options, int64_t d_in);

typedef enum sae_recipe_name {
    SAE_RECIPE_SAEBENCH, /* its constants scaled to the run */
    SAE_RECIPE_SAELENS,  /* the others' literal ones */
    SAE_RECIPE_DICTIONARY_LEARNING,
    SAE_RECIPE_OPENAI,
    SAE_RECIPE_SPARSIFY, /* sign-SGD, its default */
} sae_recipe_name;

/* Every constant and rule with which `name` trains dictionaries of `arch`, of width d_sae (on which some learning rates depend). */
SAE_API sae_train_options sae_recipe(sae_recipe_name name, sae_arch arch, int64_t batch, int64_t steps, int64_t d_sae);
/* SAEBench's recipe with its constants scaled to a run of `steps` steps of `batch` rows. */
SAE_API sae_train_options sae_recipe_saebench(int64_t batch, int64_t steps);
/* dictionary_learning's literal numbers. */
SAE_API sae_train_options sae_recipe_dictionary_learning(int64_t batch, int64_t steps, int64_t d_sae);

typedef struct sae_memory_plan {
    size_t weights, gradients, moments, scratch; /* bytes that the trainer takes when it is created */
    size_t library;                              /* what oneDNN takes and gives back within each product: an estimate */
    size_t total;                                /* of all these */
} sae_memory_plan;

SAE_API sae_memory_plan sae_trainer_plan(const sae_dict_config *configs, int n_dicts, const sae_train_options *options);

/* N dictionaries that share data order, batch size and options; equal seeds of theirs give equal initial weights where
 * shapes agree, whatever the rank. All memory is taken here: a step allocates nothing. Caller frees with sae_trainer_free. */
SAE_API sae_status sae_trainer_create(sae_trainer **out, const sae_dict_config *configs, int n_dicts,
                                      const sae_train_options *options, sae_error *err);
SAE_API void sae_trainer_free(sae_trainer *trainer);

typedef struct sae_step_stats {
    int64_t step; /* of the step just done, from 0 */
    /* Sums over d_in, means over rows; auxk_loss is divided by the residual's variance; sparsity_loss is what is added. */
    double loss, l2_loss, auxk_loss, sparsity_loss;
    double l0, fvu, threshold, grad_norm, lr, min_active; /* fvu: NaN when the rows do not vary */
    int64_t dead, dense;   /* latents; dense: fired in more than 10 % of the rows of this batch */
    int64_t died, revived; /* so far in the run: times that a latent became dead; that a dead one fired again */
} sae_step_stats;

/* One step on rows [batch, d_in]; targets [batch, d_out] of transcoders, else NULL. stats [n_dicts] may be NULL. NUMERIC when a
 * loss is not finite: look for rows that are not finite or far larger than the others, or lower the learning rate. A step that failed
 * half-way leaves dictionaries of different steps (and the one it failed at in between): from then on steps and saves are refused with STATE;
 * such a trainer can be resumed from a checkpoint, exported and freed. */
SAE_API sae_status sae_trainer_step(sae_trainer *trainer, const float *rows, const float *targets,
                                    sae_step_stats *stats, sae_error *err);
/* Gives gradients, moments and scratch back: what is left can be exported and freed, nothing else. Exporting takes memory for
 * copies of a dictionary; after this call it stays below what training took. */
SAE_API void sae_trainer_finish(sae_trainer *trainer);
SAE_API int64_t sae_trainer_steps_done(const sae_trainer *trainer);
SAE_API int sae_trainer_n_dicts(const sae_trainer *trainer);

/* Initial weights of dictionary i (before the first step) from a safetensors file: tensors PREFIX + W_enc, b_enc, W_dec, b_dec (W_down, W_up, threshold, b_gate, b_mag, r_mag), or encoder.weight,
 * encoder.bias, decoder.weight as dictionary_learning names and stores them. What was read the first step does not choose anew (thresholds, a
 * transcoder's b_enc and b_mag, b_down, PCA's W_down and W_up), but for b_dec, which begins as b_dec_start says. */
SAE_API sae_status sae_trainer_read_weights(sae_trainer *trainer, int i, const char *path, const char *prefix,
                                            sae_error *err);

/* A copy of dictionary i in the rows' own units (input scale folded back), encoded by its threshold. Where the threshold's average
 * never began, it is the smallest kept activation of the last step (0 where that kept fewer than k a row), and the copy's
 * config.last_step_threshold says so. Fails with STATE before the dictionary's first step. Caller frees with sae_dict_free. */
SAE_API sae_status sae_trainer_export(const sae_trainer *trainer, int i, sae_dict **out, sae_error *err);

/* The whole state under DIR/checkpoints/STEP: written beside, synced, renamed. `rows_given` is the place in the data. */
SAE_API sae_status sae_trainer_save(const sae_trainer *trainer, const char *run_dir, int64_t rows_given,
                                    sae_error *err);
/* Keeps the newest `keep` checkpoints (at least one) of steps up to `step`, the one just saved, and removes the others: older ones,
 * and later ones, which did not verify or belong to a run that was cut back. */
SAE_API sae_status sae_checkpoints_prune(const char *run_dir, int64_t step, int64_t keep, sae_error *err);
/* The newest checkpoint whose checksums verify; when there is none at all the trainer stays as it is. *rows_given tells where
 * the data must go on. UNSUPPORTED: a newer program wrote it. STATE: the options are others than the run was begun with. After
 * a failure the trainer is only good to be freed: steps and saves are refused with STATE when it is half read. */
SAE_API sae_status sae_trainer_resume(sae_trainer *trainer, const char *run_dir, int64_t *rows_given, sae_error *err);
/* What the last resume has to tell: a damaged checkpoint passed over, another number of threads than before; else "". Borrowed. */
SAE_API const char *sae_trainer_notice(const sae_trainer *trainer);

/* ---- Results --------------------------------------------------------------------------------------------------------- */

typedef struct sae_result sae_result;

/* A result is what one measurement found, as one JSON file and as a part of the report. In the file, by name and in the
 * order of their first mention: "settings", "inputs", "numbers", "texts", "tables", "plots", "cards"; "layout" tells how
 * they follow each other on the page: sections, notes and all of the above in the order in which they were put in.
 * Putting something in again under the same name replaces its content and keeps its place. Texts are UTF-8: what is not
 * becomes U+FFFD. Numbers that are not finite are stored as null and come back as NaN.
 * All these calls fail with NOMEM, or with RANGE or SHAPE when an argument makes no sense.
 * Caller frees with sae_result_free. */
SAE_API sae_status sae_result_create(sae_result **out, const char *name, sae_error *err);
SAE_API void sae_result_free(sae_result *result);
SAE_API sae_status sae_result_write(const sae_result *result, const char *path, sae_error *err); /* replaces the file */
SAE_API sae_status sae_result_read(sae_result **out, const char *path, sae_error *err);
SAE_API const char *sae_result_name(const sae_result *result); /* borrowed */
SAE_API sae_status sae_result_rename(sae_result *result, const char *name, sae_error *err);

/* A heading: what follows belongs to it, up to the next one. */
SAE_API sae_status sae_result_section(sae_result *result, const char *title, sae_error *err);
/* Plain text for the reader at this place; an empty line begins a new paragraph. */
SAE_API sae_status sae_result_note(sae_result *result, const char *text, sae_error *err);

/* A number, a number with its interval [low, high], a text. */
SAE_API sae_status sae_result_number(sae_result *result, const char *key, double value, sae_error *err);
SAE_API sae_status sae_result_interval(sae_result *result, const char *key, double value, double low, double high,
                                       sae_error *err);
/* An interval for programs: in the file and for sae_result_get, but neither printed nor on the page, where a table has it. */
SAE_API sae_status sae_result_silent(sae_result *result, const char *key, double value, double low, double high,
                                     sae_error *err);
SAE_API sae_status sae_result_text(sae_result *result, const char *key, const char *value, sae_error *err);
/* How the number or text `key` is called on the page (else by its key), and one short line below it; both may be NULL. */
SAE_API sae_status sae_result_label(sae_result *result, const char *key, const char *label, const char *remark,
                                    sae_error *err);
SAE_API double sae_result_get(const sae_result *result, const char *key, double otherwise);
/* An interval's value, low and high; of a single number all three. False: there is none of that name, or it is undefined. */
SAE_API bool sae_result_get_interval(const sae_result *result, const char *key, double out[3]);
SAE_API const char *sae_result_get_text(const sae_result *result, const char *key,
                                        const char *otherwise); /* borrowed */

/* A cell of a table. A text that does not begin with a number has none beside it, whatever `number` says when it is 0 or
 * NaN. */
typedef struct sae_cell {
    const char *text; /* NULL: the number, formatted */
    double number;
} sae_cell;

/* A setting of the run: an option, a path, a cost. */
SAE_API sae_status sae_result_setting(sae_result *result, const char *key, sae_cell value, sae_error *err);
/* What the result was computed from: the hash of a model, a text, a dictionary. */
SAE_API sae_status sae_result_input(sae_result *result, const char *key, uint64_t hash, sae_error *err);

/* A table: begin with its columns, then rows of cells (text as it shall be read; numbers keep their value beside). */
SAE_API sae_status sae_result_table(sae_result *result, const char *table, const char *title,
                                    const char *const *columns, int n_columns, sae_error *err);
SAE_API sae_status sae_result_row(sae_result *result, const char *table, const sae_cell *cells, int n_cells,
                                  sae_error *err);

typedef enum sae_plot_kind {
    SAE_PLOT_LINE, /* x and y; a marker at each point when they are few */
    SAE_PLOT_STEP, /* a histogram: y stands from each x to the next; the last bin is as wide as the one before */
    SAE_PLOT_BAR,  /* one group of bars for each category */
} sae_plot_kind;
enum { SAE_PLOT_LOG_X = 1, SAE_PLOT_LOG_Y = 2 };

/* A plot with its title and axes; labels may be NULL, flags are SAE_PLOT_LOG_X | SAE_PLOT_LOG_Y or 0. Plots put in one
 * after the other stand side by side where there is room. */
SAE_API sae_status sae_result_plot(sae_result *result, const char *plot, const char *title, const char *x_label,
                                   const char *y_label, sae_plot_kind kind, int flags, sae_error *err);
/* A curve of n points in the plot `plot` (made as a LINE plot when new). NaN in y is a gap. */
SAE_API sae_status sae_result_series(sae_result *result, const char *plot, const char *label, const double *x,
                                     const double *y, int64_t n, sae_error *err);
/* n points by themselves, each with its name beside it where there is room. */
SAE_API sae_status sae_result_points(sae_result *result, const char *plot, const char *label, const double *x,
                                     const double *y, const char *const *names, int64_t n, sae_error *err);
/* The same as a curve, with a band or whiskers [low, high] about each point. */
SAE_API sae_status sae_result_series_interval(sae_result *result, const char *plot, const char *label, const double *x,
                                              const double *y, const double *low, const double *high, int64_t n,
                                              sae_error *err);
/* Bars of height y over n named categories; low and high (both or neither may be NULL) are their whiskers. */
SAE_API sae_status sae_result_bars(sae_result *result, const char *plot, const char *label,
                                   const char *const *categories, const double *y, const double *low,
                                   const double *high, int64_t n, sae_error *err);
/* Sets a series that is there apart as a control, what an effect is seen against: random latents, shuffled labels. It is drawn grey and
 * broken, so that no control looks like data. */
SAE_API sae_status sae_result_control(sae_result *result, const char *plot, const char *label, sae_error *err);
/* A reference line: chance, zero ablation, a threshold. Horizontal at y = at, or vertical at x = at. */
SAE_API sae_status sae_result_line(sae_result *result, const char *plot, const char *label, bool vertical, double at,
                                   sae_error *err);

/* A card shows one latent or one direction to a person: `group` collects cards under a heading, `id` is unique in the
 * result, `facts` is one line of numbers, `promoted` and `suppressed` are token pieces separated by newlines (NULL:
 * not known). */
SAE_API sae_status sae_result_card(sae_result *result, const char *group, const char *id, const char *title,
                                   const char *facts, const char *promoted, const char *suppressed, sae_error *err);
/* One context of a card: n token pieces with the (signed) strength of the latent at each; `peak` is the index of the
 * strongest, -1 for none. Contexts of one card share one scale of colours. */
SAE_API sae_status sae_result_context(sae_result *result, const char *card_id, const char *const *pieces,
                                      const double *strengths, int64_t n, int64_t peak, sae_error *err);

/* Renders results, in the order given, into one HTML file that needs nothing else: no network, no script is needed to read it. */
SAE_API sae_status sae_report_write(const char *path, const char *title, const sae_result *const *results,
                                    int n_results, bool force, sae_error *err);

/* ---- Measurements ---------------------------------------------------------------------------------------------------- */

typedef struct sae_eval_options {
    int64_t tokens;    /* unmasked tokens to read, in whole sequences; 0: 20,480 */
    int64_t ce_tokens; /* of them, tokens that each loss is measured on; 0: 8,192 */
    double max_norm;   /* rows with a norm over max_norm x the median are left out; 0: 10; negative: none is */
    int contexts;      /* of each latent, at most 16; 0: 8 */
    uint64_t seed;     /* of the bootstrap */
} sae_eval_options;

/* Core measures of a dictionary on the rows of `site` as the model computes them from `held_out`: L0, FVU, cosine, dead and
 * dense latents, and the model's loss with the reconstruction in place of the rows, against clean and zero ablation. Position
 * 0, special tokens and rows over max_norm are neither changed nor scored. Fails with SHAPE when d_in is not the model's
 * width, RANGE when the text is too short. Caller frees *out with sae_result_free. */
SAE_API sae_status sae_eval_core(sae_result **out, const sae_dict *dict, sae_model *model, sae_text *held_out,
                                 sae_site site, const sae_eval_options *options, const sae_progress *progress,
                                 sae_error *err);

/* A card for each of n latents: its strongest contexts, each from another sequence, how often and how strongly it fires,
 * and the tokens that its decoder row promotes and suppresses most (logit lens). */
SAE_API sae_status sae_eval_features(sae_result **out, const sae_dict *dict, sae_model *model, const sae_tokenizer *tok,
                                     sae_text *held_out, sae_site site, const int64_t *latents, int n,
                                     const sae_eval_options *options, const sae_progress *progress, sae_error *err);

#ifdef __cplusplus
}
#endif
#endif
