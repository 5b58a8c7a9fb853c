/*
 * refrain-match: what songs share, where in them, and how sure that is.
 */
#include "base/json.h"
#include "base/log.h"
#include "base/program.h"
#include "programs/match_calibration.h"
#include "programs/match_catalogue.h"
#include "programs/match_page.h"
#include "programs/match_provenance.h"
#include "programs/match_sequences.h"
#include "programs/report_calibration.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static const char *model_path, *page_path, *audio_folder, *groups_path, *segments_path,
    *axis = "align";
static bool want_json, embed_audio, want_all, want_sequences, exhaustive;
static uint64_t threads, top = 10, n_catalogue;
static double pair_evalue = 0.01;

static bool run_pair(const struct args *args, struct err *e)
{
    static struct likeness_model model;
    struct match_pair pair = {0};
    const struct match_page_params page = {.embed_audio = embed_audio};
    int64_t made_s;
    if (embed_audio && page_path == NULL)
        return err_set(e, ERR_USAGE, "--embed-audio puts the sound into a page: give -o FILE.html");
    bool ok = match_date(&made_s, e) &&
              (model_path == NULL || likeness_model_find(model_path, &model, e)) &&
              match_pair_open(args->items[0], args->items[1], made_s, &pair, e) &&
              (model_path == NULL ||
               likeness_compare(&model, pair.a.path, pair.b.path,
                                u64_min(pair.a.len_ms, pair.b.len_ms), &pair.likeness, e)) &&
              (page_path == NULL || match_page_write(page_path, &pair, &page, e));
    if (ok && want_json)
        match_pair_json(&pair, stdout);
    else if (ok)
        match_pair_print(&pair, stdout);
    match_pair_close(&pair);
    return ok;
}

/* ---------------------------------------------------------------- a data set */

static bool run_sequences(const char *dir, struct err *e)
{
    struct dataset d;
    struct sequence_report r;
    char folder[PATH_BYTES];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = threads > 0 ? (unsigned)threads : (unsigned)(cores > 0 ? cores : 1);
    if (!dataset_open(dir, &d, e) || !path_join(folder, d.dir, "audio", e))
        return false;
    if (audio_folder == NULL && !file_exists(folder))
        return err_set(e, ERR_USAGE,
                       "%.200s keeps no audio (keep_audio is off): give --audio FOLDER with files "
                       "named as in the spool, ROW-TRACK, or fetch again with match.sequences = on",
                       dir);
    bool ok = sequences_add_folder(&d, audio_folder != NULL ? audio_folder : folder, n, &r, e);
    if (want_json) {
        struct json j;
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_u64(&j, "files", r.n_files);
        json_u64(&j, "added", r.n_added);
        json_u64(&j, "there", r.n_there);
        json_u64(&j, "bad", r.n_bad);
        json_f64(&j, "seconds", r.seconds);
        json_f64(&j, "cpu_ms_each", r.cpu_ms_each);
        json_end(&j);
        json_finish(&j);
    } else if (ok) {
        printf("%" PRIu64 " sequences added, %" PRIu64 " were there, %" PRIu64
               " files could not be used\n",
               r.n_added, r.n_there, r.n_bad);
    }
    return ok;
}

static bool run_all(const char *dir, struct err *e)
{
    struct match_catalogue c;
    struct all_report r;
    const struct all_request request = {pair_evalue, exhaustive};
    if (!(pair_evalue > 0 && pair_evalue <= 10))
        return err_set(e, ERR_USAGE, "--evalue %g: above 0, at most 10", pair_evalue);
    if (!match_catalogue_open(dir, (unsigned)threads, &c, e))
        return false;
    bool ok = match_catalogue_all(&c, &request, &r, e);
    match_catalogue_close(&c);
    if (!ok)
        return false;
    if (want_json) {
        struct json j;
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_u64(&j, "songs", r.n_songs);
        json_u64(&j, "searched", r.n_searched);
        json_u64(&j, "pairs", r.n_pairs);
        json_u64(&j, "versions", r.n_versions);
        json_u64(&j, "borrowings", r.n_borrowings);
        json_u64(&j, "groups", r.n_groups);
        json_u64(&j, "grouped", r.n_grouped);
        json_end(&j);
        json_finish(&j);
    } else {
        printf("%" PRIu64 " songs: %" PRIu64 " pairs, %" PRIu64 " of them versions, %" PRIu64
               " borrowings; %" PRIu64 " groups of %" PRIu64
               " songs\n%s/groups.csv says which are versions of one work, pairs.csv where\n",
               r.n_songs, r.n_pairs, r.n_versions, r.n_borrowings, r.n_groups, r.n_grouped, dir);
    }
    return true;
}

