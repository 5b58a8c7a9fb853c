/*
 * The whole audio stage of one core: previews in memory to log-mels, decoder process included. For
 * each file given, many times in turn: open, choose a 10 s window, read, cut, resample, log-mel.
 * tests/bench/bench_stage.sh makes the files, and runs the ancestor's calls on them.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "features/logmel.h"
#include "features/resample.h"
#include "ingest/clip.h"
#include "ingest/sandbox_decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CLIP_MS = 10000, ROUNDS = 40, FILES_MAX = 64 };

static const struct decode_limits LIMITS = {20 << 20, 600000, 16 << 20};
static const struct clip_params CLIP = {.policy = CLIP_RANDOM, .ms = CLIP_MS, .seed = 1};

struct stage {
    struct sandbox *sandbox;
    struct sandbox_decoder *decoder;
    struct feature_spec spec;
    struct logmel_plan *plan;
    struct logmel *logmel;
    struct clip clip;
    float *samples, *db;
};

static void must(bool ok, const char *what, const struct err *e)
{
    if (ok)
        return;
    fprintf(stderr, "bench_stage: %s: %s\n", what, e->msg);
    exit(1);
}

static void stage_init(struct stage *s)
{
    struct err e = {0};
    const struct sandbox_params sandbox = {.service = &sandbox_decoder_service,
                                           .memory_bytes = SANDBOX_DECODER_MEMORY_BYTES,
                                           .call_cpu_ms = 10000,
                                           .life_cpu_s = 600};
    const struct sandbox_decoder_params decoder = {.max_file_bytes = LIMITS.max_bytes,
                                                   .max_pcm_bytes = LIMITS.max_pcm_bytes};
    *s = (struct stage){.spec = feature_spec_of(FEATURE_LIBROSA_0_10)};
    must(sandbox_open(&sandbox, &s->sandbox, &e), "sandbox", &e);
    must(sandbox_decoder_new(s->sandbox, &decoder, &s->decoder, &e), "decoder", &e);
    must(logmel_plan_new(&s->spec, &s->plan, &e), "plan", &e);
    s->logmel = logmel_new(s->plan);
    size_t n = feature_n_samples(&s->spec, CLIP_MS) + 1;
    s->samples = mem_alloc_aligned(n, sizeof *s->samples);
    s->db = mem_alloc_aligned(feature_n_frames(&s->spec, n) * s->spec.n_mels, sizeof *s->db);
}

static void stage_release(struct stage *s)
{
    mem_free(s->db);
    mem_free(s->samples);
    clip_release(&s->clip);
    logmel_free(s->logmel);
    logmel_plan_free(s->plan);
    sandbox_decoder_free(s->decoder);
    sandbox_close(s->sandbox);
}

static void stage_run(struct stage *s, struct span file, uint64_t track_key)
{
    struct err e = {0};
    struct decode_info info;
    enum decode_verdict decoded;
    enum clip_verdict cut;
    const struct pcm *pcm;
    uint64_t from, to;
    uint32_t start_ms;
    float ref_db;
    must(sandbox_decoder_open(s->decoder, file, &LIMITS, &info, &decoded, &e), "open", &e);
    must(clip_choose(&CLIP, info.n_frames, info.rate_hz, track_key, 0, &start_ms, &cut, &e), "clip",
         &e);
    clip_frames(&CLIP, start_ms, info.n_frames, info.rate_hz, &from, &to);
    must(sandbox_decoder_read(s->decoder, from, to, &pcm, &decoded, &e), "read", &e);
    must(clip_take(pcm, &CLIP, start_ms, &s->clip, &cut, &e), "clip", &e);
    size_t n = resample_n_out(s->clip.n_samples, s->clip.rate_hz, s->spec.rate_hz);
    must(resample(s->clip.samples, s->clip.n_samples, s->clip.rate_hz, s->spec.rate_hz, s->samples,
                  &e),
         "resample", &e);
    must(logmel_compute(s->logmel, s->samples, n, s->db, &ref_db, &e), "log-mel", &e);
}

static uint64_t own_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* The log-mel alone, of the last clip. */
static double logmel_ms(struct stage *s)
{
    uint64_t best_ns = UINT64_MAX;
    struct err e = {0};
    float ref_db;
    for (int i = 0; i < 10 * ROUNDS; i++) {
        uint64_t start_ns = own_cpu_ns();
        must(logmel_compute(s->logmel, s->samples, feature_n_samples(&s->spec, CLIP_MS), s->db,
                            &ref_db, &e),
             "log-mel", &e);
        best_ns = u64_min(best_ns, own_cpu_ns() - start_ns);
    }
    return (double)best_ns / 1e6;
}

int main(int argc, char **argv)
{
    struct buf files[FILES_MAX];
    struct err e = {0};
    struct stage stage;
    size_t n_files = size_min((size_t)argc - 1, FILES_MAX);
    double wall_ms = 0, cpu_ms = 0;
    if (n_files == 0) {
        printf("bench_stage: run by tests/bench/bench_stage.sh\n");
        return 0;
    }
    stage_init(&stage);
    for (size_t i = 0; i < n_files; i++) {
        uint64_t best_wall_ns = UINT64_MAX, best_cpu_ns = UINT64_MAX;
        buf_init(&files[i], LIMITS.max_bytes);
        must(file_read_all(argv[i + 1], &files[i], &e), argv[i + 1], &e);
        for (int round = 0; round < ROUNDS; round++) {
            (void)sandbox_decoder_take_cpu_ns(stage.decoder);
            uint64_t wall_ns = clock_now_ns(), cpu_ns = own_cpu_ns();
            stage_run(&stage, buf_span(&files[i]), i);
            wall_ns = clock_now_ns() - wall_ns;
            cpu_ns = own_cpu_ns() - cpu_ns + sandbox_decoder_take_cpu_ns(stage.decoder);
            best_wall_ns = u64_min(best_wall_ns, wall_ns);
            best_cpu_ns = u64_min(best_cpu_ns, cpu_ns);
        }
        wall_ms += (double)best_wall_ns / 1e6 / (double)n_files;
        cpu_ms += (double)best_cpu_ns / 1e6 / (double)n_files;
        buf_release(&files[i]);
    }
    printf("%.3f %.3f %.3f\n", wall_ms, cpu_ms, logmel_ms(&stage));
    stage_release(&stage);
    return 0;
}
