#include "match/copy.h"

#include "base/mem.h"

#include <chromaprint.h>
#include <math.h>
#include <string.h>

enum { CHUNK = 1 << 16 };

void fingerprint_release(struct fingerprint *f)
{
    mem_free(f->codes);
    *f = (struct fingerprint){0};
}

/* ---------------------------------------------------------------- Chromaprint */

/* Not a number when one of the samples is not. */
static float loudest(const float *samples, size_t n)
{
    float peak = 0;
    for (size_t i = 0; i < n && !isnan(peak); i++)
        if (!(fabsf(samples[i]) <= peak))
            peak = fabsf(samples[i]);
    return peak;
}

static bool feed(ChromaprintContext *c, const float *samples, size_t n, float gain)
{
    int16_t *chunk = mem_alloc(CHUNK, sizeof *chunk);
    bool ok = true;
    for (size_t at = 0; ok && at < n; at += CHUNK) {
        size_t len = size_min(CHUNK, n - at);
        for (size_t i = 0; i < len; i++)
            chunk[i] = (int16_t)lrintf(samples[at + i] * gain);
        ok = chromaprint_feed(c, chunk, (int)len) == 1;
    }
    mem_free(chunk);
    return ok;
}

/* Of Chromaprint's algorithms the one with the shortest window. Composed songs at 48 kbit/s, cut to
 * 5 s and 0.2 % off in pitch: at most 0.20 of its bits are wrong, where the default's are 0.31
 * (unrelated songs come down to 0.30 and 0.25), and it has 33 codes there where the default has 19.
 */
enum { ALGORITHM = CHROMAPRINT_ALGORITHM_TEST5 };

/* `rate_hz` is what Chromaprint is told: a lower one makes the sound lower and longer. */
static bool run_chromaprint(const float *samples, size_t n, double rate_hz, float gain,
                            struct fingerprint *out, struct err *e)
{
    uint32_t *codes = NULL;
    int n_codes = 0;
    ChromaprintContext *c = chromaprint_new(ALGORITHM);
    bool ok = c != NULL && chromaprint_start(c, (int)lround(rate_hz), 1) == 1 &&
              feed(c, samples, n, gain) && chromaprint_finish(c) == 1 &&
              chromaprint_get_raw_fingerprint(c, &codes, &n_codes) == 1;
    if (ok) {
        out->n_codes = (uint32_t)n_codes;
        out->codes = mem_resize(out->codes, (size_t)n_codes + 1, sizeof *out->codes);
        if (n_codes > 0)
            memcpy(out->codes, codes, (size_t)n_codes * sizeof *codes);
    } else
        err_set(e, ERR_FATAL, "Chromaprint %s cannot make a fingerprint of %zu samples",
                chromaprint_get_version(), n);
    chromaprint_dealloc(codes);
    if (c != NULL)
        chromaprint_free(c);
    return ok;
}

const char *fingerprint_version(void)
{
    return chromaprint_get_version();
}

/* ---------------------------------------------------------------- codes that say nothing */

/* Silence has a code like any sound, and a held tone the same one again and again: two songs would
 * share them for nothing. */
static void void_codes(const float *samples, size_t n, double hop_samples, float peak,
                       struct fingerprint *f)
{
    enum { SAME_MAX = 4, SAME_BITS = 1 };
    static const double quiet_rms = 1e-3; /* of the peak: -60 dB */
    size_t span = (size_t)((double)FINGERPRINT_SPAN_MS * 1000 / FINGERPRINT_HOP_US);
    size_t n_hops = (size_t)((double)n / hop_samples) + 1, n_quiet = 0, same = 0;
    uint8_t *quiet = mem_zalloc(n_hops + span, 1);
    for (size_t h = 0; h < n_hops; h++) {
        size_t from = (size_t)((double)h * hop_samples);
        size_t to = size_min(n, (size_t)((double)(h + 1) * hop_samples));
        double power = 0;
        for (size_t i = from; i < to; i++)
            power += (double)samples[i] * samples[i];
        quiet[h] = to <= from || sqrt(power / (double)(to - from)) < quiet_rms * (double)peak;
    }
    for (size_t h = 0; h < span; h++)
        n_quiet += quiet[h];
    uint32_t before = 0;
    for (size_t i = 0; i < f->n_codes; i++) {
        uint32_t code = f->codes[i];
        same = i > 0 && __builtin_popcount(code ^ before) <= SAME_BITS ? same + 1 : 0;
        before = code;
        if (n_quiet * 2 > span || same >= SAME_MAX)
            f->codes[i] = FINGERPRINT_VOID;
        if (i + span < n_hops + span)
            n_quiet += (size_t)quiet[i + span] - quiet[i];
    }
    mem_free(quiet);
}

/* What is said of samples once, however often they are read. */
struct sound {
    const float *samples;
    size_t n;
    uint32_t rate_hz;
    float peak;
};

