/* model_ops_avx512.c - the ops of model_ops.h for AVX-512. */
#if defined(__AVX512F__)

#define MODEL_OPS model_ops_avx512
#include "kernels/cpu/model_ops_body.h"

#else

#include "kernels/model_ops.h"
const model_ops model_ops_avx512 = {0};

#endif
