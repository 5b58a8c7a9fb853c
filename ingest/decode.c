/*
 * The guarantee: for any bytes, a verdict or the samples `ffmpeg -acodec pcm_s16le` would write; no
 * crash, no leak, no file or network access, memory within the limits.
 *
 * Damage is measured in three ways, because demuxers and decoders conceal: packets that fail, time
 * that the header promises (MP3 with Xing/Info, MP4, FLAC, WAV, Ogg's last page) and no sample
 * covers, and, without such a promise, bytes of an MP3 that belong to no frame. An Ogg file or an
 * MP3 without a header that simply ends early cannot be told from a shorter one.
 *
 * A window of an MP3 is decoded alone when the demuxer's packets, all of them, are such that no
 * decoder objects to one (ingest/mpeg_index.h). The demuxer is asked, although the frame headers
 * would do, since what it cuts and trims is by definition what a full decode sees.
 */
#include "ingest/decode.h"

#include "base/mem.h"
#include "ingest/container.h"
#include "ingest/media.h"
#include "ingest/mpeg_index.h"

#include <inttypes.h>
#include <stdio.h>

/* A share of packets or of time above this is corrupt; a single packet never is, since in a file
 * that ends in mid-packet the last one fails. */
static const double corrupt_share = 0.01;

enum {
    PACKETS_PER_MS_MAX = 4, /* the shortest codec frames are Vorbis' 64 samples */
    MISSING_SLACK_MS = 150, /* encoder delay and padding count in a header, not in samples */
};

/* A file on its way to samples. */
struct source {
    struct span file;
    enum audio_container container;
    struct mpeg_header mp3; /* the first frame's, of an MP3 */
    struct media *media;    /* NULL: closed */
};

void pcm_release(struct pcm *p)
{
    if (!p->is_borrowed)
        mem_free(p->samples);
    *p = (struct pcm){0};
}

void decode_id(char out[DECODE_ID_BYTES])
{
    unsigned v = media_codec_version();
    int n = snprintf(out, DECODE_ID_BYTES, "libavcodec-%u.%u", v >> 16, v >> 8 & 0xff);
    assert(n > 0);
    assert(n < DECODE_ID_BYTES);
}

/* ---------------------------------------------------------------- all of it */

static void pcm_reserve(struct pcm *p, size_t n_samples, size_t max_samples)
{
    assert(n_samples <= max_samples);
    if (n_samples > p->cap_samples) {
        assert(!p->is_borrowed);
        size_t cap = size_min(size_max(n_samples, p->cap_samples * 2), max_samples);
        p->samples = mem_resize(p->samples, cap, sizeof *p->samples);
        p->cap_samples = cap;
    }
}

/* The first frame settles rate and channels; the others must keep to it. */
static bool check_shape(const struct media_frame *f, struct pcm *out, enum decode_verdict *verdict,
                        struct err *e)
{
    if (f->rate_hz < DECODE_RATE_MIN_HZ || f->rate_hz > DECODE_RATE_MAX_HZ)
        return decode_reject(verdict, DECODE_NOT_AUDIO, e,
                             "sample rate is %d Hz, allowed are %d to %d", f->rate_hz,
                             DECODE_RATE_MIN_HZ, DECODE_RATE_MAX_HZ);
    if (f->n_channels < 1 || f->n_channels > DECODE_CHANNELS_MAX)
        return decode_reject(verdict, DECODE_NOT_AUDIO, e, "%d channels, allowed are 1 to %d",
                             f->n_channels, DECODE_CHANNELS_MAX);
    if (!f->is_known)
        return decode_reject(verdict, DECODE_NOT_AUDIO, e, "samples of unknown format %d",
                             f->format);
    if (out->rate_hz == 0) {
        out->rate_hz = (uint32_t)f->rate_hz;
        out->n_channels = (uint32_t)f->n_channels;
    }
    if (out->rate_hz != (uint32_t)f->rate_hz || out->n_channels != (uint32_t)f->n_channels)
        return decode_reject(verdict, DECODE_CORRUPT, e,
                             "%u Hz and %u channels become %d Hz and %d channels after %.3f s",
                             out->rate_hz, out->n_channels, f->rate_hz, f->n_channels,
                             (double)out->n_frames / out->rate_hz);
    return true;
}

/* The limits on what n_frames of out's shape would be. */
static bool check_extent(const struct decode_limits *limits, const struct pcm *out,
                         uint64_t n_frames, enum decode_verdict *verdict, struct err *e)
{
    if (n_frames > limits->max_ms * out->rate_hz / 1000)
        return decode_reject(verdict, DECODE_TOO_LONG, e, "longer than %" PRIu64 " ms",
                             limits->max_ms);
    if (n_frames * out->n_channels > limits->max_pcm_bytes / sizeof(int16_t))
        return decode_reject(verdict, DECODE_TOO_LONG, e,
                             "more than %" PRIu64 " bytes of samples (%u Hz, %u channels)",
                             limits->max_pcm_bytes, out->rate_hz, out->n_channels);
    return true;
}

