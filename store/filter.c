#include "store/filter.h"

#include "base/simd.h"

#include <math.h>
#include <string.h>

/*
 * The restore kernels walk down a strip of STRIP columns with the running levels at hand: the inner
 * loops have a constant count, which gcc turns into whole vectors at -O2. A strip is as wide as the
 * usual spectrogram, so that the output is written from start to end, as memory likes it (strips of
 * 32 took twice the time when the output was not in the cache). The same inlined body is compiled
 * for the base instruction set and for AVX2.
 */
enum { STRIP = 128, RUN_VALUES = 64, ROW_VALUES = 32, ERROR_LANES = 8 };

#define KERNEL static inline __attribute__((always_inline))

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_AVX2_CLONE 1
#define AVX2 __attribute__((target("avx2")))
#else
#define HAVE_AVX2_CLONE 0
#endif

struct filter_grid filter_grid_make(double lo, double hi, uint32_t max_level)
{
    assert(lo < hi);
    assert(max_level > 0);
    return (struct filter_grid){(float)((hi - lo) / max_level), (float)lo, max_level};
}

/* ---------------------------------------------------------------- quantise */

struct quantiser {
    float lo, per_db, max_level, slack_lo, slack_hi;
};

static struct quantiser quantiser_make(struct filter_grid grid)
{
    float lo = grid.offset;
    float hi = grid.offset + grid.scale * (float)grid.max_level;
    return (struct quantiser){lo, 1.0F / grid.scale, (float)grid.max_level, lo - FILTER_SLACK_DB,
                              hi + FILTER_SLACK_DB};
}

KERNEL int32_t quantise_one(struct quantiser q, float db)
{
    float level = (db - q.lo) * q.per_db + 0.5F;
    level = level > 0.0F ? level : 0.0F; /* not-a-number, too, becomes a number */
    level = level < q.max_level ? level : q.max_level;
    return (int32_t)level;
}

/* Not-a-number fails both comparisons. */
KERNEL bool in_range(struct quantiser q, float db)
{
    return (db >= q.slack_lo) & (db <= q.slack_hi); /* no branch: it must vectorise */
}

/* Returns how many are out of range; a constant n is one run of vectors. */
KERNEL uint32_t quantise_run_u8(struct quantiser q, const float *restrict db, size_t n,
                                uint8_t *restrict out)
{
    uint32_t n_bad = 0;
    for (size_t i = 0; i < n; i++) {
        n_bad += !in_range(q, db[i]);
        out[i] = (uint8_t)quantise_one(q, db[i]);
    }
    return n_bad;
}

KERNEL uint32_t quantise_run_u12(struct quantiser q, const float *restrict db, size_t n,
                                 uint16_t *restrict out)
{
    uint32_t n_bad = 0;
    for (size_t i = 0; i < n; i++) {
        n_bad += !in_range(q, db[i]);
        out[i] = (uint16_t)quantise_one(q, db[i]);
    }
    return n_bad;
}

static size_t find_bad(const float *db, size_t n, struct quantiser q)
{
    size_t i = 0;
    while (i < n && in_range(q, db[i]))
        i++;
    return i;
}

bool filter_quantise_u8(const float *db, size_t n, struct filter_grid grid, uint8_t *out,
                        size_t *bad_i)
{
    assert(grid.max_level <= UINT8_MAX);
    struct quantiser q = quantiser_make(grid);
    uint32_t n_bad = 0;
    size_t i = 0;
    for (; i + RUN_VALUES <= n; i += RUN_VALUES)
        n_bad |= quantise_run_u8(q, db + i, RUN_VALUES, out + i);
    n_bad |= quantise_run_u8(q, db + i, n - i, out + i);
    if (n_bad)
        *bad_i = find_bad(db, n, q);
    return n_bad == 0;
}

bool filter_quantise_u12(const float *db, size_t n, struct filter_grid grid, uint16_t *out,
                         size_t *bad_i)
{
    assert(grid.max_level < 4096);
    struct quantiser q = quantiser_make(grid);
    uint32_t n_bad = 0;
    size_t i = 0;
    for (; i + RUN_VALUES <= n; i += RUN_VALUES)
        n_bad |= quantise_run_u12(q, db + i, RUN_VALUES, out + i);
    n_bad |= quantise_run_u12(q, db + i, n - i, out + i);
    if (n_bad)
        *bad_i = find_bad(db, n, q);
    return n_bad == 0;
}

/* ---------------------------------------------------------------- forward filters */

