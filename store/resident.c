#include "store/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/*
 * Pages of the map that reads have touched count as this process's resident memory until the kernel
 * wants them back, though they are its cache: a process that has passed through 4 GB of records
 * shows 4 GB. Unmapped (MADV_DONTNEED on a shared mapping of a file), they stay in the cache, and
 * the next read maps them again. A fault maps cached neighbours, too, 64 KiB or a whole large
 * folio, up to 2 MiB, other records among them: so the whole map is dropped and not the records
 * that were read. LMDB does not say where it lies; the kernel does.
 */
enum { TOUCHED_MAX = 32 }; /* records; with their neighbours at most 64 MiB or so */

/* A line of /proc/self/maps: "start-end perms offset major:minor inode path". */
static void drop_if_of(const char *line, const struct stat *file)
{
    uintptr_t start, end;
    unsigned major_dev, minor_dev;
    uint64_t inode;
    char perms[8];
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s %*x %x:%x %" SCNu64, &start, &end, perms,
               &major_dev, &minor_dev, &inode) == 6 &&
        inode == file->st_ino && perms[3] == 's' && makedev(major_dev, minor_dev) == file->st_dev)
        madvise((void *)start, end - start, MADV_DONTNEED);
}

static void drop_pages(struct store *s)
{
    struct stat file;
    char line[512];
    int fd, saved_errno = errno;
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps != NULL && mdb_env_get_fd(s->env.mdb, &fd) == MDB_SUCCESS && fstat(fd, &file) == 0)
        while (fgets(line, sizeof line, maps) != NULL)
            drop_if_of(line, &file);
    if (maps != NULL)
        fclose(maps);
    errno = saved_errno;
}

void store_stay_small(struct store *s)
{
    s->stays_small = true;
}

void store_touched(struct store *s)
{
    if (s->stays_small && atomic_fetch_add(&s->n_touched, 1) % TOUCHED_MAX == TOUCHED_MAX - 1)
        drop_pages(s);
}
