#include "ingest/clip.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/test.h"

/* A preview of n frames whose sample is a function of frame and channel. */
static int16_t value_at(size_t frame, uint32_t channel)
{
    return (int16_t)(hash_mix64(frame * 8 + channel) & 0xffff);
}

static struct pcm make_pcm(uint32_t rate_hz, uint32_t n_channels, size_t n_frames)
{
    struct pcm p = {.rate_hz = rate_hz, .n_channels = n_channels, .n_frames = n_frames};
    p.samples = mem_alloc(n_frames * n_channels, sizeof *p.samples);
    for (size_t i = 0; i < n_frames; i++)
        for (uint32_t c = 0; c < n_channels; c++)
            p.samples[i * n_channels + c] = value_at(i, c);
    return p;
}

/* Figures from pydub's expressions evaluated in Python. */
static void test_length(void)
{
    static const struct {
        size_t n_frames;
        uint32_t rate_hz;
        uint64_t ms;
    } cases[] = {{441000, 44100, 10000},  {440978, 44100, 10000},
                 {440977, 44100, 9999},   {1323000, 44100, 30000},
                 {1324800, 44100, 30041}, {480000, 48000, 10000},
                 {479976, 48000, 10000},  {479975, 48000, 9999},
                 {220500, 22050, 10000},  {110250, 11025, 10000},
                 {320016, 32000, 10000},  {320048, 32000, 10002},
                 {1, 48000, 0},           {0, 44100, 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_U64(clip_length_ms(cases[i].n_frames, cases[i].rate_hz), cases[i].ms);
}

static void test_frame_at(void)
{
    static const struct {
        uint64_t ms;
        uint32_t rate_hz;
        size_t frame;
    } cases[] = {{0, 44100, 0},          {1, 44100, 44},         {10000, 44100, 441000},
                 {12345, 44100, 544414}, {1, 48000, 48},         {12345, 48000, 592560},
                 {1, 22050, 22},         {12345, 22050, 272207}, {1, 11025, 11},
                 {12345, 11025, 136103}, {12345, 32000, 395040}, {19999, 44100, 881955}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_U64(clip_frame_at(cases[i].ms, cases[i].rate_hz), cases[i].frame);
}

/* Every rate gives ten seconds of frames at every start, or one less where the product rounds. */
static void test_clip_frames(void)
{
    static const uint32_t rates_hz[] = {8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000};
    for (size_t i = 0; i < ARRAY_LEN(rates_hz); i++)
        for (uint64_t start = 0; start < 20000; start++) {
            size_t n =
                clip_frame_at(start + 10000, rates_hz[i]) - clip_frame_at(start, rates_hz[i]);
            CHECK(n + 1 >= rates_hz[i] * 10);
            CHECK(n <= rates_hz[i] * 10 + 1);
        }
}

static void test_starts(void)
{
    struct clip_params p = {.policy = CLIP_RANDOM, .ms = 10000, .seed = 1};
    CHECK_U64(clip_start_ms(&p, 10000, 7, 0), 0);
    CHECK_U64(clip_start_ms(&p, 10001, 7, 0), 0); /* [0, 1) */
    p.policy = CLIP_START;
    CHECK_U64(clip_start_ms(&p, 30000, 7, 0), 0);
    p.policy = CLIP_MIDDLE;
    CHECK_U64(clip_start_ms(&p, 30001, 7, 0), 10000);

    /* Uniform over the span: the mean of n draws from [0, 20000) has sigma 5774 / sqrt(n). */
    enum { DRAWS = 10000 };
    static const double four_sigma_ms = 4 * 5774.0 / 100.0;
    double sum = 0;
    uint32_t lowest = UINT32_MAX, highest = 0;
    p.policy = CLIP_RANDOM;
    for (uint64_t key = 0; key < DRAWS; key++) {
        uint32_t start = clip_start_ms(&p, 30000, hash_mix64(key + 1), 0);
        sum += start;
        lowest = start < lowest ? start : lowest;
        highest = start > highest ? start : highest;
    }
    CHECK_NEAR(sum / DRAWS, 9999.5, four_sigma_ms);
    CHECK(lowest < 20);
    CHECK(highest > 19980);
    CHECK(highest < 20000);
}

static void test_starts_are_pure(void)
{
    struct clip_params p = {.policy = CLIP_RANDOM, .ms = 10000, .seed = 1};
    uint32_t first = clip_start_ms(&p, 30000, 7, 0);
    CHECK_U64(clip_start_ms(&p, 30000, 7, 0), first);
    CHECK(clip_start_ms(&p, 30000, 8, 0) != first);
    CHECK(clip_start_ms(&p, 30000, 7, 1) != first);
    p.seed = 2;
    CHECK(clip_start_ms(&p, 30000, 7, 0) != first);
}

/* The clip is exactly the window, mixed down, from the drawn start. */
static void test_cut(void)
{
    static const struct {
        uint32_t rate_hz, n_channels;
    } cases[] = {{44100, 2}, {48000, 1}, {22050, 6}, {11025, 3}};
    struct clip clip = {0};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        uint32_t rate = cases[k].rate_hz, n_channels = cases[k].n_channels;
        struct pcm pcm = make_pcm(rate, n_channels, (size_t)rate * 5);
        struct clip_params p = {.policy = CLIP_RANDOM, .ms = 2000, .seed = 9};
        enum clip_verdict v;
        struct err e = {0};
        CHECK_OK(clip_cut(&pcm, &p, k + 1, 0, &clip, &v, &e), &e);
        CHECK(v == CLIP_OK);
        CHECK_U64(clip.start_ms, clip_start_ms(&p, 5000, k + 1, 0));
        CHECK(clip.start_ms > 0);
        CHECK_U64(clip.rate_hz, rate);
        size_t from = clip_frame_at(clip.start_ms, rate);
        CHECK_U64(clip.n_samples, clip_frame_at(clip.start_ms + 2000, rate) - from);
        for (size_t i = 0; i < clip.n_samples; i++) {
            float sum = 0;
            for (uint32_t c = 0; c < n_channels; c++)
                sum += (float)value_at(from + i, c) / 32768.0f;
            CHECK(clip.samples[i] == sum / (float)n_channels);
        }
        pcm_release(&pcm);
    }
    clip_release(&clip);
}

static void test_exactly_ten_seconds(void)
{
    struct pcm pcm = make_pcm(44100, 1, 441000);
    struct clip_params p = {.policy = CLIP_RANDOM, .ms = 10000, .seed = 1};
    struct clip clip = {0};
    enum clip_verdict v;
    struct err e = {0};
    CHECK_OK(clip_cut(&pcm, &p, 1, 0, &clip, &v, &e), &e);
    CHECK_U64(clip.start_ms, 0);
    CHECK_U64(clip.n_samples, 441000);
    CHECK(clip.samples[440999] == (float)value_at(440999, 0) / 32768.0f);
    pcm_release(&pcm);
    clip_release(&clip);
}

/* 9.9995 s counts as 10,000 ms; the half millisecond is silence, also over an older clip. */
static void test_rounded_up(void)
{
    struct pcm pcm = make_pcm(48000, 2, 479976);
    struct clip_params p = {.policy = CLIP_RANDOM, .ms = 10000, .seed = 1};
    struct clip clip = {.samples = mem_alloc(480000, sizeof(float)), .cap_samples = 480000};
    enum clip_verdict v;
    struct err e = {0};
    for (size_t i = 0; i < 480000; i++)
        clip.samples[i] = 1.0f;
    CHECK_OK(clip_cut(&pcm, &p, 1, 0, &clip, &v, &e), &e);
    CHECK_U64(clip.n_samples, 480000);
    CHECK(clip.samples[479975] == (float)(value_at(479975, 0) + value_at(479975, 1)) / 65536.0f);
    for (size_t i = 479976; i < 480000; i++)
        CHECK(clip.samples[i] == 0.0f);
    CHECK(!clip_cut_at(&pcm, 3, 10000, &clip, &e)); /* 3.5 ms missing */
    CHECK(strstr(e.msg, "479832 of the 480000 frames from 3 ms") != NULL);
    pcm_release(&pcm);
    clip_release(&clip);
}

static void test_too_short(void)
{
    struct pcm pcm = make_pcm(44100, 2, 440977);
    struct clip_params p = {.policy = CLIP_RANDOM, .ms = 10000, .seed = 1};
    struct clip clip = {0};
    enum clip_verdict v;
    struct err e = {0};
    CHECK(!clip_cut(&pcm, &p, 1, 0, &clip, &v, &e));
    CHECK(v == CLIP_TOO_SHORT);
    CHECK(e.kind == ERR_PERM);
    CHECK_STR(e.msg, "9999 ms of audio, a clip needs 10000");
    pcm.n_frames = 0;
    CHECK(!clip_cut(&pcm, &p, 1, 0, &clip, &v, &e));
    CHECK(v == CLIP_TOO_SHORT);
    pcm_release(&pcm);
    clip_release(&clip);
}

static enum clip_verdict cut_level(int16_t left, int16_t right, struct err *e)
{
    struct pcm pcm = make_pcm(8000, 2, 16000);
    struct clip_params p = {.policy = CLIP_START, .ms = 1000, .seed = 1};
    struct clip clip = {0};
    enum clip_verdict v;
    for (size_t i = 0; i < 16000; i++) {
        pcm.samples[2 * i] = left;
        pcm.samples[2 * i + 1] = right;
    }
    *e = (struct err){0};
    bool ok = clip_cut(&pcm, &p, 1, 0, &clip, &v, e);
    CHECK(ok == (v == CLIP_OK));
    pcm_release(&pcm);
    clip_release(&clip);
    return v;
}

static void test_silent(void)
{
    struct err e;
    CHECK(cut_level(0, 0, &e) == CLIP_SILENT);
    CHECK_STR(e.msg, "all samples from 0 ms to 1000 ms are zero");
    CHECK(cut_level(7, -22, &e) == CLIP_SILENT);
    CHECK_STR(e.msg,
              "from 0 ms to 1000 ms the peak is -72.8 dB of full scale, at least -72.2 is needed");
    CHECK(cut_level(-8, -8, &e) == CLIP_OK);
    CHECK(cut_level(9000, -9000, &e) == CLIP_SILENT); /* opposite phase: nothing is left in mono */
    CHECK_STR(clip_verdict_name(CLIP_SILENT), "SILENT");
}

/* Every whole window, side by side from the start; what is left over is none. */
static void test_all(void)
{
    struct clip_params p = {.policy = CLIP_ALL, .ms = 10000, .seed = 1};
    static const struct {
        uint64_t len_ms, n;
    } cases[] = {{10000, 1}, {19999, 1}, {20000, 2}, {30000, 3}, {30041, 3}, {600000, 60}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_U64(clip_count(&p, cases[i].len_ms), cases[i].n);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_U64(clip_start_ms(&p, 30041, 7, i), i * 10000);
}

/* One start from each of n equal parts of all starts: in order, spread, and drawn. */
static void test_windows(void)
{
    struct clip_params p = {.policy = CLIP_WINDOWS, .ms = 10000, .seed = 1, .n_windows = 4};
    struct clip_params one = p, drawn = p;
    one.n_windows = 1;
    drawn.policy = CLIP_RANDOM;
    CHECK_U64(clip_count(&p, 30000), 4);
    for (uint64_t track = 1; track < 200; track++) {
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t start = clip_start_ms(&p, 30000, track, i);
            CHECK(start >= i * 5000);
            CHECK(start < (i + 1) * 5000);
            CHECK_U64(clip_start_ms(&p, 30000, track, i), start);
        }
        CHECK(clip_start_ms(&p, 30000, track, 1) != clip_start_ms(&p, 30000, track, 2));
        CHECK_U64(clip_start_ms(&one, 30000, track, 0), clip_start_ms(&drawn, 30000, track, 0));
    }
    /* No more windows than there are starts: none twice. */
    CHECK_U64(clip_count(&p, 10000), 1);
    CHECK_U64(clip_start_ms(&p, 10000, 7, 0), 0);
    CHECK_U64(clip_count(&p, 10001), 1);
    CHECK_U64(clip_count(&p, 10003), 3);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_U64(clip_start_ms(&p, 10003, 7, i), i);
}

/* A shorter track is one window, silence behind it; a longer one is cut as ever. */
static void test_pads(void)
{
    struct clip_params p = {.policy = CLIP_ALL, .ms = 1000, .seed = 1, .pads_short = true};
    struct pcm pcm = make_pcm(8000, 1, 3000);
    struct clip clip = {0};
    enum clip_verdict v;
    struct err e = {0};
    uint32_t start_ms;
    uint64_t from, to;
    CHECK_U64(clip_count(&p, 375), 1);
    CHECK_OK(clip_choose(&p, pcm.n_frames, 8000, 7, 0, &start_ms, &v, &e), &e);
    CHECK_U64(start_ms, 0);
    clip_frames(&p, start_ms, pcm.n_frames, 8000, &from, &to);
    CHECK_U64(from, 0);
    CHECK_U64(to, 3000);
    CHECK_OK(clip_take(&pcm, &p, start_ms, &clip, &v, &e), &e);
    CHECK_U64(clip.n_samples, 8000);
    CHECK(clip.samples[2999] == (float)value_at(2999, 0) / 32768.0f);
    for (size_t i = 3000; i < 8000; i++)
        CHECK(clip.samples[i] == 0.0f);
    CHECK(!clip_choose(&p, 0, 8000, 7, 0, &start_ms, &v, &e)); /* nothing is not short */
    CHECK(v == CLIP_TOO_SHORT);
    pcm_release(&pcm);
    clip_release(&clip);
}

int main(void)
{
    RUN(test_length);
    RUN(test_frame_at);
    RUN(test_clip_frames);
    RUN(test_starts);
    RUN(test_starts_are_pure);
    RUN(test_cut);
    RUN(test_exactly_ten_seconds);
    RUN(test_rounded_up);
    RUN(test_too_short);
    RUN(test_silent);
    RUN(test_all);
    RUN(test_windows);
    RUN(test_pads);
    return test_done();
}
