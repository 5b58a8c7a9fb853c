#include "features/mfcc.h"

#include "base/mem.h"
#include "features/elementary.h"
#include "features/logmel.h"
#include "features/logmel_plan.h"

#include <math.h>

enum { BANDS = 128 };

struct mfcc_plan {
    struct logmel_plan *mel;
    double basis[MFCC_ROWS][BANDS];
};

struct mfcc {
    const struct mfcc_plan *plan;
    struct logmel *mel;
    float *db; /* (n_frames, BANDS) */
    size_t cap_frames;
};

/* scipy.fft.dct(type=2, norm="ortho") */
static void basis_init(double basis[MFCC_ROWS][BANDS])
{
    const double pi = 3.14159265358979323846;
    for (unsigned k = 0; k < MFCC_ROWS; k++)
        for (unsigned i = 0; i < BANDS; i++) {
            unsigned turn = k * (2 * i + 1) % (4 * BANDS); /* of 4 BANDS a turn */
            turn = turn > 2 * BANDS ? 4 * BANDS - turn : turn;
            basis[k][i] =
                sqrt((k == 0 ? 1.0 : 2.0) / BANDS) * elementary_cos(turn * pi / (2 * BANDS));
        }
}

bool mfcc_plan_new(enum simd simd, struct mfcc_plan **out, struct err *e)
{
    struct feature_spec spec = feature_spec_of(FEATURE_LIBROSA_0_10);
    spec.log = FEATURE_LOG_DB;
    assert(spec.n_mels == BANDS && spec.rate_hz == MFCC_RATE_HZ && spec.hop == MFCC_HOP);
    struct mfcc_plan *p = mem_zalloc(1, sizeof *p);
    if (!logmel_plan_new_simd(&spec, simd, &p->mel, e)) {
        mfcc_plan_free(p);
        return false;
    }
    basis_init(p->basis);
    *out = p;
    return true;
}

void mfcc_plan_free(struct mfcc_plan *p)
{
    if (!p)
        return;
    logmel_plan_free(p->mel);
    mem_free(p);
}

struct mfcc *mfcc_new(const struct mfcc_plan *plan)
{
    struct mfcc *s = mem_zalloc(1, sizeof *s);
    s->plan = plan;
    s->mel = logmel_new(plan->mel);
    return s;
}

void mfcc_free(struct mfcc *s)
{
    if (!s)
        return;
    logmel_free(s->mel);
    mem_free(s->db);
    mem_free(s);
}

bool mfcc_compute(struct mfcc *s, const float *samples, size_t n_samples, float *out, struct err *e)
{
    size_t n_frames = 1 + n_samples / MFCC_HOP;
    float ref_db;
    if (n_frames > s->cap_frames) {
        s->db = mem_resize(s->db, n_frames * BANDS, sizeof *s->db);
        s->cap_frames = n_frames;
    }
    if (!logmel_compute(s->mel, samples, n_samples, s->db, &ref_db, e))
        return false;
    for (size_t t = 0; t < n_frames; t++)
        for (size_t k = 0; k < MFCC_ROWS; k++) {
            double sum = 0;
            for (size_t i = 0; i < BANDS; i++)
                sum += (double)s->db[t * BANDS + i] * s->plan->basis[k][i];
            out[t * MFCC_ROWS + k] = (float)sum;
        }
    return true;
}
