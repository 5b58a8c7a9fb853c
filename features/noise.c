#include "features/noise.h"

#include "base/rng.h"
#include "features/lane_math.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 64,           /* numbers made together, from as many Philox words */
    WORDS = 4,            /* a Philox call gives */
    PURPOSE = 0x6e6f6973, /* "nois": keeps this stream apart from all others of the same key */
};

/* -2 ln u for u = w 2^-31, w in [1, 2^31] */
LANE_BODY double minus_2_log(float w)
{
    const double ln2 = 0.69314718055994530942;
    int32_t k;
    double artanh = lane_artanh(w, 6, &k);
    return (31 - k) * (2 * ln2) - 4 * artanh;
}

/* Taylor on [-pi/2, pi/2], remainders below 1e-11. */
LANE_BODY double sin_half(double a)
{
    double a2 = a * a;
    double sum = 1 - a2 * (1.0 / 272);
    sum = 1 - a2 * (1.0 / 210) * sum;
    sum = 1 - a2 * (1.0 / 156) * sum;
    sum = 1 - a2 * (1.0 / 110) * sum;
    sum = 1 - a2 * (1.0 / 72) * sum;
    sum = 1 - a2 * (1.0 / 42) * sum;
    sum = 1 - a2 * (1.0 / 20) * sum;
    return a * (1 - a2 * (1.0 / 6) * sum);
}

LANE_BODY double cos_half(double a)
{
    double a2 = a * a;
    double sum = 1 - a2 * (1.0 / 306);
    sum = 1 - a2 * (1.0 / 240) * sum;
    sum = 1 - a2 * (1.0 / 182) * sum;
    sum = 1 - a2 * (1.0 / 132) * sum;
    sum = 1 - a2 * (1.0 / 90) * sum;
    sum = 1 - a2 * (1.0 / 56) * sum;
    sum = 1 - a2 * (1.0 / 30) * sum;
    sum = 1 - a2 * (1.0 / 12) * sum;
    return 1 - a2 * 0.5 * sum;
}

/* words[0 .. BLOCK/2) give radii, the rest angles in (-pi, pi]; sine and cosine by the half angle,
 * whose series are short. */
LANE_BODY void normal_body(const int32_t words[BLOCK], float out[BLOCK])
{
    const double half_angle = 3.14159265358979323846 / 4294967296.0;
    enum { PAIRS = BLOCK / 2 };
    for (size_t from = 0; from < PAIRS; from += LANES) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            size_t i = from + l;
            /* 31 bits, never 0 */
            int32_t w = (words[i] & 0x7fffffff) | 1;
            double radius = sqrt(minus_2_log((float)w));
            double a = words[PAIRS + i] * half_angle;
            double s = sin_half(a), c = cos_half(a);
            out[i] = (float)(radius * (2 * s * c));
            out[PAIRS + i] = (float)(radius * (1 - 2 * s * s));
        }
    }
}
LANE_VERSIONS(normal, (const int32_t words[BLOCK], float out[BLOCK]), (words, out))

void noise_fill(uint64_t key, enum simd simd, float *out, size_t n)
{
    const uint32_t philox_key[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    uint32_t counter[4] = {0, PURPOSE, 0, 0};
    for (size_t from = 0; from < n; from += BLOCK) {
        uint32_t words[BLOCK];
        int32_t signed_words[BLOCK];
        float block[BLOCK];
        for (size_t i = 0; i < BLOCK; i += WORDS, counter[0]++)
            rng_philox(counter, philox_key, words + i);
        memcpy(signed_words, words, sizeof words);
        LANE_CALL(simd, normal, (signed_words, block));
        memcpy(out + from, block, size_min(BLOCK, n - from) * sizeof *out);
    }
}
