/*
 * `refrain X` runs the program `refrain-X`, as git does: from the directory in which `refrain`
 * itself lies, else from PATH.
 */
#ifndef REFRAIN_DELEGATE_H
#define REFRAIN_DELEGATE_H

#include "base/file.h"

/* A command of the front door that another program carries out. */
struct delegate {
    const char *command;    /* "features" */
    const char *program;    /* "refrain-extract" */
    const char *subcommand; /* put in front of the arguments: "features"; NULL for none */
    const char *help;
};
extern const struct delegate delegates[];
extern const size_t n_delegates;

/* Path of a program beside the running one, or its bare name for a search in PATH. */
void delegate_locate(const char *program, char out[PATH_BYTES]);

/* Replaces this process by the program for argv[1]: a known command or any X for which there is a
 * `refrain-X`. Returns only on failure: ERR_USAGE. */
bool delegate_exec(int argc, char **argv, struct err *e);

/* The candidate nearest to what was typed, NULL when none is near (Damerau-Levenshtein distance,
 * neighbours swapped counting one; at most a third of the word, at least one edit). */
const char *nearest_word(const char *typed, const char *const *candidates, size_t n);

#endif