void filter_delta_u12(const uint16_t *restrict level, size_t n_frames, size_t n_mels,
                      uint8_t *restrict out)
{
    size_t n = n_frames * n_mels;
    for (size_t i = 0; i < n; i++) {
        int32_t before = i < n_mels ? 0 : level[i - n_mels];
        int32_t delta = (level[i] - before) & 0xfff;
        int32_t signed_delta = delta < 2048 ? delta : delta - 4096;
        uint32_t folded = (uint32_t)signed_delta << 1 ^ (signed_delta < 0 ? UINT32_MAX : 0);
        out[i] = (uint8_t)(folded & 0xff);
        out[n + i] = (uint8_t)(folded >> 8 & 0xf);
    }
}

void filter_delta_f32(const float *restrict db, size_t n_frames, size_t n_mels,
                      uint8_t *restrict out)
{
    size_t n = n_frames * n_mels;
    for (size_t i = 0; i < n; i++) {
        uint8_t bytes[4], before[4] = {0};
        memcpy(bytes, &db[i], sizeof bytes);
        if (i >= n_mels)
            memcpy(before, &db[i - n_mels], sizeof before);
        for (size_t plane = 0; plane < 4; plane++)
            out[plane * n + i] = (uint8_t)(bytes[plane] - before[plane]);
    }
}

/* ---------------------------------------------------------------- plain restore */

KERNEL void levels_to_db(const uint8_t *restrict level, size_t n, struct filter_grid grid,
                         float *restrict out)
{
    size_t i = 0;
    for (; i + RUN_VALUES <= n; i += RUN_VALUES) {
        for (size_t j = 0; j < RUN_VALUES; j++)
            out[i + j] = (float)level[i + j] * grid.scale + grid.offset;
    }
    for (; i < n; i++)
        out[i] = (float)level[i] * grid.scale + grid.offset;
}

/* Row r from band m on. */
static void row_add(const struct filter_rows *rows, size_t r, size_t m)
{
    const uint8_t *delta = rows->delta + r * rows->stride;
    for (; m + ROW_VALUES <= rows->n_mels; m += ROW_VALUES) {
        LANE_LOOP
        for (size_t j = 0; j < ROW_VALUES; j++)
            rows->level[m + j] = (uint8_t)(rows->level[m + j] + delta[m + j]);
    }
    for (; m < rows->n_mels; m++)
        rows->level[m] = (uint8_t)(rows->level[m] + delta[m]);
}

/* out: of band m */
static void row_to_db(const struct filter_rows *rows, size_t r, size_t m, struct filter_grid grid,
                      float *out)
{
    row_add(rows, r, m);
    levels_to_db(rows->level + m, rows->n_mels - m, grid, out);
}

void filter_rows_to_db_plain(const struct filter_rows *rows, struct filter_grid grid, float *out)
{
    for (size_t r = 0; r < rows->n_rows; r++)
        row_to_db(rows, r, 0, grid, out + r * rows->n_mels);
}

void filter_levels_to_db_plain(const uint8_t *level, size_t n, struct filter_grid grid, float *out)
{
    levels_to_db(level, n, grid, out);
}

/* A folded 12-bit difference (two bytes of which four bits are unused) added to a level. */
KERNEL uint16_t unfold_u12(uint16_t level, uint16_t folded)
{
    uint16_t delta = (uint16_t)((folded >> 1) ^ (uint16_t) - (folded & 1));
    return (uint16_t)((level + delta) & 0xfff);
}

void filter_restore_u12_plain(const uint8_t *planes, size_t n_frames, size_t n_mels,
                              struct filter_grid grid, float *out)
{
    size_t n = n_frames * n_mels;
    for (size_t m = 0; m < n_mels; m++) {
        uint16_t level = 0;
        for (size_t i = m; i < n; i += n_mels) {
            level = unfold_u12(level, (uint16_t)(planes[i] | (planes[n + i] & 0xf) << 8));
            out[i] = (float)level * grid.scale + grid.offset;
        }
    }
}

void filter_restore_f32_plain(const uint8_t *planes, size_t n_frames, size_t n_mels, float *out)
{
    size_t n = n_frames * n_mels;
    for (size_t m = 0; m < n_mels; m++) {
        uint8_t bytes[4] = {0};
        for (size_t i = m; i < n; i += n_mels) {
            for (size_t plane = 0; plane < 4; plane++)
                bytes[plane] = (uint8_t)(bytes[plane] + planes[plane * n + i]);
            memcpy(&out[i], bytes, sizeof bytes);
        }
    }
}

/* ---------------------------------------------------------------- fast restore */

KERNEL void strip_u12(const uint8_t *restrict low, const uint8_t *restrict high, size_t n_frames,
                      size_t n_mels, size_t width, struct filter_grid grid, float *restrict out)
{
    uint16_t level[STRIP] = {0};
    for (size_t t = 0; t < n_frames; t++, low += n_mels, high += n_mels, out += n_mels) {
        for (size_t j = 0; j < width; j++)
            level[j] = unfold_u12(level[j], (uint16_t)(low[j] | (high[j] & 0xf) << 8));
        for (size_t j = 0; j < width; j++)
            out[j] = (float)level[j] * grid.scale + grid.offset;
    }
}

