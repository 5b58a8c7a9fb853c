/*
 * Decimation in time. A block of m real samples is transformed into m / 2 complex slots: slot 0
 * holds the two real bins 0 and m / 2, the others one bin each. Four neighbouring blocks combine in
 * place into one of 4 m samples: the four slots at the same place hold bin j of the four and become
 * bins j, m - j, m + j and 2 m - j of the whole. No bin ever moves, so bins end in a scrambled
 * order, which is tabulated once (bin_slot); twiddles are stored in the order of the slots.
 *
 * The arithmetic is FFTPACK's as pocketfft orders it: factors 4 first, a single 2 in front of them,
 * so that passes run 4, 4, ..., 4, 2 from the samples on. FFTPACK passes over the whole array for
 * each factor; here a block is finished before the next one is begun, so that all levels but the
 * last two run in the first-level cache (2048 points of eight frames are 128 KiB).
 */
#include "features/fft.h"

#include "base/mem.h"
#include "features/elementary.h"

/* ---------------------------------------------------------------- plan */

/*
 * cos and sin of 2 pi i / n as pocketfft makes them: from two tables, of i's low and high bits,
 * multiplied. That is less exact than it could be and part of the bits to reproduce.
 */
struct circle {
    size_t n, low_bits;
};

static struct circle circle_of(size_t n)
{
    struct circle c = {n, 1};
    size_t n_needed = (n + 2) / 2;
    while ((size_t)1 << 2 * c.low_bits < n_needed)
        c.low_bits++;
    return c;
}

/* An entry of the tables, up to half the circle: folded to the first octant, as pocketfft does. */
static void circle_exact(size_t n, size_t i, double *out_cos, double *out_sin)
{
    const double pi_4 = 0.78539816339744830962;
    assert(2 * i <= n);
    size_t x = 8 * i; /* an octant is n long */
    bool second_quadrant = x >= 2 * n;
    if (second_quadrant)
        x -= 2 * n;
    bool fold = x >= n;
    double a = (double)(fold ? 2 * n - x : x) * (pi_4 / (double)n); /* n: a power of two, exact */
    double c = fold ? elementary_sin(a) : elementary_cos(a);
    double s = fold ? elementary_cos(a) : elementary_sin(a);
    *out_cos = second_quadrant ? -s : c;
    *out_sin = second_quadrant ? c : s;
}

static void circle_get(const struct circle *c, size_t i, double *out_cos, double *out_sin)
{
    bool mirror = 2 * i > c->n;
    size_t at = mirror ? c->n - i : i;
    size_t low = at & (((size_t)1 << c->low_bits) - 1);
    double c0, s0, c1, s1;
    circle_exact(c->n, low, &c0, &s0);
    circle_exact(c->n, at - low, &c1, &s1);
    *out_cos = c0 * c1 - s0 * s1;
    *out_sin = c0 * s1 + s0 * c1;
    if (mirror)
        *out_sin = -*out_sin;
}

/* bins[s]: which bin of its block slot s holds, after a level has combined blocks of n_slots. */
static void bins_combine(uint32_t *bins, size_t n_slots, unsigned radix)
{
    uint32_t m = (uint32_t)(2 * n_slots); /* real samples of an input block */
    for (size_t s = 0; s < n_slots; s++) {
        uint32_t j = bins[s];
        bool is_ends = s == 0;
        if (radix == 2) {
            bins[n_slots + s] = is_ends ? m / 2 : m - j;
            continue;
        }
        bins[n_slots + s] = is_ends ? m / 2 : m - j;
        bins[2 * n_slots + s] = is_ends ? m : m + j;
        bins[3 * n_slots + s] = is_ends ? m + m / 2 : 2 * m - j;
    }
}

static void level_init(struct fft_plan *p, struct fft_level *level, const struct circle *circle,
                       const uint32_t *bins)
{
    size_t n_combined = 2 * level->n_slots * level->radix;
    size_t n_blocks = p->n / n_combined; /* FFTPACK's l1 */
    double *next = level->twiddles;
    for (size_t s = 1; s < level->n_slots; s++)
        for (size_t c = 1; c < level->radix; c++, next += 2)
            circle_get(circle, c * n_blocks * bins[s], &next[0], &next[1]);
}

