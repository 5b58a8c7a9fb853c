#include "base/npy.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NPY_ALIGN = 64, NPY_HEADER_BYTES = 512, NPY_PREFIX_BYTES = 10 };

/* The magic string, then version 1.0. */
static const char magic[8] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0};

size_t npy_header(char *out, size_t cap, const char *descr, const uint64_t *shape, size_t n_dims)
{
    assert(cap >= NPY_HEADER_BYTES);
    assert(n_dims <= 8);
    char *at = out + NPY_PREFIX_BYTES;
    size_t room = NPY_HEADER_BYTES - NPY_PREFIX_BYTES;
    size_t len =
        (size_t)snprintf(at, room, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (size_t i = 0; i < n_dims; i++)
        len += (size_t)snprintf(at + len, room - len, "%" PRIu64 "%s", shape[i],
                                n_dims == 1      ? ","
                                : i + 1 < n_dims ? ", "
                                                 : "");
    len += (size_t)snprintf(at + len, room - len, "), }");

    size_t total = (NPY_PREFIX_BYTES + len + 1 + NPY_ALIGN - 1) / NPY_ALIGN * NPY_ALIGN;
    assert(total <= NPY_HEADER_BYTES);
    memset(at + len, ' ', total - NPY_PREFIX_BYTES - len);
    out[total - 1] = '\n';
    memcpy(out, magic, sizeof magic);
    uint16_t header_len = (uint16_t)(total - NPY_PREFIX_BYTES);
    memcpy(out + 8, &header_len, sizeof header_len);
    return total;
}

bool npy_write(const char *path, const char *descr, const uint64_t *shape, size_t n_dims,
               struct span bytes, struct err *e)
{
    char header[NPY_HEADER_BYTES];
    size_t header_len = npy_header(header, sizeof header, descr, shape, n_dims);
    struct buf file;
    buf_init(&file, header_len + bytes.len);
    bool ok = buf_append(&file, header, header_len, e) &&
              buf_append(&file, bytes.ptr, bytes.len, e) &&
              file_write_atomic(path, buf_span(&file), e);
    buf_release(&file);
    return ok;
}