KERNEL void restore_u12(const uint8_t *planes, size_t n_frames, size_t n_mels,
                        struct filter_grid grid, float *out)
{
    const uint8_t *high = planes + n_frames * n_mels;
    size_t m = 0;
    for (; m + STRIP <= n_mels; m += STRIP)
        strip_u12(planes + m, high + m, n_frames, n_mels, STRIP, grid, out + m);
    if (m < n_mels)
        strip_u12(planes + m, high + m, n_frames, n_mels, n_mels - m, grid, out + m);
}

KERNEL void strip_f32(const uint8_t *restrict p0, const uint8_t *restrict p1,
                      const uint8_t *restrict p2, const uint8_t *restrict p3, size_t n_frames,
                      size_t n_mels, size_t width, float *restrict out)
{
    uint8_t b0[STRIP] = {0}, b1[STRIP] = {0}, b2[STRIP] = {0}, b3[STRIP] = {0};
    uint32_t bits[STRIP];
    for (size_t t = 0; t < n_frames; t++) {
        size_t i = t * n_mels;
        for (size_t j = 0; j < width; j++) {
            b0[j] = (uint8_t)(b0[j] + p0[i + j]);
            b1[j] = (uint8_t)(b1[j] + p1[i + j]);
            b2[j] = (uint8_t)(b2[j] + p2[i + j]);
            b3[j] = (uint8_t)(b3[j] + p3[i + j]);
        }
        for (size_t j = 0; j < width; j++)
            bits[j] = (uint32_t)b0[j] | (uint32_t)b1[j] << 8 | (uint32_t)b2[j] << 16 |
                      (uint32_t)b3[j] << 24;
        memcpy(out + i, bits, width * sizeof bits[0]);
    }
}

KERNEL void restore_f32(const uint8_t *planes, size_t n_frames, size_t n_mels, float *out)
{
    size_t n = n_frames * n_mels;
    size_t m = 0;
    for (; m + STRIP <= n_mels; m += STRIP)
        strip_f32(planes + m, planes + n + m, planes + 2 * n + m, planes + 3 * n + m, n_frames,
                  n_mels, STRIP, out + m);
    if (m < n_mels)
        strip_f32(planes + m, planes + n + m, planes + 2 * n + m, planes + 3 * n + m, n_frames,
                  n_mels, n_mels - m, out + m);
}

#if HAVE_AVX2_CLONE
/* Eight levels to floats; `stream`, a constant where this is inlined: past the cache. */
AVX2 KERNEL void put_eight(__m128i level, __m256 scale, __m256 offset, bool stream, float *out)
{
    __m256 value = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(level));
    __m256 db = _mm256_add_ps(_mm256_mul_ps(value, scale), offset);
    if (stream)
        _mm256_stream_ps(out, db);
    else
        _mm256_storeu_ps(out, db);
}

AVX2 KERNEL void put_levels(__m256i level, __m256 scale, __m256 offset, bool stream, float *out)
{
    __m128i low = _mm256_castsi256_si128(level), high = _mm256_extracti128_si256(level, 1);
    put_eight(low, scale, offset, stream, out);
    put_eight(_mm_srli_si128(low, 8), scale, offset, stream, out + 8);
    put_eight(high, scale, offset, stream, out + 16);
    put_eight(_mm_srli_si128(high, 8), scale, offset, stream, out + 24);
}

/* As many bands as are whole vectors. */
AVX2 KERNEL void rows_to_db_avx2(const struct filter_rows *rows, struct filter_grid grid,
                                 bool stream, float *out)
{
    __m256 scale = _mm256_set1_ps(grid.scale), offset = _mm256_set1_ps(grid.offset);
    size_t n_mels = rows->n_mels, stride = rows->stride, whole = n_mels / ROW_VALUES * ROW_VALUES;
    const uint8_t *delta = rows->delta, *end = delta + rows->n_rows * stride;
    uint8_t *levels = rows->level;
    for (; delta < end; delta += stride, out += n_mels) {
        for (size_t m = 0; m < whole; m += ROW_VALUES) {
            __m256i *at = (__m256i *)(void *)(levels + m);
            __m256i by = _mm256_loadu_si256((const __m256i *)(const void *)(delta + m));
            __m256i level = _mm256_add_epi8(_mm256_loadu_si256(at), by);
            _mm256_storeu_si256(at, level);
            put_levels(level, scale, offset, stream, out + m);
        }
    }
}

AVX2 static void rows_stream(const struct filter_rows *rows, struct filter_grid grid, float *out)
{
    rows_to_db_avx2(rows, grid, true, out);
}

AVX2 static void rows_store(const struct filter_rows *rows, struct filter_grid grid, float *out)
{
    rows_to_db_avx2(rows, grid, false, out);
}

