#include "train/norm.h"

#include "base/mem.h"
#include "base/permute.h"

#include <math.h>
#include <string.h>

bool norm_measure(struct store *s, const struct store_snapshot *snap,
                  const struct split_side *train, uint64_t seed, struct norm *out, struct err *e)
{
    size_t n_sample = size_min(train->n_clips, NORM_SAMPLE_CLIPS), mels = snap->n_mels;
    size_t picture = (size_t)snap->n_frames * mels;
    float *x = mem_alloc(NORM_BATCH * picture, sizeof *x);
    double *sum = mem_zalloc(2 * mels, sizeof *sum), *squares = sum + mels;
    uint64_t keys[NORM_BATCH];
    bool ok = false;
    for (size_t done = 0; done < n_sample;) {
        size_t n = size_min(NORM_BATCH, n_sample - done);
        for (size_t i = 0; i < n; i++) {
            const struct clip_entry *clip =
                &train->clips[permute_at(seed, 0, train->n_clips, done + i)];
            keys[i] = snap->keys[clip->first + (done + i) % 2];
        }
        if (!store_read_batch(s, keys, n, snap->n_frames, snap->n_mels, x, e))
            goto out;
        for (size_t i = 0; i < n * snap->n_frames; i++) {
            for (size_t m = 0; m < mels; m++) {
                double v = (double)x[i * mels + m];
                sum[m] += v;
                squares[m] += v * v;
            }
        }
        done += n;
    }
    out->n_mels = snap->n_mels;
    double count = (double)n_sample * snap->n_frames;
    for (size_t m = 0; m < mels; m++) {
        double mean = sum[m] / count, var = squares[m] / count - mean * mean;
        if (!isfinite(mean) || !isfinite(var)) {
            err_set(e, ERR_PERM,
                    "mel band %zu of the training clips has a value that is not a "
                    "finite number: run `refrain store verify`",
                    m);
            goto out;
        }
        out->mean_db[m] = (float)mean;
        out->std_db[m] = (float)fmax(sqrt(fmax(var, 0.0)), NORM_STD_MIN_DB);
    }
    ok = true;
out:
    mem_free(x);
    mem_free(sum);
    return ok;
}

bool norm_apply(const struct norm *norm, float *pictures, size_t n, size_t n_frames,
                size_t *out_bad)
{
    size_t mels = norm->n_mels;
    float inverse[RECORD_MELS_MAX];
    for (size_t m = 0; m < mels; m++)
        inverse[m] = 1.0f / norm->std_db[m];
    for (size_t i = 0; i < n; i++) {
        float check = 0.0f; /* 0 * x is NaN exactly when x is not finite */
        for (size_t f = 0; f < n_frames; f++) {
            float *row = pictures + (i * n_frames + f) * mels;
            float row_check = 0.0f;
            for (size_t m = 0; m < mels; m++) {
                row[m] = (row[m] - norm->mean_db[m]) * inverse[m];
                row_check += 0.0f * row[m];
            }
            check += row_check;
        }
        if (isnan(check)) {
            *out_bad = i;
            return false;
        }
    }
    return true;
}
