#include "features/feature.h"

#include "base/mem.h"
#include "features/kind.h"
#include "features/logmel.h"

struct feature_plan {
    const struct feature_kind_functions *kind; /* NULL: logmel */
    struct logmel_plan *logmel;
    void *other;
};

struct feature {
    const struct feature_plan *plan;
    struct logmel *logmel;
    void *other;
};

bool feature_plan_new(const struct feature_spec *spec, struct feature_plan **out, struct err *e)
{
    struct feature_plan p = {0};
    if (spec->kind != NULL)
        p.kind = feature_kind_functions(spec->kind);
    if (!(p.kind != NULL ? p.kind->plan_new(simd_best(), &p.other, e)
                         : logmel_plan_new(spec, &p.logmel, e)))
        return false;
    *out = mem_alloc(1, sizeof **out);
    **out = p;
    return true;
}

void feature_plan_free(struct feature_plan *p)
{
    if (!p)
        return;
    logmel_plan_free(p->logmel);
    if (p->kind != NULL)
        p->kind->plan_free(p->other);
    mem_free(p);
}

struct feature *feature_new(const struct feature_plan *plan)
{
    struct feature *f = mem_zalloc(1, sizeof *f);
    f->plan = plan;
    if (plan->kind != NULL)
        f->other = plan->kind->scratch_new(plan->other);
    else
        f->logmel = logmel_new(plan->logmel);
    return f;
}

void feature_free(struct feature *f)
{
    if (!f)
        return;
    logmel_free(f->logmel);
    if (f->plan->kind != NULL)
        f->plan->kind->scratch_free(f->other);
    mem_free(f);
}

bool feature_compute(struct feature *f, const float *samples, size_t n_samples, float *out,
                     float *out_ref_db, struct err *e)
{
    if (f->plan->kind == NULL)
        return logmel_compute(f->logmel, samples, n_samples, out, out_ref_db, e);
    *out_ref_db = 0;
    return f->plan->kind->compute(f->other, samples, n_samples, out, e);
}
