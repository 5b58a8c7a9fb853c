#include "train/jitter.h"

#include "base/hash.h"
#include "base/rng.h"

#include <string.h>

enum { RNG_JITTER = 0x6a697474 /* "jitt" */ };

/* Ranges: a floor from inaudible to that of 5 dB SNR music; a tilt as of other loudspeakers; mel
 * steps of about a semitone each in the upper half; masks of at most a tenth. */
#define FLOOR_CHANCE 0.5
#define FLOOR_LO_DB (-55.0)
#define FLOOR_HI_DB (-20.0)
#define FLOOR_NOISE_DB 5.0f
#define TILT_DB 6.0
#define SHIFT_BANDS 2
#define MASK_SHARE 0.1

/* White noise is about flat on the Slaney-normalised mel scale and adds power; the larger of the
 * two is within 3 dB of the sum. */
static void raise_floor(struct rng *r, float *x, size_t count)
{
    float level = (float)rng_range(r, FLOOR_LO_DB, FLOOR_HI_DB);
    for (size_t i = 0; i < count; i += 4) {
        uint32_t bits = rng_u32(r);
        for (size_t k = 0; k < 4 && i + k < count; k++) {
            float noise = level - FLOOR_NOISE_DB * (float)(bits >> (8 * k) & 0xff) / 255.0f;
            x[i + k] = x[i + k] > noise ? x[i + k] : noise;
        }
    }
}

static void tilt(struct rng *r, float *x, size_t n_frames, size_t n_mels)
{
    float low = (float)rng_range(r, -TILT_DB, TILT_DB),
          high = (float)rng_range(r, -TILT_DB, TILT_DB);
    for (size_t f = 0; f < n_frames; f++)
        for (size_t m = 0; m < n_mels; m++)
            x[f * n_mels + m] += low + (high - low) * (float)m / (float)n_mels;
}

/* Bands that come in at the edge repeat the edge's. */
static void shift_bands(struct rng *r, float *x, size_t n_frames, size_t n_mels)
{
    size_t by = rng_below(r, SHIFT_BANDS + 1);
    bool up = rng_below(r, 2) == 1;
    if (by == 0 || n_mels <= SHIFT_BANDS)
        return;
    for (size_t f = 0; f < n_frames; f++) {
        float *row = x + f * n_mels;
        memmove(up ? row + by : row, up ? row : row + by, (n_mels - by) * sizeof *row);
        for (size_t k = 0; k < by; k++)
            row[up ? k : n_mels - 1 - k] = up ? row[by] : row[n_mels - 1 - by];
    }
}

static void mask(struct rng *r, float *x, size_t n_frames, size_t n_mels, const float *fill_db)
{
    size_t bands = rng_below(r, (uint64_t)(MASK_SHARE * (double)n_mels) + 1);
    size_t frames = rng_below(r, (uint64_t)(MASK_SHARE * (double)n_frames) + 1);
    size_t first_band = rng_below(r, n_mels - bands + 1);
    size_t first_frame = rng_below(r, n_frames - frames + 1);
    for (size_t f = 0; f < n_frames; f++)
        memcpy(x + f * n_mels + first_band, fill_db + first_band, bands * sizeof *x);
    for (size_t f = first_frame; f < first_frame + frames; f++)
        memcpy(x + f * n_mels, fill_db, n_mels * sizeof *x);
}

void jitter_apply(uint64_t seed, uint64_t step, uint64_t picture_i, float *picture,
                  uint32_t n_frames, uint32_t n_mels, const float *fill_db)
{
    struct rng r;
    rng_init(&r, seed ^ hash_mix64(step), RNG_JITTER, picture_i);
    shift_bands(&r, picture, n_frames, n_mels);
    tilt(&r, picture, n_frames, n_mels);
    if (rng_uniform(&r) < FLOOR_CHANCE)
        raise_floor(&r, picture, (size_t)n_frames * n_mels);
    mask(&r, picture, n_frames, n_mels, fill_db);
}
