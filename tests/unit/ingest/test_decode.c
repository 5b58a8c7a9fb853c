/*
 * decode against FFmpeg itself: tests/make_audio.sh writes files of every kind and what `ffmpeg
 * -acodec pcm_s16le` makes of each; the samples must be the same bytes. Then what a hostile or
 * broken file may do.
 */
#include "ingest/decode.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/test.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FILE_MAX_BYTES = 64 << 20,
    FLIPS_PER_FILE = 60,
    PAGE_PERCENT = 10, /* an Ogg page is a second of the 12: a cut loses up to one */
};

static const struct decode_limits limits = {
    .max_bytes = FILE_MAX_BYTES, .max_ms = 60000, .max_pcm_bytes = 64 << 20};
static char dir[] = "/tmp/test_decode.XXXXXX";

static void load(const char *name, struct buf *out)
{
    struct err e = {0};
    char path[PATH_BYTES];
    buf_init(out, FILE_MAX_BYTES);
    CHECK_OK(path_join(path, dir, name, &e), &e);
    CHECK_OK(file_read_all(path, out, &e), &e);
}

static enum decode_verdict decode_bytes(const void *bytes, size_t n, struct pcm *pcm, struct err *e)
{
    enum decode_verdict v = DECODE_VERDICTS;
    *e = (struct err){0};
    bool ok = decode_audio((struct span){bytes, n}, &limits, pcm, &v, e);
    CHECK(ok == (v == DECODE_OK));
    CHECK(ok == (e->kind == ERR_NONE));
    CHECK(ok || e->kind == ERR_PERM);
    CHECK(!ok || pcm->n_frames > 0);
    return v;
}

static enum decode_verdict decode_buf(const struct buf *b, struct pcm *pcm, struct err *e)
{
    return decode_bytes(b->data, b->len, pcm, e);
}

static void put(struct buf *b, const void *bytes, size_t n)
{
    struct err e = {0};
    CHECK_OK(buf_append(b, bytes, n, &e), &e);
}

static void put_u32(struct buf *b, uint32_t v)
{
    put(b, &v, 4);
}

static void put_u16(struct buf *b, uint16_t v)
{
    put(b, &v, 2);
}

/* A RIFF header for data of n bytes; tag 1: integer, 3: float. */
static void wav_begin(struct buf *b, uint16_t tag, uint16_t n_channels, uint32_t rate_hz,
                      uint16_t bits, uint32_t n)
{
    buf_init(b, FILE_MAX_BYTES);
    put(b, "RIFF", 4);
    put_u32(b, 36 + n);
    put(b, "WAVEfmt ", 8);
    put_u32(b, 16);
    put_u16(b, tag);
    put_u16(b, n_channels);
    put_u32(b, rate_hz);
    put_u32(b, rate_hz * n_channels * bits / 8);
    put_u16(b, (uint16_t)(n_channels * bits / 8));
    put_u16(b, bits);
    put(b, "data", 4);
    put_u32(b, n);
}

/* ---------------------------------------------------------------- the same as ffmpeg */

static const struct {
    const char *name;
    uint32_t rate_hz, n_channels;
} files[] = {
    {"cbr96.mp3", 44100, 2},   {"cbr320.mp3", 44100, 2},   {"vbr.mp3", 44100, 2},
    {"no_info.mp3", 44100, 2}, {"mono.mp3", 44100, 1},     {"lsf.mp3", 22050, 1},
    {"mpeg25.mp3", 8000, 1},   {"moov_end.m4a", 44100, 2}, {"faststart.m4a", 44100, 2},
    {"vorbis.ogg", 44100, 2},  {"opus.ogg", 48000, 2},     {"surround.ogg", 44100, 6},
    {"s16.flac", 44100, 2},    {"s24_96k.flac", 96000, 2}, {"u8.wav", 8000, 1},
    {"s16.wav", 48000, 2},     {"s24.wav", 44100, 2},      {"s32.wav", 44100, 2},
    {"f32.wav", 44100, 2},     {"f64.wav", 44100, 2},      {"surround.wav", 44100, 6},
};

static bool same_samples(const struct pcm *pcm, const struct buf *want)
{
    size_t n_bytes = pcm->n_frames * pcm->n_channels * sizeof *pcm->samples;
    if (n_bytes != want->len) {
        printf("# got %zu bytes of samples, want %zu\n", n_bytes, want->len);
        return false;
    }
    for (size_t i = 0; i < n_bytes / 2; i++)
        if (pcm->samples[i] != ((const int16_t *)(const void *)want->data)[i]) {
            printf("# sample %zu is %d, want %d\n", i, pcm->samples[i],
                   ((const int16_t *)(const void *)want->data)[i]);
            return false;
        }
    return true;
}

