/*
 * JSON beside arrays: any bytes as a description of an export, and as a value to be skipped.
 */
#include "store/import_description.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void try_description(const uint8_t *data, size_t size)
{
    struct import_description d = {0};
    struct import_described clip;
    struct err e = {0};
    bool more = true, found = false;
    buf_init(&d.text, size + 1);
    require(size == 0 || buf_append(&d.text, data, size, &e));
    bool ok = import_description_parse(&d, &found, &e);
    require(ok || e.kind == ERR_PERM);
    while (ok && found && more) {
        ok = import_description_next(&d, &clip, &more, &e);
        require(ok || e.kind == ERR_PERM);
        require(!ok || !more || strlen(clip.track_id) < sizeof clip.track_id);
    }
    import_description_close(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_scan j;
    struct err e = {0};
    try_description(data, size);
    json_scan_init(&j, (struct span){data, size});
    if (json_scan_skip(&j, &e))
        require(j.depth == 0 && j.at <= j.end);
    else
        require(e.kind == ERR_PERM);
    return 0;
}
