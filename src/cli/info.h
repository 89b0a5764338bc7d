/* info.h - what the files of `sae info` share. */
#ifndef SAE_CLI_INFO_H
#define SAE_CLI_INFO_H

#include "cli/cli.h"

/* A line for people (json NULL), or a member of the JSON object. */
void info_show(json_t **json, const char *key, const char *label, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool info_holds(const char *folder, const char *name);

/* The folder of a run or a sweep, whose record is PATH/RECORD. */
sae_status info_run(const char *path, const char *record, bool as_json, sae_error *err);
/* One folder of checkpoints/. */
sae_status info_checkpoint(const char *path, json_t **json, sae_error *err);

#endif