bool fft_plan_init(struct fft_plan *p, size_t n, enum simd simd, struct err *e)
{
    *p = (struct fft_plan){.n = n, .simd = simd};
    if (n < FFT_N_MIN || n > FFT_N_MAX || (n & (n - 1)) != 0)
        return err_set(e, ERR_USAGE, "FFT length %zu is not a power of two from %d to %d", n,
                       FFT_N_MIN, FFT_N_MAX);
    struct circle circle = circle_of(n);
    uint32_t *bins = mem_alloc(n / 2, sizeof *bins);
    p->slot_bin = bins;
    p->twiddle_block = mem_alloc_aligned(2 * n, sizeof *p->twiddle_block);
    double *next = p->twiddle_block;
    bins[0] = 0;
    bins[1] = 1;
    size_t n_done = 4;
    for (; n_done < n; p->n_levels++) {
        struct fft_level *level = &p->levels[p->n_levels];
        assert(p->n_levels < FFT_LEVELS_MAX);
        *level = (struct fft_level){n_done * 4 <= n ? 4 : 2, n_done / 2, next};
        level_init(p, level, &circle, bins);
        next += 2 * (level->n_slots - 1) * (level->radix - 1);
        assert(next <= p->twiddle_block + 2 * n);
        bins_combine(bins, level->n_slots, level->radix);
        n_done *= level->radix;
    }
    p->bin_slot = mem_zalloc(n / 2, sizeof *p->bin_slot);
    for (uint32_t s = 1; s < n / 2; s++)
        p->bin_slot[bins[s]] = s;

    /* Sample i is in sub-block i mod radix of the last level, and so on down. */
    p->leaf_slot = mem_alloc(n / 4, sizeof *p->leaf_slot);
    for (size_t i = 0; i < n / 4; i++) {
        size_t rest = i, slot = 0;
        for (size_t k = p->n_levels; k-- > 0; rest /= p->levels[k].radix)
            slot += rest % p->levels[k].radix * p->levels[k].n_slots;
        p->leaf_slot[i] = (uint32_t)slot;
    }
    return true;
}

void fft_plan_release(struct fft_plan *p)
{
    mem_free(p->twiddle_block);
    mem_free(p->leaf_slot);
    mem_free(p->slot_bin);
    mem_free(p->bin_slot);
    *p = (struct fft_plan){0};
}

/* ---------------------------------------------------------------- combining blocks */

LANE_BODY void combine4_body(struct lane_cpx *x, size_t n_slots, const double *w)
{
    const double sqrt_half = 0.70710678118654752440;
    struct lane_cpx *a = x, *b = a + n_slots, *c = b + n_slots, *d = c + n_slots;
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++) {
        double odd = d->re[l] + b->re[l], even = a->re[l] + c->re[l];
        double m_im = d->re[l] - b->re[l], m_re = a->re[l] - c->re[l];
        double t_im = -sqrt_half * (b->im[l] + d->im[l]), t_re = sqrt_half * (b->im[l] - d->im[l]);
        double a_im = a->im[l], c_im = c->im[l];
        a->re[l] = even + odd;
        a->im[l] = even - odd;
        b->re[l] = a_im + t_re;
        b->im[l] = t_im - c_im;
        c->re[l] = m_re;
        c->im[l] = m_im;
        d->re[l] = a_im - t_re;
        d->im[l] = t_im + c_im;
    }
    for (size_t s = 1; s < n_slots; s++, w += 6) {
        a++, b++, c++, d++;
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            double b_re = w[0] * b->re[l] + w[1] * b->im[l];
            double b_im = w[0] * b->im[l] - w[1] * b->re[l];
            double c_re = w[2] * c->re[l] + w[3] * c->im[l];
            double c_im = w[2] * c->im[l] - w[3] * c->re[l];
            double d_re = w[4] * d->re[l] + w[5] * d->im[l];
            double d_im = w[4] * d->im[l] - w[5] * d->re[l];
            double odd_re = d_re + b_re, turn_im = d_re - b_re;
            double odd_im = b_im + d_im, turn_re = b_im - d_im;
            double even_re = a->re[l] + c_re, dif_re = a->re[l] - c_re;
            double even_im = a->im[l] + c_im, dif_im = a->im[l] - c_im;
            a->re[l] = even_re + odd_re;
            a->im[l] = odd_im + even_im;
            b->re[l] = dif_re - turn_re;
            b->im[l] = turn_im - dif_im;
            c->re[l] = dif_re + turn_re;
            c->im[l] = turn_im + dif_im;
            d->re[l] = even_re - odd_re;
            d->im[l] = odd_im - even_im;
        }
    }
}
LANE_VERSIONS(combine4, (struct lane_cpx * x, size_t n_slots, const double *w), (x, n_slots, w))

