/*
 * A real frame of n samples is transformed as n/2 complex points (even samples real, odd ones
 * imaginary) and unpacked afterwards. The complex transform is decimation in frequency, in place,
 * depth first: a level splits a block of r m points into r blocks of m, which are then finished one
 * after the other. At n = 2048 the whole is 128 KiB but the blocks of the second level are 32 KiB,
 * so that all levels but the first run in the first-level cache (a Stockham transform, breadth
 * first and out of place, was the alternative: no reordering at the end but all levels from the
 * second-level cache). The result is left in digit-reversed order; the unpacking reads it through
 * `order`, which costs nothing because a point is two cache lines.
 */
#include "features/fft.h"

#include "base/mem.h"
#include "features/elementary.h"

/* ---------------------------------------------------------------- plan */

static bool radices_find(struct fft_plan *p, struct err *e)
{
    static const uint8_t choices[] = {4, 2, 3, 5};
    size_t rest = p->n_half;
    for (size_t c = 0; c < ARRAY_LEN(choices); c++)
        for (; rest % choices[c] == 0; rest /= choices[c]) {
            assert(p->n_levels < FFT_LEVELS_MAX);
            p->radix[p->n_levels++] = choices[c];
        }
    if (rest != 1)
        return err_set(e, ERR_USAGE,
                       "FFT length %zu has the factor %zu: lengths are made of 2, 3 and 5 only",
                       p->n, rest);
    return true;
}

static void twiddles_fill(struct fft_plan *p)
{
    size_t n_pairs = 0, n = p->n_half;
    for (size_t i = 0; i < p->n_levels; n /= p->radix[i], i++)
        n_pairs += n / p->radix[i] * (p->radix[i] - 1u);
    p->block = mem_alloc_aligned(2 * n_pairs, sizeof *p->block);
    double *next = p->block;
    n = p->n_half;
    for (size_t i = 0; i < p->n_levels; n /= p->radix[i], i++) {
        p->twiddles[i] = next;
        for (size_t m = 0; m < n / p->radix[i]; m++)
            for (size_t k = 1; k < p->radix[i]; k++, next += 2) {
                elementary_sincos(m * k % n, n, &next[1], &next[0]);
                next[1] = -next[1];
            }
    }
}

/* Frequency k0 + r k1 of a block of n = r m points lies in sub-block k0 at the place of k1. */
static uint32_t order_of(const struct fft_plan *p, size_t k)
{
    size_t place = 0, n = p->n_half;
    for (size_t i = 0; i < p->n_levels; i++) {
        n /= p->radix[i];
        place += k % p->radix[i] * n;
        k /= p->radix[i];
    }
    return (uint32_t)place;
}

bool fft_plan_init(struct fft_plan *p, size_t n, enum simd simd, struct err *e)
{
    *p = (struct fft_plan){.n = n, .n_half = n / 2, .simd = simd};
    if (n < FFT_N_MIN || n > FFT_N_MAX || n % 8 != 0)
        return err_set(e, ERR_USAGE, "FFT length %zu is not a multiple of 8 from %d to %d", n,
                       FFT_N_MIN, FFT_N_MAX);
    if (!radices_find(p, e))
        return false;
    twiddles_fill(p);
    p->unpack = mem_alloc_aligned(p->n_half + 2, sizeof *p->unpack);
    for (size_t k = 0; k <= p->n_half / 2; k++)
        elementary_sincos(k, n, &p->unpack[2 * k + 1], &p->unpack[2 * k]);
    p->order = mem_alloc(p->n_half, sizeof *p->order);
    for (size_t k = 0; k < p->n_half; k++)
        p->order[k] = order_of(p, k);
    return true;
}

void fft_plan_release(struct fft_plan *p)
{
    mem_free(p->block);
    mem_free(p->unpack);
    mem_free(p->order);
    *p = (struct fft_plan){0};
}

/* ---------------------------------------------------------------- butterflies */

LANE_BODY void cpx_mul(struct lane_cpx *out, size_t l, double re, double im, const double w[2])
{
    out->re[l] = re * w[0] - im * w[1];
    out->im[l] = re * w[1] + im * w[0];
}

