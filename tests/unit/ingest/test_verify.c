/* Files are built here byte by byte, so that what is missing in a cut one is known exactly. */
#include "base/mem.h"
#include "ingest/verify.h"
#include "tests/test.h"

#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20, PREVIEW_MS = 30000 };

static uint8_t file[FILE_BYTES_MAX];
static size_t n_file;

static void put(const void *bytes, size_t n)
{
    memcpy(file + n_file, bytes, n);
    n_file += n;
}

static void put_text(const char *text)
{
    put(text, strlen(text));
}

static void put_number(uint64_t value, size_t n_bytes, bool big)
{
    for (size_t i = 0; i < n_bytes; i++)
        file[n_file++] = (uint8_t)(value >> 8 * (big ? n_bytes - 1 - i : i));
}

static void put_fill(size_t n)
{
    for (size_t i = 0; i < n; i++)
        file[n_file++] = (uint8_t)(0x20 + i % 7);
}

/* ---------------------------------------------------------------- the builders */

enum { FRAME_BYTES = 313, FRAMES_30_S = 1149 };
static const uint32_t FRAME_HEADER = 0xfffb70c4;

/* 96 kbit/s, 44.1 kHz, mono: 26.12 ms a frame. */
static void put_frames(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put_number(FRAME_HEADER, 4, true);
        put_fill(FRAME_BYTES - 4);
    }
}

static void put_info_frame(const char *name, uint32_t n_frames)
{
    size_t begin = n_file;
    put_number(FRAME_HEADER, 4, true);
    if (strcmp(name, "VBRI") == 0) {
        put_fill(32);
        put_text(name);
        put_fill(6);
        put_number(0, 4, true);
        put_number(n_frames, 4, true);
    } else {
        put_fill(17); /* side information */
        put_text(name);
        put_number(1, 4, true);
        put_number(n_frames, 4, true);
    }
    put_fill(FRAME_BYTES - (n_file - begin));
}

static void put_id3(size_t body_bytes)
{
    put_text("ID3\3");
    put_number(0, 2, true);
    for (int i = 3; i >= 0; i--)
        file[n_file++] = body_bytes >> 7 * i & 0x7f;
    put_fill(body_bytes);
}

static size_t box_begin(const char *type)
{
    put_number(0, 4, true);
    put_text(type);
    return n_file - 8;
}

static void box_end(size_t begin)
{
    size_t end = n_file;
    n_file = begin;
    put_number(end - begin, 4, true);
    n_file = end;
}

enum { MDAT_BYTES = 40000 };

static void put_mdat(void)
{
    size_t mdat = box_begin("mdat");
    put_fill(MDAT_BYTES);
    box_end(mdat);
}

/* A header of `ms` whose last chunk of samples begins at `chunk_at`. */
static void put_moov(uint32_t ms, uint32_t chunk_at)
{
    static const char *const nest[] = {"trak", "mdia", "minf", "stbl"};
    size_t moov = box_begin("moov"), mvhd = box_begin("mvhd"), begins[4];
    put_number(0, 8, true);
    put_number(0, 4, true);
    put_number(1000, 4, true);
    put_number(ms, 4, true);
    put_fill(80);
    box_end(mvhd);
    for (size_t i = 0; i < 4; i++)
        begins[i] = box_begin(nest[i]);
    size_t stco = box_begin("stco");
    put_number(0, 4, true);
    put_number(2, 4, true);
    put_number(chunk_at / 2, 4, true);
    put_number(chunk_at, 4, true);
    box_end(stco);
    for (size_t i = 4; i-- > 0;)
        box_end(begins[i]);
    box_end(moov);
}

static void put_ftyp(void)
{
    size_t ftyp = box_begin("ftyp");
    put_text("M4A \0\0\2\0");
    put_fill(8);
    box_end(ftyp);
}

/* kind: 2 first, 4 last */
static void put_page(unsigned kind, uint64_t granule, const void *packet, size_t n)
{
    put_text("OggS");
    put_number(0, 1, false);
    put_number(kind, 1, false);
    put_number(granule, 8, false);
    put_number(77, 4, false);
    put_number(0, 8, false);
    put_number(n / 255 + 1, 1, false);
    for (size_t i = 0; i < n / 255; i++)
        put_number(255, 1, false);
    put_number(n % 255, 1, false);
    put(packet, n);
}

/* A page a second. */
static void put_ogg(unsigned n_seconds)
{
    uint8_t packet[8000] = {0};
    put_page(2, 0, "\001vorbis\0\0\0\0\2\x44\xac\0\0\0\0\0\0", 20);
    for (unsigned i = 1; i <= n_seconds; i++)
        put_page(i == n_seconds ? 4 : 0, 44100 * (uint64_t)i, packet, sizeof packet);
}

static void put_wav(uint32_t promised, uint32_t present)
{
    put_text("RIFF");
    put_number(promised + 36, 4, false);
    put_text("WAVEfmt ");
    put_number(16, 4, false);
    put_number(0x00010001, 4, false); /* PCM, mono */
    put_number(8000, 4, false);
    put_number(8000, 4, false);
    put_number(0x00080001, 4, false);
    put_text("data");
    put_number(promised, 4, false);
    put_fill(present);
}

