#include "match/compare.h"

#include "base/mem.h"
#include "match/align.h"

#include <math.h>
#include <stdlib.h>

/*
 * Every rotation is traced in every mode, so that a medley's passages may each have their own. The
 * pair's own score and E-value are the melody's: works share their chords, and a progression that
 * two songs have in common is no evidence. Only where one of them has hardly a lead voice, the
 * harmony speaks for the pair. Songs longer than the aligner takes are compared window by window.
 */
enum {
    WINDOW_STEP = ALIGN_FRAMES_MAX - 512, /* passages of up to 70 s are whole in some window */
    FOUND_MAX = 512,
    PER_TRACE = 4,
};

/* Segments that chance gives more often than this in one pair are not shown, but for the best. */
static const double SHOWN_CHANCE = 0.05;

/* Below this mean length of its melody frames, of 127, a song has hardly a lead voice. */
static const double VOICED = 32;

struct found {
    struct segment segment;
    double chance;
    enum align_mode mode;
    struct match_cell *path;
    size_t n_cells;
};

struct comparison {
    struct aligner *aligner;
    const struct sequence *a, *b;
    const struct null_model *null;
    double n_songs;
    struct found *found;
    size_t n_found;
    double best_chance[ALIGN_MODES];
    int32_t best_score[ALIGN_MODES];
};

static enum match_aspect aspect_of(const struct align_path *p, enum align_mode mode)
{
    bool harmony = p->aspect_score[ASPECT_HARMONY] > 0 || mode == ALIGN_HARMONY;
    bool melody = p->aspect_score[ASPECT_MELODY] > 0 || mode == ALIGN_MELODY;
    return harmony && melody ? MATCH_BOTH : melody ? MATCH_MELODY : MATCH_HARMONY;
}

/* The slope of the path by reduced major axis: neither song is the cause of the other. */
static float tempo_ratio_of(const struct align_path *p)
{
    double n = (double)p->n_cells, sa = 0, sb = 0, saa = 0, sbb = 0;
    for (size_t i = 0; i < p->n_cells; i++) {
        double a = p->cells[i].a, b = p->cells[i].b;
        sa += a;
        sb += b;
        saa += a * a;
        sbb += b * b;
    }
    double va = saa - sa * sa / n, vb = sbb - sb * sb / n;
    return va > 0 && vb > 0 ? (float)sqrt(va / vb) : 1;
}

/* From the middle of the first stack to that of the last would be too short for a passage that
 * begins and ends with them: whole stacks count. */
static void found_add(struct comparison *c, const struct align_path *p, enum align_mode mode,
                      uint32_t from_a, uint32_t from_b, double chance)
{
    if (c->n_found == FOUND_MAX)
        return;
    struct found *f = &c->found[c->n_found++];
    const struct align_cell first = p->cells[0], last = p->cells[p->n_cells - 1];
    int32_t shift = (int32_t)p->end.rotation;
    *f = (struct found){.chance = chance, .mode = mode, .n_cells = p->n_cells};
    f->segment = (struct segment){
        .a_from_ms = (uint32_t)sequence_ms(from_a + first.a),
        .a_to_ms = (uint32_t)sequence_ms(from_a + last.a + ALIGN_STACK),
        .b_from_ms = (uint32_t)sequence_ms(from_b + first.b),
        .b_to_ms = (uint32_t)sequence_ms(from_b + last.b + ALIGN_STACK),
        .shift_semitones = shift > 6 ? shift - 12 : shift,
        .tempo_ratio = tempo_ratio_of(p),
        .aspect = aspect_of(p, mode),
        .score = (float)p->end.score / ALIGN_UNIT,
        .evalue = c->n_songs * chance,
    };
    f->path = mem_alloc(p->n_cells, sizeof *f->path);
    for (size_t i = 0; i < p->n_cells; i++)
        f->path[i] = (struct match_cell){(uint16_t)(from_a + p->cells[i].a),
                                         (uint16_t)(from_b + p->cells[i].b)};
}

/* One window of each, one mode, one rotation. */
static void trace(struct comparison *c, const struct align_side *b, enum align_mode mode,
                  unsigned rotation, uint32_t from_a, uint32_t from_b)
{
    const struct null_law *law = &c->null->laws[mode];
    struct align_path paths[PER_TRACE];
    double least = null_law_score(law, SHOWN_CHANCE, c->a->n_frames, c->b->n_frames);
    if (c->best_chance[mode] > SHOWN_CHANCE)
        least = fmin(least, (double)c->best_score[mode] + 1);
    size_t n =
        aligner_trace(c->aligner, b, mode, rotation, (int32_t)fmax(1, least), PER_TRACE, paths);
    for (size_t i = 0; i < n; i++) {
        double chance = null_law_chance(law, paths[i].end.score, c->a->n_frames, c->b->n_frames);
        if (paths[i].end.score > c->best_score[mode]) {
            c->best_score[mode] = paths[i].end.score;
            c->best_chance[mode] = chance;
        }
        found_add(c, &paths[i], mode, from_a, from_b, chance);
    }
}

