#include "programs/match_chance.h"

#include "base/mem.h"

#include <math.h>

const double eval_evalues[EVAL_EVALUES] = {0.001, 0.01, 0.1, 1, 10, 100, 1000};

void chance_tally_init(struct chance_tally *t, size_t n_songs)
{
    *t = (struct chance_tally){.n_songs = n_songs};
    t->hits = mem_zalloc(EVAL_EVALUES * size_max(1, n_songs), sizeof *t->hits);
}

void chance_tally_release(struct chance_tally *t)
{
    mem_free(t->hits);
    *t = (struct chance_tally){0};
}

void chance_tally_query(struct chance_tally *t)
{
    t->n_queries++;
}

void chance_tally_add(struct chance_tally *t, size_t query_i, size_t song_i, double evalue,
                      double n_catalogue)
{
    for (size_t at = 0; at < EVAL_EVALUES; at++) {
        t->n_promised[at] += fmin(eval_evalues[at] / n_catalogue, 1);
        if (evalue > eval_evalues[at])
            continue;
        t->n_found[at]++;
        t->hits[at * t->n_songs + query_i]++;
        t->hits[at * t->n_songs + song_i]++;
    }
}

/* n_pairs by Byar's approximation (Breslow and Day, "Statistical methods in cancer research" II,
 * 1987, p. 69). */
static void widen_for_few(struct figure *f, double n_pairs, double per_query)
{
    const double above = n_pairs + 1;
    double low =
        n_pairs > 0 ? n_pairs * pow(1 - 1 / (9 * n_pairs) - 1.96 / (3 * sqrt(n_pairs)), 3) : 0;
    double high = above * pow(1 - 1 / (9 * above) + 1.96 / (3 * sqrt(above)), 3);
    f->lo = fmin(f->lo, fmax(0, low) * per_query);
    f->hi = fmax(f->hi, high * per_query);
}

void chance_tally_measure(const struct chance_tally *t, const uint64_t *groups, uint64_t seed,
                          struct chance_point out[EVAL_EVALUES])
{
    const double n_queries = (double)t->n_queries;
    for (size_t at = 0; at < EVAL_EVALUES; at++) {
        struct figure *f = &out[at].unrelated;
        out[at].evalue = eval_evalues[at];
        out[at].promised = n_queries > 0 ? t->n_promised[at] / n_queries : (double)NAN;
        *f = (struct figure){(double)NAN, (double)NAN, (double)NAN};
        if (t->n_queries == 0)
            continue;
        /* Every hit is in this mean twice; a draw of works moves their pairs from both sides. */
        const struct figure songs =
            figure_mean(t->hits + at * t->n_songs, groups, t->n_songs, seed);
        f->value = f->lo = f->hi = t->n_found[at] / n_queries;
        if (songs.value > 0) {
            f->lo *= fmax(0, 2 * songs.lo / songs.value - 1);
            f->hi *= 2 * songs.hi / songs.value - 1;
        }
        widen_for_few(f, t->n_found[at] / 2, 2 / n_queries);
    }
}

void figure_json(struct json *j, const char *key, const struct figure *f)
{
    json_object(j, key);
    json_f64(j, "value", f->value);
    json_f64(j, "lo", f->lo);
    json_f64(j, "hi", f->hi);
    json_end(j);
}

void chance_point_json(const struct chance_point *p, struct json *j)
{
    json_f64(j, "evalue", p->evalue);
    figure_json(j, "unrelated", &p->unrelated);
    json_f64(j, "expected", p->promised);
}
