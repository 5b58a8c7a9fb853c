/*
 * The guarantee: a name in new/ has all its bytes on the disk, whatever was killed when. The bytes
 * are written under the same name in tmp/, synced, and only then renamed; the rename is synced by
 * an fsync of new/. What lies in tmp/ after a crash was never promised to anybody and is removed.
 *
 * Writing and publishing are two steps so that a group of items shares the wait for the disk:
 * spool_write starts the write-back without waiting, spool_publish then finds most of it done. A
 * group is synced by one syncfs: an fdatasync for each file costs a commit of the file system's
 * journal each time (measured on ext4: 290 files/s against 800 to 1,400). syncfs tells of failed
 * writes since Linux 5.8.
 */
#include "ingest/spool.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROW_DIGITS_MIN = 10, ROW_DIGITS_MAX = 20, WHY_BYTES = 1024 };

static const uint64_t BAD_BYTES_MAX = UINT64_C(256) << 20;
static const char why_suffix[] = ".why";

static_assert(ROW_DIGITS_MAX + 1 + 3 * TRACK_ID_MAX_BYTES + sizeof why_suffix <= SPOOL_NAME_BYTES,
              "the longest name and its .why fit");

struct spool {
    int tmp_fd, new_fd, bad_fd;
    uint64_t bad_max_bytes, bad_bytes; /* of audio in bad/, as it was counted and grew since */
    uint32_t n_uncounted;              /* set aside since it was counted; 0: it never was */
    char path[PATH_BYTES];
};

/* ---------------------------------------------------------------- names */

/* The dot is escaped too, so that no id can end in ".why" or be "..". */
static bool name_char_is_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           c == '-';
}

