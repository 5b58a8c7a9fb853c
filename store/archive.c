#include "store/archive.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/*
 * Both ways run through the same model, value by value in time order, and the model sees only what
 * the other way has seen too: splitting and joining cannot disagree.
 *
 * The prediction of a level is the mean of two, plus a bias:
 *   - LOCO-I's median edge detector (Weinberger, Seroussi, Sapiro: The LOCO-I Lossless Image
 *     Compression Algorithm, IEEE TIP 9(8), 2000), of the level before, the band below and the band
 *     below before;
 *   - a linear one, least squares over 120 composed clips in 256ths;
 *   - the mean error so far in the same context (CALIC's error feedback: Wu, Memon, IEEE Trans.
 *     Comm. 45(4), 1997), which is where the neighbours lie about the prediction and how far apart.
 * Bytes a clip, mean of 72: difference along time 36,740, the first 34,670, with the second 34,489,
 * with the third 34,086; one stream instead of three adds 300.
 */
enum {
    PAD = 2, /* columns on each side of a row that repeat its ends */
    UNREST_WEIGHTS = 7,
    UNREST_MAX = UNREST_WEIGHTS * 255,
    BIAS_CONTEXTS = 256,
    BIAS_BITS = 12, /* biases are in 4096ths of a level */
    BIAS_ONE = 1 << BIAS_BITS,
    BIAS_SHIFT = 6, /* an error moves its bias by 1/64 of the distance */
};

/* Rows have PAD columns on both sides; [0] is the frame being coded, [1] the one before. */
struct model {
    size_t n_mels;
    uint8_t *memory;
    uint8_t *level[3], *wrong[3]; /* wrong: absolute error of the prediction, at most 255 */
    int32_t bias[BIAS_CONTEXTS];
};

struct guess {
    int32_t before_bias, value;
    uint32_t context;
};

static void model_init(struct model *m, size_t n_mels)
{
    size_t row = n_mels + 2 * (size_t)PAD;
    *m = (struct model){.n_mels = n_mels, .memory = mem_zalloc(6, row)};
    for (size_t i = 0; i < 3; i++) {
        m->level[i] = m->memory + i * row + PAD;
        m->wrong[i] = m->memory + (3 + i) * row + PAD;
    }
}

static void model_release(struct model *m)
{
    mem_free(m->memory);
}

/* The columns left of a row, which take the level before of its first band. */
static void row_begin(struct model *m)
{
    uint8_t *now = m->level[0];
    now[-1] = now[-2] = m->level[1][0];
}

static void row_end(struct model *m)
{
    uint8_t *done = m->level[0], *oldest = m->level[2], *wrong = m->wrong[2];
    done[-1] = done[-2] = done[0];
    done[m->n_mels] = done[m->n_mels + 1] = done[m->n_mels - 1];
    m->level[2] = m->level[1];
    m->level[1] = done;
    m->level[0] = oldest;
    m->wrong[2] = m->wrong[1];
    m->wrong[1] = m->wrong[0];
    m->wrong[0] = wrong;
}

static inline int32_t clamp_level(int32_t v)
{
    return v < 0 ? 0 : v > 255 ? 255 : v;
}

static inline int32_t median_edge(int32_t a, int32_t b, int32_t c)
{
    int32_t high = a > b ? a : b, low = a > b ? b : a, plane = a + b - c;
    return c >= high ? low : c <= low ? high : plane;
}

static inline uint32_t unrest_at(const struct model *m, size_t i)
{
    const uint8_t *now = m->wrong[0] + i, *before = m->wrong[1] + i;
    return 2U * before[0] + 2U * now[-1] + before[-1] + before[1] + m->wrong[2][i];
}

static inline struct guess guess_at(const struct model *m, size_t i)
{
    const uint8_t *now = m->level[0] + i, *before = m->level[1] + i;
    int32_t a = before[0], b = now[-1], c = before[-1], d = before[1], e = m->level[2][i],
            f = now[-2];
    int32_t linear = clamp_level((267 * a + 150 * b - 130 * c + 5 * d - 36 * e + 128) >> 8);
    int32_t p = (median_edge(a, b, c) + linear + 1) >> 1;
    int32_t spread = abs(a - c) + abs(b - c);
    uint32_t context = (uint32_t)(b > p) | (uint32_t)(a > p) << 1 | (uint32_t)(c > p) << 2 |
                       (uint32_t)(d > p) << 3 | (uint32_t)(e > p) << 4 | (uint32_t)(f > p) << 5 |
                       (uint32_t)(spread > 8) << 6 | (uint32_t)(spread > 24) << 7;
    int32_t bias = (m->bias[context] + BIAS_ONE / 2) >> BIAS_BITS;
    return (struct guess){p, clamp_level(p + bias), context};
}