/* 44.1 kHz, blocks of 4096 samples of at least `frame_min` bytes. */
static void put_flac(uint64_t n_samples, uint32_t frame_min, size_t n_bytes)
{
    put_text("fLaC");
    put_number(0x80000022, 4, true);
    put_number(4096, 2, true);
    put_number(4096, 2, true);
    put_number(frame_min, 3, true);
    put_number(frame_min, 3, true);
    put_number((uint64_t)44100 << 44 | (uint64_t)1 << 41 | (uint64_t)15 << 36 | n_samples, 8, true);
    put_fill(16 + n_bytes);
}

/* ---------------------------------------------------------------- judging */

/* In pieces of `piece` bytes; 0: at once. `*out_seen`: bytes that came until it was refused. */
static enum sniff_verdict judge_pieces(size_t piece, const struct verify_facts *facts,
                                       size_t *out_seen)
{
    struct verify v = {0};
    size_t n = 0;
    for (bool more = piece > 0; more && n < n_file;) {
        n = size_min(n_file, n + piece);
        uint8_t *exact = mem_alloc(n, 1); /* so that ASan sees a byte too far */
        memcpy(exact, file, n);
        more = verify_more(&v, (struct span){exact, n});
        mem_free(exact);
    }
    *out_seen = n;
    return verify_end(&v, (struct span){file, piece == 0 ? n_file : n}, facts);
}

/* However it comes, the verdict is the same. */
static enum sniff_verdict judge(bool has_length, uint64_t expected_ms)
{
    const struct verify_facts facts = {.has_length = has_length, .expected_ms = expected_ms};
    static const size_t pieces[] = {1447, 4096, 65536};
    size_t seen;
    enum sniff_verdict verdict = judge_pieces(0, &facts, &seen);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        CHECK(judge_pieces(pieces[i], &facts, &seen) == verdict);
    return verdict;
}

static void begin(void)
{
    n_file = 0;
}

static void test_mp3_whole(void)
{
    begin();
    put_frames(FRAMES_30_S);
    CHECK(judge(true, PREVIEW_MS) == SNIFF_AUDIO);
    CHECK(judge(false, PREVIEW_MS) == SNIFF_AUDIO);
    CHECK(judge(false, 0) == SNIFF_AUDIO);
}

static void test_mp3_with_tags(void)
{
    begin();
    put_id3(200000); /* a picture */
    put_info_frame("Info", FRAMES_30_S);
    put_frames(FRAMES_30_S);
    put_text("TAG");
    put_fill(125);
    CHECK(judge(false, PREVIEW_MS) == SNIFF_AUDIO);
    n_file = 150000; /* within the picture */
    CHECK(judge(true, PREVIEW_MS) == SNIFF_CUT);
}

/* Half of it, within a frame, and nobody said how long it is. */
static void test_mp3_cut_without_length(void)
{
    begin();
    put_frames(FRAMES_30_S);
    n_file = n_file / 2 + 7;
    CHECK(judge(false, PREVIEW_MS) == SNIFF_CUT);
    CHECK(judge(false, 0) == SNIFF_CUT);
    n_file = (size_t)600 * FRAME_BYTES; /* between two frames */
    CHECK(judge(false, PREVIEW_MS) == SNIFF_CUT);
    CHECK(judge(false, 15000) == SNIFF_AUDIO);
    CHECK(judge(false, 0) == SNIFF_AUDIO);
}

/* The host said how long the file is and that came. */
static void test_mp3_short_with_length(void)
{
    begin();
    put_frames(600);
    CHECK(judge(true, PREVIEW_MS) == SNIFF_AUDIO); /* a short preview */
    n_file -= 50;
    CHECK(judge(true, PREVIEW_MS) == SNIFF_CUT); /* short, and ends within a frame */
    begin();
    put_frames(FRAMES_30_S);
    n_file -= 50;
    CHECK(judge(true, PREVIEW_MS) == SNIFF_AUDIO); /* as its encoder left it */
}

static void test_mp3_less_than_promised(void)
{
    static const char *const names[] = {"Xing", "Info", "VBRI"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        begin();
        put_info_frame(names[i], FRAMES_30_S);
        put_frames(FRAMES_30_S);
        CHECK(judge(true, PREVIEW_MS) == SNIFF_AUDIO);
        n_file = (size_t)1100 * FRAME_BYTES;
        CHECK(judge(true, PREVIEW_MS) == SNIFF_CUT);
        CHECK(judge(true, 0) == SNIFF_CUT);
    }
}

static void test_mp3_damaged(void)
{
    begin();
    put_frames(300);
    put_fill(30000);
    put_frames(300);
    CHECK(judge(true, 0) == SNIFF_DAMAGED);
    begin();
    put_frames(300);
    put_fill(3000);
    put_frames(300);
    CHECK(judge(true, 0) == SNIFF_AUDIO);
    begin();
    put_frames(900);
    put_fill(80000);
    put_frames(900);
    CHECK(judge(true, 0) == SNIFF_DAMAGED);
}

