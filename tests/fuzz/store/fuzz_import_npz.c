/*
 * Zips of NumPy arrays to be imported: any bytes, and the same with a directory at the end that
 * points at them, without which hardly a mutation would get that far.
 */
#include "base/mem.h"
#include "tests/fuzz/store/import_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_zip(const uint8_t *data, size_t size)
{
    struct import_input in;
    struct err e = {0};
    size_t n = 0;
    const struct import_sink sink = fuzz_sink(&n);
    import_input_memory(&in, (struct span){data, size}, "fuzz");
    fuzz_judge(import_npz(&in, &sink, &e), &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t end[22] = {'P', 'K', 5, 6, [8] = 1, [10] = 1};
    try_zip(data, size);
    const uint8_t *entry = size > 0 ? memmem(data, size, "PK\1\2", 4) : NULL;
    if (!entry)
        return 0;
    uint8_t *repaired = mem_alloc(size + sizeof end, 1);
    uint32_t at = (uint32_t)(entry - data), n_bytes = (uint32_t)size - at;
    memcpy(repaired, data, size);
    memcpy(repaired + size, end, sizeof end);
    memcpy(repaired + size + 12, &n_bytes, 4);
    memcpy(repaired + size + 16, &at, 4);
    try_zip(repaired, size + sizeof end);
    mem_free(repaired);
    return 0;
}