static inline void learn(struct model *m, size_t i, const struct guess *g, uint8_t level)
{
    int32_t *bias = &m->bias[g->context];
    *bias += ((level - g->before_bias) * BIAS_ONE - *bias) >> BIAS_SHIFT;
    m->level[0][i] = level;
    m->wrong[0][i] = (uint8_t)abs(level - g->value);
}

/* ---------------------------------------------------------------- head */

void archive_head_write(const struct archive_head *head, uint8_t out[ARCHIVE_HEAD_BYTES])
{
    memcpy(out, head->threshold, sizeof head->threshold);
    memcpy(out + sizeof head->threshold, head->n, 2 * sizeof head->n[0]);
}

bool archive_head_read(const uint8_t in[ARCHIVE_HEAD_BYTES], size_t n, struct archive_head *out)
{
    struct archive_head head;
    static_assert(sizeof head.threshold + 2 * sizeof head.n[0] == ARCHIVE_HEAD_BYTES, "on disk");
    memcpy(head.threshold, in, sizeof head.threshold);
    memcpy(head.n, in + sizeof head.threshold, 2 * sizeof head.n[0]);
    if (head.n[0] > n || head.n[1] > n - head.n[0])
        return false;
    head.n[2] = (uint32_t)(n - head.n[0] - head.n[1]);
    *out = head;
    return true;
}

static inline uint32_t stream_of(const struct archive_head *head, uint32_t unrest)
{
    return (uint32_t)(unrest > head->threshold[0]) + (uint32_t)(unrest > head->threshold[1]);
}

/* Thresholds that share the values out as evenly as may be. */
static void thresholds_set(struct archive_head *head, const uint32_t histogram[UNREST_MAX + 1],
                           size_t n)
{
    size_t below = 0, k = 0;
    for (uint32_t unrest = 0; unrest <= UNREST_MAX && k + 1 < ARCHIVE_STREAMS; unrest++) {
        below += histogram[unrest];
        while (k + 1 < ARCHIVE_STREAMS && below >= (k + 1) * n / ARCHIVE_STREAMS)
            head->threshold[k++] = (uint16_t)unrest;
    }
}

/* ---------------------------------------------------------------- both ways */

void archive_split(const uint8_t *levels, size_t n_frames, size_t n_mels, struct archive_head *head,
                   uint8_t *streams)
{
    struct model m;
    size_t n = n_frames * n_mels, at[ARCHIVE_STREAMS] = {0};
    uint32_t histogram[UNREST_MAX + 1] = {0};
    uint8_t *left = mem_alloc(n, sizeof *left);
    uint16_t *unrest = mem_alloc(n, sizeof *unrest);
    *head = (struct archive_head){0};
    model_init(&m, n_mels);
    for (size_t t = 0, i = 0; t < n_frames; t++) {
        row_begin(&m);
        for (size_t band = 0; band < n_mels; band++, i++) {
            struct guess g = guess_at(&m, band);
            unrest[i] = (uint16_t)unrest_at(&m, band);
            left[i] = (uint8_t)(levels[i] - g.value);
            histogram[unrest[i]]++;
            learn(&m, band, &g, levels[i]);
        }
        row_end(&m);
    }
    thresholds_set(head, histogram, n);
    for (size_t i = 0; i < n; i++)
        head->n[stream_of(head, unrest[i])]++;
    at[1] = head->n[0];
    at[2] = at[1] + head->n[1];
    for (size_t i = 0; i < n; i++)
        streams[at[stream_of(head, unrest[i])]++] = left[i];
    model_release(&m);
    mem_free(left);
    mem_free(unrest);
}

bool archive_join(const uint8_t *streams, const struct archive_head *head, size_t n_frames,
                  size_t n_mels, uint8_t *levels)
{
    struct model m;
    const uint8_t *next[ARCHIVE_STREAMS], *end[ARCHIVE_STREAMS];
    bool ok = true;
    for (size_t k = 0; k < ARCHIVE_STREAMS; k++) {
        next[k] = streams;
        streams += head->n[k];
        end[k] = streams;
    }
    model_init(&m, n_mels);
    for (size_t t = 0; t < n_frames && ok; t++, levels += n_mels) {
        row_begin(&m);
        for (size_t band = 0; band < n_mels; band++) {
            uint32_t k = stream_of(head, unrest_at(&m, band));
            struct guess g = guess_at(&m, band);
            ok = next[k] < end[k];
            if (!ok)
                break;
            levels[band] = (uint8_t)(g.value + *next[k]++);
            learn(&m, band, &g, levels[band]);
        }
        row_end(&m);
    }
    model_release(&m);
    return ok;
}