void spool_name(char out[SPOOL_NAME_BYTES], uint64_t row, const char *track_id)
{
    size_t id_len = strlen(track_id);
    assert(id_len > 0);
    assert(id_len <= TRACK_ID_MAX_BYTES);
    int head = snprintf(out, SPOOL_NAME_BYTES, "%0*" PRIu64 "-", ROW_DIGITS_MIN, row);
    assert(head > 0);
    char *at = out + head;
    for (size_t i = 0; i < id_len; i++) {
        unsigned char c = (unsigned char)track_id[i];
        if (name_char_is_plain(c))
            *at++ = (char)c;
        else
            at += snprintf(at, 4, "%%%02X", c);
    }
    *at = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool unescape_id(const char *at, char out[TRACK_ID_MAX_BYTES + 1])
{
    size_t n = 0;
    for (; *at != '\0'; at++) {
        if (n == TRACK_ID_MAX_BYTES)
            return false;
        if (*at != '%') {
            out[n++] = *at;
            continue;
        }
        int high = hex_digit(at[1]);
        int low = high < 0 ? -1 : hex_digit(at[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        out[n++] = (char)(unsigned char)(high * 16 + low);
        at += 2;
    }
    out[n] = '\0';
    return n > 0;
}

bool spool_name_parse(const char *name, struct spool_item *out)
{
    size_t n_digits = strspn(name, "0123456789");
    if (n_digits < ROW_DIGITS_MIN || n_digits > ROW_DIGITS_MAX || name[n_digits] != '-' ||
        strlen(name) >= SPOOL_NAME_BYTES)
        return false;
    *out = (struct spool_item){0};
    errno = 0;
    out->row = strtoull(name, NULL, 10);
    if (errno != 0 || !unescape_id(name + n_digits + 1, out->track_id))
        return false;
    /* One spelling for one item: what differs from our own spelling is not ours. */
    spool_name(out->name, out->row, out->track_id);
    return strcmp(out->name, name) == 0;
}

/* ---------------------------------------------------------------- open, close, clean */

static bool open_part(const char *spool_path, const char *part, int *out_fd, struct err *e)
{
    char path[PATH_BYTES];
    if (!path_join(path, spool_path, part, e) || !file_make_dir(path, e))
        return false;
    *out_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *out_fd >= 0 || err_set_errno(e, ERR_FATAL, errno, "cannot open %s", path);
}

bool spool_open(const char *dataset_dir, struct spool **out, struct err *e)
{
    struct spool *s = mem_zalloc(1, sizeof *s);
    s->tmp_fd = s->new_fd = s->bad_fd = -1;
    s->bad_max_bytes = BAD_BYTES_MAX;
    if (!path_join(s->path, dataset_dir, "spool", e) || !file_make_dir(s->path, e) ||
        !open_part(s->path, "tmp", &s->tmp_fd, e) || !open_part(s->path, "new", &s->new_fd, e) ||
        !open_part(s->path, "bad", &s->bad_fd, e)) {
        spool_close(s);
        return false;
    }
    *out = s;
    return true;
}

void spool_close(struct spool *s)
{
    if (s == NULL)
        return;
    const int fds[] = {s->tmp_fd, s->new_fd, s->bad_fd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    mem_free(s);
}

void spool_limit_bad(struct spool *s, uint64_t max_bytes)
{
    s->bad_max_bytes = max_bytes;
}

/* A directory stream of its own, so that several passes do not share a position. */
static DIR *open_stream(int dir_fd, const char *spool_path, struct err *e)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        err_set_errno(e, ERR_FATAL, errno, "cannot list a directory of %s", spool_path);
        if (fd >= 0)
            close(fd);
    }
    return dir;
}

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

bool spool_clean(struct spool *s, struct err *e)
{
    DIR *dir = open_stream(s->tmp_fd, s->path, e);
    if (dir == NULL)
        return false;
    bool ok = true;
    for (struct dirent *d; ok && (d = readdir(dir)) != NULL;)
        if (!is_dot(d->d_name) && unlinkat(s->tmp_fd, d->d_name, 0) != 0 && errno != ENOENT)
            ok = err_set_errno(e, ERR_FATAL, errno, "cannot remove %s/tmp/%s", s->path, d->d_name);
    closedir(dir);
    return ok;
}

/* ---------------------------------------------------------------- writer */

static void item_init(struct spool_item *out, uint64_t row, const char *track_id, size_t n_bytes)
{
    *out = (struct spool_item){.row = row, .bytes = n_bytes};
    snprintf(out->track_id, sizeof out->track_id, "%s", track_id);
    spool_name(out->name, row, track_id);
}

/* A new file in tmp/. One that is there may be a link to a file of the user's: it is never opened
 * for writing, only taken away. */
static int make_file(struct spool *s, const struct spool_item *item)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = openat(s->tmp_fd, item->name, flags, 0644);
    if (fd < 0 && errno == EEXIST && unlinkat(s->tmp_fd, item->name, 0) == 0)
        fd = openat(s->tmp_fd, item->name, flags, 0644);
    return fd;
}

bool spool_write(struct spool *s, uint64_t row, const char *track_id, struct span bytes,
                 struct spool_item *out, struct err *e)
{
    item_init(out, row, track_id, bytes.len);
    int fd = make_file(s, out);
    if (fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot make %s/tmp/%s", s->path, out->name);
    bool ok = file_write_fd(fd, bytes, e);
    if (ok)
        (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* only starts it; a hint */
    close(fd);
    if (!ok) {
        unlinkat(s->tmp_fd, out->name, 0);
        return err_wrap(e, "%s/tmp/%s", s->path, out->name);
    }
    return true;
}

static bool clone_file(struct spool *s, const struct spool_item *item, int from_fd)
{
    int fd = make_file(s, item);
    bool ok = fd >= 0 && ioctl(fd, FICLONE, from_fd) == 0;
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && !ok)
        unlinkat(s->tmp_fd, item->name, 0);
    return ok;
}

/* The open file itself and not what its name may have become. */
static bool link_file(struct spool *s, const struct spool_item *item, int from_fd)
{
    char from[64];
    snprintf(from, sizeof from, "/proc/self/fd/%d", from_fd);
    return linkat(AT_FDCWD, from, s->tmp_fd, item->name, AT_SYMLINK_FOLLOW) == 0;
}

bool spool_adopt(struct spool *s, uint64_t row, const char *track_id, int fd, struct span bytes,
                 struct spool_item *out, struct err *e)
{
    item_init(out, row, track_id, bytes.len);
    return clone_file(s, out, fd) || link_file(s, out, fd) ||
           spool_write(s, row, track_id, bytes, out, e);
}

/* From so many on, one sync of the file system is cheaper than one of each file. */
enum { SYNC_ALL_FROM = 4 };

static bool sync_item(struct spool *s, const struct spool_item *item, struct err *e)
{
    int fd = openat(s->tmp_fd, item->name, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fdatasync(fd) == 0;
    if (!ok)
        err_set_errno(e, ERR_FATAL, errno, "cannot sync %s/tmp/%s", s->path, item->name);
    if (fd >= 0)
        close(fd);
    return ok;
}

bool spool_publish(struct spool *s, const struct spool_item *items, size_t n, struct err *e)
{
    if (n == 0)
        return true;
    if (n >= SYNC_ALL_FROM && syncfs(s->tmp_fd) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot sync %s/tmp", s->path);
    for (size_t i = 0; n < SYNC_ALL_FROM && i < n; i++)
        if (!sync_item(s, &items[i], e))
            return false;
    for (size_t i = 0; i < n; i++)
        if (renameat(s->tmp_fd, items[i].name, s->new_fd, items[i].name) != 0)
            return err_set_errno(e, ERR_FATAL, errno, "cannot move %s/tmp/%s to new/", s->path,
                                 items[i].name);
    return fsync(s->new_fd) == 0 ||
           err_set_errno(e, ERR_FATAL, errno, "cannot sync %s/new", s->path);
}

/* ---------------------------------------------------------------- reader */

bool spool_each(struct spool *s, spool_item_fn *fn, void *arg, struct err *e)
{
    DIR *dir = open_stream(s->new_fd, s->path, e);
    if (dir == NULL)
        return false;
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        struct spool_item item;
        struct stat st;
        if (!spool_name_parse(d->d_name, &item) ||
            fstatat(s->new_fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        item.bytes = (uint64_t)st.st_size;
        if (!fn(arg, &item))
            break;
    }
    closedir(dir);
    return true;
}

/* The smallest `max` names seen so far, as a binary heap with the largest on top. */
struct lowest {
    struct spool_item *items;
    size_t n, max;
};

static void swap_items(struct spool_item *a, struct spool_item *b)
{
    struct spool_item t = *a;
    *a = *b;
    *b = t;
}

static void heap_sink(struct spool_item *items, size_t n, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n)
            return;
        if (child + 1 < n && strcmp(items[child + 1].name, items[child].name) > 0)
            child++;
        if (strcmp(items[at].name, items[child].name) >= 0)
            return;
        swap_items(&items[at], &items[child]);
        at = child;
    }
}

static bool lowest_add(void *arg, const struct spool_item *item)
{
    struct lowest *l = arg;
    if (l->n == l->max) {
        if (strcmp(item->name, l->items[0].name) >= 0)
            return true;
        l->items[0] = *item;
        heap_sink(l->items, l->n, 0);
        return true;
    }
    size_t at = l->n++;
    l->items[at] = *item;
    for (; at > 0 && strcmp(l->items[at].name, l->items[(at - 1) / 2].name) > 0; at = (at - 1) / 2)
        swap_items(&l->items[at], &l->items[(at - 1) / 2]);
    return true;
}

bool spool_list(struct spool *s, struct spool_item *out, size_t max, size_t *out_n, struct err *e)
{
    struct lowest l = {.items = out, .max = max};
    *out_n = 0;
    if (max == 0)
        return true;
    if (!spool_each(s, lowest_add, &l, e))
        return false;
    for (size_t left = l.n; left > 1; left--) {
        swap_items(&out[0], &out[left - 1]);
        heap_sink(out, left - 1, 0);
    }
    *out_n = l.n;
    return true;
}

bool spool_read(struct spool *s, const struct spool_item *item, uint64_t max_bytes, struct buf *out,
                struct err *e)
{
    int fd = openat(s->new_fd, item->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    bool ok = false;
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_set_errno(e, ERR_PERM, errno, "cannot open %s/new/%s", s->path, item->name);
        goto out;
    }
    if ((uint64_t)st.st_size > max_bytes) {
        err_set(e, ERR_PERM, "%s/new/%s is %lld bytes, at most %" PRIu64 " are read", s->path,
                item->name, (long long)st.st_size, max_bytes);
        goto out;
    }
    size_t left = (size_t)st.st_size;
    if (!buf_reserve(out, left, e)) {
        err_wrap(e, "%s/new/%s", s->path, item->name);
        goto out;
    }
    while (left > 0) {
        ssize_t n = read(fd, out->data + out->len, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err_set_errno(e, ERR_PERM, n < 0 ? errno : EIO, "cannot read %s/new/%s", s->path,
                          item->name);
            goto out;
        }
        out->len += (size_t)n;
        left -= (size_t)n;
    }
    ok = true;
out:
    if (fd >= 0)
        close(fd);
    return ok;
}

bool spool_remove(struct spool *s, const struct spool_item *item, struct err *e)
{
    if (unlinkat(s->new_fd, item->name, 0) != 0 && errno != ENOENT)
        return err_set_errno(e, ERR_FATAL, errno, "cannot remove %s/new/%s", s->path, item->name);
    return true;
}

/* The item's name when `name` is the reason of one in bad/. */
static bool parse_why_name(const char *name, struct spool_item *out)
{
    size_t len = strlen(name), suffix_len = sizeof why_suffix - 1;
    char stem[SPOOL_NAME_BYTES];
    if (len <= suffix_len || len - suffix_len >= sizeof stem ||
        strcmp(name + len - suffix_len, why_suffix) != 0)
        return false;
    memcpy(stem, name, len - suffix_len);
    stem[len - suffix_len] = '\0';
    return spool_name_parse(stem, out);
}

static bool measure_bad(struct spool *s, uint64_t *out_files, uint64_t *out_bytes, struct err *e)
{
    *out_files = *out_bytes = 0;
    DIR *dir = open_stream(s->bad_fd, s->path, e);
    if (dir == NULL)
        return false;
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        struct spool_item item;
        struct stat st;
        if (parse_why_name(d->d_name, &item))
            ++*out_files;
        else if (spool_name_parse(d->d_name, &item) &&
                 fstatat(s->bad_fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            *out_bytes += (uint64_t)st.st_size;
    }
    closedir(dir);
    return true;
}

/* Counts bad/ at first, and now and then when it seems full: people take from it. */
static bool has_bad_room(struct spool *s, uint64_t n_bytes, bool *out, struct err *e)
{
    enum { COUNT_EACH = 64 };
    uint64_t n_files;
    for (bool is_fresh = false;; is_fresh = true) {
        *out = s->n_uncounted > 0 && s->bad_bytes <= s->bad_max_bytes &&
               n_bytes <= s->bad_max_bytes - s->bad_bytes;
        bool is_due = s->n_uncounted == 0 || (!*out && s->n_uncounted >= COUNT_EACH);
        if (is_fresh || !is_due)
            break;
        if (!measure_bad(s, &n_files, &s->bad_bytes, e))
            return false;
        s->n_uncounted = 1;
    }
    s->n_uncounted++;
    s->bad_bytes += *out ? n_bytes : 0;
    return true;
}

/* The reason goes first: an item in bad/ always has one; a reason without its item is written over
 * when the item is set aside again. */
bool spool_set_aside(struct spool *s, const struct spool_item *item, const char *cause,
                     const char *why, struct err *e)
{
    char path[PATH_BYTES], text[WHY_BYTES];
    int path_len = snprintf(path, sizeof path, "%s/bad/%s%s", s->path, item->name, why_suffix);
    if (path_len < 0 || path_len >= (int)sizeof path)
        return err_set(e, ERR_FATAL, "the path %.80s... is longer than %d bytes", path, PATH_BYTES);
    int len = snprintf(text, sizeof text, "%.*s %s", SPOOL_CAUSE_BYTES - 1, cause, why);
    size_t text_len = size_min((size_t)len, sizeof text - 2);
    for (size_t i = 0; i < text_len; i++)
        if (text[i] == '\n' || text[i] == '\r')
            text[i] = ' ';
    text[text_len] = '\n';
    if (!file_write_atomic(path, (struct span){text, text_len + 1}, e))
        return false;
    bool has_room;
    if (!has_bad_room(s, item->bytes, &has_room, e))
        return false;
    if (!has_room)
        return spool_remove(s, item, e);
    if (renameat(s->new_fd, item->name, s->bad_fd, item->name) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot move %s/new/%s to bad/", s->path,
                             item->name);
    return fsync(s->bad_fd) == 0 ||
           err_set_errno(e, ERR_FATAL, errno, "cannot sync %s/bad", s->path);
}

bool spool_keep(struct spool *s, const struct spool_item *item, const char *dir, struct err *e)
{
    char path[PATH_BYTES];
    if (!file_make_dir(dir, e) || !path_join(path, dir, item->name, e))
        return false;
    if (renameat(s->new_fd, item->name, AT_FDCWD, path) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot move %s/new/%s to %s", s->path,
                             item->name, path);
    return true;
}

/* ---------------------------------------------------------------- both */

static bool add_usage(void *arg, const struct spool_item *item)
{
    struct spool_usage *usage = arg;
    usage->new_files++;
    usage->new_bytes += item->bytes;
    return true;
}

bool spool_measure(struct spool *s, struct spool_usage *out, struct err *e)
{
    *out = (struct spool_usage){0};
    return spool_each(s, add_usage, out, e) && measure_bad(s, &out->bad_files, &out->bad_bytes, e);
}

bool spool_each_bad(struct spool *s, spool_bad_fn *fn, void *arg, struct err *e)
{
    DIR *dir = open_stream(s->bad_fd, s->path, e);
    if (dir == NULL)
        return false;
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        struct spool_item item;
        char text[WHY_BYTES];
        if (!parse_why_name(d->d_name, &item))
            continue;
        int fd = openat(s->bad_fd, d->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        if (fd >= 0)
            close(fd);
        if (n < 0)
            continue; /* gone between the listing and now */
        text[n] = '\0';
        text[strcspn(text, "\n")] = '\0';
        char *why = strchr(text, ' ');
        if (why != NULL)
            *why++ = '\0';
        text[size_min(strlen(text), SPOOL_CAUSE_BYTES - 1)] = '\0';
        fn(arg, item.row, text, why == NULL ? "" : why);
    }
    closedir(dir);
    return true;
}
