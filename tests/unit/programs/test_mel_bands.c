/* Where a data set's bands lie, against the filters that made its pictures. */
#include "features/mel.h"
#include "programs/feature_settings.h"
#include "programs/mel_bands.h"
#include "tests/test.h"

/* Every filter's weights are largest at the bin next to its centre. */
static void check_preset(int preset, enum feature_preset of)
{
    struct settings s = {0};
    struct chroma_bands bands;
    struct feature_spec spec = feature_spec_of(of);
    struct mel_bank bank;
    struct err e = {0};
    s.features.preset = preset;
    CHECK(mel_bands_from_settings(&s, &bands));
    CHECK_U64(bands.n, spec.n_mels);
    CHECK_U64(bands.spec_hash, feature_spec_hash(&spec));
    CHECK_OK(mel_bank_init_as(&bank, spec.rate_hz, spec.n_fft, spec.n_mels, spec.f_min_hz,
                              feature_f_max_hz(&spec), spec.mel, spec.norm, &e),
             &e);
    double bin_hz = (double)spec.rate_hz / spec.n_fft;
    for (uint32_t m = 0; m < bank.n_bands; m++) {
        const struct mel_band *b = &bank.bands[m];
        uint32_t top = 0;
        for (uint32_t i = 0; i < b->n_bins; i++)
            if (bank.weights[b->weight_i + i] > bank.weights[b->weight_i + top])
                top = i;
        if (b->n_bins > 0)
            CHECK_NEAR(bands.centre_hz[m], (b->first_bin + top) * bin_hz, bin_hz);
    }
    mel_bank_release(&bank);
}

static void test_presets(void)
{
    check_preset(SETTING_PRESET_LIBROSA_0_10, FEATURE_LIBROSA_0_10);
    check_preset(SETTING_PRESET_TORCHAUDIO, FEATURE_TORCHAUDIO);
    check_preset(SETTING_PRESET_KALDI_AST, FEATURE_KALDI_AST);
    check_preset(SETTING_PRESET_WHISPER, FEATURE_WHISPER);
}

static void test_units(void)
{
    struct settings s = {0};
    struct chroma_bands bands;
    CHECK(mel_bands_from_settings(&s, &bands));
    CHECK_NEAR(bands.units_per_decade, 10.0, 0.0);
    s.features.preset = SETTING_PRESET_WHISPER; /* (log10 S + 4) / 4 */
    CHECK(mel_bands_from_settings(&s, &bands));
    CHECK_NEAR(bands.units_per_decade, 0.25, 0.0);
    s.features.preset = SETTING_PRESET_KALDI_AST; /* (ln S + 4.2677393) / 9.1379948 */
    CHECK(mel_bands_from_settings(&s, &bands));
    CHECK_NEAR(bands.units_per_decade, log(10.0) / 9.1379948, 1e-12);
    s.features.preset = 0;
    s.features.kind = SETTING_KIND_CQT;
    CHECK(!mel_bands_from_settings(&s, &bands));
}

int main(void)
{
    RUN(test_presets);
    RUN(test_units);
    return test_done();
}
