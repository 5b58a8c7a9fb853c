/*
 * resnet18 as `refrain train` runs it, at 431 x 128 and 32 triplets a step: the time of a step, how
 * much of it waits for the loader, and resident memory, at its peak and without mapped files.
 *
 *     bench_resnet [PART PRECISION STEPS TRACKS [NEGATIVES]]
 *     bench_resnet headline [TRACKS]
 *
 * With arguments (all or layer4; auto, f32, ...; semi_hard or drawn) it prints one line of JSON for
 * bench_torch.py. Without, all of the network and layer4 behind cached activations, on 100 tracks
 * each. headline is the job that took the ancestor 24 hours: 10,000 tracks with an augmented view
 * each, layer4 and fc, 10 epochs of 10,000 triplets.
 */
#include "base/clock.h"
#include "tests/bench/train/memory.h"
#include "tests/unit/train/synth.h"
#include "train/trainer.h"

#include <inttypes.h>

enum { FRAMES = 431, MELS = 128, BATCH = 32, STEPS_MAX = 1000, CACHE_GIB = 16 };
enum { HEADLINE_TRACKS = 10000, HEADLINE_EPOCHS = 10, LINE_BYTES = 512 };

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
    enum mining mining;
    uint64_t epochs, steps, tracks;
};

/* In `dir`, a fresh one. */
static bool run(const struct wish *w, const char *dir, struct train_result *out, struct err *e)
{
    struct synth_params sp = {1, 0, w->tracks, FRAMES, MELS, 2, RECORD_U8, 1, SYNTH_SOUND};
    struct train_params p = {.dir = dir,
                             .name = "bench",
                             .model = "resnet18",
                             .unfreeze = w->part,
                             .seed = 1,
                             .threads = 2,
                             .epochs = w->epochs,
                             .batch = BATCH,
                             .steps_per_epoch = w->steps,
                             .learning_rate = 1e-4,
                             .weight_decay = 1e-4,
                             .margin = 1.0,
                             .mining = w->mining,
                             .validation_share = 0.15,
                             .cache_bytes = (uint64_t)CACHE_GIB << 30,
                             .checkpoint_ns = UINT64_MAX,
                             .stop = look,
                             .precision = w->precision};
    return synth_store(dir, &sp, e) && train_run(&p, out, e);
}

static bool print_json(const struct wish *w, struct err *e)
{
    struct train_result r;
    char dir[256];
    synth_dir(dir);
    bool ok = run(w, dir, &r, e);
    synth_remove(dir);
    if (!ok)
        return false;
    printf("{\"step_s\":%.5f,\"loader_wait\":%.5f,\"peak_rss_mb\":%.1f,\"anon_mb\":%.1f,"
           "\"kernels\":\"%s\"}\n",
           step_seconds(w->steps), r.loader_wait, (double)memory_kib("VmHWM") / 1024.0,
           (double)peak_anon_kib / 1024.0, r.kernels);
    return true;
}

/* One line a row of metrics.csv, whose last field is the seconds so far: row 0, the untrained
 * network, has the frozen layers and the baseline before it. */
static void print_epochs(const char *dir)
{
    char path[300], line[LINE_BYTES];
    snprintf(path, sizeof path, "%s/models/bench/metrics.csv", dir);
    FILE *f = fopen(path, "re");
    double before = 0.0;
    for (int row = -1; f != NULL && fgets(line, sizeof line, f) != NULL; row++) {
        const char *last = strrchr(line, ',');
        if (row < 0 || last == NULL)
            continue;
        double seconds = strtod(last + 1, NULL);
        printf("%s %d: %.2f min\n", row == 0 ? "frozen layers, once a clip, before epoch" : "epoch",
               row == 0 ? 1 : row, (seconds - before) / 60.0);
        before = seconds;
    }
    if (f != NULL)
        fclose(f);
}

static bool headline(uint64_t tracks, struct err *e)
{
    struct wish w = {.part = "layer4",
                     .mining = MINE_SEMI_HARD,
                     .epochs = HEADLINE_EPOCHS,
                     .steps = (tracks + BATCH - 1) / BATCH,
                     .tracks = tracks};
    struct train_result r;
    char dir[256];
    synth_dir(dir);
    bool ok = run(&w, dir, &r, e);
    if (ok) {
        print_epochs(dir);
        printf("%" PRIu64 " tracks, %" PRIu64
               " triplets, in all %.1f min (goal: below 15), %.0f MB "
               "resident, kernels %s\n",
               tracks, r.n_triplets, r.seconds / 60.0, (double)memory_kib("VmHWM") / 1024.0,
               r.kernels);
    }
    synth_remove(dir);
    return ok;
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

/* The arguments of one measurement; false: there is no such precision. */
static bool parse(int argc, char **argv, struct wish *out)
{
    static const char *const names[] = {"auto", "f32", "bf16", "f32-winograd"};
    size_t i = 0;
    while (i < ARRAY_LEN(names) && strcmp(argv[2], names[i]) != 0)
        i++;
    bool drawn = argc > 5 && strcmp(argv[5], "drawn") == 0;
    *out = (struct wish){.part = argv[1],
                         .precision = (enum train_precision)i,
                         .mining = drawn ? MINE_DRAWN : MINE_SEMI_HARD,
                         .epochs = 1,
                         .steps = strtoull(argv[3], NULL, 10),
                         .tracks = strtoull(argv[4], NULL, 10)};
    return i < ARRAY_LEN(names);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct wish w;
    bool ok;
    if (argc == 1)
        ok = show(argv[0], "all", "5", "1.5 GB") && show(argv[0], "layer4", "12", "400 MB");
    else if (strcmp(argv[1], "headline") == 0)
        ok = headline(argc > 2 ? strtoull(argv[2], NULL, 10) : HEADLINE_TRACKS, &e);
    else
        ok = argc >= 5 && parse(argc, argv, &w)
                 ? print_json(&w, &e)
                 : err_set(&e, ERR_USAGE, "arguments: PART PRECISION STEPS TRACKS [NEGATIVES]");
    if (!ok)
        fprintf(stderr, "bench_resnet: %s\n", e.msg);
    return ok ? 0 : 1;
}
