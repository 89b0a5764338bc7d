/* training_log.c - log.jsonl, which a resumed run continues to the byte, and time.jsonl, which belongs to the clock. */
#include "eval/training_log.h"

#include "io/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct training_log {
    line_log *steps, *times;
    double before;         /* seconds of earlier sessions */
    double opened, newest; /* clock: of this session's start and its newest line */
    int64_t newest_rows;   /* that had been trained on by then; -1: not known */
    bool lacks_the_start;
    int64_t cut_at;
};

/* What is known of the lines that stand. */
typedef struct standing {
    int64_t step;  /* of the checkpoint: lines of this step and later ones are cut off */
    int64_t first; /* of the first line; -1: none stands */
    int64_t lines;
    bool damaged; /* the next line is none of a log */
    double seconds;
} standing;

/* The number behind `key` (with its quotes and colon) in a line that '\n' ends. Not with a JSON parser: jansson's calls what it
 * has no memory for a syntax error, and the log would be cut. */
static bool number_behind(const char *line, size_t bytes, const char *key, double *out)
{
    const char *at = memmem(line, bytes, key, strlen(key));
    char *end = NULL;

    if (!at) return false;
    double value = strtod(at + strlen(key), &end);
    if (end == at + strlen(key) || !isfinite(value)) return false;
    *out = value;
    return true;
}

static bool line_stands(void *user, const char *line, size_t bytes)
{
    standing *s = user;
    double step;

    s->damaged =
        bytes < 2 || line[0] != '{' || line[bytes - 1] != '}' || !number_behind(line, bytes, "\"step\":", &step);
    if (s->damaged || step >= (double)s->step) return false;
    s->lines++;
    number_behind(line, bytes, "\"seconds\":", &s->seconds);
    if (s->first < 0) s->first = (int64_t)step;
    return true;
}

static sae_status open_one(line_log **out, const char *folder, const char *name, bool resume, standing *s,
                           sae_error *err)
{
    char *path = path_join(folder, name, err);
    sae_status status = path ? line_log_open(out, path, resume ? line_stands : NULL, s, err) : SAE_NOMEM;

    mem_free(path);
    return status;
}

sae_status training_log_open(training_log **out, const char *folder, bool resume, int64_t step, sae_error *err)
{
    sae_status status = SAE_OK;
    standing s = {.step = step, .first = -1};
    training_log *log = mem_alloc(sizeof *log, "the log of a run", err);

    if (!log) return SAE_NOMEM;
    SAE_TRY(open_one(&log->steps, folder, "log.jsonl", resume, &s, err));
    log->lacks_the_start = step > 0 && s.first != 0;
    log->cut_at = step > 0 && s.damaged ? s.lines + 1 : 0;
    s.seconds = 0;
    SAE_TRY(open_one(&log->times, folder, "time.jsonl", resume, &s, err));
    log->before = s.seconds;
    log->opened = log->newest = clock_seconds();
    log->newest_rows = step == 0 ? 0 : -1;
    *out = log;
    log = NULL;
done:
    training_log_close(log);
    return status;
}

bool training_log_lacks_the_start(const training_log *log) { return log->lacks_the_start; }

int64_t training_log_cut_at(const training_log *log) { return log->cut_at; }

sae_status training_log_sync(training_log *log, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(line_log_sync(log->steps, err));
    SAE_TRY(line_log_sync(log->times, err));
done:
    return status;
}

void training_log_close(training_log *log)
{
    if (!log) return;
    line_log_close(log->steps);
    line_log_close(log->times);
    mem_free(log);
}

/* Takes the line. */
static sae_status put_line(line_log *log, json_t *line, sae_error *err)
{
    char *text = json_to_text(line, JSON_COMPACT | JSON_REAL_PRECISION(9), NULL);
    sae_status status =
        text ? line_log_put(log, text, err) : SAE_FAIL(err, SAE_NOMEM, "no memory for a line of the log");

    mem_free(text);
    json_decref(line);
    return status;
}

static json_t *step_json(int64_t rows, const sae_step_stats *s, const char *name)
{
    json_t *line = json_pack(
        "{sI sI so so so so so so so so so sI sI sI sI}", "step", (json_int_t)s->step, "rows", (json_int_t)rows, "loss",
        json_number_or_null(s->loss), "l2_loss", json_number_or_null(s->l2_loss), "auxk_loss",
        json_number_or_null(s->auxk_loss), "sparsity_loss", json_number_or_null(s->sparsity_loss), "l0",
        json_number_or_null(s->l0), "fvu", json_number_or_null(s->fvu), "threshold", json_number_or_null(s->threshold),
        "grad_norm", json_number_or_null(s->grad_norm), "lr", json_number_or_null(s->lr), "dead", (json_int_t)s->dead,
        "dense", (json_int_t)s->dense, "died", (json_int_t)s->died, "revived", (json_int_t)s->revived);

    if (line && name) json_put(&line, "dict", json_string(name));
    return line;
}

static sae_status put_time(training_log *log, int64_t step, int64_t rows, sae_error *err)
{
    double now = clock_seconds(), since = now - log->newest;
    json_t *rate =
        log->newest_rows >= 0 && since > 0 ? json_real((double)(rows - log->newest_rows) / since) : json_null();
    sae_status status = put_line(log->times,
                                 json_pack("{sI sI sf so}", "step", (json_int_t)step, "rows", (json_int_t)rows,
                                           "seconds", log->before + now - log->opened, "rows_per_s", rate),
                                 err);

    log->newest = now;
    log->newest_rows = rows;
    return status;
}

sae_status training_log_put(training_log *log, int64_t rows, const sae_step_stats *stats, int n,
                            const char *const *names, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < n; i++) SAE_TRY(put_line(log->steps, step_json(rows, &stats[i], names ? names[i] : NULL), err));
    SAE_TRY(put_time(log, stats[0].step, rows, err));
done:
    return status;
}
