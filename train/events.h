/*
 * The history for other programs: metrics.jsonl, one JSON object a row, and an event file that
 * TensorBoard shows. Both are written anew from the history, atomically, so that they agree with
 * metrics.csv after any crash.
 *
 * An event file is a sequence of TFRecords: u64 length, u32 masked CRC-32C of the length, the bytes
 * of an Event protocol buffer, u32 masked CRC-32C of them; mask(c) = (c >> 15 | c << 17) +
 * 0xa282ead8 (tensorflow/core/lib/io/record_writer.h and tensorflow/core/util/event.proto). The
 * first event names the version, each further one is a scalar.
 */
#ifndef REFRAIN_EVENTS_H
#define REFRAIN_EVENTS_H

#include "train/history.h"

/* CRC-32C (Castagnoli), as iSCSI: of "123456789" it is 0xe3069283. */
uint32_t crc32c(const void *bytes, size_t n);

MUST_CHECK bool history_write_jsonl(const struct history *h, const char *path, struct err *e);

/* `end_wall_s`: the time of the last row, as seconds since 1970. */
MUST_CHECK bool history_write_events(const struct history *h, double end_wall_s, const char *path,
                                     struct err *e);

#endif