LANE_BODY void combine2_body(struct lane_cpx *x, size_t n_slots, const double *w)
{
    struct lane_cpx *a = x, *b = a + n_slots;
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++) {
        double sum = a->re[l] + b->re[l], difference = a->re[l] - b->re[l];
        double a_im = a->im[l], b_im = b->im[l];
        a->re[l] = sum;
        a->im[l] = difference;
        b->re[l] = a_im;
        b->im[l] = -b_im;
    }
    for (size_t s = 1; s < n_slots; s++, w += 2) {
        a++, b++;
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            double b_re = w[0] * b->re[l] + w[1] * b->im[l];
            double b_im = w[0] * b->im[l] - w[1] * b->re[l];
            double a_re = a->re[l], a_im = a->im[l];
            a->re[l] = a_re + b_re;
            a->im[l] = b_im + a_im;
            b->re[l] = a_re - b_re;
            b->im[l] = b_im - a_im;
        }
    }
}
LANE_VERSIONS(combine2, (struct lane_cpx * x, size_t n_slots, const double *w), (x, n_slots, w))

/* Makes the blocks that level k combines, then combines them. Depth is at most n_levels. */
static void transform(const struct fft_plan *p, struct lane_cpx *x, size_t k)
{
    const struct fft_level *level = &p->levels[k];
    if (k > 0)
        for (size_t i = 0; i < level->radix; i++)
            transform(p, x + i * level->n_slots, k - 1);
    if (level->radix == 4)
        LANE_CALL(p->simd, combine4, (x, level->n_slots, level->twiddles));
    else
        LANE_CALL(p->simd, combine2, (x, level->n_slots, level->twiddles));
}

void fft_forward(const struct fft_plan *p, struct lane_cpx *work)
{
    transform(p, work, p->n_levels - 1);
}

/* ---------------------------------------------------------------- inverse */

/*
 * The inverse of a real signal's transform is Hartley's transform, which is its own inverse but for
 * 1 / n: with H[k] = Re X[k] - Im X[k] for all k < n (X[n - k] = conj X[k]) as a real signal, and Y
 * its forward transform, x[i] = (Re Y[i] - Im Y[i]) / n.
 */
LANE_BODY void hartley_body(const struct fft_plan *p, const struct lane_cpx *bins,
                            struct lane_cpx *work)
{
    size_t q = p->n / 4;
    for (size_t i = 0; i < q; i++) {
        struct lane_cpx *slots = work + p->leaf_slot[i];
        const struct lane_cpx *b0 = &bins[i], *b1 = &bins[i + q];
        const struct lane_cpx *b2 = &bins[2 * q - i], *b3 = &bins[q - i];
        double keep_im = i == 0 ? 0 : 1; /* bins 0 and n / 2 are real */
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            fft_leaf(slots, l, b0->re[l] - keep_im * b0->im[l], b1->re[l] - b1->im[l],
                     b2->re[l] + keep_im * b2->im[l], b3->re[l] + b3->im[l]);
    }
}
LANE_VERSIONS(hartley,
              (const struct fft_plan *p, const struct lane_cpx *bins, struct lane_cpx *work),
              (p, bins, work))

LANE_BODY void unhartley_body(const struct fft_plan *p, const struct lane_cpx *work,
                              struct lane_f64 *frames)
{
    double scale = 1.0 / (double)p->n;
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++) {
        frames[0].at[l] = work[0].re[l] * scale;
        frames[p->n / 2].at[l] = work[0].im[l] * scale;
    }
    for (size_t i = 1; i < p->n / 2; i++) {
        const struct lane_cpx *y = &work[p->bin_slot[i]];
        struct lane_f64 *low = &frames[i], *high = &frames[p->n - i];
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            low->at[l] = (y->re[l] - y->im[l]) * scale;
            high->at[l] = (y->re[l] + y->im[l]) * scale;
        }
    }
}
LANE_VERSIONS(unhartley,
              (const struct fft_plan *p, const struct lane_cpx *work, struct lane_f64 *frames),
              (p, work, frames))

void fft_inverse(const struct fft_plan *p, const struct lane_cpx *bins, struct lane_cpx *work,
                 struct lane_f64 *frames)
{
    LANE_CALL(p->simd, hartley, (p, bins, work));
    fft_forward(p, work);
    LANE_CALL(p->simd, unhartley, (p, work, frames));
}
