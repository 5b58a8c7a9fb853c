/*
 * refrain-match: what songs share, where in them, and how sure that is.
 */
#include "base/program.h"
#include "programs/match_page.h"

#include <time.h>

static const char *page_path;
static bool want_json, embed_audio;

static bool run_pair(const struct args *args, struct err *e)
{
    struct match_pair pair = {0};
    const struct match_page_params page = {.embed_audio = embed_audio, .made_s = time(NULL)};
    if (embed_audio && page_path == NULL)
        return err_set(e, ERR_USAGE, "--embed-audio puts the sound into a page: give -o FILE.html");
    bool ok = match_pair_open(args->items[0], args->items[1], &pair, e) &&
              (page_path == NULL || match_page_write(page_path, &pair, &page, e));
    if (ok && want_json)
        match_pair_json(&pair, stdout);
    else if (ok)
        match_pair_print(&pair, stdout);
    match_pair_close(&pair);
    return ok;
}

static const struct option pair_options[] = {
    {"output", 'o', OPTION_STR, &page_path, "FILE.html", "write the evidence as one page"},
    {"embed-audio", 0, OPTION_FLAG, &embed_audio, NULL,
     "put both files into the page, so that it plays each passage"},
    {"json", 'j', OPTION_FLAG, &want_json, NULL, "the result as one line of JSON"},
};

static const struct command commands[] = {
    {.name = NULL,
     .synopsis = "A B [-o FILE.html] [--embed-audio] [--json]",
     .help = "Says what two audio files share: the same recording, a version, a borrowed passage.\n"
             "Each axis has a figure of its own, the E-value: how many passages as good as this a "
             "comparison of unrelated songs gives. What it says is evidence for a human ear, not a "
             "legal verdict.",
     .examples = "refrain match song.mp3 cover.mp3\n"
                 "refrain match song.mp3 cover.mp3 -o report.html --embed-audio   # to look and "
                 "listen\n"
                 "refrain match song.mp3 cover.mp3 --json | jq .cover.segments\n",
     .options = pair_options,
     .n_options = ARRAY_LEN(pair_options),
     .min_args = 2,
     .max_args = 2,
     .run = run_pair},
};

int main(int argc, char **argv)
{
    static const struct program program = {
        .name = "refrain-match",
        .summary = "what songs share, where in them, and how sure that is",
        .description =
            "Compares recordings by fingerprints, and songs by aligning their melody and "
            "harmony in every transposition.",
        .commands = commands,
        .n_commands = ARRAY_LEN(commands),
    };
    return program_main(&program, argc, argv);
}
