/*
 * refrain-store: looks into a data set's tensors, checks them, lays them out anew, hands them on.
 * Needs DIR only; the store says itself what it holds.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/program.h"
#include "base/progress.h"
#include "programs/store_bench.h"
#include "programs/store_doctor.h"
#include "programs/store_import.h"
#include "programs/store_list.h"
#include "store/compact.h"
#include "store/export.h"
#include "store/generation.h"
#include "store/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool as_json;

#define JSON_OPTION                                                                                \
    {                                                                                              \
        "json", 'j', OPTION_FLAG, &as_json, NULL, "for machines"                                   \
    }

static const struct option json_options[] = {JSON_OPTION};

/* ---------------------------------------------------------------- stat, ls */

static bool run_stat(const struct args *args, struct err *e)
{
    struct store *s;
    struct store_stat st;
    if (!store_open(args->items[0], &s, e))
        return false;
    bool ok = store_stat(s, &st, e);
    if (ok)
        store_print_stat(&st, as_json, stdout);
    store_close(s);
    return ok;
}

static bool run_ls(const struct args *args, struct err *e)
{
    struct store *s;
    if (!store_open(args->items[0], &s, e))
        return false;
    bool ok = store_print_list(s, as_json, stdout, e);
    store_close(s);
    return ok;
}

/* ---------------------------------------------------------------- get */

static uint64_t get_clip, get_view;
static const char *get_output;

static const struct option get_options[] = {
    JSON_OPTION,
    {"clip", 'c', OPTION_U64, &get_clip, "N", "which clip of the track, from 0"},
    {"view", 0, OPTION_U64, &get_view, "N", "0 is the clip itself, 1.. its augmented positives"},
    {"output", 'o', OPTION_STR, &get_output, "FILE.npy",
     "write the values, dB as float32, (frames, mels)"},
};

static bool run_get(const struct args *args, struct err *e)
{
    struct store *s;
    uint64_t row;
    if (get_clip > 255 || get_view > 255)
        return err_set(e, ERR_USAGE, "--clip %" PRIu64 " --view %" PRIu64 ": both end at 255",
                       get_clip, get_view);
    if (!store_open(args->items[0], &s, e))
        return false;
    bool ok = store_find_row(s, args->items[1], &row, e) &&
              store_print_record(s, store_key(row, (uint32_t)get_clip, (uint32_t)get_view),
                                 get_output, as_json, stdout, e);
    store_close(s);
    return ok;
}

/* ---------------------------------------------------------------- verify */

enum { FINDINGS_SHOWN = 1000 };

static bool verify_deep;

static const struct option verify_options[] = {
    JSON_OPTION,
    {"deep", 'd', OPTION_FLAG, &verify_deep, NULL,
     "decode every record too and check its error certificate"},
};

struct verify_output {
    struct progress progress;
    struct json *json; /* NULL: lines */
    uint64_t n_shown;
};

static void show_damage(void *arg, const char *text)
{
    struct verify_output *o = arg;
    if (o->n_shown++ >= FINDINGS_SHOWN)
        return;
    if (o->json)
        json_str(o->json, NULL, text);
    else
        printf("%s\n", text);
}

static void show_progress(void *arg, uint64_t clips)
{
    struct verify_output *o = arg;
    progress_update(&o->progress, clock_now_ns(), clips, "%s", "");
}

