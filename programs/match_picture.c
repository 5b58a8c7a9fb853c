#include "programs/match_picture.h"

#include "base/mem.h"
#include "features/logmel.h"
#include "programs/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- similarity */

enum { SIDE_MAX = 480, STACK = 7, DIMS = ASPECTS * SEQUENCE_CLASSES };

/* Frames averaged such that there are at most SIDE_MAX, the classes of each aspect moved up by
 * `shift` and freed of their mean: what is common to a whole song says nothing about a moment. */
static float *pool_frames(const struct sequence *s, int32_t shift, size_t *out_n)
{
    size_t step = (s->n_frames + SIDE_MAX - 1) / SIDE_MAX, n = (s->n_frames + step - 1) / step;
    float *frames = mem_zalloc(n, DIMS * sizeof *frames), mean[DIMS] = {0};
    for (size_t t = 0; t < s->n_frames; t++)
        for (size_t d = 0; d < DIMS; d++) {
            size_t aspect = d / SEQUENCE_CLASSES;
            size_t c = (size_t)((int32_t)(d % SEQUENCE_CLASSES) - shift + 2 * SEQUENCE_CLASSES) %
                       SEQUENCE_CLASSES;
            const uint8_t *levels = sequence_aspect(s, (enum aspect)aspect);
            frames[t / step * DIMS + d] += levels[t * SEQUENCE_CLASSES + c];
        }
    for (size_t i = 0; i < n * DIMS; i++)
        mean[i % DIMS] += frames[i] / (float)n;
    for (size_t i = 0; i < n * DIMS; i++)
        frames[i] -= mean[i % DIMS];
    *out_n = n;
    return frames;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The darkest seven tenths are one black, the brightest three in a thousand one white. */
static void value_range(const float *values, size_t n, float *out_low, float *out_high)
{
    float *sorted = mem_alloc(n, sizeof *sorted);
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    *out_low = sorted[n * 7 / 10];
    *out_high = fmaxf(sorted[n - 1 - n * 3 / 1000], *out_low + 1e-6f);
    mem_free(sorted);
}

/* Cosine of STACK frames in a row from (i, j) on, centred. */
static float stack_cosine(const float *a, size_t n_a, const float *b, size_t n_b, size_t i,
                          size_t j)
{
    float dot = 0, aa = 0, bb = 0;
    for (size_t k = 0; k < STACK; k++) {
        size_t t = i + k, u = j + k;
        if (t < STACK / 2 || u < STACK / 2 || t - STACK / 2 >= n_a || u - STACK / 2 >= n_b)
            continue;
        const float *x = a + (t - STACK / 2) * DIMS, *y = b + (u - STACK / 2) * DIMS;
        for (size_t d = 0; d < DIMS; d++) {
            dot += x[d] * y[d];
            aa += x[d] * x[d];
            bb += y[d] * y[d];
        }
    }
    return aa > 0 && bb > 0 ? dot / sqrtf(aa * bb) : 0;
}

bool match_picture_similarity(const struct match_song *a, const struct match_song *b,
                              int32_t shift_semitones, struct buf *out, struct err *e)
{
    size_t n_a, n_b;
    float low, high;
    float *frames_a = pool_frames(&a->sequence, 0, &n_a);
    float *frames_b = pool_frames(&b->sequence, shift_semitones, &n_b);
    float *values = mem_alloc(n_a * n_b, sizeof *values);
    uint8_t *pixels = mem_alloc(n_a * n_b, 1), palette[PNG_PALETTE_BYTES];
    for (size_t j = 0; j < n_b; j++)
        for (size_t i = 0; i < n_a; i++)
            values[j * n_a + i] = stack_cosine(frames_a, n_a, frames_b, n_b, i, j);
    value_range(values, n_a * n_b, &low, &high);
    for (size_t i = 0; i < n_a * n_b; i++) {
        float share = fminf(fmaxf((values[i] - low) / (high - low), 0), 1);
        pixels[i] = (uint8_t)lrintf(255 * share);
    }
    picture_palette(palette);
    struct png picture = {
        .width = (uint32_t)n_a, .height = (uint32_t)n_b, .pixels = pixels, .palette = palette};
    bool ok = png_encode(&picture, out, e);
    mem_free(frames_a);
    mem_free(frames_b);
    mem_free(values);
    mem_free(pixels);
    return ok;
}

/* ---------------------------------------------------------------- spectrogram */

bool match_picture_spectrogram(const struct match_song *s, const struct feature_spec *spec,
                               struct buf *out, struct err *e)
{
    struct logmel_plan *plan = NULL;
    struct logmel *logmel = NULL;
    float *values = NULL, ref_db;
    double low, high;
    bool ok = false;
    if (!logmel_plan_new(spec, &plan, e))
        return false;
    logmel = logmel_new(plan);
    size_t n_frames = feature_n_frames(spec, s->n_samples);
    values = mem_alloc_aligned(size_max(n_frames, 1) * spec->n_mels, sizeof *values);
    if (!logmel_compute(logmel, s->samples, s->n_samples, values, &ref_db, e))
        goto out;
    picture_range(spec, values, n_frames * spec->n_mels, &low, &high);
    ok = picture_spectrogram(values, (uint32_t)n_frames, spec->n_mels, low, high, out, e);
out:
    mem_free(values);
    logmel_free(logmel);
    logmel_plan_free(plan);
    return ok;
}
