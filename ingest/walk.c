/*
 * Each container has a step: the structure at w->at, or "not before more bytes come". A step only
 * reads what it has checked to be there and always moves forward, so a walk ends.
 */
#include "ingest/walk.h"

#include <string.h>

enum {
    BOX_HEADER_BYTES = 8,
    BOX_LONG_HEADER_BYTES = 16,
    BOX_DEPTH_MAX = 8,
    PAGE_HEADER_BYTES = 27,
    FLAC_INFO_BYTES = 42, /* the magic, a block header and STREAMINFO */
    WAV_HEAD_BYTES = 12,
};

void walk_init(struct walk *w, enum audio_container container, size_t at)
{
    assert(container != AUDIO_NONE);
    *w = (struct walk){.container = container, .at = at, .mpeg.at = at};
}

static uint64_t big_endian(const uint8_t *bytes, size_t n_bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes; i++)
        value = value << 8 | bytes[i];
    return value;
}

static uint64_t little_endian(const uint8_t *bytes, size_t n_bytes)
{
    uint64_t value = 0;
    for (size_t i = n_bytes; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static struct span tail_of(struct span s, size_t at)
{
    return (struct span){(const uint8_t *)s.ptr + at, s.len - at};
}

/* ---------------------------------------------------------------- MP4: ISO/IEC 14496-12 */

struct box {
    char type[5];
    uint64_t n_bytes; /* header included; 0: up to the end of the file */
    size_t header_bytes;
};

/* False when its header is not there in whole, or is none. */
static bool box_parse(struct span s, struct box *out)
{
    const uint8_t *b = s.ptr;
    if (s.len < BOX_HEADER_BYTES)
        return false;
    *out = (struct box){.n_bytes = big_endian(b, 4), .header_bytes = BOX_HEADER_BYTES};
    memcpy(out->type, b + 4, 4);
    if (out->n_bytes == 1) {
        if (s.len < BOX_LONG_HEADER_BYTES)
            return false;
        out->n_bytes = big_endian(b + 8, 8);
        out->header_bytes = BOX_LONG_HEADER_BYTES;
        return out->n_bytes >= BOX_LONG_HEADER_BYTES;
    }
    return out->n_bytes == 0 || out->n_bytes >= BOX_HEADER_BYTES;
}

static bool is_type(const struct box *b, const char *type)
{
    return memcmp(b->type, type, 4) == 0;
}

/* Version 0 has 32-bit times, version 1 64-bit ones. */
static void take_mvhd(struct walk *w, struct span body)
{
    const uint8_t *b = body.ptr;
    bool is_long = body.len > 0 && b[0] == 1;
    size_t scale_at = is_long ? 20 : 12, n = is_long ? 8 : 4;
    if (body.len < scale_at + 4 + n)
        return;
    uint64_t scale = big_endian(b + scale_at, 4), duration = big_endian(b + scale_at + 4, n);
    bool is_known = scale > 0 && duration < (is_long ? UINT64_MAX : UINT32_MAX);
    if (is_known && duration <= UINT64_MAX / 1000)
        w->media_ms = duration * 1000 / scale;
}

/* stco and co64: where each chunk of samples begins. */
static void take_chunk_offsets(struct walk *w, struct span body, size_t entry_bytes)
{
    const uint8_t *b = body.ptr;
    if (body.len < 8)
        return;
    uint64_t n = u64_min(big_endian(b + 4, 4), (body.len - 8) / entry_bytes);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t begin = big_endian(b + 8 + i * entry_bytes, entry_bytes);
        w->media_end = u64_max(w->media_end, begin < UINT64_MAX ? begin + 1 : begin);
    }
}

/* The boxes inside one, which is there in whole. */
static void take_boxes(struct walk *w, struct span body, unsigned depth)
{
    static const char *const parents[] = {"trak", "mdia", "minf", "stbl"};
    struct box box;
    while (box_parse(body, &box) && box.n_bytes <= body.len) {
        size_t n = box.n_bytes == 0 ? body.len : (size_t)box.n_bytes;
        struct span inside = {(const uint8_t *)body.ptr + box.header_bytes, n - box.header_bytes};
        if (is_type(&box, "mvhd"))
            take_mvhd(w, inside);
        else if (is_type(&box, "stco"))
            take_chunk_offsets(w, inside, 4);
        else if (is_type(&box, "co64"))
            take_chunk_offsets(w, inside, 8);
        else if (is_type(&box, "mvex"))
            w->is_fragmented = true;
        for (size_t i = 0; depth < BOX_DEPTH_MAX && i < ARRAY_LEN(parents); i++)
            if (is_type(&box, parents[i]))
                take_boxes(w, inside, depth + 1);
        body = tail_of(body, n);
    }
}

static bool is_box_type(const struct box *b)
{
    for (size_t i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)b->type[i];
        if (c < 0x20 || (c > 0x7e && c != 0xa9)) /* the copyright sign of iTunes */
            return false;
    }
    return true;
}

