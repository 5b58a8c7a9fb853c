#include "programs/feature_settings.h"

static_assert((int)SETTING_PRESET_LIBROSA_0_10 == FEATURE_LIBROSA_0_10 &&
                  (int)SETTING_PRESET_LIBROSA_0_8 == FEATURE_LIBROSA_0_8 &&
                  (int)SETTING_PRESET_TORCHAUDIO == FEATURE_TORCHAUDIO &&
                  (int)SETTING_PRESET_KALDI_AST == FEATURE_KALDI_AST &&
                  (int)SETTING_PRESET_WHISPER == FEATURE_WHISPER,
              "the setting is cast to the preset");

static uint32_t number_of(uint64_t set, uint32_t preset)
{
    return set > 0 ? (uint32_t)set : preset;
}

static double real_of(double set, double preset)
{
    return set > 0 ? set : preset;
}

static const char *kind_name(const struct settings *s)
{
    static const char *const names[] = {"mel", "mfcc", "chroma", "tempogram", "cqt"};
    return names[s->features.kind];
}

bool feature_settings_check(const struct settings *s, struct err *e)
{
    const struct feature_spec plain = feature_spec_of(FEATURE_LIBROSA_0_10);
    struct settings mel = *s;
    mel.features.kind = SETTING_KIND_MEL;
    struct feature_spec spec = feature_spec_from_settings(&mel);
    if (s->features.kind == SETTING_KIND_MEL ||
        feature_spec_hash(&spec) == feature_spec_hash(&plain))
        return true;
    return err_set(e, ERR_USAGE,
                   "features.kind = %s follows librosa's defaults: leave features.preset and the "
                   "numbers of features.* as they are",
                   kind_name(s));
}

struct feature_spec feature_spec_from_settings(const struct settings *s)
{
    if (s->features.kind != SETTING_KIND_MEL)
        return feature_spec_of_kind(feature_kind_find(kind_name(s)));
    struct feature_spec spec = feature_spec_of((enum feature_preset)s->features.preset);
    spec.rate_hz = number_of(s->features.rate_hz, spec.rate_hz);
    spec.n_fft = number_of(s->features.n_fft, spec.n_fft);
    spec.hop = number_of(s->features.hop, spec.hop);
    spec.n_mels = number_of(s->features.n_mels, spec.n_mels);
    spec.f_min_hz = real_of(s->features.f_min_hz, spec.f_min_hz);
    spec.f_max_hz = real_of(s->features.f_max_hz, spec.f_max_hz);
    spec.top_db = real_of(s->features.top_db, spec.top_db);
    return spec;
}
