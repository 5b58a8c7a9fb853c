#include "programs/mel_bands.h"

#include "features/mel.h"
#include "programs/feature_settings.h"

/* Of a picture's values, as enum feature_log has them. */
static double units_per_decade(enum feature_log log)
{
    static const double LN_10 = 2.30258509299404568402;
    switch (log) {
    case FEATURE_LOG_AST:
        return LN_10 / (2 * 4.5689974);
    case FEATURE_LOG_WHISPER:
        return 1.0 / 4;
    default:
        return 10.0;
    }
}

bool mel_bands_from_settings(const struct settings *s, struct chroma_bands *out)
{
    struct feature_spec spec = feature_spec_from_settings(s);
    if (spec.kind != NULL || spec.n_mels > RECORD_MELS_MAX)
        return false;
    double from = mel_scale_from_hz(spec.mel, spec.f_min_hz);
    double to = mel_scale_from_hz(spec.mel, feature_f_max_hz(&spec));
    *out = (struct chroma_bands){.spec_hash = feature_spec_hash(&spec),
                                 .n = spec.n_mels,
                                 .units_per_decade = units_per_decade(spec.log)};
    for (uint32_t m = 0; m < spec.n_mels; m++) /* the peaks of n_mels triangles */
        out->centre_hz[m] =
            mel_scale_to_hz(spec.mel, from + (m + 1) * (to - from) / (spec.n_mels + 1));
    return true;
}