static bool mp4_step(struct walk *w, struct span file, bool is_whole)
{
    struct box box;
    struct span rest = tail_of(file, w->at);
    if (rest.len < BOX_LONG_HEADER_BYTES && !(box_parse(rest, &box) && rest.len == box.n_bytes))
        return false;
    if (!box_parse(rest, &box) || !is_box_type(&box)) {
        w->junk_bytes = SIZE_MAX - w->at; /* nothing tells where the next box would be */
        w->at = SIZE_MAX;
        return false;
    }
    if (is_type(&box, "moov")) {
        if (box.n_bytes > rest.len || (box.n_bytes == 0 && !is_whole))
            return false;
        size_t n = box.n_bytes == 0 ? rest.len : (size_t)box.n_bytes;
        w->has_moov = true;
        take_boxes(
            w, (struct span){(const uint8_t *)rest.ptr + box.header_bytes, n - box.header_bytes},
            0);
    }
    w->has_mdat = w->has_mdat || is_type(&box, "mdat");
    if (box.n_bytes == 0 || box.n_bytes > SIZE_MAX - w->at)
        w->at = SIZE_MAX;
    else
        w->at += (size_t)box.n_bytes;
    return true;
}

static struct walk_end mp4_finish(const struct walk *w, struct span file)
{
    /* Behind header and samples anything may follow; before them it is no MP4. */
    bool is_whole = w->has_moov && w->has_mdat;
    bool is_to_end = w->at == SIZE_MAX;
    return (struct walk_end){
        .ms = w->is_fragmented ? 0 : w->media_ms,
        .is_missing = !is_whole || w->media_end > file.len || (!is_to_end && w->at > file.len),
        .junk_bytes = is_whole ? 0 : u64_min(w->junk_bytes, file.len),
    };
}

/* ---------------------------------------------------------------- Ogg: RFC 3533 */

/* What the granules of a stream count: its first page says. */
static void take_first_page(struct walk *w, struct span packet)
{
    const uint8_t *b = packet.ptr;
    if (packet.len >= 16 && memcmp(b, "\001vorbis", 7) == 0)
        w->rate_hz = (uint32_t)little_endian(b + 12, 4);
    else if (packet.len >= 12 && memcmp(b, "OpusHead", 8) == 0) {
        w->rate_hz = 48000;
        w->n_skip = (uint32_t)little_endian(b + 10, 2);
    }
}

static bool ogg_step(struct walk *w, struct span file, bool is_whole)
{
    enum { IS_FIRST = 2, IS_LAST = 4 };
    static const char magic[] = "OggS";
    struct span rest = tail_of(file, w->at);
    const uint8_t *b = rest.ptr;
    bool is_page = memcmp(b, magic, size_min(rest.len, 4)) == 0;
    if (!is_page && (is_whole || rest.len >= 4)) {
        const uint8_t *next = memchr(b + 1, magic[0], rest.len - 1);
        size_t n = next == NULL ? rest.len : (size_t)(next - b);
        w->junk_bytes += n;
        w->at += n;
        return true;
    }
    if (rest.len < PAGE_HEADER_BYTES || rest.len < PAGE_HEADER_BYTES + (size_t)b[26])
        return false;
    size_t n_bytes = PAGE_HEADER_BYTES + (size_t)b[26];
    for (size_t i = 0; i < b[26]; i++)
        n_bytes += b[PAGE_HEADER_BYTES + i];
    if (n_bytes > rest.len)
        return false;
    uint32_t serial = (uint32_t)little_endian(b + 14, 4);
    uint64_t granule = little_endian(b + 6, 8);
    if (!w->has_stream && (b[5] & IS_FIRST) != 0) {
        size_t body_at = PAGE_HEADER_BYTES + (size_t)b[26];
        take_first_page(w, (struct span){b + body_at, n_bytes - body_at});
        w->has_stream = w->rate_hz > 0;
        w->serial = serial;
    }
    if (serial == w->serial) {
        w->has_last_page = w->has_last_page || (b[5] & IS_LAST) != 0;
        if (granule != UINT64_MAX)
            w->n_granules = u64_max(w->n_granules, granule);
    }
    w->at += n_bytes;
    return true;
}

