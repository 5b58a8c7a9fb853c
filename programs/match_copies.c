#include "programs/match_copies.h"

#include "base/mem.h"
#include "programs/match_pair.h"

/* Expected by chance in the whole catalogue: what is shown. */
static const double EVALUE_MAX = 0.01;

static bool find(const struct library *l, const struct copy_query *q, size_t self_i,
                 unsigned threads, struct match_copies *out, struct err *e)
{
    const struct fingerprint **prints = mem_alloc(l->n_songs + 1, sizeof *prints);
    size_t n = 0;
    *out = (struct match_copies){0};
    for (size_t i = 0; i < l->n_songs; i++) {
        prints[i] = &l->songs[i].print;
        out->known = out->known || prints[i]->n_codes > 0;
    }
    bool ok = copy_search(prints, l->n_songs, q, EVALUE_MAX, threads, out->hits, &n, e);
    for (size_t i = 0; ok && i < n; i++)
        if (out->hits[i].song != self_i)
            out->hits[out->n++] = out->hits[i];
    mem_free(prints);
    return ok;
}

bool match_copies_of_file(const struct library *l, const float *samples, size_t n_samples,
                          unsigned threads, struct match_copies *out, struct err *e)
{
    struct copy_query q = {0};
    bool ok = copy_query_init(samples, n_samples, SEQUENCE_RATE_HZ, true, &q, e) &&
              find(l, &q, SIZE_MAX, threads, out, e);
    copy_query_release(&q);
    return ok;
}

bool match_copies_of_song(const struct library *l, size_t song_i, unsigned threads,
                          struct match_copies *out, struct err *e)
{
    const struct library_song *song = &l->songs[song_i];
    struct copy_take as_it_is = {COPY_SPEED, 1, 1, song->print};
    const struct copy_query q = {
        .len_ms = sequence_ms(song->sequence.n_frames), .n_takes = 1, .takes = &as_it_is};
    return find(l, &q, song_i, threads, out, e);
}

void match_copies_print(const struct match_copies *c, const struct library *l, FILE *out)
{
    char t[4][MATCH_TEXT_BYTES], evalue[MATCH_TEXT_BYTES], change[MATCH_TEXT_BYTES];
    if (!c->known)
        fputs("the data set has no fingerprints: copies are not looked for\n", out);
    else if (c->n == 0)
        fputs("no recording of the data set is in it\n", out);
    for (size_t i = 0; i < c->n; i++) {
        const struct copy_match *m = &c->hits[i].match;
        fprintf(out, "copy of %-24s  E = %-8s  %s-%s is %s-%s, %s\n",
                l->songs[c->hits[i].song].track_id, match_evalue_text(m->evalue, evalue),
                match_time_text(m->query_from_ms, t[0]), match_time_text(m->query_to_ms, t[1]),
                match_time_text(m->from_ms, t[2]), match_time_text(m->to_ms, t[3]),
                match_change_text(m, change));
    }
}

void match_copies_json(const struct match_copies *c, const struct library *l, struct json *j)
{
    if (!c->known) {
        json_null(j, "copies");
        return;
    }
    json_array(j, "copies");
    for (size_t i = 0; i < c->n; i++) {
        const struct copy_match *m = &c->hits[i].match;
        json_object(j, NULL);
        json_str(j, "track", l->songs[c->hits[i].song].track_id);
        json_u64(j, "row", l->songs[c->hits[i].song].row);
        match_copy_json(m, j);
        json_u64(j, "from_ms", m->query_from_ms);
        json_u64(j, "to_ms", m->query_to_ms);
        json_u64(j, "other_from_ms", m->from_ms);
        json_u64(j, "other_to_ms", m->to_ms);
        json_end(j);
    }
    json_end(j);
}
