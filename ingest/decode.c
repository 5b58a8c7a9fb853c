/*
 * The guarantee: for any bytes, a verdict or the samples `ffmpeg -acodec pcm_s16le` would write; no
 * crash, no leak, no file or network access, memory within the limits.
 *
 * The idea: the container is told from its signature (ingest/container.c) and opened by that
 * demuxer only, over an AVIOContext that reads and seeks in the caller's memory.
 * avformat_find_stream_info is not called: it decodes the first frames a second time to learn what
 * the first decoded frame says anyway. Seeking matters: without it FFmpeg neither trims the end
 * padding of an MP3 nor finds an MP4's header at the end of the file.
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
#include "ingest/mpeg_index.h"
#include "ingest/samples.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/intreadwrite.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <libavutil/opt.h>

/* A share of packets or of time above this is corrupt; a single packet never is, since in a file
 * that ends in mid-packet the last one fails. */
static const double corrupt_share = 0.01;

enum {
    IO_BUFFER_BYTES = 32 << 10,
    PROBE_BYTES = 1 << 20,
    STREAMS_MAX = 16,
    ALLOC_MAX_BYTES = 64 << 20,  /* any one block FFmpeg asks for */
    FRAME_SAMPLES_MAX = 1 << 20, /* in one frame; FLAC allows 65,535, PCM packets are small */
    PACKETS_PER_MS_MAX = 4,      /* the shortest codec frames are Vorbis' 64 samples */
    FAILED_PACKETS_MAX = 4096,   /* enough to call any file corrupt */
    MISSING_SLACK_MS = 150,      /* encoder delay and padding count in a header, not in samples */
};

const char *decode_verdict_name(enum decode_verdict v)
{
    static const char *const names[DECODE_VERDICTS] = {"OK",      "NOT_AUDIO", "EMPTY",
                                                       "CORRUPT", "TOO_LONG",  "NONFINITE"};
    assert(v < DECODE_VERDICTS);
    return names[v];
}

void pcm_release(struct pcm *p)
{
    mem_free(p->samples);
    *p = (struct pcm){0};
}

void decode_id(char out[DECODE_ID_BYTES])
{
    unsigned v = avcodec_version();
    int n = snprintf(out, DECODE_ID_BYTES, "libavcodec-%u.%u", AV_VERSION_MAJOR(v),
                     AV_VERSION_MINOR(v));
    assert(n > 0);
    assert(n < DECODE_ID_BYTES);
}

/* ---------------------------------------------------------------- samples to 16 bit */

static bool format_is_known(enum AVSampleFormat packed)
{
    return packed == AV_SAMPLE_FMT_U8 || packed == AV_SAMPLE_FMT_S16 ||
           packed == AV_SAMPLE_FMT_S32 || packed == AV_SAMPLE_FMT_FLT ||
           packed == AV_SAMPLE_FMT_DBL;
}

/* One plane of n samples into every `stride`th place of out. True: all were finite. */
static bool convert_plane(enum AVSampleFormat packed, const void *plane, size_t n, int16_t *out,
                          size_t stride)
{
    switch (packed) {
    case AV_SAMPLE_FMT_U8:
        samples_from_u8(plane, n, out, stride);
        return true;
    case AV_SAMPLE_FMT_S16:
        samples_from_s16(plane, n, out, stride);
        return true;
    case AV_SAMPLE_FMT_S32:
        samples_from_s32(plane, n, out, stride);
        return true;
    case AV_SAMPLE_FMT_FLT:
        return stride == 1 ? samples_from_float(plane, n, out)
                           : samples_from_float_strided(plane, n, out, stride);
    case AV_SAMPLE_FMT_DBL:
        return samples_from_double(plane, n, out, stride);
    default:
        assert(!"format_is_known was asked");
        return false;
    }
}

