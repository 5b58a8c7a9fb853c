/* What --help and --man print, from the same tables. Private to base/program.c. */
#ifndef REFRAIN_PROGRAM_HELP_H
#define REFRAIN_PROGRAM_HELP_H

#include "base/program.h"

#include <stdio.h>

/* c NULL: the program as a whole. */
void program_print_help(const struct program *p, const struct command *c, FILE *out);
void program_print_man(const struct program *p, FILE *out);

/* The options that every command has. */
extern const struct option program_common_options[];
extern const size_t program_n_common_options;

#endif
