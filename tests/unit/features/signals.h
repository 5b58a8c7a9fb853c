/*
 * The test signals of tests/golden/features/signals.py: integers until the last division, so that
 * C and Python make the same floats. 10 s at 22,050 Hz.
 */
#ifndef REFRAIN_TEST_SIGNALS_H
#define REFRAIN_TEST_SIGNALS_H

#include "base/mem.h"

#include <string.h>
#include <zlib.h>

enum { SIGNAL_RATE = 22050, SIGNAL_SAMPLES = 220500 };

/* A sine's parabola from a phase in 2^16 parts of a turn: -2^28 to 2^28. */
static inline int64_t signal_parabola(int64_t phase)
{
    int64_t x = (phase + 32768) % 65536 - 32768;
    return x * (32768 - (x < 0 ? -x : x));
}

/* Rounded down, as Python's //. */
static inline int64_t signal_shift_down(int64_t value, int64_t by)
{
    return value >= 0 ? value >> by : -((-value + ((int64_t)1 << by) - 1) >> by);
}

static inline double signal_value(const char *name, int64_t i, uint32_t *state)
{
    if (strcmp(name, "q") == 0)
        return (double)((7 * i * i + 13 * i) % 65536 - 32768) / 65536;
    if (strcmp(name, "quiet") == 0)
        return (double)((7 * i * i + 13 * i) % 65536 - 32768) / 68719476736.0;
    if (strcmp(name, "noise") == 0) {
        *state = 1664525 * *state + 1013904223;
        return ((double)(*state >> 8) - 8388608) / 8388608;
    }
    if (strcmp(name, "tone") == 0)
        return (double)signal_parabola(i * 1308) / 536870912;
    if (strcmp(name, "chirp") == 0)
        return (double)signal_parabola(i * i / 16) / 536870912;
    if (strcmp(name, "decay") == 0)
        return (double)signal_shift_down(signal_parabola(i * 1308), i / 9000) / 536870912;
    if (strcmp(name, "square") == 0)
        return i / 50 % 2 == 0 ? 1 : -1;
    if (strcmp(name, "impulse") == 0)
        return i == 100000;
    if (strcmp(name, "dc") == 0)
        return 0.5;
    if (strcmp(name, "chord") == 0)
        return (double)(signal_parabola(i * 1308) + signal_parabola(i * 1648) +
                        signal_shift_down(signal_parabola(i * 1960), i / 4410 % 5)) /
               2147483648.0;
    assert(strcmp(name, "silence") == 0);
    return 0;
}

static inline float *signal_new(const char *name)
{
    float *y = mem_alloc(SIGNAL_SAMPLES, sizeof *y);
    uint32_t state = 12345;
    for (int64_t i = 0; i < SIGNAL_SAMPLES; i++)
        y[i] = (float)signal_value(name, i, &state);
    return y;
}

/* zlib's crc32 of the floats, minus zero counted as zero. Goes on from `crc`, 0 at first. */
static inline uint32_t signal_crc(uint32_t crc, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float v = x[i] + 0.0f;
        crc = (uint32_t)crc32(crc, (const unsigned char *)&v, sizeof v);
    }
    return crc;
}

#endif
