/* result_output.h - what commands do with a result that goes to --out FILE and to standard output. */
#ifndef SAE_CLI_RESULT_OUTPUT_H
#define SAE_CLI_RESULT_OUTPUT_H

#include "cli/cli.h"

/* Before the work: EXISTS when the file of --out is there and --force is not given. */
sae_status out_check(const args *a, sae_error *err);
/* The file of --out, when given; then JSON (--json) or text on standard output. */
sae_status result_show(const args *a, const sae_result *result, sae_error *err);

#endif
