/*
 * PyTorch's own files (.pth, .pt), both layouts, as tensors by name. Nothing in them is executed:
 * train/pickle.h.
 *
 * - Since PyTorch 1.6: a zip archive of stored members, NAME/data.pkl and NAME/data/KEY, one member
 *   a storage. Members that are used have their CRC checked.
 * - Before: four pickles (a magic number, the protocol 1001, the machine, the tensors), a fifth
 * with the keys of the storages in order, then each storage as u64 elements and its bytes.
 *
 * The tensors are those of a state_dict, at the root or under "state_dict", "model_state_dict" or
 * "model" in a checkpoint. Strides and shared storages are honoured.
 */
#ifndef REFRAIN_PTH_H
#define REFRAIN_PTH_H

#include "train/safetensors.h"

/* A limit on the copies of tensors that are not contiguous, which one storage may feed many times.
 */
#define PTH_COPIES_MAX_BYTES ((size_t)1 << 30)

struct pth {
    struct safetensors tensors; /* bytes lent by the file, or by copies */
    void **copies;
    size_t n_copies, cap_copies, copies_bytes;
};

/* By its first bytes. */
bool pth_is_one(struct span file);

/* `file` stays lent while `out` is used. Anything else than such a file is ERR_PERM. `out` must be
 * released in any case. */
MUST_CHECK bool pth_parse(struct span file, struct pth *out, struct err *e);
void pth_release(struct pth *p); /* safe on {0}, may run twice */

#endif
