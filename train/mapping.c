#include "train/mapping.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

bool mapping_init(struct mapping *m, const char *dir, size_t bytes, struct err *e)
{
    char path[PATH_BYTES];
    *m = (struct mapping){0};
    if (bytes == 0)
        return true;
    if (!path_join(path, dir, ".train-XXXXXX", e))
        return false;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "%s: cannot make a temporary file", path);
    unlink(path);
    /* fallocate and not ftruncate: a full disk is an error here, not a SIGBUS later. */
    int failed = posix_fallocate(fd, 0, (off_t)bytes);
    void *base =
        failed != 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int errnum = failed != 0 ? failed : errno;
    close(fd);
    if (base == MAP_FAILED)
        return err_set_errno(e, ERR_FATAL, errnum, "%s: cannot map %zu bytes of temporary file",
                             dir, bytes);
    *m = (struct mapping){base, bytes};
    return true;
}

void mapping_release(struct mapping *m)
{
    if (m->base != NULL)
        munmap(m->base, m->bytes);
    *m = (struct mapping){0};
}