LANE_BODY void level2_body(struct lane_cpx *x, size_t m, const double *w)
{
    for (size_t p = 0; p < m; p++, w += 2) {
        struct lane_cpx *a = x + p, *b = a + m;
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            double re = a->re[l] - b->re[l], im = a->im[l] - b->im[l];
            a->re[l] += b->re[l];
            a->im[l] += b->im[l];
            cpx_mul(b, l, re, im, w);
        }
    }
}

LANE_BODY void level3_body(struct lane_cpx *x, size_t m, const double *w)
{
    const double sin60 = 0.86602540378443864676;
    for (size_t p = 0; p < m; p++, w += 4) {
        struct lane_cpx *a = x + p, *b = a + m, *c = b + m;
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            double sum_re = b->re[l] + c->re[l], sum_im = b->im[l] + c->im[l];
            double mid_re = a->re[l] - 0.5 * sum_re, mid_im = a->im[l] - 0.5 * sum_im;
            double dif_re = sin60 * (b->re[l] - c->re[l]), dif_im = sin60 * (b->im[l] - c->im[l]);
            a->re[l] += sum_re;
            a->im[l] += sum_im;
            cpx_mul(b, l, mid_re + dif_im, mid_im - dif_re, w);
            cpx_mul(c, l, mid_re - dif_im, mid_im + dif_re, w + 2);
        }
    }
}

LANE_BODY void level4_body(struct lane_cpx *x, size_t m, const double *w)
{
    for (size_t p = 0; p < m; p++, w += 6) {
        struct lane_cpx *a = x + p, *b = a + m, *c = b + m, *d = c + m;
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            double ac_re = a->re[l] + c->re[l], ac_im = a->im[l] + c->im[l];
            double a_c_re = a->re[l] - c->re[l], a_c_im = a->im[l] - c->im[l];
            double bd_re = b->re[l] + d->re[l], bd_im = b->im[l] + d->im[l];
            double b_d_re = b->re[l] - d->re[l], b_d_im = b->im[l] - d->im[l];
            a->re[l] = ac_re + bd_re;
            a->im[l] = ac_im + bd_im;
            cpx_mul(b, l, a_c_re + b_d_im, a_c_im - b_d_re, w);
            cpx_mul(c, l, ac_re - bd_re, ac_im - bd_im, w + 2);
            cpx_mul(d, l, a_c_re - b_d_im, a_c_im + b_d_re, w + 4);
        }
    }
}

/* A last level of 4: all its factors are 1 and left out. n_blocks of four points. */
LANE_BODY void last4_body(struct lane_cpx *x, size_t n_blocks)
{
    for (size_t p = 0; p < n_blocks; p++, x += 4) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            double ac_re = x[0].re[l] + x[2].re[l], ac_im = x[0].im[l] + x[2].im[l];
            double a_c_re = x[0].re[l] - x[2].re[l], a_c_im = x[0].im[l] - x[2].im[l];
            double bd_re = x[1].re[l] + x[3].re[l], bd_im = x[1].im[l] + x[3].im[l];
            double b_d_re = x[1].re[l] - x[3].re[l], b_d_im = x[1].im[l] - x[3].im[l];
            x[0].re[l] = ac_re + bd_re;
            x[0].im[l] = ac_im + bd_im;
            x[1].re[l] = a_c_re + b_d_im;
            x[1].im[l] = a_c_im - b_d_re;
            x[2].re[l] = ac_re - bd_re;
            x[2].im[l] = ac_im - bd_im;
            x[3].re[l] = a_c_re - b_d_im;
            x[3].im[l] = a_c_im + b_d_re;
        }
    }
}
LANE_VERSIONS(last4, (struct lane_cpx * x, size_t n_blocks), (x, n_blocks))

