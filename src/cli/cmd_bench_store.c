/* cmd_bench_store.c - `sae bench store`: how fast a store is read on one core, beside a copy of the same bytes. */
#include "acts/bench.h"
#include "base/threads.h"
#include "acts/store.h"
#include "cli/cli.h"
#include "io/io.h"

#include <stdio.h>
#include <unistd.h>

static const char *const dtypes[] = {"bf16", "f16", "f32", "int8", NULL}; /* by sae_store_dtype */

static const option_row options[] = {
    {"size", OPTION_COUNT, "BYTES", "of the rows of a store made for this, in a folder of the current one", "512M"},
    {"d-in", OPTION_COUNT, "N", "width of its rows", "768"},
    {"dtype", OPTION_TEXT, "TYPE", "of its rows: bf16, f16, f32 or int8", "bf16"},
    OPTION_BATCH_ROW("4096"),
    {"passes", OPTION_COUNT, "N", "measurements in turn", "5"},
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

/* A store of our own, when none was named. */
static sae_status make_store(args *a, char *path, size_t size, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t d = args_int(a, "d-in", 0), bytes = args_int(a, "size", 0), rows;
    int type = 0;

    SAE_TRY(args_choice(a, "dtype", dtypes, &type, err));
    if (d < 1 || d > 1 << 20) SAE_TRY(args_fail(a, err, "--d-in must lie between 1 and %d", 1 << 20));
    rows = bytes / (d * dtype_table[store_dtypes[type]].block_bytes);
    if (rows < 1) SAE_TRY(args_fail(a, err, "--size %lld holds no row of width %lld", (long long)bytes, (long long)d));
    snprintf(path, size, "bench_store.%ld", (long)getpid());
    say(a, "writing %lld rows to %s", (long long)rows, path);
    SAE_TRY(store_bench_make(path, rows, d, (sae_store_dtype)type, err));
done:
    return status;
}

static sae_status print_result(const args *a, const store_bench_result *r, double stored, sae_error *err)
{
    const double gb = 1e-9;

    if (args_flag(a, "json")) {
        json_t *json = json_pack("{ss sI sI sI sf sf sf sf sf sf}", "isa", cpu_isa_name(cpu_isa_get()), "rows",
                                 (json_int_t)r->rows, "d", (json_int_t)r->d, "decoded_bytes",
                                 (json_int_t)r->decoded_bytes, "stored_share", stored, "decoded_bytes_per_s",
                                 r->decoded[0], "shuffled_bytes_per_s", r->decoded[1], "first_bytes_per_s", r->first,
                                 "first_wall_bytes_per_s", r->first_wall, "copied_bytes_per_s", r->copied);
        sae_status status = print_json(json, err);
        json_decref(json);
        return status;
    }
    printf("%s, %s, one thread, processor time\n%s\n", cpu_name(), cpu_isa_name(cpu_isa_get()), r->describe);
    printf("%-34s %8s %8s %8s\n", "GB/s", "decoded", "stored", "of copy");
    printf("%-34s %8.2f %8s %8s\n", "copying decoded rows (memcpy)", r->copied * gb, "", "1.00");
    printf("%-34s %8.2f %8.2f %8.2f\n", "in order, cached", r->decoded[0] * gb, r->decoded[0] * gb * stored,
           r->decoded[0] / r->copied);
    printf("%-34s %8.2f %8.2f %8.2f\n", "shuffled, cached", r->decoded[1] * gb, r->decoded[1] * gb * stored,
           r->decoded[1] / r->copied);
    printf("%-34s %8.2f %8.2f %8.2f\n", "first pass: with checksums", r->first * gb, r->first * gb * stored,
           r->first / r->copied);
    printf("%-34s %8.2f %8.2f\n", "the same by the clock", r->first_wall * gb, r->first_wall * gb * stored);
    return SAE_OK;
}

static sae_status run_bench_store(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *operands;
    char own[64] = "";
    int n = args_operands(a, &operands);
    store_bench_result r = {0};
    store_bench_options o = {.batch = args_int(a, "batch", 0), .passes = (int)args_int(a, "passes", 0)};

    if (o.batch < 1 || o.batch > 1 << 24) SAE_TRY(args_fail(a, err, "--batch must lie between 1 and %d", 1 << 24));
    if (args_int(a, "passes", 0) > 1000) SAE_TRY(args_fail(a, err, "--passes: at most 1000"));
    if (n == 0) SAE_TRY(make_store(a, own, sizeof own, err));
    o.path = n ? operands[0] : own;
    omp_set_num_threads(1);
    SAE_TRY(store_bench(&r, &o, err));
    SAE_TRY(print_result(a, &r, r.stored_share, err));
done:
    if (*own) folder_remove(own, NULL);
    return status;
}

const command command_bench_store = {
    .name = "bench store",
    .arguments = "[FOLDER]",
    .summary = "how fast a store is read on one core, on this machine",
    .details =
        "Reads a store (or one that is made for this) to float32 rows, in turn with plain copies of as many bytes,\n"
        "all on one thread and by its processor time: what else the machine does counts little. Decoded bytes\n"
        "are those of the float32 rows, stored bytes those of the rows on disk.",
    .examples = "sae bench store\nsae bench store --dtype int8 --size 1G\nsae bench store runs/demo/acts --json\n",
    .min_operands = 0,
    .max_operands = 1,
    .options = options,
    .run = run_bench_store,
};
