/*
 * What reading a 10 s window of a 30 s MP3 costs against decoding all of it: milliseconds of
 * processor time a preview, both taken in turn over the same previews.
 */
#include "base/file.h"
#include "base/mem.h"
#include "ingest/clip.h"
#include "ingest/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PREVIEWS = 6, ROUNDS = 5, FILE_MAX_BYTES = 4 << 20 };

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

static bool take_window(struct span file, uint64_t key, struct decoder *d, double *open_ms,
                        struct err *e)
{
    enum decode_verdict v;
    enum clip_verdict cv;
    struct decode_info info;
    const struct pcm *pcm;
    uint64_t from, to;
    uint32_t start_ms;
    double began_ms = cpu_ms();
    if (!decoder_open(d, file, &limits, &info, &v, e))
        return false;
    *open_ms += cpu_ms() - began_ms;
    if (!clip_choose(&params, info.n_frames, info.rate_hz, key, 0, &start_ms, &cv, e))
        return false;
    clip_frames(&params, start_ms, info.n_frames, info.rate_hz, &from, &to);
    return decoder_read(d, from, to, &pcm, &v, e);
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
