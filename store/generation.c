#include "store/generation.h"

#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "DIR/features.mdb" to "DIR/features.7.mdb". */
static bool generation_folder(const char *folder, uint32_t n, char out[PATH_BYTES], struct err *e)
{
    int stem_bytes = (int)strlen(folder) - (int)strlen(".mdb");
    int len = snprintf(out, PATH_BYTES, "%.*s.%" PRIu32 ".mdb", stem_bytes, folder, n);
    return (len > 0 && len < PATH_BYTES) ||
           err_set(e, ERR_PERM, "the path %.80s... is longer than %d bytes", folder, PATH_BYTES);
}

bool store_generation(const char *path, uint32_t n, char out_folder[PATH_BYTES])
{
    char folder[PATH_BYTES];
    struct err ignored;
    return store_folder(folder, path, &ignored) &&
           generation_folder(folder, n, out_folder, &ignored) && file_exists(out_folder);
}

/* The folder that holds `folder`. */
static bool parent_sync(const char *folder, struct err *e)
{
    char parent[PATH_BYTES];
    const char *slash = strrchr(folder, '/');
    int len = slash ? (int)(slash - folder) : 0;
    snprintf(parent, sizeof parent, "%.*s", len > 0 ? len : 1,
             len > 0 ? folder
             : slash ? "/"
                     : ".");
    return file_sync_dir(parent, e);
}

static bool folder_rename(const char *folder, char out_folder[PATH_BYTES], struct err *e)
{
    for (uint32_t n = 1; n <= STORE_GENERATIONS_MAX; n++) {
        if (!generation_folder(folder, n, out_folder, e))
            return false;
        if (file_exists(out_folder))
            continue;
        if (rename(folder, out_folder) != 0)
            return err_set_errno(e, ERR_FATAL, errno, "cannot rename %.150s to %.150s", folder,
                                 out_folder);
        return parent_sync(folder, e);
    }
    return err_set(e, ERR_PERM, "%s has %d retired generations already: remove some", folder,
                   STORE_GENERATIONS_MAX);
}

bool store_retire(const char *path, char out_folder[PATH_BYTES], struct err *e)
{
    char folder[PATH_BYTES], lock[PATH_BYTES];
    int lock_fd;
    if (!store_exists(path))
        return err_set(e, ERR_PERM, "%s holds no store", path);
    if (!store_folder(folder, path, e) || !path_join(lock, folder, "writer.lock", e) ||
        !file_lock(lock, &lock_fd, e))
        return false;
    bool ok = folder_rename(folder, out_folder, e);
    close(lock_fd); /* a writer that waits for this name begins a folder of its own */
    return ok;
}
