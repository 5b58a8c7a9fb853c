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
