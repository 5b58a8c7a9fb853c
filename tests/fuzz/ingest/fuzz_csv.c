/* Any bytes as a CSV: the reader must come to an end, report lines in order and give clean text. */
#include "ingest/csv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    for (; *text != '\0'; text++)
        assert((unsigned char)*text >= 0x20 && *text != 0x7F);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csv_reader *r = NULL;
    struct csv_row row;
    struct csv_bad bad;
    struct err e = {0};
    if (size == 0)
        return 0; /* fmemopen has no empty files */
    FILE *stream = fmemopen((void *)(uintptr_t)data, size, "r");
    assert(stream != NULL);
    if (!csv_reader_open_stream(stream, "fuzz", &r, &e)) {
        assert(e.kind != ERR_NONE && e.msg[0] != '\0');
        return 0;
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
    return 0;
}