/* Writes the frame's samples [from, to), interleaved. True: all were finite. */
static bool convert_frame(const AVFrame *frame, size_t from, size_t to, size_t n_channels,
                          int16_t *out)
{
    enum AVSampleFormat packed = av_get_packed_sample_fmt(frame->format);
    size_t sample_bytes = (size_t)av_get_bytes_per_sample(packed);
    uint8_t **planes = frame->extended_data;
    size_t n = to - from;
    if (frame->format == (int)packed)
        return convert_plane(packed, planes[0] + from * n_channels * sample_bytes, n * n_channels,
                             out, 1);
    size_t at = from * sample_bytes;
    if (frame->format == AV_SAMPLE_FMT_FLTP && n_channels == 2)
        return samples_from_float_stereo((const float *)(const void *)(planes[0] + at),
                                         (const float *)(const void *)(planes[1] + at), n, out);
    bool finite = true;
    for (size_t c = 0; c < n_channels; c++)
        finite = convert_plane(packed, planes[c] + at, n, out + c, n_channels) && finite;
    return finite;
}

/* ---------------------------------------------------------------- FFmpeg over memory */

struct memory_io {
    struct span file;
    size_t at;
};

static int io_read(void *opaque, uint8_t *out, int n_bytes)
{
    struct memory_io *io = opaque;
    if (n_bytes < 0)
        return AVERROR(EINVAL);
    size_t n = size_min((size_t)n_bytes, io->file.len - io->at);
    if (n == 0)
        return AVERROR_EOF;
    memcpy(out, (const uint8_t *)io->file.ptr + io->at, n);
    io->at += n;
    return (int)n;
}

static int64_t io_seek(void *opaque, int64_t offset, int whence)
{
    struct memory_io *io = opaque;
    int64_t len = (int64_t)io->file.len;
    int64_t base;
    switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE:
        return len;
    case SEEK_SET:
        base = 0;
        break;
    case SEEK_CUR:
        base = (int64_t)io->at;
        break;
    case SEEK_END:
        base = len;
        break;
    default:
        return AVERROR(EINVAL);
    }
    if (offset < -base || offset > len - base)
        return AVERROR(EINVAL);
    io->at = (size_t)(base + offset);
    return base + offset;
}

/* A demuxer that wants a second file (MP4 data references) gets none. */
static int io_open_nothing(struct AVFormatContext *s, AVIOContext **pb, const char *url, int flags,
                           AVDictionary **options)
{
    (void)s;
    (void)pb;
    (void)url;
    (void)flags;
    (void)options;
    return AVERROR(EACCES);
}

static void log_nothing(void *avcl, int level, const char *format, va_list args)
{
    (void)avcl;
    (void)level;
    (void)format;
    (void)args;
}

/* FFmpeg's log and allocation limit are process-wide. */
static void library_setup(void)
{
    av_log_set_callback(log_nothing);
    av_max_alloc(ALLOC_MAX_BYTES);
}

struct container {
    const char *demuxer;
    const char *codecs; /* FFmpeg's decoder names, comma-separated */
};

static const struct container containers[AUDIO_CONTAINERS] = {
    [AUDIO_MP3] = {"mp3", "mp3float,mp3"},
    [AUDIO_MP4] = {"mov", "aac"},
    [AUDIO_OGG] = {"ogg", "vorbis,opus"},
    [AUDIO_FLAC] = {"flac", "flac"},
    [AUDIO_WAV] = {"wav", "pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,pcm_f64le"},
};

struct source {
    struct memory_io io;
    enum audio_container container;
    struct mpeg_header mp3;
    AVIOContext *pb;
    AVFormatContext *demuxer;
    AVCodecContext *codec;
    AVPacket *packet;
    AVFrame *frame;
    int stream_i;
    uint64_t n_packets, n_failed;
    int read_error;     /* 0, or why reading packets stopped before the end of the file */
    bool is_draining;   /* all packets are sent */
    double declared_ms; /* the header's promise; negative: none */
};

static void source_close(struct source *d)
{
    av_frame_free(&d->frame);
    av_packet_free(&d->packet);
    avcodec_free_context(&d->codec);
    avformat_close_input(&d->demuxer);
    if (d->pb != NULL)
        av_freep(&d->pb->buffer);
    avio_context_free(&d->pb);
}

