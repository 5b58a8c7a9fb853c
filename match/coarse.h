/*
 * Songs at a quarter of the time resolution, for the first pass of a search: their melodies alone,
 * COARSE_SONGS of about the same length side by side, so that one vector instruction works on as
 * many songs. A score is that of the best path, as align.h has it, in the best of all twelve
 * transpositions.
 */
#ifndef REFRAIN_COARSE_H
#define REFRAIN_COARSE_H

#include "match/align.h"

enum {
    COARSE_POOL = 4,        /* frames that one here stands for */
    COARSE_SONGS = 32,      /* of a group */
    COARSE_FRAMES_MAX = 96, /* coarse frames, 53 s: longer songs have no group */
    COARSE_QUERY_MAX = 320, /* the same, 3 minutes: longer queries meet songs one by one */
};

/* Means of COARSE_POOL frames, as long as a frame may be where the melody is sure; what is left
 * over at the end is dropped. coarse_frames(n): how many. out: (coarse_frames(in->n_frames),
 * SEQUENCE_CLASSES). */
static inline uint32_t coarse_frames(uint32_t n_frames)
{
    return n_frames / COARSE_POOL;
}
void coarse_make(const struct sequence *in, uint8_t *out);

/* Whether songs of so many (fine) frames come in groups, and whether queries meet those. */
bool coarse_is_grouped(uint32_t n_frames);
bool coarse_meets_groups(uint32_t n_frames);

struct coarse_group {
    size_t n_songs;
    uint32_t songs[COARSE_SONGS];    /* their numbers, by whom the plan was made */
    uint32_t n_frames[COARSE_SONGS]; /* coarse ones; of songs that are not there 0 */
    uint32_t n_frames_max;
    size_t
        levels_at; /* in the bytes of all groups: (n_frames_max, SEQUENCE_CLASSES, COARSE_SONGS) */
};

/* Which songs are together, by the lengths of all: a function of them alone. */
struct coarse_plan {
    size_t n_groups, n_singles, levels_bytes;
    struct coarse_group *groups;
    uint32_t *singles; /* songs that have no group */
};
void coarse_plan_init(struct coarse_plan *p, const uint32_t *n_frames, size_t n_songs);
void coarse_plan_release(struct coarse_plan *p); /* safe on {0}, may run twice */

static inline size_t coarse_group_bytes(const struct coarse_group *g)
{
    return (size_t)g->n_frames_max * SEQUENCE_CLASSES * COARSE_SONGS;
}

/* Puts a song's coarse frames into its place of its group's levels, which are zero before. */
void coarse_group_put(const struct coarse_group *g, size_t place, const uint8_t *frames,
                      uint8_t *levels);

struct coarse_scorer; /* one thread's scratch */
struct coarse_scorer *coarse_scorer_new(enum simd simd);
void coarse_scorer_free(struct coarse_scorer *s);

/* frames: coarse ones of the query, (n_frames, SEQUENCE_CLASSES), ALIGN_STACK to COARSE_QUERY_MAX
 * of them, borrowed until the next call. */
void coarse_scorer_set_query(struct coarse_scorer *s, const uint8_t *frames, uint32_t n_frames);

/* levels: the group's. The best score of each song, in ALIGN_UNITs; 0 where there is none. */
void coarse_scorer_run(struct coarse_scorer *s, const struct coarse_group *g, const uint8_t *levels,
                       int16_t scores[COARSE_SONGS]);

#endif