/* The samples [from, to) of the frame that m decoded last. */
static bool append_samples(const struct media *m, size_t from, size_t to, size_t max_samples,
                           struct pcm *out, enum decode_verdict *verdict, struct err *e)
{
    size_t n_frames = out->n_frames + (to - from);
    pcm_reserve(out, n_frames * out->n_channels, max_samples);
    if (!media_convert(m, from, to, out->samples + out->n_frames * out->n_channels))
        return decode_reject(verdict, DECODE_NONFINITE, e,
                             "NaN or infinity within %.3f s and %.3f s",
                             (double)(out->first_frame + out->n_frames) / out->rate_hz,
                             (double)(out->first_frame + n_frames) / out->rate_hz);
    out->n_frames = n_frames;
    return true;
}

static bool append_frame(const struct media *m, const struct media_frame *f,
                         const struct decode_limits *limits, struct pcm *out,
                         enum decode_verdict *verdict, struct err *e)
{
    if (f->n_samples <= 0)
        return true;
    size_t n = (size_t)f->n_samples;
    return check_shape(f, out, verdict, e) &&
           check_extent(limits, out, out->n_frames + n, verdict, e) &&
           append_samples(m, 0, n, limits->max_pcm_bytes / sizeof(int16_t), out, verdict, e);
}

/* Time that is missing, by what the container tells of its length. An MP3 that tells nothing is
 * walked: a demuxer resumes behind a hole as if there were none. */
static bool check_length(const struct source *d, const struct pcm *out,
                         enum decode_verdict *verdict, struct err *e)
{
    const char *name = audio_container_name(d->container);
    const double declared_ms = media_state(d->media)->declared_ms;
    uint64_t promised, present;
    if (d->container == AUDIO_WAV && wav_data_bytes(d->file, &promised, &present) &&
        (double)(promised - present) > corrupt_share * (double)promised)
        return decode_reject(verdict, DECODE_CORRUPT, e,
                             "%" PRIu64 " of the %" PRIu64
                             " bytes that the WAV header promises (%.1f %%) are missing",
                             promised - present, promised,
                             100.0 * (double)(promised - present) / (double)promised);
    double missing_ms = declared_ms - 1000.0 * (double)out->n_frames / out->rate_hz;
    if (missing_ms > corrupt_share * declared_ms + MISSING_SLACK_MS)
        return decode_reject(
            verdict, DECODE_CORRUPT, e,
            "%.3f s of the %.3f s that the %s header promises (%.1f %%) are missing",
            missing_ms / 1000.0, declared_ms / 1000.0, name, 100.0 * missing_ms / declared_ms);
    if (d->container == AUDIO_MP3 && declared_ms < 0) {
        struct mpeg_walk walk;
        mpeg_walk(d->file, &walk);
        uint64_t all = walk.frame_bytes + walk.junk_bytes;
        if ((double)walk.junk_bytes > corrupt_share * (double)all)
            return decode_reject(
                verdict, DECODE_CORRUPT, e,
                "%" PRIu64 " of %" PRIu64 " bytes (%.1f %%) belong to no MP3 frame",
                walk.junk_bytes, all, 100.0 * (double)walk.junk_bytes / (double)all);
    }
    return true;
}

static bool check_damage(const struct source *d, const struct pcm *out, uint64_t n_packets_max,
                         enum decode_verdict *verdict, struct err *e)
{
    const struct media_state *state = media_state(d->media);
    if (state->n_packets >= n_packets_max)
        return decode_reject(verdict, DECODE_CORRUPT, e, "more than %" PRIu64 " packets",
                             n_packets_max);
    if (state->n_failed > 1 && (double)state->n_failed > corrupt_share * (double)state->n_packets)
        return decode_reject(verdict, DECODE_CORRUPT, e,
                             "%" PRIu64 " of %" PRIu64 " packets (%.1f %%) could not be decoded",
                             state->n_failed, state->n_packets,
                             100.0 * (double)state->n_failed /
                                 (double)u64_max(state->n_packets, 1));
    if (out->n_frames == 0)
        return decode_reject(verdict, DECODE_CORRUPT, e, "%s without a sample",
                             audio_container_name(d->container));
    if (state->read_error[0] != '\0')
        return decode_reject(verdict, DECODE_CORRUPT, e, "reading stopped after %.3f s: %s",
                             (double)out->n_frames / out->rate_hz, state->read_error);
    return check_length(d, out, verdict, e);
}

