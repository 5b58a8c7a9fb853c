#include "match/lead.h"

#include "base/mem.h"
#include "features/elementary.h"

#include <math.h>

/*
 * 1. Whitening: a level counts by how far it stands out of the semitones around it.
 * 2. Harmonic summation over log frequency (Hermes, "Measurement of pitch by subharmonic
 *    summation", JASA 83, 1988): the salience of a pitch is what its partials have, the higher the
 *    less, without what the pitches have whose second, third or fifth partial it would be.
 * 3. A lead voice moves and its accompaniment stays: part of a pitch's mean salience over the
 *    seconds around is taken off.
 * 4. A chain of pitches and silence, frame by frame: salience and register say how likely a state
 *    is, a neighbour frame of the same pitch is likelier than one of another, a near one likelier
 *    than a far one. Forward and backward sums give each state's probability.
 *
 * The constants are round numbers near what was best of some hundred tries on development songs
 * (docs/MATCH.md).
 */
enum {
    AROUND = 6,         /* semitones to each side that a level stands out of: half an octave */
    PARTIALS = 8,       /* beyond them, partials of one pitch are closer than two semitones */
    STEADY_FRAMES = 24, /* to each side, 1.7 s: longer than notes, shorter than most chords */
    STATES = LEAD_CANDIDATES + 1, /* the last one: no lead voice */
    SILENCE = LEAD_CANDIDATES,
    BELOW = 28, /* semitones that are looked at below a candidate, and above it */
    ABOVE = 36,
    WIDTH = BELOW + SPECTRUM_SEMITONES + ABOVE,
};

static const int partials[PARTIALS] = {0, 12, 19, 24, 28, 31, 34, 36};
static const float DECAY = 0.8F;     /* of the weight from partial to partial */
static const float EXPLAINED = 0.5F; /* of what lower pitches have, taken off */
static const float STEADY = 0.5F;    /* of the mean salience, taken off */
static const float SHARPNESS = 16;   /* of probabilities: 1 / temperature */
static const float SILENT = 0.1F;    /* the salience that no lead voice has */
static const float REGISTER = 80;    /* MIDI number where lead voices are likeliest */
static const float SPREAD = 12;      /* standard deviation of the register, semitones */
static const float CHANGE = 0.1F;    /* a step to another pitch, of staying */
static const float REACH = 3;        /* semitones after which a step is 1/e as likely */
static const float REST = 0.02F;     /* beginning or ending to sing, of staying */

/* One frame's levels out of their surroundings, BELOW zeros before them and ABOVE behind. */
static void whiten(const float *x, float out[WIDTH])
{
    memset(out, 0, WIDTH * sizeof *out);
    for (size_t i = 0; i < SPECTRUM_SEMITONES; i++) {
        size_t from = i < AROUND ? 0 : i - AROUND,
               to = size_min(i + AROUND + 1, SPECTRUM_SEMITONES);
        float sum = 0;
        for (size_t k = from; k < to; k++)
            sum += x[k];
        out[BELOW + i] = fmaxf(0, x[i] - sum / (float)(to - from));
    }
}

static void salience_of_frame(const float *levels, float out[LEAD_CANDIDATES])
{
    float white[WIDTH];
    whiten(levels, white);
    for (size_t c = 0; c < LEAD_CANDIDATES; c++) {
        const float *at = white + BELOW + LEAD_LOW - SPECTRUM_LOW + c;
        float weight = 1, sum = 0;
        for (size_t k = 0; k < PARTIALS; k++, weight *= DECAY)
            sum += weight * at[partials[k]];
        out[c] = sum - EXPLAINED * (at[-12] + at[-19] + at[-28]);
    }
}

