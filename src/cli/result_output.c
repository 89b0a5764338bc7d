/* result_output.c - a result to its file or folder and to the person or program that asked. */
#include "cli/result_output.h"

#include "base/threads.h"
#include "io/io.h"
#include "kernels/matmul.h"
#include "report/report.h"

#include <stdio.h>

sae_status out_check(const args *a, sae_error *err)
{
    const char *out = args_text(a, "out");

    if (out && file_exists(out) && !args_flag(a, "force"))
        return SAE_FAIL(
            err, SAE_EXISTS,
            "%s exists and is not of this call and these inputs: give another --out, or --force to write over it", out);
    return SAE_OK;
}

sae_status result_print(const args *a, const sae_result *result, sae_error *err)
{
    return args_flag(a, "json") ? print_json(result_json(result), err) : report_print(stdout, result, err);
}

sae_status result_show(const args *a, sae_result *result, sae_error *err)
{
    sae_status status = SAE_OK;

    if (args_text(a, "out")) {
        SAE_TRY(result_sign(a, result, err));
        SAE_TRY(sae_result_write(result, args_text(a, "out"), err));
    }
    SAE_TRY(result_print(a, result, err));
done:
    return status;
}

/* ---- Folders ------------------------------------------------------------------------------------------------------------------ */

sae_status out_folder_check(const args *a, const char *begun, sae_error *err)
{
    const char *const names[] = {"run.json", begun ? begun : "run.json", "results", "report.html"};
    enum { RUN, BEGUN, NAMES = 4 };
    sae_status status = SAE_OK;
    const char *out = args_text(a, "out");
    bool there[NAMES] = {false};

    for (int i = 0; out && i < NAMES; i++) {
        char *path = path_join(out, names[i], err);
        if (!path) return SAE_NOMEM;
        there[i] = file_exists(path);
        mem_free(path);
    }
    if (there[RUN] && !args_flag(a, "force"))
        SAE_RAISE(
            err, SAE_EXISTS,
            "%s holds a finished run that is not of this call and these inputs: give another --out, or --force to "
            "write over it",
            out);
    for (int i = BEGUN + 1; i < NAMES && !there[RUN] && !there[BEGUN]; i++)
        if (there[i])
            SAE_RAISE(err, SAE_EXISTS, "%s holds %s and no run of this command: give another --out", out, names[i]);
done:
    return status;
}

static json_t *run_record(const args *a, const char *name)
{
    char full[64];

    snprintf(full, sizeof full, "lab %s", name);
    return json_pack("{ss ss so s{ss ss ss si}}", "command", full, "version", sae_version(), "arguments", args_json(a),
                     "machine", "processor", cpu_name(), "isa", cpu_isa_name(cpu_isa_get()), "products",
                     matmul_library(), "threads", omp_get_max_threads());
}

static sae_status write_folder(const args *a, const char *name, const char *title, const sae_result *result,
                               sae_error *err)
{
    sae_status status = SAE_OK;
    const char *out = args_text(a, "out");
    char file[64], *results = path_join(out, "results", err), *page = path_join(out, "report.html", err);
    char *numbers = NULL, *record = path_join(out, "run.json", err);
    json_t *run = run_record(a, name);

    snprintf(file, sizeof file, "%s.json", name);
    numbers = results ? path_join(results, file, err) : NULL;
    if (!numbers || !page || !record) SAE_TRY(SAE_NOMEM);
    if (!run) SAE_RAISE(err, SAE_NOMEM, "no memory for run.json");
    SAE_TRY(folder_make(results, err));
    SAE_TRY(sae_result_write(result, numbers, err));
    SAE_TRY(sae_report_write(page, title, &result, 1, true, err));
    SAE_TRY(json_write_file(run, record, true, err)); /* out_folder_check has asked already */
done:
    json_decref(run);
    mem_free(results);
    mem_free(numbers);
    mem_free(page);
    mem_free(record);
    return status;
}

sae_status result_folder(const args *a, const char *name, const char *title, sae_result *result, sae_error *err)
{
    sae_status status = SAE_OK;

    if (args_text(a, "out")) {
        SAE_TRY(result_sign(a, result, err));
        SAE_TRY(write_folder(a, name, title, result, err));
    }
    SAE_TRY(result_print(a, result, err));
done:
    return status;
}
