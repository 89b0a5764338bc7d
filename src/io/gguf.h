/* gguf.h - the inside of an open GGUF file, shared by its reader (gguf.c) and the access to metadata (gguf_keys.c). */
#ifndef SAE_GGUF_H
#define SAE_GGUF_H

#include "io/bytes.h"
#include "io/io.h"

/* Types of metadata values, by the file's numbers. */
enum {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_N_VALUES
};
extern const int gguf_value_bytes[GGUF_N_VALUES]; /* 0 for strings and arrays */

typedef struct gguf_value {
    char *key;
    uint32_t type, element; /* element: of an array */
    uint64_t count;         /* of an array */
    const unsigned char *data;
    const unsigned char **strings; /* of an array of strings: where each begins, with its length */
} gguf_value;

typedef struct gguf_tensor {
    tensor t;
    uint64_t offset;
} gguf_tensor;

struct gguf {
    file_map map;
    int version;
    int64_t n_values, n_tensors;
    gguf_value *values, **by_key;
    gguf_tensor *tensors, **by_name;
};

const gguf_value *gguf_value_find(const gguf *g, const char *key); /* NULL when absent */

#endif
