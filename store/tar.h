/*
 * The header of a tar member, POSIX.1-1988 ustar, as export writes and import reads it.
 */
#ifndef REFRAIN_STORE_TAR_H
#define REFRAIN_STORE_TAR_H

#include "base/base.h"

enum { TAR_BLOCK_BYTES = 512 };

struct tar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
static_assert(sizeof(struct tar_header) == TAR_BLOCK_BYTES, "a block");

/* The sum of the header's bytes, those of the checksum counted as blanks. */
static inline unsigned tar_checksum(const struct tar_header *h)
{
    const uint8_t *bytes = (const uint8_t *)h;
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof *h; i++) {
        bool own =
            i >= offsetof(struct tar_header, checksum) && i < offsetof(struct tar_header, type);
        sum += own ? ' ' : bytes[i];
    }
    return sum;
}

#endif
