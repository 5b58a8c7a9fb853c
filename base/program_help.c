#include "base/program_help.h"

#include <ctype.h>
#include <string.h>

static const char exit_codes[] = "0 done or asked to stop, 1 failed, 2 bad usage or configuration";

/* ---------------------------------------------------------------- --help */

static void print_wrapped(FILE *out, const char *text, size_t indent, size_t column)
{
    enum { WIDTH = 92 };
    while (*text != '\0') {
        size_t n = strcspn(text, " \n");
        if (column + n > WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        }
        fwrite(text, 1, n, out);
        column += n;
        text += n;
        if (*text == '\n') {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            text++;
        } else if (*text == ' ') {
            fputc(' ', out);
            column++;
            text++;
        }
    }
    fputc('\n', out);
}

static void option_usage(const struct option *o, char *out, size_t cap)
{
    char letter[8] = "    ";
    if (o->letter != 0)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(out, cap, "%s--%s%s%s", letter, o->name, o->arg == NULL ? "" : " ",
             o->arg == NULL ? "" : o->arg);
}

static void print_options(FILE *out, const struct option *options, size_t n)
{
    enum { COLUMN = 28 };
    for (size_t i = 0; i < n; i++) {
        char usage[80];
        option_usage(&options[i], usage, sizeof usage);
        fprintf(out, "  %-*s  ", COLUMN - 4, usage);
        size_t column = size_max(COLUMN, strlen(usage) + 4);
        print_wrapped(out, options[i].help, COLUMN, column);
    }
}

static void print_examples(FILE *out, const char *examples)
{
    fputs("\nExamples:\n", out);
    while (*examples != '\0') {
        size_t n = strcspn(examples, "\n");
        fprintf(out, "  %.*s\n", (int)n, examples);
        examples += n + (examples[n] == '\n');
    }
}

static void print_command_help(const struct program *p, const struct command *c, FILE *out)
{
    fprintf(out, "usage: %s%s%s %s\n\n", p->name, c->name == NULL ? "" : " ",
            c->name == NULL ? "" : c->name, c->synopsis);
    print_wrapped(out, c->help, 0, 0);
    if (c->name == NULL && p->description != NULL) {
        fputc('\n', out);
        print_wrapped(out, p->description, 0, 0);
    }
    fputs("\nOptions:\n", out);
    print_options(out, c->options, c->n_options);
    print_options(out, program_common_options, program_n_common_options);
    if (c->examples != NULL)
        print_examples(out, c->examples);
    fprintf(out, "\nExit codes: %s.\n", exit_codes);
}

void program_print_help(const struct program *p, const struct command *c, FILE *out)
{
    if (c == NULL && p->n_commands == 1 && p->commands[0].name == NULL)
        c = &p->commands[0];
    if (c != NULL) {
        print_command_help(p, c, out);
        return;
    }
    fprintf(out, "%s: %s\n\nusage: %s COMMAND ...\n\n", p->name, p->summary, p->name);
    for (size_t i = 0; i < p->n_commands; i++)
        fprintf(out, "  %s %s%s%s\n        %.*s\n", p->name,
                p->commands[i].name == NULL ? "" : p->commands[i].name,
                p->commands[i].name == NULL ? "" : " ", p->commands[i].synopsis,
                (int)strcspn(p->commands[i].help, "\n"), p->commands[i].help);
    if (p->description != NULL) {
        fputc('\n', out);
        print_wrapped(out, p->description, 0, 0);
    }
    fprintf(out, "\n`%s COMMAND --help` says more. Exit codes: %s.\n", p->name, exit_codes);
}

/* ---------------------------------------------------------------- --man (roff, man(7)) */

/* A leading '.' or '\'' would be a request, a backslash an escape, a '-' a hyphen. */
static void roff_text(FILE *out, const char *text, size_t n)
{
    bool line_start = true;
    for (size_t i = 0; i < n; i++) {
        if (line_start && (text[i] == '.' || text[i] == '\''))
            fputs("\\&", out);
        if (text[i] == '\\')
            fputs("\\e", out);
        else if (text[i] == '-')
            fputs("\\-", out);
        else
            fputc(text[i], out);
        line_start = text[i] == '\n';
    }
}

static void roff(FILE *out, const char *text)
{
    roff_text(out, text, strlen(text));
}

static void man_options(FILE *out, const struct option *options, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fputs(".TP\n.B ", out);
        char usage[80];
        option_usage(&options[i], usage, sizeof usage);
        roff(out, usage + strspn(usage, " "));
        fputc('\n', out);
        roff(out, options[i].help);
        fputc('\n', out);
    }
}

static void man_command(const struct program *p, const struct command *c, FILE *out)
{
    fprintf(out, ".SS ");
    char usage[256];
    snprintf(usage, sizeof usage, "%s%s%s %s", p->name, c->name == NULL ? "" : " ",
             c->name == NULL ? "" : c->name, c->synopsis);
    roff(out, usage);
    fputc('\n', out);
    roff(out, c->help);
    fputc('\n', out);
    man_options(out, c->options, c->n_options);
    if (c->examples != NULL) {
        fputs(".PP\nExamples:\n.PP\n.nf\n", out);
        roff(out, c->examples);
        fputs("\n.fi\n", out);
    }
}

void program_print_man(const struct program *p, FILE *out)
{
    fputs(".TH ", out);
    for (const char *at = p->name; *at != '\0'; at++)
        fputc(toupper((unsigned char)*at), out);
    fprintf(out, " 1 \"\" \"refrain %s\" \"User commands\"\n.SH NAME\n", REFRAIN_VERSION);
    roff(out, p->name);
    fputs(" \\- ", out);
    roff(out, p->summary);
    fputs("\n.SH SYNOPSIS\n", out);
    for (size_t i = 0; i < p->n_commands; i++) {
        const struct command *c = &p->commands[i];
        fprintf(out, ".B %s%s%s\n", p->name, c->name == NULL ? "" : " ",
                c->name == NULL ? "" : c->name);
        roff(out, c->synopsis);
        fputs("\n.br\n", out);
    }
    if (p->description != NULL) {
        fputs(".SH DESCRIPTION\n", out);
        roff(out, p->description);
        fputc('\n', out);
    }
    fputs(".SH COMMANDS\n", out);
    for (size_t i = 0; i < p->n_commands; i++)
        man_command(p, &p->commands[i], out);
    fputs(".SH COMMON OPTIONS\n", out);
    man_options(out, program_common_options, program_n_common_options);
    fprintf(out, ".SH EXIT STATUS\n%s.\n", exit_codes);
}
