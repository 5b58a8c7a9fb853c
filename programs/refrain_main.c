/*
 * The front door: init, run, status and report are its own commands; any other command X runs the
 * program refrain-X, as git does.
 */
#include "base/program.h"
#include "programs/delegate.h"
#include "programs/init.h"
#include "programs/report.h"
#include "programs/status.h"
#include "programs/supervise.h"

#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- init */

static const char *init_csv, *init_audio;
static struct option_list init_sets;

static const struct option init_options[] = {
    {"csv", 'c', OPTION_STR, &init_csv, "FILE", "the catalogue, a music_info.csv"},
    {"audio", 'a', OPTION_STR, &init_audio, "FOLDER",
     "in its place: your own audio files, with a catalogue made from their tags"},
    {"set", 's', OPTION_LIST, &init_sets, "KEY=VALUE",
     "a setting other than its default; may be given several times"},
};

static bool run_init(const struct args *args, struct err *e)
{
    struct init_request request = {
        .dir = args->items[0], .csv = init_csv, .audio = init_audio, .sets = &init_sets};
    struct dataset dataset;
    enum init_result result;
    if (!init_dataset(&request, &dataset, &result, e))
        return false;
    init_print(&dataset, result, stdout);
    return true;
}

/* ---------------------------------------------------------------- run */

static bool run_watch;

static const struct option run_options[] = {
    {"watch", 'w', OPTION_FLAG, &run_watch, NULL,
     "do not end when all is fetched: wait for the CSV to change"},
};

static bool run_run(const struct args *args, struct err *e)
{
    struct dataset dataset;
    return dataset_open(args->items[0], &dataset, e) && supervise_run(&dataset, run_watch, e);
}

/* ---------------------------------------------------------------- status */

static bool status_json;
static const char *status_rows;

static const struct option status_options[] = {
    {"json", 'j', OPTION_FLAG, &status_json, NULL, "one JSON object for machines"},
    {"rows", 'r', OPTION_STR, &status_rows, "FILE",
     "also write a CSV with a line for every row: state, cause, attempts, clips; - is stdout"},
};

static bool run_status(const struct args *args, struct err *e)
{
    struct dataset dataset;
    struct status status = {0};
    if (!dataset_open(args->items[0], &dataset, e))
        return false;
    if (status_rows != NULL && !status_write_rows(&dataset, status_rows, e))
        return false;
    if (status_rows != NULL && strcmp(status_rows, "-") == 0)
        return true;
    bool ok = status_read(&dataset, &status, e);
    if (ok && status_json)
        status_print_json(&dataset, &status, stdout);
    else if (ok)
        status_print_text(&dataset, &status, stdout);
    status_release(&status);
    return ok;
}

/* ---------------------------------------------------------------- report */

static const char *report_out;

static const struct option report_options[] = {
    {"output", 'o', OPTION_STR, &report_out, "FILE",
     "where to write it; DIR/report.html if not said"},
};

static bool run_report(const struct args *args, struct err *e)
{
    struct dataset dataset;
    char path[PATH_BYTES];
    if (!dataset_open(args->items[0], &dataset, e) ||
        !path_join(path, args->items[0], "report.html", e))
        return false;
    const char *out = report_out != NULL ? report_out : path;
    if (!report_write(&dataset, out, e))
        return false;
    printf("%s\n", out);
    return true;
}

/* ---------------------------------------------------------------- table */

static const struct command commands[] = {
    {.name = "init",
     .synopsis = "DIR --csv FILE | --audio FOLDER [--set KEY=VALUE ...]",
     .help = "Make a data set directory with its configuration.\n"
             "A directory that is a data set already keeps its configuration except for what is "
             "given here; refrain.conf is then written anew. Settings that decide what is stored "
             "cannot change once something is stored.",
     .examples =
         "refrain init songs --csv music_info.csv\n"
         "refrain init songs --audio /music    # again when files have come\n"
         "refrain init songs --csv music_info.csv --set fetch.limit.default=10/1 --set seed=7\n"
         "refrain init songs --set fetch.in_flight=32    # later: change a setting",
     .options = init_options,
     .n_options = ARRAY_LEN(init_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_init},
    {.name = "run",
     .synopsis = "DIR [--watch]",
     .help = "Fetch and extract until the catalogue is drained.\n"
             "A stage that fails is started again after a wait that doubles (run.backoff). SIGTERM "
             "or Ctrl-C lets both finish what they hold; the same again ends them at once. "
             "Whatever happens, the same command goes on where it was.",
     .examples = "refrain run songs\n"
                 "refrain run songs --watch    # for ever: fetch again when the CSV changes",
     .options = run_options,
     .n_options = ARRAY_LEN(run_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_run},
    {.name = "status",
     .synopsis = "DIR [--json] [--rows FILE]",
     .help = "Rows by state and cause, clips, bytes, time left.\n"
             "Works while the stages run. A row is DONE when its preview was fetched and extract "
             "did not set it aside. The time left is the least that the limits in refrain.conf "
             "allow.",
     .examples = "refrain status songs\n"
                 "refrain status songs --json\n"
                 "refrain status songs --rows rows.csv    # what became of each row",
     .options = status_options,
     .n_options = ARRAY_LEN(status_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_status},
    {.name = "report",
     .synopsis = "DIR [-o report.html]",
     .help = "One HTML file about the data set and its models.\n"
             "What was fetched and why rows failed, genres, years, tags, spectrograms of a few "
             "clips beside their augmented positives, the store, training curves, the "
             "configuration. It stands alone: no script, nothing fetched.",
     .examples = "refrain report songs\n"
                 "refrain report songs -o /tmp/songs.html",
     .options = report_options,
     .n_options = ARRAY_LEN(report_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_report},
};

static const struct program program = {
    .name = "refrain",
    .summary = "from a catalogue of songs to a trained model of musical similarity",
    .description = "Any other command X runs the program refrain-X, from beside this one or from "
                   "PATH:\n"
                   "fetch, extract, features, store, train, eval.\n"
                   "`refrain help X` shows the help of any of them.",
    .commands = commands,
    .n_commands = ARRAY_LEN(commands),
};

static bool is_own(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return true;
    return false;
}

/* Only returns when there is no such program. */
static int run_other(int argc, char **argv)
{
    struct err e = {0};
    const char *known[PROGRAM_LIST_MAX];
    size_t n = 0;
    if (delegate_exec(argc, argv, &e))
        return EXIT_OK;
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        known[n++] = commands[i].name;
    for (size_t i = 0; i < n_delegates; i++)
        known[n++] = delegates[i].command;
    const char *meant = nearest_word(argv[1], known, n);
    fprintf(stderr, "refrain: %s", e.msg);
    if (meant != NULL && strcmp(meant, argv[1]) != 0)
        fprintf(stderr, "; did you mean '%s'?", meant);
    fputs("\nrefrain: see refrain --help\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    char help[] = "--help";
    if (argc > 1 && strcmp(argv[1], "help") == 0) { /* refrain help X is refrain X --help */
        argv[1] = argc > 2 ? argv[2] : help;
        argv[2] = argc > 2 ? help : NULL;
        argc = argc > 2 ? 3 : 2;
    }
    if (argc > 1 && argv[1][0] != '-' && !is_own(argv[1]))
        return run_other(argc, argv);
    return program_main(&program, argc, argv);
}