LANE_BODY void level5_body(struct lane_cpx *x, size_t m, const double *w)
{
    const double cos72 = 0.30901699437494742410, cos144 = -0.80901699437494742410;
    const double sin72 = 0.95105651629515357212, sin144 = 0.58778525229247312917;
    for (size_t p = 0; p < m; p++, w += 8) {
        struct lane_cpx *a = x + p, *b = a + m, *c = b + m, *d = c + m, *f = d + m;
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            double bf_re = b->re[l] + f->re[l], bf_im = b->im[l] + f->im[l];
            double b_f_re = b->re[l] - f->re[l], b_f_im = b->im[l] - f->im[l];
            double cd_re = c->re[l] + d->re[l], cd_im = c->im[l] + d->im[l];
            double c_d_re = c->re[l] - d->re[l], c_d_im = c->im[l] - d->im[l];
            double u_re = a->re[l] + (cos72 * bf_re + cos144 * cd_re);
            double u_im = a->im[l] + (cos72 * bf_im + cos144 * cd_im);
            double v_re = a->re[l] + (cos144 * bf_re + cos72 * cd_re);
            double v_im = a->im[l] + (cos144 * bf_im + cos72 * cd_im);
            double s_re = sin72 * b_f_re + sin144 * c_d_re, s_im = sin72 * b_f_im + sin144 * c_d_im;
            double t_re = sin144 * b_f_re - sin72 * c_d_re, t_im = sin144 * b_f_im - sin72 * c_d_im;
            a->re[l] += bf_re + cd_re;
            a->im[l] += bf_im + cd_im;
            cpx_mul(b, l, u_re + s_im, u_im - s_re, w);
            cpx_mul(c, l, v_re + t_im, v_im - t_re, w + 2);
            cpx_mul(d, l, v_re - t_im, v_im + t_re, w + 4);
            cpx_mul(f, l, u_re - s_im, u_im + s_re, w + 6);
        }
    }
}

LANE_BODY void level_body(struct lane_cpx *x, size_t m, unsigned radix, const double *w)
{
    switch (radix) {
    case 2:
        level2_body(x, m, w);
        break;
    case 3:
        level3_body(x, m, w);
        break;
    case 4:
        level4_body(x, m, w);
        break;
    default:
        level5_body(x, m, w);
    }
}
LANE_VERSIONS(level, (struct lane_cpx * x, size_t m, unsigned radix, const double *w),
              (x, m, radix, w))

/* Depth first: see the top of the file. Recursion ends after n_levels. */
static void transform(const struct fft_plan *p, struct lane_cpx *x, size_t n, size_t level_i)
{
    unsigned radix = p->radix[level_i];
    size_t m = n / radix;
    LANE_CALL(p->simd, level, (x, m, radix, p->twiddles[level_i]));
    if (level_i + 1 == p->n_levels)
        return;
    if (level_i + 2 == p->n_levels && p->radix[level_i + 1] == 4) {
        LANE_CALL(p->simd, last4, (x, radix));
        return;
    }
    for (unsigned k = 0; k < radix; k++)
        transform(p, x + k * m, m, level_i + 1);
}

/* ---------------------------------------------------------------- real to complex and back */

/*
 * With Z the transform of even + i odd, E and O those of the even and odd samples:
 *     E[k] = (Z[k] + conj Z[h-k]) / 2,   i O[k] = (Z[k] - conj Z[h-k]) / 2,
 *     X[k] = E[k] + e^{-2 pi i k / n} O[k],   X[h-k] = conj(E[k] - e^{-2 pi i k / n} O[k]).
 */
struct unpacked {
    double low_re, low_im, high_re, high_im;
};

LANE_BODY struct unpacked unpack_lane(const struct lane_cpx *a, const struct lane_cpx *b, size_t l,
                                      double c, double s)
{
    double e_re = 0.5 * (a->re[l] + b->re[l]), e_im = 0.5 * (a->im[l] - b->im[l]);
    double o_re = 0.5 * (a->im[l] + b->im[l]), o_im = 0.5 * (b->re[l] - a->re[l]);
    double t_re = c * o_re + s * o_im, t_im = c * o_im - s * o_re;
    return (struct unpacked){e_re + t_re, e_im + t_im, e_re - t_re, t_im - e_im};
}

