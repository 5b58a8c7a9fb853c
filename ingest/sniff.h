/*
 * Do bytes look like audio? By content alone; what the server called them does not count. Cheap: no
 * decoding, only enough to keep error pages out of the spool.
 */
#ifndef REFRAIN_SNIFF_H
#define REFRAIN_SNIFF_H

#include "ingest/container.h"
#include "ingest/retry.h"

/* Less than this is no preview in any of the formats: a 30 s MP3 at 96 kbit/s is 360,000 bytes. */
enum { SNIFF_BYTES_MIN = 1024 };

/* The beginning of a body, or all of it. SNIFF_AUDIO sets *out; SNIFF_MORE, only when it is not
 * whole, asks again when more has come. What extract does not read (ADTS, MPEG layers I and II) is
 * SNIFF_OTHER here already. */
enum sniff_verdict sniff_begin(struct span body, bool is_whole, enum audio_container *out);

#endif
