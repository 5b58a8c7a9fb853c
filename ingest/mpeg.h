/*
 * MPEG audio layer III as bytes: frame headers, and a walk over all frames of a file in memory.
 * FFmpeg's demuxer skips what is no frame without a word; the walk says how much that was.
 */
#ifndef REFRAIN_MPEG_H
#define REFRAIN_MPEG_H

#include "base/base.h"

enum { MPEG_HEADER_BYTES = 4 };

/* One frame as its four header bytes say it. */
struct mpeg_header {
    uint32_t rate_hz;
    uint32_t n_channels;
    uint32_t n_samples;   /* per channel: 1152, or 576 at half rates and below */
    uint32_t frame_bytes; /* header included */
    bool has_crc;         /* two bytes behind the header */
};

/* False when these four bytes begin no layer III frame of known size. */
bool mpeg_header_parse(const uint8_t bytes[4], struct mpeg_header *out);

/* How a frame's main data (scale factors and Huffman codes) lies: ISO/IEC 11172-3 section 2.4.1.7.
 */
struct mpeg_side {
    uint32_t main_bytes;  /* that the frame holds, its own or a later one's */
    uint32_t begin_bytes; /* before these its own begins: main_data_begin */
    uint32_t main_bits;   /* that its own takes: the sum of part2_3_length */
};

/* The side information of a whole frame. False when it has values that no encoder may write and
 * libavcodec refuses: more than 288 big values, a switched window of type 0. */
bool mpeg_side_parse(struct span frame, const struct mpeg_header *h, struct mpeg_side *out);

/* The largest begin_bytes: 511, or 255 at half rates and below. */
uint32_t mpeg_reservoir_bytes(const struct mpeg_header *h);

/* Bytes of the ID3v2 tags that `file` begins with; may be more than it has. */
size_t mpeg_id3_bytes(struct span file);

/* Finds the first frame in file[from, from + window): one that is followed by another of the same
 * rate, or by the end of the file. Four bytes alone turn up by chance in any binary file. */
bool mpeg_find_frame(struct span file, size_t from, size_t window, size_t *at,
                     struct mpeg_header *out);

/* What a Xing, Info or VBRI header in the first frame says of the whole file; 0: nothing. */
struct mpeg_promise {
    uint32_t n_frames; /* the header's own frame left out */
    uint32_t n_bytes;
};
/* `frame` is a whole first frame. False when it holds no such header. */
bool mpeg_promise_parse(struct span frame, const struct mpeg_header *h, struct mpeg_promise *out);

struct mpeg_walk {
    uint64_t n_frames;
    uint64_t n_samples; /* per channel, the Info frame and all padding included */
    uint64_t frame_bytes;
    uint64_t
        junk_bytes;  /* neither frame nor tag (ID3, APE, Lyrics3), the last cut frame left out */
    size_t at;       /* where the next frame or tag should begin, maybe behind what is there */
    size_t first_at; /* of the first frame */
    struct mpeg_header header; /* of the first frame */
    bool is_cut;               /* the file ends within a frame */
    bool is_over;              /* closing tags follow */
    bool is_lost; /* mpeg_walk_more alone: too much junk in a row, it goes no further */
};
void mpeg_walk(struct span file, struct mpeg_walk *out);

/* The same for a file that is still coming in: `file` is all of it so far (it may have moved), `w`
 * begins zeroed, `is_whole` says that nothing follows. However the file is cut into pieces, the
 * outcome is that of mpeg_walk, as long as no stretch of junk reaches 64 KiB: each piece that comes
 * searches such a stretch again. */
void mpeg_walk_more(struct mpeg_walk *w, struct span file, bool is_whole);

#endif
