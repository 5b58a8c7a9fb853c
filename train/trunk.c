#include "train/trunk.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "train/bf16.h"
#include "train/mapping.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INDEX_HEADER_BYTES = 64, ENTRY_BYTES = 16, TRUNKS_MAX = 256, NO_SLOT = 0, DROP_CLIPS = 16 };
static const char MAGIC[8] = "rtrunk1";

struct index_header {
    char magic[8];
    uint64_t hash, n_values;
    uint8_t reserved[40];
};
static_assert(sizeof(struct index_header) == INDEX_HEADER_BYTES, "on disk");

struct entry {
    uint64_t key, checksum;
};
static_assert(sizeof(struct entry) == ENTRY_BYTES, "on disk");

struct trunk {
    struct trunk_params params;
    char dir[PATH_BYTES], bin_path[PATH_BYTES], idx_path[PATH_BYTES];
    struct store *store;
    const struct store_snapshot *snap;
    int lock_fd, bin_fd, idx_fd;
    uint64_t n_slots, n_synced; /* written; in the index */
    struct mapping slots;       /* uint32_t a key of the snapshot: slot + 1, or NO_SLOT */
    struct buf pending;         /* entries of slots that are not synced */
    uint16_t *halves;           /* one clip */
    const uint8_t *base;        /* of the mapped slots */
    size_t base_bytes;
};

static size_t slot_bytes(const struct trunk *t)
{
    return t->params.n_values * sizeof(uint16_t);
}

static uint32_t *slot_of(const struct trunk *t, uint64_t key)
{
    size_t lo = 0, hi = t->snap->n_keys;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->snap->keys[mid] < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    bool found = lo < t->snap->n_keys && t->snap->keys[lo] == key;
    return found ? (uint32_t *)t->slots.base + lo : NULL;
}

/* ---------------------------------------------------------------- opening */

static bool open_file(const char *path, int *out_fd, struct err *e)
{
    *out_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    return *out_fd >= 0 || err_set_errno(e, ERR_FATAL, errno, "%s: cannot be opened", path);
}

static bool checksum_of(const struct trunk *t, uint64_t key, uint64_t *out, struct err *e)
{
    struct record_info info;
    char augment[STORE_AUGMENT_BYTES];
    if (!store_get_info(t->store, key, &info, augment, e))
        return false;
    *out = info.checksum;
    return true;
}

/* The last one of a key wins: it is the newest. */
static bool take_entry(struct trunk *t, const struct entry *entry, uint64_t slot, struct err *e)
{
    uint32_t *at = slot_of(t, entry->key);
    uint64_t checksum;
    if (at == NULL)
        return true; /* of another selection of this store */
    if (!checksum_of(t, entry->key, &checksum, e))
        return false;
    if (checksum == entry->checksum)
        *at = (uint32_t)(slot + 1);
    return true;
}

static bool read_index(struct trunk *t, struct err *e)
{
    struct buf bytes;
    struct index_header header;
    bool ok = false;
    buf_init(&bytes, (size_t)UINT32_MAX * ENTRY_BYTES);
    if (!file_read_all(t->idx_path, &bytes, e))
        goto out;
    if (bytes.len < sizeof header) { /* new, or a crash at its birth */
        header = (struct index_header){.hash = t->params.hash, .n_values = t->params.n_values};
        memcpy(header.magic, MAGIC, sizeof MAGIC);
        ok = (ftruncate(t->idx_fd, 0) == 0 && ftruncate(t->bin_fd, 0) == 0 &&
              pwrite(t->idx_fd, &header, sizeof header, 0) == (ssize_t)sizeof header) ||
             err_set_errno(e, ERR_FATAL, errno, "%s: cannot be written", t->idx_path);
        goto out;
    }
    memcpy(&header, bytes.data, sizeof header);
    if (memcmp(header.magic, MAGIC, sizeof MAGIC) != 0 || header.hash != t->params.hash ||
        header.n_values != t->params.n_values) {
        err_set(e, ERR_PERM, "%s: no index of this trunk: delete it and its .bin, they are a cache",
                t->idx_path);
        goto out;
    }
    struct stat st;
    if (fstat(t->bin_fd, &st) != 0) {
        err_set_errno(e, ERR_FATAL, errno, "%s", t->bin_path);
        goto out;
    }
    uint64_t named = (bytes.len - sizeof header) / ENTRY_BYTES;
    uint64_t whole = (uint64_t)st.st_size / slot_bytes(t);
    t->n_slots = t->n_synced = named < whole ? named : whole;
    for (uint64_t i = 0; i < t->n_slots; i++) {
        struct entry entry;
        memcpy(&entry, (const uint8_t *)bytes.data + sizeof header + i * ENTRY_BYTES, sizeof entry);
        if (!take_entry(t, &entry, i, e))
            goto out;
    }
    ok = true;
out:
    buf_release(&bytes);
    return ok;
}

