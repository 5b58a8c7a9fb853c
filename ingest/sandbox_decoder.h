/*
 * ingest/decode.h's decoder in a sandbox: the same calls, samples and verdicts, and one verdict
 * more. CRASHED is an item whose decoder crashed, hung or asked for too much memory twice: what
 * ends a worker is tried once more in a new one, so that nothing an earlier item left behind, and
 * no stranger's kill, is held against it.
 *
 *     struct sandbox *s;                                   before threads start
 *     sandbox_open(&(struct sandbox_params){.service = &sandbox_decoder_service, ...}, &s, e);
 *     sandbox_decoder_new(s, &sizes, &d, e);               in each thread
 *     sandbox_decoder_open(d, file, &limits, &info, &verdict, e) and
 *     sandbox_decoder_read(d, from, to, &pcm, &verdict, e) a window, or everything: 0, n_frames
 */
#ifndef REFRAIN_SANDBOX_DECODER_H
#define REFRAIN_SANDBOX_DECODER_H

#include "ingest/decode.h"
#include "ingest/sandbox.h"

extern const struct sandbox_service sandbox_decoder_service;

/* Decoding takes some 10 MiB beside what it decodes to; an index of packets 2 MiB; one block that a
 * header asks for up to 64 MiB. */
enum { SANDBOX_DECODER_MEMORY_BYTES = 256 << 20 };

struct sandbox_decoder;

struct sandbox_decoder_params {
    uint64_t max_file_bytes; /* of any file, and */
    uint64_t max_pcm_bytes;  /* of the samples of any read: address space until they come */
    uint64_t n_files_each;   /* that a process decodes before a new one takes its place; 0: any */
};

/* One thread's. Borrows s for life. */
MUST_CHECK bool sandbox_decoder_new(struct sandbox *s, const struct sandbox_decoder_params *params,
                                    struct sandbox_decoder **out, struct err *e);
void sandbox_decoder_free(struct sandbox_decoder *d); /* NULL is fine */

/* As decoder_open; copies the file. The limits may not exceed the params. ERR_FATAL when no process
 * can be had, all other failures are ERR_PERM with a verdict. */
MUST_CHECK bool sandbox_decoder_open(struct sandbox_decoder *d, struct span file,
                                     const struct decode_limits *limits, struct decode_info *info,
                                     enum decode_verdict *verdict, struct err *e);

/* As decoder_read. The samples lie in memory that the worker may still write: they may be anything,
 * also while they are read. */
MUST_CHECK bool sandbox_decoder_read(struct sandbox_decoder *d, uint64_t from, uint64_t to,
                                     const struct pcm **out, enum decode_verdict *verdict,
                                     struct err *e);

/* Ends the process and gives the samples' memory back. */
void sandbox_decoder_reset(struct sandbox_decoder *d);

/* Processor time that the process says it took since this was asked last, for reports. */
uint64_t sandbox_decoder_take_cpu_ns(struct sandbox_decoder *d);

#endif
