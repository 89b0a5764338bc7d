/* result_output.c - a result to its file and to the person or program that asked. */
#include "cli/result_output.h"

#include "io/io.h"
#include "report/report.h"

#include <stdio.h>

sae_status out_check(const args *a, sae_error *err)
{
    const char *out = args_text(a, "out");

    if (out && file_exists(out) && !args_flag(a, "force"))
        return SAE_FAIL(err, SAE_EXISTS, "%s exists: give another --out, or --force to write over it", out);
    return SAE_OK;
}

sae_status result_show(const args *a, const sae_result *result, sae_error *err)
{
    sae_status status = SAE_OK;

    if (args_text(a, "out")) SAE_TRY(sae_result_write(result, args_text(a, "out"), err));
    if (args_flag(a, "json"))
        SAE_TRY(print_json(result_json(result), err));
    else
        SAE_TRY(report_print(stdout, result, err));
done:
    return status;
}
