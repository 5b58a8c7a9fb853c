/*
 * Decoding in a sandbox gives the samples, lengths, verdicts and sentences of decoding here, for
 * every container, whole and by windows, in one process or in a new one for each file.
 */
#include "ingest/sandbox_decoder.h"

#include "base/file.h"
#include "base/rng.h"
#include "tests/test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 4 << 20, PCM_MAX_BYTES = 8 << 20, WINDOWS = 6 };

static const struct decode_limits limits = {FILE_MAX_BYTES, 60000, PCM_MAX_BYTES};
static const char *const names[] = {"vbr.mp3",  "no_info.mp3", "moov_end.m4a", "vorbis.ogg",
                                    "opus.ogg", "s16.flac",    "f32.wav"};
static char dir[] = "/tmp/test_sandbox_decoder.XXXXXX";
static struct sandbox *sandbox;

static void load(const char *name, struct buf *out)
{
    struct err e = {0};
    char path[PATH_BYTES];
    buf_init(out, FILE_MAX_BYTES);
    CHECK_OK(path_join(path, dir, name, &e), &e);
    CHECK_OK(file_read_all(path, out, &e), &e);
}

static struct sandbox_decoder *boxed_decoder(uint64_t n_files_each)
{
    const struct sandbox_decoder_params params = {FILE_MAX_BYTES, PCM_MAX_BYTES, n_files_each};
    struct sandbox_decoder *d = NULL;
    struct err e = {0};
    CHECK_OK(sandbox_decoder_new(sandbox, &params, &d, &e), &e);
    return d;
}

/* Both decoders' frames [from, to) are the same. */
static bool same_window(struct decoder *plain, struct sandbox_decoder *boxed, uint64_t from,
                        uint64_t to)
{
    const struct pcm *a, *b;
    enum decode_verdict v;
    struct err e = {0};
    if (!decoder_read(plain, from, to, &a, &v, &e) ||
        !sandbox_decoder_read(boxed, from, to, &b, &v, &e)) {
        printf("# %s\n", e.msg);
        return false;
    }
    return a->first_frame == b->first_frame && a->n_frames == b->n_frames &&
           a->rate_hz == b->rate_hz && a->n_channels == b->n_channels &&
           memcmp(a->samples, b->samples, a->n_frames * a->n_channels * sizeof *a->samples) == 0;
}

static void check_same(struct decoder *plain, struct sandbox_decoder *boxed, struct span file)
{
    struct decode_info a = {0}, b = {0};
    enum decode_verdict va, vb;
    struct err ea = {0}, eb = {0};
    bool ok = decoder_open(plain, file, &limits, &a, &va, &ea);
    CHECK(sandbox_decoder_open(boxed, file, &limits, &b, &vb, &eb) == ok);
    CHECK_STR(decode_verdict_name(vb), decode_verdict_name(va));
    CHECK_STR(eb.msg, ea.msg);
    if (!ok)
        return;
    CHECK(a.n_frames == b.n_frames && a.rate_hz == b.rate_hz && a.n_channels == b.n_channels &&
          a.is_indexed == b.is_indexed);
    struct rng r;
    rng_init(&r, file.len, 0, 0);
    for (int i = 0; i < WINDOWS; i++) {
        uint64_t from = rng_below(&r, a.n_frames);
        CHECK(same_window(plain, boxed, from, from + 1 + rng_below(&r, a.n_frames - from)));
    }
    CHECK(same_window(plain, boxed, 0, a.n_frames));
}

static void check_all(uint64_t n_files_each)
{
    struct decoder *plain = decoder_new();
    struct sandbox_decoder *boxed = boxed_decoder(n_files_each);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct buf file;
        load(names[i], &file);
        check_same(plain, boxed, buf_span(&file));
        check_same(plain, boxed, (struct span){file.data, file.len / 2});
        check_same(plain, boxed, (struct span){file.data, 100});
        file.data[file.len / 3] ^= 0x55;
        check_same(plain, boxed, buf_span(&file));
        buf_release(&file);
    }
    check_same(plain, boxed, (struct span){"", 0});
    check_same(plain, boxed, (struct span){"<html>", 6});
    CHECK(sandbox_decoder_take_cpu_ns(boxed) > 0);
    CHECK_U64(sandbox_decoder_take_cpu_ns(boxed), 0);
    decoder_free(plain);
    sandbox_decoder_free(boxed);
}

static void test_same_in_one_process(void)
{
    check_all(0);
}

static void test_same_in_a_process_each(void)
{
    check_all(1);
}

/* What is longer than the shared memory is refused here, not copied. */
static void test_too_long(void)
{
    struct sandbox_decoder *boxed = boxed_decoder(0);
    struct decode_info info;
    enum decode_verdict v;
    struct err e = {0};
    static const char byte;
    CHECK(!sandbox_decoder_open(boxed, (struct span){&byte, FILE_MAX_BYTES + 1}, &limits, &info, &v,
                                &e));
    CHECK(v == DECODE_TOO_LONG);
    CHECK_STR(e.msg, "4194305 bytes, limit is 4194304");
    sandbox_decoder_free(boxed);
}

/* Decoded samples that do not fit are a verdict of the decoder, as without a sandbox. */
static void test_samples_that_do_not_fit(void)
{
    struct decode_limits tight = limits;
    struct sandbox_decoder *boxed = boxed_decoder(0);
    struct decode_info info;
    enum decode_verdict v;
    struct buf file;
    tight.max_pcm_bytes = 100000;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct err e = {0};
        load(names[i], &file);
        CHECK(!sandbox_decoder_open(boxed, buf_span(&file), &tight, &info, &v, &e));
        CHECK(v == DECODE_TOO_LONG);
        CHECK(strstr(e.msg, "more than 100000 bytes of samples") != NULL);
        buf_release(&file);
    }
    sandbox_decoder_free(boxed);
}

static bool run(const char *program, const char *const *args)
{
    pid_t child = fork();
    if (child == 0) {
        execvp(program, (char *const *)(uintptr_t)args);
        _exit(127);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(void)
{
    const struct sandbox_params params = {.service = &sandbox_decoder_service,
                                          .memory_bytes = SANDBOX_DECODER_MEMORY_BYTES,
                                          .call_cpu_ms = 60000,
                                          .life_cpu_s = 3600};
    struct err e = {0};
    const char *const make[] = {"sh", "tests/make_audio.sh", dir, "few", NULL};
    const char *const clean[] = {"rm", "-rf", dir, NULL};
    if (mkdtemp(dir) == NULL || !run("sh", make) || !sandbox_open(&params, &sandbox, &e)) {
        printf("# %s\n", e.msg);
        return 1;
    }
    RUN(test_same_in_one_process);
    RUN(test_same_in_a_process_each);
    RUN(test_too_long);
    RUN(test_samples_that_do_not_fit);
    sandbox_close(sandbox);
    (void)run("rm", clean);
    return test_done();
}