static void test_equals_ffmpeg(void)
{
    struct pcm pcm = {0}; /* one for all: reuse must not show */
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf file, want;
        struct err e;
        char want_name[64];
        snprintf(want_name, sizeof want_name, "%s.s16", files[i].name);
        load(files[i].name, &file);
        load(want_name, &want);
        bool ok = decode_buf(&file, &pcm, &e) == DECODE_OK && same_samples(&pcm, &want);
        if (!ok)
            printf("# %s: %s\n", files[i].name, e.msg);
        CHECK(ok);
        CHECK_U64(pcm.rate_hz, files[i].rate_hz);
        CHECK_U64(pcm.n_channels, files[i].n_channels);
        buf_release(&file);
        buf_release(&want);
    }
    pcm_release(&pcm);
}

/* Of 12 s that were encoded, 12 s come out: to the sample where a tag says what the encoder added
 * (and the file's size is known, which trims the end); with its delay of 1105 samples and whole
 * frames where none does; AAC loses what its edit list names, the delay alone. */
static void test_gapless(void)
{
    enum { ENCODED = 12 * 44100, MP3_DELAY = 1105, MP3_FRAME = 1152, AAC_FRAME = 1024 };
    static const struct {
        const char *name;
        size_t least, frame; /* 1: exact */
    } cases[] = {{"cbr96.mp3", ENCODED, 1},
                 {"cbr320.mp3", ENCODED, 1},
                 {"vbr.mp3", ENCODED, 1},
                 {"no_info.mp3", ENCODED + MP3_DELAY, MP3_FRAME},
                 {"moov_end.m4a", ENCODED, AAC_FRAME},
                 {"faststart.m4a", ENCODED, AAC_FRAME}};
    struct decoder *d = decoder_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct decode_info info = {0};
        struct buf file;
        enum decode_verdict v;
        struct err e = {0};
        load(cases[i].name, &file);
        CHECK_OK(decoder_open(d, buf_span(&file), &limits, &info, &v, &e), &e);
        CHECK(info.n_frames >= cases[i].least);
        CHECK(info.n_frames < cases[i].least + 2 * cases[i].frame - 1);
        CHECK(cases[i].frame != MP3_FRAME || info.n_frames % MP3_FRAME == 0);
        buf_release(&file);
    }
    decoder_free(d);
}

/* Tags around an MP3 change nothing: 1 MB of cover picture before it, ID3v1 behind. */
static void test_tags(void)
{
    enum { COVER_BYTES = 1 << 20, FRAME_HEADER_BYTES = 10 };
    struct buf mp3, want, tagged;
    struct pcm pcm = {0};
    struct err e;
    load("cbr96.mp3", &mp3);
    load("cbr96.mp3.s16", &want);
    buf_init(&tagged, FILE_MAX_BYTES);
    const uint8_t big_endian[4] = {COVER_BYTES >> 24, COVER_BYTES >> 16 & 0xff, 0, 0};
    size_t tag_bytes = COVER_BYTES + FRAME_HEADER_BYTES;
    const uint8_t syncsafe[4] = {tag_bytes >> 21 & 127, tag_bytes >> 14 & 127, tag_bytes >> 7 & 127,
                                 tag_bytes & 127};
    put(&tagged, "ID3\3\0\0", 6);
    put(&tagged, syncsafe, 4);
    put(&tagged, "APIC", 4);
    put(&tagged, big_endian, 4);
    put(&tagged, "\0\0", 2);
    put(&tagged, "\0image/png\0\3\0", 13);
    struct rng r;
    rng_init(&r, 1, 0, 0);
    for (int i = 13; i < COVER_BYTES; i++) {
        uint8_t byte = (uint8_t)rng_u32(&r);
        put(&tagged, &byte, 1);
    }
    put(&tagged, mp3.data, mp3.len);
    char id3v1[128] = "TAGa title";
    put(&tagged, id3v1, sizeof id3v1);

    CHECK(decode_buf(&tagged, &pcm, &e) == DECODE_OK);
    CHECK(same_samples(&pcm, &want));
    pcm_release(&pcm);
    buf_release(&mp3);
    buf_release(&want);
    buf_release(&tagged);
}