/* The text of FFmpeg's error numbers. */
static const char *av_text(int code, char out[AV_ERROR_MAX_STRING_SIZE])
{
    if (av_strerror(code, out, AV_ERROR_MAX_STRING_SIZE) < 0)
        snprintf(out, AV_ERROR_MAX_STRING_SIZE, "error %d", code);
    return out;
}

/* Sets verdict and sentence; false, for `return reject(...)`. */
static bool PRINTF_LIKE(4, 5) reject(enum decode_verdict *verdict, enum decode_verdict v,
                                     struct err *e, const char *format, ...)
{
    char text[ERR_MSG_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *verdict = v;
    return err_set(e, ERR_PERM, "%s", text);
}

static bool out_of_memory(enum decode_verdict *verdict, struct err *e)
{
    *verdict = DECODE_CORRUPT;
    return err_set(e, ERR_FATAL, "FFmpeg got no memory");
}

/* The stream `ffmpeg` picks by itself: a default one before others, then the most channels. */
static int choose_stream(const AVFormatContext *demuxer)
{
    int best = -1, best_score = -1;
    for (unsigned i = 0; i < demuxer->nb_streams; i++) {
        const AVStream *st = demuxer->streams[i];
        if (st->codecpar->codec_type != AVMEDIA_TYPE_AUDIO)
            continue;
        int score = (st->disposition & AV_DISPOSITION_DEFAULT) != 0 ? 1 << 16 : 0;
        score += st->codecpar->ch_layout.nb_channels;
        if (score > best_score) {
            best = (int)i;
            best_score = score;
        }
    }
    return best;
}

static bool open_demuxer(struct source *d, enum decode_verdict *verdict, struct err *e)
{
    const struct container *c = &containers[d->container];
    char text[AV_ERROR_MAX_STRING_SIZE];
    uint8_t *buffer = av_malloc(IO_BUFFER_BYTES);
    if (buffer != NULL)
        d->pb = avio_alloc_context(buffer, IO_BUFFER_BYTES, 0, &d->io, io_read, NULL, io_seek);
    if (d->pb == NULL) {
        av_free(buffer);
        return out_of_memory(verdict, e);
    }
    d->demuxer = avformat_alloc_context();
    if (d->demuxer == NULL)
        return out_of_memory(verdict, e);
    d->demuxer->pb = d->pb;
    d->demuxer->probesize = PROBE_BYTES;
    d->demuxer->max_streams = STREAMS_MAX;
    d->demuxer->io_open = io_open_nothing;
    d->demuxer->format_whitelist = av_strdup(c->demuxer);
    d->demuxer->codec_whitelist = av_strdup(c->codecs);
    d->demuxer->protocol_whitelist = av_strdup("");
    if (d->demuxer->format_whitelist == NULL || d->demuxer->codec_whitelist == NULL ||
        d->demuxer->protocol_whitelist == NULL)
        return out_of_memory(verdict, e);

    int ret = avformat_open_input(&d->demuxer, NULL, av_find_input_format(c->demuxer), NULL);
    if (ret == AVERROR(ENOMEM))
        return reject(verdict, DECODE_CORRUPT, e, "%s header asks for more than %d bytes",
                      audio_container_name(d->container), ALLOC_MAX_BYTES);
    if (ret < 0)
        return reject(verdict, DECODE_CORRUPT, e, "%s header cannot be read: %s",
                      audio_container_name(d->container), av_text(ret, text));

    d->stream_i = choose_stream(d->demuxer);
    if (d->stream_i < 0)
        return reject(verdict, DECODE_NOT_AUDIO, e, "%s without an audio stream",
                      audio_container_name(d->container));
    for (unsigned i = 0; i < d->demuxer->nb_streams; i++)
        if ((int)i != d->stream_i)
            d->demuxer->streams[i]->discard = AVDISCARD_ALL;
    return true;
}

static bool name_in_list(const char *name, const char *list)
{
    size_t n = strlen(name);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    }
    return false;
}