/* Takes STEADY of each pitch's mean over the frames around off. */
static void steady_remove(float (*salience)[LEAD_CANDIDATES], size_t n)
{
    float *column = mem_alloc(n + 1, sizeof *column);
    for (size_t c = 0; c < LEAD_CANDIDATES; c++) {
        double sum = 0;
        for (size_t t = 0; t < n; t++)
            column[t] = salience[t][c];
        for (size_t t = 0; t < size_min(STEADY_FRAMES, n); t++)
            sum += (double)column[t];
        for (size_t t = 0; t < n; t++) {
            size_t first = t < STEADY_FRAMES ? 0 : t - STEADY_FRAMES;
            size_t end = size_min(t + STEADY_FRAMES + 1, n);
            if (t + STEADY_FRAMES < n)
                sum += (double)column[end - 1];
            if (t > STEADY_FRAMES)
                sum -= (double)column[first - 1];
            salience[t][c] -= STEADY * (float)(sum / (double)(end - first));
        }
    }
    mem_free(column);
}

/* How likely the frame is in each state, the likeliest 1. */
static void likelihoods(const float salience[LEAD_CANDIDATES], float out[STATES])
{
    float logits[STATES], most = logits[SILENCE] = SHARPNESS * SILENT;
    for (size_t c = 0; c < LEAD_CANDIDATES; c++) {
        float off = ((float)(LEAD_LOW + c) - REGISTER) / SPREAD;
        logits[c] = SHARPNESS * salience[c] - 0.5F * off * off;
        most = fmaxf(most, logits[c]);
    }
    for (size_t c = 0; c < STATES; c++)
        out[c] = (float)elementary_exp(fmax((double)(logits[c] - most), -60));
}

static void steps_make(float out[STATES][STATES])
{
    for (size_t a = 0; a < STATES; a++)
        for (size_t b = 0; b < STATES; b++) {
            double far = fabs((double)a - (double)b);
            out[a][b] = a == b ? 1
                        : a == SILENCE || b == SILENCE
                            ? REST
                            : CHANGE * (float)elementary_exp(-far / (double)REACH);
        }
}

/* out = steps * in, made to add up to 1. The steps are the same in both directions. */
static void step(float (*steps)[STATES], const float in[STATES], float out[STATES])
{
    float sum = 0;
    memset(out, 0, STATES * sizeof *out);
    for (size_t a = 0; a < STATES; a++)
        for (size_t b = 0; b < STATES; b++)
            out[b] += in[a] * steps[a][b];
    for (size_t b = 0; b < STATES; b++)
        sum += out[b];
    for (size_t b = 0; b < STATES; b++)
        out[b] /= sum;
}

/* Folds a frame's probabilities, not yet added up to 1, into one octave. */
static void fold(const float p[STATES], float out[LEAD_CLASSES])
{
    float sum = p[SILENCE];
    memset(out, 0, LEAD_CLASSES * sizeof *out);
    for (size_t c = 0; c < LEAD_CANDIDATES; c++) {
        out[(LEAD_LOW + c) % LEAD_CLASSES] += p[c];
        sum += p[c];
    }
    for (size_t k = 0; k < LEAD_CLASSES; k++)
        out[k] /= sum;
}

void lead_classes(const struct spectrum *s, float *out)
{
    const size_t n = s->n_frames;
    float(*salience)[LEAD_CANDIDATES] = mem_alloc(n + 1, sizeof *salience);
    float(*seen)[STATES] = mem_alloc(n + 1, sizeof *seen);       /* of a frame alone */
    float(*forward)[STATES] = mem_alloc(n + 1, sizeof *forward); /* of the frames before it */
    float steps[STATES][STATES], now[STATES], behind[STATES];
    steps_make(steps);
    for (size_t t = 0; t < n; t++)
        salience_of_frame(s->levels + t * SPECTRUM_SEMITONES, salience[t]);
    steady_remove(salience, n);
    for (size_t b = 0; b < STATES; b++)
        forward[0][b] = behind[b] = 1;
    for (size_t t = 0; t < n; t++) {
        likelihoods(salience[t], seen[t]);
        for (size_t b = 0; b < STATES; b++)
            now[b] = forward[t][b] * seen[t][b];
        step(steps, now, forward[t + 1]);
    }
    for (size_t t = n; t-- > 0;) {
        float p[STATES];
        for (size_t b = 0; b < STATES; b++) {
            now[b] = behind[b] * seen[t][b];
            p[b] = forward[t][b] * now[b];
        }
        fold(p, out + t * LEAD_CLASSES);
        step(steps, now, behind);
    }
    mem_free(salience);
    mem_free(seen);
    mem_free(forward);
}
