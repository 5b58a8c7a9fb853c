#include "match/match.h"

#include "base/mem.h"

const char *match_aspect_name(enum match_aspect aspect)
{
    static const char *const names[] = {
        [MATCH_HARMONY] = "harmony", [MATCH_MELODY] = "melody", [MATCH_BOTH] = "both"};
    return names[aspect];
}

void match_release(struct match *m)
{
    mem_free(m->path);
    *m = (struct match){0};
}

static uint64_t covered_ms(const struct match *m, bool of_a, double evalue)
{
    uint64_t covered = 0, end = 0;
    for (;;) { /* by where they begin; there are eight at most */
        uint64_t next_from = UINT64_MAX, next_to = 0;
        for (size_t i = 0; i < m->n_segments; i++) {
            const struct segment *s = &m->segments[i];
            uint64_t from = u64_max(end, of_a ? s->a_from_ms : s->b_from_ms);
            uint64_t to = of_a ? s->a_to_ms : s->b_to_ms;
            if (s->evalue <= evalue && to > from && from < next_from) {
                next_from = from;
                next_to = to;
            }
        }
        if (next_to == 0)
            return covered;
        covered += next_to - next_from;
        end = next_to;
    }
}

double match_shared_part(const struct match *m, uint64_t a_ms, uint64_t b_ms, double evalue)
{
    uint64_t covered = u64_min(covered_ms(m, true, evalue), covered_ms(m, false, evalue));
    return (double)covered / (double)u64_max(1, u64_min(a_ms, b_ms));
}