static bool open_codec(struct source *d, enum decode_verdict *verdict, struct err *e)
{
    const struct container *c = &containers[d->container];
    char text[AV_ERROR_MAX_STRING_SIZE];
    AVStream *st = d->demuxer->streams[d->stream_i];
    const AVCodec *codec = avcodec_find_decoder(st->codecpar->codec_id);
    if (codec == NULL || !name_in_list(codec->name, c->codecs))
        return reject(verdict, DECODE_NOT_AUDIO, e, "%s with codec %s; allowed are %s",
                      audio_container_name(d->container), avcodec_get_name(st->codecpar->codec_id),
                      c->codecs);
    /* The end of an MP3 is trimmed in samples of this rate, before any frame was decoded. */
    if (d->container == AUDIO_MP3 && st->codecpar->sample_rate == 0)
        st->codecpar->sample_rate = (int)d->mp3.rate_hz;

    d->codec = avcodec_alloc_context3(codec);
    d->packet = av_packet_alloc();
    d->frame = av_frame_alloc();
    if (d->codec == NULL || d->packet == NULL || d->frame == NULL)
        return out_of_memory(verdict, e);
    int ret = avcodec_parameters_to_context(d->codec, st->codecpar);
    d->codec->pkt_timebase = st->time_base;
    d->codec->thread_count = 1;
    d->codec->max_samples = FRAME_SAMPLES_MAX;
    if (ret >= 0)
        ret = avcodec_open2(d->codec, codec, NULL);
    if (ret < 0)
        return reject(verdict, DECODE_CORRUPT, e, "%s stream of %s cannot be opened: %s",
                      audio_container_name(d->container), codec->name, av_text(ret, text));
    d->declared_ms =
        st->duration != AV_NOPTS_VALUE && st->duration > 0
            ? (double)st->duration * 1000.0 * st->time_base.num / (double)st->time_base.den
            : -1.0;
    return true;
}

/* The next decoded frame lies in d->frame. False at the end, also when damage ends it early. */
static bool next_frame(struct source *d, uint64_t n_packets_max)
{
    for (;;) {
        int ret = avcodec_receive_frame(d->codec, d->frame);
        if (ret == 0)
            return true;
        if (ret == AVERROR_EOF || d->is_draining || d->n_failed >= FAILED_PACKETS_MAX ||
            d->n_packets >= n_packets_max)
            return false;
        d->n_failed += ret != AVERROR(EAGAIN);

        ret = av_read_frame(d->demuxer, d->packet);
        if (ret < 0) {
            d->is_draining = true;
            d->read_error = ret == AVERROR_EOF ? 0 : ret;
            (void)avcodec_send_packet(d->codec, NULL);
            continue;
        }
        if (d->packet->stream_index == d->stream_i) {
            d->n_packets++;
            d->n_failed += avcodec_send_packet(d->codec, d->packet) < 0;
        }
        av_packet_unref(d->packet);
    }
}

/* ---------------------------------------------------------------- collecting */

static void pcm_reserve(struct pcm *p, size_t n_samples, size_t max_samples)
{
    assert(n_samples <= max_samples);
    if (n_samples > p->cap_samples) {
        size_t cap = size_min(size_max(n_samples, p->cap_samples * 2), max_samples);
        p->samples = mem_resize(p->samples, cap, sizeof *p->samples);
        p->cap_samples = cap;
    }
}

