#include "features/logmel.h"

#include "base/mem.h"
#include "features/db.h"
#include "features/logmel_plan.h"
#include "features/mel.h"
#include "features/stft.h"

#include <math.h>
#include <stdio.h>

struct logmel_plan {
    struct feature_spec spec;
    struct stft_plan stft;
    struct mel_bank bank;
    enum simd simd;
};

struct logmel {
    const struct logmel_plan *plan;
    struct stft stft;
    struct lane_f32 *power; /* (n_bins), eight frames */
    struct lane_f32 *mel;   /* (n_mels), eight frames */
};

bool logmel_plan_new_simd(const struct feature_spec *spec, enum simd simd, struct logmel_plan **out,
                          struct err *e)
{
    if (!feature_spec_check(spec, e))
        return false;
    struct logmel_plan *p = mem_zalloc(1, sizeof *p);
    p->spec = *spec;
    p->simd = simd;
    const struct stft_form form = {spec->n_fft, spec->hop,    spec->win,
                                   spec->pad,   spec->window, spec->frame};
    if (!stft_plan_init_as(&p->stft, &form, simd, e) ||
        !mel_bank_init_as(&p->bank, spec->rate_hz, spec->n_fft, spec->n_mels, spec->f_min_hz,
                          feature_f_max_hz(spec), spec->mel, spec->norm, e)) {
        logmel_plan_free(p);
        return false;
    }
    *out = p;
    return true;
}

bool logmel_plan_new(const struct feature_spec *spec, struct logmel_plan **out, struct err *e)
{
    return logmel_plan_new_simd(spec, simd_best(), out, e);
}

void logmel_plan_free(struct logmel_plan *p)
{
    if (!p)
        return;
    stft_plan_release(&p->stft);
    mel_bank_release(&p->bank);
    mem_free(p);
}

struct logmel *logmel_new(const struct logmel_plan *plan)
{
    struct logmel *m = mem_zalloc(1, sizeof *m);
    m->plan = plan;
    stft_init(&m->stft, &plan->stft);
    m->power = mem_alloc_aligned(plan->stft.n_bins, sizeof *m->power);
    m->mel = mem_alloc_aligned(plan->bank.n_bands, sizeof *m->mel);
    return m;
}

void logmel_free(struct logmel *m)
{
    if (!m)
        return;
    stft_release(&m->stft);
    mem_free(m->power);
    mem_free(m->mel);
    mem_free(m);
}

/* Larger samples could overflow a float when a bin of 2^17 of them is squared; infinity and NaN lie
 * beyond in the order of bits. */
static const float SAMPLE_MAX = 0x1p40f;
static const int32_t SAMPLE_MAX_BITS = 0x53800000;

/* Flags gather without a branch in the loop. */
LANE_BODY void beyond_body(const float *samples, size_t n_blocks, int32_t flags[LANES])
{
    for (size_t i = 0; i < n_blocks; i++, samples += LANES) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            int32_t bits;
            memcpy(&bits, &samples[l], sizeof bits);
            flags[l] |= (bits & 0x7fffffff) > SAMPLE_MAX_BITS;
        }
    }
}
LANE_VERSIONS(beyond, (const float *samples, size_t n_blocks, int32_t flags[LANES]),
              (samples, n_blocks, flags))

bool logmel_check_samples(enum simd simd, const float *samples, size_t n_samples, struct err *e)
{
    int32_t flags[LANES] = {0};
    size_t n_blocks = n_samples / LANES;
    LANE_CALL(simd, beyond, (samples, n_blocks, flags));
    size_t first = n_blocks * LANES; /* of what is to be looked at one by one */
    for (size_t l = 0; l < LANES; l++)
        if (flags[l])
            first = 0;
    for (size_t i = first; i < n_samples; i++)
        if (!(fabsf(samples[i]) <= SAMPLE_MAX))
            return err_set(e, ERR_PERM, "sample %zu of %zu is %g, outside -2^40 to 2^40", i,
                           n_samples, (double)samples[i]);
    return true;
}

/* Frames that the signal has, of those that the picture has. */
static size_t frames_there(const struct logmel_plan *p, size_t n_samples)
{
    return size_min(stft_n_frames(&p->stft, n_samples), feature_n_frames(&p->spec, n_samples));
}

void logmel_power(struct logmel *m, const float *samples, size_t n_samples, float *out)
{
    const struct logmel_plan *p = m->plan;
    size_t n_frames = frames_there(p, n_samples), n_mels = p->bank.n_bands;
    for (size_t frame_i = 0; frame_i < n_frames; frame_i += LANES) {
        stft_power(&m->stft, samples, n_samples, frame_i, m->power);
        mel_apply(&p->bank, p->simd, m->power, m->mel);
        size_t n_here = size_min(LANES, n_frames - frame_i);
        const float *mel = (const float *)m->mel;
        for (size_t l = 0; l < n_here; l++)
            for (size_t i = 0; i < n_mels; i++)
                out[(frame_i + l) * n_mels + i] = mel[i * LANES + l];
    }
}

static bool length_check(const struct logmel_plan *p, size_t n_samples, struct err *e)
{
    if (p->spec.pad == FEATURE_PAD_REFLECT && n_samples <= p->spec.n_fft / 2)
        return err_set(e, ERR_PERM, "%zu samples are too few to reflect %u at each end", n_samples,
                       p->spec.n_fft / 2);
    if (frames_there(p, n_samples) == 0)
        return err_set(e, ERR_PERM, "%zu samples are too few for a frame", n_samples);
    return true;
}

/* The mean and twice the standard deviation of AudioSet, by which ASTFeatureExtractor normalises.
 * Frames that fill the picture up are zeros before that. */
static void ast_normalise(float *values, size_t n_there, size_t n_values)
{
    const float mean = -4.2677393F, deviations = 2 * 4.5689974F;
    for (size_t i = 0; i < n_values; i++)
        values[i] = ((i < n_there ? values[i] : 0) - mean) / deviations;
}

bool logmel_compute(struct logmel *m, const float *samples, size_t n_samples, float *out,
                    float *out_ref_db, struct err *e)
{
    const struct logmel_plan *p = m->plan;
    if (!logmel_check_samples(p->simd, samples, n_samples, e) || !length_check(p, n_samples, e))
        return false;
    logmel_power(m, samples, n_samples, out);
    size_t n_values = feature_n_frames(&p->spec, n_samples) * p->bank.n_bands;
    size_t n_there = frames_there(p, n_samples) * p->bank.n_bands;
    *out_ref_db = 0;
    switch (p->spec.log) {
    case FEATURE_LOG_DB_MAX:
        *out_ref_db = db_from_power(out, n_values, p->spec.top_db, p->simd);
        break;
    case FEATURE_LOG_DB:
        db_absolute_from_power(out, n_values, p->spec.top_db, p->simd);
        break;
    case FEATURE_LOG_AST:
        db_ln_from_power(out, n_there, p->simd);
        ast_normalise(out, n_there, n_values);
        break;
    case FEATURE_LOG_WHISPER:
        db_whisper_from_power(out, n_values, p->simd);
        break;
    }
    return true;
}
