#include "programs/store_import.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "conf/settings.h"
#include "programs/delegate.h"
#include "store/import.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

enum { REFUSALS_SHOWN = 20 };

static bool as_json, mels_first, relative;
static const char *dtype_name = "", *member = "", *prefix = "";
static double scale = NAN, offset = NAN; /* not said */
static double lowest = -80, highest, frame_ms;
static uint64_t cut_frames;
static struct option_list spec_list;

const struct option store_import_options[STORE_IMPORT_OPTIONS] = {
    {"json", 'j', OPTION_FLAG, &as_json, NULL, "for machines"},
    {"dtype", 'd', OPTION_STR, &dtype_name, "NAME",
     "how to store: u8 (if not said, or as the store is), u12, f32, raw, archive"},
    {"spec", 's', OPTION_LIST, &spec_list, "KEY=VALUE",
     "what the features are (rate_hz=22050, hop=512, ...): kept, hashed into every record, and "
     "held "
     "against later imports; may be given several times"},
    {"scale", 0, OPTION_F64, &scale, "A", "what is stored is value * A + B; bytes need it"},
    {"offset", 0, OPTION_F64, &offset, "B", "see --scale"},
    {"relative", 0, OPTION_FLAG, &relative, NULL,
     "below each clip's maximum, floored at --lowest, as librosa's power_to_db(ref=max)"},
    {"lowest", 0, OPTION_F64, &lowest, "DB", "what 8 and 12 bits begin at, -80 if not said"},
    {"highest", 0, OPTION_F64, &highest, "DB", "and where they end, 0 if not said"},
    {"mels-first", 0, OPTION_FLAG, &mels_first, NULL, "arrays are (mels, frames), as librosa's"},
    {"frames", 'f', OPTION_U64, &cut_frames, "N",
     "cut each array into clips of N frames, what is left over is dropped; else an array is a "
     "clip"},
    {"frame-ms", 0, OPTION_F64, &frame_ms, "MS",
     "from frame to frame, so that clips know their "
     "start"},
    {"member", 'm', OPTION_STR, &member, "ENDING",
     "which member of a tar's samples, as mel.npy; if not said, those that end in npy"},
    {"prefix", 'p', OPTION_STR, &prefix, "TEXT", "in front of every name, at most 32 bytes"},
};

/* ---------------------------------------------------------------- parameters */

static bool spec_text(char out[IMPORT_SPEC_BYTES], struct err *e)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < spec_list.n; i++) {
        const char *item = spec_list.items[i];
        if (!strchr(item, '=') || strchr(item, '\n') || item[0] == '=')
            return err_set(e, ERR_USAGE, "--spec %.80s: KEY=VALUE is needed", item);
        int written = snprintf(out + n, IMPORT_SPEC_BYTES - n, "%s\n", item);
        if (written < 0 || (size_t)written >= IMPORT_SPEC_BYTES - n)
            return err_set(e, ERR_USAGE, "--spec: more than %d bytes of them",
                           IMPORT_SPEC_BYTES - 1);
        n += (size_t)written;
    }
    return true;
}

/* Those of the data set where it has a configuration, else the defaults. */
static bool settings_of(const char *dir, struct settings *out, struct err *e)
{
    char path[PATH_BYTES];
    if (!path_join(path, dir, "refrain.conf", e))
        return false;
    if (file_exists(path))
        return settings_load(path, out, e);
    conf_defaults(&settings_table, out);
    return true;
}

static bool params_make(const char *dir, struct store_import_params *p,
                        char spec[IMPORT_SPEC_BYTES], struct err *e)
{
    struct settings s;
    if (!settings_of(dir, &s, e))
        return false;
    if (dtype_name[0] && !record_dtype_parse(dtype_name, &p->dtype))
        return err_set(e, ERR_USAGE, "--dtype %s: there are u8, u12, f32, raw and archive",
                       dtype_name);
    if (!(lowest < highest) || (relative && highest < 0))
        return err_set(e, ERR_USAGE, "--lowest %g --highest %g: the first is the lower one%s",
                       lowest, highest, relative ? ", and --relative ends at 0" : "");
    if (!(frame_ms >= 0 && frame_ms <= 1e6) || cut_frames > RECORD_FRAMES_MAX)
        return err_set(e, ERR_USAGE, "--frame-ms %g --frames %" PRIu64 ": at most 1e6 and %d",
                       frame_ms, cut_frames, RECORD_FRAMES_MAX);
    if (strlen(prefix) > 32)
        return err_set(e, ERR_USAGE, "--prefix of %zu bytes, at most 32", strlen(prefix));
    p->zstd_level = (int)s.store.zstd_level;
    p->lowest = lowest;
    p->highest = highest;
    p->scale = isnan(scale) ? 1 : scale;
    p->offset = isnan(offset) ? 0 : offset;
    p->has_scale = !isnan(scale) || !isnan(offset);
    p->relative = relative;
    p->mels_first = mels_first;
    p->cut_frames = cut_frames;
    p->frame_ms = frame_ms;
    p->member = member[0] ? member : NULL;
    p->prefix = prefix;
    p->spec = spec;
    p->writer = (struct store_writer_params){.map_bytes = s.store.map_gib << 30,
                                             .commit_clips = s.store.commit_clips,
                                             .commit_bytes = STORE_COMMIT_BYTES,
                                             .commit_ns = UINT64_MAX,
                                             .disk_floor_bytes = s.disk_floor_mib << 20};
    return spec_text(spec, e);
}

