/*
 * refrain-extract: previews in the spool to tensors in the store; and the log-mel of one file.
 */
#include "base/json.h"
#include "base/log.h"
#include "base/program.h"
#include "programs/extract_pipeline.h"
#include "programs/features_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The default of clip.ms, and its limit. */
enum { NEW_CLIP_MS = 10000, CLIP_MS_MAX = 600000 };

static bool want_watch, want_json;
static const char *out_path, *preset_name, *kind_name, *view_text, *like_dir;
static uint64_t start_ms, window_ms;

static void print_report(const struct extract_report *r)
{
    struct json j;
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_u64(&j, "clips", r->n_clips);
    json_u64(&j, "tracks", r->n_tracks);
    json_u64(&j, "bad", r->n_bad);
    json_u64(&j, "skipped", r->n_skipped);
    json_u64(&j, "silent", r->n_silent);
    json_f64(&j, "seconds", r->seconds);
    json_f64(&j, "tracks_per_s", r->seconds > 0 ? (double)r->n_tracks / r->seconds : 0);
    json_f64(&j, "clips_per_s", r->seconds > 0 ? (double)r->n_clips / r->seconds : 0);
    json_u64(&j, "threads", r->n_threads);
    json_u64(&j, "commits", r->n_commits);
    json_f64(&j, "commit_seconds", r->commit_seconds);
    json_u64(&j, "rss_anon_peak_bytes", r->rss_anon_peak_bytes);
    json_object(&j, "cpu_seconds");
    for (size_t i = 0; i < EXTRACT_STEPS; i++)
        json_f64(&j, extract_step_name((enum extract_step)i), r->cpu_seconds[i]);
    json_end(&j);
    json_end(&j);
    json_finish(&j);
}

static bool run_extract(const struct args *args, struct err *e)
{
    struct dataset d;
    struct extract_report report;
    if (!dataset_open(args->items[0], &d, e))
        return false;
    bool ok = extract_run(&d, want_watch, &report, e);
    if (want_json && (ok || report.n_threads > 0))
        print_report(&report);
    else if (ok)
        log_info("extract ends",
                 "tracks=%" PRIu64 " clips=%" PRIu64 " bad=%" PRIu64 " skipped=%" PRIu64
                 " seconds=%.1f",
                 report.n_tracks, report.n_clips, report.n_bad, report.n_skipped, report.seconds);
    return ok;
}

static bool kind_from_option(struct features_request *r, struct err *e)
{
    if (kind_name == NULL || strcmp(kind_name, "mel") == 0)
        return true;
    const struct feature_kind *kind = feature_kind_find(kind_name);
    if (kind == NULL)
        return err_set(e, ERR_USAGE,
                       "there is no kind \"%s\"; there are mel, mfcc, chroma, tempogram, cqt",
                       kind_name);
    if (preset_name != NULL)
        return err_set(e, ERR_USAGE, "--preset is for mel; %s follows librosa's defaults",
                       kind_name);
    r->spec = feature_spec_of_kind(kind);
    return true;
}

/* The window and the conventions of the view's data set; without one, those of a new data set. */
static bool view_from_option(struct features_request *r, struct view_record *view, struct err *e)
{
    static struct dataset like;
    if (like_dir != NULL && (preset_name != NULL || kind_name != NULL))
        return err_set(e, ERR_USAGE, "--like says how, as --preset and --kind do: give one");
    if (like_dir != NULL && !dataset_open(like_dir, &like, e))
        return false;
    if (like_dir != NULL)
        r->spec = feature_spec_from_settings(&like.settings);
    if (view_text == NULL)
        return true;
    if (!view_record_read(view_text, view, e))
        return false;
    if (r->ms == 0)
        r->ms = like_dir != NULL ? like.settings.clip.ms : NEW_CLIP_MS;
    if (view->has_start)
        r->start_ms = view->start_ms;
    if (r->ms > CLIP_MS_MAX || r->start_ms > UINT32_MAX)
        return err_set(e, ERR_USAGE, "a window of %" PRIu64 " ms from %" PRIu64 " ms is no clip",
                       r->ms, r->start_ms);
    r->view = view;
    return true;
}

static bool run_features(const struct args *args, struct err *e)
{
    struct features_result result;
    struct view_record view;
    char spec[SPEC_TEXT_BYTES];
    if (out_path == NULL)
        return err_set(e, ERR_USAGE, "where to? Give -o out.npy, out.png or out.svg");
    struct features_request request = {.audio_path = args->items[0],
                                       .out_path = out_path,
                                       .start_ms = start_ms,
                                       .ms = window_ms,
                                       .spec = feature_spec_of(FEATURE_LIBROSA_0_10)};
    if (preset_name != NULL && !feature_spec_preset(preset_name, &request.spec, e))
        return false;
    if (!kind_from_option(&request, e) || !view_from_option(&request, &view, e))
        return false;
    if (!features_write(&request, &result, e))
        return false;
    if (!want_json) {
        printf("%s: %zu %s x %zu frames, %" PRIu64 " ms from %" PRIu64 " ms\n", out_path,
               result.n_rows, request.spec.kind == NULL ? "mels" : request.spec.kind->what,
               result.n_frames, result.ms, result.start_ms);
        return true;
    }
    struct json j;
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_array(&j, "shape");
    json_u64(&j, NULL, result.n_rows);
    json_u64(&j, NULL, result.n_frames);
    json_end(&j);
    json_u64(&j, "start_ms", result.start_ms);
    json_u64(&j, "ms", result.ms);
    if (request.spec.kind == NULL)
        json_f64(&j, "ref_db", (double)result.ref_db);
    json_u64(&j, "rate_hz", result.rate_hz);
    json_u64(&j, "channels", result.n_channels);
    feature_spec_text(&request.spec, spec);
    json_str(&j, "spec", spec);
    json_end(&j);
    json_finish(&j);
    return true;
}

