/*
 * fuzz.c - libFuzzer on the reader named by FORMAT: any bytes are read or refused, nothing is kept (make fuzz).
 *
 * The mutator begins from, and returns at times to, the valid file that the tests use: no seed files are needed.
 */
#include "io_exact.h"
#include "io_use.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t n, size_t room, unsigned int seed);
size_t LLVMFuzzerMutate(unsigned char *data, size_t n, size_t room);

static const format *chosen(void)
{
    static format formats[N_FORMATS];

    if (!formats[0].name) make_formats(formats);
    for (int i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i].name, FORMAT) == 0) return &formats[i];
    abort();
}

size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t n, size_t room, unsigned int seed)
{
    const bytes *valid = &chosen()->valid;

    if ((n < 8 || seed % 512 == 0) && valid->n <= room) {
        memcpy(data, valid->data, valid->n);
        n = valid->n;
    }
    return LLVMFuzzerMutate(data, n, room);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    sae_error err = {0};
    bytes b = {0};

    put(&b, data, n);
    sae_status status = chosen()->use(memory_file(&b), &err);
    if (status != err.code || mem_in_use() != 0) abort();
    bytes_free(&b);
    return 0;
}
