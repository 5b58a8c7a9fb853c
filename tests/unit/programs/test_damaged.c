/*
 * Damaged previews through the whole stage: whatever the bytes are, the stage ends, each preview
 * has its tensors in the store, every value of them in range, or its verdict in spool/bad, and the
 * verdict is that of decoding in this process, sentence and all. Sanitizers see this process leak
 * nothing.
 *
 *     test_damaged [N]    N previews with flipped bits (60), and a share of the other damage; from
 *                         1000 on all of it, truncations at every percent included
 */
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "programs/extract_pipeline.h"
#include "tests/unit/programs/fixture.h"

#include <sys/wait.h>

enum {
    FILE_MAX_BYTES = 4 << 20,
    ALL_FLIPS = 1000,
    BATCH = 200, /* previews in the spool at a time */
    ID3_BYTES = 1 << 20,
    READ_CLIPS = 16,
};

static const char *const names[] = {"vbr.mp3",  "no_info.mp3", "moov_end.m4a", "vorbis.ogg",
                                    "opus.ogg", "s16.flac",    "f32.wav"};
enum { FILES = ARRAY_LEN(names), VBR_MP3 = 0, NO_INFO_MP3 = 1, MOOV_END = 2, F32_WAV = 6 };

static char audio_dir[PATH_BYTES];
static struct buf files[FILES];
static struct dataset d;
static struct spool *spool;
static uint64_t n_flips = 60;

/* What a preview must come to; NULL: anything but a crash. */
static const char *const STORED = "";

/* One batch on its way. */
static struct {
    uint64_t first_row;
    size_t n;
    const char *must[BATCH];
    char cause[BATCH][SPOOL_CAUSE_BYTES]; /* of decoding here; "" when it decodes */
    char why[BATCH][ERR_MSG_BYTES];
    uint8_t is_seen[BATCH];
} batch = {.first_row = 1};

static struct {
    uint64_t n, n_stored, n_bad, n_crashed;
} totals;

/* ---------------------------------------------------------------- the stage, and what it left */

/* The verdict of the same bytes in this process. */
static void decode_here(struct span bytes, char cause[SPOOL_CAUSE_BYTES], char why[ERR_MSG_BYTES])
{
    const struct decode_limits limits = {d.settings.fetch.max_bytes, d.settings.extract.max_ms,
                                         16 << 20};
    struct decoder *decoder = decoder_new();
    struct decode_info info;
    const struct pcm *pcm;
    enum decode_verdict verdict;
    struct err e = {0};
    bool ok = decoder_open(decoder, bytes, &limits, &info, &verdict, &e) &&
              decoder_read(decoder, 0, info.n_frames, &pcm, &verdict, &e);
    CHECK(ok == (verdict == DECODE_OK));
    snprintf(cause, SPOOL_CAUSE_BYTES, "%s", ok ? "" : decode_verdict_name(verdict));
    snprintf(why, ERR_MSG_BYTES, "%s", e.msg);
    decoder_free(decoder);
}

static void see_bad(void *arg, uint64_t row, const char *cause, const char *why)
{
    (void)arg;
    size_t i = (size_t)(row - batch.first_row);
    if (row < batch.first_row || i >= batch.n)
        return;
    batch.is_seen[i]++;
    totals.n_bad++;
    totals.n_crashed += strcmp(cause, "CRASHED") == 0;
    if (batch.must[i] != NULL)
        CHECK_STR(cause, batch.must[i]);
    if (batch.cause[i][0] != '\0') {
        CHECK_STR(cause, batch.cause[i]);
        CHECK_STR(why, batch.why[i]);
    } else { /* it decodes: then the clips were the reason */
        CHECK(strcmp(cause, "TOO_SHORT") == 0 || strcmp(cause, "SILENT") == 0);
    }
}

static bool see_track(void *arg, uint64_t row, const struct store_track_info *info)
{
    (void)arg;
    size_t i = (size_t)(row - batch.first_row);
    if (row < batch.first_row || i >= batch.n)
        return true;
    batch.is_seen[i]++;
    totals.n_stored++;
    CHECK(info->n_views >= 2 && info->n_views % 2 == 0); /* a clip and its positive */
    CHECK(batch.must[i] == NULL || batch.must[i] == STORED);
    CHECK_STR(batch.cause[i], "");
    return true;
}