static bool run_verify(const struct args *args, struct err *e)
{
    struct json j = {0};
    struct verify_output o = {.json = as_json ? &j : NULL};
    struct verify_report report;
    const struct verify_listener listener = {show_damage, show_progress, &o};
    progress_init(&o.progress, "verify", "clips", 0);
    if (as_json) {
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_array(&j, "damage");
    }
    if (!store_verify(args->items[0], verify_deep, &listener, &report, e))
        return false;
    show_progress(&o, report.clips);
    progress_finish(&o.progress, clock_now_ns());
    if (as_json) {
        json_end(&j);
        json_u64(&j, "findings", report.n_damaged);
        json_u64(&j, "clips", report.clips);
        json_u64(&j, "tracks", report.tracks);
        json_hex64(&j, "root", report.root);
        json_end(&j);
        json_finish(&j);
    } else if (report.n_damaged == 0) {
        printf("%" PRIu64 " clips of %" PRIu64 " tracks are whole, root %016" PRIx64 "\n",
               report.clips, report.tracks, report.root);
    }
    if (report.n_damaged > 0)
        return err_set(e, ERR_FATAL,
                       "%s: %" PRIu64 " findings; move features.mdb away and run refrain extract "
                       "again, or put a copy in its place",
                       args->items[0], report.n_damaged);
    return true;
}

/* ---------------------------------------------------------------- compact, retire, export */

static bool run_compact(const struct args *args, struct err *e)
{
    struct compact_report report;
    if (!store_compact(args->items[0], &report, e))
        return false;
    if (as_json) {
        struct json j;
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_u64(&j, "clips", report.clips);
        json_u64(&j, "bytes_before", report.bytes_before);
        json_u64(&j, "bytes_after", report.bytes_after);
        json_hex64(&j, "root", report.root);
        json_end(&j);
        json_finish(&j);
    } else {
        printf("%" PRIu64 " clips in key order, %.1f MB before, %.1f MB now\n", report.clips,
               (double)report.bytes_before / 1e6, (double)report.bytes_after / 1e6);
    }
    return true;
}

static bool run_retire(const struct args *args, struct err *e)
{
    char folder[PATH_BYTES];
    if (!store_retire(args->items[0], folder, e))
        return false;
    if (as_json) {
        struct json j;
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_str(&j, "retired", folder);
        json_end(&j);
        json_finish(&j);
    } else {
        printf("retired as %s; the next extract begins a store of its own\n", folder);
    }
    return true;
}

static const char *export_format = "npy", *export_dtype = "", *export_output;

static const struct option export_options[] = {
    JSON_OPTION,
    {"format", 'f', OPTION_STR, &export_format, "NAME",
     "npy (if not said), safetensors, wds, kaldi, mds"},
    {"dtype", 'd', OPTION_STR, &export_dtype, "u8|f32",
     "8-bit levels (only from a u8 store, and its default; not for kaldi) or dB as float32"},
    {"output", 'o', OPTION_STR, &export_output, "FILE",
     "where to; FILE.json (FILE without its ending) says what each clip is"},
};

static bool export_values_parse(struct store *s, enum export_format format, enum export_values *out,
                                struct err *e)
{
    struct store_stat st;
    if (!store_stat(s, &st, e))
        return false;
    bool said = export_dtype[0] != '\0',
         levels = record_dtype_has_levels(st.dtype) && format != EXPORT_KALDI;
    if (said ? strcmp(export_dtype, "f32") == 0 : !levels)
        *out = EXPORT_DB;
    else if (levels && (!said || strcmp(export_dtype, "u8") == 0))
        *out = EXPORT_LEVELS;
    else
        return err_set(e, ERR_USAGE, "--dtype %s as %s from a store of %s: say %sf32", export_dtype,
                       export_format_name(format), record_dtype_name(st.dtype),
                       levels ? "u8 or " : "");
    return true;
}

static bool run_export(const struct args *args, struct err *e)
{
    struct store *s;
    enum export_format format;
    enum export_values values;
    struct export_report report;
    if (!export_format_parse(export_format, &format))
        return err_set(e, ERR_USAGE, "--format %s: there are npy, safetensors, wds, kaldi and mds",
                       export_format);
    if (!export_output)
        return err_set(e, ERR_USAGE, "export needs -o FILE");
    if (!store_open(args->items[0], &s, e))
        return false;
    bool ok = export_values_parse(s, format, &values, e) &&
              store_export(s, export_output, format, values, &report, e);
    store_close(s);
    if (!ok)
        return false;
    if (as_json) {
        struct json j;
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_str(&j, "file", export_output);
        json_u64(&j, "clips", report.clips);
        json_u64(&j, "bytes", report.bytes);
        json_end(&j);
        json_finish(&j);
    } else {
        printf("%s: %" PRIu64 " clips, %.1f MB\n", export_output, report.clips,
               (double)report.bytes / 1e6);
    }
    return true;
}

