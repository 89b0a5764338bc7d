/* basis_option.c - reads the subspace that a user gives. */
#include "cli/basis_option.h"

sae_status basis_option_file(basis_file *out, const args *a, int64_t d, sae_error *err)
{
    const char *path = args_text(a, "basis");
    sae_status status = basis_file_read(out, path, d, err);

    if (status == SAE_OK && out->space.rank < out->columns)
        warn("%s: of its %lld columns %lld are independent; the subspace has that rank", path, (long long)out->columns,
             (long long)out->space.rank);
    return status;
}

sae_status basis_option_read(subspace *out, const args *a, int64_t d, sae_error *err)
{
    basis_file b = {0};
    sae_status status = basis_option_file(&b, a, d, err);

    if (status != SAE_OK) return status;
    *out = b.space;
    b.space = (subspace){0};
    basis_file_free(&b);
    return SAE_OK;
}
