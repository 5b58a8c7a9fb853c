#include "base/program.h"

#include "tests/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static bool json;
static const char *output = "none";
static uint64_t count = 3;
static struct option_list set;

static const struct option options[] = {
    {"json", 'j', OPTION_FLAG, &json, NULL, "print JSON"},
    {"output", 'o', OPTION_STR, &output, "FILE", "write to FILE"},
    {"count", 'n', OPTION_U64, &count, "N", "so many"},
    {"set", 0, OPTION_LIST, &set, "KEY=VALUE", "set a key"},
};

static bool run_show(const struct args *args, struct err *e)
{
    (void)e;
    printf("%s json=%d output=%s count=%d set=%d", args->items[0], json, output, (int)count,
           (int)set.n);
    return true;
}

static bool run_kind(const struct args *args, struct err *e)
{
    return err_set(e, (enum err_kind)atoi(args->items[0]), "kind %s", args->items[0]);
}

static bool run_wait(const struct args *args, struct err *e)
{
    (void)args;
    raise(SIGTERM);
    return program_stop_requested() ? true : err_set(e, ERR_FATAL, "no stop");
}

static const struct command commands[] = {
    {"show", "DIR [--json]", "Shows.", "prog show d  # shows d", options, ARRAY_LEN(options), 1, 1,
     run_show},
    {"kind", "N", "Fails.", NULL, NULL, 0, 1, 1, run_kind},
    {"wait", "", "Stops itself.", NULL, NULL, 0, 0, 0, run_wait},
};
static const struct program program = {"prog", "a test", "Says much.", commands,
                                       ARRAY_LEN(commands)};

/* Runs program_main in a child; its stdout goes to out. */
static int run(char *out, size_t cap, const char *const *words)
{
    int fds[2];
    static char name[] = "prog";
    char *argv[10] = {name};
    int argc = 1;
    for (; words[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    fflush(stdout);
    if (pipe(fds) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(fds[1], STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        _exit(program_main(&program, argc, argv));
    }
    close(fds[1]);
    size_t len = 0;
    for (ssize_t n; len < cap - 1 && (n = read(fds[0], out + len, cap - 1 - len)) > 0;)
        len += (size_t)n;
    out[len] = '\0';
    close(fds[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_options_are_parsed(void)
{
    char out[200];
    CHECK(run(out, sizeof out,
              ARGS("show", "d", "--json", "-o", "f", "--count=7", "--set", "a=1", "--set=b=2")) ==
          EXIT_OK);
    CHECK_STR(out, "d json=1 output=f count=7 set=2");
    CHECK(run(out, sizeof out, ARGS("show", "--", "-x")) == EXIT_OK);
    CHECK_STR(out, "-x json=0 output=none count=3 set=0");
}

static void test_bad_usage_exits_2(void)
{
    char out[200];
    CHECK(run(out, sizeof out, ARGS("show")) == EXIT_USAGE);
    CHECK(run(out, sizeof out, ARGS("show", "a", "b")) == EXIT_USAGE);
    CHECK(run(out, sizeof out, ARGS("show", "a", "--nope")) == EXIT_USAGE);
    CHECK(run(out, sizeof out, ARGS("show", "a", "--count", "-1")) == EXIT_USAGE);
    CHECK(run(out, sizeof out, ARGS("show", "a", "--count")) == EXIT_USAGE);
    CHECK(run(out, sizeof out, ARGS("show", "a", "--json=1")) == EXIT_USAGE);
    CHECK(run(out, sizeof out, ARGS("nope")) == EXIT_USAGE);
    CHECK_STR(out, "");
}

static void test_kinds_become_exit_codes(void)
{
    static const struct {
        enum err_kind kind;
        int code;
    } cases[] = {{ERR_TEMP, EXIT_FAILED},
                 {ERR_PERM, EXIT_FAILED},
                 {ERR_FATAL, EXIT_FAILED},
                 {ERR_USAGE, EXIT_USAGE},
                 {ERR_STOP, EXIT_OK}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[64], kind[16];
        snprintf(kind, sizeof kind, "%d", (int)cases[i].kind);
        CHECK_U64(run(out, sizeof out, ARGS("kind", kind)), cases[i].code);
    }
}

static void test_help_and_manual_come_from_the_table(void)
{
    char out[8000];
    CHECK(run(out, sizeof out, ARGS("show", "--help")) == EXIT_OK);
    CHECK(strstr(out, "usage: prog show DIR [--json]") != NULL);
    CHECK(strstr(out, "--count N") != NULL);
    CHECK(strstr(out, "prog show d  # shows d") != NULL);
    CHECK(run(out, sizeof out, ARGS("--help")) == EXIT_OK);
    CHECK(strstr(out, "prog kind N") != NULL);
    CHECK(run(out, sizeof out, ARGS("--man")) == EXIT_OK);
    CHECK(strncmp(out, ".TH PROG 1", 10) == 0);
    CHECK(strstr(out, "\\-\\-count N") != NULL);
    CHECK(run(out, sizeof out, ARGS("--version")) == EXIT_OK);
    CHECK_STR(out, "prog " REFRAIN_VERSION "\n");
}

static void test_a_signal_asks_for_a_stop(void)
{
    char out[64];
    CHECK(run(out, sizeof out, ARGS("wait")) == EXIT_OK);
}

int main(void)
{
    RUN(test_options_are_parsed);
    RUN(test_bad_usage_exits_2);
    RUN(test_kinds_become_exit_codes);
    RUN(test_help_and_manual_come_from_the_table);
    RUN(test_a_signal_asks_for_a_stop);
    return test_done();
}