bool trunk_open(const struct trunk_params *params, struct store *store,
                const struct store_snapshot *snap, struct trunk **out, struct err *e)
{
    struct trunk *t = mem_zalloc(1, sizeof *t);
    char name[64], lock_path[PATH_BYTES];
    t->params = *params;
    t->store = store;
    t->snap = snap;
    t->lock_fd = t->bin_fd = t->idx_fd = -1;
    buf_init(&t->pending, (size_t)UINT32_MAX * ENTRY_BYTES);
    t->halves = mem_alloc(params->n_values, sizeof *t->halves);
    snprintf(name, sizeof name, "%016" PRIx64 ".lock", params->hash);
    bool ok = path_join(t->dir, params->models_dir, "trunk", e) && file_make_dir(t->dir, e) &&
              path_join(lock_path, t->dir, name, e) && file_lock(lock_path, &t->lock_fd, e);
    snprintf(name, sizeof name, "%016" PRIx64 ".bin", params->hash);
    ok = ok && path_join(t->bin_path, t->dir, name, e) && open_file(t->bin_path, &t->bin_fd, e);
    snprintf(name, sizeof name, "%016" PRIx64 ".idx", params->hash);
    ok = ok && path_join(t->idx_path, t->dir, name, e) && open_file(t->idx_path, &t->idx_fd, e) &&
         mapping_init(&t->slots, t->dir, snap->n_keys * sizeof(uint32_t), e) && read_index(t, e);
    if (ok) {
        (void)futimens(t->idx_fd, NULL); /* used now: the last to be deleted */
        *out = t;
        return true;
    }
    trunk_close(t);
    return false;
}

void trunk_close(struct trunk *t)
{
    if (t == NULL)
        return;
    if (t->base != NULL)
        munmap((void *)(uintptr_t)t->base, t->base_bytes);
    const int fds[] = {t->bin_fd, t->idx_fd, t->lock_fd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    mapping_release(&t->slots);
    buf_release(&t->pending);
    mem_free(t->halves);
    mem_free(t);
}

/* ---------------------------------------------------------------- room */

struct other {
    char stem[32];
    uint64_t bytes;
    struct timespec used;
};

/* Sizes of the other trunks; returns how many there are. */
static size_t list_others(const struct trunk *t, struct other *others)
{
    char own[32];
    size_t n = 0;
    snprintf(own, sizeof own, "%016" PRIx64, t->params.hash);
    DIR *dir = opendir(t->dir);
    if (dir == NULL)
        return 0;
    for (struct dirent *d; n < TRUNKS_MAX && (d = readdir(dir)) != NULL;) {
        size_t len = strlen(d->d_name);
        struct stat bin, idx;
        char name[64];
        if (len != 20 || strcmp(d->d_name + 16, ".idx") != 0 || memcmp(d->d_name, own, 16) == 0)
            continue;
        snprintf(name, sizeof name, "%.16s.bin", d->d_name);
        if (fstatat(dirfd(dir), d->d_name, &idx, 0) != 0 || fstatat(dirfd(dir), name, &bin, 0) != 0)
            continue;
        others[n] = (struct other){.bytes = (uint64_t)bin.st_size, .used = idx.st_mtim};
        snprintf(others[n++].stem, sizeof others[0].stem, "%.16s", d->d_name);
    }
    closedir(dir);
    return n;
}

static int oldest_first(const void *x, const void *y)
{
    const struct timespec *a = &((const struct other *)x)->used,
                          *b = &((const struct other *)y)->used;
    if (a->tv_sec != b->tv_sec)
        return a->tv_sec < b->tv_sec ? -1 : 1;
    return a->tv_nsec < b->tv_nsec ? -1 : a->tv_nsec > b->tv_nsec;
}

/* Not while another run reads it: its lock is tried first. */
static bool delete_trunk(const struct trunk *t, const char *stem)
{
    static const char *const ends[] = {"idx", "bin", "lock"};
    char path[PATH_BYTES + 32];
    struct err ignored = {0};
    int lock_fd;
    snprintf(path, sizeof path, "%s/%s.lock", t->dir, stem);
    if (!file_lock(path, &lock_fd, &ignored))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        snprintf(path, sizeof path, "%s/%s.%s", t->dir, stem, ends[i]);
        unlink(path);
    }
    close(lock_fd);
    return true;
}