/* ---------------------------------------------------------------- listener */

struct output {
    struct progress progress;
    uint64_t n_refused;
};

static void show_refused(void *arg, const char *name, const char *why)
{
    struct output *o = arg;
    if (o->n_refused++ < REFUSALS_SHOWN)
        log_warn("not imported", "name=%s why=\"%s\"", name, why);
}

static void show_progress(void *arg, uint64_t clips)
{
    struct output *o = arg;
    progress_update(&o->progress, clock_now_ns(), clips, "refused=%" PRIu64, o->n_refused);
}

static bool stop_asked(void *arg)
{
    (void)arg;
    return program_stop_requested();
}

static void print_report(const struct store_import_report *r, const char *dir)
{
    if (as_json) {
        struct json j;
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_u64(&j, "files", r->files);
        json_u64(&j, "tracks", r->tracks);
        json_u64(&j, "clips", r->clips);
        json_u64(&j, "there", r->there);
        json_u64(&j, "refused", r->refused);
        json_f64(&j, "max_error_db", r->max_err_db);
        json_hex64(&j, "root", r->root);
        json_end(&j);
        json_finish(&j);
        return;
    }
    printf("%s: %" PRIu64 " clips of %" PRIu64 " tracks from %" PRIu64 " files, %" PRIu64
           " tracks were there, %" PRIu64 " refused\n",
           dir, r->clips, r->tracks, r->files, r->there, r->refused);
    printf("values are off by at most %.4g, root %016" PRIx64 "%s\n", r->max_err_db, r->root,
           r->exported_root == 0         ? ""
           : r->exported_root == r->root ? ", as it was exported"
                                         : ", other than the exported one");
}

/* ---------------------------------------------------------------- audio */

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool run_program(const char *const *argv, struct err *e)
{
    char path[PATH_BYTES];
    pid_t pid;
    int status;
    delegate_locate(argv[0], path);
    int rc = posix_spawnp(&pid, path, NULL, NULL, (char *const *)(uintptr_t)argv, environ);
    if (rc != 0)
        return err_set_errno(e, ERR_FATAL, rc, "cannot run %s", path);
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return err_set_errno(e, ERR_FATAL, errno, "cannot wait for %s", path);
    }
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           err_set(e, ERR_FATAL, "%s %s failed", argv[0], argv[1]);
}

/* Sound becomes tensors by the pipeline, which has the decoder; this program has none. */
static bool folder_import(const char *dir, const char *folder, struct err *e)
{
    const char *const init[] = {"refrain", "init", dir, "--audio", folder, NULL};
    const char *const run[] = {"refrain", "run", dir, NULL};
    return run_program(init, e) && run_program(run, e);
}

/* ---------------------------------------------------------------- command */

static bool import_files(const struct args *args, const struct store_import_params *params,
                         struct store_import_report *report, struct err *e)
{
    struct output o = {0};
    const struct store_import_listener listener = {show_refused, show_progress, stop_asked, &o};
    struct store_import *im;
    if (!store_import_open(args->items[0], params, &listener, &im, e))
        return false;
    progress_init(&o.progress, "import", "clips", 0);
    show_progress(&o, 0);
    bool ok = true;
    for (size_t i = 1; i < args->n && ok; i++)
        ok = store_import_file(im, args->items[i], e);
    progress_finish(&o.progress, clock_now_ns());
    struct err stopped = *e;
    if (ok || stopped.kind == ERR_STOP)
        ok = store_import_finish(im, report, e) && ok;
    store_import_close(im);
    if (o.n_refused > REFUSALS_SHOWN)
        log_warn("not imported", "more=%" PRIu64, o.n_refused - REFUSALS_SHOWN);
    return ok;
}

bool store_import_run(const struct args *args, struct err *e)
{
    struct store_import_params params = {0};
    struct store_import_report report = {0};
    char spec[IMPORT_SPEC_BYTES];
    if (is_folder(args->items[1])) {
        if (args->n == 2)
            return folder_import(args->items[0], args->items[1], e);
        return err_set(e, ERR_USAGE, "%s is a folder: a folder of audio is imported alone",
                       args->items[1]);
    }
    if (!params_make(args->items[0], &params, spec, e) || !import_files(args, &params, &report, e))
        return false;
    print_report(&report, args->items[0]);
    uint64_t n_files = args->n - 1;
    return (report.files == n_files && (report.refused == 0 || report.clips + report.there > 0)) ||
           err_set(e, ERR_FATAL, "%" PRIu64 " of %" PRIu64 " files could not be imported whole",
                   n_files - report.files + (report.files == n_files), n_files);
}
