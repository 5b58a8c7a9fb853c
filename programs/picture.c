#include "programs/picture.h"

#include "base/mem.h"

#include <math.h>

/* ---------------------------------------------------------------- colour */

/* OKLab (Ottosson 2020, https://bottosson.github.io/posts/oklab/) to 8-bit sRGB (IEC 61966-2-1). */
static uint8_t srgb_byte(double linear)
{
    double x = fmin(fmax(linear, 0), 1);
    double coded = x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - 0.055;
    return (uint8_t)lround(coded * 255);
}

static void oklab_to_srgb(double lightness, double a, double b, uint8_t out[3])
{
    double l = pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
    double m = pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
    double s = pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
    out[0] = srgb_byte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
    out[1] = srgb_byte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
    out[2] = srgb_byte(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
}

void picture_palette(uint8_t out[PNG_PALETTE_BYTES])
{
    /* Hue and saturation as (a, b) at five even steps, chosen by eye within the sRGB gamut. */
    static const double a[] = {0.005, 0.075, 0.150, 0.080, -0.020};
    static const double b[] = {-0.030, -0.115, 0.010, 0.120, 0.085};
    enum { STEPS = ARRAY_LEN(a) - 1 };
    for (unsigned i = 0; i < 256; i++) {
        unsigned k = i * STEPS / 256; /* the step that i lies in, and how far in it */
        double f = (double)i / 255 * STEPS - k;
        oklab_to_srgb(0.14 + 0.83 * i / 255, a[k] + f * (a[k + 1] - a[k]),
                      b[k] + f * (b[k + 1] - b[k]), out + 3 * (size_t)i);
    }
}

/* ---------------------------------------------------------------- picture */

static uint8_t level_index(float value, double low, double high)
{
    double share = 1 + (value - high) / (high - low);
    return share >= 1 ? 255 : share > 0 ? (uint8_t)lround(share * 255) : 0;
}

void picture_range(const struct feature_spec *spec, const float *values, size_t n, double *out_low,
                   double *out_high)
{
    *out_low = -spec->top_db;
    *out_high = 0;
    if (feature_spec_is_bounded(spec))
        return;
    float low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        low = fminf(low, values[i]);
        high = fmaxf(high, values[i]);
    }
    bool is_flat = !(low < high);
    *out_low = is_flat ? 0 : (double)low;
    *out_high = is_flat ? 1 : (double)high;
}

bool picture_levels_init(struct picture_levels *p, const float *values, uint32_t n_frames,
                         uint32_t n_mels, double low, double high, struct err *e)
{
    *p = (struct picture_levels){.height = n_mels};
    if (n_frames == 0 || n_mels == 0)
        return err_set(e, ERR_PERM, "a clip of %u frames and %u bands has no picture", n_frames,
                       n_mels);
    uint32_t step = (n_frames + PICTURE_WIDTH_MAX - 1) / PICTURE_WIDTH_MAX;
    p->width = (n_frames + step - 1) / step;
    p->pixels = mem_zalloc(n_mels, p->width);
    for (size_t frame = 0; frame < n_frames; frame++) {
        for (size_t mel = 0; mel < n_mels; mel++) {
            uint8_t index = level_index(values[frame * n_mels + mel], low, high);
            uint8_t *pixel = &p->pixels[(n_mels - 1 - mel) * p->width + frame / step];
            if (index > *pixel)
                *pixel = index;
        }
    }
    return true;
}

void picture_levels_release(struct picture_levels *p)
{
    mem_free(p->pixels);
    *p = (struct picture_levels){0};
}

bool picture_spectrogram(const float *values, uint32_t n_frames, uint32_t n_mels, double low,
                         double high, struct buf *out, struct err *e)
{
    struct picture_levels levels;
    uint8_t palette[PNG_PALETTE_BYTES];
    if (!picture_levels_init(&levels, values, n_frames, n_mels, low, high, e))
        return false;
    picture_palette(palette);
    struct png picture = {.width = levels.width,
                          .height = levels.height,
                          .pixels = levels.pixels,
                          .palette = palette};
    bool ok = png_encode(&picture, out, e);
    picture_levels_release(&levels);
    return ok;
}
