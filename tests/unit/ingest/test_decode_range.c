/*
 * Windows of an MP3 against the whole: the same bits wherever they begin, the same verdict and the
 * same sentence whatever is broken, and no more packets decoded than the window needs.
 */
#include "ingest/clip.h"
#include "ingest/decode.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ingest/mpeg_index.h"
#include "tests/test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 1 << 20, START_STEP = 401, STATE_PACKETS = 2 };

static const struct decode_limits limits = {
    .max_bytes = FILE_MAX_BYTES, .max_ms = 60000, .max_pcm_bytes = 64 << 20};
static char dir[] = "/tmp/test_decode_range.XXXXXX";

/* The most packets that a window of one sample may cost: its own, two for the decoder's state, and
 * 511 or 255 bytes of main data in the smallest frames of the file. */
static const struct {
    const char *name;
    uint64_t n_packets_max;
} kinds[] = {
    {"vbr5.mp3", 12},       {"vbr9.mp3", 12},   {"abr.mp3", 12},    {"cbr320.mp3", 4},
    {"cbr96.mp3", 5},       {"no_info.mp3", 5}, {"mono32.mp3", 10}, {"mono48k.mp3", 10},
    {"stereo32k.mp3", 8},   {"lsf24.mp3", 8},   {"lsf8.mp3", 30},   {"mpeg25.mp3", 8},
    {"lsf_stereo.mp3", 13},
};

static void load(const char *name, struct buf *out)
{
    struct err e = {0};
    char path[PATH_BYTES];
    buf_init(out, FILE_MAX_BYTES);
    CHECK_OK(path_join(path, dir, name, &e), &e);
    CHECK_OK(file_read_all(path, out, &e), &e);
}

/* Opens both ways; verdict, sentence and shape must be the same. True: it is sound. */
static bool open_both(struct span file, struct decoder *d, struct pcm *whole,
                      struct decode_info *info)
{
    enum decode_verdict want = DECODE_VERDICTS, got = DECODE_VERDICTS;
    struct err want_e = {0}, got_e = {0};
    bool ok = decode_audio(file, &limits, whole, &want, &want_e);
    CHECK(decoder_open(d, file, &limits, info, &got, &got_e) == ok);
    CHECK_STR(decode_verdict_name(got), decode_verdict_name(want));
    CHECK_STR(got_e.msg, want_e.msg);
    if (!ok)
        return false;
    CHECK_U64(info->n_frames, whole->n_frames);
    CHECK_U64(info->rate_hz, whole->rate_hz);
    CHECK_U64(info->n_channels, whole->n_channels);
    return info->n_frames == whole->n_frames;
}

static bool window_is_same(struct decoder *d, const struct pcm *whole, uint64_t from, uint64_t to)
{
    const struct pcm *window = NULL;
    enum decode_verdict v;
    struct err e = {0};
    if (!decoder_read(d, from, to, &window, &v, &e) || window->first_frame > from ||
        window->first_frame + window->n_frames < to || window->n_channels != whole->n_channels)
        return false;
    return memcmp(window->samples + (from - window->first_frame) * window->n_channels,
                  whole->samples + from * whole->n_channels,
                  (to - from) * whole->n_channels * sizeof *whole->samples) == 0;
}

/* Windows at every third of a frame. False at the first that differs. */
static bool windows_are_same(struct decoder *d, const struct pcm *whole, uint64_t n_window)
{
    for (uint64_t from = 0; from < whole->n_frames; from += START_STEP) {
        uint64_t to = u64_min(from + n_window, whole->n_frames);
        if (!window_is_same(d, whole, from, to)) {
            printf("# %llu samples from %llu differ\n", (unsigned long long)n_window,
                   (unsigned long long)from);
            return false;
        }
    }
    return true;
}

static void test_every_start(void)
{
    struct decoder *d = decoder_new();
    struct pcm whole = {0};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct buf file;
        struct decode_info info = {0};
        load(kinds[i].name, &file);
        CHECK(open_both(buf_span(&file), d, &whole, &info));
        CHECK(info.is_indexed);
        bool same = windows_are_same(d, &whole, 1) && windows_are_same(d, &whole, 3000) &&
                    window_is_same(d, &whole, 0, whole.n_frames);
        if (!same)
            printf("# in %s\n", kinds[i].name);
        CHECK(same);
        buf_release(&file);
    }
    pcm_release(&whole);
    decoder_free(d);
}

