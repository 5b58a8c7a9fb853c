/*
 * Tuned semitone spectra of raw files (16-bit mono at 22,050 Hz), for training the lead voice's
 * weights (scripts/train_lead.py): dump_spectrum IN.s16 OUT.f32 ... writes rows of 92 float32.
 */
#include "base/file.h"
#include "base/mem.h"
#include "match/spectrum.h"

#include <stdio.h>

enum { RAW_MAX_BYTES = 1 << 30 };

static bool dump(struct spectrum_maker *maker, const char *in, const char *out, struct err *e)
{
    struct buf raw;
    struct spectrum s = {0};
    buf_init(&raw, RAW_MAX_BYTES);
    if (!file_read_all(in, &raw, e)) {
        buf_release(&raw);
        return false;
    }
    const uint8_t *bytes = raw.data;
    size_t n = raw.len / 2;
    float *samples = mem_alloc(n, sizeof *samples);
    for (size_t i = 0; i < n; i++) {
        int16_t v = (int16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
        samples[i] = (float)v / 32768;
    }
    spectrum_make(maker, samples, n, &s);
    size_t n_bytes = s.n_frames * SPECTRUM_SEMITONES * sizeof *s.levels;
    bool ok = file_write_atomic(out, (struct span){s.levels, n_bytes}, e);
    printf("%s: %zu frames, tuning %+.3f\n", in, s.n_frames, (double)s.tuning);
    spectrum_release(&s);
    mem_free(samples);
    buf_release(&raw);
    return ok;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct spectrum_maker *maker;
    bool ok = spectrum_maker_new(simd_best(), &maker, &e);
    for (int i = 1; ok && i + 1 < argc; i += 2)
        ok = dump(maker, argv[i], argv[i + 1], &e);
    if (!ok)
        fprintf(stderr, "dump_spectrum: %s\n", e.msg);
    else
        spectrum_maker_free(maker);
    return ok ? 0 : 1;
}
