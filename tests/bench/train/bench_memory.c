/*
 * Memory of training a resnet18 at the real size, 431 x 128 and 32 triplets a step, on few clips
 * and on many: RssAnon at its peak and VmHWM, which has the mapped pages of store and cache in it.
 *
 *     bench_memory [TRACKS]     1,000; two clips each, every one another picture
 *
 * What 50,000 tracks cost: 4 GB of disk for their records and 11 GB for the activations of a frozen
 * trunk. These are numbers out of the air, put where the trainer finds them: at 50 clips a second
 * it would compute them for half an hour, and what they are decides nothing here.
 */
#include "base/rng.h"
#include "tests/bench/train/memory.h"
#include "tests/unit/train/synth.h"
#include "train/trainer.h"
#include "train/trunk.h"

#include <glob.h>
#include <inttypes.h>
#include <sys/wait.h>

enum { FRAMES = 431, MELS = 128, FEW = 50, STEPS = 4, CUT_VALUES = 27 * 8 * 256 };
#define CACHE_BYTES (UINT64_C(32) << 30)

static size_t peak_anon_kib;

/* Called after every step: a place to look, not to stop. */
static bool look(void)
{
    peak_anon_kib = size_max(peak_anon_kib, memory_kib("RssAnon"));
    return false;
}

static bool stop(void)
{
    return true;
}

static bool train(const char *dir, bool cached, bool (*each_step)(void), struct err *e)
{
    struct train_result r;
    struct train_params p = {.dir = dir,
                             .name = "bench",
                             .model = "resnet18",
                             .unfreeze = cached ? "layer4" : "all",
                             .seed = 1,
                             .epochs = 1,
                             .batch = 32,
                             .steps_per_epoch = STEPS,
                             .learning_rate = 1e-4,
                             .margin = 1.0,
                             .validation_share = 0.15,
                             .mining = MINE_SEMI_HARD,
                             .cache_bytes = cached ? CACHE_BYTES : 0,
                             .replace = true,
                             .checkpoint_ns = UINT64_MAX,
                             .stop = each_step};
    return train_run(&p, &r, e);
}

static bool put_stand_ins(struct synth_open *s, struct trunk *t, struct err *e)
{
    float *values = mem_alloc(CUT_VALUES, sizeof *values);
    struct rng r;
    bool ok = true;
    rng_init(&r, 1, 2, 3);
    for (size_t k = 0; k < CUT_VALUES; k++)
        values[k] = (float)rng_normal(&r);
    for (size_t i = 0; ok && i < s->snap.n_keys; i++) {
        values[i % CUT_VALUES] += 0.5f; /* no two are the same */
        ok = trunk_has(t, s->snap.keys[i]) || trunk_append(t, &s->snap.keys[i], 1, values, e);
        ok = ok && (i % 1024 != 0 || trunk_sync(t, e));
    }
    mem_free(values);
    return ok && trunk_sync(t, e);
}

/* A run that stops at once makes the cache; its name is the hash that the next run looks for. */
static bool fill_cache(const char *dir, struct err *e)
{
    char models[300], pattern[400];
    struct synth_open s = {0};
    struct trunk *t = NULL;
    glob_t found = {0};
    snprintf(models, sizeof models, "%s/models", dir);
    snprintf(pattern, sizeof pattern, "%s/trunk/*.bin", models);
    bool ok = train(dir, true, stop, e);
    if (ok && (glob(pattern, 0, NULL, &found) != 0 || found.gl_pathc != 1))
        ok = err_set(e, ERR_PERM, "%s: not one file", pattern);
    ok = ok && store_open(dir, &s.store, e) && store_snapshot_init(s.store, &s.snap, e);
    if (ok) {
        struct trunk_params tp = {
            .models_dir = models, .n_values = CUT_VALUES, .limit_bytes = CACHE_BYTES};
        tp.hash = strtoull(strrchr(found.gl_pathv[0], '/') + 1, NULL, 16);
        ok = trunk_open(&tp, s.store, &s.snap, &t, e) && put_stand_ins(&s, t, e);
    }
    trunk_close(t);
    synth_close(&s);
    globfree(&found);
    return ok;
}

enum job { MAKE_STORE, TRAIN_ALL, FILL_CACHE, TRAIN_LAYER4 };

static bool run_job(enum job job, const char *dir, uint64_t n_tracks, struct err *e)
{
    struct synth_params sp = {1, 0, n_tracks, FRAMES, MELS, 2, RECORD_U8, 1, SYNTH_SOUND};
    switch (job) {
    case MAKE_STORE:
        return synth_store(dir, &sp, e);
    case FILL_CACHE:
        return fill_cache(dir, e);
    default:
        return train(dir, job == TRAIN_LAYER4, look, e);
    }
}

struct memory {
    size_t anon_kib, resident_kib;
};

/* In a process of its own: its peak is its own. */
static bool run_apart(enum job job, const char *dir, uint64_t n_tracks, struct memory *out)
{
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct err e = {0};
        if (!run_job(job, dir, n_tracks, &e)) {
            fprintf(stderr, "bench_memory: %s\n", e.msg);
            _exit(1);
        }
        struct memory m = {peak_anon_kib, memory_kib("VmHWM")};
        _exit(write(ends[1], &m, sizeof m) == (ssize_t)sizeof m ? 0 : 1);
    }
    close(ends[1]);
    bool ok = read(ends[0], out, sizeof *out) == (ssize_t)sizeof *out;
    close(ends[0]);
    waitpid(pid, NULL, 0);
    return ok;
}

static bool measure(uint64_t n_tracks, struct memory *all, struct memory *layer4)
{
    char dir[256];
    struct memory unused;
    synth_dir(dir);
    bool ok = run_apart(MAKE_STORE, dir, n_tracks, &unused) &&
              run_apart(TRAIN_ALL, dir, n_tracks, all) &&
              run_apart(FILL_CACHE, dir, n_tracks, &unused) &&
              run_apart(TRAIN_LAYER4, dir, n_tracks, layer4);
    synth_remove(dir);
    return ok;
}

static void show(const char *part, const struct memory *few, const struct memory *many,
                 uint64_t n_tracks, const char *goal)
{
    printf("resnet18, %s: RssAnon %.0f MiB at %d clips, %.0f MiB at %" PRIu64
           "; VmHWM %.0f and %.0f MiB (goal: below %s)\n",
           part, (double)few->anon_kib / 1024, 2 * FEW, (double)many->anon_kib / 1024, 2 * n_tracks,
           (double)few->resident_kib / 1024, (double)many->resident_kib / 1024, goal);
}

int main(int argc, char **argv)
{
    uint64_t n_tracks = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    struct memory few[2], many[2];
    if (!measure(FEW, &few[0], &few[1]) || !measure(n_tracks, &many[0], &many[1]))
        return 1;
    show("all layers", &few[0], &many[0], n_tracks, "1.5 GB");
    show("layer4 behind cached activations", &few[1], &many[1], n_tracks, "400 MB");
    return 0;
}
