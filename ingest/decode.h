/*
 * Bytes nobody trusts to samples: MP3, AAC in MP4, Ogg Vorbis/Opus, FLAC, WAV in memory to
 * interleaved 16-bit samples at the file's own rate and channels, exactly as `ffmpeg -acodec
 * pcm_s16le` gives them (float to 16 bit is clip(rint(x * 32768)), wider integers are shifted
 * down, nothing is dithered).
 *
 * Gapless trimming is libavcodec's: an MP3 with a LAME/Info header loses its encoder delay and
 * padding, one without keeps the 1105 samples of junk nobody can know about.
 *
 * Any number of threads may decode at the same time. All limits count bytes, packets and samples,
 * never seconds of the clock, so that the same bytes give the same verdict on every machine.
 */
#ifndef REFRAIN_DECODE_H
#define REFRAIN_DECODE_H

#include "ingest/verdict.h"

enum {
    DECODE_CHANNELS_MAX = 8,
    DECODE_RATE_MIN_HZ = 4000,
    DECODE_RATE_MAX_HZ = 192000,
};

struct pcm {
    int16_t *samples;     /* interleaved, owned: pcm_release; reused by the next decode into it */
    size_t n_frames;      /* samples per channel */
    uint64_t first_frame; /* of the file; more than 0 in a window only */
    size_t cap_samples;
    bool is_borrowed; /* samples are the caller's: neither resized nor freed */
    uint32_t rate_hz;
    uint32_t n_channels;
};
void pcm_release(struct pcm *p); /* safe on {0}, may run twice */

struct decode_limits {
    uint64_t max_bytes;     /* of the file */
    uint64_t max_ms;        /* of audio */
    uint64_t max_pcm_bytes; /* of decoded samples, whatever the rate and channels */
};

/* Decodes all of it. False only for a verdict other than OK: *verdict says which, e the sentence
 * (always ERR_PERM). The contents of *out are then undefined, its memory is still reused. */
MUST_CHECK bool decode_audio(struct span file, const struct decode_limits *limits, struct pcm *out,
                             enum decode_verdict *verdict, struct err *e);

/*
 * The same for who needs a window only: open says the length, then the window is chosen, then read.
 *
 *     struct decoder *d = decoder_new();
 *     if (!decoder_open(d, file, &limits, &info, &verdict, e) ||
 *         !decoder_read(d, from, to, &pcm, &verdict, e)) ...
 *
 * The samples are those of decode_audio, and so are the verdicts. Only the time differs: of an
 * undamaged MP3 no more is decoded than the window and the up to dozen frames before it that bring
 * the decoder into its state. Everything else is decoded whole by decoder_open: an MP3 with
 * anything odd in any of its frames (a cut or foreign one, a change of rate or channels, side
 * information that no encoder writes, main data that overlaps), and all other codecs, since AAC's
 * noise substitution and Opus' and Vorbis' state reach back to the start.
 *
 * CORRUPT of an MP3 that is read by windows is judged from the headers and side information of all
 * its frames. libavcodec looks at nothing else: a flipped bit in Huffman codes is noise to it, not
 * an error, in a full decode as well. Samples of frames with such damage may depend on where
 * decoding began; they are the same for the same file and window.
 */
struct decode_info {
    uint64_t n_frames; /* samples per channel of the whole file */
    uint32_t rate_hz;
    uint32_t n_channels;
    bool is_indexed; /* decoder_read decodes no more than the window needs */
};

struct decoder; /* one thread's; its memory is used again for the next file */
struct decoder *decoder_new(void);
void decoder_free(struct decoder *d);  /* NULL is fine */
void decoder_reset(struct decoder *d); /* as new: gives all memory back */

/* Borrows where samples go from now on, until reset: limits.max_pcm_bytes of every open must fit.
 */
void decoder_set_output(struct decoder *d, int16_t *samples, size_t cap_samples);

/* Borrows file until the next open, reset or free. Results as decode_audio's. */
MUST_CHECK bool decoder_open(struct decoder *d, struct span file,
                             const struct decode_limits *limits, struct decode_info *info,
                             enum decode_verdict *verdict, struct err *e);

/* Lends *out until the next call: at least the frames [from, to), out->first_frame being the first.
 * 0 <= from < to <= info.n_frames, of the last open that went well. Any number of times. */
MUST_CHECK bool decoder_read(struct decoder *d, uint64_t from, uint64_t to, const struct pcm **out,
                             enum decode_verdict *verdict, struct err *e);

/* Packets that windows have cost since open. */
uint64_t decoder_n_packets(const struct decoder *d);

/* What decides the samples besides the bytes, for the store's recipe: "libavcodec-59.37". */
enum { DECODE_ID_BYTES = 32 };
void decode_id(char out[DECODE_ID_BYTES]);

#endif
