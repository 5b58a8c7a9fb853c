/*
 * What makes an evaluation's figures mean less than they say. Each is a figure with the sentence
 * that goes with it, never a verdict by itself.
 *
 * - Versions found worse than by chance: the whole interval of the AUC lies under one half.
 * - The same audio on both sides: held-out tracks whose file, byte for byte, was trained on too,
 * and held-out tracks whose average spectrum nearly equals that of a trained one (a re-upload or
 *   another encoding). The second is a screen of the spectra's shapes, not a proof.
 * - A signature: one number of a clip (its noise floor, its level, its highest bands) tells copies
 *   from originals. A network can learn that instead of music; the figure is the AUC of that one
 *   number, 0.5 when it tells nothing.
 */
#ifndef REFRAIN_ALARMS_H
#define REFRAIN_ALARMS_H

#include "train/ranking.h"
#include "train/split.h"

#define ALARM_NEAR_DISTANCE 0.05 /* of unit vectors of the average spectrum */
#define ALARM_SIGNATURE_AUC 0.9

enum signature {
    SIGNATURE_FLOOR, /* 10th percentile of all values, dB */
    SIGNATURE_LEVEL, /* mean */
    SIGNATURE_HIGHS, /* mean of the upper quarter of the bands */
    SIGNATURES,
};
const char *signature_name(enum signature s); /* "floor" */

struct alarms {
    bool versions_inverted;
    size_t n_same_audio, n_near_duplicates;
    double signature_auc[SIGNATURES]; /* at least 0.5: whichever way round */
};

/* The share of pairs (x of a, y of b) with x < y, ties half; then the better way round. */
double separation_auc(const double *a, const double *b, size_t n);

/* Of one picture (n_frames, n_mels) in dB; `scratch` has room for it. */
void signature_measure(const float *picture, uint32_t n_frames, uint32_t n_mels, float *scratch,
                       double out[SIGNATURES]);

/* originals[i] and copies[i] are keys of held-out clips; auc is the versions' (NAN without). */
MUST_CHECK bool alarms_measure(struct store *store, const struct store_snapshot *snap,
                               const struct split_side *train, const uint64_t *originals,
                               const uint64_t *copies, size_t n, const struct figure *auc,
                               struct alarms *out, struct err *e);

#endif
