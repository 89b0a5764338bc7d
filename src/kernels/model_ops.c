/*
 * model_ops.c - chooses the ops for this processor, and causal attention built of them and of matmul.h.
 */
#include "kernels/model_ops.h"
#include "base/threads.h"

#include "kernels/matmul.h"

#include <pthread.h>

static model_ops chosen;

/* What a table has in place of what was chosen so far. */
static void take(const model_ops *from)
{
#define TAKE(op)                                                                                                       \
    if (from->op) chosen.op = from->op
    TAKE(rms_norm);
    TAKE(layer_norm);
    TAKE(rotary);
    TAKE(softmax);
    TAKE(silu);
    TAKE(gelu);
    TAKE(gelu_tanh);
    TAKE(add);
    TAKE(log_sum_exp);
#undef TAKE
}

static void choose(void)
{
    chosen = model_ops_ref;
    if (cpu_isa_get() >= ISA_AVX2) take(&model_ops_avx2);
    if (cpu_isa_get() >= ISA_AVX512) take(&model_ops_avx512);
}

const model_ops *model_ops_get(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, choose);
    return &chosen;
}

/* Queries that share one product. More of them waste products with keys that lie ahead, fewer make the products small. */
enum { QUERY_BLOCK = 64 };

size_t attention_scratch(int64_t n_ctx) { return (size_t)omp_get_max_threads() * QUERY_BLOCK * (size_t)n_ctx; }

/* One block of queries of one head against the keys up to the block's end. */
static void attend_block(const attention *a, const model_ops *ops, int64_t s, int64_t block, int64_t h, float *scores)
{
    int64_t begin = block * QUERY_BLOCK, end = begin + QUERY_BLOCK < a->n_ctx ? begin + QUERY_BLOCK : a->n_ctx;
    int64_t first = s * a->n_ctx, n = end - begin, group = h * a->n_kv_head / a->n_head * a->d_head;
    int64_t out_stride = a->n_head * a->d_head;

    matmul_nt(n, end, a->d_head, a->q + (first + begin) * a->stride + h * a->d_head, a->stride,
              a->k + first * a->stride + group, a->stride, 0, scores, end);
    for (int64_t i = 0; i < n; i++) ops->softmax(begin + i + 1, end, a->scale, scores + i * end);
    matmul_nn(n, a->d_head, end, scores, end, a->v + first * a->stride + group, a->stride, 0,
              a->out + (first + begin) * out_stride + h * a->d_head, out_stride);
}

void attention_run(const attention *a, float *scratch)
{
    const model_ops *ops = model_ops_get();
    int64_t n_block = (a->n_ctx + QUERY_BLOCK - 1) / QUERY_BLOCK;

    /* Dynamic: blocks differ in length. Each writes its own rows, so the result does not depend on who computes it. The
     * longest come first. */
#pragma omp parallel for collapse(3) schedule(dynamic)
    for (int64_t b = 0; b < n_block; b++)
        for (int64_t s = 0; s < a->n_seq; s++)
            for (int64_t h = 0; h < a->n_head; h++)
                attend_block(a, ops, s, n_block - 1 - b, h,
                             scratch + (size_t)omp_get_thread_num() * QUERY_BLOCK * (size_t)a->n_ctx);
}
