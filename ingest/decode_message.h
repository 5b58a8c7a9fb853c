/*
 * What a decoder in a sandbox is asked and answers. The answers come from a process that foreign
 * bytes may have taken over: every field is held against what was asked before anything uses it.
 */
#ifndef REFRAIN_DECODE_MESSAGE_H
#define REFRAIN_DECODE_MESSAGE_H

#include "ingest/decode.h"

enum decode_op { DECODE_OPEN, DECODE_READ };

struct decode_request {
    uint32_t op;                 /* enum decode_op */
    uint64_t file_bytes;         /* OPEN: how much of the input is the file */
    struct decode_limits limits; /* OPEN */
    uint64_t from, to;           /* READ: frames */
};

struct decode_reply {
    uint32_t verdict;             /* enum decode_verdict */
    uint32_t is_out_of_memory;    /* FFmpeg got none: no verdict on the file */
    uint32_t rate_hz, n_channels; /* OPEN */
    uint64_t n_frames;            /* OPEN: of the file; READ: in the output */
    uint64_t first_frame;         /* READ: of the file, that the output begins with */
    uint64_t is_indexed;          /* OPEN */
    uint64_t cpu_ns;              /* of this call */
    char why[ERR_MSG_BYTES];      /* unless OK */
};

/* The answer to an open. False: *verdict says which, e the sentence; CRASHED when it makes no
 * sense. */
MUST_CHECK bool decode_reply_to_open(struct span reply, const struct decode_request *request,
                                     struct decode_info *out, enum decode_verdict *verdict,
                                     struct err *e);

/* The answer to a read of a file that `info` describes: *out gets everything but samples, of which
 * `cap_samples` fit. */
MUST_CHECK bool decode_reply_to_read(struct span reply, const struct decode_request *request,
                                     const struct decode_info *info, size_t cap_samples,
                                     struct pcm *out, enum decode_verdict *verdict, struct err *e);

#endif
