/* basis_option.h - the subspace of --basis. */
#ifndef SAE_CLI_BASIS_OPTION_H
#define SAE_CLI_BASIS_OPTION_H

#include "cli/cli.h"
#include "eval/subspace.h"

/* The columns [d, r] of the array that --basis names (lab/basis.h), with a warning when they are not independent. Caller frees with
 * subspace_free. */
sae_status basis_option_read(subspace *out, const args *a, int64_t d, sae_error *err);

#endif
