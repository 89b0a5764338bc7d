/*
 * base.h - what every other folder leans on: errors, memory, random numbers, the processor, JSON, time.
 *
 * Error style: one label `done:` per function, everything initialised, SAE_TRY jumps there.
 */
#ifndef SAE_BASE_H
#define SAE_BASE_H

#include "sae.h"

/* ---- Errors (status.c) -------------------------------------------------------------------------------------------- */

#define SAE_STRINGIFY_(x) #x
#define SAE_STRINGIFY(x)  SAE_STRINGIFY_(x)
#define SAE_HERE          __FILE__ ":" SAE_STRINGIFY(__LINE__)

/* Fills err (unless it holds an earlier failure) and returns code. The message says what was found, what was expected
 * and what to do. */
sae_status sae_fail_at(sae_error *err, sae_status code, const char *where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#define SAE_FAIL(err, code, ...) sae_fail_at((err), (code), SAE_HERE, __VA_ARGS__)

/* `status` is a local variable of the calling function. */
#define SAE_TRY(expression)                                                                                            \
    do {                                                                                                               \
        status = (expression);                                                                                         \
        if (status != SAE_OK) goto done;                                                                               \
    } while (0)
/* Fail and leave, in one. */
#define SAE_RAISE(err, code, ...)                                                                                      \
    do {                                                                                                               \
        status = SAE_FAIL((err), (code), __VA_ARGS__);                                                                 \
        goto done;                                                                                                     \
    } while (0)

/* Puts "prefix: " before the message of a failure on its way up: the file's or tensor's name. */
void sae_error_prefix(sae_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- Memory (memory.c) ---------------------------------------------------------------------------------------------- */

/* All memory of ours comes from here: counted, 64-byte aligned, zeroed, refused inside a guard. `what` names it in the
 * error. NULL only with SAE_NOMEM set in err. mem_free accepts NULL. */
void *mem_alloc(size_t bytes, const char *what, sae_error *err);
/* count * size with overflow checked. */
void *mem_alloc_array(size_t count, size_t size, const char *what, sae_error *err);
/* Keeps the old contents; the old block is freed only on success. */
void *mem_grow(void *old, size_t old_bytes, size_t new_bytes, const char *what, sae_error *err);
void mem_free(void *block);
char *mem_strdup(const char *text, sae_error *err);
size_t mem_in_use(void); /* bytes held now */

/* Between begin and end mem_alloc fails and says so: the proof that a training step allocates nothing. */
void mem_guard_begin(const char *phase);
void mem_guard_end(void);
/* The Nth mem_alloc from now fails (1: the next one); 0 switches this off. For tests. */
void mem_fail_nth(int64_t nth);
bool mem_failed(void); /* since it was last asked for: was there an allocation to fail? */

bool mul_overflows(size_t a, size_t b, size_t *product);
size_t mem_resident(size_t bytes); /* of memory that a block of so many bytes takes: large ones are whole huge pages */
size_t memory_peak_rss(void);      /* bytes; 0 when unknown */
/* Bytes that could be taken now without swapping, being ended for it or being refused (ulimit -v); 0 when unknown. */
size_t memory_left(void);
/* The same for who plans what will be taken later: less what else the process will take of a limited address space. */
size_t memory_available(void);
/* Bytes that a control group (of a container, say) still allows, by its folder of either version; SIZE_MAX: no limit. */
size_t memory_left_in_group(const char *folder);

/* An arena laid out twice by the same function: with base NULL it only counts, then it hands out memory. */
typedef struct arena {
    unsigned char *base;
    size_t used;
} arena;
void *arena_take(arena *a, size_t bytes); /* 64-byte aligned; NULL while counting */

/* ---- Random numbers (random.c): xoshiro256++, seeded by splitmix64 ------------------------------------------------- */

typedef struct rng {
    uint64_t s[4];
} rng;
rng rng_seed(uint64_t seed, uint64_t stream); /* independent streams of one seed */
uint64_t rng_next(rng *r);
uint64_t rng_below(rng *r, uint64_t n); /* unbiased in [0, n) */
double rng_uniform(rng *r);             /* [0, 1) */
double rng_normal(rng *r);              /* mean 0, variance 1 */
void rng_shuffle(rng *r, int64_t *items, int64_t n);

/* ---- Order (order.c) -------------------------------------------------------------------------------------------------- */

int compare_doubles(const void *a, const void *b); /* for qsort: ascending */
/* Sorts values [n], n > 0, none NaN: their quantile q in [0, 1], linear between neighbours; the median at 0.5. */
double sort_quantile(double *values, int64_t n, double q);

/* ---- The processor (cpu.c) ---------------------------------------------------------------------------------------- */

typedef enum cpu_isa { ISA_SCALAR, ISA_AVX2, ISA_AVX512, ISA_AVX512_BF16 } cpu_isa;
/* The best that processor and operating system support, or what SAE_ISA= (scalar, avx2, avx512, avx512_bf16) asks for
 * when it is not better than that. Decided at the first call. */
cpu_isa cpu_isa_get(void);
const char *cpu_isa_name(cpu_isa isa);
const char *cpu_name(void); /* as the kernel tells it */
/* An error when SAE_ISA names an unknown set, or one that this processor lacks. Call early. */
sae_status cpu_isa_check(sae_error *err);

double clock_seconds(void); /* monotonic */

/* ---- JSON (json.c): what jansson does not do by itself --------------------------------------------------------------- */

#include <jansson.h>

/* Parses, rejecting duplicate keys and depth over 64; `name` stands in messages. Caller json_decref's *out. */
sae_status json_parse(json_t **out, const char *text, size_t bytes, const char *name, sae_error *err);
/* Building a value of many parts with one check, at its end: these take `value` and put it in. When it is NULL or there is no
 * memory, what *object or *array held is freed and it is NULL from then on, which json_put and json_add accept. */
void json_put(json_t **object, const char *key, json_t *value);
void json_add(json_t **array, json_t *value);
/* A value of its own with all that is in it; NULL: no memory, or no value. In place of json_deep_copy, which leaves members out when there is
 * none for them, and says nothing. */
json_t *json_whole_copy(const json_t *value);
/* The text of a value; a NULL value is one for which there was no memory. In place of json_dumps, which leaves a key out when
 * there is none for it. mem_free. */
char *json_to_text(const json_t *value, size_t flags, sae_error *err);
/* A string of any bytes, as a path or an argument may have them: what is not UTF-8 becomes U+FFFD. jansson gives NULL for it. */
json_t *json_text(const char *text);
bool text_is_utf8(const char *text, size_t bytes);
/* A JSON null for what is not finite, which JSON cannot say. */
json_t *json_number_or_null(double value);
/* The key of the first member of `ours` that `theirs` has another value of, or none (numbers by value, whole or not); NULL: no
 * such. Borrowed from `ours`. */
const char *json_first_difference(const json_t *ours, const json_t *theirs);
/* The same, and where there is none, of a member that only `theirs` has. */
const char *json_any_difference(const json_t *ours, const json_t *theirs);
/* Typed members. `otherwise` is given when the member is absent or null; a wrong type is an error naming `name`. */
sae_status json_get_int(const json_t *object, const char *key, int64_t otherwise, int64_t *out, const char *name,
                        sae_error *err);
sae_status json_get_double(const json_t *object, const char *key, double otherwise, double *out, const char *name,
                           sae_error *err);
sae_status json_get_bool(const json_t *object, const char *key, bool otherwise, bool *out, const char *name,
                         sae_error *err);
/* Borrowed from the object; `otherwise` may be NULL. */
sae_status json_get_string(const json_t *object, const char *key, const char *otherwise, const char **out,
                           const char *name, sae_error *err);

#endif
