#include "features/spec.h"

#include "base/hash.h"
#include "features/chroma.h"
#include "features/cqt.h"
#include "features/mfcc.h"
#include "features/tempogram.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    struct feature_spec spec;
} presets[FEATURE_PRESETS] = {
    [FEATURE_LIBROSA_0_10] =
        {"librosa-0.10",
         {.rate_hz = 22050, .n_fft = 2048, .hop = 512, .n_mels = 128, .top_db = 80}},
    [FEATURE_LIBROSA_0_8] = {"librosa-0.8",
                             {.rate_hz = 22050,
                              .n_fft = 2048,
                              .hop = 512,
                              .n_mels = 128,
                              .top_db = 80,
                              .pad = FEATURE_PAD_REFLECT}},
    [FEATURE_TORCHAUDIO] = {"torchaudio",
                            {.rate_hz = 16000,
                             .n_fft = 400,
                             .hop = 200,
                             .n_mels = 128,
                             .pad = FEATURE_PAD_REFLECT,
                             .mel = FEATURE_MEL_HTK,
                             .norm = FEATURE_NORM_NONE,
                             .log = FEATURE_LOG_DB}},
    [FEATURE_KALDI_AST] = {"kaldi-ast",
                           {.rate_hz = 16000,
                            .n_fft = 512,
                            .hop = 160,
                            .n_mels = 128,
                            .f_min_hz = 20,
                            .win = 400,
                            .n_frames = 1024,
                            .pad = FEATURE_PAD_NONE,
                            .window = FEATURE_HANN_SYMMETRIC,
                            .frame = FEATURE_FRAME_KALDI,
                            .mel = FEATURE_MEL_KALDI,
                            .norm = FEATURE_NORM_NONE,
                            .log = FEATURE_LOG_AST}},
    [FEATURE_WHISPER] = {"whisper",
                         {.rate_hz = 16000,
                          .n_fft = 400,
                          .hop = 160,
                          .n_mels = 80,
                          .drops_last = true,
                          .pad = FEATURE_PAD_REFLECT,
                          .log = FEATURE_LOG_WHISPER}},
};

struct feature_spec feature_spec_of(enum feature_preset preset)
{
    assert(preset < FEATURE_PRESETS);
    return presets[preset].spec;
}

const struct feature_kind feature_kinds[FEATURE_KINDS] = {
    {"mfcc", "coefficients", MFCC_ROWS, MFCC_RATE_HZ, MFCC_HOP},
    {"chroma", "pitch classes", CHROMA_ROWS, CHROMA_RATE_HZ, CHROMA_HOP},
    {"tempogram", "lags", TEMPOGRAM_ROWS, TEMPOGRAM_RATE_HZ, TEMPOGRAM_HOP},
    {"cqt", "bins", CQT_ROWS, CQT_RATE_HZ, CQT_HOP},
};

const struct feature_kind *feature_kind_find(const char *name)
{
    for (size_t i = 0; i < FEATURE_KINDS; i++)
        if (strcmp(name, feature_kinds[i].name) == 0)
            return &feature_kinds[i];
    return NULL;
}

struct feature_spec feature_spec_of_kind(const struct feature_kind *kind)
{
    return (struct feature_spec){
        .rate_hz = kind->rate_hz, .hop = kind->hop, .n_mels = kind->n_rows, .kind = kind};
}

const char *feature_preset_name(enum feature_preset preset)
{
    assert(preset < FEATURE_PRESETS);
    return presets[preset].name;
}

bool feature_spec_preset(const char *name, struct feature_spec *out, struct err *e)
{
    char known[128] = "";
    for (size_t i = 0; i < FEATURE_PRESETS; i++) {
        if (strcmp(name, presets[i].name) == 0) {
            *out = presets[i].spec;
            return true;
        }
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i > 0 ? ", " : "", presets[i].name);
    }
    return err_set(e, ERR_USAGE, "there is no preset \"%s\"; there are %s", name, known);
}

bool feature_spec_check(const struct feature_spec *spec, struct err *e)
{
    if (spec->kind != NULL)
        return true;
    if (spec->log == FEATURE_LOG_DB_MAX && !(spec->top_db > 0))
        return err_set(e, ERR_USAGE, "top_db is %g dB, it must be above 0", spec->top_db);
    if (spec->log == FEATURE_LOG_DB && !(spec->top_db >= 0))
        return err_set(e, ERR_USAGE, "top_db is %g dB, it must be 0 (no floor) or above",
                       spec->top_db);
    if (spec->log > FEATURE_LOG_DB && !(spec->top_db >= 0 && spec->top_db <= 0))
        return err_set(e, ERR_USAGE, "top_db is %g dB and this preset's values are no decibels",
                       spec->top_db);
    return true;
}

