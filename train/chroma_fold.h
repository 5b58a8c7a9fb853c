/*
 * Chroma of stored mel pictures, for a baseline that knows of keys: the bands from 500 to 4,000 Hz,
 * three octaves, folded to twelve pitch classes, frame by frame; two clips are as far apart as in
 * the best of the twelve rotations of one of them, so that a transposition costs nothing.
 *
 * It can only be as sharp as the bands are. librosa's 128 up to 11,025 Hz lie 26 Hz apart up to
 * 1,000 Hz, which is a semitone at 434 Hz, and half a semitone above: below 500 Hz two neighbouring
 * pitches fall into one band. Above 4,000 Hz there is little but overtones and noise.
 */
#ifndef REFRAIN_CHROMA_FOLD_H
#define REFRAIN_CHROMA_FOLD_H

#include "store/store.h"

enum { CHROMA_CLASSES = 12 };

/* What a picture's bands are. This room knows no feature spec: programs/ fills it in. */
struct chroma_bands {
    uint64_t spec_hash; /* of the pictures that these are the bands of */
    uint32_t n;
    double centre_hz[RECORD_MELS_MAX];
    double units_per_decade; /* a tenfold power is so many of a picture's units: 10 for decibels */
};

/* classes[c] = sum over m of weight[c][m] power[m]; the weights of a class sum to 1. */
struct chroma_fold {
    uint32_t first_band, n_bands; /* those within the range */
    double units_per_decade;
    double weights[CHROMA_CLASSES][RECORD_MELS_MAX]; /* [m]: band first_band + m */
};

/* A band's power goes to the two classes beside its centre, in proportion to its nearness in
 * semitones. False when a class gets none: the bands are too few or too wide. */
bool chroma_fold_init(struct chroma_fold *f, const struct chroma_bands *bands);

/* picture: (n_frames, n_mels); out: (n_frames, CHROMA_CLASSES), from C on, each frame's largest
 * being 1. */
void chroma_fold_picture(const struct chroma_fold *f, const float *picture, uint32_t n_frames,
                         uint32_t n_mels, float *out);

/* The least Euclidean distance of x from y rotated by 0 to 11 classes; both (n_frames, classes). */
double chroma_fold_distance(const float *x, const float *y, size_t n_frames);

#endif
