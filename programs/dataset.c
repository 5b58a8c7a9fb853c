#include "programs/dataset.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool dataset_open(const char *dir, struct dataset *out, struct err *e)
{
    struct stat st;
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return err_set(e, ERR_USAGE,
                       "%s is not a directory: make a data set with `refrain init DIR --csv FILE`",
                       dir);
    if (strlen(dir) >= sizeof out->dir)
        return err_set(e, ERR_USAGE, "the path is longer than %d bytes", PATH_BYTES - 1);
    snprintf(out->dir, sizeof out->dir, "%s", dir);

    char path[PATH_BYTES];
    if (!path_join(path, dir, "refrain.conf", e))
        return false;
    if (!file_exists(path))
        return err_set(
            e, ERR_USAGE,
            "%s holds no refrain.conf: make a data set with `refrain init DIR --csv FILE`", dir);
    return settings_load(path, &out->settings, e);
}