/* The first frame settles rate and channels; the others must keep to it. */
static bool check_shape(const struct source *d, struct pcm *out, enum decode_verdict *verdict,
                        struct err *e)
{
    int rate_hz = d->frame->sample_rate;
    int n_channels = d->frame->ch_layout.nb_channels;
    enum AVSampleFormat packed = av_get_packed_sample_fmt(d->frame->format);
    if (rate_hz < DECODE_RATE_MIN_HZ || rate_hz > DECODE_RATE_MAX_HZ)
        return reject(verdict, DECODE_NOT_AUDIO, e, "sample rate is %d Hz, allowed are %d to %d",
                      rate_hz, DECODE_RATE_MIN_HZ, DECODE_RATE_MAX_HZ);
    if (n_channels < 1 || n_channels > DECODE_CHANNELS_MAX)
        return reject(verdict, DECODE_NOT_AUDIO, e, "%d channels, allowed are 1 to %d", n_channels,
                      DECODE_CHANNELS_MAX);
    if (!format_is_known(packed))
        return reject(verdict, DECODE_NOT_AUDIO, e, "samples of unknown format %d",
                      d->frame->format);
    if (out->rate_hz == 0) {
        out->rate_hz = (uint32_t)rate_hz;
        out->n_channels = (uint32_t)n_channels;
    }
    if (out->rate_hz != (uint32_t)rate_hz || out->n_channels != (uint32_t)n_channels)
        return reject(verdict, DECODE_CORRUPT, e,
                      "%u Hz and %u channels become %d Hz and %d channels after %.3f s",
                      out->rate_hz, out->n_channels, rate_hz, n_channels,
                      (double)out->n_frames / out->rate_hz);
    return true;
}

/* The limits on what n_frames of out's shape would be. */
static bool check_extent(const struct decode_limits *limits, const struct pcm *out,
                         uint64_t n_frames, enum decode_verdict *verdict, struct err *e)
{
    if (n_frames > limits->max_ms * out->rate_hz / 1000)
        return reject(verdict, DECODE_TOO_LONG, e, "longer than %" PRIu64 " ms", limits->max_ms);
    if (n_frames * out->n_channels > limits->max_pcm_bytes / sizeof(int16_t))
        return reject(verdict, DECODE_TOO_LONG, e,
                      "more than %" PRIu64 " bytes of samples (%u Hz, %u channels)",
                      limits->max_pcm_bytes, out->rate_hz, out->n_channels);
    return true;
}

/* The samples [from, to) of d->frame. */
static bool append_samples(const struct source *d, size_t from, size_t to, size_t max_samples,
                           struct pcm *out, enum decode_verdict *verdict, struct err *e)
{
    size_t n_frames = out->n_frames + (to - from);
    pcm_reserve(out, n_frames * out->n_channels, max_samples);
    if (!convert_frame(d->frame, from, to, out->n_channels,
                       out->samples + out->n_frames * out->n_channels))
        return reject(verdict, DECODE_NONFINITE, e, "NaN or infinity within %.3f s and %.3f s",
                      (double)(out->first_frame + out->n_frames) / out->rate_hz,
                      (double)(out->first_frame + n_frames) / out->rate_hz);
    out->n_frames = n_frames;
    return true;
}

static bool append_frame(const struct source *d, const struct decode_limits *limits,
                         struct pcm *out, enum decode_verdict *verdict, struct err *e)
{
    if (d->frame->nb_samples <= 0)
        return true;
    size_t n = (size_t)d->frame->nb_samples;
    return check_shape(d, out, verdict, e) &&
           check_extent(limits, out, out->n_frames + n, verdict, e) &&
           append_samples(d, 0, n, limits->max_pcm_bytes / sizeof(int16_t), out, verdict, e);
}

/* Time that is missing, by what the container tells of its length. An MP3 that tells nothing is
 * walked: a demuxer resumes behind a hole as if there were none. */
static bool check_length(const struct source *d, const struct pcm *out,
                         enum decode_verdict *verdict, struct err *e)
{
    const char *name = audio_container_name(d->container);
    uint64_t promised, present;
    if (d->container == AUDIO_WAV && wav_data_bytes(d->io.file, &promised, &present) &&
        (double)(promised - present) > corrupt_share * (double)promised)
        return reject(verdict, DECODE_CORRUPT, e,
                      "%" PRIu64 " of the %" PRIu64
                      " bytes that the WAV header promises (%.1f %%) are missing",
                      promised - present, promised,
                      100.0 * (double)(promised - present) / (double)promised);
    double missing_ms = d->declared_ms - 1000.0 * (double)out->n_frames / out->rate_hz;
    if (missing_ms > corrupt_share * d->declared_ms + MISSING_SLACK_MS)
        return reject(verdict, DECODE_CORRUPT, e,
                      "%.3f s of the %.3f s that the %s header promises (%.1f %%) are missing",
                      missing_ms / 1000.0, d->declared_ms / 1000.0, name,
                      100.0 * missing_ms / d->declared_ms);
    if (d->container == AUDIO_MP3 && d->declared_ms < 0) {
        struct mpeg_walk walk;
        mpeg_walk(d->io.file, &walk);
        uint64_t all = walk.frame_bytes + walk.junk_bytes;
        if ((double)walk.junk_bytes > corrupt_share * (double)all)
            return reject(verdict, DECODE_CORRUPT, e,
                          "%" PRIu64 " of %" PRIu64 " bytes (%.1f %%) belong to no MP3 frame",
                          walk.junk_bytes, all, 100.0 * (double)walk.junk_bytes / (double)all);
    }
    return true;
}

