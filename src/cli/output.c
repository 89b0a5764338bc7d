/*
 * output.c - messages, the progress line and JSON. Only results go to standard output.
 */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void say(const args *a, const char *format, ...)
{
    va_list list;

    if (args_quiet(a)) return;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

void warn(const char *format, ...)
{
    va_list list;

    fputs("sae: warning: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

/* ---- Progress ---------------------------------------------------------------------------------------------------------- */

/* "1.25M", "340k", "12". */
static const char *short_number(double value, char *buffer, size_t size)
{
    if (value >= 1e9)
        snprintf(buffer, size, "%.2fG", value / 1e9);
    else if (value >= 1e6)
        snprintf(buffer, size, "%.2fM", value / 1e6);
    else if (value >= 1e4)
        snprintf(buffer, size, "%.1fk", value / 1e3);
    else
        snprintf(buffer, size, value < 10 && value != (double)(long)value ? "%.2f" : "%.0f", value);
    return buffer;
}

static const char *short_time(double seconds, char *buffer, size_t size)
{
    long s = (long)(seconds + 0.5);

    if (s >= 3600)
        snprintf(buffer, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(buffer, size, "%ldm%02lds", s / 60, s % 60);
    else
        snprintf(buffer, size, "%lds", s);
    return buffer;
}

static int terminal_width(void)
{
    struct winsize size = {0};

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 400;
}

/* The whole line, or, where that is wider than the terminal, one without what was done and the number of all. */
static void compose(const progress_line *p, double now, double done, double total, bool brief, char *line, size_t size)
{
    char a[24], b[24], c[24];
    double elapsed = now - p->started;
    double rate = elapsed > 0 ? (done - p->begun_at) / elapsed : 0; /* a resumed run begins with what is done */
    int n = 0;

    if (!brief || total <= 0) n = snprintf(line, size, "%s %s", p->what, short_number(done, a, sizeof a));
    if (!brief && total > 0)
        n += snprintf(line + n, size - (size_t)n, " of %s (%.0f%%)", short_number(total, a, sizeof a),
                      100 * done / total);
    if (brief && total > 0) n += snprintf(line + n, size - (size_t)n, "%.0f%%", 100 * done / total);
    n += snprintf(line + n, size - (size_t)n, ", %s/s", short_number(rate, b, sizeof b));
    if (total > done && rate > 0)
        n += snprintf(line + n, size - (size_t)n, ", %s left", short_time((total - done) / rate, c, sizeof c));
    else
        n += snprintf(line + n, size - (size_t)n, ", %s", short_time(elapsed, c, sizeof c));
    if (p->note[0]) snprintf(line + n, size - (size_t)n, ", %s", p->note);
}

static void show(progress_line *p, double now, double done, double total)
{
    char line[400];
    int width = p->terminal ? terminal_width() - 1 : 400; /* a longer one would scroll */

    compose(p, now, done, total, false, line, sizeof line);
    if (strlen(line) > (size_t)width) compose(p, now, done, total, true, line, sizeof line);
    if (p->terminal)
        fprintf(stderr, "\r%.*s\033[K", width, line);
    else
        fprintf(stderr, "%s\n", line);
    fflush(stderr);
    p->shown = now;
    p->dirty = p->terminal;
}

static int report(void *user, const char *what, double done, double total)
{
    progress_line *p = user;
    double now = clock_seconds();

    if (!what) return interrupted();
    if (strncmp(p->what, what, sizeof p->what - 1) != 0) { /* another phase */
        if (p->dirty) fputc('\n', stderr);
        snprintf(p->what, sizeof p->what, "%s", what);
        p->started = p->shown = now;
        p->begun_at = done;
        p->dirty = false;
    }
    bool last = total > 0 && done >= total && now - p->started > 1;
    if (!p->quiet && (last || now - p->shown >= (p->terminal ? 0.2 : 5.0))) show(p, now, done, total);
    return interrupted();
}

sae_progress progress_begin(progress_line *p, const args *a)
{
    *p = (progress_line){.quiet = args_quiet(a), .terminal = isatty(STDERR_FILENO) != 0};
    p->started = p->shown = clock_seconds();
    interrupt_listen();
    return (sae_progress){report, p};
}

void progress_note(progress_line *p, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(p->note, sizeof p->note, format, list);
    va_end(list);
}

void progress_end(progress_line *p)
{
    if (p->dirty) fputc('\n', stderr);
    p->dirty = false;
}

void progress_warn(void *user, const char *text)
{
    progress_line *p = user;

    if (p->quiet) return;
    progress_end(p);
    warn("%s", text);
}

sae_status print_json(const json_t *value, sae_error *err)
{
    char *text = json_to_text(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9), err);

    if (!text) return SAE_NOMEM;
    puts(text);
    mem_free(text);
    return SAE_OK;
}

sae_status output_flush(sae_error *err)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return SAE_OK;
    return SAE_FAIL(err, SAE_IO, "standard output could not be written: is the disk full or the reader gone?");
}
