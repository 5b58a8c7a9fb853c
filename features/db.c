#include "features/db.h"

#include "features/lane_math.h"

#include <math.h>
#include <string.h>

static const float POWER_MIN = 1e-10f; /* librosa's amin */

LANE_BODY double log10_of(float x)
{
    const double log10_2 = 0.30102999566398119521, two_log10_e = 0.86858896380650365530;
    int32_t k;
    double artanh = lane_artanh(x, 8, &k);
    return k * log10_2 + artanh * two_log10_e;
}

/* values become 10 log10 max(value, amin), each step rounded to float; largest[l] the largest of
 * its lane. */
LANE_BODY void levels_body(float *values, size_t n_blocks, float largest[LANES])
{
    for (size_t i = 0; i < n_blocks; i++, values += LANES) {
        /* In a loop of its own: gcc would fold log10(amin) into a branch and not vectorise. */
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            values[l] = values[l] > POWER_MIN ? values[l] : POWER_MIN;
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            values[l] = 10.0f * (float)log10_of(values[l]);
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            largest[l] = values[l] > largest[l] ? values[l] : largest[l];
    }
}
LANE_VERSIONS(levels, (float *values, size_t n_blocks, float largest[LANES]),
              (values, n_blocks, largest))

LANE_BODY void relative_body(float *values, size_t n_blocks, float ref, float floor_db)
{
    for (size_t i = 0; i < n_blocks; i++, values += LANES) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            float db = values[l] - ref;
            values[l] = db > floor_db ? db : floor_db;
        }
    }
}
LANE_VERSIONS(relative, (float *values, size_t n_blocks, float ref, float floor_db),
              (values, n_blocks, ref, floor_db))

/* Absolute levels in place; returns the largest. */
static float levels_from_power(float *values, size_t n, enum simd simd)
{
    size_t n_blocks = n / LANES, n_rest = n % LANES;
    float tail[LANES] = {0}, largest[LANES];
    for (size_t l = 0; l < LANES; l++)
        largest[l] = -INFINITY;
    memcpy(tail, values + n_blocks * LANES, n_rest * sizeof *tail);
    LANE_CALL(simd, levels, (values, n_blocks, largest));
    if (n_rest > 0) /* zeros beside the rest are at the floor and change no maximum */
        LANE_CALL(simd, levels, (tail, 1, largest));
    memcpy(values + n_blocks * LANES, tail, n_rest * sizeof *tail);
    float most = largest[0];
    for (size_t l = 1; l < LANES; l++)
        most = largest[l] > most ? largest[l] : most;
    return most;
}

static void relative_to(float *values, size_t n, float ref, float floor_db, enum simd simd)
{
    size_t n_blocks = n / LANES, n_rest = n % LANES;
    float tail[LANES] = {0};
    memcpy(tail, values + n_blocks * LANES, n_rest * sizeof *tail);
    LANE_CALL(simd, relative, (values, n_blocks, ref, floor_db));
    LANE_CALL(simd, relative, (tail, 1, ref, floor_db));
    memcpy(values + n_blocks * LANES, tail, n_rest * sizeof *tail);
}

float db_from_power(float *values, size_t n, double top_db, enum simd simd)
{
    float ref = levels_from_power(values, n, simd);
    relative_to(values, n, ref, (float)-top_db, simd); /* the maximum is 0 less ref */
    return ref;
}

void db_absolute_from_power(float *values, size_t n, double top_db, enum simd simd)
{
    float most = levels_from_power(values, n, simd);
    if (top_db > 0)
        relative_to(values, n, 0, most - (float)top_db, simd);
}

LANE_BODY void logs_body(float *values, size_t n_blocks, float least, double per_log10)
{
    for (size_t i = 0; i < n_blocks; i++, values += LANES) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            values[l] = values[l] > least ? values[l] : least;
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            values[l] = (float)(log10_of(values[l]) * per_log10);
    }
}
LANE_VERSIONS(logs, (float *values, size_t n_blocks, float least, double per_log10),
              (values, n_blocks, least, per_log10))

static void logs_from_power(float *values, size_t n, float least, double per_log10, enum simd simd)
{
    size_t n_blocks = n / LANES, n_rest = n % LANES;
    float tail[LANES] = {0};
    memcpy(tail, values + n_blocks * LANES, n_rest * sizeof *tail);
    LANE_CALL(simd, logs, (values, n_blocks, least, per_log10));
    LANE_CALL(simd, logs, (tail, 1, least, per_log10));
    memcpy(values + n_blocks * LANES, tail, n_rest * sizeof *tail);
}

void db_ln_from_power(float *values, size_t n, enum simd simd)
{
    logs_from_power(values, n, 0x1p-23F, 2.30258509299404568402, simd);
}

void db_whisper_from_power(float *values, size_t n, enum simd simd)
{
    logs_from_power(values, n, POWER_MIN, 1, simd);
    float most = -INFINITY;
    for (size_t i = 0; i < n; i++)
        most = values[i] > most ? values[i] : most;
    for (size_t i = 0; i < n; i++)
        values[i] = ((values[i] > most - 8 ? values[i] : most - 8) + 4) / 4;
}

float db_log10(float x)
{
    assert(isnormal(x) && x > 0);
    return (float)log10_of(x);
}
