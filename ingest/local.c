#include "ingest/local.h"

#include "base/mem.h"
#include "ingest/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char scheme[] = "file://";

struct local {
    const char *root;
    size_t root_len; /* without slashes at its end */
    int root_fd;     /* -1: not opened yet */
    struct buf bytes;
};

/* ---------------------------------------------------------------- links and paths */

bool local_is_link(const char *url)
{
    return strncasecmp(url, scheme, sizeof scheme - 1) == 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* No empty, "." or ".." part: one spelling for one file. */
static bool path_is_plain(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *at = path; *at == '/';) {
        size_t n = strcspn(at + 1, "/");
        bool is_dots = (n == 1 && at[1] == '.') || (n == 2 && at[1] == '.' && at[2] == '.');
        if (n == 0 || is_dots)
            return false;
        at += 1 + n;
    }
    return true;
}

bool local_path(const char *url, char out[PATH_BYTES])
{
    size_t n = 0;
    if (!local_is_link(url))
        return false;
    const char *at = url + sizeof scheme - 1;
    if (strncasecmp(at, "localhost/", strlen("localhost/")) == 0)
        at += strlen("localhost");
    for (; *at != '\0'; at++) {
        char c = *at;
        if (c == '%') {
            int high = hex_value(at[1]), low = high < 0 ? -1 : hex_value(at[2]);
            if (low < 0 || (high == 0 && low == 0))
                return false;
            c = (char)(unsigned char)(high * 16 + low);
            at += 2;
        }
        if (n == PATH_BYTES - 1)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return path_is_plain(out);
}

bool local_link(const char *path, char out[URL_BYTES_MAX])
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~/!$&'()*+=:@";
    if (!path_is_plain(path))
        return false;
    size_t n = sizeof scheme - 1;
    memcpy(out, scheme, n);
    for (; *path != '\0'; path++) {
        bool is_plain = strchr(plain, *path) != NULL;
        if (n + (is_plain ? 1 : 3) >= URL_BYTES_MAX)
            return false;
        if (is_plain)
            out[n++] = *path;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)*path);
    }
    out[n] = '\0';
    return true;
}

bool local_normalize(const char *text, char out[URL_BYTES_MAX])
{
    char path[PATH_BYTES] = "";
    if (local_path(text, path) && local_link(path, out))
        return true;
    out[0] = '\0';
    return false;
}

/* ---------------------------------------------------------------- the folder */

struct local *local_new(const char *root, uint64_t max_bytes)
{
    struct local *l = mem_zalloc(1, sizeof *l);
    l->root = root != NULL ? root : "";
    l->root_len = strlen(l->root);
    while (l->root_len > 1 && l->root[l->root_len - 1] == '/')
        l->root_len--;
    l->root_fd = -1;
    buf_init(&l->bytes, max_bytes);
    return l;
}

void local_free(struct local *l)
{
    if (l == NULL)
        return;
    if (l->root_fd >= 0)
        close(l->root_fd);
    buf_release(&l->bytes);
    mem_free(l);
}

/* The part of the path that lies beneath the folder; NULL when it does not. */
static const char *beneath(const struct local *l, const char *path)
{
    if (l->root[0] != '/' || strncmp(path, l->root, l->root_len) != 0)
        return NULL;
    if (l->root_len == 1)
        return path + 1;
    return path[l->root_len] == '/' ? path + l->root_len + 1 : NULL;
}

static bool open_root(struct local *l, struct err *e)
{
    if (l->root_fd < 0)
        l->root_fd = open(l->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return l->root_fd >= 0 ||
           err_set_errno(e, ERR_FATAL, errno,
                         "cannot open the folder fetch.file_root = %s: is its disk there?",
                         l->root);
}

static void end_with(struct local_end *out, enum row_state state, const char *cause)
{
    out->state = state;
    snprintf(out->cause, sizeof out->cause, "%s", cause);
}

/* *out_fd is -1 when the row has ended. */
static bool open_file(struct local *l, const char *path, int *out_fd, struct local_end *out,
                      struct err *e)
{
    const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    struct stat st;
    *out_fd = -1;
    int fd = (int)syscall(SYS_openat2, l->root_fd, path, &how, sizeof how);
    if (fd < 0 && errno == ENOSYS)
        return err_set(e, ERR_FATAL, "file:// links need openat2, Linux 5.6 or later");
    if (fd < 0 && (errno == EXDEV || errno == ELOOP))
        end_with(out, ROW_DEAD, "file_refused");
    else if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        end_with(out, ROW_GONE, "file_gone");
    else if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        end_with(out, ROW_DEAD, "file_unreadable");
    else if ((uint64_t)st.st_size > l->bytes.max_bytes)
        end_with(out, ROW_REJECTED, "too_large");
    else
        *out_fd = fd;
    if (fd >= 0 && *out_fd < 0)
        close(fd);
    return true;
}

/* False when it cannot be read, or grew beyond the limit. */
static bool read_file(struct local *l, int fd)
{
    struct err ignored = {0};
    struct stat st;
    buf_reset(&l->bytes);
    if (fstat(fd, &st) != 0 || !buf_reserve(&l->bytes, (size_t)st.st_size, &ignored))
        return false;
    for (size_t left = (size_t)st.st_size; left > 0;) {
        ssize_t n = read(fd, l->bytes.data + l->bytes.len, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0)
            break;
        l->bytes.len += (size_t)n;
        left -= (size_t)n;
    }
    return true;
}

/* ---------------------------------------------------------------- taking */

bool local_take(struct local *l, struct spool *s, uint64_t row, const char *track_id,
                const char *url, struct local_end *out, struct err *e)
{
    char path[PATH_BYTES] = "";
    int fd;
    *out = (struct local_end){0};
    const char *rest = local_path(url, path) ? beneath(l, path) : NULL;
    if (rest == NULL || rest[0] == '\0') {
        end_with(out, ROW_DEAD, "file_refused");
        return true;
    }
    if (!open_root(l, e) || !open_file(l, rest, &fd, out, e))
        return false;
    if (fd < 0)
        return true;
    bool ok = true;
    const struct verify_facts facts = {.has_length = true};
    struct verify v = {0};
    if (!read_file(l, fd))
        end_with(out, ROW_DEAD, "file_unreadable");
    else {
        enum sniff_verdict sniff = verify_end(&v, buf_span(&l->bytes), &facts);
        struct retry_verdict verdict = retry_classify(NET_OK, 200, sniff);
        end_with(out, verdict.end, verdict.cause);
        if (sniff == SNIFF_AUDIO)
            ok = spool_adopt(s, row, track_id, fd, buf_span(&l->bytes), &out->item, e);
    }
    close(fd);
    return ok;
}
