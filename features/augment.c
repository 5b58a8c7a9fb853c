/*
 * A view is made in two steps: the draws are written to a record, and the record is applied. There
 * is no other way to apply anything, so a record cannot fail to reproduce its view. Numbers are
 * rounded to what %.9g writes before they are used.
 */
#include "features/augment.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "features/augment_step.h"
#include "features/mel.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PURPOSE = 0x6175676d, /* "augm" */
    VALUE_BYTES = 16,     /* longest %.9g: -1.23456789e-300 */
    NOISE_BYTES = 23,     /* " noise=" and 16 digits */
    MODE_BYTES = 17,      /* " mode=librosa-f32" */
    NUMBER_TEXT_BYTES = 32,
};

/* How it is written in a chain and, with a blank, in a record. */
static const char MODE_F32[] = "mode=librosa-f32";
static const char MODE_EXACT[] = "mode=exact"; /* in a chain only: records leave it out */

struct step {
    const struct augment_kind *kind;
    double lo[AUGMENT_PARAMETERS_MAX], hi[AUGMENT_PARAMETERS_MAX], probability;
    enum vocoder_mode mode;
};

struct augment_chain {
    size_t n_steps;
    struct step steps[AUGMENT_STEPS_MAX];
};

struct augment {
    const struct augment_chain *chain;
    struct augment_scratch scratch;
};

/* ---------------------------------------------------------------- reading text */

/* Reads along `text`; failing messages name the position, counted from 1. */
struct cursor {
    const char *text, *at;
    const char *what; /* "augment.chain" or "record", for messages */
};

static bool cursor_fail(const struct cursor *c, struct err *e, const char *format, ...)
    PRINTF_LIKE(3, 4);

