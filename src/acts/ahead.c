/*
 * ahead.c - a stream that is read by a thread of its own, one block ahead of its reader.
 *
 * Two blocks go round: the thread fills one while the other is served. The thread runs the inner stream alone as long as it
 * lives, allocates nothing (a training step forbids that) and starts no parallel region. Invariant: the rows are those of the
 * inner stream read without it. When the inner stream fails, the thread ends, and the failing call is made again by the
 * reader where it would have come without the thread, so that errors are the same too.
 */
#include "acts/acts.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

typedef struct block {
    float *rows; /* [block_rows, d] */
    int32_t *tokens, *positions;
    int64_t n;
    bool full;
} block;

typedef struct ahead {
    const acts_kind *kind; /* of the inner stream */
    void *inner;
    int64_t d, block_rows;
    int64_t given;      /* rows given to the reader */
    int64_t used;       /* of the block that is served */
    int serving;        /* 0 or 1 */
    bool started, live; /* the thread: begun for this stretch of the stream; to be joined */
    bool plan_only;     /* there are no blocks */

    /* Below the lock, while the thread lives: */
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    block blocks[2];
    bool stop, ended; /* stop: asked of the thread; ended: it fills no more (the end, or a failure) */
    pthread_t thread;
} ahead;

/* ---- The thread ---------------------------------------------------------------------------------------------------------- */

static block *wait_for_empty(ahead *a, int i)
{
    pthread_mutex_lock(&a->lock);
    while (a->blocks[i].full && !a->stop) pthread_cond_wait(&a->emptied, &a->lock);
    bool stop = a->stop;
    pthread_mutex_unlock(&a->lock);
    return stop ? NULL : &a->blocks[i];
}

static void *fill_blocks(void *user)
{
    ahead *a = user;
    bool more = true;
    block *b;

    for (int i = 0; more && (b = wait_for_empty(a, i)); i = !i) {
        int64_t n = 0;
        sae_status status = a->kind->next(a->inner, a->block_rows, b->rows, b->tokens, b->positions, &n, NULL);
        more = status == SAE_OK && n == a->block_rows;
        pthread_mutex_lock(&a->lock);
        b->n = status == SAE_OK ? n : 0;
        b->full = b->n > 0;
        a->ended = !more;
        pthread_cond_signal(&a->filled);
        pthread_mutex_unlock(&a->lock);
    }
    return NULL;
}

/* Signals are left to the threads of the program, but for those that reading a mapped file can raise here: blocked, they would end the
 * process without a word. Without a thread the rows are read as they are asked for. */
static void start_thread(ahead *a)
{
    static const int faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL};
    sigset_t all, before;

    a->started = true;
    a->stop = a->ended = false;
    a->blocks[0].full = a->blocks[1].full = false;
    a->used = a->serving = 0;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    a->live = pthread_create(&a->thread, NULL, fill_blocks, a) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!a->live) a->ended = true;
}

static void stop_thread(ahead *a)
{
    if (!a->live) return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->emptied);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    a->live = false;
}

/* ---- The stream ---------------------------------------------------------------------------------------------------------- */

/* The block to be served next; NULL when no more are coming. */
static block *wait_for_full(ahead *a)
{
    block *b = &a->blocks[a->serving];

    pthread_mutex_lock(&a->lock);
    while (!b->full && !a->ended) pthread_cond_wait(&a->filled, &a->lock);
    bool full = b->full;
    pthread_mutex_unlock(&a->lock);
    return full ? b : NULL;
}

static void give_back(ahead *a, block *b)
{
    a->used = 0;
    a->serving = !a->serving;
    pthread_mutex_lock(&a->lock);
    b->full = false;
    pthread_cond_signal(&a->emptied);
    pthread_mutex_unlock(&a->lock);
}

