/* Any bytes: parsed or refused, and what is parsed lies inside the file. */
#include "base/err.h"
#include "train/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors st;
    struct err e = {0};
    if (safetensors_parse((struct span){data, size}, &st, &e)) {
        size_t sum = 0;
        for (size_t i = 0; i < st.n_tensors; i++) {
            const uint8_t *bytes = st.tensors[i].bytes;
            if (bytes < data || bytes + st.tensors[i].n_bytes > data + size)
                abort();
            for (size_t k = 0; k < st.tensors[i].n_bytes; k++)
                sum += bytes[k];
        }
        if (sum == SIZE_MAX)
            abort();
    } else if (e.msg[0] == '\0') {
        abort();
    }
    safetensors_release(&st);
    return 0;
}
