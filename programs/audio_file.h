/*
 * One audio file that somebody names on the command line, decoded in a sandbox of its own: for
 * commands that work without a data set.
 *
 *     struct audio_file a;
 *     bool ok = audio_file_open(path, &a, e) && audio_file_read(&a, 0, a.info.n_frames, &pcm, e);
 *     ...
 *     audio_file_close(&a);
 */
#ifndef REFRAIN_AUDIO_FILE_H
#define REFRAIN_AUDIO_FILE_H

#include "ingest/container.h"
#include "ingest/digest.h"
#include "ingest/sandbox_decoder.h"

struct audio_file {
    const char *path; /* borrowed */
    struct decode_info info;
    enum audio_container container;
    uint64_t n_bytes;
    char sha256[DIGEST_TEXT_BYTES]; /* of the bytes that are decoded */
    struct sandbox *sandbox;
    struct sandbox_decoder *decoder;
};

/* Files of up to 1 GiB and four hours. Before the program's first thread, or from a process that
 * has none. Errors name the file and the verdict. */
MUST_CHECK bool audio_file_open(const char *path, struct audio_file *out, struct err *e);
void audio_file_close(struct audio_file *a); /* also after open failed */

/* Lends the frames [from, to) at least, until the next read or close. */
MUST_CHECK bool audio_file_read(struct audio_file *a, uint64_t from, uint64_t to,
                                const struct pcm **out, struct err *e);

#endif