static const struct option extract_options[] = {
    {"watch", 'w', OPTION_FLAG, &want_watch, NULL, "wait for more until SIGTERM or SIGINT"},
    {"json", 'j', OPTION_FLAG, &want_json, NULL, "print what was done as JSON on stdout"},
};

static const struct option features_options[] = {
    {"output", 'o', OPTION_STR, &out_path, "FILE",
     "a .npy: float32, (rows, frames); or a .png or .svg: the picture of the log-mel"},
    {"kind", 'k', OPTION_STR, &kind_name, "NAME", "mel, mfcc, chroma, tempogram or cqt (mel)"},
    {"preset", 0, OPTION_STR, &preset_name, "NAME",
     "librosa-0.10, librosa-0.8, torchaudio, kaldi-ast or whisper (librosa-0.10)"},
    {"start-ms", 0, OPTION_U64, &start_ms, "N", "begin of the window (0)"},
    {"ms", 0, OPTION_U64, &window_ms, "N", "length of the window; 0: to the end (0)"},
    {"augment-record", 0, OPTION_STR, &view_text, "FILE|JSON",
     "make the stored view again that `refrain store get --json` printed this of"},
    {"like", 0, OPTION_STR, &like_dir, "DIR",
     "conventions of this data set, and for a view its clip.ms (10000)"},
    {"json", 'j', OPTION_FLAG, &want_json, NULL, "print shape and parameters as JSON on stdout"},
};

static const struct command commands[] = {
    {.name = NULL,
     .synopsis = "DIR [--watch] [--json]",
     .help = "Turns the previews in DIR/spool/new into tensors in DIR/features.mdb and removes "
             "them from the spool; ends when the spool is empty.",
     .examples = "refrain-extract songs            # all that is there\n"
                 "refrain-extract songs --watch    # and all that comes, until Ctrl-C",
     .options = extract_options,
     .n_options = ARRAY_LEN(extract_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_extract},
    {.name = "features",
     .synopsis =
         "AUDIO -o OUT.npy|png|svg [--kind NAME] [--preset NAME | --like DIR] [--start-ms N] "
         "[--ms N] [--augment-record FILE|JSON] [--json]",
     .help =
         "Writes the log-mel of one audio file as librosa would compute it, or the library that "
         "the preset names, without a data set; or MFCC, chroma, tempogram or constant-Q as "
         "librosa's defaults make them; or any augmented view of a store again, from its record.",
     .examples = "refrain-extract features song.mp3 -o song.npy --start-ms 5000 --ms 10000\n"
                 "refrain-extract features song.mp3 -o song.npy --preset whisper\n"
                 "refrain-extract features song.mp3 -o song.npy --kind chroma\n"
                 "refrain-extract features song.mp3 -o song.png\n"
                 "refrain store get songs 17 --view 1 --json > view.json\n"
                 "refrain-extract features song.mp3 -o view.npy --augment-record view.json --like "
                 "songs  # bit for bit",
     .options = features_options,
     .n_options = ARRAY_LEN(features_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_features},
};

static const struct program program = {
    .name = "refrain-extract",
    .summary = "previews to log-mel tensors",
    .description =
        "Decodes MP3, AAC in MP4, Ogg, FLAC and WAV in processes that can open nothing and do "
        "nothing else, cuts one clip from each preview or several (clip.policy), computes its "
        "log-mel and those of its augmented positives, and commits them to the store. A preview's "
        "file goes only after the commit that holds its tensors; killed at any instant, the same "
        "command goes on and ends in the same store. A preview that cannot be used is moved to "
        "DIR/spool/bad beside a file that says why.",
    .commands = commands,
    .n_commands = ARRAY_LEN(commands),
};

/* libsoxr changes its results by SOXR_* variables; ours are a function of the configuration. */
static void forget_soxr_environment(void)
{
    static const char prefix[] = "SOXR_";
    for (char **at = environ; at != NULL && *at != NULL;) {
        char name[64];
        size_t n = strcspn(*at, "=");
        if (strncmp(*at, prefix, sizeof prefix - 1) == 0 && n < sizeof name) {
            memcpy(name, *at, n);
            name[n] = '\0';
            unsetenv(name); /* moves the rest up */
        } else {
            at++;
        }
    }
}

int main(int argc, char **argv)
{
    forget_soxr_environment();
    return program_main(&program, argc, argv);
}