static void compare_windows(struct comparison *c)
{
    static const enum align_mode modes[] = {ALIGN_MELODY, ALIGN_BOTH, ALIGN_HARMONY};
    for (uint32_t from_a = 0; from_a == 0 || from_a + 512 < c->a->n_frames; from_a += WINDOW_STEP) {
        uint32_t n_a = (uint32_t)size_min(c->a->n_frames - from_a, ALIGN_FRAMES_MAX);
        struct align_side a = align_side_of(c->a, from_a, n_a);
        aligner_set_a(c->aligner, &a);
        for (uint32_t from_b = 0; from_b == 0 || from_b + 512 < c->b->n_frames;
             from_b += WINDOW_STEP) {
            uint32_t n_b = (uint32_t)size_min(c->b->n_frames - from_b, ALIGN_FRAMES_MAX);
            struct align_side b = align_side_of(c->b, from_b, n_b);
            for (size_t m = 0; m < ARRAY_LEN(modes); m++)
                for (unsigned r = 0; r < SEQUENCE_CLASSES; r++)
                    trace(c, &b, modes[m], r, from_a, from_b);
        }
    }
}

/* ---------------------------------------------------------------- choosing */

static uint32_t overlap(uint32_t from, uint32_t to, uint32_t other_from, uint32_t other_to)
{
    uint32_t low = from > other_from ? from : other_from, high = to < other_to ? to : other_to;
    return high > low ? high - low : 0;
}

/* The same passage found in another way: half of it in both songs. */
static bool is_same_place(const struct segment *x, const struct segment *y)
{
    return 2 * overlap(x->a_from_ms, x->a_to_ms, y->a_from_ms, y->a_to_ms) >=
               x->a_to_ms - x->a_from_ms &&
           2 * overlap(x->b_from_ms, x->b_to_ms, y->b_from_ms, y->b_to_ms) >=
               x->b_to_ms - x->b_from_ms;
}

static int found_compare(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->chance != y->chance)
        return x->chance < y->chance ? -1 : 1;
    return (x->segment.score < y->segment.score) - (x->segment.score > y->segment.score);
}

static bool is_wanted(const struct comparison *c, const struct match *out, const struct found *f)
{
    if (f->chance > SHOWN_CHANCE && out->n_segments > 0)
        return false;
    for (size_t k = 0; k < out->n_segments; k++)
        if (is_same_place(&f->segment, &out->segments[k]))
            return false;
    return c->n_found > 0;
}

static void choose(struct comparison *c, struct match *out)
{
    qsort(c->found, c->n_found, sizeof *c->found, found_compare);
    for (size_t i = 0; i < c->n_found && out->n_segments < MATCH_SEGMENTS_MAX; i++) {
        const struct found *f = &c->found[i];
        size_t room = MATCH_PATH_MAX - out->n_path, n = size_min(f->n_cells, room);
        if (!is_wanted(c, out, f))
            continue;
        out->path = mem_resize(out->path, out->n_path + n, sizeof *out->path);
        memcpy(out->path + out->n_path, f->path, n * sizeof *f->path);
        out->segments[out->n_segments] = f->segment;
        out->path_from[out->n_segments++] = out->n_path;
        out->n_path += n;
        out->path_from[out->n_segments] = out->n_path;
    }
}

bool sequence_is_voiced(const struct sequence *s)
{
    const uint8_t *levels = sequence_aspect(s, ASPECT_MELODY);
    double sum = 0;
    for (size_t t = 0; t < s->n_frames; t++) {
        uint32_t square = 0;
        for (size_t k = 0; k < SEQUENCE_CLASSES; k++) {
            uint32_t x = levels[t * SEQUENCE_CLASSES + k];
            square += x * x;
        }
        sum += sqrt((double)square);
    }
    return s->n_frames > 0 && sum / s->n_frames >= VOICED;
}

bool match_compare(const struct sequence *a, const struct sequence *b,
                   const struct null_model *null, double n_songs, struct match *out, struct err *e)
{
    struct comparison c = {.a = a, .b = b, .null = null, .n_songs = n_songs};
    if (a->n_frames < ALIGN_STACK || b->n_frames < ALIGN_STACK)
        return err_set(e, ERR_PERM, "sequences of %u and %u frames; a comparison needs %d",
                       a->n_frames, b->n_frames, SEQUENCE_FRAMES_MIN);
    c.aligner = aligner_new(simd_best());
    c.found = mem_alloc(FOUND_MAX, sizeof *c.found);
    for (size_t i = 0; i < ALIGN_MODES; i++)
        c.best_chance[i] = 1;
    compare_windows(&c);
    choose(&c, out);
    enum align_mode mode =
        sequence_is_voiced(a) && sequence_is_voiced(b) ? ALIGN_MELODY : ALIGN_HARMONY;
    out->score = (float)c.best_score[mode] / ALIGN_UNIT;
    out->evalue = n_songs * c.best_chance[mode];
    out->qvalue = NAN;
    out->copy = NAN;
    for (size_t i = 0; i < c.n_found; i++)
        mem_free(c.found[i].path);
    mem_free(c.found);
    aligner_free(c.aligner);
    return true;
}