static sae_status ahead_next(void *self, int64_t n, float *rows, int32_t *tokens, int32_t *positions, int64_t *n_got,
                             sae_error *err)
{
    sae_status status = SAE_OK;
    ahead *a = self;
    int64_t got = 0, rest = 0;
    block *b;

    if (a->plan_only) return acts_is_plan(err);
    if (!a->started) start_thread(a);
    while (got < n && (b = wait_for_full(a))) {
        int64_t take = n - got < b->n - a->used ? n - got : b->n - a->used;
        memcpy(rows + got * a->d, b->rows + a->used * a->d, (size_t)(take * a->d) * sizeof *rows);
        if (tokens) memcpy(tokens + got, b->tokens + a->used, (size_t)take * sizeof *tokens);
        if (positions) memcpy(positions + got, b->positions + a->used, (size_t)take * sizeof *positions);
        got += take;
        a->used += take;
        if (a->used == b->n) give_back(a, b);
    }
    if (got < n) { /* the end, a failure, or no thread: what is missing is asked for here */
        stop_thread(a);
        SAE_TRY(a->kind->seek(a->inner, a->given + got, err));
        SAE_TRY(a->kind->next(a->inner, n - got, rows + got * a->d, tokens ? tokens + got : NULL,
                              positions ? positions + got : NULL, &rest, err));
    }
    a->given += got + rest;
    *n_got = got + rest;
done:
    return status;
}

static sae_status ahead_seek(void *self, int64_t row, sae_error *err)
{
    ahead *a = self;

    if (a->plan_only) return acts_is_plan(err);
    stop_thread(a);
    a->started = false;
    sae_status status = a->kind->seek(a->inner, row, err);
    if (status == SAE_OK) a->given = row;
    return status;
}

static size_t block_bytes(const ahead *a)
{
    return (size_t)a->block_rows * ((size_t)a->d * sizeof(float) + 2 * sizeof(int32_t));
}

static sae_acts_info ahead_info(const void *self)
{
    const ahead *a = self;
    sae_acts_info info = a->kind->info(a->inner);

    info.buffer_bytes += 2 * block_bytes(a);
    return info;
}

static void ahead_free(void *self)
{
    ahead *a = self;

    stop_thread(a);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->filled);
    pthread_cond_destroy(&a->emptied);
    for (int i = 0; i < 2; i++) {
        mem_free(a->blocks[i].rows);
        mem_free(a->blocks[i].tokens);
        mem_free(a->blocks[i].positions);
    }
    a->kind->free(a->inner);
    mem_free(a);
}

static sae_status ahead_again(const void *self, int64_t before, int64_t n, int64_t *again, sae_error *err)
{
    const ahead *a = self;

    return a->kind->again(a->inner, before, n, again, err);
}

static const acts_kind ahead_kind = {
    .next = ahead_next, .seek = ahead_seek, .info = ahead_info, .free = ahead_free, .again = ahead_again};

sae_status ahead_wrap(sae_acts **out, const acts_kind *kind, void *inner, const sae_acts_options *options,
                      sae_error *err)
{
    ahead *a = mem_alloc(sizeof *a, "reading ahead", err);
    size_t n = (size_t)options->read_ahead;

    if (!a) {
        kind->free(inner);
        return SAE_NOMEM;
    }
    a->kind = kind;
    a->inner = inner;
    a->d = kind->info(inner).d;
    a->block_rows = options->read_ahead;
    a->plan_only = options->plan_only;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->filled, NULL);
    pthread_cond_init(&a->emptied, NULL);
    for (int i = 0; i < 2 && !a->plan_only; i++) {
        block *b = &a->blocks[i];
        b->rows = mem_alloc_array(n, (size_t)a->d * sizeof *b->rows, "rows read ahead", err); /* the largest first */
        if (b->rows) b->tokens = mem_alloc_array(n, sizeof *b->tokens, "rows read ahead", err);
        if (b->tokens) b->positions = mem_alloc_array(n, sizeof *b->positions, "rows read ahead", err);
        if (!b->rows || !b->tokens || !b->positions) {
            ahead_free(a);
            return SAE_NOMEM;
        }
    }
    return acts_wrap(out, &ahead_kind, a, err);
}
