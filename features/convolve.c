/*
 * Overlap-add with a partitioned response. Spectra are kept by bin, one row of parts behind the
 * other, so that the lanes of eight neighbouring parts of the result, less a whole number of parts,
 * are neighbours in the row. Rows begin with as many zeros as the response has parts.
 */
#include "features/convolve.h"

#include "base/err.h"
#include "base/mem.h"
#include "features/fft.h"

enum { N = 8192, PART = N / 2, BINS = N / 2 + 1 };

/* (BINS, n_parts): of eight-aligned parts */
struct spectra {
    double *re, *im;
    size_t row, cap;
};

struct convolve {
    struct fft_plan plan;
    struct lane_cpx work[N / 2], bins[BINS];
    struct lane_f64 frames[N];
    struct spectra signal, response;
    double *sum;
    size_t cap_sum;
};

struct convolve *convolve_new(enum simd simd)
{
    struct convolve *c = mem_alloc_aligned(1, sizeof *c);
    memset(c, 0, sizeof *c);
    struct err e = {0};
    bool ok = fft_plan_init(&c->plan, N, simd, &e);
    assert(ok); /* a constant that the transform takes */
    return c;
}

static void spectra_release(struct spectra *s)
{
    mem_free(s->re);
    mem_free(s->im);
}

void convolve_free(struct convolve *c)
{
    if (!c)
        return;
    fft_plan_release(&c->plan);
    spectra_release(&c->signal);
    spectra_release(&c->response);
    mem_free(c->sum);
    mem_free(c);
}

/* Zeros the rows. */
static void spectra_size(struct spectra *s, size_t row)
{
    size_t n = row * BINS;
    if (n > s->cap) {
        s->re = mem_resize(s->re, n, sizeof *s->re);
        s->im = mem_resize(s->im, n, sizeof *s->im);
        s->cap = n;
    }
    memset(s->re, 0, n * sizeof *s->re);
    memset(s->im, 0, n * sizeof *s->im);
    s->row = row;
}

static float sample_at(const float *x, size_t n, size_t i)
{
    return i < n ? x[i] : 0;
}

/* The spectra of parts from on, zeros behind each, into columns at + 0 .. at + 7. */
static void parts_transform(struct convolve *c, const float *x, size_t n, size_t from,
                            struct spectra *out, size_t at)
{
    const size_t step = N / 16;
    const double *w = c->plan.levels[0].twiddles;
    for (size_t i = 0; i < step; i++)
        for (size_t l = 0; l < LANES; l++) {
            size_t first = (from + l) * PART + i;
            struct fft_two leaf[4];
            for (size_t k = 0; k < 4; k++)
                leaf[k] = fft_leaf((double)sample_at(x, n, first + k * step),
                                   (double)sample_at(x, n, first + (k + 4) * step), 0, 0);
            fft_first(c->work + c->plan.first_slot[i], l, leaf[0], leaf[1], leaf[2], leaf[3], w);
        }
    fft_forward(&c->plan, c->work);
    for (size_t k = 0; k < BINS; k++) {
        bool is_end = k == 0 || k == BINS - 1;
        const struct lane_cpx *slot = &c->work[is_end ? 0 : c->plan.bin_slot[k]];
        for (size_t l = 0; l < LANES; l++) {
            out->re[k * out->row + at + l] = k == BINS - 1 ? slot->im[l] : slot->re[l];
            out->im[k * out->row + at + l] = is_end ? 0 : slot->im[l];
        }
    }
}

/* bins = sum over parts p of the response of H[p] X[at - p], at: a column of the signal's rows. */
LANE_BODY void multiply_body(const struct spectra *x, const struct spectra *h, size_t n_parts,
                             size_t at, struct lane_cpx *bins)
{
    for (size_t k = 0; k < BINS; k++) {
        const double *h_re = h->re + k * h->row, *h_im = h->im + k * h->row;
        const double *x_re = x->re + k * x->row + at, *x_im = x->im + k * x->row + at;
        struct lane_cpx sum = {{0}, {0}};
        for (size_t p = 0; p < n_parts; p++) {
            const double *re = x_re - p, *im = x_im - p;
            LANE_LOOP
            for (size_t l = 0; l < LANES; l++) {
                sum.re[l] += h_re[p] * re[l] - h_im[p] * im[l];
                sum.im[l] += h_re[p] * im[l] + h_im[p] * re[l];
            }
        }
        bins[k] = sum;
    }
}
LANE_VERSIONS(multiply,
              (const struct spectra *x, const struct spectra *h, size_t n_parts, size_t at,
               struct lane_cpx *bins),
              (x, h, n_parts, at, bins))

const double *convolve_apply(struct convolve *c, const float *samples, size_t n_samples,
                             const float *response, size_t n_response)
{
    assert(n_samples > 0 && n_response > 0 && n_response <= CONVOLVE_RESPONSE_MAX);
    size_t n_parts = (n_response + PART - 1) / PART;
    size_t n_out_parts = (n_samples + n_response - 1 + PART - 1) / PART;
    size_t n_groups = (n_out_parts + LANES - 1) / LANES;
    size_t n_sum = (n_groups * LANES + 1) * PART;
    spectra_size(&c->response, (n_parts + LANES - 1) / LANES * LANES);
    for (size_t p = 0; p < n_parts; p += LANES)
        parts_transform(c, response, n_response, p, &c->response, p);
    spectra_size(&c->signal, n_parts + n_groups * LANES);
    for (size_t g = 0; g < n_groups; g++)
        parts_transform(c, samples, n_samples, g * LANES, &c->signal, n_parts + g * LANES);
    if (n_sum > c->cap_sum) {
        c->sum = mem_resize(c->sum, n_sum, sizeof *c->sum);
        c->cap_sum = n_sum;
    }
    memset(c->sum, 0, n_sum * sizeof *c->sum);
    for (size_t g = 0; g < n_groups; g++) {
        LANE_CALL(c->plan.simd, multiply,
                  (&c->signal, &c->response, n_parts, n_parts + g * LANES, c->bins));
        fft_inverse(&c->plan, c->bins, c->work, c->frames);
        for (size_t l = 0; l < LANES; l++)
            for (size_t i = 0; i < N; i++)
                c->sum[(g * LANES + l) * PART + i] += c->frames[i].at[l];
    }
    return c->sum;
}
