#include "features/kind.h"

#include "features/chroma.h"
#include "features/cqt.h"
#include "features/mfcc.h"
#include "features/tempogram.h"

/* The functions of one kind, on pointers without a type. */
#define KIND(kind)                                                                                 \
    static bool kind##_plan_any(enum simd simd, void **out, struct err *e)                         \
    {                                                                                              \
        struct kind##_plan *plan = NULL;                                                           \
        bool ok = kind##_plan_new(simd, &plan, e);                                                 \
        *out = plan;                                                                               \
        return ok;                                                                                 \
    }                                                                                              \
    static void kind##_plan_free_any(void *plan)                                                   \
    {                                                                                              \
        kind##_plan_free(plan);                                                                    \
    }                                                                                              \
    static void *kind##_new_any(const void *plan)                                                  \
    {                                                                                              \
        return kind##_new(plan);                                                                   \
    }                                                                                              \
    static void kind##_free_any(void *scratch)                                                     \
    {                                                                                              \
        kind##_free(scratch);                                                                      \
    }                                                                                              \
    static bool kind##_compute_any(void *scratch, const float *samples, size_t n_samples,          \
                                   float *out, struct err *e)                                      \
    {                                                                                              \
        return kind##_compute(scratch, samples, n_samples, out, e);                                \
    }

KIND(mfcc)
KIND(chroma)
KIND(tempogram)
KIND(cqt)

#define OF(kind)                                                                                   \
    {                                                                                              \
        kind##_plan_any, kind##_plan_free_any, kind##_new_any, kind##_free_any, kind##_compute_any \
    }

/* In the order of feature_kinds. */
static const struct feature_kind_functions functions[FEATURE_KINDS] = {OF(mfcc), OF(chroma),
                                                                       OF(tempogram), OF(cqt)};

const struct feature_kind_functions *feature_kind_functions(const struct feature_kind *kind)
{
    assert(kind >= feature_kinds && kind < feature_kinds + FEATURE_KINDS);
    return &functions[kind - feature_kinds];
}

bool feature_kind_once(const struct feature_kind *kind, enum simd simd, const float *samples,
                       size_t n_samples, float *out, struct err *e)
{
    const struct feature_kind_functions *f = feature_kind_functions(kind);
    void *plan = NULL;
    if (!f->plan_new(simd, &plan, e))
        return false;
    void *scratch = f->scratch_new(plan);
    bool ok = f->compute(scratch, samples, n_samples, out, e);
    f->scratch_free(scratch);
    f->plan_free(plan);
    return ok;
}
