/* Any bytes as a CSV: the reader must come to an end, report lines in order and give clean text. */
#include "base/mem.h"
#include "ingest/csv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    for (; *text != '\0'; text++)
        assert((unsigned char)*text >= 0x20 && *text != 0x7F);
}

static void read_all(const uint8_t *data, size_t size)
{
    struct csv_reader *r = NULL;
    struct csv_row row;
    struct csv_bad bad;
    struct err e = {0};
    if (size == 0)
        return; /* fmemopen has no empty files */
    FILE *stream = fmemopen((void *)(uintptr_t)data, size, "r");
    assert(stream != NULL);
    if (!csv_reader_open_stream(stream, "fuzz", &r, &e)) {
        assert(e.kind != ERR_NONE && e.msg[0] != '\0');
        return;
    }
    if (data[0] & 1)
        csv_reader_leave_open_tail(r);
    uint64_t line = 1;
    for (;;) {
        enum csv_event event = csv_reader_next(r, &row, &bad, &e);
        if (event == CSV_END || event == CSV_FAILED)
            break;
        uint64_t at = event == CSV_ROW ? row.line : bad.line;
        assert(at > line);
        line = at;
        for (size_t i = 0; event == CSV_ROW && i < CSV_COLUMNS; i++)
            check_text(row.fields[i]);
        assert(event == CSV_ROW || (bad.cause[0] != '\0' && bad.why[0] != '\0'));
    }
    csv_reader_close(r);
}

/* A damaged header ends it all, so the bytes are tried as rows behind a good one as well. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char header[] = "track_id,name,artist,spotify_preview_url,tags\n";
    uint8_t *rows = mem_alloc(sizeof header - 1 + size, 1);
    memcpy(rows, header, sizeof header - 1);
    if (size > 0)
        memcpy(rows + sizeof header - 1, data, size);
    read_all(data, size);
    read_all(rows, sizeof header - 1 + size);
    mem_free(rows);
    return 0;
}