static struct walk_end ogg_finish(const struct walk *w, struct span file)
{
    uint64_t n = w->n_granules > w->n_skip ? w->n_granules - w->n_skip : 0;
    bool is_known = w->rate_hz > 0 && n <= UINT64_MAX / 1000;
    return (struct walk_end){
        .ms = is_known ? n * 1000 / w->rate_hz : 0,
        .is_open = w->at != file.len || !w->has_last_page,
        .junk_bytes = w->junk_bytes,
    };
}

/* ---------------------------------------------------------------- FLAC, WAV, MPEG */

/* Frames do not tell their length. But no frame is shorter than STREAMINFO says, or has more
 * samples: https://www.rfc-editor.org/rfc/rfc9639 section 8.2. */
static struct walk_end flac_finish(struct span file)
{
    const uint8_t *b = file.ptr;
    size_t at = mpeg_id3_bytes(file);
    if (at > file.len || file.len - at < FLAC_INFO_BYTES)
        return (struct walk_end){.is_missing = true};
    const uint8_t *info = b + at + 8;
    uint64_t block_max = big_endian(info + 2, 2), frame_min = big_endian(info + 4, 3);
    uint64_t rate_hz = big_endian(info + 10, 3) >> 4;
    uint64_t n_samples = big_endian(info + 13, 5) & ((UINT64_C(1) << 36) - 1);
    uint64_t n_frames = block_max > 0 ? n_samples / block_max : 0;
    return (struct walk_end){
        .ms = rate_hz > 0 ? n_samples * 1000 / rate_hz : 0,
        .is_missing = n_frames * frame_min > file.len - at,
    };
}

static struct walk_end wav_finish(struct span file)
{
    const uint8_t *b = file.ptr;
    uint64_t promised = 0, present = 0, bytes_per_s = 0;
    bool is_known = wav_data_bytes(file, &promised, &present);
    for (size_t at = WAV_HEAD_BYTES; at < file.len && file.len - at >= 24;) {
        uint64_t n = little_endian(b + at + 4, 4);
        if (memcmp(b + at, "fmt ", 4) == 0) {
            bytes_per_s = little_endian(b + at + 16, 4);
            break;
        }
        at += 8 + (size_t)n + (n & 1);
    }
    return (struct walk_end){
        .ms = is_known && bytes_per_s > 0 ? present * 1000 / bytes_per_s : 0,
        .is_missing = is_known && promised - present > promised / 100,
    };
}

static struct walk_end mpeg_finish(const struct walk *w, struct span file)
{
    enum { FRAMES_SLACK = 2 };
    const struct mpeg_walk *m = &w->mpeg;
    struct mpeg_promise promise;
    struct span first = {(const uint8_t *)file.ptr + m->first_at, m->header.frame_bytes};
    bool has_promise = m->n_frames > 0 && mpeg_promise_parse(first, &m->header, &promise);
    uint64_t n_frames = m->n_frames - has_promise;
    struct walk_end end = {.is_open = m->is_cut, .junk_bytes = m->junk_bytes};
    if (m->n_frames > 0)
        end.ms = n_frames * m->header.n_samples * 1000 / m->header.rate_hz;
    /* The count of bytes may cover tags that are not there; frames are what matters. */
    if (has_promise)
        end.is_missing = promise.n_frames > n_frames + n_frames / 100 + FRAMES_SLACK;
    return end;
}

/* ---------------------------------------------------------------- all */

static void walk_on(struct walk *w, struct span file, bool is_whole)
{
    bool (*step)(struct walk *, struct span, bool) = NULL;
    if (w->container == AUDIO_MP3)
        mpeg_walk_more(&w->mpeg, file, is_whole);
    else if (w->container == AUDIO_MP4)
        step = mp4_step;
    else if (w->container == AUDIO_OGG)
        step = ogg_step;
    while (step != NULL && w->at < file.len && step(w, file, is_whole))
        continue;
}

void walk_more(struct walk *w, struct span file)
{
    walk_on(w, file, false);
}

struct walk_end walk_finish(struct walk *w, struct span file)
{
    walk_on(w, file, false);
    walk_on(w, file, true);
    switch (w->container) {
    case AUDIO_MP3:
        return mpeg_finish(w, file);
    case AUDIO_MP4:
        return mp4_finish(w, file);
    case AUDIO_OGG:
        return ogg_finish(w, file);
    case AUDIO_FLAC:
        return flac_finish(file);
    case AUDIO_WAV:
        return wav_finish(file);
    case AUDIO_NONE:
    case AUDIO_CONTAINERS:
        break;
    }
    return (struct walk_end){0};
}
