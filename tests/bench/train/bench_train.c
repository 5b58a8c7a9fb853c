/*
 * Training: pictures a second of the real network at the real size, how much of a step waits for
 * the loader, and anonymous memory (RssAnon) at 100 and at 100,000 clips. Ratios within one run;
 * absolute figures are of this machine at this moment.
 */
#include "tests/bench/train/memory.h"
#include "tests/unit/train/synth.h"
#include "train/trainer.h"

#include <inttypes.h>
#include <sys/wait.h>

enum { SMALL_FRAMES = 32, SMALL_MELS = 16, REAL_FRAMES = 431, REAL_MELS = 128, SPEC = 1 };

static size_t peak_anon_kib;

/* Called after every step: a place to look, not to stop. */
static bool look(void)
{
    peak_anon_kib = size_max(peak_anon_kib, memory_kib("RssAnon"));
    return false;
}

struct report {
    bool ok;
    size_t anon_kib;
    struct train_result result;
};

/* In a process of its own, so that one run's heap is not the next one's. */
static struct report run_apart(const struct train_params *p)
{
    struct report r = {0};
    int ends[2];
    if (pipe(ends) != 0)
        return r;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct err e = {0};
        r.ok = train_run(p, &r.result, &e);
        if (!r.ok)
            fprintf(stderr, "%s\n", e.msg);
        r.anon_kib = peak_anon_kib;
        _exit(write(ends[1], &r, sizeof r) == (ssize_t)sizeof r ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], &r, sizeof r) != (ssize_t)sizeof r)
        r.ok = false;
    close(ends[0]);
    waitpid(pid, NULL, 0);
    return r;
}

static struct train_params params(const char *dir)
{
    return (struct train_params){.dir = dir,
                                 .name = "bench",
                                 .model = "cnn",
                                 .seed = 1,
                                 .epochs = 1,
                                 .batch = 32,
                                 .steps_per_epoch = 10,
                                 .learning_rate = 1e-3,
                                 .margin = 1.0,
                                 .validation_share = 0.15,
                                 .dropout = 0.1,
                                 .mining = MINE_ALL,
                                 .jitter = true,
                                 .checkpoint_ns = UINT64_MAX,
                                 .stop = look};
}

/* With `cached`, fc alone is trained, behind cached activations. */
static struct report measure(uint64_t n_clips, uint32_t n_frames, uint32_t n_mels, uint32_t threads,
                             bool cached)
{
    char dir[256];
    struct err e = {0};
    struct report r = {0};
    struct synth_params sp = {1, 0, n_clips, n_frames, n_mels, 2, RECORD_U8, SPEC, SYNTH_SOUND};
    synth_dir(dir);
    if (!synth_store(dir, &sp, &e)) {
        fprintf(stderr, "%s\n", e.msg);
    } else {
        struct train_params p = params(dir);
        p.threads = threads;
        p.unfreeze = cached ? "fc" : "all";
        p.jitter = !cached;
        p.cache_bytes = cached ? UINT64_C(4) << 30 : 0;
        r = run_apart(&p);
    }
    synth_remove(dir);
    return r;
}

int main(int argc, char **argv)
{
    uint64_t many = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    struct report few = measure(100, SMALL_FRAMES, SMALL_MELS, 1, false);
    struct report some = measure(5000, SMALL_FRAMES, SMALL_MELS, 1, false);
    struct report lots = measure(many, SMALL_FRAMES, SMALL_MELS, 1, false);
    struct report few_cached = measure(5000, SMALL_FRAMES, SMALL_MELS, 1, true);
    struct report lots_cached = measure(many, SMALL_FRAMES, SMALL_MELS, 1, true);
    struct report real = measure(100, REAL_FRAMES, REAL_MELS, 0, false);
    if (!few.ok || !some.ok || !lots.ok || !real.ok || !few_cached.ok || !lots_cached.ok)
        return 1;
    printf("train memory: RssAnon %.1f MB at 100 clips, %.1f MB at 5000 (the validation list is at "
           "its bound), %.1f MB at %" PRIu64 "; growth from 5000 %.2f MB (target below 1)\n",
           (double)few.anon_kib / 1024.0, (double)some.anon_kib / 1024.0,
           (double)lots.anon_kib / 1024.0, many,
           ((double)lots.anon_kib - (double)some.anon_kib) / 1024.0);
    printf("behind a cached trunk: RssAnon %.1f MB at 5000 clips, %.1f MB at %" PRIu64
           "; growth %.2f MB (target below 1)\n",
           (double)few_cached.anon_kib / 1024.0, (double)lots_cached.anon_kib / 1024.0, many,
           ((double)lots_cached.anon_kib - (double)few_cached.anon_kib) / 1024.0);
    printf("train speed: %.0f pictures/s of 431 x 128 on %u threads, RssAnon %.0f MB, loader wait "
           "%.2f %% of a step (target below 2), kernels %s\n",
           real.result.clips_per_s, real.result.threads, (double)real.anon_kib / 1024.0,
           100.0 * real.result.loader_wait, real.result.kernels);
    return 0;
}
