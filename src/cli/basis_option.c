/* basis_option.c - reads the subspace that a user gives. */
#include "cli/basis_option.h"

#include "lab/basis.h"

sae_status basis_option_read(subspace *out, const args *a, int64_t d, sae_error *err)
{
    basis_file b = {0};
    const char *path = args_text(a, "basis");
    sae_status status = basis_file_read(&b, path, d, err);

    if (status != SAE_OK) return status;
    if (b.space.rank < b.columns)
        warn("%s: of its %lld columns %lld are independent; the subspace has that rank", path, (long long)b.columns,
             (long long)b.space.rank);
    *out = b.space;
    return SAE_OK;
}
