/*
 * The skeleton of every program: arguments, help, manual page, signals, exit codes.
 *
 * Exit codes: 0 done or asked to stop, 1 failed, 2 bad usage or configuration. Results go to
 * stdout, everything else to stderr. --help, --version, --verbose, --quiet and --man (the manual
 * page as roff, made from the same tables) are understood by all.
 *
 * The first SIGTERM or SIGINT sets the stop flag and makes the stop descriptor readable; a second
 * one kills. SIGPIPE is ignored.
 */
#ifndef REFRAIN_PROGRAM_H
#define REFRAIN_PROGRAM_H

#include "base/err.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, PROGRAM_LIST_MAX = 64 };

enum option_type {
    OPTION_FLAG, /* bool * */
    OPTION_STR,  /* const char ** (lends argv) */
    OPTION_U64,  /* uint64_t * */
    OPTION_F64,  /* double * */
    OPTION_LIST, /* struct option_list *: may be given several times */
};

struct option_list {
    size_t n;
    const char *items[PROGRAM_LIST_MAX];
};

struct option {
    const char *name; /* long name without dashes: "json" */
    char letter;      /* 'j', or 0 */
    enum option_type type;
    void *value;     /* filled by the parser; holds the default before */
    const char *arg; /* placeholder in the help: "FILE"; NULL for flags */
    const char *help;
};

struct args {
    size_t n;
    char **items; /* positional arguments, lent from argv */
};

struct command {
    const char *name;     /* NULL: what runs when no other command is named; at most one */
    const char *synopsis; /* what follows the name: "DIR [--json]" */
    const char *help;     /* a sentence; more lines may follow */
    const char *examples; /* lines "command  # what it does", or NULL */
    const struct option *options;
    size_t n_options;
    size_t min_args, max_args; /* positional */
    /* Does the work. False with *e set fails; ERR_USAGE exits 2, ERR_STOP exits 0, others 1. */
    bool (*run)(const struct args *args, struct err *e);
};

struct program {
    const char *name;
    const char *summary; /* one line */
    const char *description;
    const struct command *commands;
    size_t n_commands;
};

/* The whole of main(): parses, runs, reports, flushes stdout, returns the exit code. */
int program_main(const struct program *p, int argc, char **argv);

bool program_stop_requested(void);
int program_stop_fd(void); /* readable once a stop was requested; for poll */

/* As a signal would: for tests, and for a thread that must end all. */
void program_request_stop(void);

#endif
