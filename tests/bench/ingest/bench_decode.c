/*
 * What reading a 10 s window of a 30 s MP3 costs against decoding all of it: milliseconds of
 * processor time a preview, both taken in turn over the same previews. Then what the sandbox adds
 * to the window: milliseconds of the clock, the best of all rounds for each preview.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "ingest/clip.h"
#include "ingest/decode.h"
#include "ingest/sandbox_decoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PREVIEWS = 6, ROUNDS = 9, FILE_MAX_BYTES = 4 << 20 };

static const struct decode_limits limits = {FILE_MAX_BYTES, 60000, 64 << 20};
static const struct clip_params params = {.policy = CLIP_RANDOM, .ms = 10000, .seed = 1};

/* Of this thread: other work on the machine must not count. */
static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static bool take_whole(struct span file, struct pcm *pcm, struct err *e)
{
    enum decode_verdict v;
    return decode_audio(file, &limits, pcm, &v, e);
}

static bool window_of(const struct decode_info *info, uint64_t key, uint64_t *from, uint64_t *to,
                      struct err *e)
{
    enum clip_verdict v;
    uint32_t start_ms;
    if (!clip_choose(&params, info->n_frames, info->rate_hz, key, 0, &start_ms, &v, e))
        return false;
    clip_frames(&params, start_ms, info->n_frames, info->rate_hz, from, to);
    return true;
}

static bool take_window(struct span file, uint64_t key, struct decoder *d, double *open_ms,
                        struct err *e)
{
    enum decode_verdict v;
    struct decode_info info;
    const struct pcm *pcm;
    uint64_t from, to;
    double began_ms = cpu_ms();
    if (!decoder_open(d, file, &limits, &info, &v, e))
        return false;
    *open_ms += cpu_ms() - began_ms;
    return window_of(&info, key, &from, &to, e) && decoder_read(d, from, to, &pcm, &v, e);
}

static bool take_sandboxed(struct span file, uint64_t key, struct sandbox_decoder *d, struct err *e)
{
    enum decode_verdict v;
    struct decode_info info;
    const struct pcm *pcm;
    uint64_t from, to;
    return sandbox_decoder_open(d, file, &limits, &info, &v, e) &&
           window_of(&info, key, &from, &to, e) && sandbox_decoder_read(d, from, to, &pcm, &v, e);
}

/* Milliseconds: what the clock says, processor time of this thread, and that of the worker. */
struct cost {
    double wall_ms, cpu_ms, worker_ms;
};

static struct cost cost_now(struct sandbox_decoder *d)
{
    static double worker_ms;
    worker_ms += (double)sandbox_decoder_take_cpu_ns(d) / 1e6;
    return (struct cost){(double)clock_now_ns() / 1e6, cpu_ms(), worker_ms};
}

static void keep_best(struct cost *best, struct cost began, struct sandbox_decoder *d)
{
    struct cost now = cost_now(d);
    best->wall_ms = fmin(best->wall_ms, now.wall_ms - began.wall_ms);
    best->cpu_ms = fmin(best->cpu_ms, now.cpu_ms - began.cpu_ms);
    best->worker_ms = fmin(best->worker_ms, now.worker_ms - began.worker_ms);
}

/* Sums over all previews of each one's best. */
enum { HERE, BOXED, FRESH, WAYS };

static bool time_sandbox(struct span file, struct decoder *plain, struct sandbox_decoder *boxed,
                         struct cost sums[WAYS], struct err *e)
{
    struct cost best[WAYS] = {{1e9, 1e9, 1e9}, {1e9, 1e9, 1e9}, {1e9, 1e9, 1e9}};
    double ignored_ms = 0;
    bool ok = true;
    for (int round = 0; ok && round < ROUNDS; round++) {
        struct cost began = cost_now(boxed);
        ok = take_window(file, 1, plain, &ignored_ms, e);
        keep_best(&best[HERE], began, boxed);
        sandbox_decoder_reset(boxed);
        for (int way = BOXED; ok && way < WAYS; way++) { /* a new process is there first */
            began = cost_now(boxed);
            ok = take_sandboxed(file, 1, boxed, e);
            keep_best(&best[BOXED + FRESH - way], began, boxed);
        }
    }
    for (int way = 0; way < WAYS; way++) {
        sums[way].wall_ms += best[way].wall_ms;
        sums[way].cpu_ms += best[way].cpu_ms;
        sums[way].worker_ms += best[way].worker_ms;
    }
    return ok;
}

