#include "base/mem.h"
#include "match/sequence.h"
#include "tests/test.h"

#include <stdlib.h>

static const double PI = 3.14159265358979323846;
enum { SECONDS = 12, SAMPLES = SECONDS * SEQUENCE_RATE_HZ };

/* A scale of tones with six harmonics, one each half second, over a low drone. */
static void scale_play(float *out, double semitones)
{
    static const int steps[] = {0, 2, 4, 5, 7, 9, 11, 12};
    for (size_t i = 0; i < SAMPLES; i++) {
        double t = (double)i / SEQUENCE_RATE_HZ, y = 0;
        int step = steps[(size_t)(t * 2) % ARRAY_LEN(steps)];
        double hz = 440 * exp2((60 + step + semitones - 69) / 12.0), drone = hz;
        for (int h = 1; h <= 6; h++)
            y += 0.2 / h * sin(2 * PI * hz * h * t);
        drone = 440 * exp2((36 + semitones - 69) / 12.0);
        y += 0.05 * sin(2 * PI * drone * t) + 0.03 * sin(4 * PI * drone * t);
        out[i] = (float)y;
    }
}

static size_t loudest(const uint8_t *frame)
{
    size_t best = 0;
    for (size_t c = 1; c < SEQUENCE_CLASSES; c++)
        if (frame[c] > frame[best])
            best = c;
    return best;
}

/* Of frames in the middle of tones, how many have the tone's class as the loudest. */
static double share_right(const struct sequence *s, int shift)
{
    static const int steps[] = {0, 2, 4, 5, 7, 9, 11, 12};
    size_t right = 0, n = 0;
    for (size_t t = 4; t + 4 < s->n_frames; t++) {
        double at = (double)t * SEQUENCE_HOP / SEQUENCE_RATE_HZ * 2, part = at - floor(at);
        if (part < 0.3 || part > 0.6)
            continue;
        int step = steps[(size_t)at % ARRAY_LEN(steps)] + shift;
        n++;
        right += loudest(sequence_aspect(s, ASPECT_MELODY) + t * SEQUENCE_CLASSES) ==
                 (size_t)((step + 24) % 12);
    }
    return (double)right / (double)n;
}

static void test_melody_is_heard_in_every_key(void)
{
    struct err e = {0};
    struct sequencer *q = NULL;
    struct sequence s = {0};
    float *samples = mem_alloc(SAMPLES, sizeof *samples);
    CHECK_OK(sequencer_new(simd_best(), &q, &e), &e);
    for (int shift = -5; shift <= 6; shift += 11) {
        scale_play(samples, shift);
        CHECK_OK(sequencer_run(q, samples, SAMPLES, &s, &e), &e);
        CHECK_U64(s.n_frames, SAMPLES / SEQUENCE_HOP);
        CHECK(share_right(&s, shift) > 0.9);
        CHECK_NEAR(s.tuning, 0, 0.03); /* a bank three a semitone */
    }
    sequence_release(&s);
    sequencer_free(q);
    mem_free(samples);
}

static void test_tuning_is_taken_off(void)
{
    struct err e = {0};
    struct sequencer *q = NULL;
    struct sequence s = {0};
    float *samples = mem_alloc(SAMPLES, sizeof *samples);
    CHECK_OK(sequencer_new(simd_best(), &q, &e), &e);
    for (double off = -0.4; off < 0.5; off += 0.2) {
        scale_play(samples, off);
        CHECK_OK(sequencer_run(q, samples, SAMPLES, &s, &e), &e);
        CHECK_NEAR(s.tuning, off, 0.05);
        CHECK(share_right(&s, 0) > 0.9);
    }
    sequence_release(&s);
    sequencer_free(q);
    mem_free(samples);
}

/* What the alignment relies on. */
static void test_frames_are_at_most_127_long(void)
{
    struct err e = {0};
    struct sequencer *q = NULL;
    struct sequence s[SIMD_LEVELS] = {{0}};
    float *samples = mem_alloc(SAMPLES, sizeof *samples);
    uint32_t state = 1;
    for (size_t i = 0; i < SAMPLES; i++) {
        state = state * 1664525 + 1013904223;
        samples[i] = (float)(int32_t)state / 4294967296.0F;
    }
    for (size_t simd = 0; simd <= (size_t)simd_best(); simd++) {
        CHECK_OK(sequencer_new((enum simd)simd, &q, &e), &e);
        CHECK_OK(sequencer_run(q, samples, SAMPLES, &s[simd], &e), &e);
        sequencer_free(q);
        CHECK(memcmp(s[simd].levels, s[0].levels,
                     (size_t)ASPECTS * s[0].n_frames * SEQUENCE_CLASSES) == 0);
    }
    for (size_t t = 0; t < (size_t)ASPECTS * s[0].n_frames; t++) {
        uint32_t square = 0;
        for (size_t c = 0; c < SEQUENCE_CLASSES; c++) {
            uint32_t x = s[0].levels[t * SEQUENCE_CLASSES + c];
            square += x * x;
        }
        CHECK(square <= 127 * 127);
    }
    for (size_t simd = 0; simd <= (size_t)simd_best(); simd++)
        sequence_release(&s[simd]);
    mem_free(samples);
}

static void refuse(const float *samples, size_t n, const char *word)
{
    struct err e = {0};
    struct sequencer *q = NULL;
    struct sequence s = {0};
    CHECK_OK(sequencer_new(simd_best(), &q, &e), &e);
    CHECK(!sequencer_run(q, samples, n, &s, &e));
    CHECK_U64(e.kind, ERR_PERM);
    CHECK(strstr(e.msg, word) != NULL);
    sequence_release(&s);
    sequencer_free(q);
}

static void test_bad_input(void)
{
    float *samples = mem_zalloc(SAMPLES, sizeof *samples);
    refuse(samples, SAMPLES, "silent");
    samples[7] = 0.5F;
    refuse(samples, 4 * SEQUENCE_RATE_HZ, "needs 5 s");
    samples[9] = NAN;
    refuse(samples, SAMPLES, "not finite");
    refuse(samples, (size_t)SEQUENCE_FRAMES_MAX * SEQUENCE_HOP + SEQUENCE_HOP, "minutes");
    mem_free(samples);
}

int main(void)
{
    RUN(test_melody_is_heard_in_every_key);
    RUN(test_tuning_is_taken_off);
    RUN(test_frames_are_at_most_127_long);
    RUN(test_bad_input);
    return test_done();
}