/* ---------------------------------------------------------------- doctor, bench */

static bool run_doctor(const struct args *args, struct err *e)
{
    return store_doctor_run(args->items[0], as_json, stdout, e);
}

static uint64_t bench_threads = 1;
static uint64_t bench_pin_mib;
static double bench_seconds = 3;

static const struct option bench_options[] = {
    JSON_OPTION,
    {"threads", 't', OPTION_U64, &bench_threads, "N", "readers, 1 if not said"},
    {"seconds", 's', OPTION_F64, &bench_seconds, "S", "how long, 3 if not said"},
    {"pin", 0, OPTION_U64, &bench_pin_mib, "MIB", "memory for records that are kept there"},
};

static bool run_bench(const struct args *args, struct err *e)
{
    struct store *s;
    struct store_bench_result result;
    uint64_t pin_bytes = bench_pin_mib << 20;
    if (bench_threads < 1 || bench_threads > STORE_BENCH_THREADS_MAX)
        return err_set(e, ERR_USAGE, "--threads %" PRIu64 ": from 1 to %d", bench_threads,
                       STORE_BENCH_THREADS_MAX);
    if (!(bench_seconds > 0 && bench_seconds <= 3600))
        return err_set(e, ERR_USAGE, "--seconds %g: above 0, at most 3600", bench_seconds);
    if (!store_open(args->items[0], &s, e))
        return false;
    bool ok = store_bench(s, bench_threads, bench_seconds, pin_bytes, &result, e);
    store_close(s);
    if (!ok)
        return false;
    if (as_json) {
        struct json j;
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_f64(&j, "clips_per_s", result.clips_per_s);
        json_u64(&j, "threads", bench_threads);
        json_f64(&j, "pinned", result.pinned);
        json_f64(&j, "seconds", result.seconds);
        json_u64(&j, "clips", result.clips);
        json_end(&j);
        json_finish(&j);
    } else {
        printf("%.0f random clips/s decoded to float32 by %" PRIu64 " threads\n",
               result.clips_per_s, bench_threads);
    }
    return true;
}

/* ---------------------------------------------------------------- table */