static bool run_match(const struct args *args, struct err *e)
{
    if (threads > SEARCH_THREADS_MAX)
        return err_set(e, ERR_USAGE, "--threads %" PRIu64 ": up to %d", threads,
                       SEARCH_THREADS_MAX);
    if (want_all && want_sequences)
        return err_set(e, ERR_USAGE, "--all and --sequences are two commands");
    if (want_all || want_sequences)
        return args->n == 1 ? (want_all ? run_all : run_sequences)(args->items[0], e)
                            : err_set(e, ERR_USAGE, "--%s takes one data set",
                                      want_all ? "all" : "sequences");
    return args->n == 2
               ? run_pair(args, e)
               : err_set(e, ERR_USAGE, "two audio files, or a data set with --all or --sequences");
}

static bool run_search(const struct args *args, struct err *e)
{
    struct match_catalogue c;
    struct search_request r = {args->items[1], top, exhaustive, want_json, 0};
    if (threads > SEARCH_THREADS_MAX)
        return err_set(e, ERR_USAGE, "--threads %" PRIu64 ": up to %d", threads,
                       SEARCH_THREADS_MAX);
    if (!match_date(&r.made_s, e) ||
        !match_catalogue_open(args->items[0], (unsigned)threads, &c, e))
        return false;
    bool ok = match_catalogue_search(&c, &r, stdout, e);
    match_catalogue_close(&c);
    return ok;
}

/* What `refrain report` draws. */
static bool keep_calibration(const char *dir, const struct eval_result *r, struct err *e)
{
    struct calibration_point points[EVAL_EVALUES];
    for (size_t i = 0; i < EVAL_EVALUES; i++)
        points[i] = (struct calibration_point){
            eval_evalues[i], r->chance[i].promised, r->chance[i].unrelated.value,
            r->chance[i].unrelated.lo, r->chance[i].unrelated.hi};
    return calibration_write(dir, points, EVAL_EVALUES, e);
}

static bool run_calibration(const char *dir, struct err *e)
{
    struct match_catalogue c;
    struct calibration_result r;
    if (!match_catalogue_open_library(dir, (unsigned)threads, &c, e))
        return false;
    bool ok = match_calibrate(&c, groups_path, n_catalogue, &r, e);
    match_catalogue_close(&c);
    if (ok && want_json)
        match_calibration_json(&r, stdout);
    else if (ok)
        match_calibration_print(&r, stdout);
    return ok;
}

/* `refrain eval` comes here for every --by but model, which refrain-train measures. */
static bool run_eval(const struct args *args, struct err *e)
{
    struct match_catalogue c;
    struct eval_result r;
    bool by_copy = strcmp(axis, "copy") == 0;
    if (!by_copy && strcmp(axis, "align") != 0)
        return err_set(e, ERR_USAGE, "--by %.64s: align or copy here; refrain eval knows model too",
                       axis);
    if (groups_path == NULL)
        return err_set(e, ERR_USAGE, "--by %s needs --groups FILE.csv (track_id,work_id)", axis);
    if (by_copy && segments_path != NULL)
        return err_set(e, ERR_USAGE, "--segments holds borrowed passages: measure --by align");
    if (n_catalogue > 0)
        return by_copy || segments_path != NULL
                   ? err_set(e, ERR_USAGE, "--catalogue measures the E-values of --by align alone")
                   : run_calibration(args->items[0], e);
    if (!(by_copy ? match_catalogue_open_library(args->items[0], (unsigned)threads, &c, e)
                  : match_catalogue_open(args->items[0], (unsigned)threads, &c, e)))
        return false;
    bool ok = match_eval(&c, by_copy ? EVAL_COPY : EVAL_ALIGN, groups_path, segments_path, &r, e) &&
              (by_copy || keep_calibration(c.dataset.dir, &r, e));
    match_catalogue_close(&c);
    if (ok && want_json)
        match_eval_json(&r, stdout);
    else if (ok)
        match_eval_print(&r, stdout);
    return ok;
}

static const struct option search_options[] = {
    {"top", 'n', OPTION_U64, &top, "N", "how many songs are shown, 10 if not said"},
    {"exhaustive", 0, OPTION_FLAG, &exhaustive, NULL, "align every song, without the first pass"},
    {"threads", 't', OPTION_U64, &threads, "N", "as many as there are cores if not said"},
    {"json", 'j', OPTION_FLAG, &want_json, NULL, "the result as one line of JSON"},
};

