#include "base/program_help.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Signals and the process's standard streams are global by nature; so is this state, and no other.
 */
static atomic_bool stop_flag;
static int stop_fd = -1;

/* The common options; parsed into these before any thread starts. */
static bool want_help, want_version, want_man, want_verbose, want_quiet;

const struct option program_common_options[] = {
    {"help", 'h', OPTION_FLAG, &want_help, NULL, "show this help"},
    {"version", 0, OPTION_FLAG, &want_version, NULL, "show the version"},
    {"man", 0, OPTION_FLAG, &want_man, NULL, "print the manual page as roff"},
    {"verbose", 'v', OPTION_FLAG, &want_verbose, NULL, "log each item"},
    {"quiet", 'q', OPTION_FLAG, &want_quiet, NULL, "log warnings and errors only"},
};
const size_t program_n_common_options = ARRAY_LEN(program_common_options);

/* ---------------------------------------------------------------- signals */

bool program_stop_requested(void)
{
    return atomic_load(&stop_flag);
}

int program_stop_fd(void)
{
    return stop_fd;
}

void program_request_stop(void)
{
    int saved = errno;
    atomic_store(&stop_flag, true);
    uint64_t one = 1;
    if (stop_fd >= 0 && write(stop_fd, &one, sizeof one) < 0) {
        /* The counter is full only when it is readable already. */
    }
    errno = saved;
}

static void on_stop_signal(int number)
{
    (void)number;
    program_request_stop();
}

/* SA_RESETHAND: the second signal of a kind has the default effect and kills. */
static void signals_install(void)
{
    stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert(stop_fd >= 0);
    struct sigaction stop = {.sa_handler = on_stop_signal, .sa_flags = (int)SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

/* ---------------------------------------------------------------- arguments */

static const struct option *option_find(const struct command *c, const char *name, size_t len,
                                        char letter)
{
    const struct option *const tables[] = {c->options, program_common_options};
    const size_t counts[] = {c->n_options, program_n_common_options};
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (size_t i = 0; i < counts[t]; i++) {
            const struct option *o = &tables[t][i];
            if (letter != 0 ? o->letter == letter
                            : strlen(o->name) == len && memcmp(o->name, name, len) == 0)
                return o;
        }
    }
    return NULL;
}

static bool option_number(const struct option *o, const char *text, struct err *e)
{
    char *end;
    errno = 0;
    if (o->type == OPTION_U64) {
        unsigned long long value = strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
            return err_set(e, ERR_USAGE, "--%s: '%s' is not a whole number", o->name, text);
        *(uint64_t *)o->value = value;
        return true;
    }
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0)
        return err_set(e, ERR_USAGE, "--%s: '%s' is not a number", o->name, text);
    *(double *)o->value = value;
    return true;
}

static bool option_store(const struct option *o, const char *text, struct err *e)
{
    switch (o->type) {
    case OPTION_FLAG:
        *(bool *)o->value = true;
        return true;
    case OPTION_STR:
        *(const char **)o->value = text;
        return true;
    case OPTION_U64:
    case OPTION_F64:
        return option_number(o, text, e);
    case OPTION_LIST: {
        struct option_list *list = o->value;
        if (list->n == PROGRAM_LIST_MAX)
            return err_set(e, ERR_USAGE, "--%s: given more than %d times", o->name,
                           PROGRAM_LIST_MAX);
        list->items[list->n++] = text;
        return true;
    }
    }
    return true;
}

/* Takes argv[*i] (an option) and, where it needs one, its argument. */
static bool option_take(const struct command *c, int argc, char **argv, int *i, struct err *e)
{
    const char *word = argv[*i], *text = NULL;
    const struct option *o;
    if (word[1] == '-') {
        size_t len = strcspn(word + 2, "=");
        o = option_find(c, word + 2, len, 0);
        if (word[2 + len] == '=')
            text = word + 2 + len + 1;
    } else {
        o = option_find(c, "", 0, word[1]);
        if (word[2] != '\0')
            text = word + 2;
    }
    if (o == NULL)
        return err_set(e, ERR_USAGE, "there is no option %s: see --help", word);
    if (o->type == OPTION_FLAG)
        return text == NULL ? option_store(o, NULL, e)
                            : err_set(e, ERR_USAGE, "--%s takes no value", o->name);
    if (text == NULL) {
        if (*i + 1 >= argc)
            return err_set(e, ERR_USAGE, "--%s needs %s", o->name, o->arg);
        text = argv[++*i];
    }
    return option_store(o, text, e);
}

