/*
 * sweep_finished.c - which dictionaries of a sweep are finished: NAME/result.json tells, and NAME/sae must be there and whole.
 *
 * One whose result or export is damaged is not finished: it is told, and trained again. A result is damaged when something that belongs to
 * it is missing or of the wrong kind, an export when it is no dictionary, or not the one that was measured.
 */
#include "cli/sweep.h"
#include "io/io.h"
#include "sae/saelens.h"

#include <stdio.h>
#include <string.h>

int sweep_index_of(const sweep *s, const char *name)
{
    for (int i = 0; i < s->dicts.n; i++)
        if (strcmp(s->dicts.names[i], name) == 0) return i;
    return -1;
}

/* Somebody may have taken the dictionary away: it is trained again. */
static sae_status look_at_export(const char *folder, bool *there, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error why = {0};
    char *sae = path_join(folder, "sae", err), *cfg = sae ? path_join(sae, SAELENS_CONFIG_NAME, err) : NULL;
    char *weights = sae ? path_join(sae, SAELENS_WEIGHTS_NAME, err) : NULL;

    if (!cfg || !weights) SAE_TRY(SAE_NOMEM);
    if (!file_exists(cfg) || !file_exists(weights)) goto done;
    status = saelens_check(sae, &why);
    *there = status == SAE_OK;
    if (status == SAE_FORMAT || status == SAE_SHAPE || status == SAE_UNSUPPORTED)
        SAE_RAISE(err, SAE_FORMAT, "%s is no whole dictionary (%s)", sae, why.message);
    if (status != SAE_OK) SAE_RAISE(err, status, "%s", why.message);
done:
    mem_free(weights);
    mem_free(cfg);
    mem_free(sae);
    return status;
}

sae_status sweep_weights_hash(const char *folder, const sae_progress *progress, char out[HASH_TEXT], sae_error *err)
{
    sae_status status = SAE_OK;
    char *sae = path_join(folder, "sae", err), *path = sae ? path_join(sae, SAELENS_WEIGHTS_NAME, err) : NULL;

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(file_hash_text(path, progress, out, err));
done:
    mem_free(path);
    mem_free(sae);
    return status;
}

/* Whether the weights are those that were measured; an older version noted no checksum of them. */
static sae_status check_weights(const sweep *s, const char *folder, const json_t *result, sae_error *err)
{
    const char *then = json_string_value(json_object_get(result, "weights_xxh3"));
    char now[HASH_TEXT];

    if (!then) return SAE_OK;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, s->a); /* those of a whole sweep are many GB */
    sae_status status = sweep_weights_hash(folder, &progress, now, err);
    progress_end(&line);
    if (status != SAE_OK || strcmp(now, then) == 0) return status;
    return SAE_FAIL(err, SAE_FORMAT, "%s/sae is not what was measured (checksum of its weights %s, then %.16s)", folder,
                    now, then);
}

/* ---- Results --------------------------------------------------------------------------------------------------------------- */

static bool is_count(const json_t *value, double least)
{
    return json_is_number(value) && json_number_value(value) >= least;
}

/* null: it is undefined */
static bool is_measure(const json_t *value) { return json_is_number(value) || json_is_null(value); }

/* The first member that is missing or of the wrong kind; NULL: it is whole. One without "dictionary" an older version may have written, of
 * which sweep_same_dict tells. */
static const char *damaged_member(const json_t *result)
{
    const json_t *recipe = json_object_get(result, "recipe"), *measured = json_object_get(result, "measured");
    const json_t *diverged = json_object_get(result, "diverged"), *last = json_object_get(result, "last_step");

    if (!json_is_object(json_object_get(result, "dictionary"))) return NULL;
    if (!is_count(json_object_get(recipe, "steps"), 1) || !is_count(json_object_get(recipe, "batch"), 1))
        return "recipe";
    if (diverged) return json_is_string(diverged) ? NULL : "diverged";
    if (!is_count(json_object_get(measured, "rows"), 1)) return "rows";
    if (!is_measure(json_object_get(measured, "l0"))) return "l0";
    if (!is_measure(json_object_get(measured, "fvu"))) return "fvu";
    if (!is_measure(json_object_get(measured, "cosine"))) return "cosine";
    if (!is_count(json_object_get(measured, "dead"), 0)) return "dead";
    if (!is_count(json_object_get(measured, "dense"), 0)) return "dense";
    return !last || json_is_object(last) ? NULL : "last_step"; /* a log that was cut tells none */
}

