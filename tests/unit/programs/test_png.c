/* PNG files taken apart again: signature, chunks, checksums, and the pixels behind zlib. */
#include "programs/png.h"

#include "programs/picture.h"
#include "tests/test.h"

#include <zlib.h>

enum { FILE_BYTES_MAX = 1 << 22 };

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The data of the first chunk of a type; checks every chunk's CRC on the way. */
static struct span chunk_find(const struct buf *file, const char *type)
{
    struct span found = {NULL, 0};
    size_t at = 8;
    while (at + 12 <= file->len) {
        const uint8_t *chunk = file->data + at;
        size_t len = be32(chunk);
        CHECK(at + 12 + len <= file->len);
        if (at + 12 + len > file->len)
            return found;
        CHECK_U64(be32(chunk + 8 + len), crc32(0, chunk + 4, (uInt)len + 4));
        if (memcmp(chunk + 4, type, 4) == 0 && found.ptr == NULL)
            found = (struct span){chunk + 8, len};
        at += 12 + len;
    }
    CHECK_U64(at, file->len);
    return found;
}

static void test_palette(void)
{
    static const uint8_t pixels[6] = {0, 1, 2, 253, 254, 255};
    uint8_t palette[PNG_PALETTE_BYTES];
    struct err e = {0};
    struct buf file;
    buf_init(&file, FILE_BYTES_MAX);
    picture_palette(palette);
    struct png picture = {.width = 3, .height = 2, .pixels = pixels, .palette = palette};
    CHECK_OK(png_encode(&picture, &file, &e), &e);
    CHECK(memcmp(file.data, "\x89PNG\r\n\x1a\n", 8) == 0);
    struct span header = chunk_find(&file, "IHDR"), colours = chunk_find(&file, "PLTE");
    CHECK_U64(header.len, 13);
    CHECK(memcmp(header.ptr, "\0\0\0\3\0\0\0\2\x08\3\0\0\0", 13) == 0);
    CHECK(colours.len == sizeof palette && memcmp(colours.ptr, palette, sizeof palette) == 0);
    struct span data = chunk_find(&file, "IDAT");
    uint8_t rows[16];
    uLongf n = sizeof rows;
    CHECK_U64(uncompress(rows, &n, data.ptr, data.len), Z_OK);
    CHECK(n == 8 && memcmp(rows, "\0\0\1\2\0\xfd\xfe\xff", 8) == 0);
    CHECK_U64(chunk_find(&file, "IEND").len, 0);
    buf_release(&file);
}

static void test_rgb(void)
{
    enum { WIDTH = 37, HEIGHT = 19, ROW = WIDTH * 3 };
    static uint8_t pixels[HEIGHT * ROW];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 7 + i / ROW * 13);
    struct err e = {0};
    struct buf file;
    buf_init(&file, FILE_BYTES_MAX);
    struct png picture = {.width = WIDTH, .height = HEIGHT, .pixels = pixels};
    CHECK_OK(png_encode(&picture, &file, &e), &e);
    CHECK(chunk_find(&file, "PLTE").ptr == NULL);
    struct span data = chunk_find(&file, "IDAT");
    static uint8_t rows[HEIGHT * (ROW + 1)];
    uLongf n = sizeof rows;
    CHECK_U64(uncompress(rows, &n, data.ptr, data.len), Z_OK);
    CHECK_U64(n, sizeof rows);
    size_t n_wrong = 0; /* undo the filters of the specification: 0 none, 2 up */
    for (size_t y = 0; y < HEIGHT; y++) {
        const uint8_t *row = rows + y * (ROW + 1);
        CHECK(row[0] == 0 || row[0] == 2);
        for (size_t i = 0; i < ROW; i++) {
            uint8_t above = row[0] == 2 && y > 0 ? pixels[(y - 1) * ROW + i] : 0;
            n_wrong += (uint8_t)(row[1 + i] + above) != pixels[y * ROW + i];
        }
    }
    CHECK_U64(n_wrong, 0);
    buf_release(&file);
}

static void test_limits(void)
{
    struct err e = {0};
    struct buf file;
    uint8_t pixel[3] = {0};
    struct png picture = {.width = 0, .height = 1, .pixels = pixel};
    buf_init(&file, FILE_BYTES_MAX);
    CHECK(!png_encode(&picture, &file, &e));
    CHECK(e.kind == ERR_PERM);
    picture.width = PNG_SIDE_MAX + 1;
    CHECK(!png_encode(&picture, &file, &e));
    buf_release(&file);
    buf_init(&file, 20); /* too small a buffer is an error, not a short file */
    picture.width = 1;
    CHECK(!png_encode(&picture, &file, &e));
    buf_release(&file);
}

/* Perceived lightness must rise all the way, or louder would not always look brighter. */
static void test_palette_brightens(void)
{
    uint8_t palette[PNG_PALETTE_BYTES];
    picture_palette(palette);
    double before = -1;
    for (size_t i = 0; i < 256; i++) {
        double luma = 0;
        static const double weights[3] = {0.2126, 0.7152, 0.0722};
        for (size_t c = 0; c < 3; c++)
            luma += weights[c] * pow(palette[3 * i + c] / 255.0, 2.2);
        CHECK(luma >= before - 0.002); /* rounding to 8 bits */
        before = luma;
    }
    CHECK(before > 0.8);
}

static void test_spectrogram(void)
{
    /* Two bands, three frames: band 0 (bottom) rises in level, band 1 is the loudest. */
    static const float db[6] = {-80, 0, -40, 0, -200, 0};
    struct err e = {0};
    struct buf file;
    buf_init(&file, FILE_BYTES_MAX);
    CHECK_OK(picture_spectrogram(db, 3, 2, -80, 0, &file, &e), &e);
    struct span data = chunk_find(&file, "IDAT");
    uint8_t rows[8];
    uLongf n = sizeof rows;
    CHECK_U64(uncompress(rows, &n, data.ptr, data.len), Z_OK);
    CHECK(memcmp(rows, "\0\xff\xff\xff\0\0\x80\0", 8) == 0);
    buf_release(&file);

    enum { LONG = PICTURE_WIDTH_MAX * 2 + 1 };
    static float quiet[LONG];
    for (size_t i = 0; i < LONG; i++)
        quiet[i] = -80;
    quiet[LONG - 1] = 0; /* one loud frame must not vanish */
    buf_init(&file, FILE_BYTES_MAX);
    CHECK_OK(picture_spectrogram(quiet, LONG, 1, -80, 0, &file, &e), &e);
    struct span header = chunk_find(&file, "IHDR");
    uint32_t width = be32(header.ptr);
    CHECK(width <= PICTURE_WIDTH_MAX);
    static uint8_t row[PICTURE_WIDTH_MAX + 1];
    n = sizeof row;
    data = chunk_find(&file, "IDAT");
    CHECK_U64(uncompress(row, &n, data.ptr, data.len), Z_OK);
    CHECK_U64(row[width], 255);
    buf_release(&file);
    buf_init(&file, FILE_BYTES_MAX);
    CHECK(!picture_spectrogram(quiet, 0, 1, -80, 0, &file, &e));
    buf_release(&file);
}

int main(void)
{
    RUN(test_palette);
    RUN(test_rgb);
    RUN(test_limits);
    RUN(test_palette_brightens);
    RUN(test_spectrogram);
    return test_done();
}
