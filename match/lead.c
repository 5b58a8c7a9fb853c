#include "match/lead.h"

#include "base/mem.h"
#include "features/elementary.h"

#include <math.h>

/* The frames that are looked at, from the present one: 0.28 s back and ahead. */
static const int lead_frames[LEAD_FRAMES] = {-4, -1, 0, 1, 4};

enum { WIDTH = LEAD_CANDIDATES + LEAD_OFFSETS - 1 };

/* The network with its weights as numbers. */
struct net {
    float weights[LEAD_FRAMES * LEAD_OFFSETS][LEAD_HIDDEN];
};

/* One frame's logits. rows: WIDTH levels each, the first one LEAD_BELOW under the first candidate.
 */
LANE_BODY void logits_body(const struct net *net, const float *const rows[LEAD_FRAMES],
                           float out[LEAD_CANDIDATES])
{
    for (size_t c = 0; c < LEAD_CANDIDATES; c++) {
        float sum[LEAD_HIDDEN];
        memcpy(sum, lead_bias, sizeof sum);
        for (size_t k = 0; k < LEAD_FRAMES; k++)
            for (size_t o = 0; o < LEAD_OFFSETS; o++) {
                const float x = rows[k][c + o], *w = net->weights[k * LEAD_OFFSETS + o];
                LANE_LOOP
                for (size_t h = 0; h < LEAD_HIDDEN; h++)
                    sum[h] += x * w[h];
            }
        float logit = lead_prior[c];
        for (size_t h = 0; h < LEAD_HIDDEN; h++)
            logit += sum[h] > 0 ? lead_output[h] * sum[h] : 0;
        out[c] = logit;
    }
}
LANE_VERSIONS(logits,
              (const struct net *net, const float *const rows[LEAD_FRAMES],
               float out[LEAD_CANDIDATES]),
              (net, rows, out))

/* Softmax over candidates and silence, folded into one octave. */
static void fold(const float logits[LEAD_CANDIDATES], float out[LEAD_CLASSES])
{
    double most = (double)lead_silence, sum, p[LEAD_CANDIDATES], classes[LEAD_CLASSES] = {0};
    for (size_t c = 0; c < LEAD_CANDIDATES; c++)
        most = fmax(most, (double)logits[c]);
    sum = elementary_exp(fmax((double)lead_silence - most, -700));
    for (size_t c = 0; c < LEAD_CANDIDATES; c++) {
        p[c] = elementary_exp(fmax((double)logits[c] - most, -700));
        sum += p[c];
    }
    for (size_t c = 0; c < LEAD_CANDIDATES; c++)
        classes[(LEAD_LOW + c) % LEAD_CLASSES] += p[c] / sum;
    for (size_t k = 0; k < LEAD_CLASSES; k++)
        out[k] = (float)classes[k];
}

void lead_classes(enum simd simd, const struct spectrum *s, float *out)
{
    const size_t shift = LEAD_LOW - LEAD_BELOW - SPECTRUM_LOW;
    struct net *net = mem_alloc_aligned(1, sizeof *net);
    float(*rows)[WIDTH] = mem_zalloc(s->n_frames + 1, sizeof *rows); /* the last one: silence */
    for (size_t i = 0; i < (size_t)LEAD_FRAMES * LEAD_OFFSETS; i++)
        for (size_t h = 0; h < LEAD_HIDDEN; h++)
            net->weights[i][h] = (float)lead_weights[i][h] * lead_scale[h];
    for (size_t t = 0; t < s->n_frames; t++)
        memcpy(rows[t], s->levels + t * SPECTRUM_SEMITONES + shift,
               (SPECTRUM_SEMITONES - shift) * sizeof(float));
    for (size_t t = 0; t < s->n_frames; t++) {
        const float *around[LEAD_FRAMES];
        float logits[LEAD_CANDIDATES];
        for (size_t k = 0; k < LEAD_FRAMES; k++) {
            size_t at = t + (size_t)lead_frames[k]; /* wraps below 0, beyond the end */
            around[k] = rows[size_min(at, s->n_frames)];
        }
        LANE_CALL(simd, logits, (net, around, logits));
        fold(logits, out + t * LEAD_CLASSES);
    }
    mem_free(rows);
    mem_free(net);
}
