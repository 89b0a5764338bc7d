/* model_ops_avx2.c - the ops of model_ops.h for AVX2. */
#if defined(__AVX2__)

#define MODEL_OPS model_ops_avx2
#include "kernels/cpu/model_ops_body.h"

#else

#include "kernels/model_ops.h"
const model_ops model_ops_avx2 = {0};

#endif