static bool cursor_fail(const struct cursor *c, struct err *e, const char *format, ...)
{
    char why[200];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    err_set(e, ERR_USAGE, "%s, character %zu: %s", c->what, (size_t)(c->at - c->text) + 1, why);
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

static void cursor_skip_blanks(struct cursor *c)
{
    while (is_blank(*c->at))
        c->at++;
}

static bool cursor_take(struct cursor *c, const char *token)
{
    size_t n = strlen(token);
    if (strncmp(c->at, token, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* A name of lower-case letters and underscores; NULL when no transform has it. */
static const struct augment_kind *cursor_kind(struct cursor *c, struct err *e)
{
    size_t n = strspn(c->at, "abcdefghijklmnopqrstuvwxyz_");
    const struct augment_kind *kind = augment_kind_find(c->at, n);
    if (n == 0)
        cursor_fail(c, e, "a transform's name is expected, not \"%.20s\"", c->at);
    else if (!kind)
        cursor_fail(c, e, "there is no transform \"%.*s\"", (int)size_min(n, 40), c->at);
    c->at += n;
    return kind;
}

/* Decimal only: strtod would also take hexadecimal, inf and nan. */
static bool cursor_number(struct cursor *c, double *out, struct err *e)
{
    char digits[NUMBER_TEXT_BYTES];
    size_t n = strspn(c->at, "0123456789+-.eE");
    if (n == 0 || n >= sizeof digits)
        return cursor_fail(c, e, "a number is expected, not \"%.20s\"", c->at);
    memcpy(digits, c->at, n);
    digits[n] = '\0';
    char *end;
    *out = strtod(digits, &end);
    if (*end != '\0' || !isfinite(*out))
        return cursor_fail(c, e, "\"%s\" is not a number", digits);
    c->at += n;
    return true;
}

/* What a parameter may be, for a value or for the ends of a range. */
static bool value_check(const struct cursor *c, const struct augment_kind *kind,
                        const struct augment_parameter *p, double value, struct err *e)
{
    if (!(value >= p->min && value <= p->max))
        return cursor_fail(c, e, "%s: %s is %g, it must be from %g to %g", kind->name, p->name,
                           value, p->min, p->max);
    if (p->is_whole && value != floor(value))
        return cursor_fail(c, e, "%s: %s is %g, it must be a whole number", kind->name, p->name,
                           value);
    return true;
}

/* ---------------------------------------------------------------- chain */

static bool range_parse(struct cursor *c, struct step *s, size_t i, struct err *e)
{
    const struct augment_parameter *p = &s->kind->parameters[i];
    struct cursor from = *c;
    if (!cursor_number(c, &s->lo[i], e) || !value_check(&from, s->kind, p, s->lo[i], e))
        return false;
    cursor_skip_blanks(c);
    if (!cursor_take(c, ","))
        return cursor_fail(c, e, "%s: a comma and the upper end are expected", s->kind->name);
    cursor_skip_blanks(c);
    struct cursor to = *c;
    if (!cursor_number(c, &s->hi[i], e) || !value_check(&to, s->kind, p, s->hi[i], e))
        return false;
    if (s->lo[i] > s->hi[i])
        return cursor_fail(&from, e, "%s: the range from %g to %g is empty", s->kind->name,
                           s->lo[i], s->hi[i]);
    return true;
}

static bool option_parse(struct cursor *c, struct step *s, struct err *e)
{
    if (s->kind->has_mode && cursor_take(c, MODE_F32)) {
        s->mode = VOCODER_F32;
        return true;
    }
    if (s->kind->has_mode && cursor_take(c, MODE_EXACT)) {
        s->mode = VOCODER_EXACT;
        return true;
    }
    if (!cursor_take(c, "p="))
        return cursor_fail(c, e, "%s: p=%s is expected, not \"%.20s\"", s->kind->name,
                           s->kind->has_mode ? ", mode=exact or mode=librosa-f32" : "", c->at);
    struct cursor from = *c;
    if (!cursor_number(c, &s->probability, e))
        return false;
    if (!(s->probability >= 0 && s->probability <= 1))
        return cursor_fail(&from, e, "%s: p is %g, it must be from 0 to 1", s->kind->name,
                           s->probability);
    return true;
}

/* Ranges, then options, with commas between all. */
static bool step_parse(struct cursor *c, struct step *s, struct err *e)
{
    *s = (struct step){.probability = 1};
    s->kind = cursor_kind(c, e);
    if (!s->kind)
        return false;
    cursor_skip_blanks(c);
    if (!cursor_take(c, "("))
        return cursor_fail(c, e, "%s: an opening parenthesis is expected", s->kind->name);
    cursor_skip_blanks(c);
    bool is_done = s->kind->n_parameters == 0 && cursor_take(c, ")");
    for (size_t i = 0; !is_done; i++) {
        if (!(i < s->kind->n_parameters ? range_parse(c, s, i, e) : option_parse(c, s, e)))
            return false;
        cursor_skip_blanks(c);
        is_done = i + 1 >= s->kind->n_parameters && cursor_take(c, ")");
        if (!is_done && !cursor_take(c, ","))
            return cursor_fail(c, e,
                               i + 1 < s->kind->n_parameters
                                   ? "%s: a comma and another range are expected"
                                   : "%s: a closing parenthesis is expected",
                               s->kind->name);
        cursor_skip_blanks(c);
    }
    return true;
}

/* The longest that this step can add to a record, "; " included. */
static size_t record_bytes_max(const struct augment_kind *kind)
{
    size_t n = strlen("; ") + strlen(kind->name);
    for (size_t i = 0; i < kind->n_parameters; i++)
        n += strlen(" =") + strlen(kind->parameters[i].name) + VALUE_BYTES;
    return n + (kind->has_noise ? NOISE_BYTES : 0) + (kind->has_mode ? MODE_BYTES : 0);
}

bool augment_chain_new(const char *text, struct augment_chain **out, struct err *e)
{
    struct augment_chain *chain = mem_zalloc(1, sizeof *chain);
    struct cursor c = {text, text, "augment.chain"};
    size_t record_bytes = 1;
    for (cursor_skip_blanks(&c); *c.at != '\0'; cursor_skip_blanks(&c)) {
        if (chain->n_steps == AUGMENT_STEPS_MAX) {
            cursor_fail(&c, e, "there are more than %d transforms", AUGMENT_STEPS_MAX);
            goto fail;
        }
        struct step *s = &chain->steps[chain->n_steps++];
        struct cursor from = c;
        if (!step_parse(&c, s, e))
            goto fail;
        record_bytes += record_bytes_max(s->kind);
        if (record_bytes > AUGMENT_RECORD_BYTES) {
            cursor_fail(&from, e, "the record of what was drawn would take %zu bytes, %d are there",
                        record_bytes, AUGMENT_RECORD_BYTES);
            goto fail;
        }
    }
    *out = chain;
    return true;
fail:
    augment_chain_free(chain);
    return false;
}

void augment_chain_free(struct augment_chain *c)
{
    mem_free(c);
}

/* ---------------------------------------------------------------- drawing and applying */

struct augment *augment_new(const struct augment_chain *chain, uint32_t rate_hz)
{
    struct augment *a = mem_zalloc(1, sizeof *a);
    a->chain = chain;
    augment_scratch_init(&a->scratch, rate_hz);
    return a;
}

void augment_free(struct augment *a)
{
    if (!a)
        return;
    augment_scratch_release(&a->scratch);
    mem_free(a);
}

/* Whole numbers from lo to hi inclusive, as Python's randint; else uniform, as random.uniform. */
static double value_draw(const struct step *s, size_t i, struct rng *r)
{
    const struct augment_parameter *p = &s->kind->parameters[i];
    double lo = s->lo[i], hi = s->hi[i];
    if (p->is_whole)
        return lo + (double)rng_below(r, (uint64_t)(hi - lo) + 1);
    if (!p->is_mel)
        return rng_range(r, lo, hi);
    double mel = rng_range(r, mel_scale_from_hz(FEATURE_MEL_HTK, lo),
                           mel_scale_from_hz(FEATURE_MEL_HTK, hi));
    return fmin(fmax(mel_scale_to_hz(FEATURE_MEL_HTK, mel), lo), hi);
}

/* Appends "; name parameter=value noise=key" to record[*len...]. */
static void record_append(char record[AUGMENT_RECORD_BYTES], size_t *len, const struct step *s,
                          struct rng *r)
{
    char *at = record + *len;
    size_t room = AUGMENT_RECORD_BYTES - *len;
    int n = snprintf(at, room, "%s%s", *len > 0 ? "; " : "", s->kind->name);
    for (size_t i = 0; i < s->kind->n_parameters; i++)
        n += snprintf(at + n, room - (size_t)n, " %s=%.9g", s->kind->parameters[i].name,
                      value_draw(s, i, r));
    if (s->kind->has_noise)
        n += snprintf(at + n, room - (size_t)n, " noise=%016llx", (unsigned long long)rng_u64(r));
    if (s->mode == VOCODER_F32)
        n += snprintf(at + n, room - (size_t)n, " %s", MODE_F32);
    *len += (size_t)n;
    assert(*len < AUGMENT_RECORD_BYTES); /* augment_chain_new saw to it */
}

uint64_t augment_seed(uint64_t seed, uint64_t epoch)
{
    return epoch == 0 ? seed : hash_mix64(seed ^ hash_mix64(epoch));
}

bool augment_apply(struct augment *a, uint64_t seed, uint64_t track_key, uint32_t clip_i,
                   uint32_t view_i, float *samples, size_t n_samples,
                   char record[AUGMENT_RECORD_BYTES], struct err *e)
{
    assert(a->chain);
    uint64_t view_key = hash_mix64(track_key) ^ ((uint64_t)clip_i << 32 | view_i);
    size_t len = 0;
    record[0] = '\0';
    for (size_t i = 0; i < a->chain->n_steps; i++) {
        const struct step *s = &a->chain->steps[i];
        struct rng r;
        rng_init(&r, seed, PURPOSE, hash_mix64(view_key) + i);
        if (rng_uniform(&r) < s->probability)
            record_append(record, &len, s, &r);
    }
    return augment_apply_record(a, record, samples, n_samples, e);
}

static bool noise_key_parse(struct cursor *c, uint64_t *out, struct err *e)
{
    if (!cursor_take(c, " noise="))
        return cursor_fail(c, e, "noise= is expected");
    if (strspn(c->at, "0123456789abcdef") != 16)
        return cursor_fail(c, e, "16 hexadecimal digits are expected");
    *out = 0;
    for (int i = 0; i < 16; i++, c->at++)
        *out = *out << 4 | (uint64_t)(*c->at <= '9' ? *c->at - '0' : *c->at - 'a' + 10);
    return true;
}

static bool draw_parse(struct cursor *c, const struct augment_kind **out_kind,
                       struct augment_draw *out, struct err *e)
{
    *out = (struct augment_draw){0};
    const struct augment_kind *kind = *out_kind = cursor_kind(c, e);
    if (!kind)
        return false;
    for (size_t i = 0; i < kind->n_parameters; i++) {
        const struct augment_parameter *p = &kind->parameters[i];
        if (!cursor_take(c, " ") || !cursor_take(c, p->name) || !cursor_take(c, "="))
            return cursor_fail(c, e, "%s: %s= is expected", kind->name, p->name);
        struct cursor from = *c;
        if (!cursor_number(c, &out->values[i], e) ||
            !value_check(&from, kind, p, out->values[i], e))
            return false;
    }
    if (kind->has_noise && !noise_key_parse(c, &out->noise_key, e))
        return false;
    struct cursor before = *c;
    if (kind->has_mode && cursor_take(c, " ") && cursor_take(c, MODE_F32))
        out->mode = VOCODER_F32;
    else
        *c = before;
    return true;
}

bool augment_apply_record(struct augment *a, const char *record, float *samples, size_t n_samples,
                          struct err *e)
{
    struct cursor c = {record, record, "augment record"};
    size_t n_bytes = strnlen(record, AUGMENT_RECORD_BYTES);
    if (n_bytes == AUGMENT_RECORD_BYTES)
        return err_set(e, ERR_USAGE, "augment record: it is longer than %d bytes",
                       AUGMENT_RECORD_BYTES - 1);
    bool is_more = *c.at != '\0';
    while (is_more) {
        const struct augment_kind *kind;
        struct augment_draw draw;
        if (!draw_parse(&c, &kind, &draw, e))
            return false;
        if (n_samples > 0 && !kind->apply(&a->scratch, &draw, samples, n_samples, e))
            return err_wrap(e, "%s", kind->name);
        is_more = cursor_take(&c, "; ");
        if (!is_more && *c.at != '\0')
            return cursor_fail(&c, e, "\"; \" is expected, not \"%.20s\"", c.at);
    }
    return true;
}
