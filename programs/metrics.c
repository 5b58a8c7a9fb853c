#include "programs/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 64, FIELD_BYTES_MAX = 40 };

enum { EPOCH, STEP, TRAIN_LOSS, VAL_LOSS, BASELINE_LOSS, N_KNOWN, UNKNOWN = N_KNOWN };

struct header {
    size_t n_columns;
    unsigned known[COLUMNS_MAX];
};

/* The next field of [*at, end), without its comma; *at becomes NULL behind the last. */
static struct span next_field(const char **at, const char *end)
{
    const char *start = *at, *comma = memchr(start, ',', (size_t)(end - start));
    *at = comma == NULL ? NULL : comma + 1;
    return (struct span){start, (size_t)((comma == NULL ? end : comma) - start)};
}

static void parse_header(const char *line, const char *end, struct header *out)
{
    static const char *const names[N_KNOWN] = {"epoch", "step", "train_loss", "val_loss",
                                               "baseline_loss"};
    while (line != NULL && out->n_columns < COLUMNS_MAX) {
        struct span field = next_field(&line, end);
        unsigned k = 0;
        while (k < N_KNOWN &&
               (strlen(names[k]) != field.len || memcmp(names[k], field.ptr, field.len) != 0))
            k++;
        out->known[out->n_columns++] = k;
    }
}

static double parse_number(struct span field)
{
    char text[FIELD_BYTES_MAX], *end;
    if (field.len == 0 || field.len >= sizeof text)
        return NAN;
    memcpy(text, field.ptr, field.len);
    text[field.len] = '\0';
    double value = strtod(text, &end);
    return *end == '\0' ? value : NAN;
}

static bool parse_line(const struct header *header, const char *line, const char *end,
                       struct metrics_line *out)
{
    double values[N_KNOWN + 1]; /* the last takes what is unknown */
    for (size_t k = 0; k <= N_KNOWN; k++)
        values[k] = NAN;
    size_t n = 0;
    for (; line != NULL && n < header->n_columns; n++) {
        struct span field = next_field(&line, end);
        values[header->known[n]] = parse_number(field);
    }
    *out = (struct metrics_line){.epoch = values[EPOCH],
                                 .step = values[STEP],
                                 .train_loss = values[TRAIN_LOSS],
                                 .val_loss = values[VAL_LOSS],
                                 .baseline_loss = values[BASELINE_LOSS]};
    return n == header->n_columns && line == NULL;
}

void metrics_parse(struct span text, struct metrics *out)
{
    const struct metrics_line nothing = {NAN, NAN, NAN, NAN, NAN};
    *out = (struct metrics){.best = nothing, .last = nothing};
    struct header header = {0};
    const char *at = text.ptr, *text_end = at + text.len;
    while (at < text_end) {
        const char *newline = memchr(at, '\n', (size_t)(text_end - at));
        if (newline == NULL) /* still being written */
            break;
        const char *line = at, *end = newline > at && newline[-1] == '\r' ? newline - 1 : newline;
        at = newline + 1;
        struct metrics_line values;
        if (header.n_columns == 0) {
            parse_header(line, end, &header);
            continue;
        }
        if (!parse_line(&header, line, end, &values))
            continue;
        if (out->n_lines++ == 0 || isnan(out->best.val_loss) ||
            values.val_loss < out->best.val_loss)
            out->best = values;
        out->last = values;
    }
}
