#include "store/draft.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_BUFFER_BYTES = 1 << 20 };

bool draft_open(struct draft *d, const char *path, struct err *e)
{
    *d = (struct draft){0};
    int n = snprintf(d->temp, sizeof d->temp, "%s.XXXXXX", path);
    if (n < 0 || n >= (int)sizeof d->temp) {
        d->temp[0] = '\0';
        return err_set(e, ERR_PERM, "the path %.80s... is longer than %d bytes", path, PATH_BYTES);
    }
    snprintf(d->path, sizeof d->path, "%s", path);
    int fd = mkstemp(d->temp);
    if (fd < 0) {
        d->temp[0] = '\0';
        return err_set_errno(e, ERR_FATAL, errno, "cannot make a file beside %s", path);
    }
    d->file = fdopen(fd, "w");
    assert(d->file);
    setvbuf(d->file, NULL, _IOFBF, WRITE_BUFFER_BYTES);
    return true;
}

bool draft_write(struct draft *d, const void *bytes, size_t n_bytes, struct err *e)
{
    return n_bytes == 0 || fwrite(bytes, 1, n_bytes, d->file) == n_bytes ||
           err_set_errno(e, ERR_FATAL, errno, "cannot write %s", d->path);
}

bool draft_keep(struct draft *d, struct err *e)
{
    bool ok = !ferror(d->file) && fflush(d->file) == 0 && fchmod(fileno(d->file), 0644) == 0 &&
              fdatasync(fileno(d->file)) == 0;
    ok = fclose(d->file) == 0 && ok;
    d->file = NULL;
    if (!ok || rename(d->temp, d->path) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot write %s", d->path);
    d->temp[0] = '\0';
    return true;
}

void draft_drop(struct draft *d)
{
    if (d->file)
        fclose(d->file);
    if (d->temp[0])
        unlink(d->temp);
    *d = (struct draft){0};
}
