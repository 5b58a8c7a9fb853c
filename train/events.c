#include "train/events.h"

#include "base/file.h"

#include <math.h>
#include <string.h>

enum { FILE_MAX_BYTES = 256 << 20, EVENT_MAX_BYTES = 128, CRC_TABLE = 256 };

/* Every number of a row under its name: one list for both files. */
static const struct {
    const char *name, *tag;
    size_t offset;
} columns[] = {
    {"train_loss", "loss/train", offsetof(struct history_row, train_loss)},
    {"val_loss", "loss/validation", offsetof(struct history_row, val_loss)},
    {"baseline_loss", "loss/baseline", offsetof(struct history_row, baseline_loss)},
    {"active_share", "train/active_share", offsetof(struct history_row, active_share)},
    {"mean_positive", "train/distance_positive", offsetof(struct history_row, mean_positive)},
    {"mean_negative", "train/distance_negative", offsetof(struct history_row, mean_negative)},
    {"gradient_norm", "train/gradient_norm", offsetof(struct history_row, gradient_norm)},
    {"learning_rate", "train/learning_rate", offsetof(struct history_row, learning_rate)},
    {"clips_per_s", "speed/clips_per_s", offsetof(struct history_row, clips_per_s)},
    {"loader_wait", "speed/loader_wait", offsetof(struct history_row, loader_wait)},
    {"seconds", "speed/seconds", offsetof(struct history_row, seconds)},
};

static double column_value(const struct history_row *r, size_t c)
{
    double value;
    memcpy(&value, (const uint8_t *)r + columns[c].offset, sizeof value);
    return value;
}

bool history_write_jsonl(const struct history *h, const char *path, struct err *e)
{
    struct buf out;
    bool ok = true;
    buf_init(&out, FILE_MAX_BYTES);
    for (size_t i = 0; ok && i < h->n; i++) {
        const struct history_row *r = &h->rows[i];
        ok = buf_printf(&out, e, "{\"epoch\": %.0f, \"step\": %.0f", r->epoch, r->step);
        for (size_t c = 0; ok && c < ARRAY_LEN(columns); c++) {
            double value = column_value(r, c);
            ok = isfinite(value) ? buf_printf(&out, e, ", \"%s\": %.9g", columns[c].name, value)
                                 : buf_printf(&out, e, ", \"%s\": null", columns[c].name);
        }
        ok = ok && buf_printf(&out, e, "}\n");
    }
    ok = ok && file_write_atomic(path, buf_span(&out), e);
    buf_release(&out);
    return ok;
}

/* ---------------------------------------------------------------- event file */

uint32_t crc32c(const void *bytes, size_t n)
{
    uint32_t table[CRC_TABLE], crc = UINT32_MAX;
    for (uint32_t i = 0; i < CRC_TABLE; i++) {
        table[i] = i;
        for (int k = 0; k < 8; k++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    for (size_t i = 0; i < n; i++)
        crc = crc >> 8 ^ table[(crc ^ ((const uint8_t *)bytes)[i]) & 0xff];
    return ~crc;
}

static uint32_t masked_crc(const void *bytes, size_t n)
{
    uint32_t crc = crc32c(bytes, n);
    return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
}

/* Numbers as they lie in memory: little-endian on all supported machines, as the format is. */
static bool put_record(struct buf *out, const uint8_t *event, size_t n, struct err *e)
{
    uint64_t length = n;
    uint32_t length_crc = masked_crc(&length, sizeof length), crc = masked_crc(event, n);
    return buf_append(out, &length, sizeof length, e) &&
           buf_append(out, &length_crc, sizeof length_crc, e) && buf_append(out, event, n, e) &&
           buf_append(out, &crc, sizeof crc, e);
}

/* A protocol buffer under construction: small, bounded. */
struct message {
    uint8_t bytes[EVENT_MAX_BYTES];
    size_t n;
};

static void put_bytes(struct message *m, const void *bytes, size_t n)
{
    assert(m->n + n <= sizeof m->bytes);
    memcpy(m->bytes + m->n, bytes, n);
    m->n += n;
}

static void put_varint(struct message *m, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put_bytes(m, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LENGTH = 2, WIRE_32 = 5 };

static void put_tag(struct message *m, uint32_t field, enum wire wire)
{
    put_varint(m, field << 3 | (uint32_t)wire);
}

static void put_length(struct message *m, uint32_t field, const void *bytes, size_t n)
{
    put_tag(m, field, WIRE_LENGTH);
    put_varint(m, n);
    put_bytes(m, bytes, n);
}

static struct message event_new(double wall_s)
{
    struct message m = {.n = 0};
    put_tag(&m, 1, WIRE_64);
    put_bytes(&m, &wall_s, sizeof wall_s);
    return m;
}

static bool put_scalar(struct buf *out, double wall_s, uint64_t step, const char *tag, float scalar,
                       struct err *e)
{
    struct message value = {.n = 0}, summary = {.n = 0}, event = event_new(wall_s);
    put_length(&value, 1, tag, strlen(tag));
    put_tag(&value, 2, WIRE_32);
    put_bytes(&value, &scalar, sizeof scalar);
    put_length(&summary, 1, value.bytes, value.n);
    put_tag(&event, 2, WIRE_VARINT);
    put_varint(&event, step);
    put_length(&event, 5, summary.bytes, summary.n);
    return put_record(out, event.bytes, event.n, e);
}

bool history_write_events(const struct history *h, double end_wall_s, const char *path,
                          struct err *e)
{
    static const char version[] = "brain.Event:2";
    double total = h->n > 0 ? h->rows[h->n - 1].seconds : 0.0;
    struct message first = event_new(end_wall_s - total);
    struct buf out;
    buf_init(&out, FILE_MAX_BYTES);
    put_length(&first, 3, version, sizeof version - 1);
    bool ok = put_record(&out, first.bytes, first.n, e);
    for (size_t i = 0; ok && i < h->n; i++) {
        const struct history_row *r = &h->rows[i];
        for (size_t c = 0; ok && c < ARRAY_LEN(columns); c++)
            if (isfinite(column_value(r, c)))
                ok = put_scalar(&out, end_wall_s - total + r->seconds, (uint64_t)r->step,
                                columns[c].tag, (float)column_value(r, c), e);
    }
    ok = ok && file_write_atomic(path, buf_span(&out), e);
    buf_release(&out);
    return ok;
}