static bool check_damage(const struct source *d, const struct pcm *out, uint64_t n_packets_max,
                         enum decode_verdict *verdict, struct err *e)
{
    char text[AV_ERROR_MAX_STRING_SIZE];
    if (d->n_packets >= n_packets_max)
        return reject(verdict, DECODE_CORRUPT, e, "more than %" PRIu64 " packets", n_packets_max);
    if (d->n_failed > 1 && (double)d->n_failed > corrupt_share * (double)d->n_packets)
        return reject(verdict, DECODE_CORRUPT, e,
                      "%" PRIu64 " of %" PRIu64 " packets (%.1f %%) could not be decoded",
                      d->n_failed, d->n_packets,
                      100.0 * (double)d->n_failed / (double)u64_max(d->n_packets, 1));
    if (out->n_frames == 0)
        return reject(verdict, DECODE_CORRUPT, e, "%s without a sample",
                      audio_container_name(d->container));
    if (d->read_error != 0)
        return reject(verdict, DECODE_CORRUPT, e, "reading stopped after %.3f s: %s",
                      (double)out->n_frames / out->rate_hz, av_text(d->read_error, text));
    return check_length(d, out, verdict, e);
}

static uint64_t packets_max(const struct decode_limits *limits)
{
    return 1000 + limits->max_ms * PACKETS_PER_MS_MAX;
}

static bool source_open(struct source *d, const struct decode_limits *limits,
                        enum decode_verdict *verdict, struct err *e)
{
    if (!open_demuxer(d, verdict, e) || !open_codec(d, verdict, e))
        return false;
    if (d->declared_ms > (double)limits->max_ms)
        return reject(verdict, DECODE_TOO_LONG, e,
                      "the header says %.3f s, the limit is %" PRIu64 " ms",
                      d->declared_ms / 1000.0, limits->max_ms);
    return true;
}

/* What was not read of an opened source. */
static bool decode_all(struct source *d, const struct decode_limits *limits, struct pcm *out,
                       enum decode_verdict *verdict, struct err *e)
{
    while (next_frame(d, packets_max(limits)))
        if (!append_frame(d, limits, out, verdict, e))
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
    return reject(verdict, DECODE_NOT_AUDIO, e,
                  "%zu bytes are no MP3, MP4, Ogg, FLAC or WAV; they begin '%s'", file.len, shown);
}

static struct source source_of(struct span file)
{
    return (struct source){.io = {file, 0}, .stream_i = -1, .declared_ms = -1.0};
}

