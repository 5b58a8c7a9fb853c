#include "ingest/pace.h"

void pace_init(struct pace *p, uint32_t max, uint64_t quiet_ns)
{
    assert(max >= 1);
    *p = (struct pace){.max = max, .level = max, .ceiling = max, .quiet_ns = quiet_ns};
}

void pace_refused(struct pace *p, uint32_t in_use, uint64_t now_ns)
{
    uint64_t failed = u64_max(1, u64_min(p->level, in_use));
    p->ceiling = (uint32_t)u64_max(1, failed - 1);
    p->level = (uint32_t)u64_max(1, u64_min(failed * 7 / 10, p->ceiling));
    p->changed_ns = p->ceiling_ns = now_ns;
}

bool pace_answered(struct pace *p, uint64_t now_ns)
{
    if (p->level == p->max || now_ns < p->changed_ns + p->quiet_ns)
        return false;
    if (p->level == p->ceiling) {
        if (now_ns < p->ceiling_ns + PACE_PROBE_NS)
            return false;
        p->ceiling++;
        p->ceiling_ns = now_ns;
    }
    p->level += (uint32_t)u64_max(1, (p->ceiling - p->level) / 4);
    p->changed_ns = now_ns;
    return true;
}

/* Times before the clock began count as its beginning. */
void pace_recall(struct pace *p, uint32_t level, uint32_t ceiling, uint64_t age_ns, uint64_t now_ns)
{
    p->ceiling = (uint32_t)u64_max(1, u64_min(ceiling, p->max));
    p->level = (uint32_t)u64_max(1, u64_min(level, p->ceiling));
    p->changed_ns = now_ns;
    p->ceiling_ns = now_ns > age_ns ? now_ns - age_ns : 0;
}