static bool args_parse(const struct command *c, int argc, char **argv, struct args *out,
                       struct err *e)
{
    bool options_end = false;
    for (int i = 0; i < argc; i++) {
        if (!options_end && strcmp(argv[i], "--") == 0)
            options_end = true;
        else if (!options_end && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (!option_take(c, argc, argv, &i, e))
                return false;
        } else
            out->items[out->n++] = argv[i];
    }
    if (want_help || want_version || want_man)
        return true;
    if (out->n < c->min_args || out->n > c->max_args)
        return err_set(e, ERR_USAGE, "expected %s", c->synopsis);
    return true;
}

/* ---------------------------------------------------------------- main */

static int exit_code_of(const struct err *e)
{
    switch (e->kind) {
    case ERR_STOP:
        return EXIT_OK;
    case ERR_USAGE:
        return EXIT_USAGE;
    default:
        return EXIT_FAILED;
    }
}

static int usage_failed(const struct program *p, const char *command, const struct err *e)
{
    fprintf(stderr, "%s%s%s: %s\n", p->name, command == NULL ? "" : " ",
            command == NULL ? "" : command, e->msg);
    return EXIT_USAGE;
}

/* Output that did not reach its file is a failure, however well the work went. */
static int flush_stdout(const struct program *p, int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "%s: standard output could not be written: %s\n", p->name, strerror(errno));
    return code == EXIT_OK ? EXIT_FAILED : code;
}

static int command_run(const struct program *p, const struct command *c, int argc, char **argv)
{
    struct err e = {0};
    struct args args = {.items = argv};
    if (!args_parse(c, argc, argv, &args, &e))
        return usage_failed(p, c->name, &e);
    if (want_help || want_version || want_man) {
        if (want_man)
            program_print_man(p, stdout);
        else if (want_version)
            printf("%s %s\n", p->name, REFRAIN_VERSION);
        else
            program_print_help(p, c, stdout);
        return flush_stdout(p, EXIT_OK);
    }
    log_set_level(want_quiet ? LOG_WARN : want_verbose ? LOG_DEBUG : LOG_INFO);
    int code = EXIT_OK;
    if (!c->run(&args, &e)) {
        code = exit_code_of(&e);
        if (e.kind != ERR_STOP || e.msg[0] != '\0') {
            log_transient("");
            fprintf(stderr, "%s%s%s: %s\n", p->name, c->name == NULL ? "" : " ",
                    c->name == NULL ? "" : c->name, e.msg);
        }
    }
    return flush_stdout(p, code);
}

/* Asks about the program as a whole, where it has several commands. */
static bool is_general_option(const char *word)
{
    return strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0 ||
           strcmp(word, "--version") == 0 || strcmp(word, "--man") == 0;
}

int program_main(const struct program *p, int argc, char **argv)
{
    log_set_name(p->name);
    signals_install();
    if (p->n_commands == 1 && p->commands[0].name == NULL)
        return command_run(p, &p->commands[0], argc - 1, argv + 1);

    const char *name = argc > 1 ? argv[1] : "--help";
    const struct command *unnamed = NULL;
    for (size_t i = 0; i < p->n_commands; i++) {
        if (p->commands[i].name == NULL)
            unnamed = &p->commands[i];
        else if (strcmp(p->commands[i].name, name) == 0)
            return command_run(p, &p->commands[i], argc - 2, argv + 2);
    }
    if (unnamed != NULL && !is_general_option(name))
        return command_run(p, unnamed, argc - 1, argv + 1);
    if (name[0] == '-') { /* --help, --man and --version work without a command */
        const struct command none = {.synopsis = "COMMAND ...", .max_args = SIZE_MAX};
        struct args args = {.items = argv + 1};
        struct err e = {0};
        if (!args_parse(&none, argc > 1 ? argc - 1 : 0, argv + 1, &args, &e))
            return usage_failed(p, NULL, &e);
        if (want_man)
            program_print_man(p, stdout);
        else if (want_version)
            printf("%s %s\n", p->name, REFRAIN_VERSION);
        else
            program_print_help(p, NULL, argc > 1 ? stdout : stderr);
        return flush_stdout(p, argc > 1 ? EXIT_OK : EXIT_USAGE);
    }
    fprintf(stderr, "%s: there is no command '%s': see %s --help\n", p->name, name, p->name);
    return EXIT_USAGE;
}
