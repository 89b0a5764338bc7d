/*
 * store.h - the layout of a store of rows, which store_write.c makes and store_read.c reads:
 *
 *   meta.json                   width, type, number of rows; each shard's rows and XXH3; where the rows came from
 *   shard-00000.safetensors     rows [n, d] BF16, F16, F32 or I8, scales [n] F32 (I8 only: a row is scale x its numbers),
 *                               tokens [n] I32, positions [n] I32
 *   shard-00001.safetensors     ...
 */
#ifndef SAE_ACTS_STORE_H
#define SAE_ACTS_STORE_H

#include "base/dtype.h"

#define STORE_META_NAME  "meta.json"
#define STORE_FORMAT     "sae activation store"
#define STORE_VERSION    1
#define STORE_SHARD_NAME "shard-%05lld.safetensors"
enum { STORE_MAX_SHARDS = 100000, STORE_DTYPES = 4 };

/* By sae_store_dtype. */
static const dtype store_dtypes[STORE_DTYPES] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32, DTYPE_I8};

#endif
