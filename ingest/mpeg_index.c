/*
 * Why a decoding that begins at packet `begin` gives the same bits from packet `keep` on. Let T be
 * the packet of the first wanted sample, M(i) the main data bytes of all packets before i.
 *
 * - Synthesis remembers 15 time slots of 32 subband samples, a granule has 18: T needs the subbands
 *   of T-1's last granule. Those are the overlap of that granule's spectrum with the one before,
 *   which at low rates (one granule a frame) lies in T-2. So from T-2 on spectra must be right.
 * - T-2's main data begins at most 511 (255 at low rates) bytes before M(T-2). So decoding begins
 *   at the last packet b with M(b) <= M(T-2) - 511. Packets from b on may lack their own reservoir;
 *   libavcodec then conceals granules, but moves on by their lengths, so that what it hands to the
 *   next packet is still the true end of the main data. Spectra that are never concealed depend
 *   on nothing else: scale factors are shared within a frame only.
 */
#include "ingest/mpeg_index.h"

#include "base/mem.h"

enum { STATE_PACKETS = 2 };

void mpeg_index_release(struct mpeg_index *x)
{
    mem_free(x->packets);
    *x = (struct mpeg_index){0};
}

void mpeg_index_reset(struct mpeg_index *x)
{
    *x = (struct mpeg_index){.packets = x->packets, .cap_packets = x->cap_packets};
}

/* Samples before and behind, as libavcodec's decode.c drops them (5.1, decode_simple_internal). */
static void trim_packet(struct mpeg_index *x, const struct mpeg_trim *trim, struct mpeg_packet *p)
{
    uint32_t n_samples = x->header.n_samples;
    if (trim != NULL)
        x->n_skip = trim->n_skip > INT32_MAX ? 0 : trim->n_skip;
    p->n_skip = (uint32_t)u64_min(x->n_skip, n_samples);
    x->n_skip -= p->n_skip;
    p->n_keep = n_samples - p->n_skip;
    if (trim != NULL && trim->n_discard <= p->n_keep)
        p->n_keep -= trim->n_discard;
}

/* Main data lies in the order of the frames and does not overlap. */
static bool chain_main_data(struct mpeg_index *x, const struct mpeg_side *side)
{
    uint64_t n_bytes = (side->main_bits + 7) / 8;
    uint64_t end = x->main_at + n_bytes;
    x->main_at += side->main_bytes;
    if (side->begin_bytes > x->main_at - side->main_bytes) { /* a file cut out of a longer one */
        x->main_end = end > side->begin_bytes ? end - side->begin_bytes : 0;
        return x->main_end <= x->main_at;
    }
    end -= side->begin_bytes;
    bool follows = end - n_bytes >= x->main_end;
    x->main_end = end;
    return follows && end <= x->main_at;
}

static bool same_shape(const struct mpeg_header *a, const struct mpeg_header *b)
{
    return a->rate_hz == b->rate_hz && a->n_channels == b->n_channels &&
           a->n_samples == b->n_samples;
}

bool mpeg_index_add(struct mpeg_index *x, struct span file, size_t at, size_t n_bytes,
                    const struct mpeg_trim *trim)
{
    struct mpeg_header header;
    struct mpeg_side side;
    if (x->n_packets == MPEG_INDEX_PACKETS_MAX || at > file.len || n_bytes > file.len - at ||
        n_bytes < MPEG_HEADER_BYTES)
        return false;
    struct span frame = {(const uint8_t *)file.ptr + at, n_bytes};
    if (!mpeg_header_parse(frame.ptr, &header) || header.frame_bytes != n_bytes ||
        !mpeg_side_parse(frame, &header, &side))
        return false;
    if (x->n_packets == 0)
        x->header = header;
    if (!same_shape(&x->header, &header) || !chain_main_data(x, &side))
        return false;

    if (x->n_packets == x->cap_packets) {
        x->cap_packets = size_max(2048, x->cap_packets * 2);
        x->packets = mem_resize(x->packets, x->cap_packets, sizeof *x->packets);
    }
    struct mpeg_packet *p = &x->packets[x->n_packets++];
    *p = (struct mpeg_packet){.at = at,
                              .n_bytes = (uint32_t)n_bytes,
                              .main_bytes = side.main_bytes,
                              .first = x->n_samples};
    trim_packet(x, trim, p);
    x->n_samples += p->n_keep;
    return true;
}

/* The packet that holds a sample: the last of those that begin at or before it and keep some. */
static size_t packet_of(const struct mpeg_index *x, uint64_t sample)
{
    size_t low = 0, high = x->n_packets; /* first <= sample at low, > at high */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (x->packets[middle].first <= sample)
            low = middle;
        else
            high = middle;
    }
    while (x->packets[low].n_keep == 0)
        low--;
    return low;
}

struct mpeg_range mpeg_index_range(const struct mpeg_index *x, uint64_t from, uint64_t to)
{
    assert(from < to);
    assert(to <= x->n_samples);
    struct mpeg_range r = {.keep = packet_of(x, from), .end = packet_of(x, to - 1) + 1};
    uint32_t reservoir = mpeg_reservoir_bytes(&x->header);
    uint64_t n_main_bytes = 0;
    r.begin = r.keep > STATE_PACKETS ? r.keep - STATE_PACKETS : 0;
    while (r.begin > 0 && n_main_bytes < reservoir)
        n_main_bytes += x->packets[--r.begin].main_bytes;
    return r;
}
