#include "ingest/samples.h"

#include <math.h>
#include <string.h>

/* gcc vectorises loops of constant length at -O2, and turns min and max on integers into vector
 * code but not those on floats, whose comparisons may trap. */
enum { BLOCK_SAMPLES = 64 };

#define INFINITY_BITS INT32_C(0x7f800000)
#define FLOAT_32768_BITS INT32_C(0x47000000)
#define ROUNDER 12582912.0f /* 1.5 * 2^23: a float this large has no place behind the point */
#define ROUNDER_BITS UINT32_C(0x4b400000)

/* Magnitudes of floats are ordered as their bits are, so clamping and the test for NaN are done on
 * integers. The sum with ROUNDER is then rounded to an integer (ties to even) in its low bits. */
static inline __attribute__((always_inline)) int32_t s16_from_float(float x, uint32_t *wild)
{
    float v = x * 32768.0f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    *wild |= (int32_t)(bits & 0x7fffffff) >= INFINITY_BITS;
    memcpy(&bits, &v, sizeof bits);
    int32_t magnitude = (int32_t)(bits & 0x7fffffff);
    magnitude = magnitude < FLOAT_32768_BITS ? magnitude : FLOAT_32768_BITS;
    bits = (bits & 0x80000000) | (uint32_t)magnitude;
    memcpy(&v, &bits, sizeof v);
    v += ROUNDER;
    memcpy(&bits, &v, sizeof bits);
    int32_t rounded = (int32_t)(bits - ROUNDER_BITS);
    return rounded < INT16_MAX ? rounded : INT16_MAX;
}

static inline __attribute__((always_inline)) bool mono_body(const float *restrict in, size_t n,
                                                            int16_t *restrict out)
{
    uint32_t wild = 0;
    size_t i = 0;
    for (; i + BLOCK_SAMPLES <= n; i += BLOCK_SAMPLES)
        for (size_t j = 0; j < BLOCK_SAMPLES; j++)
            out[i + j] = (int16_t)s16_from_float(in[i + j], &wild);
    for (; i < n; i++)
        out[i] = (int16_t)s16_from_float(in[i], &wild);
    return wild == 0;
}

static inline __attribute__((always_inline)) bool stereo_body(const float *restrict left,
                                                              const float *restrict right, size_t n,
                                                              int16_t *restrict out)
{
    uint32_t wild = 0;
    size_t i = 0;
    for (; i + BLOCK_SAMPLES <= n; i += BLOCK_SAMPLES) {
        uint32_t pairs[BLOCK_SAMPLES]; /* left in the low half: little-endian */
        for (size_t j = 0; j < BLOCK_SAMPLES; j++)
            pairs[j] = ((uint32_t)s16_from_float(left[i + j], &wild) & 0xffff) |
                       (uint32_t)s16_from_float(right[i + j], &wild) << 16;
        memcpy(out + 2 * i, pairs, sizeof pairs);
    }
    for (; i < n; i++) {
        out[2 * i] = (int16_t)s16_from_float(left[i], &wild);
        out[2 * i + 1] = (int16_t)s16_from_float(right[i], &wild);
    }
    return wild == 0;
}

bool samples_from_float_plain(const float *in, size_t n, int16_t *out)
{
    return mono_body(in, n, out);
}

bool samples_from_float_stereo_plain(const float *left, const float *right, size_t n, int16_t *out)
{
    return stereo_body(left, right, n, out);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static bool mono_avx2(const float *in, size_t n, int16_t *out)
{
    return mono_body(in, n, out);
}

__attribute__((target("avx2"))) static bool stereo_avx2(const float *left, const float *right,
                                                        size_t n, int16_t *out)
{
    return stereo_body(left, right, n, out);
}

bool samples_from_float(const float *in, size_t n, int16_t *out)
{
    return __builtin_cpu_supports("avx2") ? mono_avx2(in, n, out) : mono_body(in, n, out);
}

bool samples_from_float_stereo(const float *left, const float *right, size_t n, int16_t *out)
{
    return __builtin_cpu_supports("avx2") ? stereo_avx2(left, right, n, out)
                                          : stereo_body(left, right, n, out);
}

#else

bool samples_from_float(const float *in, size_t n, int16_t *out)
{
    return mono_body(in, n, out);
}

bool samples_from_float_stereo(const float *left, const float *right, size_t n, int16_t *out)
{
    return stereo_body(left, right, n, out);
}

#endif

bool samples_from_float_strided(const float *in, size_t n, int16_t *out, size_t stride)
{
    uint32_t wild = 0;
    for (size_t i = 0; i < n; i++)
        out[i * stride] = (int16_t)s16_from_float(in[i], &wild);
    return wild == 0;
}

bool samples_from_double(const double *in, size_t n, int16_t *out, size_t stride)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        double v = rint(in[i] * 32768.0);
        out[i * stride] = (int16_t)(v >= 32767.0 ? 32767.0 : v >= -32768.0 ? v : -32768.0);
        finite = finite && isfinite(in[i]);
    }
    return finite;
}

void samples_from_u8(const uint8_t *in, size_t n, int16_t *out, size_t stride)
{
    for (size_t i = 0; i < n; i++)
        out[i * stride] = (int16_t)((in[i] - 128) * 256);
}

void samples_from_s16(const int16_t *in, size_t n, int16_t *out, size_t stride)
{
    for (size_t i = 0; i < n; i++)
        out[i * stride] = in[i];
}

void samples_from_s32(const int32_t *in, size_t n, int16_t *out, size_t stride)
{
    for (size_t i = 0; i < n; i++)
        out[i * stride] = (int16_t)(in[i] >> 16);
}
