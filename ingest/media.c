/*
 * The idea: a file is opened by the one demuxer that its signature asks for (ingest/container.c),
 * over an AVIOContext that reads and seeks in the caller's memory; no file, no network, no second
 * demuxer. avformat_find_stream_info is not called: it decodes the first frames a second time to
 * learn what the first decoded frame says anyway. Seeking matters: without it FFmpeg neither trims
 * the end padding of an MP3 nor finds an MP4's header at the end of the file.
 */
#include "ingest/media.h"

#include "base/mem.h"
#include "ingest/samples.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/dict.h>
#include <libavutil/intreadwrite.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <libavutil/opt.h>

enum {
    IO_BUFFER_BYTES = 32 << 10,
    PROBE_BYTES = 1 << 20,
    STREAMS_MAX = 16,
    ALLOC_MAX_BYTES = 64 << 20,  /* any one block FFmpeg asks for */
    FRAME_SAMPLES_MAX = 1 << 20, /* in one frame; FLAC allows 65,535, PCM packets are small */
    FAILED_PACKETS_MAX = 4096,   /* enough to call any file corrupt */
};
static_assert(MEDIA_TEXT_BYTES >= AV_ERROR_MAX_STRING_SIZE, "FFmpeg's texts fit");

/* ---------------------------------------------------------------- open */

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

struct media {
    struct memory_io io;
    enum audio_container container;
    uint32_t mp3_rate_hz;
    AVIOContext *pb;
    AVFormatContext *demuxer;
    AVCodecContext *codec;
    AVPacket *packet;
    AVFrame *frame;
    int stream_i;
    bool is_draining; /* all packets are sent */
    struct media_state state;
};

void media_close(struct media *m)
{
    if (m == NULL)
        return;
    av_frame_free(&m->frame);
    av_packet_free(&m->packet);
    avcodec_free_context(&m->codec);
    avformat_close_input(&m->demuxer);
    if (m->pb != NULL)
        av_freep(&m->pb->buffer);
    avio_context_free(&m->pb);
    mem_free(m);
}