static void check_values(struct store *s)
{
    struct store_snapshot snap = {0};
    struct err e = {0};
    CHECK_OK(store_snapshot_init(s, &snap, &e), &e);
    size_t n_values = (size_t)snap.n_frames * snap.n_mels, n_wild = 0;
    float *db = mem_alloc(READ_CLIPS * n_values, sizeof *db);
    for (size_t at = 0; at < snap.n_keys; at += READ_CLIPS) {
        size_t n = size_min(READ_CLIPS, snap.n_keys - at);
        CHECK_OK(store_read_batch(s, snap.keys + at, n, snap.n_frames, snap.n_mels, db, &e), &e);
        for (size_t i = 0; i < n * n_values; i++)
            n_wild += !(db[i] >= -80.0f && db[i] <= 0.0f);
    }
    CHECK_U64(n_wild, 0);
    mem_free(db);
    store_snapshot_release(&snap);
}

static void check_store(void)
{
    struct store *s = NULL;
    struct err e = {0};
    if (!store_exists(d.dir))
        return;
    CHECK_OK(store_open(d.dir, &s, &e), &e);
    CHECK_OK(store_each_track(s, see_track, NULL, &e), &e);
    check_values(s);
    store_close(s);
}

/* Extracts what is in the spool and holds every preview of it against what it must come to. */
static void run_batch(void)
{
    struct extract_report report;
    struct spool_usage usage;
    struct err e = {0};
    CHECK_OK(extract_run(&d, false, &report, &e), &e);
    CHECK_U64(report.n_tracks + report.n_bad, batch.n);
    memset(batch.is_seen, 0, sizeof batch.is_seen);
    CHECK_OK(spool_each_bad(spool, see_bad, NULL, &e), &e);
    check_store();
    for (size_t i = 0; i < batch.n; i++)
        CHECK_U64(batch.is_seen[i], 1);
    CHECK_OK(spool_measure(spool, &usage, &e), &e);
    CHECK_U64(usage.new_files, 0);
    totals.n += batch.n;
    batch.first_row += batch.n;
    batch.n = 0;
}

static void put(struct span bytes, const char *must)
{
    struct err e = {0};
    struct spool_item item;
    char id[32];
    uint64_t row = batch.first_row + batch.n;
    snprintf(id, sizeof id, "TR%" PRIu64, row);
    CHECK_OK(spool_write(spool, row, id, bytes, &item, &e), &e);
    CHECK_OK(spool_publish(spool, &item, 1, &e), &e);
    decode_here(bytes, batch.cause[batch.n], batch.why[batch.n]);
    batch.must[batch.n++] = must;
    if (batch.n == BATCH)
        run_batch();
}

static void put_buf(const struct buf *b, const char *must)
{
    put(buf_span(b), must);
}

/* ---------------------------------------------------------------- damage */

static void copy_of(const struct buf *from, struct buf *out)
{
    struct err e = {0};
    buf_init(out, FILE_MAX_BYTES);
    CHECK_OK(buf_append(out, from->data, from->len, &e), &e);
}

static void append(struct buf *b, const void *bytes, size_t n)
{
    struct err e = {0};
    CHECK_OK(buf_append(b, bytes, n, &e), &e);
}

/* True for 1 of every ALL_FLIPS / n_flips: how the small version takes its share. */
static bool is_chosen(uint64_t i)
{
    return n_flips >= ALL_FLIPS || hash_mix64(i + 77) % ALL_FLIPS < n_flips;
}

static void test_intact(void)
{
    for (size_t f = 0; f < FILES; f++)
        put_buf(&files[f], STORED);
    run_batch();
}

