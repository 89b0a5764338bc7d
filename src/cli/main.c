/*
 * main.c - finds the command, parses its options, runs it, and turns what came back into an exit code:
 * 0 done, 1 the work failed, 2 usage, 3 something missing on this machine.
 */
#include "cli/cli.h"
#include "base/threads.h"
#include "cli/result_output.h"
#include "io/io.h"
#include "kernels/matmul.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_MISSING = 3 };

/* OpenBLAS takes its buffers before main and, refused, tries again for ever: where the address space is too short for them this says so.
 * It must come before every library's own beginning. */
static void check_address_space(void)
{
    static const char message[] =
        "sae: the address space is limited (ulimit -v) to less than the 512 MiB that are needed to begin\n";
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= (rlim_t)512 << 20)
        return;
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
    (void)written;
    _exit(EXIT_MISSING);
}
__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(void) = check_address_space;

#define COMMAND(name) extern const command command_##name;
#include "cli/commands.h"
#undef COMMAND

const command *const command_table[] = {
#define COMMAND(name) &command_##name,
#include "cli/commands.h"
#undef COMMAND
};
const int command_count = (int)(sizeof command_table / sizeof *command_table);

static bool same_words(const char *name, int n_words, char **words)
{
    char joined[128] = "";

    for (int i = 0; i < n_words; i++) {
        size_t used = strlen(joined);
        snprintf(joined + used, sizeof joined - used, "%s%s", i ? " " : "", words[i]);
    }
    return strcmp(name, joined) == 0;
}

/* The command named by the first one or two words; *used of them. */
static const command *find_command(int argc, char **argv, int *used)
{
    for (*used = 1; *used <= 2 && *used <= argc; ++*used)
        for (int i = 0; i < command_count; i++)
            if (same_words(command_table[i]->name, *used, argv)) return command_table[i];
    return NULL;
}

/* Lists the commands that begin with the word `family`; false when there are none. */
static bool list_family(FILE *to, const char *family)
{
    size_t length = strlen(family);
    bool any = false;

    for (int i = 0; i < command_count; i++) {
        const char *name = command_table[i]->name;
        if (strncmp(name, family, length) != 0 || name[length] != ' ') continue;
        if (!any) fprintf(to, "sae: %s is one of:\n", family);
        fprintf(to, "  sae %-14s %s\n", name, command_table[i]->summary);
        any = true;
    }
    return any;
}

static int unknown_command(int argc, char **argv)
{
    const char *names[64];
    int n = 0;
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);

    if (help && list_family(stdout, argv[0])) {
        printf("'sae %s COMMAND --help' shows the options of one.\n", argv[0]);
        return EXIT_DONE;
    }
    if (list_family(stderr, argv[0])) {
        if (argc > 1) fprintf(stderr, "sae: there is no '%s %s'\n", argv[0], argv[1]);
        return EXIT_USAGE;
    }
    for (int i = 0; i < command_count && n < 64; i++) names[n++] = command_table[i]->name;
    const char *near = nearest_name(argv[0], names, n);
    fprintf(stderr, "sae: unknown command '%s'", argv[0]);
    if (near) fprintf(stderr, "; did you mean 'sae %s'?", near);
    fprintf(stderr, "\nTry 'sae --help'.\n");
    return EXIT_USAGE;
}

static int exit_code(const command *cmd, const args *a, sae_status status, const sae_error *err)
{
    if (status == SAE_OK) return EXIT_DONE;
    fprintf(stderr, "sae %s: %s\n", cmd->name, err->message[0] ? err->message : sae_status_sentence(status));
    if (a && args_is_usage_error(a)) {
        fprintf(stderr, "Try 'sae %s --help'.\n", cmd->name);
        return EXIT_USAGE;
    }
    if (a && args_advice(a)) fprintf(stderr, "%s\n", args_advice(a));
    return status == SAE_MISSING ? EXIT_MISSING : EXIT_FAILED;
}