sae_status sweep_read_result(const sweep *s, const char *name, bool *finished, bool *diverged, json_t **result,
                             char **path, sae_error *err)
{
    sae_status status = SAE_OK;
    char *folder = path_join(s->folder, name, err);

    *finished = *diverged = false;
    *path = folder ? path_join(folder, "result.json", err) : NULL;
    if (!*path) SAE_TRY(SAE_NOMEM);
    if (!file_exists(*path)) goto done;
    SAE_TRY(json_read_file(result, *path, err));
    if (!json_is_string(json_object_get(*result, "name"))) SAE_RAISE(err, SAE_FORMAT, "%s: names no dictionary", *path);
    const char *damaged = damaged_member(*result);
    if (damaged) SAE_RAISE(err, SAE_FORMAT, "%s: \"%s\" is missing, or not what a sweep writes", *path, damaged);
    *diverged = json_object_get(*result, "diverged") != NULL;
    if (*diverged)
        *finished = true;
    else
        SAE_TRY(look_at_export(folder, finished, err));
    if (*finished && !*diverged) status = check_weights(s, folder, *result, err);
    if (status != SAE_OK) *finished = false;
done:
    mem_free(folder);
    return status;
}

/* The same of a dictionary that a sweep made, whose damaged result or export is none: as of one that was never finished. Of one that this
 * command does not name sweep_take_standing tells it. */
static sae_status read_or_pass_over(const sweep *s, const char *name, bool tell, bool *finished, bool *diverged,
                                    json_t **result, char **path, sae_error *err)
{
    sae_error unread = {0};
    sae_status status = sweep_read_result(s, name, finished, diverged, result, path, &unread);

    if (status == SAE_FORMAT) {
        if (tell) warn("%s: it is damaged, and %s is trained again", unread.message, name);
        json_decref(*result);
        *result = NULL;
        return SAE_OK;
    }
    return status == SAE_OK ? SAE_OK : SAE_FAIL(err, status, "%s", unread.message);
}

void sweep_note_text(sweep *s, const json_t *result)
{
    const char *text = json_string_value(json_object_get(result, "text_xxh3"));
    json_t *place = json_object_get(result, "text_place");

    if (text) snprintf(s->text, sizeof s->text, "%s", text);
    if (json_integer_value(json_object_get(place, "row")) <= json_integer_value(json_object_get(s->text_place, "row")))
        return;
    json_decref(s->text_place);
    s->text_place = json_incref(place);
}

sae_status sweep_find_finished(sweep *s, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = NULL;
    json_t *result = NULL;

    for (int i = 0; i < s->dicts.n; i++) {
        SAE_TRY(read_or_pass_over(s, s->dicts.names[i], true, &s->finished[i], &s->diverged[i], &result, &path, err));
        if (result)
            SAE_TRY(sweep_same_dict(s, i, json_object_get(result, "dictionary"), json_object_get(result, "recipe"),
                                    path, err));
        if (s->finished[i]) sweep_note_text(s, result);
        json_decref(result);
        result = NULL;
        mem_free(path);
        path = NULL;
    }
done:
    json_decref(result);
    mem_free(path);
    return status;
}

sae_status sweep_is_finished(const sweep *s, const char *name, bool *finished, sae_error *err)
{
    bool diverged;
    json_t *result = NULL;
    char *path = NULL;
    int at = sweep_index_of(s, name);

    if (at >= 0) { /* find_finished has read it */
        *finished = s->finished[at];
        return SAE_OK;
    }
    sae_status status = read_or_pass_over(s, name, false, finished, &diverged, &result, &path, err);
    json_decref(result);
    mem_free(path);
    return status;
}
