#include "match/library_file.h"

#include "base/hash.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Head, table, checksums of groups, then three blocks on whole cache lines: levels, codes, coarse
 * levels. Head, table and checksums are hashed and read when it is opened; songs and groups have
 * checksums of their own and are checked when they are used. A damaged file can make scores wrong
 * until then, never an address.
 */
enum { SONGS_MAX = 1 << 24, BLOCK_BYTES = MEM_ALIGN_BYTES, WRITE_BYTES = 1 << 20 };

static const char magic[8] = "RFRNSEQ1";

struct file_head {
    char magic[8];
    uint64_t spec_hash, root, n_songs, n_frames, n_codes, coarse_bytes;
    uint64_t
        checksum; /* of the table and the groups' checksums, seeded with that of what is above */
};

struct file_song {
    uint64_t row;
    uint32_t n_frames, n_codes;
    char track_id[72];
};
static_assert(sizeof(struct file_head) == 64 && sizeof(struct file_song) == 88, "no padding");
static_assert(sizeof((struct file_song *)0)->track_id >= STORE_TRACK_ID_BYTES, "an id fits");

/* Where the parts are. */
struct layout {
    size_t table, song_checksums, group_checksums, levels, codes, coarse, end;
};

static size_t whole(size_t n)
{
    return (n + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

static struct layout layout_of(const struct file_head *h, size_t n_groups)
{
    struct layout at = {.table = sizeof *h};
    at.song_checksums = at.table + h->n_songs * sizeof(struct file_song);
    at.group_checksums = at.song_checksums + h->n_songs * sizeof(uint64_t);
    at.levels = whole(at.group_checksums + n_groups * sizeof(uint64_t));
    at.codes = whole(at.levels + h->n_frames * LIBRARY_RECORD_COLUMNS);
    at.coarse = whole(at.codes + h->n_codes * sizeof(uint32_t));
    at.end = at.coarse + h->coarse_bytes;
    return at;
}

static uint64_t checksum_of(const struct file_head *h, const void *table, size_t n_bytes)
{
    return hash64(table, n_bytes, hash64(h, offsetof(struct file_head, checksum), 0));
}

static size_t levels_bytes(const struct library_song *s)
{
    return (size_t)s->sequence.n_frames * LIBRARY_RECORD_COLUMNS;
}

static uint64_t song_checksum(const struct library_song *s)
{
    return hash64(s->print.codes, s->print.n_codes * sizeof *s->print.codes,
                  hash64(s->sequence.levels, levels_bytes(s), 0));
}

static uint64_t group_checksum(const struct library *l, size_t group_i)
{
    const struct coarse_group *g = &l->plan.groups[group_i];
    return hash64(l->coarse + g->levels_at, coarse_group_bytes(g), 0);
}

bool library_check_song(const struct library *l, size_t song_i, struct err *e)
{
    return l->map == NULL || l->song_checksums[song_i] == song_checksum(&l->songs[song_i]) ||
           err_set(e, ERR_FATAL,
                   "sequences.map is damaged at track %s: remove it, it is made again",
                   l->songs[song_i].track_id);
}

bool library_check_group(const struct library *l, size_t group_i, struct err *e)
{
    return l->map == NULL || l->group_checksums[group_i] == group_checksum(l, group_i) ||
           err_set(e, ERR_FATAL,
                   "sequences.map is damaged in group %zu: remove it, it is made again", group_i);
}

/* ---------------------------------------------------------------- writing */

/* Head, table and checksums. */
static void front_make(const struct library *l, struct file_head *h, struct layout *at,
                       uint8_t **out)
{
    *h = (struct file_head){.spec_hash = sequence_spec_hash(),
                            .root = l->root,
                            .n_songs = l->n_songs,
                            .coarse_bytes = l->plan.levels_bytes};
    memcpy(h->magic, magic, sizeof h->magic);
    for (size_t i = 0; i < l->n_songs; i++) {
        h->n_frames += l->songs[i].sequence.n_frames;
        h->n_codes += l->songs[i].print.n_codes;
    }
    *at = layout_of(h, l->plan.n_groups);
    uint8_t *front = mem_zalloc(at->levels, 1);
    for (size_t i = 0; i < l->n_songs; i++) {
        const struct library_song *s = &l->songs[i];
        struct file_song entry = {s->row, s->sequence.n_frames, s->print.n_codes, {0}};
        const uint64_t sum = song_checksum(s);
        memcpy(entry.track_id, s->track_id, sizeof s->track_id);
        memcpy(front + at->table + i * sizeof entry, &entry, sizeof entry);
        memcpy(front + at->song_checksums + i * sizeof sum, &sum, sizeof sum);
    }
    for (size_t i = 0; i < l->plan.n_groups; i++) {
        const uint64_t sum = group_checksum(l, i);
        memcpy(front + at->group_checksums + i * sizeof sum, &sum, sizeof sum);
    }
    h->checksum = checksum_of(h, front + at->table, at->levels - at->table);
    memcpy(front, h, sizeof *h);
    *out = front;
}

struct output {
    int fd;
    struct buf waiting;
};

static bool put(struct output *o, const void *bytes, size_t n, struct err *e)
{
    if (o->waiting.len + n > WRITE_BYTES) {
        if (!file_write_fd(o->fd, buf_span(&o->waiting), e))
            return false;
        buf_reset(&o->waiting);
    }
    return n > WRITE_BYTES ? file_write_fd(o->fd, (struct span){bytes, n}, e)
                           : buf_append(&o->waiting, bytes, n, e);
}

static bool put_gap(struct output *o, size_t n, struct err *e)
{
    static const uint8_t zeros[BLOCK_BYTES];
    assert(n < BLOCK_BYTES);
    return put(o, zeros, n, e);
}

static bool put_all(struct output *o, const struct library *l, struct err *e)
{
    struct file_head h;
    struct layout at;
    uint8_t *front = NULL;
    front_make(l, &h, &at, &front);
    bool ok = put(o, front, at.levels, e);
    for (size_t i = 0; ok && i < l->n_songs; i++)
        ok = put(o, l->songs[i].sequence.levels, levels_bytes(&l->songs[i]), e);
    ok = ok && put_gap(o, at.codes - at.levels - h.n_frames * LIBRARY_RECORD_COLUMNS, e);
    for (size_t i = 0; ok && i < l->n_songs; i++)
        ok = put(o, l->songs[i].print.codes, l->songs[i].print.n_codes * sizeof(uint32_t), e);
    ok = ok && put_gap(o, at.coarse - at.codes - h.n_codes * sizeof(uint32_t), e) &&
         put(o, l->coarse, l->plan.levels_bytes, e) &&
         file_write_fd(o->fd, buf_span(&o->waiting), e);
    mem_free(front);
    return ok;
}

bool library_file_write(const char *path, const struct library *l, struct err *e)
{
    char draft[PATH_BYTES];
    struct output o = {.fd = -1};
    buf_init(&o.waiting, WRITE_BYTES);
    if (snprintf(draft, sizeof draft, "%s.%ld", path, (long)getpid()) >= (int)sizeof draft)
        return err_set(e, ERR_PERM, "the path of %.200s... is longer than %d bytes", path,
                       PATH_BYTES);
    o.fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = o.fd >= 0 || err_set_errno(e, ERR_FATAL, errno, "cannot write %s", draft);
    ok = ok && put_all(&o, l, e);
    if (ok && fdatasync(o.fd) != 0)
        ok = err_set_errno(e, ERR_FATAL, errno, "cannot write %s", draft);
    if (o.fd >= 0)
        close(o.fd);
    if (ok && rename(draft, path) != 0)
        ok = err_set_errno(e, ERR_FATAL, errno, "cannot rename %s", draft);
    if (!ok && o.fd >= 0)
        unlink(draft);
    buf_release(&o.waiting);
    return ok;
}

/* ---------------------------------------------------------------- reading */

/* False when the songs are not what the head says or are none that this program makes. */
static bool read_table(uint8_t *bytes, const struct file_head *h, struct library *l,
                       uint32_t *lengths)
{
    uint64_t n_frames = 0, n_codes = 0;
    for (size_t i = 0; i < h->n_songs; i++) {
        struct file_song entry;
        struct library_song *s = &l->songs[i];
        memcpy(&entry, bytes + sizeof *h + i * sizeof entry, sizeof entry);
        if (entry.n_frames < SEQUENCE_FRAMES_MIN || entry.n_frames > SEQUENCE_FRAMES_MAX ||
            entry.n_codes > FINGERPRINT_CODES_MAX || (i > 0 && entry.row <= l->songs[i - 1].row) ||
            entry.track_id[STORE_TRACK_ID_BYTES - 1] != '\0')
            return false;
        s->row = entry.row;
        memcpy(s->track_id, entry.track_id, sizeof s->track_id);
        s->sequence.n_frames = lengths[i] = entry.n_frames;
        s->print.n_codes = entry.n_codes;
        n_frames += entry.n_frames;
        n_codes += entry.n_codes;
    }
    return n_frames == h->n_frames && n_codes == h->n_codes;
}

static void place_songs(uint8_t *bytes, const struct layout *at, struct library *l)
{
    uint8_t *levels = bytes + at->levels, *codes = bytes + at->codes;
    for (size_t i = 0; i < l->n_songs; i++) {
        struct library_song *s = &l->songs[i];
        s->sequence.levels = levels;
        s->print.codes = s->print.n_codes > 0 ? (uint32_t *)(void *)codes : NULL;
        levels += levels_bytes(s);
        codes += s->print.n_codes * sizeof(uint32_t);
    }
    l->coarse = bytes + at->coarse;
    l->song_checksums = (const uint64_t *)(const void *)(bytes + at->song_checksums);
    l->group_checksums = (const uint64_t *)(const void *)(bytes + at->group_checksums);
}

bool library_file_parse(void *data, size_t n_bytes, uint64_t root, struct library *out)
{
    uint8_t *bytes = data;
    struct file_head h;
    if (n_bytes < sizeof h)
        return false;
    memcpy(&h, bytes, sizeof h);
    /* A song takes its entry at least, so that the counts are bounded by the bytes that are there.
     */
    if (memcmp(h.magic, magic, sizeof h.magic) != 0 || h.spec_hash != sequence_spec_hash() ||
        h.root != root || h.n_songs > SONGS_MAX ||
        h.n_songs > (n_bytes - sizeof h) / sizeof(struct file_song))
        return false;
    struct library l = {.n_songs = h.n_songs, .root = root};
    uint32_t *lengths = mem_zalloc(size_max(1, h.n_songs), sizeof *lengths);
    l.songs = mem_zalloc(size_max(1, h.n_songs), sizeof *l.songs);
    bool ok = read_table(bytes, &h, &l, lengths);
    if (ok) {
        coarse_plan_init(&l.plan, lengths, l.n_songs);
        const struct layout at = layout_of(&h, l.plan.n_groups);
        ok = h.coarse_bytes == l.plan.levels_bytes && at.end == n_bytes &&
             h.checksum == checksum_of(&h, bytes + at.table, at.levels - at.table);
        if (ok)
            place_songs(bytes, &at, &l);
    }
    mem_free(lengths);
    l.map = data;
    l.map_bytes = n_bytes;
    if (ok)
        *out = l;
    else
        library_file_release(&l);
    return ok;
}

void library_file_release(struct library *l)
{
    coarse_plan_release(&l->plan);
    mem_free(l->songs);
    *l = (struct library){0};
}

bool library_file_open(const char *path, uint64_t root, struct library *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    void *map = fstat(fd, &st) == 0 && st.st_size > 0
                    ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0)
                    : MAP_FAILED;
    close(fd);
    if (map == MAP_FAILED)
        return false;
    if (library_file_parse(map, (size_t)st.st_size, root, out))
        return true;
    munmap(map, (size_t)st.st_size);
    return false;
}
