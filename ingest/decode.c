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
 */
#include "ingest/decode.h"

#include "base/mem.h"
#include "ingest/container.h"
#include "ingest/samples.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
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

/* Writes nb_samples * n_channels samples, interleaved. True: all were finite. */
static bool convert_frame(const AVFrame *frame, size_t n_channels, int16_t *out)
{
    enum AVSampleFormat packed = av_get_packed_sample_fmt(frame->format);
    uint8_t **planes = frame->extended_data;
    size_t n = (size_t)frame->nb_samples;
    if (frame->format == (int)packed)
        return convert_plane(packed, planes[0], n * n_channels, out, 1);
    if (frame->format == AV_SAMPLE_FMT_FLTP && n_channels == 2)
        return samples_from_float_stereo((const float *)(const void *)planes[0],
                                         (const float *)(const void *)planes[1], n, out);
    bool finite = true;
    for (size_t c = 0; c < n_channels; c++)
        finite = convert_plane(packed, planes[c], n, out + c, n_channels) && finite;
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

struct decoder {
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

static void decoder_close(struct decoder *d)
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

static bool open_demuxer(struct decoder *d, enum decode_verdict *verdict, struct err *e)
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

static bool open_codec(struct decoder *d, enum decode_verdict *verdict, struct err *e)
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
static bool next_frame(struct decoder *d, uint64_t n_packets_max)
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

static bool pcm_reserve(struct pcm *p, size_t n_samples, size_t max_samples)
{
    if (n_samples > max_samples)
        return false;
    if (n_samples > p->cap_samples) {
        size_t cap = size_min(size_max(n_samples, p->cap_samples * 2), max_samples);
        p->samples = mem_resize(p->samples, cap, sizeof *p->samples);
        p->cap_samples = cap;
    }
    return true;
}

/* The first frame settles rate and channels; the others must keep to it. */
static bool check_shape(const struct decoder *d, struct pcm *out, enum decode_verdict *verdict,
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

static bool append_frame(const struct decoder *d, const struct decode_limits *limits,
                         struct pcm *out, enum decode_verdict *verdict, struct err *e)
{
    if (d->frame->nb_samples <= 0)
        return true;
    if (!check_shape(d, out, verdict, e))
        return false;
    size_t n_frames = out->n_frames + (size_t)d->frame->nb_samples;
    if (n_frames > limits->max_ms * out->rate_hz / 1000)
        return reject(verdict, DECODE_TOO_LONG, e, "longer than %" PRIu64 " ms", limits->max_ms);
    if (!pcm_reserve(out, n_frames * out->n_channels, limits->max_pcm_bytes / sizeof(int16_t)))
        return reject(verdict, DECODE_TOO_LONG, e,
                      "more than %" PRIu64 " bytes of samples (%u Hz, %u channels)",
                      limits->max_pcm_bytes, out->rate_hz, out->n_channels);
    if (!convert_frame(d->frame, out->n_channels, out->samples + out->n_frames * out->n_channels))
        return reject(verdict, DECODE_NONFINITE, e, "NaN or infinity within %.3f s and %.3f s",
                      (double)out->n_frames / out->rate_hz, (double)n_frames / out->rate_hz);
    out->n_frames = n_frames;
    return true;
}

/* Time that is missing, by what the container tells of its length. An MP3 that tells nothing is
 * walked: a demuxer resumes behind a hole as if there were none. */
static bool check_length(const struct decoder *d, const struct pcm *out,
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

static bool check_damage(const struct decoder *d, const struct pcm *out, uint64_t n_packets_max,
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

static bool decode_all(struct decoder *d, const struct decode_limits *limits, struct pcm *out,
                       enum decode_verdict *verdict, struct err *e)
{
    uint64_t n_packets_max = 1000 + limits->max_ms * PACKETS_PER_MS_MAX;
    if (!open_demuxer(d, verdict, e) || !open_codec(d, verdict, e))
        return false;
    if (d->declared_ms > (double)limits->max_ms)
        return reject(verdict, DECODE_TOO_LONG, e,
                      "the header says %.3f s, the limit is %" PRIu64 " ms",
                      d->declared_ms / 1000.0, limits->max_ms);
    while (next_frame(d, n_packets_max))
        if (!append_frame(d, limits, out, verdict, e))
            return false;
    return check_damage(d, out, n_packets_max, verdict, e);
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

bool decode_audio(struct span file, const struct decode_limits *limits, struct pcm *out,
                  enum decode_verdict *verdict, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct decoder d = {.io = {file, 0}, .stream_i = -1, .declared_ms = -1.0};
    pthread_once(&once, library_setup);
    *verdict = DECODE_OK;
    out->n_frames = 0;
    out->rate_hz = out->n_channels = 0;
    if (file.len == 0)
        return reject(verdict, DECODE_EMPTY, e, "0 bytes");
    if (file.len > limits->max_bytes)
        return reject(verdict, DECODE_TOO_LONG, e, "%zu bytes, limit is %" PRIu64, file.len,
                      limits->max_bytes);
    d.container = audio_sniff(file, &d.mp3);
    if (d.container == AUDIO_NONE)
        return reject_unknown(file, verdict, e);
    bool ok = decode_all(&d, limits, out, verdict, e);
    decoder_close(&d);
    return ok;
}
