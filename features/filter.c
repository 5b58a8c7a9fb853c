/*
 * The design is the textbook's: the poles of the analogue low-pass of cut-off 1 lie on the left
 * half of the unit circle; s -> (s^2 + w0^2) / (b s) makes two poles of each and zeros at 0; the
 * bilinear transform (at twice the rate, hence the 4) brings them into the unit circle, with zeros
 * at 1 and -1. Every section takes one of each, so that all have the same numerator.
 */
#include "features/filter.h"

#include "features/elementary.h"

#include <math.h>
#include <string.h>

struct complex_number {
    double re, im;
};

/* The root with a real part that is not negative. */
static struct complex_number root_of(struct complex_number x)
{
    double size = sqrt(x.re * x.re + x.im * x.im);
    double re = sqrt(fmax(0, (size + x.re) / 2)), im = sqrt(fmax(0, (size - x.re) / 2));
    return (struct complex_number){re, x.im < 0 ? -im : im};
}

/* (4 + s) / (4 - s); *gain is divided by |4 - s|^2, for s and its conjugate. */
static struct complex_number bilinear(struct complex_number s, double *gain)
{
    double re = 4 - s.re, size2 = re * re + s.im * s.im;
    *gain /= size2;
    return (struct complex_number){((4 + s.re) * re - s.im * s.im) / size2, 8 * s.im / size2};
}

/* A pair of conjugate poles. */
static void section_add(struct filter *f, struct complex_number pole)
{
    struct complex_number z = bilinear(pole, &f->gain);
    assert(f->n_sections < FILTER_SECTIONS_MAX);
    f->sections[f->n_sections++] = (struct filter_section){-2 * z.re, z.re * z.re + z.im * z.im};
}

/* Two real poles. */
static void section_add_real(struct filter *f, double first, double second)
{
    double a = (4 + first) / (4 - first), b = (4 + second) / (4 - second);
    assert(f->n_sections < FILTER_SECTIONS_MAX);
    f->gain /= (4 - first) * (4 - second);
    f->sections[f->n_sections++] = (struct filter_section){-(a + b), a * b};
}

static double warp(double hz, double rate_hz)
{
    const double pi = 3.14159265358979323846;
    double a = pi * hz / rate_hz;
    return 4 * elementary_sin(a) / elementary_cos(a);
}

void filter_band_pass(struct filter *f, unsigned order, double low_hz, double high_hz,
                      double rate_hz)
{
    const double pi = 3.14159265358979323846;
    assert(order >= 1 && order <= FILTER_SECTIONS_MAX);
    assert(low_hz > 0 && low_hz < high_hz && high_hz < rate_hz / 2);
    double low = warp(low_hz, rate_hz), high = warp(high_hz, rate_hz);
    double width = high - low, middle2 = low * high;
    *f = (struct filter){.gain = 1};
    for (unsigned i = 0; i < order; i++)
        f->gain *= 4 * width;
    for (unsigned i = 0; 2 * i < order; i++) { /* poles above the real axis, and on it */
        double angle = pi / 2 + (2 * i + 1) * pi / (2 * order);
        bool is_real = 2 * i + 1 == order;
        struct complex_number p = {is_real ? -width / 2 : width / 2 * elementary_cos(angle),
                                   is_real ? 0 : width / 2 * elementary_sin(angle)};
        struct complex_number square = {p.re * p.re - p.im * p.im - middle2, 2 * p.re * p.im};
        struct complex_number r = root_of(square);
        if (is_real && square.re >= 0) {
            section_add_real(f, p.re + r.re, p.re - r.re);
        } else if (is_real) {
            section_add(f, (struct complex_number){p.re, r.im});
        } else {
            section_add(f, (struct complex_number){p.re + r.re, p.im + r.im});
            section_add(f, (struct complex_number){p.re - r.re, p.im - r.im});
        }
    }
}

/* Direct form II transposed. A constant gives nothing through the zero at 0 Hz, so that only the
 * first section has a state to begin with. */
void filter_apply(const struct filter *f, float *x, size_t n)
{
    double state[FILTER_SECTIONS_MAX][2] = {{0}};
    if (n > 0)
        state[0][0] = state[0][1] = -f->gain * (double)x[0];
    for (size_t i = 0; i < n; i++) {
        double y = f->gain * (double)x[i];
        for (size_t k = 0; k < f->n_sections; k++) {
            const struct filter_section *s = &f->sections[k];
            double in = y;
            y = in + state[k][0];
            state[k][0] = state[k][1] - s->a1 * y;
            state[k][1] = -in - s->a2 * y;
        }
        x[i] = (float)y;
    }
}
