/*
 * Records: any bytes. As they come, and with the lengths in the header put right, without which
 * hardly a mutation would get past the header.
 */
#include "base/mem.h"
#include "store/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUES_MAX = 1 << 18, AT_PAYLOAD = 12 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* What decodes to levels decodes to the same levels in dB. */
static void decode(struct span record, const struct record_info *info)
{
    struct err e = {0};
    struct record_decoder *dec = record_decoder_new();
    size_t n = (size_t)info->n_frames * info->n_mels;
    float *db = mem_alloc(n, sizeof *db);
    uint8_t *levels = mem_alloc(n, 1);
    bool ok = record_decode(dec, record, db, n, &e);
    require(ok || e.kind == ERR_PERM);
    require(!record_decode(dec, record, db, n - 1, &e));
    if (record_decode_levels(dec, record, levels, n, &e)) {
        require(ok);
        for (size_t i = 0; i < n; i++) {
            float want = (float)levels[i] * info->scale + info->offset;
            require(memcmp(&db[i], &want, sizeof want) == 0 || want != want);
        }
    }
    mem_free(db);
    mem_free(levels);
    record_decoder_free(dec);
}

static void try_record(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct record_info info;
    struct span record = {data, size};
    struct span unpadded = record_unpad(record);
    require(unpadded.len <= size && unpadded.ptr == record.ptr);
    if (record_verify(record, &e))
        require(record_parse(record, &info, &e));
    if (!record_parse(record, &info, &e)) {
        require(e.kind == ERR_PERM);
        return;
    }
    if ((size_t)info.n_frames * info.n_mels <= VALUES_MAX)
        decode(record, &info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_record(data, size);
    if (size <= RECORD_HEADER_BYTES)
        return 0;
    uint8_t *repaired = mem_alloc(size, 1);
    uint32_t payload_bytes = (uint32_t)(size - RECORD_HEADER_BYTES);
    memcpy(repaired, data, size);
    memcpy(repaired + AT_PAYLOAD, &payload_bytes, sizeof payload_bytes);
    try_record(repaired, size);
    mem_free(repaired);
    return 0;
}
