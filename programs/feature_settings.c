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

struct feature_spec feature_spec_from_settings(const struct settings *s)
{
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
