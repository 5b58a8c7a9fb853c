/*
 * Do bytes look like audio? By content alone; what the server called them does not count. Cheap: no
 * decoding, only enough to keep error pages out of the spool.
 */
#ifndef REFRAIN_SNIFF_H
#define REFRAIN_SNIFF_H

#include "ingest/retry.h"

/* Less than this is no preview in any of the formats: a 30 s MP3 at 96 kbit/s is 360,000 bytes. */
enum { SNIFF_BYTES_MIN = 1024 };

/* MP3 (with or without an ID3 tag), ADTS AAC, MP4, Ogg, FLAC, WAV are SNIFF_AUDIO. */
enum sniff_verdict sniff_body(struct span body);

#endif
