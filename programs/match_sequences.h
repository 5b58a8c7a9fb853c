/*
 * The sequences of a data set (match/library.h), made while extract decodes, or later from audio
 * that was kept.
 */
#ifndef REFRAIN_MATCH_SEQUENCES_H
#define REFRAIN_MATCH_SEQUENCES_H

#include "programs/dataset.h"
#include "programs/extract_plan.h"

struct sequence_writer;

/* Takes the write lock of DIR/sequences.mdb. */
MUST_CHECK bool sequence_writer_open(const struct dataset *d, struct sequence_writer **out,
                                     struct err *e);
void sequence_writer_close(struct sequence_writer *w); /* NULL is fine */

/* What extract calls for each preview; valid until close. Its sequence is durable when hear
 * returns, which is before the preview leaves the spool. */
const struct extract_listener *sequence_writer_listener(struct sequence_writer *w);

struct sequence_report {
    uint64_t n_files, n_added, n_there, n_bad;
    double seconds, cpu_ms_each; /* of the sequence alone */
};

/* Of every file FOLDER/ROW-TRACK that has none yet, as keep_audio leaves them in DIR/audio. What
 * cannot be used is logged and counted. */
MUST_CHECK bool sequences_add_folder(const struct dataset *d, const char *folder, unsigned threads,
                                     struct sequence_report *out, struct err *e);

#endif
