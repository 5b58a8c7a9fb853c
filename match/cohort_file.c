#include "match/cohort.h"

#include "base/hash.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

/* DIR/sequences.null; the bytes are in docs/FORMAT.md. */
enum { SONGS_MAX = 1 << 24 };

static const char magic[8] = "RFRNULL6";

/* What stands in front of the excesses. */
struct file_head {
    char magic[8];
    uint64_t spec_hash, root, seed, n_songs, n_sample, n_members, n_pairs;
    double evalue_factor, mean;
    struct null_law laws[ALIGN_MODES];
    uint32_t members[COHORT_SONGS];
    uint64_t checksum; /* of the excesses, seeded with the hash of what stands before */
};

static uint64_t checksum_of(const struct file_head *h, const float *excess, size_t n)
{
    return hash64(excess, n * sizeof *excess, hash64(h, offsetof(struct file_head, checksum), 0));
}

/* What a library does not say of itself must be what this program takes it to be. */
static bool is_law(const struct null_law *law, const struct null_law *ours)
{
    return isfinite(law->location) && law->scale > 0 && isfinite(law->scale) &&
           law->shape == ours->shape && law->growth == ours->growth && law->share == ours->share &&
           law->reach == ours->reach;
}

static bool is_of(const struct file_head *h, const struct library *l, uint64_t seed)
{
    bool ok = memcmp(h->magic, magic, sizeof h->magic) == 0 &&
              h->spec_hash == sequence_spec_hash() && h->root == l->root && h->seed == seed &&
              h->n_songs == l->n_songs && h->n_sample == size_min(l->n_songs, COHORT_SAMPLE) &&
              h->n_members == size_min(l->n_songs, COHORT_SONGS);
    for (size_t i = 0; ok && i < h->n_members; i++)
        ok = h->members[i] < l->n_songs;
    for (size_t mode = 0; ok && mode < ALIGN_MODES; mode++)
        ok = is_law(&h->laws[mode], &null_model_default.laws[mode]);
    return ok && isfinite(h->mean);
}

size_t cohort_file_bytes(size_t n_songs)
{
    return sizeof(struct file_head) + n_songs * sizeof(float);
}

bool cohort_parse(struct span bytes, const struct library *l, uint64_t seed, struct cohort *out)
{
    struct file_head h;
    const size_t n = l->n_songs;
    if (bytes.len != cohort_file_bytes(n))
        return false;
    memcpy(&h, bytes.ptr, sizeof h);
    float *excess = mem_alloc(size_max(1, n), sizeof *excess);
    memcpy(excess, (const uint8_t *)bytes.ptr + sizeof h, n * sizeof *excess);
    if (!is_of(&h, l, seed) || h.checksum != checksum_of(&h, excess, n)) {
        mem_free(excess);
        return false;
    }
    *out = (struct cohort){.evalue_factor = h.evalue_factor,
                           .n_songs = n,
                           .n_sample = h.n_sample,
                           .excess = excess,
                           .n_members = h.n_members,
                           .mean = h.mean};
    out->null.n_pairs = h.n_pairs;
    memcpy(out->null.laws, h.laws, sizeof h.laws);
    memcpy(out->members, h.members, sizeof h.members);
    return true;
}

static bool file_read(const char *path, const struct library *l, uint64_t seed, struct cohort *out)
{
    struct err ignored = {0};
    struct buf file;
    buf_init(&file, cohort_file_bytes(SONGS_MAX));
    bool ok = file_exists(path) && file_read_all(path, &file, &ignored) &&
              cohort_parse(buf_span(&file), l, seed, out);
    buf_release(&file);
    return ok;
}

static bool file_write(const char *path, const struct library *l, uint64_t seed,
                       const struct cohort *c, struct err *e)
{
    struct file_head h;
    struct buf file;
    memset(&h, 0, sizeof h); /* padding too */
    memcpy(h.magic, magic, sizeof h.magic);
    h.spec_hash = sequence_spec_hash();
    h.root = l->root;
    h.seed = seed;
    h.n_songs = c->n_songs;
    h.n_sample = c->n_sample;
    h.n_members = c->n_members;
    h.n_pairs = c->null.n_pairs;
    h.evalue_factor = c->evalue_factor;
    h.mean = c->mean;
    memcpy(h.laws, c->null.laws, sizeof h.laws);
    memcpy(h.members, c->members, sizeof h.members);
    h.checksum = checksum_of(&h, c->excess, c->n_songs);
    buf_init(&file, cohort_file_bytes(SONGS_MAX));
    bool ok = buf_append(&file, &h, sizeof h, e) &&
              buf_append(&file, c->excess, c->n_songs * sizeof *c->excess, e) &&
              file_write_atomic(path, buf_span(&file), e);
    buf_release(&file);
    return ok;
}

static bool path_of(char out[PATH_BYTES], const char *dataset_dir, struct err *e)
{
    return path_join(out, dataset_dir, "sequences.null", e);
}

bool cohort_open(const char *dataset_dir, const struct library *l, uint64_t seed, unsigned threads,
                 cohort_progress_fn *progress, void *arg, struct cohort *out, struct err *e)
{
    char path[PATH_BYTES];
    if (!path_of(path, dataset_dir, e))
        return false;
    if (file_read(path, l, seed, out))
        return true;
    if (!cohort_make(l, seed, threads, progress, arg, out, e))
        return false;
    if (!file_write(path, l, seed, out, e)) {
        cohort_release(out);
        return err_wrap(e, "%s", path);
    }
    return true;
}

bool cohort_keep(const char *dataset_dir, const struct library *l, uint64_t seed, struct cohort *c,
                 struct err *e)
{
    char path[PATH_BYTES];
    if (!c->is_new)
        return true;
    if (!path_of(path, dataset_dir, e) || !file_write(path, l, seed, c, e))
        return false;
    c->is_new = false;
    return true;
}
