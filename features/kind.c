#include "features/kind.h"

#include "features/chroma.h"
#include "features/cqt.h"
#include "features/mfcc.h"
#include "features/tempogram.h"

#include <string.h>

static bool mfcc_once(enum simd simd, const float *samples, size_t n_samples, float *out,
                      struct err *e)
{
    struct mfcc_plan *plan = NULL;
    if (!mfcc_plan_new(simd, &plan, e))
        return false;
    struct mfcc *s = mfcc_new(plan);
    bool ok = mfcc_compute(s, samples, n_samples, out, e);
    mfcc_free(s);
    mfcc_plan_free(plan);
    return ok;
}

static bool chroma_once(enum simd simd, const float *samples, size_t n_samples, float *out,
                        struct err *e)
{
    struct chroma_plan *plan = NULL;
    if (!chroma_plan_new(simd, &plan, e))
        return false;
    struct chroma *s = chroma_new(plan);
    bool ok = chroma_compute(s, samples, n_samples, out, e);
    chroma_free(s);
    chroma_plan_free(plan);
    return ok;
}

static bool tempogram_once(enum simd simd, const float *samples, size_t n_samples, float *out,
                           struct err *e)
{
    struct tempogram_plan *plan = NULL;
    if (!tempogram_plan_new(simd, &plan, e))
        return false;
    struct tempogram *s = tempogram_new(plan);
    bool ok = tempogram_compute(s, samples, n_samples, out, e);
    tempogram_free(s);
    tempogram_plan_free(plan);
    return ok;
}

static bool cqt_once(enum simd simd, const float *samples, size_t n_samples, float *out,
                     struct err *e)
{
    struct cqt_plan *plan = NULL;
    if (!cqt_plan_new(simd, &plan, e))
        return false;
    struct cqt *s = cqt_new(plan);
    bool ok = cqt_compute(s, samples, n_samples, out, e);
    cqt_free(s);
    cqt_plan_free(plan);
    return ok;
}

const struct feature_kind feature_kinds[] = {
    {"mfcc", "coefficients", MFCC_ROWS, MFCC_RATE_HZ, MFCC_HOP, mfcc_once},
    {"chroma", "pitch classes", CHROMA_ROWS, CHROMA_RATE_HZ, CHROMA_HOP, chroma_once},
    {"tempogram", "lags", TEMPOGRAM_ROWS, TEMPOGRAM_RATE_HZ, TEMPOGRAM_HOP, tempogram_once},
    {"cqt", "bins", CQT_ROWS, CQT_RATE_HZ, CQT_HOP, cqt_once},
};
const size_t feature_n_kinds = ARRAY_LEN(feature_kinds);

const struct feature_kind *feature_kind_find(const char *name)
{
    for (size_t i = 0; i < feature_n_kinds; i++)
        if (strcmp(name, feature_kinds[i].name) == 0)
            return &feature_kinds[i];
    return NULL;
}