static void *decode_in_thread(void *arg)
{
    struct buf *file = arg;
    struct pcm *pcm = mem_zalloc(1, sizeof *pcm);
    enum decode_verdict v;
    struct err e = {0};
    if (!decode_audio(buf_span(file), &limits, pcm, &v, &e))
        pcm->n_frames = 0;
    return pcm;
}

static void test_threads(void)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct buf file, want;
    load("vbr.mp3", &file);
    load("vbr.mp3.s16", &want);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, decode_in_thread, &file) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        CHECK(pthread_join(threads[i], &result) == 0);
        struct pcm *pcm = result;
        CHECK(same_samples(pcm, &want));
        pcm_release(pcm);
        mem_free(pcm);
    }
    buf_release(&file);
    buf_release(&want);
}

static void test_float_rounding(void)
{
    /* Ties go to even, out of range is clipped; 65536 and 1e30 are where a 32-bit convert wraps. */
    static const float in[] = {
        0.0f,      0.5f / 32768, 1.5f / 32768, 2.5f / 32768, -0.5f / 32768,   -1.5f / 32768,
        1.0f,      -1.0f,        0.99999f,     1.1f,         -1.1f,           65536.0f,
        -65536.0f, 1e30f,        -1e30f,       1e-40f,       0.5001f / 32768, 32766.5f / 32768};
    static const int16_t want[] = {0,      0,      2,      2,     0,      -2,
                                   32767,  -32768, 32767,  32767, -32768, 32767,
                                   -32768, 32767,  -32768, 0,     1,      32766};
    struct pcm pcm = {0};
    struct buf wav;
    struct err e;
    for (uint16_t n_channels = 1; n_channels <= 3; n_channels++) {
        wav_begin(&wav, 3, n_channels, 44100, 32, sizeof in);
        put(&wav, in, sizeof in);
        CHECK(decode_buf(&wav, &pcm, &e) == DECODE_OK);
        CHECK_U64(pcm.n_frames * pcm.n_channels, ARRAY_LEN(in));
        for (size_t i = 0; i < ARRAY_LEN(in); i++)
            CHECK_U64(pcm.samples[i], want[i]);
        buf_release(&wav);
    }
    pcm_release(&pcm);
}

/* ---------------------------------------------------------------- what is refused */

static void check_refused(const void *bytes, size_t n, enum decode_verdict want, const char *word)
{
    struct pcm pcm = {0};
    struct err e;
    CHECK_STR(decode_verdict_name(decode_bytes(bytes, n, &pcm, &e)), decode_verdict_name(want));
    if (strstr(e.msg, word) == NULL) {
        printf("# no \"%s\" in: %s\n", word, e.msg);
        CHECK(!"the sentence says what is wrong");
    }
    pcm_release(&pcm);
}

static void test_not_audio(void)
{
    static const char html[] = "<!DOCTYPE html>\n<html><title>404 Not Found</title></html>\n";
    uint8_t noise[20000];
    struct rng r;
    rng_init(&r, 7, 0, 0);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)rng_u32(&r);
    check_refused("", 0, DECODE_EMPTY, "0 bytes");
    check_refused(html, sizeof html, DECODE_NOT_AUDIO, "<!DOCTYPE html>");
    check_refused(noise, sizeof noise, DECODE_NOT_AUDIO, "20000 bytes");
    check_refused("\x89PNG\r\n\x1a\n", 8, DECODE_NOT_AUDIO, "PNG");
    check_refused("ID3\3\0\0\0\0\0\0", 10, DECODE_NOT_AUDIO, "10 bytes");
    check_refused("ID3\3\0\0\x7f\x7f\x7f\x7f", 10, DECODE_NOT_AUDIO, "10 bytes");
    check_refused("OggS", 4, DECODE_CORRUPT, "Ogg");
    check_refused("fLaC\0\0\0\"", 8, DECODE_CORRUPT, "FLAC");
    check_refused("\0\0\0\x18"
                  "ftypM4A ",
                  12, DECODE_CORRUPT, "MP4");
    check_refused("RIFF\0\0\0\0WAVE", 12, DECODE_CORRUPT, "WAV");
}