static void test_cost(void)
{
    struct decoder *d = decoder_new();
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct buf file;
        struct decode_info info = {0};
        enum decode_verdict v;
        struct err e = {0};
        uint64_t worst = 0;
        load(kinds[i].name, &file);
        CHECK_OK(decoder_open(d, buf_span(&file), &limits, &info, &v, &e), &e);
        CHECK_U64(decoder_n_packets(d), 0);
        for (uint64_t from = 0; from < info.n_frames; from += START_STEP) {
            const struct pcm *window;
            uint64_t n_before = decoder_n_packets(d);
            CHECK_OK(decoder_read(d, from, from + 1, &window, &v, &e), &e);
            worst = u64_max(worst, decoder_n_packets(d) - n_before);
        }
        printf("# %s: %llu packets\n", kinds[i].name, (unsigned long long)worst);
        CHECK(worst >= 1 + STATE_PACKETS);
        CHECK(worst <= kinds[i].n_packets_max);
        buf_release(&file);
    }
    decoder_free(d);
}

/* A preview that was cut out of a longer file without coding it again: the first frames' main data
 * is missing. */
static void test_cut_out(void)
{
    struct decoder *d = decoder_new();
    struct pcm whole = {0};
    struct buf file;
    struct decode_info info = {0};
    load("vbr5.mp3", &file);
    for (size_t at = 3000; at < 12000; at += 700) {
        struct mpeg_header h;
        size_t frame_at = 0;
        CHECK(mpeg_find_frame(buf_span(&file), at, 4000, &frame_at, &h));
        struct span rest = {file.data + frame_at, file.len - frame_at};
        CHECK(open_both(rest, d, &whole, &info));
        CHECK(info.is_indexed);
        CHECK(windows_are_same(d, &whole, 1152));
    }
    buf_release(&file);
    pcm_release(&whole);
    decoder_free(d);
}

/* ---------------------------------------------------------------- what is decoded whole */

static void check_whole(struct span file, bool is_sound)
{
    struct decoder *d = decoder_new();
    struct pcm whole = {0};
    struct decode_info info = {0};
    CHECK(open_both(file, d, &whole, &info) == is_sound);
    CHECK(!info.is_indexed);
    if (is_sound) {
        CHECK(window_is_same(d, &whole, whole.n_frames / 2, whole.n_frames / 2 + 1000));
        CHECK_U64(decoder_n_packets(d), 0);
    }
    pcm_release(&whole);
    decoder_free(d);
}

/* A frame in the middle whose side information is given other bits. */
static void check_side(uint8_t byte_i, uint8_t value, bool is_sound)
{
    struct buf file;
    struct mpeg_header h;
    size_t at = 0;
    load("cbr96.mp3", &file);
    CHECK(mpeg_find_frame(buf_span(&file), file.len / 2, 2000, &at, &h));
    file.data[at + byte_i] = value;
    check_whole(buf_span(&file), is_sound);
    buf_release(&file);
}

/* The Info frame and a piece of a frame of one file, and the frames of another with another rate:
 * libavcodec gives the first frame the rate that the Info frame has. */
static void check_foreign_info(void)
{
    enum { PIECE_BYTES = 25 };
    struct buf file, other;
    struct mpeg_header h;
    struct err e = {0};
    size_t info_at, at;
    load("lsf24.mp3", &file);
    load("mono48k.mp3", &other);
    CHECK(mpeg_find_frame(buf_span(&file), 0, 2000, &info_at, &h));
    file.len = info_at + h.frame_bytes + PIECE_BYTES;
    CHECK(mpeg_find_frame(buf_span(&other), 0, 2000, &at, &h));
    at += h.frame_bytes;
    CHECK_OK(buf_append(&file, other.data + at, other.len - at, &e), &e);
    check_whole(buf_span(&file), false);
    buf_release(&file);
    buf_release(&other);
}

static void test_odd_is_whole(void)
{
    struct buf file, other;
    load("cbr96.mp3", &file);
    load("mono32.mp3", &other);
    check_whole((struct span){file.data, file.len - 3}, true);      /* last frame cut */
    check_whole((struct span){file.data, file.len * 2 / 3}, false); /* a third missing */
    check_whole((struct span){file.data, 0}, false);
    check_side(4, 0xff, true); /* main_data_begin 510: overlaps the frame before */
    /* big_values of the first granule are bits 32 to 40 of the side information. */
    check_side(MPEG_HEADER_BYTES + 4, 0xff, true);
    check_foreign_info();
    check_side(3, 0xc0, true); /* one mono frame within stereo: its size is another */
    struct err e = {0};
    CHECK_OK(buf_append(&file, other.data, other.len, &e), &e);
    check_whole(buf_span(&file), false); /* channels change */
    buf_release(&file);
    buf_release(&other);
}

