#include "store/import_matrix.h"

#include <math.h>
#include <string.h>

bool import_type_parse(const char *descr, struct import_type *out)
{
    static const char *const known[] = {"f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4"};
    char order = descr[0];
    if (order != '<' && order != '>' && order != '|' && order != '=')
        return false;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(descr + 1, known[i]) != 0)
            continue;
        *out = (struct import_type){.kind = known[i][0],
                                    .n_bytes = (uint8_t)(known[i][1] - '0'),
                                    .big_endian = order == '>'};
        return true;
    }
    return false;
}

/* IEEE 754 binary16: every value is a float. */
static float half(uint16_t bits)
{
    uint32_t mantissa = bits & 0x3ff, exponent = bits >> 10 & 0x1f;
    float magnitude = exponent == 0   ? ldexpf((float)mantissa, -24)
                      : exponent < 31 ? ldexpf((float)(mantissa | 0x400), (int)exponent - 25)
                      : mantissa      ? NAN
                                      : INFINITY;
    return bits & 0x8000 ? -magnitude : magnitude;
}

static double load(struct import_type type, const uint8_t *p)
{
    uint64_t bits = 0;
    assert(type.n_bytes >= 1 && type.n_bytes <= 8);
    for (size_t i = 0; i < type.n_bytes; i++)
        bits |= (uint64_t)p[type.big_endian ? type.n_bytes - 1U - i : i] << 8 * i;
    if (type.kind == 'u')
        return (double)bits;
    if (type.kind == 'i') {
        unsigned shift = 64U - 8U * type.n_bytes;
        return (double)((int64_t)(bits << shift) >> shift);
    }
    if (type.n_bytes == 2)
        return (double)half((uint16_t)bits);
    if (type.n_bytes == 4) {
        uint32_t low = (uint32_t)bits;
        float value;
        memcpy(&value, &low, sizeof value);
        return (double)value;
    }
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void import_convert(struct import_type type, const uint8_t *raw, size_t n, float *out,
                    struct import_matrix *m)
{
    if (type.kind == 'f' && type.n_bytes == 4 && !type.big_endian) {
        memcpy(out, raw, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        double value = load(type, raw + i * type.n_bytes);
        out[i] = (float)value;
        double lost = fabs(value - (double)out[i]);
        if (lost > 0 && isfinite(lost)) {
            m->max_lost = fmax(m->max_lost, lost);
            m->square_lost += lost * lost;
        }
    }
}

bool import_go_on(const struct import_sink *sink, const char *name, const struct err *why,
                  struct err *e)
{
    if (why->kind == ERR_PERM)
        sink->refuse(sink->arg, name, why);
    else
        *e = *why;
    return why->kind == ERR_PERM;
}