/* From one bit to a thousand, anywhere or in the first bytes only. */
static void test_flipped_bits(void)
{
    for (uint64_t k = 0; k < n_flips; k++) {
        struct buf b;
        struct rng r;
        rng_init(&r, 5, 0, k);
        copy_of(&files[k % FILES], &b);
        uint64_t flips = UINT64_C(1) << rng_below(&r, 11);
        uint64_t reach = rng_below(&r, 3) == 0 ? u64_min(b.len, 512) : b.len;
        for (uint64_t i = 0; i < flips; i++)
            b.data[rng_below(&r, reach)] ^= (uint8_t)(1 << rng_below(&r, 8));
        put_buf(&b, NULL);
        buf_release(&b);
    }
    run_batch();
}

static void test_truncated(void)
{
    for (size_t f = 0; f < FILES; f++)
        for (size_t percent = 0; percent < 100; percent++)
            if (is_chosen(f * 100 + percent))
                put((struct span){files[f].data, files[f].len * percent / 100},
                    percent == 0 ? "EMPTY" : NULL);
    run_batch();
}

/* Where the Info or Xing tag of a file begins, or 0. */
static size_t find_info(const struct buf *b)
{
    for (size_t i = 0; i + 200 < b->len && i < 4096; i++)
        if (memcmp(b->data + i, "Xing", 4) == 0 || memcmp(b->data + i, "Info", 4) == 0)
            return i;
    return 0;
}

/* Frames, bytes, table of contents, delay and padding: each as nonsense, at random and at extremes.
 */
static void test_wrong_info(void)
{
    static const struct {
        size_t at, n_bytes;
    } fields[] = {{4, 4}, {8, 4}, {12, 4}, {16, 100}, {116, 4}, {141, 3}};
    size_t info_at = find_info(&files[VBR_MP3]);
    CHECK(info_at > 0);
    for (size_t f = 0; f < ARRAY_LEN(fields); f++)
        for (uint64_t k = 0; k < 12; k++) {
            struct buf b;
            struct rng r;
            if (!is_chosen(1000 + f * 12 + k) && k > 0)
                continue;
            rng_init(&r, 6, (uint32_t)f, k);
            copy_of(&files[VBR_MP3], &b);
            for (size_t i = 0; i < fields[f].n_bytes; i++)
                b.data[info_at + fields[f].at + i] = (uint8_t)(k == 0   ? 0xff
                                                               : k == 1 ? 0
                                                                        : rng_u32(&r));
            put_buf(&b, NULL);
            buf_release(&b);
        }
    run_batch();
}

/* A tag of n bytes that says it has `said`. */
static void put_tagged(size_t n, size_t said, const char *must)
{
    struct buf b;
    struct rng r;
    uint8_t header[10] = {
        'I', 'D', '3', 3, 0, 0, said >> 21 & 127, said >> 14 & 127, said >> 7 & 127, said & 127};
    uint8_t *noise = mem_alloc(n, 1);
    rng_init(&r, 7, 0, said);
    for (size_t i = 0; i < n; i++)
        noise[i] = (uint8_t)rng_u32(&r);
    memcpy(noise, "APIC\0\x0f\xff\xf0\0\0", 10);
    buf_init(&b, FILE_MAX_BYTES);
    append(&b, header, sizeof header);
    append(&b, noise, n);
    append(&b, files[VBR_MP3].data, files[VBR_MP3].len);
    put_buf(&b, must);
    buf_release(&b);
    mem_free(noise);
}

static void test_tags(void)
{
    put_tagged(ID3_BYTES, ID3_BYTES, STORED);
    put_tagged(ID3_BYTES, ID3_BYTES / 2, NULL);
    put_tagged(ID3_BYTES, 2 * ID3_BYTES, NULL);
    put_tagged(ID3_BYTES, (1 << 28) - 1, NULL);
    run_batch();
}

