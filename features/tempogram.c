#include "features/tempogram.h"

#include "base/mem.h"
#include "features/elementary.h"
#include "features/fft.h"
#include "features/logmel.h"
#include "features/logmel_plan.h"

#include <float.h>
#include <math.h>

/* FFT_N holds a window's autocorrelation without wrapping: at least 2 * 384 - 1. */
enum { BANDS = 128, WINDOW = TEMPOGRAM_ROWS, FFT_N = 1024 };
/* An onset is the rise from the frame before (1), and stands where the window's middle met it: a
 * frame of 2048 samples begins 2 hops before. */
enum { ONSET_DELAY = 1 + 2 };

struct tempogram_plan {
    struct logmel_plan *mel;
    struct fft_plan fft;
    double window[WINDOW];
    enum simd simd;
};

struct tempogram {
    const struct tempogram_plan *plan;
    struct logmel *mel;
    struct lane_cpx *work, *bins;
    struct lane_f64 *frames;
    float *db; /* (n_frames, BANDS) */
    double *onsets;
    size_t cap_frames;
};

bool tempogram_plan_new(enum simd simd, struct tempogram_plan **out, struct err *e)
{
    const double pi = 3.14159265358979323846;
    struct feature_spec spec = feature_spec_of(FEATURE_LIBROSA_0_10);
    spec.log = FEATURE_LOG_DB;
    assert(spec.n_mels == BANDS && spec.rate_hz == TEMPOGRAM_RATE_HZ);
    assert(spec.hop == TEMPOGRAM_HOP && spec.n_fft == 4 * TEMPOGRAM_HOP);
    struct tempogram_plan *p = mem_zalloc(1, sizeof *p);
    p->simd = simd;
    if (!logmel_plan_new_simd(&spec, simd, &p->mel, e) || !fft_plan_init(&p->fft, FFT_N, simd, e)) {
        tempogram_plan_free(p);
        return false;
    }
    for (unsigned i = 0; i < WINDOW; i++)
        p->window[i] = 0.5 + 0.5 * elementary_cos(i * (2 * pi / WINDOW) - pi);
    *out = p;
    return true;
}

void tempogram_plan_free(struct tempogram_plan *p)
{
    if (!p)
        return;
    logmel_plan_free(p->mel);
    fft_plan_release(&p->fft);
    mem_free(p);
}

struct tempogram *tempogram_new(const struct tempogram_plan *plan)
{
    struct tempogram *s = mem_zalloc(1, sizeof *s);
    s->plan = plan;
    s->mel = logmel_new(plan->mel);
    s->work = mem_alloc_aligned(FFT_N / 2, sizeof *s->work);
    s->bins = mem_alloc_aligned(FFT_N / 2 + 1, sizeof *s->bins);
    s->frames = mem_alloc_aligned(FFT_N, sizeof *s->frames);
    return s;
}

void tempogram_free(struct tempogram *s)
{
    if (!s)
        return;
    logmel_free(s->mel);
    mem_free(s->work);
    mem_free(s->bins);
    mem_free(s->frames);
    mem_free(s->db);
    mem_free(s->onsets);
    mem_free(s);
}

/* librosa.onset.onset_strength, with half a window on each side that rises from 0 and falls to it
 * in a straight line. */
static void onsets_make(struct tempogram *s, size_t n_frames)
{
    const size_t side = WINDOW / 2;
    double *onsets = s->onsets + side;
    for (size_t t = 0; t < n_frames; t++) {
        onsets[t] = 0;
        if (t < ONSET_DELAY)
            continue;
        const float *before = s->db + (t - ONSET_DELAY) * BANDS, *now = before + BANDS;
        double sum = 0;
        for (size_t i = 0; i < BANDS; i++)
            sum += (double)fmaxf(now[i] - before[i], 0);
        onsets[t] = (double)(float)(sum / BANDS);
    }
    for (size_t i = 0; i < side; i++) {
        s->onsets[i] = onsets[0] * ((double)i / (double)side);
        onsets[n_frames + i] = onsets[n_frames - 1] * ((double)(side - 1 - i) / (double)side);
    }
}

/* Frames t to t + 7, one a lane, zeros behind each: power spectrum, and that transformed back. */
static void autocorrelate(struct tempogram *s, size_t t, size_t n_frames)
{
    const struct tempogram_plan *p = s->plan;
    const size_t step = FFT_N / 16;
    for (size_t i = 0; i < step; i++)
        for (size_t l = 0; l < LANES; l++) {
            const double *frame = s->onsets + size_min(t + l, n_frames - 1);
            double x[8] = {0}; /* i + j step; the upper half of the transform is zeros */
            for (size_t j = 0; i + j * step < WINDOW; j++)
                x[j] = frame[i + j * step] * p->window[i + j * step];
            struct fft_two leaf[4];
            for (size_t c = 0; c < 4; c++)
                leaf[c] = fft_leaf(x[c], x[c + 4], 0, 0);
            fft_first(s->work + p->fft.first_slot[i], l, leaf[0], leaf[1], leaf[2], leaf[3],
                      p->fft.levels[0].twiddles);
        }
    fft_forward(&p->fft, s->work);
    for (size_t k = 0; k <= FFT_N / 2; k++)
        for (size_t l = 0; l < LANES; l++) {
            bool is_end = k == 0 || k == FFT_N / 2;
            const struct lane_cpx *x = &s->work[is_end ? 0 : p->fft.bin_slot[k]];
            double re = k == FFT_N / 2 ? x->im[l] : x->re[l], im = is_end ? 0 : x->im[l];
            s->bins[k].re[l] = re * re + im * im;
            s->bins[k].im[l] = 0;
        }
    fft_inverse(&p->fft, s->bins, s->work, s->frames);
}

bool tempogram_compute(struct tempogram *s, const float *samples, size_t n_samples, float *out,
                       struct err *e)
{
    static_assert(FFT_N / 4 <= WINDOW && WINDOW <= FFT_N / 2, "two quarters hold a window");
    size_t n_frames = 1 + n_samples / TEMPOGRAM_HOP;
    float ref_db;
    if (n_frames > s->cap_frames) {
        s->db = mem_resize(s->db, n_frames * BANDS, sizeof *s->db);
        s->onsets = mem_resize(s->onsets, n_frames + WINDOW, sizeof *s->onsets);
        s->cap_frames = n_frames;
    }
    if (!logmel_compute(s->mel, samples, n_samples, s->db, &ref_db, e))
        return false;
    onsets_make(s, n_frames);
    for (size_t t = 0; t < n_frames; t += LANES) {
        autocorrelate(s, t, n_frames);
        for (size_t l = 0; l < LANES && t + l < n_frames; l++) {
            double most = 0;
            for (size_t i = 0; i < WINDOW; i++)
                most = fmax(most, fabs(s->frames[i].at[l]));
            if (most < DBL_MIN) /* librosa.util.normalize leaves what is nothing as it is */
                most = 1;
            for (size_t i = 0; i < WINDOW; i++)
                out[(t + l) * TEMPOGRAM_ROWS + i] = (float)(s->frames[i].at[l] / most);
        }
    }
    return true;
}