static int run_command(const command *cmd, int argc, char **argv)
{
    sae_error err = {0};
    args *a = NULL;
    sae_status status = args_parse(&a, cmd, argc, argv, &err);

    if (status == SAE_OK && args_flag(a, "help")) {
        help_command(cmd);
    } else if (status == SAE_OK) {
        int64_t threads = args_int(a, "threads", 0);
        if (threads > 1024) status = args_fail(a, &err, "--threads %lld: at most 1024", (long long)threads);
        if (status == SAE_OK && threads > 0) omp_set_num_threads((int)threads);
        if (status == SAE_OK) status = cpu_isa_check(&err);
        bool kept = false;
        if (status == SAE_OK && cmd->kept_as) status = result_kept(a, cmd->kept_as, &kept, &err);
        if (status == SAE_OK && !kept) status = cmd->run(a, &err);
    }
    int code = exit_code(cmd, a, status, &err);
    args_free(a);
    return code;
}

/* The version, and what a report of a problem should also say. Fails where SAE_ISA= asks for what the processor lacks. */
static int print_version(void)
{
    sae_error err = {0};

    if (cpu_isa_check(&err) != SAE_OK) {
        fprintf(stderr, "sae: %s\n", err.message);
        return err.code == SAE_MISSING ? EXIT_MISSING : EXIT_USAGE;
    }
    printf("sae %s\ninstruction set: %s (%s)\n", sae_version(), cpu_isa_name(cpu_isa_get()), cpu_name());
    printf("products: %s\n", matmul_library());
    return EXIT_DONE;
}

/* A full disk behind standard output shows only here. */
static int finish(int code)
{
    sae_error err = {0};

    if (output_flush(&err) == SAE_OK || code != EXIT_DONE) return code;
    fprintf(stderr, "sae: %s\n", err.message);
    return EXIT_FAILED;
}

/* Files are mapped: what the disk cannot read, or another program cuts off meanwhile, comes as this signal. */
static void on_unreadable(int number, siginfo_t *info, void *context)
{
    const char *path = file_map_path_at(info->si_addr);
    const char *const text[] = {
        "sae: ", path ? path : "a file that is read",
        " was cut short by another program, or the disk cannot read it; what was written last is "
        "whole\n"};

    (void)number, (void)context;
    for (int i = 0; i < 3; i++)
        if (write(STDERR_FILENO, text[i], strlen(text[i])) < 0) break;
    _exit(EXIT_FAILED);
}

/* A file over the limit of the shell (ulimit -f) is an error of the write like a full disk, not the end of the process. */
static void set_signals(void)
{
    signal(SIGXFSZ, SIG_IGN);
    sigaction(SIGBUS, &(struct sigaction){.sa_sigaction = on_unreadable, .sa_flags = SA_SIGINFO}, NULL);
}

/* OpenBLAS chooses its kernels before main, and for a processor younger than itself chooses those of 2004 (docs/performance.md has what
 * that costs). Only the environment that the program begins with can tell it better: so it begins once more. */
extern char *openblas_get_corename(void) __attribute__((weak)); /* another BLAS has none */
static void begin_again_with_newer_kernels(char **argv)
{
    char self[4096]; /* by its own name, which ps shows */
    if (!openblas_get_corename || strcmp(openblas_get_corename(), "Prescott") != 0 || cpu_isa_get() < ISA_AVX2) return;
    if (getenv("OPENBLAS_CORETYPE") || setenv("OPENBLAS_CORETYPE", "Haswell", 0) != 0) return;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0) return;
    self[length] = '\0';
    execv(self, argv); /* where it cannot, it goes on with what it has */
}

int main(int argc, char **argv)
{
    const command *cmd = NULL;
    int used = 0;

    begin_again_with_newer_kernels(argv);
    set_signals();
    interrupt_begin();
    if (argc < 2) {
        fprintf(stderr, "usage: sae COMMAND [OPTIONS]\nTry 'sae --help'.\n");
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help_program();
        return finish(EXIT_DONE);
    }
    if (strcmp(argv[1], "help") == 0) { /* sae help COMMAND */
        cmd = find_command(argc - 2, argv + 2, &used);
        if (cmd)
            help_command(cmd);
        else if (argc == 2)
            help_program();
        else
            return finish(unknown_command(2, (char *[]){argv[2], "--help", NULL}));
        return finish(EXIT_DONE);
    }
    if (strcmp(argv[1], "--version") == 0) {
        return finish(print_version());
    }
    if (strcmp(argv[1], "--man") == 0) {
        help_man_page();
        return finish(EXIT_DONE);
    }
    cmd = find_command(argc - 1, argv + 1, &used);
    if (!cmd) return finish(unknown_command(argc - 1, argv + 1));
    return finish(run_command(cmd, argc - 1 - used, argv + 1 + used));
}