static const struct command commands[] = {
    {.name = "stat",
     .synopsis = "DIR [--json]",
     .help = "Clips, tracks, bytes, error, and the root hash that names the content.",
     .examples = "refrain store stat songs",
     .options = json_options,
     .n_options = ARRAY_LEN(json_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_stat},
    {.name = "ls",
     .synopsis = "DIR [--json]",
     .help = "A line for every record: row, track, clip, view, start, bytes, error, augmentation.",
     .examples = "refrain store ls songs | head",
     .options = json_options,
     .n_options = ARRAY_LEN(json_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_ls},
    {.name = "get",
     .synopsis = "DIR TRACK_ID|ROW [--clip N] [--view N] [-o FILE.npy] [--json]",
     .help = "One record: what it is and, with -o, its values.",
     .examples = "refrain store get songs TRIOREW128F424EAF0 -o clip.npy\n"
                 "refrain store get songs 17 --view 1 --json    # how row 17 was augmented",
     .options = get_options,
     .n_options = ARRAY_LEN(get_options),
     .min_args = 2,
     .max_args = 2,
     .run = run_get},
    {.name = "verify",
     .synopsis = "DIR [--deep] [--json]",
     .help = "Check every checksum, the totals and the root.\n"
             "Reads in a process of its own, so that a damaged file cannot take the tool down. "
             "Exits 1 and lists what is damaged. Works while extract runs.",
     .examples = "refrain store verify songs\n"
                 "refrain store verify songs --deep    # decode everything too",
     .options = verify_options,
     .n_options = ARRAY_LEN(verify_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_verify},
    {.name = "compact",
     .synopsis = "DIR [--json]",
     .help = "Lay the records out in key order, without free pages.\n"
             "The result is the same file, byte for byte, whatever order the records came in. "
             "Nothing else may have the store open.",
     .examples = "refrain store compact songs",
     .options = json_options,
     .n_options = ARRAY_LEN(json_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_compact},
    {.name = "retire",
     .synopsis = "DIR [--json]",
     .help = "Put the store aside as features.1.mdb (.2, ...), so that extract may begin another "
             "one after a setting of the features has changed.\n"
             "No record is touched, and every command here reads it under its new path. Remove the "
             "folder when it is not wanted any more.",
     .examples = "refrain store retire songs && refrain extract songs\n"
                 "refrain store stat songs/features.1.mdb",
     .options = json_options,
     .n_options = ARRAY_LEN(json_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_retire},
    {.name = "export",
     .synopsis = "DIR -o FILE [--format NAME] [--dtype u8|f32] [--json]",
     .help = "All records in a format of others, with a JSON description: a NumPy array that maps "
             "into memory, safetensors, a WebDataset tar with index, a Kaldi archive with script, "
             "a folder of Mosaic Streaming shards.",
     .examples = "refrain store export songs -o songs.npy\n"
                 "refrain store export songs --format wds -o songs.tar\n"
                 "refrain store export songs -o songs.npy --dtype f32    # dB, four times larger",
     .options = export_options,
     .n_options = ARRAY_LEN(export_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_export},
    {.name = "import",
     .synopsis = "DIR FILE... [--spec KEY=VALUE ...] [--frames N] [--mels-first] [--relative] "
                 "[--dtype NAME] [--json]",
     .help =
         "Arrays of others become records: .npy, .npz, binary Kaldi archives and .scp, "
         "WebDataset tars, plain or in .gz; a folder of audio goes through init and run.\n"
         "An export with its .json beside it becomes the store it was, to the last bit. Else an "
         "array is a track, (frames, mels) in decibels from -80 to 0 unless options say "
         "otherwise. Names that are there are left alone: it may be run again.",
     .examples = "refrain store import songs features/*.npy --spec rate_hz=22050 --spec hop=512\n"
                 "refrain store import songs mels.npz --mels-first --relative    # librosa's "
                 "melspectrogram\n"
                 "refrain store import speech feats.scp --frames 300 --dtype f32\n"
                 "refrain store import copy exported.tar    # beside exported.json: same root",
     .options = store_import_options,
     .n_options = STORE_IMPORT_OPTIONS,
     .min_args = 2,
     .max_args = STORE_IMPORT_FILES_MAX,
     .run = store_import_run},
    {.name = "doctor",
     .synopsis = "DIR [--json]",
     .help = "How the store lies on disk and in memory, what this machine will make of it, and "
             "what would help.\n"
             "Measures for about two seconds: decoding on one core, the disk past the page cache. "
             "The forecast is of epochs that read every record once.",
     .examples = "refrain store doctor songs",
     .options = json_options,
     .n_options = ARRAY_LEN(json_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_doctor},
    {.name = "bench",
     .synopsis = "DIR [--threads N] [--seconds S] [--pin MIB] [--json]",
     .help = "Random reads, decoded to float32, after a second that warms the cache.",
     .examples = "refrain store bench songs --threads 2\n"
                 "refrain store bench songs --pin 512    # with that much kept in memory",
     .options = bench_options,
     .n_options = ARRAY_LEN(bench_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_bench},
};

static const struct program program = {
    .name = "refrain-store",
    .summary = "look into the tensors of a data set",
    .description = "The tensors lie in DIR/features.mdb, an LMDB environment; docs/FORMAT.md says "
                   "what each byte is.",
    .commands = commands,
    .n_commands = ARRAY_LEN(commands),
};

int main(int argc, char **argv)
{
    return program_main(&program, argc, argv);
}
