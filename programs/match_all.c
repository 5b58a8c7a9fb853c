#include "programs/match_catalogue.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/program.h"
#include "base/progress.h"
#include "match/compare.h"
#include "programs/match_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAIRS_A_SONG_MAX = 256,
    LOG_BYTES_MAX = 1 << 30,
    CSV_BYTES_MAX = 1 << 30,
    KEEP_EVERY = 256, /* songs: what was learnt of excesses is written */
};

/* A version shares at least this much of the shorter song; less is a borrowing. */
static const double VERSION_SHARE = 0.5;

struct all {
    struct match_catalogue *c;
    const struct all_request *request;
    int fd, lock_fd;
    struct buf log;  /* entries of songs that are done */
    size_t n_done;   /* songs */
    uint32_t *group; /* (n_songs): a union-find forest */
};

/* ---------------------------------------------------------------- log */

static bool log_open(struct all *a, struct err *e)
{
    char path[PATH_BYTES], lock_path[PATH_BYTES];
    struct buf file;
    bool ok = path_join(path, a->c->dataset.dir, "matches.log", e);
    buf_init(&file, LOG_BYTES_MAX);
    ok = ok && path_join(lock_path, a->c->dataset.dir, "matches.lock", e) &&
         file_lock(lock_path, &a->lock_fd, e);
    if (!ok)
        return false;
    a->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (a->fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot open %s", path);
    off_t len = lseek(a->fd, 0, SEEK_END);
    ok = len >= 0 && buf_reserve(&file, (size_t)len, e);
    if (ok && pread(a->fd, file.data, (size_t)len, 0) == len)
        file.len = (size_t)len;
    const struct match_log_head head =
        match_log_head_make(a->c->library.root, a->request->evalue, a->request->exhaustive);
    size_t good = 0;
    ok = ok && match_log_parse(buf_span(&file), &head, a->c->library.n_songs, &a->log, &a->n_done,
                               &good, e);
    if (ok && good == 0) {
        ok = (ftruncate(a->fd, 0) == 0 && lseek(a->fd, 0, SEEK_SET) == 0) ||
             err_set_errno(e, ERR_FATAL, errno, "cannot begin %s", path);
        ok = ok && file_write_fd(a->fd, (struct span){&head, sizeof head}, e);
    } else if (ok) {
        ok = (ftruncate(a->fd, (off_t)good) == 0 && lseek(a->fd, 0, SEEK_END) >= 0) ||
             err_set_errno(e, ERR_FATAL, errno, "cannot go on with %s", path);
    }
    buf_release(&file);
    return ok;
}

/* ---------------------------------------------------------------- one song */

static bool add_pair(struct all *a, size_t song_i, const struct search_hit *hit, struct buf *out,
                     struct err *e)
{
    const struct library *l = &a->c->library;
    const struct sequence *x = &l->songs[song_i].sequence, *y = &l->songs[hit->song_i].sequence;
    struct match m = {0};
    struct match_log_entry entry = {
        .song_i = (uint32_t)song_i, .other_i = (uint32_t)hit->song_i, .evalue = hit->evalue};
    if (!match_compare(x, y, &a->c->cohort.null, (double)l->n_songs, &m, e))
        return false;
    if (m.n_segments > 0) {
        const struct segment *s = &m.segments[0];
        entry.from_ms = s->a_from_ms;
        entry.to_ms = s->a_to_ms;
        entry.other_from_ms = s->b_from_ms;
        entry.other_to_ms = s->b_to_ms;
        entry.shift_semitones = s->shift_semitones;
        entry.tempo_ratio = s->tempo_ratio;
        entry.share = (float)match_shared_part(&m, sequence_ms(x->n_frames),
                                               sequence_ms(y->n_frames), a->request->evalue);
    }
    match_release(&m);
    match_log_seal(&entry);
    return buf_append(out, &entry, sizeof entry, e);
}

/* Pairs are found from the song with the lower number; what the first pass loses from one side it
 * may keep from the other, so all hits count and doubles go when they are written. */
static bool search_song(struct all *a, size_t song_i, struct err *e)
{
    static _Thread_local struct search_hit hits[PAIRS_A_SONG_MAX];
    const struct search_query q = {&a->c->library.songs[song_i].sequence, song_i, a->c->threads,
                                   a->request->exhaustive};
    struct match_log_entry end = {.song_i = (uint32_t)song_i, .other_i = (uint32_t)song_i};
    size_t n = 0;
    struct buf entries;
    buf_init(&entries, (PAIRS_A_SONG_MAX + 1) * sizeof end);
    bool ok = search_run(&a->c->search, &q, PAIRS_A_SONG_MAX, hits, &n, e);
    for (size_t i = 0; ok && i < n && hits[i].evalue <= a->request->evalue; i++)
        ok = add_pair(a, song_i, &hits[i], &entries, e);
    match_log_seal(&end);
    ok = ok && buf_append(&entries, &end, sizeof end, e) &&
         file_write_fd(a->fd, buf_span(&entries), e) &&
         buf_append(&a->log, entries.data, entries.len, e);
    buf_release(&entries);
    return ok;
}

/* ---------------------------------------------------------------- groups */

static uint32_t group_root(struct all *a, uint32_t i)
{
    while (a->group[i] != i)
        i = a->group[i] = a->group[a->group[i]];
    return i;
}

static int entry_compare(const void *a, const void *b)
{
    const struct match_log_entry *x = a, *y = b;
    uint32_t x_low = x->song_i < x->other_i ? x->song_i : x->other_i;
    uint32_t y_low = y->song_i < y->other_i ? y->song_i : y->other_i;
    uint32_t x_high = x->song_i ^ x->other_i ^ x_low, y_high = y->song_i ^ y->other_i ^ y_low;
    if (x_low != y_low)
        return x_low < y_low ? -1 : 1;
    if (x_high != y_high)
        return x_high < y_high ? -1 : 1;
    if (x->evalue != y->evalue)
        return x->evalue < y->evalue ? -1 : 1;
    return (x->song_i > y->song_i) - (x->song_i < y->song_i);
}

static bool is_same_pair(const struct match_log_entry *x, const struct match_log_entry *y)
{
    return (x->song_i == y->song_i && x->other_i == y->other_i) ||
           (x->song_i == y->other_i && x->other_i == y->song_i);
}

static bool write_pairs(struct all *a, struct match_log_entry *entries, size_t n,
                        struct all_report *r, struct err *e)
{
    char path[PATH_BYTES];
    struct buf csv;
    const struct library_song *songs = a->c->library.songs;
    buf_init(&csv, CSV_BYTES_MAX);
    bool ok = path_join(path, a->c->dataset.dir, "pairs.csv", e) &&
              buf_printf(&csv, e,
                         "kind,track_id,other_id,evalue,share,start_s,end_s,other_start_s,"
                         "other_end_s,semitones,tempo_ratio\n");
    for (size_t i = 0; ok && i < n; i++) {
        const struct match_log_entry *x = &entries[i];
        bool is_version = (double)x->share >= VERSION_SHARE;
        if (x->song_i == x->other_i || (i > 0 && is_same_pair(x, &entries[i - 1])))
            continue;
        r->n_pairs++;
        r->n_versions += is_version;
        r->n_borrowings += !is_version;
        if (is_version)
            a->group[group_root(a, x->song_i)] = group_root(a, x->other_i);
        ok = buf_printf(&csv, e, "%s,%s,%s,%.3g,%.2f,%.2f,%.2f,%.2f,%.2f,%d,%.4f\n",
                        is_version ? "version" : "borrowing", songs[x->song_i].track_id,
                        songs[x->other_i].track_id, x->evalue, (double)x->share,
                        x->from_ms / 1000.0, x->to_ms / 1000.0, x->other_from_ms / 1000.0,
                        x->other_to_ms / 1000.0, x->shift_semitones, (double)x->tempo_ratio);
    }
    ok = ok && file_write_atomic(path, buf_span(&csv), e);
    buf_release(&csv);
    return ok;
}

/* Songs without a version are in no group and not in the file. A group is named by its first row.
 */
static bool write_groups(struct all *a, struct all_report *r, struct err *e)
{
    char path[PATH_BYTES];
    struct buf csv;
    const size_t n = a->c->library.n_songs;
    uint32_t *first = mem_alloc(size_max(1, n), sizeof *first),
             *size = mem_zalloc(size_max(1, n), sizeof *size);
    buf_init(&csv, CSV_BYTES_MAX);
    for (size_t i = n; i-- > 0;) {
        uint32_t root = group_root(a, (uint32_t)i);
        first[root] = (uint32_t)i;
        size[root]++;
    }
    bool ok = path_join(path, a->c->dataset.dir, "groups.csv", e) &&
              buf_printf(&csv, e, "track_id,work_id\n");
    for (size_t i = 0; ok && i < n; i++) {
        uint32_t root = group_root(a, (uint32_t)i);
        if (size[root] < 2)
            continue;
        r->n_grouped++;
        r->n_groups += first[root] == i;
        ok = buf_printf(&csv, e, "%s,G%010" PRIu64 "\n", a->c->library.songs[i].track_id,
                        a->c->library.songs[first[root]].row);
    }
    ok = ok && file_write_atomic(path, buf_span(&csv), e);
    buf_release(&csv);
    mem_free(first);
    mem_free(size);
    return ok;
}

static bool write_results(struct all *a, struct all_report *r, struct err *e)
{
    const size_t n = a->log.len / sizeof(struct match_log_entry), n_songs = a->c->library.n_songs;
    struct match_log_entry *entries = mem_alloc(size_max(1, n), sizeof *entries);
    if (n > 0)
        memcpy(entries, a->log.data, n * sizeof *entries);
    qsort(entries, n, sizeof *entries, entry_compare);
    a->group = mem_alloc(size_max(1, n_songs), sizeof *a->group);
    for (size_t i = 0; i < n_songs; i++)
        a->group[i] = (uint32_t)i;
    bool ok = write_pairs(a, entries, n, r, e) && write_groups(a, r, e);
    mem_free(a->group);
    mem_free(entries);
    return ok;
}

bool match_catalogue_all(struct match_catalogue *c, const struct all_request *r,
                         struct all_report *out, struct err *e)
{
    struct all a = {.c = c, .request = r, .fd = -1, .lock_fd = -1};
    struct progress progress;
    *out = (struct all_report){.n_songs = c->library.n_songs};
    buf_init(&a.log, LOG_BYTES_MAX);
    bool ok = log_open(&a, e);
    progress_init(&progress, "match", "songs", c->library.n_songs);
    progress_update(&progress, clock_now_ns(), a.n_done, "%s", "");
    for (; ok && a.n_done < c->library.n_songs; a.n_done++) {
        if (program_stop_requested())
            ok = err_set(e, ERR_STOP, "asked to stop after %zu of %zu songs", a.n_done,
                         c->library.n_songs);
        else
            ok = search_song(&a, a.n_done, e);
        out->n_searched += ok;
        if (ok && out->n_searched % KEEP_EVERY == 0)
            ok = cohort_keep(c->dataset.dir, &c->library, c->dataset.settings.seed, &c->cohort, e);
        progress_update(&progress, clock_now_ns(), a.n_done + ok, "%s", "");
        if (!ok)
            break;
    }
    progress_finish(&progress, clock_now_ns());
    ok = ok && write_results(&a, out, e);
    if (a.fd >= 0)
        close(a.fd);
    if (a.lock_fd >= 0)
        close(a.lock_fd);
    buf_release(&a.log);
    return ok;
}
