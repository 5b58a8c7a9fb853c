/*
 * Kaldi's archives to be imported: any bytes.
 */
#include "tests/fuzz/store/import_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool parse(struct import_stream *s, const struct import_sink *sink, struct err *e)
{
    return import_ark(s, sink, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_streams(data, size, parse);
    return 0;
}