/* The MP4's index lies at its end: damage there alone, and its sizes. */
static void test_wrong_index(void)
{
    const struct buf *mp4 = &files[MOOV_END];
    size_t moov_at = 0;
    for (size_t i = 4; i + 4 < mp4->len; i++)
        if (memcmp(mp4->data + i, "moov", 4) == 0)
            moov_at = i;
    CHECK(moov_at > mp4->len / 2);
    for (uint64_t k = 0; k < 100; k++) {
        struct buf b;
        struct rng r;
        if (!is_chosen(2000 + k))
            continue;
        rng_init(&r, 8, 0, k);
        copy_of(mp4, &b);
        for (int i = 0; i < 4; i++) {
            size_t at = moov_at + rng_below(&r, mp4->len - moov_at);
            b.data[at] = (uint8_t)(k % 2 == 0 ? rng_u32(&r) : 0xff);
        }
        put_buf(&b, NULL);
        buf_release(&b);
    }
    run_batch();
}

static void test_no_audio(void)
{
    static const char html[] = "<!DOCTYPE html>\n<html><title>404 Not Found</title></html>\n";
    struct buf nan;
    float wild = NAN;
    put((struct span){html, sizeof html - 1}, "NOT_AUDIO");
    put((struct span){"", 0}, "EMPTY");
    put((struct span){"\xff", 1}, "NOT_AUDIO");
    copy_of(&files[F32_WAV], &nan);
    memcpy(nan.data + nan.len / 2 / 4 * 4, &wild, sizeof wild);
    for (size_t shift = 0; shift < 4; shift++) /* wherever the samples begin */
        memcpy(nan.data + nan.len / 2 + shift * 1001, &wild, sizeof wild);
    put_buf(&nan, "NONFINITE");
    buf_release(&nan);
    run_batch();
}

/* Pieces of two files behind each other, and holes. */
static void test_patched(void)
{
    for (uint64_t k = 0; k < 200; k++) {
        struct buf b;
        struct rng r;
        if (!is_chosen(3000 + k))
            continue;
        rng_init(&r, 9, 0, k);
        copy_of(&files[rng_below(&r, FILES)], &b);
        const struct buf *other = &files[rng_below(&r, FILES)];
        if (k % 2 == 0) {
            b.len = rng_below(&r, b.len) + 1;
            append(&b, other->data, rng_below(&r, other->len) + 1);
        } else {
            size_t at = rng_below(&r, b.len);
            memset(b.data + at, 0, size_min(b.len - at, rng_below(&r, 60000)));
        }
        put_buf(&b, NULL);
        buf_release(&b);
    }
    run_batch();
}

static bool make_files(void)
{
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "tests/make_audio.sh", audio_dir, "few", (char *)NULL);
        _exit(127);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool set_up(struct err *e)
{
    static const char *const changes[] = {"disk.floor=16",     "clip.ms=1500",
                                          "clip.policy=2",     "store.dtype=f32",
                                          "extract.threads=2", "augment.chain=gain(-5,5,p=1)"};
    fixture_dir(audio_dir);
    fixture_dataset(&d);
    bool ok = make_files() && spool_open(d.dir, &spool, e);
    for (size_t i = 0; ok && i < ARRAY_LEN(changes); i++)
        ok = conf_set(&settings_table, changes[i], &d.settings, e);
    for (size_t f = 0; f < FILES; f++) {
        char path[PATH_BYTES];
        buf_init(&files[f], FILE_MAX_BYTES);
        ok = ok && path_join(path, audio_dir, names[f], e) && file_read_all(path, &files[f], e);
    }
    return ok;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    if (argc > 1)
        n_flips = strtoull(argv[1], NULL, 10);
    log_set_level(LOG_ERROR); /* every item that is set aside would be a line */
    if (!set_up(&e)) {
        printf("# %s\n", e.msg);
        return 1;
    }
    RUN(test_intact);
    RUN(test_flipped_bits);
    RUN(test_truncated);
    RUN(test_wrong_info);
    RUN(test_tags);
    RUN(test_wrong_index);
    RUN(test_no_audio);
    RUN(test_patched);
    printf("# %" PRIu64 " previews: %" PRIu64 " stored, %" PRIu64 " set aside, %" PRIu64
           " of these crashed\n",
           totals.n, totals.n_stored, totals.n_bad, totals.n_crashed);
    for (size_t f = 0; f < FILES; f++)
        buf_release(&files[f]);
    spool_close(spool);
    fixture_remove(d.dir);
    fixture_remove(audio_dir);
    return test_done();
}