AVX2 static void stream_flat_u8(const uint8_t *in, size_t n, struct filter_grid grid, float *out)
{
    __m256 scale = _mm256_set1_ps(grid.scale), offset = _mm256_set1_ps(grid.offset);
    for (size_t i = 0; i < n; i += 32)
        put_levels(_mm256_loadu_si256((const __m256i *)(const void *)(in + i)), scale, offset, true,
                   out + i);
    filter_stream_end();
}

static bool can_stream(const float *out)
{
    return (uintptr_t)out % 32 == 0 && __builtin_cpu_supports("avx2");
}

AVX2 static void levels_to_db_avx2(const uint8_t *level, size_t n, struct filter_grid grid,
                                   float *out)
{
    levels_to_db(level, n, grid, out);
}

AVX2 static void restore_u12_avx2(const uint8_t *planes, size_t n_frames, size_t n_mels,
                                  struct filter_grid grid, float *out)
{
    restore_u12(planes, n_frames, n_mels, grid, out);
}

AVX2 static void restore_f32_avx2(const uint8_t *planes, size_t n_frames, size_t n_mels, float *out)
{
    restore_f32(planes, n_frames, n_mels, out);
}
#endif

void filter_rows_to_db(const struct filter_rows *rows, struct filter_grid grid, bool stream,
                       float *out)
{
    size_t done = 0; /* bands */
#if HAVE_AVX2_CLONE
    if (__builtin_cpu_supports("avx2")) {
        done = rows->n_mels / ROW_VALUES * ROW_VALUES;
        if (stream && rows->n_mels % 8 == 0 && can_stream(out))
            rows_stream(rows, grid, out);
        else
            rows_store(rows, grid, out);
    }
#endif
    (void)stream;
    for (size_t r = 0; r < rows->n_rows && done < rows->n_mels; r++)
        row_to_db(rows, r, done, grid, out + r * rows->n_mels + done);
}

void filter_stream_end(void)
{
#if HAVE_AVX2_CLONE
    _mm_sfence();
#endif
}

void filter_levels_to_db(const uint8_t *level, size_t n, struct filter_grid grid, bool stream,
                         float *out)
{
#if HAVE_AVX2_CLONE
    if (stream && can_stream(out)) {
        size_t whole = n / 32 * 32;
        stream_flat_u8(level, whole, grid, out);
        levels_to_db(level + whole, n - whole, grid, out + whole);
        return;
    }
    if (__builtin_cpu_supports("avx2")) {
        levels_to_db_avx2(level, n, grid, out);
        return;
    }
#endif
    (void)stream;
    levels_to_db(level, n, grid, out);
}

void filter_restore_u12(const uint8_t *planes, size_t n_frames, size_t n_mels,
                        struct filter_grid grid, float *out)
{
#if HAVE_AVX2_CLONE
    if (__builtin_cpu_supports("avx2")) {
        restore_u12_avx2(planes, n_frames, n_mels, grid, out);
        return;
    }
#endif
    restore_u12(planes, n_frames, n_mels, grid, out);
}

void filter_restore_f32(const uint8_t *planes, size_t n_frames, size_t n_mels, float *out)
{
#if HAVE_AVX2_CLONE
    if (__builtin_cpu_supports("avx2")) {
        restore_f32_avx2(planes, n_frames, n_mels, out);
        return;
    }
#endif
    restore_f32(planes, n_frames, n_mels, out);
}

void filter_rows_to_levels(const struct filter_rows *rows, uint8_t *out)
{
    for (size_t r = 0; r < rows->n_rows; r++, out += rows->n_mels) {
        row_add(rows, r, 0);
        memcpy(out, rows->level, rows->n_mels);
    }
}

/* ---------------------------------------------------------------- certificate */

void filter_error(const float *a, const float *b, size_t n, double *max_err, double *rms_err)
{
    assert(n > 0);
    double worst[ERROR_LANES] = {0}, sum[ERROR_LANES] = {0};
    size_t i = 0;
    for (; i + ERROR_LANES <= n; i += ERROR_LANES) {
        for (size_t j = 0; j < ERROR_LANES; j++) {
            double diff = fabs((double)a[i + j] - (double)b[i + j]);
            worst[j] = diff > worst[j] ? diff : worst[j];
            sum[j] += diff * diff;
        }
    }
    for (size_t j = 0; i < n; i++, j++) {
        double diff = fabs((double)a[i] - (double)b[i]);
        worst[j] = diff > worst[j] ? diff : worst[j];
        sum[j] += diff * diff;
    }
    for (size_t j = 1; j < ERROR_LANES; j++) {
        worst[0] = worst[j] > worst[0] ? worst[j] : worst[0];
        sum[0] += sum[j];
    }
    *max_err = worst[0];
    *rms_err = sqrt(sum[0] / (double)n);
}
