/* Any bytes as a .pth file and as a bare pickle: read or refused with a sentence, and what is read
 * can be read to its last byte. */
#include "train/pickle.h"
#include "train/pth.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_file(struct span file)
{
    struct pth p;
    struct err e = {0};
    unsigned sum = 0;
    if (!pth_parse(file, &p, &e) && e.msg[0] == '\0')
        abort();
    for (size_t i = 0; i < p.tensors.n_tensors; i++)
        for (size_t k = 0; k < p.tensors.tensors[i].n_bytes; k++)
            sum += ((const uint8_t *)p.tensors.tensors[i].bytes)[k];
    if (sum == UINT32_MAX)
        abort();
    pth_release(&p);
}

static void as_pickle(struct span bytes)
{
    struct pickle p;
    struct err e = {0};
    size_t used = 0;
    uint32_t root = 0;
    pickle_init(&p);
    if (pickle_run(&p, bytes, &used, &root, &e)) {
        if (used > bytes.len || root >= p.n_values)
            abort();
    } else if (e.msg[0] == '\0') {
        abort();
    }
    pickle_release(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_file((struct span){data, size});
    as_pickle((struct span){data, size});
    return 0;
}