/* What needs no FFmpeg: limits and signature. */
static bool source_sniff(struct source *d, const struct decode_limits *limits,
                         enum decode_verdict *verdict, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct span file = d->io.file;
    pthread_once(&once, library_setup);
    *verdict = DECODE_OK;
    if (file.len == 0)
        return reject(verdict, DECODE_EMPTY, e, "0 bytes");
    if (file.len > limits->max_bytes)
        return reject(verdict, DECODE_TOO_LONG, e, "%zu bytes, limit is %" PRIu64, file.len,
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
    struct source d = source_of(file);
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

uint64_t decoder_n_packets(const struct decoder *d)
{
    return d->n_decoded;
}

/* Indexes the packet just read, if it is what the file has at its place. */
static bool index_packet(struct decoder *d)
{
    enum { TRIM_BYTES = 10 }; /* AV_PKT_DATA_SKIP_SAMPLES: u32le, u32le, u8, u8 */
    const AVPacket *packet = d->source.packet;
    struct span file = d->source.io.file;
    size_t n_side = 0;
    const uint8_t *side = av_packet_get_side_data(packet, AV_PKT_DATA_SKIP_SAMPLES, &n_side);
    struct mpeg_trim trim = {0};
    if (side != NULL && n_side >= TRIM_BYTES)
        trim = (struct mpeg_trim){AV_RL32(side), AV_RL32(side + 4)};
    if (packet->pos < 0 || packet->size < 0 || (packet->flags & AV_PKT_FLAG_DISCARD) != 0)
        return false;
    return mpeg_index_add(&d->index, file, (size_t)packet->pos, (size_t)packet->size,
                          side != NULL && n_side >= TRIM_BYTES ? &trim : NULL) &&
           memcmp((const uint8_t *)file.ptr + packet->pos, packet->data, (size_t)packet->size) == 0;
}

/* Reads all packets and decodes none. False: something is odd, decode it all and see. */
static bool index_source(struct decoder *d)
{
    struct source *s = &d->source;
    bool ok = s->container == AUDIO_MP3;
    int ret = 0;
    mpeg_index_reset(&d->index);
    while (ok && (ret = av_read_frame(s->demuxer, s->packet)) >= 0) {
        ok = s->packet->stream_index == s->stream_i && ++s->n_packets < packets_max(&d->limits) &&
             index_packet(d);
        av_packet_unref(s->packet);
    }
    /* libavcodec gives the first frame the rate of the container, here that of the Info frame. */
    return ok && ret == AVERROR_EOF && d->index.n_samples > 0 &&
           s->codec->sample_rate == (int)d->index.header.rate_hz;
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
    return decode_audio(d->source.io.file, &d->limits, &d->pcm, verdict, e);
}

bool decoder_open(struct decoder *d, struct span file, const struct decode_limits *limits,
                  struct decode_info *info, enum decode_verdict *verdict, struct err *e)
{
    source_close(&d->source);
    d->source = source_of(file);
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
    struct source *s = &d->source;
    const struct mpeg_header *h = &d->index.header;
    if (av_new_packet(s->packet, (int)p->n_bytes) < 0)
        return false;
    memcpy(s->packet->data, (const uint8_t *)s->io.file.ptr + p->at, p->n_bytes);
    int ret = avcodec_send_packet(s->codec, s->packet);
    av_packet_unref(s->packet);
    d->n_decoded++;
    return ret >= 0 && avcodec_receive_frame(s->codec, s->frame) == 0 &&
           s->frame->nb_samples == (int)h->n_samples && s->frame->sample_rate == (int)h->rate_hz &&
           s->frame->ch_layout.nb_channels == (int)h->n_channels &&
           format_is_known(av_get_packed_sample_fmt(s->frame->format));
}

/* No version of libavcodec we know objects to an indexed file; one that does decides. */
static bool read_surprised(struct decoder *d, enum decode_verdict *verdict, struct err *e)
{
    uint64_t n_promised = d->index.n_samples;
    if (!decode_whole(d, verdict, e))
        return false;
    return d->pcm.n_frames == n_promised ||
           reject(verdict, DECODE_CORRUPT, e,
                  "the MP3 frames promise %" PRIu64 " samples, decoding gives %zu", n_promised,
                  d->pcm.n_frames);
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
    avcodec_flush_buffers(d->source.codec);
    for (size_t i = range.begin; i < range.end; i++) {
        const struct mpeg_packet *p = &x->packets[i];
        if (!decode_packet(d, p))
            return read_surprised(d, verdict, e);
        if (i >= range.keep && !append_samples(&d->source, p->n_skip, p->n_skip + p->n_keep,
                                               max_samples, &d->pcm, verdict, e))
            return false;
    }
    return true;
}