static uint64_t packets_max(const struct decode_limits *limits)
{
    return 1000 + limits->max_ms * PACKETS_PER_MS_MAX;
}

static bool source_open(struct source *d, const struct decode_limits *limits,
                        enum decode_verdict *verdict, struct err *e)
{
    if (!media_open(d->file, d->container, &d->mp3, &d->media, verdict, e))
        return false;
    double declared_ms = media_state(d->media)->declared_ms;
    if (declared_ms > (double)limits->max_ms)
        return decode_reject(verdict, DECODE_TOO_LONG, e,
                             "the header says %.3f s, the limit is %" PRIu64 " ms",
                             declared_ms / 1000.0, limits->max_ms);
    return true;
}

static void source_close(struct source *d)
{
    media_close(d->media);
    d->media = NULL;
}

/* All of a source of which nothing was read. */
static bool decode_all(const struct source *d, const struct decode_limits *limits, struct pcm *out,
                       enum decode_verdict *verdict, struct err *e)
{
    struct media_frame frame;
    while (media_next_frame(d->media, packets_max(limits), &frame))
        if (!append_frame(d->media, &frame, limits, out, verdict, e))
            return false;
    return check_damage(d, out, packets_max(limits), verdict, e);
}

/* Shows how the bytes begin, since that mostly says what they are ("<!DOCTYPE html"). */
static bool reject_unknown(struct span file, enum decode_verdict *verdict, struct err *e)
{
    enum { SHOWN_BYTES = 24 };
    char shown[SHOWN_BYTES + 1];
    const uint8_t *bytes = file.ptr;
    size_t n = size_min(file.len, SHOWN_BYTES);
    for (size_t i = 0; i < n; i++)
        shown[i] = (char)(bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' ? bytes[i] : '.');
    shown[n] = '\0';
    return decode_reject(verdict, DECODE_NOT_AUDIO, e,
                         "%zu bytes are no MP3, MP4, Ogg, FLAC or WAV; they begin '%s'", file.len,
                         shown);
}

/* What needs no FFmpeg: limits and signature. */
static bool source_sniff(struct source *d, const struct decode_limits *limits,
                         enum decode_verdict *verdict, struct err *e)
{
    struct span file = d->file;
    *verdict = DECODE_OK;
    if (file.len == 0)
        return decode_reject(verdict, DECODE_EMPTY, e, "0 bytes");
    if (file.len > limits->max_bytes)
        return decode_reject(verdict, DECODE_TOO_LONG, e, "%zu bytes, limit is %" PRIu64, file.len,
                             limits->max_bytes);
    d->container = audio_sniff(file, &d->mp3);
    return d->container != AUDIO_NONE || reject_unknown(file, verdict, e);
}

static void pcm_reset(struct pcm *p)
{
    p->n_frames = p->first_frame = 0;
    p->rate_hz = p->n_channels = 0;
}

bool decode_audio(struct span file, const struct decode_limits *limits, struct pcm *out,
                  enum decode_verdict *verdict, struct err *e)
{
    struct source d = {.file = file};
    pcm_reset(out);
    bool ok = source_sniff(&d, limits, verdict, e) && source_open(&d, limits, verdict, e) &&
              decode_all(&d, limits, out, verdict, e);
    source_close(&d);
    return ok;
}

/* ---------------------------------------------------------------- windows */

struct decoder {
    struct source source; /* open while is_indexed */
    struct decode_limits limits;
    struct mpeg_index index;
    struct pcm pcm; /* all of the file, or, if is_indexed, the last window */
    bool is_indexed;
    uint64_t n_decoded;
};

struct decoder *decoder_new(void)
{
    struct decoder *d = mem_zalloc(1, sizeof *d);
    return d;
}

void decoder_reset(struct decoder *d)
{
    source_close(&d->source);
    mpeg_index_release(&d->index);
    pcm_release(&d->pcm);
    *d = (struct decoder){0};
}

void decoder_free(struct decoder *d)
{
    if (d == NULL)
        return;
    decoder_reset(d);
    mem_free(d);
}

void decoder_set_output(struct decoder *d, int16_t *samples, size_t cap_samples)
{
    pcm_release(&d->pcm);
    d->pcm = (struct pcm){.samples = samples, .cap_samples = cap_samples, .is_borrowed = true};
}

uint64_t decoder_n_packets(const struct decoder *d)
{
    return d->n_decoded;
}

/* Reads all packets and decodes none. False: something is odd, decode it all and see. */
static bool index_source(struct decoder *d)
{
    struct media *m = d->source.media;
    struct media_packet packet;
    enum media_read read;
    mpeg_index_reset(&d->index);
    while ((read = media_next_packet(m, &packet)) == MEDIA_PACKET) {
        const struct mpeg_trim *trim = packet.has_trim ? &packet.trim : NULL;
        if (media_state(m)->n_packets >= packets_max(&d->limits) ||
            !mpeg_index_add(&d->index, d->source.file, packet.at, packet.n_bytes, trim))
            return false;
    }
    /* libavcodec gives the first frame the rate of the container, here that of the Info frame. */
    return read == MEDIA_END && d->index.n_samples > 0 &&
           media_rate_hz(m) == d->index.header.rate_hz;
}

/* The same answers in the same order as decoding it all gives. */
static bool check_indexed(struct decoder *d, enum decode_verdict *verdict, struct err *e)
{
    struct pcm whole = {.n_frames = d->index.n_samples,
                        .rate_hz = d->index.header.rate_hz,
                        .n_channels = d->index.header.n_channels};
    return check_extent(&d->limits, &whole, whole.n_frames, verdict, e) &&
           check_damage(&d->source, &whole, packets_max(&d->limits), verdict, e);
}

static bool decode_whole(struct decoder *d, enum decode_verdict *verdict, struct err *e)
{
    source_close(&d->source);
    d->is_indexed = false;
    return decode_audio(d->source.file, &d->limits, &d->pcm, verdict, e);
}

bool decoder_open(struct decoder *d, struct span file, const struct decode_limits *limits,
                  struct decode_info *info, enum decode_verdict *verdict, struct err *e)
{
    source_close(&d->source);
    d->source = (struct source){.file = file};
    d->limits = *limits;
    d->is_indexed = false;
    d->n_decoded = 0;
    if (!source_sniff(&d->source, limits, verdict, e) ||
        !source_open(&d->source, limits, verdict, e))
        return false;
    if (d->source.container == AUDIO_MP3) {
        d->is_indexed = index_source(d);
        if (!(d->is_indexed ? check_indexed(d, verdict, e) : decode_whole(d, verdict, e)))
            return false;
    } else {
        pcm_reset(&d->pcm);
        bool ok = decode_all(&d->source, limits, &d->pcm, verdict, e);
        source_close(&d->source);
        if (!ok)
            return false;
    }
    *info = d->is_indexed
                ? (struct decode_info){d->index.n_samples, d->index.header.rate_hz,
                                       d->index.header.n_channels, true}
                : (struct decode_info){d->pcm.n_frames, d->pcm.rate_hz, d->pcm.n_channels, false};
    return true;
}

/* One packet through the codec. False unless exactly one frame as the index says comes out. */
static bool decode_packet(struct decoder *d, const struct mpeg_packet *p)
{
    const struct mpeg_header *h = &d->index.header;
    struct media_frame f;
    d->n_decoded++;
    return media_decode(d->source.media, p->at, p->n_bytes, &f) && f.is_known &&
           f.n_samples == (int)h->n_samples && f.rate_hz == (int)h->rate_hz &&
           f.n_channels == (int)h->n_channels;
}

/* No version of libavcodec we know objects to an indexed file; one that does decides. */
static bool read_surprised(struct decoder *d, enum decode_verdict *verdict, struct err *e)
{
    uint64_t n_promised = d->index.n_samples;
    if (!decode_whole(d, verdict, e))
        return false;
    return d->pcm.n_frames == n_promised ||
           decode_reject(verdict, DECODE_CORRUPT, e,
                         "the MP3 frames promise %" PRIu64 " samples, decoding gives %zu",
                         n_promised, d->pcm.n_frames);
}

bool decoder_read(struct decoder *d, uint64_t from, uint64_t to, const struct pcm **out,
                  enum decode_verdict *verdict, struct err *e)
{
    *verdict = DECODE_OK;
    *out = &d->pcm;
    if (!d->is_indexed) {
        assert(to <= d->pcm.n_frames);
        return true;
    }
    const struct mpeg_index *x = &d->index;
    const struct mpeg_range range = mpeg_index_range(x, from, to);
    const struct mpeg_packet *last = &x->packets[range.end - 1];
    const size_t max_samples = d->limits.max_pcm_bytes / sizeof(int16_t);
    pcm_reset(&d->pcm);
    d->pcm.first_frame = x->packets[range.keep].first;
    d->pcm.rate_hz = x->header.rate_hz;
    d->pcm.n_channels = x->header.n_channels;
    pcm_reserve(&d->pcm, (last->first + last->n_keep - d->pcm.first_frame) * d->pcm.n_channels,
                max_samples);
    media_flush(d->source.media);
    for (size_t i = range.begin; i < range.end; i++) {
        const struct mpeg_packet *p = &x->packets[i];
        if (!decode_packet(d, p))
            return read_surprised(d, verdict, e);
        if (i >= range.keep && !append_samples(d->source.media, p->n_skip, p->n_skip + p->n_keep,
                                               max_samples, &d->pcm, verdict, e))
            return false;
    }
    return true;
}