/* The text of FFmpeg's error numbers. */
static const char *av_text(int code, char out[AV_ERROR_MAX_STRING_SIZE])
{
    if (av_strerror(code, out, AV_ERROR_MAX_STRING_SIZE) < 0)
        snprintf(out, AV_ERROR_MAX_STRING_SIZE, "error %d", code);
    return out;
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

static bool open_demuxer(struct media *m, enum decode_verdict *verdict, struct err *e)
{
    const struct container *c = &containers[m->container];
    char text[AV_ERROR_MAX_STRING_SIZE];
    uint8_t *buffer = av_malloc(IO_BUFFER_BYTES);
    if (buffer != NULL)
        m->pb = avio_alloc_context(buffer, IO_BUFFER_BYTES, 0, &m->io, io_read, NULL, io_seek);
    if (m->pb == NULL) {
        av_free(buffer);
        return out_of_memory(verdict, e);
    }
    m->demuxer = avformat_alloc_context();
    if (m->demuxer == NULL)
        return out_of_memory(verdict, e);
    m->demuxer->pb = m->pb;
    m->demuxer->probesize = PROBE_BYTES;
    m->demuxer->max_streams = STREAMS_MAX;
    m->demuxer->io_open = io_open_nothing;
    m->demuxer->format_whitelist = av_strdup(c->demuxer);
    m->demuxer->codec_whitelist = av_strdup(c->codecs);
    m->demuxer->protocol_whitelist = av_strdup("");
    if (m->demuxer->format_whitelist == NULL || m->demuxer->codec_whitelist == NULL ||
        m->demuxer->protocol_whitelist == NULL)
        return out_of_memory(verdict, e);

    int ret = avformat_open_input(&m->demuxer, NULL, av_find_input_format(c->demuxer), NULL);
    if (ret == AVERROR(ENOMEM))
        return decode_reject(verdict, DECODE_CORRUPT, e, "%s header asks for more than %d bytes",
                             audio_container_name(m->container), ALLOC_MAX_BYTES);
    if (ret < 0)
        return decode_reject(verdict, DECODE_CORRUPT, e, "%s header cannot be read: %s",
                             audio_container_name(m->container), av_text(ret, text));

    m->stream_i = choose_stream(m->demuxer);
    if (m->stream_i < 0)
        return decode_reject(verdict, DECODE_NOT_AUDIO, e, "%s without an audio stream",
                             audio_container_name(m->container));
    for (unsigned i = 0; i < m->demuxer->nb_streams; i++)
        if ((int)i != m->stream_i)
            m->demuxer->streams[i]->discard = AVDISCARD_ALL;
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

static bool open_codec(struct media *m, enum decode_verdict *verdict, struct err *e)
{
    const struct container *c = &containers[m->container];
    char text[AV_ERROR_MAX_STRING_SIZE];
    AVStream *st = m->demuxer->streams[m->stream_i];
    const AVCodec *codec = avcodec_find_decoder(st->codecpar->codec_id);
    if (codec == NULL || !name_in_list(codec->name, c->codecs))
        return decode_reject(verdict, DECODE_NOT_AUDIO, e, "%s with codec %s; allowed are %s",
                             audio_container_name(m->container),
                             avcodec_get_name(st->codecpar->codec_id), c->codecs);
    /* The end of an MP3 is trimmed in samples of this rate, before any frame was decoded. */
    if (m->container == AUDIO_MP3 && st->codecpar->sample_rate == 0)
        st->codecpar->sample_rate = (int)m->mp3_rate_hz;

    m->codec = avcodec_alloc_context3(codec);
    m->packet = av_packet_alloc();
    m->frame = av_frame_alloc();
    if (m->codec == NULL || m->packet == NULL || m->frame == NULL)
        return out_of_memory(verdict, e);
    int ret = avcodec_parameters_to_context(m->codec, st->codecpar);
    m->codec->pkt_timebase = st->time_base;
    m->codec->thread_count = 1;
    m->codec->max_samples = FRAME_SAMPLES_MAX;
    if (ret >= 0)
        ret = avcodec_open2(m->codec, codec, NULL);
    if (ret < 0)
        return decode_reject(verdict, DECODE_CORRUPT, e, "%s stream of %s cannot be opened: %s",
                             audio_container_name(m->container), codec->name, av_text(ret, text));
    m->state.declared_ms =
        st->duration != AV_NOPTS_VALUE && st->duration > 0
            ? (double)st->duration * 1000.0 * st->time_base.num / (double)st->time_base.den
            : -1.0;
    return true;
}

bool media_open(struct span file, enum audio_container container, const struct mpeg_header *mp3,
                struct media **out, enum decode_verdict *verdict, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, library_setup);
    struct media *m = mem_zalloc(1, sizeof *m);
    m->io.file = file;
    m->container = container;
    m->mp3_rate_hz = mp3->rate_hz;
    m->stream_i = -1;
    m->state.declared_ms = -1.0;
    if (!open_demuxer(m, verdict, e) || !open_codec(m, verdict, e)) {
        media_close(m);
        return false;
    }
    *out = m;
    return true;
}

const struct media_state *media_state(const struct media *m)
{
    return &m->state;
}

/* ---------------------------------------------------------------- packets and frames */

static bool format_is_known(enum AVSampleFormat packed)
{
    return packed == AV_SAMPLE_FMT_U8 || packed == AV_SAMPLE_FMT_S16 ||
           packed == AV_SAMPLE_FMT_S32 || packed == AV_SAMPLE_FMT_FLT ||
           packed == AV_SAMPLE_FMT_DBL;
}

static void describe_frame(const struct media *m, struct media_frame *out)
{
    const AVFrame *frame = m->frame;
    *out = (struct media_frame){
        .rate_hz = frame->sample_rate,
        .n_channels = frame->ch_layout.nb_channels,
        .n_samples = frame->nb_samples,
        .format = frame->format,
        .is_known = format_is_known(av_get_packed_sample_fmt(frame->format)),
    };
}

bool media_next_frame(struct media *m, uint64_t n_packets_max, struct media_frame *out)
{
    for (;;) {
        int ret = avcodec_receive_frame(m->codec, m->frame);
        if (ret == 0) {
            describe_frame(m, out);
            return true;
        }
        if (ret == AVERROR_EOF || m->is_draining || m->state.n_failed >= FAILED_PACKETS_MAX ||
            m->state.n_packets >= n_packets_max)
            return false;
        m->state.n_failed += ret != AVERROR(EAGAIN);

        ret = av_read_frame(m->demuxer, m->packet);
        if (ret < 0) {
            m->is_draining = true;
            if (ret != AVERROR_EOF)
                av_text(ret, m->state.read_error);
            (void)avcodec_send_packet(m->codec, NULL);
            continue;
        }
        if (m->packet->stream_index == m->stream_i) {
            m->state.n_packets++;
            m->state.n_failed += avcodec_send_packet(m->codec, m->packet) < 0;
        }
        av_packet_unref(m->packet);
    }
}

enum media_read media_next_packet(struct media *m, struct media_packet *out)
{
    enum { TRIM_BYTES = 10 }; /* AV_PKT_DATA_SKIP_SAMPLES: u32le, u32le, u8, u8 */
    AVPacket *packet = m->packet;
    struct span file = m->io.file;
    int ret = av_read_frame(m->demuxer, packet);
    if (ret < 0)
        return ret == AVERROR_EOF ? MEDIA_END : MEDIA_ODD;
    m->state.n_packets++;
    bool ok = packet->stream_index == m->stream_i && packet->pos >= 0 && packet->size >= 0 &&
              (packet->flags & AV_PKT_FLAG_DISCARD) == 0;
    *out = (struct media_packet){0};
    if (ok) {
        size_t n_side = 0;
        const uint8_t *side = av_packet_get_side_data(packet, AV_PKT_DATA_SKIP_SAMPLES, &n_side);
        out->at = (size_t)packet->pos;
        out->n_bytes = (size_t)packet->size;
        out->has_trim = side != NULL && n_side >= TRIM_BYTES;
        if (out->has_trim)
            out->trim = (struct mpeg_trim){AV_RL32(side), AV_RL32(side + 4)};
        ok = out->at <= file.len && out->n_bytes <= file.len - out->at &&
             memcmp((const uint8_t *)file.ptr + out->at, packet->data, out->n_bytes) == 0;
    }
    av_packet_unref(packet);
    return ok ? MEDIA_PACKET : MEDIA_ODD;
}

void media_flush(struct media *m)
{
    avcodec_flush_buffers(m->codec);
}

bool media_decode(struct media *m, size_t at, size_t n_bytes, struct media_frame *out)
{
    assert(at <= m->io.file.len);
    assert(n_bytes <= m->io.file.len - at);
    if (av_new_packet(m->packet, (int)n_bytes) < 0)
        return false;
    memcpy(m->packet->data, (const uint8_t *)m->io.file.ptr + at, n_bytes);
    int ret = avcodec_send_packet(m->codec, m->packet);
    av_packet_unref(m->packet);
    if (ret < 0 || avcodec_receive_frame(m->codec, m->frame) != 0)
        return false;
    describe_frame(m, out);
    return true;
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

bool media_convert(const struct media *m, size_t from, size_t to, int16_t *out)
{
    const AVFrame *frame = m->frame;
    size_t n_channels = (size_t)frame->ch_layout.nb_channels;
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

/* Ogg's tags belong to the stream, those of the others to the file. */
const char *media_tag(const struct media *m, const char *name)
{
    const AVDictionaryEntry *tag = av_dict_get(m->demuxer->metadata, name, NULL, 0);
    if (tag == NULL)
        tag = av_dict_get(m->demuxer->streams[m->stream_i]->metadata, name, NULL, 0);
    return tag != NULL ? tag->value : NULL;
}

uint32_t media_rate_hz(const struct media *m)
{
    return m->codec->sample_rate > 0 ? (uint32_t)m->codec->sample_rate : 0;
}

unsigned media_codec_version(void)
{
    return avcodec_version();
}
