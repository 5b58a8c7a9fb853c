/*
 * The same recording again: Chromaprint's fingerprints, compared such that a shift of pitch or
 * speed by up to 8 % and a cut to five seconds do not hide a copy.
 *
 * A fingerprint is one code of 32 bits for each 93 ms, made of the 2 s that begin there
 * (https://oxygene.sk/2011/01/how-does-chromaprint-work/). Codes of one recording differ in few
 * bits; a shift of pitch by half a percent makes them differ in many. So a query is taken as often
 * as there are shifts to look for: its sound read at other rates undoes a shift of pitch, its codes
 * stretched undo one of tempo. Each *take* is then compared with what is known code by code.
 *
 * Three kinds of change are looked for, one at a time: speed (pitch and tempo together, a tape that
 * runs faster), pitch alone, tempo alone. copy.c is the only file that knows Chromaprint.
 */
#ifndef REFRAIN_COPY_H
#define REFRAIN_COPY_H

#include "base/err.h"

enum {
    FINGERPRINT_HOP_US = 92880,    /* 1024 samples at 11,025 Hz */
    FINGERPRINT_SPAN_MS = 1950,    /* what one code is made of */
    FINGERPRINT_CODES_MAX = 65536, /* 100 minutes */
    FINGERPRINT_VOID = 0, /* a code that says nothing: silence, or a sound that does not change */
};

struct fingerprint {
    uint32_t n_codes;
    uint32_t *codes; /* owned */
};
void fingerprint_release(struct fingerprint *f); /* safe on {0}, may run twice */

/* samples: mono, at rate_hz; less than SPAN_MS gives no code, which is no error. `pitch_ratio` is
 * how much higher they sound than what they are compared with: 1 for what is stored. Not finite or
 * longer than CODES_MAX is ERR_PERM. */
MUST_CHECK bool fingerprint_compute(const float *samples, size_t n_samples, uint32_t rate_hz,
                                    double pitch_ratio, struct fingerprint *out, struct err *e);

const char *fingerprint_version(void); /* Chromaprint's, "1.5.1" */

static inline uint32_t fingerprint_ms(size_t codes)
{
    return (uint32_t)((uint64_t)codes * FINGERPRINT_HOP_US / 1000);
}

enum copy_change { COPY_SPEED, COPY_PITCH, COPY_TEMPO };

/* A query as it would be had it not been changed so. */
struct copy_take {
    enum copy_change change;
    float pitch_ratio, tempo_ratio; /* of the query to what it is a copy of */
    struct fingerprint print;
};

struct copy_query {
    uint64_t len_ms;
    uint64_t part_from_ms; /* where all takes but the first begin */
    size_t n_takes;
    struct copy_take *takes; /* the first is the query as it is */
};

/* `shifted` false: the query as it is only. Of more than COPY_SHIFTED_MS the middle stands for the
 * whole in all takes but the first. */
enum { COPY_SHIFTED_MS = 120000 };
MUST_CHECK bool copy_query_init(const float *samples, size_t n_samples, uint32_t rate_hz,
                                bool shifted, struct copy_query *out, struct err *e);
void copy_query_release(struct copy_query *q); /* safe on {0}, may run twice */

/* Where the query is a recording of what it is held against. */
struct copy_match {
    double score;          /* raw; 0 when nothing fits */
    double evalue;         /* how many as good as this chance gives in what was searched */
    double bit_error_rate; /* within the segment: 0.5 is chance */
    enum copy_change change;
    float pitch_ratio, tempo_ratio;      /* of the query to the other */
    uint32_t from_ms, to_ms;             /* in what is known */
    uint32_t query_from_ms, query_to_ms; /* in the query */
    double share;                        /* of the query, 0 to 1 */
};

/* The best segment of any take. n_songs is what the E-value counts. */
void copy_compare(const struct fingerprint *known, const struct copy_query *query, double n_songs,
                  struct copy_match *out);

/* Expected number of segments as good by chance, for prints of n_a and n_b codes in n_songs when so
 * many takes were tried. */
double copy_evalue(double score, size_t n_a, size_t n_b, size_t n_takes, double n_songs);

#endif
