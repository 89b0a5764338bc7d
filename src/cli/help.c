/*
 * help.c - `sae --help`, `sae CMD --help` and the man page, all from the command tables.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

void help_program(void)
{
    printf("sae %s - train sparse autoencoders on language-model activations, with or without a dense scaffold\n\n",
           sae_version());
    printf("usage: sae COMMAND [OPTIONS]\n\n");
    for (int i = 0; i < command_count; i++)
        printf("  sae %-14s %s\n", command_table[i]->name, command_table[i]->summary);
    printf("\n'sae COMMAND --help' shows its options with examples. 'sae --version' prints the version.\n"
           "Results go to standard output, everything else to standard error.\n"
           "Exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 something missing on this machine.\n");
}

static void print_option(const option_row *row)
{
    char left[64];

    snprintf(left, sizeof left, "--%s%s%s", row->name, row->argument ? " " : "", row->argument ? row->argument : "");
    printf("  %-26s %s", left, row->help);
    if (row->otherwise) printf(" [%s]", row->otherwise);
    printf("\n");
}

void help_command(const command *cmd)
{
    bool spaced = cmd->arguments[0] != '\0';

    printf("usage: sae %s%s%s [OPTIONS]\n\n%s\n", cmd->name, spaced ? " " : "", cmd->arguments, cmd->summary);
    if (cmd->details) printf("\n%s\n", cmd->details);
    printf("\nOptions (defaults in brackets; of one given twice the last counts, lists take in both):\n");
    for (const option_row *row = cmd->options; row && row->name; row++) print_option(row);
    for (const option_row *row = common_options; row->name; row++) print_option(row);
    printf("\nExamples:\n");
    for (const char *line = cmd->examples; *line;) {
        const char *end = strchr(line, '\n');
        int length = end ? (int)(end - line) : (int)strlen(line);
        printf("  %.*s\n", length, line);
        line += length + (end ? 1 : 0);
    }
}

/* ---- The man page -------------------------------------------------------------------------------------------------------- */

/* Text in roff: backslashes and dashes escaped, no line begins with a control character. */
static void roff(const char *text)
{
    bool line_start = true;

    for (const char *c = text; *c; c++) {
        if (line_start && (*c == '.' || *c == '\'')) fputs("\\&", stdout);
        if (*c == '\\')
            fputs("\\e", stdout);
        else if (*c == '-')
            fputs("\\-", stdout);
        else
            putchar(*c);
        line_start = *c == '\n';
    }
}

static void man_option(const option_row *row)
{
    printf(".TP\n.BR ");
    fputs("\\-\\-", stdout);
    roff(row->name);
    if (row->argument) {
        printf(" \" \\fI");
        roff(row->argument);
        printf("\\fR\"");
    }
    printf("\n");
    roff(row->help);
    if (row->otherwise) {
        printf(" [");
        roff(row->otherwise);
        printf("]");
    }
    printf("\n");
}

static void man_command(const command *cmd)
{
    printf(".SS \"sae ");
    roff(cmd->name);
    if (cmd->arguments[0]) {
        putchar(' ');
        roff(cmd->arguments);
    }
    printf(" [OPTIONS]\"\n");
    roff(cmd->summary);
    printf(".\n");
    if (cmd->details) {
        printf(".PP\n.nf\n");
        roff(cmd->details);
        printf("\n.fi\n");
    }
    for (const option_row *row = cmd->options; row && row->name; row++) man_option(row);
    printf(".PP\nExamples:\n.PP\n.nf\n.RS\n");
    roff(cmd->examples);
    printf(".RE\n.fi\n");
}

void help_man_page(void)
{
    printf(".\\\" Made by `sae --man` from the command tables.\n");
    printf(".TH SAE 1 \"\" \"sae %s\" \"User Commands\"\n", sae_version());
    printf(".SH NAME\nsae \\- train sparse autoencoders on language\\-model activations\n");
    printf(".SH SYNOPSIS\n.B sae\n.I COMMAND\n[\\fIOPTIONS\\fR]\n");
    printf(".SH DESCRIPTION\n"
           "Trains sparse autoencoders (SAEs) on the activations of a language model, with or without a dense\n"
           "low\\-rank scaffold beside the dictionary, and measures what each learned.\n"
           "Results go to standard output, everything else to standard error.\n"
           "Of an option given twice the last value counts; lists (N[,N]) and repeatable options take in both.\n");
    printf(".SH COMMON OPTIONS\n");
    for (const option_row *row = common_options; row->name; row++) man_option(row);
    printf(".SH COMMANDS\n");
    for (int i = 0; i < command_count; i++) man_command(command_table[i]);
    printf(".SH ENVIRONMENT\n"
           ".TP\n.B SAE_ISA\ninstruction set of the kernels: scalar, avx2, avx512, avx512_bf16 (default: the best "
           "there is)\n"
           ".TP\n.B SAE_HOME\nfolder whose models/ is searched for models given by name (default: ~/.cache/sae)\n"
           ".TP\n.B OMP_NUM_THREADS\nthreads, when \\-\\-threads is not given\n");
    printf(".SH EXIT STATUS\n0 done, 1 the work failed, 2 wrong usage, 3 something missing on this machine\n");
}
