/*
 * Decimation in time. A block of m real samples is transformed into m / 2 complex slots: slot 0
 * holds the two real bins 0 and m / 2, the others one bin each. Four neighbouring blocks combine in
 * place into one of 4 m samples: the four slots at the same place hold bin j of the four and become
 * bins j, m - j, m + j and 2 m - j of the whole. No bin ever moves, so bins end in a scrambled
 * order, which is tabulated once (bin_slot); twiddles are stored in the order of the slots.
 *
 * The arithmetic is FFTPACK's as pocketfft orders it: factors 4 first, a single 2 in front of them,
 * so that passes run 4, 4, ..., 4, 2 from the samples on. FFTPACK passes over the whole array for
 * each factor. 2048 points of eight frames are 128 KiB, so here the first two passes are made while
 * the samples are loaded, a block is finished in the first-level cache before the next one is
 * begun, or even loaded (fft_block), and for power the last two passes are made together.
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
    p->first_slot = mem_alloc(n / 16, sizeof *p->first_slot);
    for (size_t i = 0; i < n / 16; i++) {
        size_t rest = i, slot = 0;
        for (size_t k = p->n_levels; k-- > 1; rest /= p->levels[k].radix)
            slot += rest % p->levels[k].radix * p->levels[k].n_slots;
        p->first_slot[i] = (uint32_t)slot;
    }
    bool ends_4_2 = p->n_levels >= 3 && p->levels[p->n_levels - 1].radix == 2;
    p->n_block_slots = ends_4_2 ? n / 16 : 0;
    return true;
}

void fft_plan_release(struct fft_plan *p)
{
    mem_free(p->twiddle_block);
    mem_free(p->first_slot);
    mem_free(p->slot_bin);
    mem_free(p->bin_slot);
    *p = (struct fft_plan){0};
}

/* ---------------------------------------------------------------- combining blocks */

LANE_BODY struct fft_two join2_ends(struct fft_two x)
{
    return (struct fft_two){{x.a.re + x.b.re, x.a.re - x.b.re}, {x.a.im, -x.b.im}};
}

LANE_BODY struct fft_two join2(struct fft_two x, const double *w)
{
    struct fft_cpx a = x.a, b = fft_turn(x.b, w);
    return (struct fft_two){{a.re + b.re, b.im + a.im}, {a.re - b.re, b.im - a.im}};
}

LANE_BODY struct fft_cpx slot_get(const struct lane_cpx *slot, size_t l)
{
    return (struct fft_cpx){slot->re[l], slot->im[l]};
}

/* Slots of one place in four blocks. */
LANE_BODY struct fft_four four_get(const struct lane_cpx *x, size_t n_slots, size_t l)
{
    return (struct fft_four){slot_get(x, l), slot_get(x + n_slots, l), slot_get(x + 2 * n_slots, l),
                             slot_get(x + 3 * n_slots, l)};
}

LANE_BODY void four_put(struct lane_cpx *x, size_t n_slots, size_t l, struct fft_four y)
{
    fft_slot_put(x, l, y.a);
    fft_slot_put(x + n_slots, l, y.b);
    fft_slot_put(x + 2 * n_slots, l, y.c);
    fft_slot_put(x + 3 * n_slots, l, y.d);
}

LANE_BODY void combine4_body(struct lane_cpx *x, size_t n_slots, const double *w)
{
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++)
        four_put(x, n_slots, l, fft_join4_ends(four_get(x, n_slots, l)));
    for (size_t s = 1; s < n_slots; s++, w += 6) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            four_put(x + s, n_slots, l, fft_join4(four_get(x + s, n_slots, l), w));
    }
}
LANE_VERSIONS(combine4, (struct lane_cpx * x, size_t n_slots, const double *w), (x, n_slots, w))

LANE_BODY struct fft_two two_get(const struct lane_cpx *x, size_t n_slots, size_t l)
{
    return (struct fft_two){slot_get(x, l), slot_get(x + n_slots, l)};
}

LANE_BODY void two_put(struct lane_cpx *x, size_t n_slots, size_t l, struct fft_two y)
{
    fft_slot_put(x, l, y.a);
    fft_slot_put(x + n_slots, l, y.b);
}

LANE_BODY void combine2_body(struct lane_cpx *x, size_t n_slots, const double *w)
{
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++)
        two_put(x, n_slots, l, join2_ends(two_get(x, n_slots, l)));
    for (size_t s = 1; s < n_slots; s++, w += 2) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            two_put(x + s, n_slots, l, join2(two_get(x + s, n_slots, l), w));
    }
}
LANE_VERSIONS(combine2, (struct lane_cpx * x, size_t n_slots, const double *w), (x, n_slots, w))

/* Makes the blocks that level k combines, then combines them; level 0 is fft_first's. Depth is at
 * most n_levels. */