/* ---------------------------------------------------------------- damage, anywhere */

static void test_damage(void)
{
    enum { TRIALS = 150 };
    struct decoder *d = decoder_new();
    struct pcm whole = {0};
    uint64_t n_indexed = 0, n_whole = 0, n_bad = 0;
    for (uint64_t k = 0; k < TRIALS; k++) {
        struct buf file;
        struct decode_info info = {0};
        struct rng r;
        rng_init(&r, 5, 0, k);
        load(kinds[k % ARRAY_LEN(kinds)].name, &file);
        uint64_t n_flips = 1 + rng_below(&r, 1 << rng_below(&r, 6));
        for (uint64_t i = 0; i < n_flips; i++)
            file.data[rng_below(&r, file.len)] ^= (uint8_t)(1u << rng_below(&r, 8));
        bool ok = open_both(buf_span(&file), d, &whole, &info);
        n_bad += !ok;
        n_whole += ok && !info.is_indexed;
        n_indexed += ok && info.is_indexed;
        for (int i = 0; ok && i < 10; i++) {
            uint64_t from = rng_below(&r, whole.n_frames);
            CHECK(window_is_same(d, &whole, from, u64_min(from + 3000, whole.n_frames)));
        }
        buf_release(&file);
    }
    printf("# %llu read by windows, %llu decoded whole, %llu refused\n",
           (unsigned long long)n_indexed, (unsigned long long)n_whole, (unsigned long long)n_bad);
    CHECK(n_indexed > TRIALS / 10);
    CHECK(n_whole > TRIALS / 10);
    pcm_release(&whole);
    decoder_free(d);
}

/* ---------------------------------------------------------------- clips, limits */

static void test_same_clips(void)
{
    static const struct clip_params params = {.policy = CLIP_RANDOM, .ms = 1000, .seed = 9};
    struct decoder *d = decoder_new();
    struct pcm whole = {0};
    struct clip want = {0}, got = {0};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct buf file;
        struct decode_info info = {0};
        load(kinds[i].name, &file);
        CHECK(open_both(buf_span(&file), d, &whole, &info));
        for (uint64_t track = 0; track < 20; track++) {
            enum clip_verdict v;
            enum decode_verdict dv;
            struct err e = {0};
            const struct pcm *window;
            uint64_t from, to;
            uint32_t start_ms;
            CHECK_OK(clip_cut(&whole, &params, track, 0, &want, &v, &e), &e);
            CHECK_OK(clip_choose(&params, info.n_frames, info.rate_hz, track, 0, &start_ms, &v, &e),
                     &e);
            clip_frames(&params, start_ms, info.n_frames, info.rate_hz, &from, &to);
            CHECK_OK(decoder_read(d, from, to, &window, &dv, &e), &e);
            CHECK_OK(clip_take(window, &params, start_ms, &got, &v, &e), &e);
            CHECK_U64(got.start_ms, want.start_ms);
            CHECK_U64(got.n_samples, want.n_samples);
            CHECK(memcmp(got.samples, want.samples, want.n_samples * sizeof *want.samples) == 0);
        }
        buf_release(&file);
    }
    clip_release(&want);
    clip_release(&got);
    pcm_release(&whole);
    decoder_free(d);
}

/* Limits count the whole file, read by windows or not. */
static void test_limits(void)
{
    static const struct decode_limits tight[] = {
        {1000, 60000, 1 << 30}, {1 << 30, 2999, 1 << 30}, {1 << 30, 60000, 500000}};
    static const char *const names[] = {"cbr96.mp3", "no_info.mp3"};
    struct decoder *d = decoder_new();
    for (size_t i = 0; i < ARRAY_LEN(tight); i++)
        for (size_t f = 0; f < ARRAY_LEN(names); f++) {
            struct buf file;
            struct pcm pcm = {0};
            struct decode_info info;
            enum decode_verdict want, got;
            struct err want_e = {0}, got_e = {0};
            load(names[f], &file);
            CHECK(!decode_audio(buf_span(&file), &tight[i], &pcm, &want, &want_e));
            CHECK(!decoder_open(d, buf_span(&file), &tight[i], &info, &got, &got_e));
            CHECK(got == DECODE_TOO_LONG);
            CHECK(want == DECODE_TOO_LONG);
            CHECK_STR(got_e.msg, want_e.msg);
            pcm_release(&pcm);
            buf_release(&file);
        }
    decoder_free(d);
}

