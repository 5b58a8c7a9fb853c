/*
 * resnet18 as `refrain train` runs it, at 431 x 128 and 32 triplets a step: the time of a step, how
 * much of it waits for the loader, and resident memory, at its peak and without mapped files.
 *
 *     bench_resnet [PART PRECISION STEPS CLIPS]
 *
 * With arguments (all or layer4; auto, f32, ...) it prints one line of JSON for bench_torch.py.
 * Without, all of the network and layer4 behind cached activations, on 100 clips each.
 */
#include "base/clock.h"
#include "tests/bench/train/memory.h"
#include "tests/unit/train/synth.h"
#include "train/trainer.h"

enum { FRAMES = 431, MELS = 128, BATCH = 32, STEPS_MAX = 1000, CACHE_GIB = 16 };

static uint64_t stamps[STEPS_MAX];
static size_t n_stamps, peak_anon_kib;

/* Called after every step: a place to look, not to stop. */
static bool look(void)
{
    if (n_stamps < STEPS_MAX)
        stamps[n_stamps++] = clock_now_ns();
    peak_anon_kib = size_max(peak_anon_kib, memory_kib("RssAnon"));
    return false;
}

static int compare(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Seconds between two of the last n_steps: their median. Before them, filling a cache looks, too;
 * the last one has the validation behind it. */
static double step_seconds(size_t n_steps)
{
    double between[STEPS_MAX];
    size_t n = 0;
    for (size_t i = n_stamps - size_min(n_steps, n_stamps) + 1; i + 1 < n_stamps; i++)
        between[n++] = (double)(stamps[i] - stamps[i - 1]) / (double)NS_PER_S;
    qsort(between, n, sizeof *between, compare);
    return n > 0 ? between[n / 2] : NAN;
}

struct wish {
    const char *part;
    enum train_precision precision;
    uint64_t steps, clips;
};

static bool run(const struct wish *w, struct train_result *out, struct err *e)
{
    char dir[256];
    struct synth_params sp = {1, 0, w->clips, FRAMES, MELS, 2, RECORD_U8, 1, SYNTH_SOUND};
    synth_dir(dir);
    struct train_params p = {.dir = dir,
                             .name = "bench",
                             .model = "resnet18",
                             .unfreeze = w->part,
                             .seed = 1,
                             .threads = 2,
                             .epochs = 1,
                             .batch = BATCH,
                             .steps_per_epoch = w->steps,
                             .learning_rate = 1e-4,
                             .weight_decay = 1e-4,
                             .margin = 1.0,
                             .validation_share = 0.15,
                             .cache_bytes = (uint64_t)CACHE_GIB << 30,
                             .checkpoint_ns = UINT64_MAX,
                             .stop = look,
                             .precision = w->precision};
    bool ok = synth_store(dir, &sp, e) && train_run(&p, out, e);
    synth_remove(dir);
    return ok;
}

static bool print_json(const struct wish *w, struct err *e)
{
    struct train_result r;
    if (!run(w, &r, e))
        return false;
    printf("{\"step_s\":%.5f,\"loader_wait\":%.5f,\"peak_rss_mb\":%.1f,\"anon_mb\":%.1f,"
           "\"kernels\":\"%s\"}\n",
           step_seconds(w->steps), r.loader_wait, (double)memory_kib("VmHWM") / 1024.0,
           (double)peak_anon_kib / 1024.0, r.kernels);
    return true;
}

/* In a process of its own: its peak is its own. */
static bool show(const char *program, const char *part, const char *steps, const char *goal)
{
    char command[4096];
    printf("resnet18, %s (goal: below %s resident, loader wait below 0.02): ", part, goal);
    fflush(stdout);
    snprintf(command, sizeof command, "'%s' %s auto %s 100", program, part, steps);
    return system(command) == 0;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"auto", "f32", "bf16", "f32-winograd"};
    if (argc != 5)
        return show(argv[0], "all", "5", "1.5 GB") && show(argv[0], "layer4", "12", "400 MB") ? 0
                                                                                              : 1;
    struct wish w = {.part = argv[1],
                     .steps = strtoull(argv[3], NULL, 10),
                     .clips = strtoull(argv[4], NULL, 10)};
    struct err e = {0};
    size_t i = 0;
    while (i < ARRAY_LEN(names) && strcmp(argv[2], names[i]) != 0)
        i++;
    w.precision = (enum train_precision)i;
    bool ok = i < ARRAY_LEN(names) || err_set(&e, ERR_USAGE, "no precision \"%s\"", argv[2]);
    ok = ok && print_json(&w, &e);
    if (!ok)
        fprintf(stderr, "bench_resnet: %s\n", e.msg);
    return ok ? 0 : 1;
}
