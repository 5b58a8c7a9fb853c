/*
 * Which of the audio containers we accept these bytes are, from their first kilobytes alone. Asking
 * FFmpeg would run the probe functions of some 350 formats over foreign bytes; five signatures cost
 * nothing, and a page of HTML is refused before any demuxer sees it.
 */
#ifndef REFRAIN_CONTAINER_H
#define REFRAIN_CONTAINER_H

#include "ingest/mpeg.h"

enum audio_container {
    AUDIO_NONE,
    AUDIO_MP3, /* MPEG audio layer III frames, with or without ID3v2 */
    AUDIO_MP4,
    AUDIO_OGG,
    AUDIO_FLAC,
    AUDIO_WAV,
    AUDIO_CONTAINERS,
};
const char *audio_container_name(enum audio_container c); /* "MP3" */

/* For AUDIO_MP3, *mp3 (NULL is fine) is the first frame's header. */
enum audio_container audio_sniff(struct span file, struct mpeg_header *mp3);

/* The data chunk of a WAV: what its header promises and how much of that the file holds. False
 * when there is none, or when its writer did not know the size (0 or about 2 or 4 GiB). */
bool wav_data_bytes(struct span file, uint64_t *promised, uint64_t *present);

#endif
