/*
 * Small charts as inline SVG. Colours and fonts come from the page's style sheet by class, so that
 * light, dark and print need nothing here. Labels are foreign text and are escaped.
 */
#ifndef REFRAIN_PLOT_H
#define REFRAIN_PLOT_H

#include "features/spec.h"

#include <stdio.h>

/* One horizontal bar: `part` of `n` is drawn strong, the rest pale. */
struct plot_bar {
    const char *label; /* borrowed */
    uint64_t n, part;
};

/* `title` is what a screen reader says; `bar_class` is added to the bars: "warm", or "". */
void plot_bars(FILE *out, const char *title, const struct plot_bar *bars, size_t n,
               const char *bar_class);

/* One column a step, from `first` on: the years. Marks every tenth step. */
void plot_columns(FILE *out, const char *title, uint32_t first, const struct plot_bar *columns,
                  size_t n);

/* One bar of all, cut into shares. */
struct plot_share {
    const char *label;
    const char *class_name; /* of the style sheet */
    uint64_t n;
};
void plot_shares(FILE *out, const char *title, const struct plot_share *shares, size_t n);

/* Bars of sizes in bytes with their names: what a clip takes. The first is drawn strong. */
struct plot_size {
    const char *label;
    double n_bytes;
};
void plot_sizes(FILE *out, const char *title, const struct plot_size *sizes, size_t n);

/* A spectrogram with axes in seconds and hertz around a picture. */
struct plot_clip {
    const char *title;
    struct span png;
    uint32_t n_frames, n_mels;
    double frame_s; /* hop / rate */
    enum feature_mel scale;
    double f_min_hz, f_max_hz;
};
void plot_spectrogram(FILE *out, const struct plot_clip *clip);

/* The marks of its axes: 0 at the left or lower edge, 1 at the other. Their number. */
enum { PLOT_TICKS_MAX = 12 };
struct plot_tick {
    double at;
    char label[24];
};
size_t plot_time_ticks(const struct plot_clip *clip, struct plot_tick out[PLOT_TICKS_MAX]);
size_t plot_frequency_ticks(const struct plot_clip *clip, struct plot_tick out[PLOT_TICKS_MAX]);

/* The same as a file of its own, dark on white. */
void plot_spectrogram_file(FILE *out, const struct plot_clip *clip);

/* A step of 1, 2 or 5 times a power of ten such that `span` has at most n_max of them. */
double plot_step(double span, unsigned n_max);

/* Height of a frequency in a picture of n_mels rows: 0 at its lower edge, 1 at its upper one; the
 * centre of band i lies at (i + 0.5) / n_mels. Outside 0..1 when it is not in the picture. */
double plot_mel_height(double hz, enum feature_mel scale, double f_min_hz, double f_max_hz,
                       uint32_t n_mels);

#endif