bool trunk_reserve(struct trunk *t, size_t n_clips, struct err *e)
{
    uint64_t needed = (t->n_slots + n_clips) * slot_bytes(t), total = needed;
    if (needed > t->params.limit_bytes || t->n_slots + n_clips >= UINT32_MAX)
        return err_set(e, ERR_USAGE,
                       "the frozen layers' activations of %zu more clips need %.1f GiB and "
                       "train.cache is %.1f GiB",
                       n_clips, (double)needed / (1 << 30),
                       (double)t->params.limit_bytes / (1 << 30));
    struct other *others = mem_alloc(TRUNKS_MAX, sizeof *others);
    size_t n = list_others(t, others);
    qsort(others, n, sizeof *others, oldest_first);
    for (size_t i = 0; i < n; i++)
        total += others[i].bytes;
    for (size_t i = 0; i < n && total > t->params.limit_bytes; i++)
        if (delete_trunk(t, others[i].stem))
            total -= others[i].bytes;
    mem_free(others);
    return true;
}

/* ---------------------------------------------------------------- writing */

bool trunk_has(const struct trunk *t, uint64_t key)
{
    const uint32_t *at = slot_of(t, key);
    return at != NULL && *at != NO_SLOT;
}

size_t trunk_values(const struct trunk *t)
{
    return t->params.n_values;
}

static bool write_at(const char *path, int fd, const void *bytes, size_t n, uint64_t offset,
                     struct err *e)
{
    for (size_t done = 0; done < n;) {
        ssize_t wrote = pwrite(fd, (const uint8_t *)bytes + done, n - done, (off_t)(offset + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return err_set_errno(e, ERR_FATAL, errno, "%s: cannot be written", path);
        done += (size_t)wrote;
    }
    return true;
}

bool trunk_append(struct trunk *t, const uint64_t *keys, size_t n, const float *values,
                  struct err *e)
{
    assert(t->base == NULL);
    for (size_t i = 0; i < n; i++) {
        struct entry entry = {.key = keys[i]};
        uint32_t *at = slot_of(t, keys[i]);
        assert(at != NULL);
        for (size_t k = 0; k < t->params.n_values; k++)
            t->halves[k] = bf16_from_f32(values[i * t->params.n_values + k]);
        if (!checksum_of(t, keys[i], &entry.checksum, e) ||
            !write_at(t->bin_path, t->bin_fd, t->halves, slot_bytes(t), t->n_slots * slot_bytes(t),
                      e) ||
            !buf_append(&t->pending, &entry, sizeof entry, e))
            return false;
        *at = (uint32_t)(++t->n_slots);
    }
    return true;
}

bool trunk_sync(struct trunk *t, struct err *e)
{
    if (t->n_synced == t->n_slots)
        return true;
    if (fdatasync(t->bin_fd) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "%s: cannot be made durable", t->bin_path);
    if (!write_at(t->idx_path, t->idx_fd, t->pending.data, t->pending.len,
                  INDEX_HEADER_BYTES + t->n_synced * ENTRY_BYTES, e))
        return false;
    if (fdatasync(t->idx_fd) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "%s: cannot be made durable", t->idx_path);
    t->n_synced = t->n_slots;
    buf_reset(&t->pending);
    return true;
}

/* ---------------------------------------------------------------- reading */

bool trunk_map(struct trunk *t, struct err *e)
{
    assert(t->base == NULL);
    if (!trunk_sync(t, e) || t->n_slots == 0)
        return t->n_slots == 0;
    t->base_bytes = t->n_slots * slot_bytes(t);
    void *base = mmap(NULL, t->base_bytes, PROT_READ, MAP_SHARED, t->bin_fd, 0);
    if (base == MAP_FAILED)
        return err_set_errno(e, ERR_FATAL, errno, "%s: cannot be mapped", t->bin_path);
    (void)madvise(base, t->base_bytes, MADV_RANDOM);
    t->base = base;
    return true;
}

bool trunk_read(const struct trunk *t, const uint64_t *keys, size_t n, float *out, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t *at = slot_of(t, keys[i]);
        if (at == NULL || *at == NO_SLOT || t->base == NULL)
            return err_set(e, ERR_PERM, "%s: no activations of key %" PRIu64, t->bin_path, keys[i]);
        const uint16_t *halves =
            (const uint16_t *)(const void *)(t->base + (*at - 1) * slot_bytes(t));
        for (size_t k = 0; k < t->params.n_values; k++)
            out[i * t->params.n_values + k] = bf16_to_f32(halves[k]);
        /* They stay in the kernel's cache, but not in this process's memory; a fault maps up to
         * 2 MiB around what it is for (store/resident.c). */
        if (i % DROP_CLIPS == DROP_CLIPS - 1 || i + 1 == n)
            (void)madvise((void *)(uintptr_t)t->base, t->base_bytes, MADV_DONTNEED);
    }
    return true;
}

void trunk_prefetch(const struct trunk *t, const uint64_t *keys, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < n; i++) {
        const uint32_t *at = slot_of(t, keys[i]);
        if (at == NULL || *at == NO_SLOT || t->base == NULL)
            continue;
        size_t from = (*at - 1) * slot_bytes(t), head = from % page;
        (void)madvise((void *)(uintptr_t)(t->base + from - head), slot_bytes(t) + head,
                      MADV_WILLNEED);
    }
}
