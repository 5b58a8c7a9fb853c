/*
 * NumPy .npy version 1.0 (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html):
 * C-contiguous little-endian arrays, written atomically.
 */
#ifndef REFRAIN_NPY_H
#define REFRAIN_NPY_H

#include "base/err.h"

/* `descr` is NumPy's: "<f4", "<f8", "|u1", "<u8". `bytes` holds the product of shape, row-major. */
MUST_CHECK bool npy_write(const char *path, const char *descr, const uint64_t *shape, size_t n_dims,
                          struct span bytes, struct err *e);

/* Writes the header alone (a multiple of 64 bytes) to out[cap]; returns its length. */
size_t npy_header(char *out, size_t cap, const char *descr, const uint64_t *shape, size_t n_dims);

#endif