static const struct option eval_options[] = {
    {"groups", 'g', OPTION_STR, &groups_path, "FILE.csv", "which songs are versions of one work"},
    {"segments", 0, OPTION_STR, &segments_path, "FILE.csv",
     "passages whose places are known, as tests/corpus writes them"},
    {"catalogue", 0, OPTION_U64, &n_catalogue, "N",
     "whether E-values are true in catalogues of N of these songs, searched for all others"},
    {"by", 0, OPTION_STR, &axis, "AXIS", "align (default): melody and harmony; copy: fingerprints"},
    {"threads", 't', OPTION_U64, &threads, "N", "as many as there are cores if not said"},
    {"json", 'j', OPTION_FLAG, &want_json, NULL, "the result as one line of JSON"},
};

static const struct option pair_options[] = {
    {"output", 'o', OPTION_STR, &page_path, "FILE.html", "write the evidence as one page"},
    {"embed-audio", 0, OPTION_FLAG, &embed_audio, NULL,
     "put both files into the page, so that it plays each passage"},
    {"model", 'm', OPTION_STR, &model_path, "DIR[/NAME]",
     "how alike they sound to the trained model of a data set"},
    {"json", 'j', OPTION_FLAG, &want_json, NULL, "the result as one line of JSON"},
    {"all", 0, OPTION_FLAG, &want_all, NULL, "every song of a data set against every other"},
    {"evalue", 'e', OPTION_F64, &pair_evalue, "E", "with --all: pairs up to it, 0.01 if not said"},
    {"exhaustive", 0, OPTION_FLAG, &exhaustive, NULL, "with --all: without the first pass"},
    {"sequences", 0, OPTION_FLAG, &want_sequences, NULL,
     "make what --all and search need, of audio that was kept"},
    {"audio", 'a', OPTION_STR, &audio_folder, "FOLDER", "with --sequences: where it lies"},
    {"threads", 't', OPTION_U64, &threads, "N", "as many as there are cores if not said"},
};

static const struct command commands[] = {
    {.name = NULL,
     .synopsis = "A B [-o FILE.html] [--embed-audio] [--model DIR[/NAME]] [--json] | DIR --all | "
                 "DIR --sequences",
     .help =
         "Says what two audio files share: the same recording, a version, a borrowed passage.\n"
         "Each axis has a figure of its own, the E-value: how many passages as good as this a "
         "comparison of unrelated songs gives. With --model there is one more, and no part of the "
         "verdict: the share of the data set's pairs of songs that sound less alike. What it says "
         "is evidence for a human ear, not a legal verdict.",
     .examples = "refrain match song.mp3 cover.mp3\n"
                 "refrain match song.mp3 cover.mp3 -o report.html --embed-audio   # to look and "
                 "listen\n"
                 "refrain match song.mp3 cover.mp3 --json | jq .cover.segments\n"
                 "refrain match song.mp3 cover.mp3 --model songs        # do they sound alike?\n"
                 "refrain match songs --sequences       # once, where extract has not made them\n"
                 "refrain match songs --all             # writes songs/groups.csv and pairs.csv\n",
     .options = pair_options,
     .n_options = ARRAY_LEN(pair_options),
     .min_args = 1,
     .max_args = 2,
     .run = run_match},
    {.name = "search",
     .synopsis = "DIR QUERY [--top N] [--exhaustive] [--json]",
     .help = "The songs of a data set that share a melody with an audio file or one of its own "
             "songs.\n"
             "E says how many songs of the data set are expected to be as good by chance, q which "
             "share of those up to here is expected to be false.",
     .examples = "refrain search songs hum.mp3\n"
                 "refrain search songs TRIOREW128F424EAF0 --top 3 --json",
     .options = search_options,
     .n_options = ARRAY_LEN(search_options),
     .min_args = 2,
     .max_args = 2,
     .run = run_search},
    {.name = "eval",
     .synopsis = "DIR --groups FILE.csv [--by align|copy] [--segments FILE.csv] [--catalogue N] "
                 "[--json]",
     .help = "How well the alignment finds versions, or the fingerprints find copies, and whether "
             "their E-values are true.\n"
             "By copy, the groups are of songs that hold the same recording.",
     .examples = "refrain eval songs --by align --groups truth.csv\n"
                 "refrain eval songs --by align --groups truth.csv --catalogue 60\n"
                 "refrain eval songs --by copy --groups recordings.csv --json | jq .map\n",
     .options = eval_options,
     .n_options = ARRAY_LEN(eval_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_eval},
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
