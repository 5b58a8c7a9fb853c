/*
 * Stockham's self-sorting transform, decimation in frequency: each pass takes one factor r of the
 * length and reads items m apart, m the length that is left, so that bins come out in order with no
 * permutation. Passes are general loops over r <= 5: frames here are short and few.
 *
 * A real frame of n samples is a complex one of n / 2, even samples in the real part and odd ones
 * in the imaginary; Z is split afterwards into the spectra of both, X[k] = E[k] + w^k O[k].
 */
#include "features/dft.h"

#include "base/mem.h"
#include "features/elementary.h"

enum { RADIX_MAX = 5 };

/* Angles are folded to the first octant, so that quarter turns are exact. */
static void circle_at(size_t i, size_t n, double *out_cos, double *out_sin)
{
    const double pi_4 = 0.78539816339744830962;
    size_t x = 8 * i; /* an octant is n long */
    size_t octant = x / n, rest = x % n;
    double a = (double)(octant % 2 == 0 ? rest : n - rest) * pi_4 / (double)n;
    double c = elementary_cos(a), s = elementary_sin(a);
    bool swaps = octant % 4 == 1 || octant % 4 == 2;
    double x_part = swaps ? s : c, y_part = swaps ? c : s;
    *out_cos = octant >= 2 && octant < 6 ? -x_part : x_part;
    *out_sin = octant >= 4 ? -y_part : y_part;
}

bool dft_plan_init(struct dft_plan *p, size_t n, enum simd simd, struct err *e)
{
    static const unsigned radices[] = {4, 2, 5, 3};
    *p = (struct dft_plan){.n = n, .simd = simd};
    size_t rest = n / 2;
    bool fits = n % 2 == 0 && n >= DFT_N_MIN && n <= DFT_N_MAX;
    for (size_t i = 0; fits && i < ARRAY_LEN(radices); i++)
        for (; rest % radices[i] == 0; rest /= radices[i]) {
            assert(p->n_factors < DFT_FACTORS_MAX);
            p->factors[p->n_factors++] = radices[i];
        }
    if (!fits || rest != 1)
        return err_set(e, ERR_USAGE,
                       "FFT length %zu is not even, from %d to %d, with factors 2, 3 and 5 only", n,
                       DFT_N_MIN, DFT_N_MAX);
    p->circle = mem_alloc_aligned(2 * n, sizeof *p->circle);
    for (size_t i = 0; i < n; i++)
        circle_at(i, n, &p->circle[2 * i], &p->circle[2 * i + 1]);
    return true;
}

void dft_plan_release(struct dft_plan *p)
{
    mem_free(p->circle);
    *p = (struct dft_plan){0};
}

/* out += in times e^{-2 pi i turn / n} */
LANE_BODY void turn_add(const double *circle, size_t turn, const struct lane_cpx *in,
                        struct lane_cpx *out)
{
    double c = circle[2 * turn], s = circle[2 * turn + 1];
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++) {
        out->re[l] += in->re[l] * c + in->im[l] * s;
        out->im[l] += in->im[l] * c - in->re[l] * s;
    }
}

/* One pass over blocks of length `left`, of which there are `stride`, interleaved. */
LANE_BODY void pass_body(const struct dft_plan *p, size_t left, unsigned radix,
                         const struct lane_cpx *in, struct lane_cpx *out)
{
    size_t half = p->n / 2, stride = half / left, m = left / radix;
    for (size_t i = 0; i < m; i++)
        for (size_t q = 0; q < stride; q++)
            for (size_t j = 0; j < radix; j++) {
                struct lane_cpx sum = {{0}, {0}}, turned = {{0}, {0}};
                for (size_t k = 0; k < radix; k++)
                    turn_add(p->circle, j * k % radix * (p->n / radix),
                             &in[q + stride * (i + m * k)], &sum);
                turn_add(p->circle, 2 * i * j * stride, &sum, &turned);
                out[q + stride * (radix * i + j)] = turned;
            }
}
LANE_VERSIONS(pass,
              (const struct dft_plan *p, size_t left, unsigned radix, const struct lane_cpx *in,
               struct lane_cpx *out),
              (p, left, radix, in, out))

LANE_BODY void split_body(const struct dft_plan *p, const struct lane_cpx *z, struct lane_cpx *bins)
{
    size_t half = p->n / 2;
    for (size_t k = 0; k <= half; k++) {
        const struct lane_cpx *a = &z[k % half], *b = &z[(half - k) % half];
        double c = p->circle[2 * k], s = p->circle[2 * k + 1];
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            double even_re = 0.5 * (a->re[l] + b->re[l]), even_im = 0.5 * (a->im[l] - b->im[l]);
            double odd_re = 0.5 * (a->im[l] + b->im[l]), odd_im = 0.5 * (b->re[l] - a->re[l]);
            bins[k].re[l] = even_re + (odd_re * c + odd_im * s);
            bins[k].im[l] = even_im + (odd_im * c - odd_re * s);
        }
    }
}
LANE_VERSIONS(split, (const struct dft_plan *p, const struct lane_cpx *z, struct lane_cpx *bins),
              (p, z, bins))

void dft_forward(const struct dft_plan *p, struct lane_cpx *samples, struct lane_cpx *work,
                 struct lane_cpx *bins)
{
    struct lane_cpx *in = samples, *out = work;
    size_t left = p->n / 2;
    for (size_t i = 0; i < p->n_factors; i++) {
        LANE_CALL(p->simd, pass, (p, left, p->factors[i], in, out));
        left /= p->factors[i];
        struct lane_cpx *done = out;
        out = in;
        in = done;
    }
    LANE_CALL(p->simd, split, (p, in, bins));
}