static void test_too_short(void)
{
    begin();
    put_frames(30); /* 0.8 s */
    CHECK(judge(true, 0) == SNIFF_SHORT);
    begin();
    put_frames(2);
    CHECK(judge(true, 0) == SNIFF_SHORT);
    n_file = 0;
    CHECK(judge(true, 0) == SNIFF_EMPTY);
}

static void test_mp4(void)
{
    begin();
    put_ftyp();
    put_moov(30000, 20000);
    put_mdat();
    size_t whole = n_file;
    CHECK(judge(false, PREVIEW_MS) == SNIFF_AUDIO);
    n_file = whole - 1;
    CHECK(judge(true, PREVIEW_MS) == SNIFF_CUT);
    n_file = whole - MDAT_BYTES - 8; /* before the samples */
    CHECK(judge(true, PREVIEW_MS) == SNIFF_SHORT || judge(true, PREVIEW_MS) == SNIFF_CUT);

    begin(); /* header behind */
    put_ftyp();
    put_mdat();
    size_t moov_at = n_file;
    put_moov(30000, 20000);
    CHECK(judge(false, PREVIEW_MS) == SNIFF_AUDIO);
    n_file = moov_at;
    CHECK(judge(true, PREVIEW_MS) == SNIFF_CUT);
    n_file = moov_at + 50;
    CHECK(judge(true, PREVIEW_MS) == SNIFF_CUT);
}

/* A box that reaches to the end, whatever that is: the table of chunks tells. */
static void test_mp4_open_box(void)
{
    begin();
    put_ftyp();
    put_moov(30000, 30000);
    size_t mdat = n_file;
    put_mdat();
    memset(file + mdat, 0, 4);
    CHECK(judge(false, PREVIEW_MS) == SNIFF_AUDIO);
    n_file = 25000;
    CHECK(judge(true, PREVIEW_MS) == SNIFF_CUT);
}

static void test_ogg(void)
{
    begin();
    put_ogg(30);
    size_t whole = n_file;
    CHECK(judge(false, PREVIEW_MS) == SNIFF_AUDIO);
    n_file = whole - 5;
    CHECK(judge(false, PREVIEW_MS) == SNIFF_CUT);
    CHECK(judge(true, PREVIEW_MS) == SNIFF_AUDIO); /* 29 s of 30 */
    n_file = whole / 2;
    CHECK(judge(true, PREVIEW_MS) == SNIFF_CUT);
    begin();
    put_ogg(10);
    CHECK(judge(true, PREVIEW_MS) == SNIFF_AUDIO);
    CHECK(judge(false, PREVIEW_MS) == SNIFF_CUT);
}

static void test_wav_and_flac(void)
{
    begin();
    put_wav(240000, 240000);
    CHECK(judge(false, PREVIEW_MS) == SNIFF_AUDIO);
    begin();
    put_wav(240000, 200000);
    CHECK(judge(true, PREVIEW_MS) == SNIFF_CUT);
    begin();
    put_flac(30 * 44100, 1000, 400000);
    CHECK(judge(false, PREVIEW_MS) == SNIFF_AUDIO);
    begin();
    put_flac(30 * 44100, 1000, 200000); /* 322 frames of a thousand bytes at least */
    CHECK(judge(true, PREVIEW_MS) == SNIFF_CUT);
}

/* What is no audio is refused long before its end. */
static void test_refused_early(void)
{
    static const struct {
        const char *begin;
        enum sniff_verdict verdict;
    } cases[] = {
        {"<!DOCTYPE html><html>", SNIFF_HTML},
        {"\xef\xbb\xbf \r\n<html>", SNIFF_HTML},
        {"<?xml version=\"1.0\"?><Error>", SNIFF_XML},
        {"\n\n\n{\"error\":{", SNIFF_JSON},
        {"just text", SNIFF_OTHER},
    };
    const struct verify_facts facts = {0};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t seen;
        begin();
        put_text(cases[i].begin);
        put_fill(500000);
        CHECK(judge_pieces(1024, &facts, &seen) == cases[i].verdict);
        CHECK(seen <= 70000);
        CHECK(cases[i].verdict == SNIFF_OTHER || seen == 1024);
        n_file = strlen(cases[i].begin);
        CHECK(judge_pieces(7, &facts, &seen) ==
              (cases[i].verdict == SNIFF_OTHER ? SNIFF_SHORT : cases[i].verdict));
    }
}

int main(void)
{
    RUN(test_mp3_whole);
    RUN(test_mp3_with_tags);
    RUN(test_mp3_cut_without_length);
    RUN(test_mp3_short_with_length);
    RUN(test_mp3_less_than_promised);
    RUN(test_mp3_damaged);
    RUN(test_too_short);
    RUN(test_mp4);
    RUN(test_mp4_open_box);
    RUN(test_ogg);
    RUN(test_wav_and_flac);
    RUN(test_refused_early);
    return test_done();
}
