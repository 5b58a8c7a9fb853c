#include "ingest/mpeg.h"

#include <string.h>

/* ISO/IEC 11172-3 and 13818-3 section 2.4.2.3; MPEG 2.5 is the Fraunhofer extension. */
static const uint16_t kbps_mpeg1[15] = {0,   32,  40,  48,  56,  64,  80, 96,
                                        112, 128, 160, 192, 224, 256, 320};
static const uint16_t kbps_mpeg2[15] = {0,  8,  16, 24,  32,  40,  48, 56,
                                        64, 80, 96, 112, 128, 144, 160};
static const uint32_t rates_mpeg1_hz[3] = {44100, 48000, 32000};

enum { ID3_HEADER_BYTES = 10, ID3_TAGS_MAX = 16 };

bool mpeg_header_parse(const uint8_t bytes[4], struct mpeg_header *out)
{
    unsigned version = bytes[1] >> 3 & 3; /* 0: MPEG 2.5, 1: reserved, 2: MPEG 2, 3: MPEG 1 */
    unsigned layer = bytes[1] >> 1 & 3;   /* 1: layer III */
    unsigned kbps_i = bytes[2] >> 4;
    unsigned rate_i = bytes[2] >> 2 & 3;
    unsigned padding = bytes[2] >> 1 & 1;
    if (bytes[0] != 0xff || (bytes[1] & 0xe0) != 0xe0 || version == 1 || layer != 1 ||
        kbps_i == 0 || kbps_i == 15 || rate_i == 3)
        return false;
    bool full_rate = version == 3;
    uint32_t bits_per_s = 1000u * (full_rate ? kbps_mpeg1 : kbps_mpeg2)[kbps_i];
    out->rate_hz = rates_mpeg1_hz[rate_i] >> (full_rate ? 0 : version == 2 ? 1 : 2);
    out->n_channels = bytes[3] >> 6 == 3 ? 1 : 2;
    out->n_samples = full_rate ? 1152 : 576;
    out->frame_bytes = out->n_samples / 8 * bits_per_s / out->rate_hz + padding;
    out->has_crc = (bytes[1] & 1) == 0;
    return true;
}

/* Bits from the most significant one on; what lies behind the end reads as zero. */
struct bits {
    struct span in;
    size_t at;
};

static uint32_t bits_take(struct bits *b, unsigned n)
{
    uint32_t three_bytes = 0;
    assert(n <= 16);
    for (size_t i = b->at / 8; i < b->at / 8 + 3; i++)
        three_bytes = three_bytes << 8 | (i < b->in.len ? ((const uint8_t *)b->in.ptr)[i] : 0u);
    uint32_t v = three_bytes >> (24 - b->at % 8 - n) & ((1u << n) - 1);
    b->at += n;
    return v;
}

uint32_t mpeg_reservoir_bytes(const struct mpeg_header *h)
{
    return h->n_samples == 1152 ? 511 : 255;
}

static size_t side_info_bytes(const struct mpeg_header *h)
{
    return h->n_samples == 1152 ? (h->n_channels == 1 ? 17 : 32) : (h->n_channels == 1 ? 9 : 17);
}

/* 59 bits a granule and channel (MPEG-1), 63 (half rates). */
static bool parse_granule(struct bits *b, bool full_rate, uint32_t *main_bits)
{
    enum { BIG_VALUES_MAX = 288, GAIN_BITS = 8, WINDOW_BITS = 22 };
    *main_bits += bits_take(b, 12);
    uint32_t n_big_values = bits_take(b, 9);
    b->at += GAIN_BITS + (full_rate ? 4u : 9u); /* global_gain, scalefac_compress */
    bool is_switched = bits_take(b, 1) == 1;
    bool is_valid = !is_switched || bits_take(b, 2) != 0;
    b->at += is_switched ? WINDOW_BITS - 2 : WINDOW_BITS;
    b->at += full_rate ? 3 : 2; /* preflag, scalefac_scale, count1table_select */
    return is_valid && n_big_values <= BIG_VALUES_MAX;
}

