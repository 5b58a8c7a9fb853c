/*
 * WebDataset's tars to be imported: any bytes, and the same with the first header's
 * checksum put right, without which hardly a mutation would get past it.
 */
#include "base/mem.h"
#include "store/tar.h"
#include "tests/fuzz/store/import_fuzz.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool parse(struct import_stream *s, const struct import_sink *sink, struct err *e)
{
    return import_tar(s, sink, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tar_header h;
    fuzz_streams(data, size, parse);
    if (size < sizeof h)
        return 0;
    uint8_t *repaired = mem_alloc(size, 1);
    memcpy(&h, data, sizeof h);
    snprintf(h.checksum, sizeof h.checksum, "%06o", tar_checksum(&h));
    memcpy(repaired, data, size);
    memcpy(repaired, &h, sizeof h);
    fuzz_streams(repaired, size, parse);
    mem_free(repaired);
    return 0;
}