/* At most as long as a fingerprint is when it is read `pitch_ratio` times as slowly. */
static bool sound_init(const float *samples, size_t n, uint32_t rate_hz, double pitch_ratio,
                       struct sound *out, struct err *e)
{
    double seconds = (double)n / rate_hz * pitch_ratio;
    if (seconds * 1e6 > (double)FINGERPRINT_CODES_MAX * FINGERPRINT_HOP_US)
        return err_set(e, ERR_PERM, "%.0f s of sound; a fingerprint is of at most %.0f s", seconds,
                       (double)FINGERPRINT_CODES_MAX * FINGERPRINT_HOP_US / 1e6);
    *out = (struct sound){samples, n, rate_hz, loudest(samples, n)};
    return isfinite(out->peak) || err_set(e, ERR_PERM, "a sample is not a finite number");
}

static bool sound_print(const struct sound *s, double pitch_ratio, struct fingerprint *out,
                        struct err *e)
{
    static const float full_scale = 32000;
    assert(pitch_ratio > 0.5 && pitch_ratio < 2);
    out->n_codes = 0;
    if (s->peak == 0 || s->n == 0)
        return true;
    if (!run_chromaprint(s->samples, s->n, s->rate_hz / pitch_ratio, full_scale / s->peak, out, e))
        return false;
    double hop_samples = s->rate_hz / pitch_ratio * FINGERPRINT_HOP_US / 1e6;
    void_codes(s->samples, s->n, hop_samples, s->peak, out);
    return true;
}

bool fingerprint_compute(const float *samples, size_t n_samples, uint32_t rate_hz,
                         double pitch_ratio, struct fingerprint *out, struct err *e)
{
    struct sound s;
    return sound_init(samples, n_samples, rate_hz, pitch_ratio, &s, e) &&
           sound_print(&s, pitch_ratio, out, e);
}

/* ---------------------------------------------------------------- takes */

/* Shifts of pitch lie PITCH_STEP apart, so that what is left is at most half of it: at 0.2 % every
 * tenth bit is wrong, at 0.5 % every sixth. 8 % down is exp(-0.083). */
enum { PITCH_STEPS = 21, TEMPO_STEPS = 8 };
static const double PITCH_STEP = 0.004, TEMPO_STEP = 0.0105;

/* Codes read `stretch` times as slowly: out[k] = in[k / stretch]. */
static void stretch_codes(const struct fingerprint *in, double stretch, struct fingerprint *out)
{
    out->n_codes = (uint32_t)((double)in->n_codes * stretch);
    out->codes = mem_alloc((size_t)out->n_codes + 1, sizeof *out->codes);
    for (size_t k = 0; k < out->n_codes; k++) {
        size_t from = (size_t)(((double)k + 0.5) / stretch);
        out->codes[k] = in->codes[size_min(from, in->n_codes - 1)];
    }
}

static void add_take(struct copy_query *q, enum copy_change change, double pitch, double tempo,
                     const struct fingerprint *print)
{
    struct copy_take *t = &q->takes[q->n_takes++];
    *t = (struct copy_take){change, (float)pitch, (float)tempo, {0}};
    stretch_codes(print, tempo / pitch, &t->print);
}

bool copy_query_init(const float *samples, size_t n_samples, uint32_t rate_hz, bool shifted,
                     struct copy_query *out, struct err *e)
{
    enum { TAKES_MAX = 1 + 2 * 2 * PITCH_STEPS + 2 * TEMPO_STEPS };
    struct copy_query q = {.len_ms = (uint64_t)n_samples * 1000 / rate_hz};
    struct fingerprint print = {0};
    size_t n_part = size_min(n_samples, (size_t)COPY_SHIFTED_MS / 1000 * rate_hz);
    struct sound whole, part;
    bool ok = false;
    q.part_from_ms = (n_samples - n_part) / 2 * 1000 / rate_hz;
    q.takes = mem_zalloc(TAKES_MAX, sizeof *q.takes);
    if (!sound_init(samples, n_samples, rate_hz, 1, &whole, e) ||
        !sound_init(samples + (n_samples - n_part) / 2, n_part, rate_hz, 1, &part, e) ||
        !sound_print(&whole, 1, &print, e))
        goto out;
    add_take(&q, COPY_SPEED, 1, 1, &print);
    if (shifted && n_part < n_samples && !sound_print(&part, 1, &print, e))
        goto out;
    for (int i = -TEMPO_STEPS; shifted && i <= TEMPO_STEPS; i++)
        if (i != 0)
            add_take(&q, COPY_TEMPO, 1, exp(i * TEMPO_STEP), &print);
    for (int i = -PITCH_STEPS; shifted && i <= PITCH_STEPS; i++) {
        double pitch = exp(i * PITCH_STEP);
        if (i == 0)
            continue;
        if (!sound_print(&part, pitch, &print, e))
            goto out;
        add_take(&q, COPY_SPEED, pitch, pitch, &print);
        add_take(&q, COPY_PITCH, pitch, 1, &print);
    }
    *out = q;
    q = (struct copy_query){0};
    ok = true;
out:
    fingerprint_release(&print);
    copy_query_release(&q);
    return ok;
}

void copy_query_release(struct copy_query *q)
{
    for (size_t i = 0; i < q->n_takes; i++)
        fingerprint_release(&q->takes[i].print);
    mem_free(q->takes);
    *q = (struct copy_query){0};
}
