/* basis_option.h - the subspace of --basis. */
#ifndef SAE_CLI_BASIS_OPTION_H
#define SAE_CLI_BASIS_OPTION_H

#include "cli/cli.h"
#include "lab/basis.h"

/* The columns [d, r] of the array that --basis names (lab/basis.h), with a warning when they are not independent. Caller frees with
 * subspace_free. */
sae_status basis_option_read(subspace *out, const args *a, int64_t d, sae_error *err);
/* The same with the columns themselves. Caller frees with basis_file_free. */
sae_status basis_option_file(basis_file *out, const args *a, int64_t d, sae_error *err);

#endif
