/* result_output.h - what commands do with a result that goes to --out, a file or a folder, and to standard output. */
#ifndef SAE_CLI_RESULT_OUTPUT_H
#define SAE_CLI_RESULT_OUTPUT_H

#include "cli/cli.h"

/* Before the command's own work (main.c): *kept when --out has a result of this call and these inputs already, which is then printed as
 * result_show does. name: of command.kept_as. (result_kept.c) */
sae_status result_kept(const args *a, const char *name, bool *kept, sae_error *err);
/* Writes into a result what result_kept compares: one checksum of the call and of all that it reads. */
sae_status result_sign(const args *a, sae_result *result, sae_error *err);
/* JSON (--json) or text on standard output. */
sae_status result_print(const args *a, const sae_result *result, sae_error *err);

/* Before the work: EXISTS when the file of --out is there and --force is not given. */
sae_status out_check(const args *a, sae_error *err);
/* The file of --out, when given; then JSON (--json) or text on standard output. */
sae_status result_show(const args *a, sae_result *result, sae_error *err);

/* The same where --out is a folder: EXISTS when a finished run (run.json) is in it, or results of something else. begun: the file by which the
 * command knows a folder of its own that is not finished; may be NULL. */
sae_status out_folder_check(const args *a, const char *begun, sae_error *err);
/* Into the folder of --out, when given, results/NAME.json, report.html with the title and, last, run.json; then as result_show. */
sae_status result_folder(const args *a, const char *name, const char *title, sae_result *result, sae_error *err);

#endif
