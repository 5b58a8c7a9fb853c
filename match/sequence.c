#include "match/sequence.h"

#include "base/hash.h"
#include "base/mem.h"
#include "match/lead.h"

#include <math.h>
#include <stdio.h>

/*
 * Both sequences come from the tuned semitone spectrum (match/spectrum.h), two of its frames a
 * frame. Harmony: what stands above the mean of the octave around it, over five octaves, folded;
 * every frame is as long as every other. Melody: the probabilities of the lead voice
 * (match/lead.h); a frame in which it is not sure of a voice is short, and so counts less.
 */
enum {
    POOL = SEQUENCE_HOP / SPECTRUM_HOP,
    AROUND = 6, /* semitones to each side that the harmony stands out of */
    HARMONY_LOW = 36,
    HARMONY_SEMITONES = 60,
    LEVEL_MAX = 127,
};

/* A melody frame whose vector is shorter keeps its length in proportion. */
static const float MELODY_SURE = 0.5F;

/* A song of no sample beyond this is silent: what clips are held against too (-72 dB). */
static const float SILENT = 8.0F / 32768;

struct sequencer {
    struct spectrum_maker *maker;
    struct spectrum spectrum;
    float *classes; /* (spectrum frames, SEQUENCE_CLASSES) */
    size_t cap_classes;
};

const char *aspect_name(enum aspect aspect)
{
    return aspect == ASPECT_HARMONY ? "harmony" : "melody";
}

void sequence_release(struct sequence *s)
{
    mem_free(s->levels);
    *s = (struct sequence){0};
}

uint64_t sequence_spec_hash(void)
{
    char text[256];
    snprintf(text, sizeof text, "sequence 2 rate %d hop %d semitones %d+%d lead %s around %d",
             SEQUENCE_RATE_HZ, SEQUENCE_HOP, SPECTRUM_LOW, SPECTRUM_SEMITONES, LEAD_PLAIN, AROUND);
    return hash64(text, strlen(text), 0);
}

bool sequencer_new(enum simd simd, struct sequencer **out, struct err *e)
{
    struct sequencer *s = mem_zalloc(1, sizeof *s);
    if (!spectrum_maker_new(simd, &s->maker, e)) {
        mem_free(s);
        return false;
    }
    *out = s;
    return true;
}

void sequencer_free(struct sequencer *s)
{
    if (!s)
        return;
    spectrum_maker_free(s->maker);
    spectrum_release(&s->spectrum);
    mem_free(s->classes);
    mem_free(s);
}

/* The mean of POOL frames, made LEVEL_MAX long, or less when it is shorter than `sure`. */
static void pool(const float *frames, float sure, uint8_t out[SEQUENCE_CLASSES])
{
    float mean[SEQUENCE_CLASSES] = {0}, square = 0;
    for (size_t k = 0; k < POOL; k++)
        for (size_t c = 0; c < SEQUENCE_CLASSES; c++)
            mean[c] += frames[k * SEQUENCE_CLASSES + c] / POOL;
    for (size_t c = 0; c < SEQUENCE_CLASSES; c++)
        square += mean[c] * mean[c];
    float length = fmaxf(sqrtf(square), sure);
    for (size_t c = 0; c < SEQUENCE_CLASSES; c++) /* down, so that no frame is longer */
        out[c] = length > 0 ? (uint8_t)(mean[c] / length * LEVEL_MAX) : 0;
}

static void harmony_classes(const struct spectrum *s, float *out)
{
    for (size_t t = 0; t < s->n_frames; t++) {
        const float *x = s->levels + t * SPECTRUM_SEMITONES;
        float *classes = out + t * SEQUENCE_CLASSES;
        memset(classes, 0, SEQUENCE_CLASSES * sizeof *classes);
        for (size_t i = HARMONY_LOW - SPECTRUM_LOW;
             i < HARMONY_LOW - SPECTRUM_LOW + HARMONY_SEMITONES; i++) {
            float around = 0;
            for (size_t k = i - AROUND; k <= i + AROUND; k++)
                around += x[k];
            classes[(i + SPECTRUM_LOW) % SEQUENCE_CLASSES] +=
                fmaxf(0, x[i] - around / (2 * AROUND + 1));
        }
    }
}

static bool check_samples(const float *samples, size_t n_samples, struct err *e)
{
    float most = 0;
    size_t n_frames = n_samples / SEQUENCE_HOP;
    if (n_frames < SEQUENCE_FRAMES_MIN)
        return err_set(e, ERR_PERM, "%.1f s of sound; a comparison needs 5 s",
                       (double)n_samples / SEQUENCE_RATE_HZ);
    if (n_frames > SEQUENCE_FRAMES_MAX)
        return err_set(e, ERR_PERM, "%.0f minutes of sound; at most %.0f are compared",
                       (double)n_samples / SEQUENCE_RATE_HZ / 60,
                       (double)sequence_ms(SEQUENCE_FRAMES_MAX) / 60000);
    for (size_t i = 0; i < n_samples; i++) {
        float x = fabsf(samples[i]);
        if (!(x < 1048576))
            return err_set(e, ERR_PERM, "sample %zu is not finite or beyond 2^20", i);
        most = fmaxf(most, x);
    }
    return most >= SILENT || err_set(e, ERR_PERM, "it is silent: no sample above -72 dB");
}

bool sequencer_run(struct sequencer *s, const float *samples, size_t n_samples,
                   struct sequence *out, struct err *e)
{
    if (!check_samples(samples, n_samples, e))
        return false;
    spectrum_make(s->maker, samples, n_samples, &s->spectrum);
    size_t n = s->spectrum.n_frames / POOL;
    if (s->spectrum.n_frames > s->cap_classes) {
        s->cap_classes = s->spectrum.n_frames;
        s->classes = mem_resize(s->classes, s->cap_classes * SEQUENCE_CLASSES, sizeof *s->classes);
    }
    out->n_frames = (uint32_t)size_min(n, SEQUENCE_FRAMES_MAX);
    out->tuning = s->spectrum.tuning;
    out->levels = mem_resize(out->levels, (size_t)ASPECTS * out->n_frames, SEQUENCE_CLASSES);
    for (size_t aspect = 0; aspect < ASPECTS; aspect++) {
        bool is_melody = aspect == ASPECT_MELODY;
        if (is_melody)
            lead_classes(&s->spectrum, s->classes);
        else
            harmony_classes(&s->spectrum, s->classes);
        for (size_t t = 0; t < out->n_frames; t++)
            pool(s->classes + t * POOL * SEQUENCE_CLASSES, is_melody ? MELODY_SURE : 0,
                 out->levels + (aspect * out->n_frames + t) * SEQUENCE_CLASSES);
    }
    return true;
}
