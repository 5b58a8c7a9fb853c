/*
 * Is a song that a search found the song that a row of the catalogue names? Titles and artists are
 * compared as people mean them: without case, accents, punctuation and "(Remastered 2011)", with
 * "(Live)" and "(Remix)" as the different recordings they are; and by duration.
 *
 * The score is in thousandths: 550 for the title, 350 for the artist, 100 for the duration. It is 0
 * when any of them alone says that it is another song.
 */
#ifndef REFRAIN_TITLE_H
#define REFRAIN_TITLE_H

#include "base/base.h"

enum { TITLE_BYTES = 256, TITLE_TOLERANCE_MS = 3000 };

struct song {
    char title[TITLE_BYTES];  /* words of letters and digits, one blank between */
    char artist[TITLE_BYTES]; /* the same */
    uint32_t versions;        /* kinds of recording that the title names: live, remix, ... */
    uint32_t duration_ms;     /* 0: not known */
};

/* Any bytes will do. Texts longer than TITLE_BYTES are cut. */
void song_init(struct song *s, const char *title, const char *artist, uint32_t duration_ms);

/* 0, or how well `found` is what is wanted. `grain_ms` is the unit in which its duration is given.
 */
uint16_t song_score(const struct song *wanted, const struct song *found, uint32_t grain_ms);

/* Equal for artists that differ in case, accents or punctuation only. */
uint64_t title_artist_key(const char *artist);

#endif
