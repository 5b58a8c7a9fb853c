#include "base/mem.h"
#include "match/lead.h"
#include "tests/test.h"

#include <string.h>

enum { FRAMES = 200, NOTE_FRAMES = 7 };

static const int scale[] = {0, 2, 4, 5, 7, 9, 11, 12};

/* A tone of eight partials in one frame, each 0.85 of the one below; what is louder stays. */
static void tone(float *frame, int midi, float level)
{
    static const int partials[] = {0, 12, 19, 24, 28, 31, 34, 36};
    for (size_t k = 0; k < ARRAY_LEN(partials); k++, level *= 0.85F) {
        size_t i = (size_t)(midi + partials[k] - SPECTRUM_LOW);
        if (i < SPECTRUM_SEMITONES && frame[i] < level)
            frame[i] = level;
    }
}

static struct spectrum spectrum_of(size_t n_frames)
{
    return (struct spectrum){.n_frames = n_frames,
                             .levels =
                                 mem_zalloc(n_frames + 1, SPECTRUM_SEMITONES * sizeof(float))};
}

static int note_at(size_t t)
{
    return scale[t / NOTE_FRAMES * 5 % ARRAY_LEN(scale)]; /* leaps, not a run */
}

/* Of all frames, how many give the voice's class more than one half. */
static double share_right(const struct spectrum *s, int low)
{
    float *p = mem_alloc(s->n_frames, LEAD_CLASSES * sizeof *p);
    size_t right = 0;
    lead_classes(s, p);
    for (size_t t = 0; t < s->n_frames; t++)
        right += p[t * LEAD_CLASSES + (size_t)(low + note_at(t)) % LEAD_CLASSES] > 0.5F;
    mem_free(p);
    return (double)right / (double)s->n_frames;
}

static void test_a_voice_alone(void)
{
    for (int low = 55; low <= 84; low++) {
        struct spectrum s = spectrum_of(FRAMES);
        for (size_t t = 0; t < FRAMES; t++)
            tone(s.levels + t * SPECTRUM_SEMITONES, low + note_at(t), 0.9F);
        CHECK(share_right(&s, low) > 0.95);
        spectrum_release(&s);
    }
}

/* The chord is louder than the voice and lies in its register: only that it stays tells them apart.
 */
static void test_a_voice_over_a_louder_chord_that_stays(void)
{
    struct spectrum s = spectrum_of(FRAMES);
    for (size_t t = 0; t < FRAMES; t++) {
        float *frame = s.levels + t * SPECTRUM_SEMITONES;
        tone(frame, 61, 0.8F);
        tone(frame, 66, 0.8F);
        tone(frame, 70, 0.8F);
        tone(frame, 72 + note_at(t), 0.7F);
    }
    CHECK(share_right(&s, 72) > 0.8);
    spectrum_release(&s);
}

/* As of a clarinet: the fifth above the octave is the loudest partial, and not what is heard. */
static void test_odd_partials(void)
{
    struct spectrum s = spectrum_of(FRAMES);
    for (size_t t = 0; t < FRAMES; t++) {
        float *at = s.levels + t * SPECTRUM_SEMITONES + 60 + note_at(t) - SPECTRUM_LOW;
        at[0] = 0.5F;
        at[19] = 0.8F;
        at[28] = 0.7F;
        at[34] = 0.4F;
    }
    CHECK(share_right(&s, 60) > 0.9);
    spectrum_release(&s);
}

/* Two songs that begin with different chords and go on alike end alike. */
static void test_what_is_long_past_has_no_say(void)
{
    float p[2][FRAMES * LEAD_CLASSES];
    for (size_t i = 0; i < 2; i++) {
        struct spectrum s = spectrum_of(FRAMES);
        for (size_t t = 0; t < FRAMES; t++)
            tone(s.levels + t * SPECTRUM_SEMITONES, t < 100 ? 74 + (int)i : 70 + note_at(t), 0.5F);
        lead_classes(&s, p[i]);
        spectrum_release(&s);
    }
    for (size_t k = 150 * LEAD_CLASSES; k < (size_t)FRAMES * LEAD_CLASSES; k++)
        CHECK_NEAR((double)p[0][k], (double)p[1][k], 1e-4);
}

static float sum_of(const float *classes)
{
    float sum = 0;
    for (size_t c = 0; c < LEAD_CLASSES; c++)
        sum += classes[c];
    return sum;
}

static void test_no_sound_no_voice(void)
{
    struct spectrum s = spectrum_of(FRAMES);
    float p[FRAMES * LEAD_CLASSES];
    for (size_t t = 0; t < FRAMES / 2; t++)
        tone(s.levels + t * SPECTRUM_SEMITONES, 72 + note_at(t), 0.9F);
    lead_classes(&s, p);
    for (size_t t = 0; t < FRAMES; t++)
        CHECK(t < FRAMES / 2 ? sum_of(p + t * LEAD_CLASSES) > 0.9F
                             : t < FRAMES / 2 + 2 || sum_of(p + t * LEAD_CLASSES) < 0.2F);
    spectrum_release(&s);
}

/* Any length, and any levels that a spectrum may have, at the edges of the candidates too. */
static void test_probabilities(void)
{
    static const size_t lengths[] = {0, 1, 2, 24, 25, 49, FRAMES};
    uint32_t state = 1;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct spectrum s = spectrum_of(lengths[i]);
        float *p = mem_alloc(lengths[i] + 1, LEAD_CLASSES * sizeof *p);
        for (size_t k = 0; k < lengths[i] * SPECTRUM_SEMITONES; k++) {
            state = state * 1664525 + 1013904223;
            s.levels[k] = state >> 30 == 0 ? 1 : 0;
        }
        lead_classes(&s, p);
        for (size_t t = 0; t < lengths[i]; t++) {
            for (size_t c = 0; c < LEAD_CLASSES; c++)
                CHECK(p[t * LEAD_CLASSES + c] >= 0);
            CHECK(sum_of(p + t * LEAD_CLASSES) <= 1.0001F);
        }
        mem_free(p);
        spectrum_release(&s);
    }
}

int main(void)
{
    RUN(test_a_voice_alone);
    RUN(test_a_voice_over_a_louder_chord_that_stays);
    RUN(test_odd_partials);
    RUN(test_what_is_long_past_has_no_say);
    RUN(test_no_sound_no_voice);
    RUN(test_probabilities);
    return test_done();
}