static void test_foreign_wav(void)
{
    static const uint8_t zeros[4096];
    static const struct {
        uint16_t tag, n_channels, bits;
        uint32_t rate_hz;
        const char *word;
    } cases[] = {{1, 1, 16, 100, "100 Hz"},
                 {1, 1, 16, 400000, "400000 Hz"},
                 {1, 9, 16, 44100, "9 channels"},
                 {2, 1, 4, 44100, "adpcm_ms"},
                 {7, 1, 8, 8000, "pcm_mulaw"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf wav;
        wav_begin(&wav, cases[i].tag, cases[i].n_channels, cases[i].rate_hz, cases[i].bits,
                  sizeof zeros);
        put(&wav, zeros, sizeof zeros);
        check_refused(wav.data, wav.len, DECODE_NOT_AUDIO, cases[i].word);
        buf_release(&wav);
    }
}

static void test_nonfinite(void)
{
    static const float wild[] = {NAN, INFINITY, -INFINITY};
    for (uint16_t n_channels = 1; n_channels <= 2; n_channels++)
        for (size_t w = 0; w < ARRAY_LEN(wild); w++)
            for (size_t at = 0; at < 202; at += 67) { /* in a vector block and in the rest */
                float samples[202] = {0};
                struct buf wav;
                samples[at] = wild[w];
                wav_begin(&wav, 3, n_channels, 44100, 32, sizeof samples);
                put(&wav, samples, sizeof samples);
                check_refused(wav.data, wav.len, DECODE_NONFINITE, "NaN or infinity");
                buf_release(&wav);
            }
}

static void test_limits(void)
{
    struct buf file;
    enum decode_verdict v;
    static const struct decode_limits tight[] = {
        {1000, 60000, 1 << 30}, {1 << 30, 11999, 1 << 30}, {1 << 30, 60000, 2000000}};
    static const char *const words[] = {"bytes, limit is 1000", "11999 ms",
                                        "2000000 bytes of samples"};
    for (size_t i = 0; i < ARRAY_LEN(tight); i++)
        for (size_t f = 0; f < 2; f++) { /* with a header that tells the length, and without */
            struct pcm pcm = {0};
            struct err e = {0};
            load(f == 0 ? "cbr96.mp3" : "no_info.mp3", &file);
            CHECK(!decode_audio(buf_span(&file), &tight[i], &pcm, &v, &e));
            CHECK(v == DECODE_TOO_LONG);
            CHECK(strstr(e.msg, words[i]) != NULL);
            CHECK(pcm.cap_samples * sizeof *pcm.samples <= tight[i].max_pcm_bytes);
            pcm_release(&pcm);
            buf_release(&file);
        }
}

/* ---------------------------------------------------------------- what is damaged */

/* A file whose header promises its length is corrupt at any cut; of one that promises nothing the
 * beginning is decoded as if it were all. */
static void test_truncated(void)
{
    static const struct {
        const char *name;
        bool promises;
    } cases[] = {{"cbr96.mp3", true},     {"vbr.mp3", true},     {"moov_end.m4a", true},
                 {"faststart.m4a", true}, {"s16.flac", true},    {"s16.wav", true},
                 {"no_info.mp3", false},  {"vorbis.ogg", false}, {"opus.ogg", false}};
    struct pcm whole = {0}, part = {0};
    struct err e;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf file;
        load(cases[i].name, &file);
        CHECK(decode_buf(&file, &whole, &e) == DECODE_OK);
        for (size_t percent = 5; percent < 100; percent += 5) {
            enum decode_verdict v = decode_bytes(file.data, file.len * percent / 100, &part, &e);
            bool no_header = v == DECODE_CORRUPT && strstr(e.msg, "header cannot be read") != NULL;
            if (!cases[i].promises && percent <= 10 && no_header)
                continue; /* Ogg: the cut goes through the first page with sound */
            if (v != (cases[i].promises ? DECODE_CORRUPT : DECODE_OK))
                printf("# %s at %zu %%: %s %s\n", cases[i].name, percent, decode_verdict_name(v),
                       e.msg);
            CHECK(v == (cases[i].promises ? DECODE_CORRUPT : DECODE_OK));
            if (v != DECODE_OK)
                continue;
            double share = (double)part.n_frames / (double)whole.n_frames;
            CHECK_NEAR(100 * share, percent, PAGE_PERCENT);
            size_t n_safe = part.n_frames > 4096 ? part.n_frames - 4096 : 0;
            CHECK(memcmp(part.samples, whole.samples, n_safe * whole.n_channels * 2) == 0);
        }
        buf_release(&file);
    }
    pcm_release(&whole);
    pcm_release(&part);
}

/* A run of n frames of an MP3 lost to zeros. */
static enum decode_verdict decode_with_hole(const char *name, size_t share_permille,
                                            struct pcm *pcm, struct err *e)
{
    struct buf file;
    load(name, &file);
    size_t n = file.len * share_permille / 1000;
    memset(file.data + file.len / 2, 0, n);
    enum decode_verdict v = decode_buf(&file, pcm, e);
    buf_release(&file);
    return v;
}

