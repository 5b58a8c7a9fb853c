/*
 * Bytes as one zstd frame, and back. The only file that knows zstd.
 */
#ifndef REFRAIN_FRAME_H
#define REFRAIN_FRAME_H

#include "base/base.h"
#include "base/buf.h"

struct frame_writer; /* one a thread */
/* `literals`: bytes in which nothing repeats but by chance, so that looking for it makes a frame
 * longer and slower to read. */
struct frame_writer *frame_writer_new(int level, bool literals);
void frame_writer_free(struct frame_writer *w);

/* No frame of n_bytes in n_parts is longer. */
size_t frame_bytes_max(size_t n_bytes, size_t n_parts);

/* The n_parts parts that lie one behind the other in `bytes`, part_bytes[i] long; a block ends with
 * each, so that each gets a Huffman table of its own. The frame has its content size, but neither
 * zstd's checksum nor a dictionary id. */
MUST_CHECK bool frame_write(struct frame_writer *w, const uint8_t *bytes, const size_t *part_bytes,
                            size_t n_parts, uint8_t *out, size_t out_bytes_max, size_t *out_bytes,
                            struct err *e);

struct frame_reader; /* one a thread */
struct frame_reader *frame_reader_new(void);
void frame_reader_free(struct frame_reader *r);

/* At most out_bytes_max bytes, *out_bytes of them; whatever the frame is, nothing outside out is
 * touched. */
MUST_CHECK bool frame_read(struct frame_reader *r, struct span frame, uint8_t *out,
                           size_t out_bytes_max, size_t *out_bytes, struct err *e);

#endif