LANE_BODY void unpack_bins_body(const struct fft_plan *p, const struct lane_cpx *z,
                                struct lane_cpx *bins)
{
    size_t h = p->n_half;
    for (size_t k = 0; k <= h / 2; k++) {
        const struct lane_cpx *a = &z[p->order[k]], *b = &z[p->order[k == 0 ? 0 : h - k]];
        double c = p->unpack[2 * k], s = p->unpack[2 * k + 1];
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            struct unpacked u = unpack_lane(a, b, l, c, s);
            bins[h - k].re[l] = u.high_re;
            bins[h - k].im[l] = u.high_im;
            bins[k].re[l] = u.low_re;
            bins[k].im[l] = u.low_im;
        }
    }
}
LANE_VERSIONS(unpack_bins,
              (const struct fft_plan *p, const struct lane_cpx *z, struct lane_cpx *bins),
              (p, z, bins))

/* librosa rounds the bin to complex64 and takes its magnitude and the square in float: two more
 * roundings than here, none of which reaches 2e-6 dB. */
LANE_BODY float power_of(double re, double im)
{
    double r = (float)re, i = (float)im;
    return (float)(r * r + i * i);
}

LANE_BODY void unpack_power_body(const struct fft_plan *p, const struct lane_cpx *z,
                                 struct lane_f32 *power)
{
    size_t h = p->n_half;
    for (size_t k = 0; k <= h / 2; k++) {
        const struct lane_cpx *a = &z[p->order[k]], *b = &z[p->order[k == 0 ? 0 : h - k]];
        double c = p->unpack[2 * k], s = p->unpack[2 * k + 1];
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            struct unpacked u = unpack_lane(a, b, l, c, s);
            power[h - k].at[l] = power_of(u.high_re, u.high_im);
            power[k].at[l] = power_of(u.low_re, u.low_im);
        }
    }
}
LANE_VERSIONS(unpack_power,
              (const struct fft_plan *p, const struct lane_cpx *z, struct lane_f32 *power),
              (p, z, power))

/* The inverse of unpack, conjugated, so that the forward transform does the inverse one: Z[k] =
 * E[k] + i O[k], and Z[h-k] = conj E[k] + i conj O[k]. */
LANE_BODY void pack_body(const struct fft_plan *p, const struct lane_cpx *bins,
                         struct lane_cpx *work)
{
    size_t h = p->n_half;
    double scale = 0.5 / (double)h;
    for (size_t k = 0; k <= h / 2; k++) {
        const struct lane_cpx *a = &bins[k], *b = &bins[h - k];
        struct lane_cpx *low = &work[k], *high = &work[k == 0 ? 0 : h - k];
        double c = p->unpack[2 * k], s = p->unpack[2 * k + 1];
        double keep_im = k == 0 ? 0 : 1; /* the first and last bin of a real signal are real */
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            double a_im = keep_im * a->im[l], b_im = keep_im * b->im[l];
            double e_re = scale * (a->re[l] + b->re[l]), e_im = scale * (a_im - b_im);
            double d_re = scale * (a->re[l] - b->re[l]), d_im = scale * (a_im + b_im);
            double o_re = c * d_re - s * d_im, o_im = c * d_im + s * d_re;
            high->re[l] = e_re + o_im;
            high->im[l] = e_im - o_re;
            low->re[l] = e_re - o_im;
            low->im[l] = -(e_im + o_re);
        }
    }
}
LANE_VERSIONS(pack, (const struct fft_plan *p, const struct lane_cpx *bins, struct lane_cpx *work),
              (p, bins, work))

void fft_forward(const struct fft_plan *p, struct lane_cpx *work, struct lane_cpx *out)
{
    transform(p, work, p->n_half, 0);
    LANE_CALL(p->simd, unpack_bins, (p, work, out));
}

void fft_forward_power(const struct fft_plan *p, struct lane_cpx *work, struct lane_f32 *out)
{
    transform(p, work, p->n_half, 0);
    LANE_CALL(p->simd, unpack_power, (p, work, out));
}

void fft_inverse(const struct fft_plan *p, const struct lane_cpx *bins, struct lane_cpx *work)
{
    LANE_CALL(p->simd, pack, (p, bins, work));
    transform(p, work, p->n_half, 0);
}