double feature_f_max_hz(const struct feature_spec *spec)
{
    return spec->f_max_hz > 0 ? spec->f_max_hz : spec->rate_hz / 2.0;
}

/* ---------------------------------------------------------------- text */

static bool same_conventions(const struct feature_spec *a, const struct feature_spec *b)
{
    return a->win == b->win && a->n_frames == b->n_frames && a->drops_last == b->drops_last &&
           a->pad == b->pad && a->window == b->window && a->frame == b->frame && a->mel == b->mel &&
           a->norm == b->norm && a->log == b->log;
}

static const char *conventions_name(const struct feature_spec *spec)
{
    for (size_t i = 0; i < FEATURE_PRESETS; i++)
        if (same_conventions(spec, &presets[i].spec))
            return presets[i].name;
    return "custom";
}

void feature_spec_text(const struct feature_spec *spec, char out[SPEC_TEXT_BYTES])
{
    static const char *const pads[] = {"zeros-centred", "reflect-centred", "none"};
    static const char *const windows[] = {"hann-periodic", "hann-symmetric", "ones"};
    static const char *const frames[] = {"", " frame=less-mean,pre-emphasis-0.97"};
    static const char *const mels[] = {"slaney", "htk", "kaldi"};
    static const char *const norms[] = {"slaney", "none"};
    static const char *const logs[] = {"ref=max amin=1e-10", "ref=1 amin=1e-10",
                                       "ln amin=2^-23 add=4.2677393 divide=9.1379948",
                                       "log10 amin=1e-10 range=8 add=4 divide=4"};
    char win[32] = "", rows[48] = "", top[32] = "";
    if (spec->kind != NULL) {
        snprintf(out, SPEC_TEXT_BYTES,
                 "librosa-0.11 kind=%s pcm=s16 mono=mean resampler=soxr-hq rate=%u hop=%u rows=%u",
                 spec->kind->name, spec->rate_hz, spec->hop, spec->n_mels);
        return;
    }
    if (spec->win > 0)
        snprintf(win, sizeof win, " win=%u", spec->win);
    if (spec->n_frames > 0)
        snprintf(rows, sizeof rows, " frames=%u", spec->n_frames);
    if (spec->top_db > 0)
        snprintf(top, sizeof top, " top_db=%.9g", spec->top_db);
    int n =
        snprintf(out, SPEC_TEXT_BYTES,
                 "%s pcm=s16 mono=mean resampler=soxr-hq rate=%u n_fft=%u hop=%u%s "
                 "window=%s pad=%s%s%s%s power=2 mel=%s norm=%s "
                 "n_mels=%u f_min=%.9g f_max=%.9g %s%s",
                 conventions_name(spec), spec->rate_hz, spec->n_fft, spec->hop, win,
                 windows[spec->window], pads[spec->pad], spec->drops_last ? " last=dropped" : "",
                 rows, frames[spec->frame], mels[spec->mel], norms[spec->norm], spec->n_mels,
                 spec->f_min_hz, feature_f_max_hz(spec), logs[spec->log], top);
    assert(n > 0 && n < SPEC_TEXT_BYTES);
}

uint64_t feature_spec_hash(const struct feature_spec *spec)
{
    char text[SPEC_TEXT_BYTES];
    feature_spec_text(spec, text);
    return hash64(text, strlen(text), 0);
}

size_t feature_n_samples(const struct feature_spec *spec, uint64_t ms)
{
    return (size_t)((ms * spec->rate_hz + 999) / 1000);
}

size_t feature_n_frames(const struct feature_spec *spec, size_t n_samples)
{
    if (spec->n_frames > 0)
        return spec->n_frames;
    if (spec->kind != NULL)
        return 1 + n_samples / spec->hop;
    size_t win = spec->win > 0 ? spec->win : spec->n_fft;
    if (spec->pad == FEATURE_PAD_NONE)
        return n_samples < win ? 0 : 1 + (n_samples - win) / spec->hop;
    return 1 + n_samples / spec->hop - spec->drops_last;
}

bool feature_spec_is_bounded(const struct feature_spec *spec)
{
    return spec->kind == NULL && spec->log == FEATURE_LOG_DB_MAX;
}
