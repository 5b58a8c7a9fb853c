#include "store/list.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_ITEMS = 8192 };

static int nameless_file(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    char path[PATH_BYTES]; /* file systems without O_TMPFILE */
    struct err ignored;
    if (!path_join(path, dir, ".refrain-list-XXXXXX", &ignored))
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

bool list_begin(struct list_writer *w, const char *dir, struct err *e)
{
    int fd = nameless_file(dir);
    if (fd < 0)
        fd = nameless_file("/tmp"); /* the data set is read-only */
    if (fd < 0)
        fd = memfd_create("refrain-list", MFD_CLOEXEC);
    if (fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot make a temporary file for %s", dir);
    *w = (struct list_writer){.fd = fd, .chunk = mem_alloc(CHUNK_ITEMS, sizeof *w->chunk)};
    return true;
}

static bool flush(struct list_writer *w, struct err *e)
{
    size_t n = w->n_chunk;
    w->n_chunk = 0;
    return n == 0 || file_write_fd(w->fd, (struct span){w->chunk, n * sizeof *w->chunk}, e);
}

bool list_add(struct list_writer *w, uint64_t item, struct err *e)
{
    w->chunk[w->n_chunk++] = item;
    w->n++;
    return w->n_chunk < CHUNK_ITEMS || flush(w, e);
}

bool list_finish(struct list_writer *w, bool ok, struct list *out, struct err *e)
{
    struct list list = {.n = w->n, .map_bytes = w->n * sizeof *w->chunk};
    ok = ok && flush(w, e);
    if (ok && list.n > 0) {
        void *map = mmap(NULL, list.map_bytes, PROT_READ, MAP_SHARED, w->fd, 0);
        if (map == MAP_FAILED)
            ok = err_set_errno(e, ERR_FATAL, errno, "cannot map a list of %zu numbers", list.n);
        else
            list.items = map;
    }
    close(w->fd);
    mem_free(w->chunk);
    *w = (struct list_writer){.fd = -1};
    if (ok)
        *out = list;
    return ok;
}

void list_release(struct list *list)
{
    if (list->items)
        munmap((void *)(uintptr_t)list->items, list->map_bytes);
    *list = (struct list){0};
}
