#include "train/chroma_fold.h"

#include <math.h>
#include <string.h>

static const double FROM_HZ = 500.0, TO_HZ = 4000.0, A4_HZ = 440.0;
enum { A4_CLASS = 9 };

bool chroma_fold_init(struct chroma_fold *f, const struct chroma_bands *bands)
{
    double sums[CHROMA_CLASSES] = {0};
    *f = (struct chroma_fold){.units_per_decade = bands->units_per_decade};
    for (uint32_t m = 0; m < bands->n; m++) {
        double hz = bands->centre_hz[m];
        if (hz < FROM_HZ || hz >= TO_HZ)
            continue;
        if (f->n_bands == 0)
            f->first_band = m;
        double pitch = CHROMA_CLASSES * log2(hz / A4_HZ) + A4_CLASS, below = floor(pitch);
        size_t low = (size_t)below % CHROMA_CLASSES, high = (low + 1) % CHROMA_CLASSES;
        f->weights[low][f->n_bands] = 1.0 - (pitch - below);
        f->weights[high][f->n_bands] = pitch - below;
        sums[low] += 1.0 - (pitch - below);
        sums[high] += pitch - below;
        f->n_bands++;
    }
    for (size_t c = 0; c < CHROMA_CLASSES; c++) {
        if (sums[c] <= 0.0)
            return false;
        for (uint32_t m = 0; m < f->n_bands; m++)
            f->weights[c][m] /= sums[c];
    }
    return true;
}

void chroma_fold_picture(const struct chroma_fold *f, const float *picture, uint32_t n_frames,
                         uint32_t n_mels, float *out)
{
    assert(f->first_band + f->n_bands <= n_mels);
    for (uint32_t t = 0; t < n_frames; t++) {
        const float *frame = picture + (size_t)t * n_mels + f->first_band;
        double power[RECORD_MELS_MAX], classes[CHROMA_CLASSES] = {0}, top = 0.0;
        for (uint32_t m = 0; m < f->n_bands; m++)
            power[m] = pow(10.0, (double)frame[m] / f->units_per_decade);
        for (size_t c = 0; c < CHROMA_CLASSES; c++) {
            for (uint32_t m = 0; m < f->n_bands; m++)
                classes[c] += f->weights[c][m] * power[m];
            top = fmax(top, classes[c]);
        }
        for (size_t c = 0; c < CHROMA_CLASSES; c++)
            out[(size_t)t * CHROMA_CLASSES + c] = (float)(classes[c] / fmax(top, 1e-300));
    }
}

/* y's class c + by is compared with x's class c. */
static double rotated_squares(const float *x, const float *y, size_t n_frames, size_t by)
{
    double lanes[CHROMA_CLASSES] = {0}, sum = 0.0;
    for (size_t t = 0; t < n_frames; t++, x += CHROMA_CLASSES, y += CHROMA_CLASSES) {
        float turned[CHROMA_CLASSES];
        memcpy(turned, y + by, (CHROMA_CLASSES - by) * sizeof *turned);
        memcpy(turned + CHROMA_CLASSES - by, y, by * sizeof *turned);
        for (size_t c = 0; c < CHROMA_CLASSES; c++) {
            double diff = (double)x[c] - (double)turned[c];
            lanes[c] += diff * diff;
        }
    }
    for (size_t c = 0; c < CHROMA_CLASSES; c++)
        sum += lanes[c];
    return sum;
}

double chroma_fold_distance(const float *x, const float *y, size_t n_frames)
{
    double least = (double)INFINITY;
    for (size_t by = 0; by < CHROMA_CLASSES; by++)
        least = fmin(least, rotated_squares(x, y, n_frames, by));
    return sqrt(least);
}
