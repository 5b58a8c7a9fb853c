/*
 * refrain-scan: a catalogue of the audio files in a folder. `refrain init DIR --audio FOLDER` runs
 * it. A program of its own, because tags are read by FFmpeg, which the front door does without; and
 * a file that crashes a demuxer takes this program with it and nothing else.
 */
#include "base/program.h"
#include "programs/scan.h"

#include <inttypes.h>
#include <stdio.h>

static const char *out_path;

static const struct option options[] = {
    {"output", 'o', OPTION_STR, &out_path, "FILE", "the catalogue to write, a music_info.csv"},
};

/* programs/init.c reads this line. */
static bool run(const struct args *args, struct err *e)
{
    struct scan_result r;
    if (out_path == NULL)
        return err_set(e, ERR_USAGE, "-o FILE says where the catalogue is written");
    if (!scan_folder(args->items[0], out_path, &r, e))
        return false;
    printf("%" PRIu64 " songs, %" PRIu64 " skipped, %" PRIu64 " other files, largest %" PRIu64
           " bytes, longest %" PRIu64 " ms\n",
           r.n_taken, r.n_skipped, r.n_other, r.largest_bytes, r.longest_ms);
    return true;
}

static const struct command commands[] = {
    {
        .name = NULL,
        .synopsis = "FOLDER -o music_info.csv",
        .help = "Writes a catalogue of all audio files in a folder and the folders in it: title, "
                "artist, genre and year from their tags, ids from their bytes, links of the form "
                "file:///path. Symlinks and names that begin with a dot are left out.",
        .examples = "refrain scan /music -o music_info.csv\n"
                    "refrain init songs --audio /music    # that, and a data set\n",
        .options = options,
        .n_options = ARRAY_LEN(options),
        .min_args = 1,
        .max_args = 1,
        .run = run,
    },
};

int main(int argc, char **argv)
{
    static const struct program program = {
        .name = "refrain-scan",
        .summary = "a catalogue of the audio files in a folder",
        .description = "Reads MP3, AAC in MP4, Ogg, FLAC and WAV.",
        .commands = commands,
        .n_commands = ARRAY_LEN(commands),
    };
    return program_main(&program, argc, argv);
}
