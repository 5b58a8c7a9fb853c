/*
 * metrics.jsonl and the event file, read back by a reader written from the format's description.
 */
#include "base/file.h"
#include "tests/test.h"
#include "train/events.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];

static struct history_row row(double epoch)
{
    return (struct history_row){.epoch = epoch,
                                .step = 300.0 * epoch,
                                .train_loss = epoch > 0 ? 0.5 / epoch : (double)NAN,
                                .val_loss = 1.0 / (1.0 + epoch),
                                .seconds = 10.0 * epoch};
}

static void begin(struct history *h)
{
    snprintf(path, sizeof path, "/tmp/refrain-events-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    for (int i = 0; i < 3; i++) {
        struct history_row r = row(i);
        history_add(h, &r);
    }
}

static void test_crc(void)
{
    CHECK_U64(crc32c("123456789", 9), 0xe3069283);
    CHECK_U64(crc32c("", 0), 0);
}

static void test_jsonl(void)
{
    struct history h = {0};
    struct err e = {0};
    struct buf text;
    buf_init(&text, 1 << 20);
    begin(&h);
    CHECK_OK(history_write_jsonl(&h, path, &e), &e);
    CHECK_OK(file_read_all(path, &text, &e) && buf_terminate(&text, &e), &e);
    const char *s = (const char *)text.data;
    CHECK(strncmp(s, "{\"epoch\": 0, \"step\": 0, \"train_loss\": null, \"val_loss\": 1, ", 58) ==
          0);
    CHECK(strstr(s, "{\"epoch\": 2, \"step\": 600, \"train_loss\": 0.25, ") != NULL);
    size_t lines = 0;
    for (const char *at = s; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    CHECK_U64(lines, 3);
    buf_release(&text);
    history_release(&h);
    unlink(path);
}

static uint64_t varint(const uint8_t **at)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
}

/* One record; checks both sums. */
static const uint8_t *take_record(const uint8_t *at, const uint8_t **event, size_t *n)
{
    uint64_t length;
    uint32_t sums[2], mask = 0xa282ead8;
    memcpy(&length, at, 8);
    memcpy(&sums[0], at + 8, 4);
    memcpy(&sums[1], at + 12 + length, 4);
    uint32_t a = crc32c(at, 8), b = crc32c(at + 12, length);
    CHECK_U64(sums[0], (uint32_t)((a >> 15 | a << 17) + mask));
    CHECK_U64(sums[1], (uint32_t)((b >> 15 | b << 17) + mask));
    *event = at + 12;
    *n = length;
    return at + 16 + length;
}

static void test_events(void)
{
    struct history h = {0};
    struct err e = {0};
    struct buf file;
    buf_init(&file, 1 << 20);
    begin(&h);
    CHECK_OK(history_write_events(&h, 1000.0, path, &e), &e);
    CHECK_OK(file_read_all(path, &file, &e), &e);
    const uint8_t *at = file.data, *end = at + file.len, *event;
    size_t n, n_events = 0, n_validation = 0;
    at = take_record(at, &event, &n);
    CHECK(n == 9 + 2 + 13 && memcmp(event + 11, "brain.Event:2", 13) == 0);
    for (; at < end; n_events++) {
        double wall;
        at = take_record(at, &event, &n);
        CHECK_U64(event[0], 1 << 3 | 1);
        memcpy(&wall, event + 1, 8);
        event += 9;
        CHECK_U64(*event++, 2 << 3);
        uint64_t step = varint(&event);
        CHECK_NEAR(wall, 980.0 + (double)step / 30.0, 1e-9);
        CHECK_U64(*event++, 5 << 3 | 2);
        varint(&event);
        CHECK_U64(*event++, 1 << 3 | 2);
        varint(&event);
        CHECK_U64(*event++, 1 << 3 | 2);
        size_t len = varint(&event);
        if (len == 15 && memcmp(event, "loss/validation", 15) == 0) {
            float value;
            memcpy(&value, event + len + 1, 4);
            CHECK_NEAR(value, 1.0 / (1.0 + (double)step / 300.0), 1e-6);
            n_validation++;
        }
    }
    CHECK_U64(n_events, 3 * 11 - 1); /* the untrained network has no training loss */
    CHECK_U64(n_validation, 3);
    buf_release(&file);
    history_release(&h);
    unlink(path);
}

int main(void)
{
    RUN(test_crc);
    RUN(test_jsonl);
    RUN(test_events);
    return test_done();
}
