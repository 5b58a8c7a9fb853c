/*
 * What decides the numbers of a picture, mostly of a mel picture: sizes, and the conventions that
 * libraries differ in. All zeros behind top_db is librosa 0.10 and later. Presets name the sets
 * that models were trained on; docs/FEATURES.md has their table and sources.
 */
#ifndef REFRAIN_SPEC_H
#define REFRAIN_SPEC_H

#include "base/err.h"

enum feature_preset {
    FEATURE_LIBROSA_0_10, /* the default */
    FEATURE_LIBROSA_0_8,  /* reflects the signal at its ends */
    FEATURE_TORCHAUDIO,   /* MelSpectrogram's defaults, then AmplitudeToDB's */
    FEATURE_KALDI_AST,    /* transformers' ASTFeatureExtractor: Kaldi's fbank, normalised */
    FEATURE_WHISPER,      /* transformers' WhisperFeatureExtractor, not padded to 30 s */
    FEATURE_PRESETS
};

enum feature_pad {
    FEATURE_PAD_ZEROS,   /* n_fft / 2 on both sides */
    FEATURE_PAD_REFLECT, /* as many samples, mirrored at the first and last */
    FEATURE_PAD_NONE     /* frame t begins at t hop; an incomplete one is left out */
};
enum feature_window { FEATURE_HANN_PERIODIC, FEATURE_HANN_SYMMETRIC, FEATURE_RECTANGULAR };
enum feature_frame {
    FEATURE_FRAME_PLAIN,
    FEATURE_FRAME_KALDI /* less its mean, then x[i] - 0.97 x[i - 1], x[0] its own predecessor */
};
enum feature_mel {
    FEATURE_MEL_SLANEY,
    FEATURE_MEL_HTK,  /* 2595 log10(1 + f / 700), triangles over Hz */
    FEATURE_MEL_KALDI /* the same scale, triangles over mel */
};
enum feature_norm { FEATURE_NORM_SLANEY, FEATURE_NORM_NONE };
enum feature_log {
    FEATURE_LOG_DB_MAX,  /* 10 log10(max(1e-10, S)), less that of the largest, from -top_db on */
    FEATURE_LOG_DB,      /* 10 log10(max(1e-10, S)), top_db below the largest at most */
    FEATURE_LOG_AST,     /* (ln(max(2^-23, S)) + 4.2677393) / (2 * 4.5689974) */
    FEATURE_LOG_WHISPER, /* L = log10(max(1e-10, S)); (max(L, max L - 8) + 4) / 4 */
};

/* Another picture than the mel: how large it is, from samples at which rate. */
struct feature_kind {
    const char *name; /* "mfcc" */
    const char *what; /* its rows: "coefficients" */
    uint32_t n_rows, rate_hz, hop;
};
enum { FEATURE_KINDS = 4 };
extern const struct feature_kind feature_kinds[FEATURE_KINDS];

/* NULL when there is none of this name. */
const struct feature_kind *feature_kind_find(const char *name);

struct feature_spec {
    uint32_t rate_hz, n_fft, hop, n_mels;
    double f_min_hz, f_max_hz; /* f_max_hz 0: half the rate */
    double top_db;             /* 0: no floor, or no decibels */
    uint32_t win;              /* samples under the window; 0: n_fft */
    uint32_t n_frames;         /* pictures are cut or filled to so many; 0: as the signal is long */
    bool drops_last;           /* the last frame is left out */
    enum feature_pad pad;
    enum feature_window window;
    enum feature_frame frame;
    enum feature_mel mel;
    enum feature_norm norm;
    enum feature_log log;
    const struct feature_kind *kind; /* another kind, of n_mels rows; NULL: a mel picture */
};

struct feature_spec feature_spec_of(enum feature_preset preset);
/* As librosa's defaults make it; of the numbers, only rate_hz, hop and n_mels mean anything. */
struct feature_spec feature_spec_of_kind(const struct feature_kind *kind);
const char *feature_preset_name(enum feature_preset preset); /* "kaldi-ast" */

/* A name that is none is ERR_USAGE and lists those there are. */
MUST_CHECK bool feature_spec_preset(const char *name, struct feature_spec *out, struct err *e);

/* ERR_USAGE for a top_db that the scale has no place for. Sizes are checked where they are used. */
MUST_CHECK bool feature_spec_check(const struct feature_spec *spec, struct err *e);

enum { SPEC_TEXT_BYTES = 512 };
/* Canonical text of all that decides the numbers ("librosa-0.10 pcm=s16 ... "), and its hash, which
 * every record and model carries. Its first word is the preset whose conventions these are, or
 * "custom". */
void feature_spec_text(const struct feature_spec *spec, char out[SPEC_TEXT_BYTES]);
uint64_t feature_spec_hash(const struct feature_spec *spec);

/* Samples of a clip of so many milliseconds, rounded up. */
size_t feature_n_samples(const struct feature_spec *spec, uint64_t ms);

/* Rows of a picture. 1 + floor(n_samples / hop) with padding; may be 0 without it. */
size_t feature_n_frames(const struct feature_spec *spec, size_t n_samples);

double feature_f_max_hz(const struct feature_spec *spec);

/* Values are decibels in [-top_db, 0]: what the store's 8- and 12-bit levels can hold. */
bool feature_spec_is_bounded(const struct feature_spec *spec);

#endif