bool mpeg_side_parse(struct span frame, const struct mpeg_header *h, struct mpeg_side *out)
{
    bool full_rate = h->n_samples == 1152;
    size_t head_bytes = MPEG_HEADER_BYTES + (h->has_crc ? 2 : 0);
    size_t side_bytes = side_info_bytes(h);
    if (frame.len < head_bytes + side_bytes)
        return false;
    struct bits b = {{(const uint8_t *)frame.ptr + head_bytes, side_bytes}, 0};
    *out = (struct mpeg_side){.main_bytes = (uint32_t)(frame.len - head_bytes - side_bytes)};
    if (full_rate) {
        out->begin_bytes = bits_take(&b, 9);
        b.at += h->n_channels == 1 ? 5 + 4 : 3 + 8; /* private bits, scfsi */
    } else {
        out->begin_bytes = bits_take(&b, 8);
        b.at += h->n_channels == 1 ? 1 : 2;
    }
    unsigned n_granules = (full_rate ? 2 : 1) * h->n_channels;
    for (unsigned i = 0; i < n_granules; i++)
        if (!parse_granule(&b, full_rate, &out->main_bits))
            return false;
    assert(b.at == 8 * side_bytes);
    return true;
}

static bool has_at(struct span file, size_t at, const char *word)
{
    size_t n = strlen(word);
    return at <= file.len && file.len - at >= n &&
           memcmp((const uint8_t *)file.ptr + at, word, n) == 0;
}

size_t mpeg_id3_bytes(struct span file)
{
    const uint8_t *bytes = file.ptr;
    size_t at = 0;
    for (int i = 0; i < ID3_TAGS_MAX; i++) {
        if (!has_at(file, at, "ID3") || file.len - at < ID3_HEADER_BYTES)
            break;
        const uint8_t *size = bytes + at + 6; /* four times seven bits */
        if (((size[0] | size[1] | size[2] | size[3]) & 0x80) != 0)
            break;
        size_t body_bytes =
            (size_t)size[0] << 21 | (size_t)size[1] << 14 | (size_t)size[2] << 7 | size[3];
        bool has_footer = (bytes[at + 5] & 0x10) != 0;
        at += ID3_HEADER_BYTES + body_bytes + (has_footer ? ID3_HEADER_BYTES : 0);
    }
    return at;
}

static bool frame_at(struct span file, size_t at, struct mpeg_header *out)
{
    return at <= file.len && file.len - at >= MPEG_HEADER_BYTES &&
           mpeg_header_parse((const uint8_t *)file.ptr + at, out);
}

bool mpeg_find_frame(struct span file, size_t from, size_t window, size_t *at,
                     struct mpeg_header *out)
{
    size_t end = size_min(file.len, from + window);
    for (size_t i = from; i < end; i++) {
        struct mpeg_header next;
        const uint8_t *sync = memchr((const uint8_t *)file.ptr + i, 0xff, end - i);
        if (sync == NULL)
            return false;
        i = (size_t)(sync - (const uint8_t *)file.ptr);
        if (!frame_at(file, i, out))
            continue;
        size_t next_at = i + out->frame_bytes;
        if (next_at == file.len ||
            (frame_at(file, next_at, &next) && next.rate_hz == out->rate_hz)) {
            *at = i;
            return true;
        }
    }
    return false;
}