static bool measure_sandbox(const struct buf *files, struct err *e)
{
    const struct sandbox_params sandbox_params = {.service = &sandbox_decoder_service,
                                                  .memory_bytes = SANDBOX_DECODER_MEMORY_BYTES,
                                                  .call_cpu_ms = 10000,
                                                  .life_cpu_s = 600};
    const struct sandbox_decoder_params sizes = {.max_file_bytes = limits.max_bytes,
                                                 .max_pcm_bytes = limits.max_pcm_bytes};
    static const char *const names[WAYS] = {"the window in this process", "in a sandbox",
                                            "in a new process for each file"};
    struct sandbox *sandbox = NULL;
    struct sandbox_decoder *boxed = NULL;
    struct decoder *plain = decoder_new();
    struct cost sums[WAYS] = {0};
    bool ok = sandbox_open(&sandbox_params, &sandbox, e) &&
              sandbox_decoder_new(sandbox, &sizes, &boxed, e);
    for (int i = 0; ok && i < PREVIEWS; i++)
        ok = time_sandbox(buf_span(&files[i]), plain, boxed, sums, e);
    if (ok)
        for (int way = 0; way < WAYS; way++)
            printf("%s: processor time %.2f ms here and %.2f in the worker; by the clock %.2f ms\n",
                   names[way], sums[way].cpu_ms / PREVIEWS, sums[way].worker_ms / PREVIEWS,
                   sums[way].wall_ms / PREVIEWS);
    if (ok)
        printf("the sandbox's share of the stage's 15 ms: %.2f ms (copy, system calls)\n",
               sums[BOXED].cpu_ms / PREVIEWS);
    decoder_free(plain);
    sandbox_decoder_free(boxed);
    sandbox_close(sandbox);
    return ok;
}

static bool load(const char *dir, int i, struct buf *out, struct err *e)
{
    char name[16], path[PATH_BYTES];
    snprintf(name, sizeof name, "%03d.mp3", i);
    buf_init(out, FILE_MAX_BYTES);
    return path_join(path, dir, name, e) && file_read_all(path, out, e);
}

static bool measure(const char *dir, struct err *e)
{
    struct buf files[PREVIEWS] = {0};
    struct decoder *d = decoder_new();
    struct pcm pcm = {0};
    double whole_ms = 0, window_ms = 0, open_ms = 0;
    bool ok = true;
    for (int i = 0; i < PREVIEWS; i++)
        ok = ok && load(dir, i, &files[i], e);
    for (int k = 0; ok && k < ROUNDS * PREVIEWS; k++) {
        struct span file = buf_span(&files[k % PREVIEWS]);
        double a = cpu_ms();
        ok = take_whole(file, &pcm, e);
        double b = cpu_ms();
        ok = ok && take_window(file, (uint64_t)k, d, &open_ms, e);
        whole_ms += b - a;
        window_ms += cpu_ms() - b;
    }
    const double n = ROUNDS * PREVIEWS;
    if (ok)
        printf("30 s of MP3: all of it %.2f ms, a 10 s window %.2f ms (of these %.2f to index it), "
               "%.2f times as fast\n",
               whole_ms / n, window_ms / n, open_ms / n, whole_ms / window_ms);
    ok = ok && measure_sandbox(files, e);
    for (int i = 0; i < PREVIEWS; i++)
        buf_release(&files[i]);
    pcm_release(&pcm);
    decoder_free(d);
    return ok;
}

int main(void)
{
    char dir[] = "/tmp/bench_decode.XXXXXX", command[128];
    struct err e = {0};
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(command, sizeof command, "tests/make_audio.sh %s mp3 %d 30", dir, PREVIEWS);
    bool ok = system(command) == 0 && measure(dir, &e);
    if (!ok)
        fprintf(stderr, "bench_decode: %s\n", e.msg);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 && ok ? 0 : 1;
}