static void test_holes(void)
{
    static const struct {
        const char *name;
        enum decode_verdict at_permille;
    } cases[] = {{"cbr96.mp3", DECODE_OK},
                 {"no_info.mp3", DECODE_OK},
                 {"faststart.m4a", DECODE_OK},
                 {"s16.flac", DECODE_OK},
                 {"vorbis.ogg", DECODE_CORRUPT}}; /* a page is lost whole, a second of the 12 */
    struct pcm pcm = {0};
    struct err e;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum decode_verdict v = decode_with_hole(cases[i].name, 100, &pcm, &e);
        printf("# %s, 10 %% zeroed: %s %s\n", cases[i].name, decode_verdict_name(v), e.msg);
        CHECK(v == DECODE_CORRUPT);
        v = decode_with_hole(cases[i].name, 1, &pcm, &e);
        printf("# %s, 0.1 %% zeroed: %s %s\n", cases[i].name, decode_verdict_name(v), e.msg);
        CHECK(v == cases[i].at_permille);
    }
    pcm_release(&pcm);
}

/* Zeros around the frames are padding when they are few, and lost sound when they are many. */
static void test_padding(void)
{
    static const uint8_t zeros[100000];
    struct buf mp3, want, padded;
    struct pcm pcm = {0};
    struct err e;
    load("cbr96.mp3", &mp3);
    load("cbr96.mp3.s16", &want);
    for (int where = 0; where < 3; where++) {
        size_t n_before = where == 0 ? 1000 : 0;
        size_t n_after = where == 1 ? 1000 : where == 2 ? sizeof zeros : 0;
        buf_init(&padded, FILE_MAX_BYTES);
        put(&padded, zeros, n_before);
        put(&padded, mp3.data, mp3.len);
        put(&padded, zeros, n_after);
        CHECK(decode_buf(&padded, &pcm, &e) == (n_after > 1000 ? DECODE_CORRUPT : DECODE_OK));
        if (n_before > 0) /* the Info frame is not found there: nothing is trimmed, as in ffmpeg */
            CHECK_U64(pcm.n_frames, 461 * 1152);
        else if (n_after <= 1000)
            CHECK(same_samples(&pcm, &want));
        buf_release(&padded);
    }
    pcm_release(&pcm);
    buf_release(&mp3);
    buf_release(&want);
}

static void test_rate_change(void)
{
    struct buf first, second;
    load("no_info.mp3", &first);
    load("lsf.mp3", &second);
    put(&first, second.data, second.len);
    check_refused(first.data, first.len, DECODE_CORRUPT, " become ");
    buf_release(&first);
    buf_release(&second);
}

static void test_bit_flips(void)
{
    struct pcm pcm = {0};
    struct err e;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf file;
        load(files[i].name, &file);
        file.len = size_min(file.len, 60000); /* enough to go wrong in, and quick */
        for (uint64_t k = 0; k < FLIPS_PER_FILE; k++) {
            uint8_t *bytes = mem_alloc(file.len, 1);
            struct rng r;
            rng_init(&r, 3, (uint32_t)i, k);
            memcpy(bytes, file.data, file.len);
            for (int flip = 0; flip < 20; flip++)
                bytes[rng_below(&r, k % 2 == 0 ? file.len : 200)] ^=
                    (uint8_t)(1 << rng_below(&r, 8));
            (void)decode_bytes(bytes, file.len, &pcm, &e); /* checks that the answer is in order */
            mem_free(bytes);
        }
        buf_release(&file);
    }
    pcm_release(&pcm);
}

static bool run_script(void)
{
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "tests/make_audio.sh", dir, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void test_make_files(void)
{
    CHECK(mkdtemp(dir) != NULL);
    CHECK(run_script());
}

static void remove_files(void)
{
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", dir, (char *)NULL);
        _exit(127);
    }
    if (child > 0)
        (void)waitpid(child, NULL, 0);
}

int main(void)
{
    RUN(test_make_files);
    RUN(test_equals_ffmpeg);
    RUN(test_gapless);
    RUN(test_tags);
    RUN(test_threads);
    RUN(test_float_rounding);
    RUN(test_not_audio);
    RUN(test_foreign_wav);
    RUN(test_nonfinite);
    RUN(test_limits);
    RUN(test_truncated);
    RUN(test_holes);
    RUN(test_padding);
    RUN(test_rate_change);
    RUN(test_bit_flips);
    remove_files();
    return test_done();
}