static bool tag_at(struct span file, size_t at)
{
    return has_at(file, at, "TAG") || has_at(file, at, "APETAGEX") ||
           has_at(file, at, "LYRICSBEGIN");
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Xing and Info lie behind the side information, VBRI 32 bytes behind the header:
 * http://gabriel.mp3-tech.org/mp3infotag.html and the Fraunhofer VBRI SDK. */
bool mpeg_promise_parse(struct span frame, const struct mpeg_header *h, struct mpeg_promise *out)
{
    enum { HAS_FRAMES = 1, HAS_BYTES = 2, VBRI_AT = MPEG_HEADER_BYTES + 32 };
    const uint8_t *bytes = frame.ptr;
    size_t at = MPEG_HEADER_BYTES + (h->has_crc ? 2u : 0u) + side_info_bytes(h);
    *out = (struct mpeg_promise){0};
    if (frame.len >= VBRI_AT + 18 && has_at(frame, VBRI_AT, "VBRI")) {
        out->n_bytes = big_endian(bytes + VBRI_AT + 10);
        out->n_frames = big_endian(bytes + VBRI_AT + 14);
        return true;
    }
    if (frame.len < at + 16 || (!has_at(frame, at, "Xing") && !has_at(frame, at, "Info")))
        return false;
    uint32_t flags = big_endian(bytes + at + 4);
    at += 8;
    if ((flags & HAS_FRAMES) != 0) {
        out->n_frames = big_endian(bytes + at);
        at += 4;
    }
    if ((flags & HAS_BYTES) != 0)
        out->n_bytes = big_endian(bytes + at);
    return true;
}

enum {
    LOOK_BYTES = 11, /* the longest of what is recognised by its first bytes: LYRICSBEGIN */
    JUNK_RUN_MAX_BYTES = 64 << 10,
    FRAME_BYTES_MAX = 1441, /* 320 kbit/s at 32 kHz, 160 at 8 kHz, padded */
};

static void take_frame(struct mpeg_walk *w, size_t at, const struct mpeg_header *h)
{
    if (w->n_frames++ == 0) {
        w->first_at = at;
        w->header = *h;
    }
    w->n_samples += h->n_samples;
    w->frame_bytes += h->frame_bytes;
    w->at = at + h->frame_bytes;
}

/* One frame, tag or stretch of junk at w->at, of which at least one byte is there. False: nothing
 * more to be found, or not before more bytes come. */
static bool walk_step(struct mpeg_walk *w, struct span file, bool is_whole)
{
    struct mpeg_header h;
    struct span rest = {(const uint8_t *)file.ptr + w->at, file.len - w->at};
    if (!is_whole && rest.len < LOOK_BYTES)
        return false;
    w->is_over = tag_at(file, w->at);
    if (w->is_over)
        return false;
    size_t tag_bytes = mpeg_id3_bytes(rest); /* files joined by appending */
    size_t frame = w->at;
    if (tag_bytes > 0) {
        w->at += tag_bytes;
        return true;
    }
    /* Where the frame before ends a header is believed as it stands, elsewhere it must be
     * confirmed by the next one. */
    bool is_expected = frame_at(file, w->at, &h);
    /* Of what is still coming in, only the part in which any frame's successor is there too. */
    size_t unsure = is_whole ? 0 : size_min(rest.len, FRAME_BYTES_MAX + MPEG_HEADER_BYTES);
    size_t window = is_whole ? rest.len : size_min(rest.len - unsure, JUNK_RUN_MAX_BYTES);
    if (!is_expected && !mpeg_find_frame(file, w->at, window, &frame, &h)) {
        w->is_lost = !is_whole && window == JUNK_RUN_MAX_BYTES;
        if (is_whole) {
            w->junk_bytes += rest.len;
            w->is_cut = rest.len < MPEG_HEADER_BYTES && *(const uint8_t *)rest.ptr == 0xff;
            w->at = file.len;
        }
        return false;
    }
    size_t end = frame + h.frame_bytes;
    if (!is_whole && end > file.len)
        return false;
    w->junk_bytes += frame - w->at;
    w->at = frame;
    w->is_cut = end > file.len;
    if (!w->is_cut)
        take_frame(w, frame, &h);
    return !w->is_cut;
}

void mpeg_walk_more(struct mpeg_walk *w, struct span file, bool is_whole)
{
    while (!w->is_over && !w->is_lost && w->at < file.len && walk_step(w, file, is_whole))
        continue;
}

void mpeg_walk(struct span file, struct mpeg_walk *out)
{
    *out = (struct mpeg_walk){0};
    mpeg_walk_more(out, file, true);
}
