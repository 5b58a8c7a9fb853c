/*
 * The packets of an undamaged MP3 as the demuxer cuts them, so that a window of the audio can be
 * decoded without what lies before it.
 *
 * A layer III frame cannot be decoded by itself: its main data begins up to 511 bytes before the
 * frame (the bit reservoir, ISO/IEC 11172-3 section 2.4.3.4), its spectrum overlaps with the
 * granule before, and the synthesis filter remembers 480 samples. The index knows how far before a
 * sample decoding has to begin for its bits to be those of a decoding from the start.
 *
 * The index takes only files whose decoding holds no surprise; see mpeg_index_add. Knows no FFmpeg.
 */
#ifndef REFRAIN_MPEG_INDEX_H
#define REFRAIN_MPEG_INDEX_H

#include "ingest/mpeg.h"

/* 28 minutes at 44.1 kHz, 2 MiB; a longer file is not indexed. */
enum { MPEG_INDEX_PACKETS_MAX = 1 << 16 };

/* What libavcodec's AV_PKT_DATA_SKIP_SAMPLES asks of one packet, in samples per channel. */
struct mpeg_trim {
    uint32_t n_skip;    /* from here on, maybe over several packets */
    uint32_t n_discard; /* at the end of this packet; more than it has is ignored */
};

struct mpeg_packet {
    size_t at; /* in the file */
    uint32_t n_bytes;
    uint32_t main_bytes; /* what it adds to the reservoir */
    uint64_t first;      /* sample of the trimmed audio that the kept ones begin with */
    uint32_t n_skip, n_keep;
};

struct mpeg_index {
    struct mpeg_header header; /* rate and channels of all packets */
    uint64_t n_samples;        /* per channel, trimmed */
    struct mpeg_packet *packets;
    size_t n_packets, cap_packets;
    uint64_t main_at, main_end; /* bytes of main data so far, and how many of them are used */
    uint32_t n_skip;            /* samples that are still to be skipped */
};
void mpeg_index_release(struct mpeg_index *x); /* safe on {0}, may run twice */
void mpeg_index_reset(struct mpeg_index *x);   /* empty, keeps the memory */

/* The next packet is file[at, at + n_bytes); trim may be NULL. False, and the index is of no more
 * use, unless all of this holds, which is all that libavcodec's layer III decoder can object to:
 * the packet is one whole frame; rate, channels and version are the first one's; every granule's
 * side information is valid; its main data begins behind the frame before's (or before the file)
 * and ends within this frame. */
MUST_CHECK bool mpeg_index_add(struct mpeg_index *x, struct span file, size_t at, size_t n_bytes,
                               const struct mpeg_trim *trim);

/* The packets to decode for the samples [from, to): [begin, end), of which those before `keep` only
 * bring the decoder into its state. 0 <= from < to <= n_samples. */
struct mpeg_range {
    size_t begin, keep, end;
};
struct mpeg_range mpeg_index_range(const struct mpeg_index *x, uint64_t from, uint64_t to);

#endif