static void transform(const struct fft_plan *p, struct lane_cpx *x, size_t k)
{
    if (k == 0)
        return;
    const struct fft_level *level = &p->levels[k];
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

/* ---------------------------------------------------------------- power */

/* Through the last two levels, 4 and 2, at the places s of all eight blocks of m slots. */
LANE_BODY void last_join(const struct lane_cpx *x, size_t m, const double *w4, const double *w2,
                         struct lane_cpx y[8])
{
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++) {
        struct fft_four low = fft_join4(four_get(x, m, l), w4);
        struct fft_four high = fft_join4(four_get(x + 4 * m, m, l), w4);
        two_put(y, 4, l, join2((struct fft_two){low.a, high.a}, w2));
        two_put(y + 1, 4, l, join2((struct fft_two){low.b, high.b}, w2 + 2 * m));
        two_put(y + 2, 4, l, join2((struct fft_two){low.c, high.c}, w2 + 4 * m));
        two_put(y + 3, 4, l, join2((struct fft_two){low.d, high.d}, w2 + 6 * m));
    }
}

/* The same at the ends. y[0] holds bins 0 and n / 2. */
LANE_BODY void last_join_ends(const struct lane_cpx *x, size_t m, const double *w2,
                              struct lane_cpx y[8])
{
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++) {
        struct fft_four low = fft_join4_ends(four_get(x, m, l));
        struct fft_four high = fft_join4_ends(four_get(x + 4 * m, m, l));
        two_put(y, 4, l, join2_ends((struct fft_two){low.a, high.a}));
        two_put(y + 1, 4, l, join2((struct fft_two){low.b, high.b}, w2 + 2 * (m - 1)));
        two_put(y + 2, 4, l, join2((struct fft_two){low.c, high.c}, w2 + 2 * (2 * m - 1)));
        two_put(y + 3, 4, l, join2((struct fft_two){low.d, high.d}, w2 + 2 * (3 * m - 1)));
    }
}

LANE_BODY void power_put(struct lane_f32 *out, const double re[LANES], const double im[LANES])
{
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++)
        out->at[l] = fft_power_of(re[l], im[l]);
}

LANE_BODY void last_power_body(const struct fft_plan *p, const struct lane_cpx *x,
                               struct lane_f32 *power)
{
    static const double zeros[LANES] = {0};
    const struct fft_level *fours = &p->levels[p->n_levels - 2], *twos = fours + 1;
    size_t m = fours->n_slots;
    struct lane_cpx y[8];
    for (size_t s = 0; s < m; s++) {
        if (s == 0)
            last_join_ends(x, m, twos->twiddles, y);
        else
            last_join(x + s, m, fours->twiddles + 6 * (s - 1), twos->twiddles + 2 * (s - 1), y);
        for (size_t i = s == 0; i < 8; i++)
            power_put(&power[p->slot_bin[s + i * m]], y[i].re, y[i].im);
        if (s == 0) {
            power_put(&power[0], y[0].re, zeros);
            power_put(&power[p->n / 2], y[0].im, zeros);
        }
    }
}
LANE_VERSIONS(last_power,
              (const struct fft_plan *p, const struct lane_cpx *x, struct lane_f32 *power),
              (p, x, power))

LANE_BODY void all_power_body(const struct fft_plan *p, const struct lane_cpx *x,
                              struct lane_f32 *power)
{
    static const double zeros[LANES] = {0};
    power_put(&power[0], x[0].re, zeros);
    power_put(&power[p->n / 2], x[0].im, zeros);
    for (size_t s = 1; s < p->n / 2; s++) /* in order of the larger array */
        power_put(&power[p->slot_bin[s]], x[s].re, x[s].im);
}
LANE_VERSIONS(all_power,
              (const struct fft_plan *p, const struct lane_cpx *x, struct lane_f32 *power),
              (p, x, power))

void fft_block(const struct fft_plan *p, struct lane_cpx *block)
{
    assert(p->n_block_slots > 0);
    transform(p, block, p->n_levels - 3);
}

void fft_power_of_blocks(const struct fft_plan *p, const struct lane_cpx *work,
                         struct lane_f32 *power)
{
    LANE_CALL(p->simd, last_power, (p, work, power));
}

void fft_power(const struct fft_plan *p, struct lane_cpx *work, struct lane_f32 *power)
{
    if (p->n_block_slots == 0) {
        fft_forward(p, work);
        LANE_CALL(p->simd, all_power, (p, work, power));
        return;
    }
    for (size_t b = 0; b < 8; b++)
        fft_block(p, work + b * p->n_block_slots);
    fft_power_of_blocks(p, work, power);
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
    size_t step = p->n / 16;
    const double *w = p->levels[0].twiddles;
    for (size_t i = 0; i < step; i++) {
        struct lane_cpx *slots = work + p->first_slot[i];
        double keep_im = i == 0 ? 0 : 1; /* bins 0 and n / 2 are real */
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            struct fft_two leaf[4];
#pragma GCC unroll 4
            for (size_t c = 0; c < 4; c++) {
                const struct lane_cpx *b0 = &bins[i + c * step], *b1 = b0 + 4 * step;
                const struct lane_cpx *b2 = &bins[(8 - c) * step - i], *b3 = b2 - 4 * step;
                double keep = c == 0 ? keep_im : 1;
                leaf[c] = fft_leaf(b0->re[l] - keep * b0->im[l], b1->re[l] - b1->im[l],
                                   b2->re[l] + keep * b2->im[l], b3->re[l] + b3->im[l]);
            }
            fft_first(slots, l, leaf[0], leaf[1], leaf[2], leaf[3], w);
        }
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