/* ---------------------------------------------------------------- the index alone */

/* One MPEG-1 mono frame of 32 kbit/s at 48 kHz: 96 bytes, 4 of header, 17 of side information. */
static void put_frame(uint8_t out[96], uint32_t begin_bytes, uint32_t main_bits)
{
    memset(out, 0, 96);
    memcpy(out, "\xff\xfb\x14\xc0", 4);
    out[4] = (uint8_t)(begin_bytes >> 1);
    out[5] = (uint8_t)((begin_bytes & 1) << 7);
    /* part2_3_length of the first granule: bits 18 to 29 of the side information. */
    out[6] = (uint8_t)(main_bits >> 6 & 0x3f);
    out[7] = (uint8_t)(main_bits << 2);
}

static void test_reservoir(void)
{
    static const struct {
        uint32_t begin_bytes[3], main_bits[3];
        bool holds;
    } cases[] = {
        {{0, 0, 0}, {600, 600, 600}, true},  /* 75 bytes each: the frame is full */
        {{0, 0, 0}, {600, 608, 600}, false}, /* the second ends a byte too late */
        {{0, 45, 0}, {240, 600, 0}, true},   /* 30 used, 45 left */
        {{0, 46, 0}, {240, 600, 0}, false},  /* of which one is used twice */
        {{0, 45, 0}, {241, 600, 0}, false},  /* a bit takes a byte */
        {{0, 75, 150}, {0, 0, 1200}, true},  /* two frames held nothing of their own */
        {{0, 0, 150}, {0, 0, 1200}, false},  /* the second passed over the first's bytes */
        {{20, 0, 0}, {100, 600, 600}, true}, /* began before the file */
        {{20, 80, 0}, {900, 0, 0}, false},   /* before the file, and ends too late */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t bytes[3 * 96];
        struct mpeg_index x = {0};
        bool holds = true;
        for (size_t f = 0; f < 3; f++)
            put_frame(bytes + 96 * f, cases[i].begin_bytes[f], cases[i].main_bits[f]);
        for (size_t f = 0; f < 3; f++)
            holds =
                holds && mpeg_index_add(&x, (struct span){bytes, sizeof bytes}, 96 * f, 96, NULL);
        if (holds != cases[i].holds)
            printf("# case %zu\n", i);
        CHECK(holds == cases[i].holds);
        mpeg_index_release(&x);
    }
}

static void test_trims(void)
{
    static const struct mpeg_trim skips = {1500, 0}, discards = {0, 52}, too_many = {0, 1153};
    uint8_t frame[96];
    struct mpeg_index x = {0};
    struct span file = {frame, sizeof frame};
    put_frame(frame, 0, 0);
    CHECK(mpeg_index_add(&x, file, 0, 96, &skips)); /* all of it, and 348 of the next */
    CHECK(mpeg_index_add(&x, file, 0, 96, NULL));
    CHECK(mpeg_index_add(&x, file, 0, 96, &too_many));
    CHECK(mpeg_index_add(&x, file, 0, 96, &discards));
    CHECK(!mpeg_index_add(&x, file, 0, 95, NULL));
    CHECK(!mpeg_index_add(&x, file, 1, 96, NULL));
    CHECK_U64(x.n_samples, 804 + 1152 + 1100);
    CHECK_U64(mpeg_index_range(&x, 0, 1).keep, 1);
    CHECK_U64(mpeg_index_range(&x, 803, 804).end, 2);
    CHECK_U64(mpeg_index_range(&x, 804, 805).keep, 2);
    CHECK_U64(mpeg_index_range(&x, 0, x.n_samples).end, 4);
    mpeg_index_release(&x);
}

/* $1 of the script is the folder. */
static void run_script(const char *script)
{
    pid_t child = fork();
    int status = -1;
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", script, "sh", dir, (char *)NULL);
        _exit(127);
    }
    CHECK(child > 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

static void test_make_files(void)
{
    CHECK(mkdtemp(dir) != NULL);
    run_script("tests/make_audio.sh \"$1\" mp3kinds");
}

int main(void)
{
    RUN(test_make_files);
    RUN(test_every_start);
    RUN(test_cost);
    RUN(test_cut_out);
    RUN(test_odd_is_whole);
    RUN(test_damage);
    RUN(test_same_clips);
    RUN(test_limits);
    RUN(test_reservoir);
    RUN(test_trims);
    run_script("rm -rf \"$1\"");
    return test_done();
}
