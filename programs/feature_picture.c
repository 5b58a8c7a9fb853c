#include "programs/feature_picture.h"

#include "base/file.h"
#include "base/mem.h"
#include "programs/picture.h"
#include "programs/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PNG_BYTES_MAX = 64 << 20 };

enum feature_picture feature_picture_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot != NULL && strcmp(dot, ".png") == 0)
        return FEATURE_PICTURE_PNG;
    if (dot != NULL && strcmp(dot, ".svg") == 0)
        return FEATURE_PICTURE_SVG;
    return FEATURE_PICTURE_NONE;
}

/* ---------------------------------------------------------------- letters */

enum { GLYPH_WIDTH = 5, GLYPH_HEIGHT = 7, GLYPH_ADVANCE = 6, TEXT_SCALE = 2 };
enum { TEXT_HEIGHT = GLYPH_HEIGHT * TEXT_SCALE };

/* Rows from the top, the left pixel in bit 4: what axes need. */
static const struct glyph {
    char c;
    uint8_t rows[GLYPH_HEIGHT];
} glyphs[] = {
    {'0', {0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e}},
    {'1', {0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e}},
    {'2', {0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f}},
    {'3', {0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e}},
    {'4', {0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02}},
    {'5', {0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e}},
    {'6', {0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e}},
    {'7', {0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08}},
    {'8', {0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e}},
    {'9', {0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c}},
    {'.', {0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x0c}},
    {'-', {0x00, 0x00, 0x00, 0x1f, 0x00, 0x00, 0x00}},
    {'+', {0x00, 0x04, 0x04, 0x1f, 0x04, 0x04, 0x00}},
    {'e', {0x00, 0x00, 0x0e, 0x11, 0x1f, 0x10, 0x0e}},
    {'s', {0x00, 0x00, 0x0e, 0x10, 0x0e, 0x01, 0x1e}},
    {'H', {0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}},
    {'z', {0x00, 0x00, 0x1f, 0x02, 0x04, 0x08, 0x1f}},
};

struct canvas {
    uint32_t width, height;
    uint8_t *rgb;
};

static const uint8_t INK[3] = {0x3a, 0x42, 0x49};

/* What lies outside of the canvas is not drawn. */
static void canvas_fill(struct canvas *c, int64_t x, int64_t y, int64_t w, int64_t h,
                        const uint8_t rgb[3])
{
    for (int64_t row = y < 0 ? 0 : y; row < y + h && row < c->height; row++)
        for (int64_t column = x < 0 ? 0 : x; column < x + w && column < c->width; column++)
            memcpy(c->rgb + 3 * (row * c->width + column), rgb, 3);
}

static int64_t text_width(const char *text)
{
    return (int64_t)strlen(text) * GLYPH_ADVANCE * TEXT_SCALE - TEXT_SCALE;
}

static void canvas_text(struct canvas *c, int64_t x, int64_t y, const char *text)
{
    for (; *text != '\0'; text++, x += GLYPH_ADVANCE * TEXT_SCALE)
        for (size_t g = 0; g < ARRAY_LEN(glyphs); g++)
            for (int bit = 0; glyphs[g].c == *text && bit < GLYPH_WIDTH * GLYPH_HEIGHT; bit++)
                if (glyphs[g].rows[bit / GLYPH_WIDTH] >> (GLYPH_WIDTH - 1 - bit % GLYPH_WIDTH) & 1)
                    canvas_fill(c, x + bit % GLYPH_WIDTH * TEXT_SCALE,
                                y + bit / GLYPH_WIDTH * TEXT_SCALE, TEXT_SCALE, TEXT_SCALE, INK);
}

/* ---------------------------------------------------------------- PNG */

/* Margins hold five digits on the left, and half a label on the right. */
enum { LEFT = 84, RIGHT = 40, TOP = 16, BOTTOM = 44, TICK = 8, GAP = 6 };
enum { PIXELS_WIDE = 800, PIXELS_HIGH = 256 };

/* Whole pixels for a cell, so that a picture has at least about so many. */
static uint32_t cell_pixels(uint32_t n_cells, uint32_t n_pixels)
{
    return n_cells >= n_pixels ? 1 : (n_pixels + n_cells - 1) / n_cells;
}

static void draw_levels(struct canvas *c, const struct picture_levels *levels, uint32_t cell_w,
                        uint32_t cell_h)
{
    uint8_t palette[PNG_PALETTE_BYTES];
    picture_palette(palette);
    for (uint32_t y = 0; y < levels->height; y++)
        for (uint32_t x = 0; x < levels->width; x++)
            canvas_fill(c, LEFT + (int64_t)x * cell_w, TOP + (int64_t)y * cell_h, cell_w, cell_h,
                        palette + 3 * (size_t)levels->pixels[(size_t)y * levels->width + x]);
}

static void draw_axes(struct canvas *c, const struct plot_clip *clip)
{
    struct plot_tick ticks[PLOT_TICKS_MAX];
    const int64_t w = (int64_t)c->width - LEFT - RIGHT, h = (int64_t)c->height - TOP - BOTTOM;
    size_t n = plot_frequency_ticks(clip, ticks);
    for (size_t i = 0; i < n; i++) {
        int64_t y = TOP + llround((double)h * (1 - ticks[i].at));
        canvas_fill(c, LEFT - TICK, y - 1, TICK, 2, INK);
        canvas_text(c, LEFT - TICK - GAP - text_width(ticks[i].label), y - TEXT_HEIGHT / 2,
                    ticks[i].label);
    }
    canvas_text(c, LEFT - 3 * TICK - GAP - text_width("Hz"), TOP + h + TICK + GAP, "Hz");
    n = plot_time_ticks(clip, ticks);
    for (size_t i = 0; i < n; i++) {
        int64_t x = LEFT + llround((double)w * ticks[i].at);
        canvas_fill(c, x - 1, TOP + h, 2, TICK, INK);
        canvas_text(c, x - text_width(ticks[i].label) / 2, TOP + h + TICK + GAP, ticks[i].label);
    }
}

static bool write_png(const char *path, const struct plot_clip *clip,
                      const struct picture_levels *levels, struct err *e)
{
    uint32_t cell_w = cell_pixels(levels->width, PIXELS_WIDE);
    uint32_t cell_h = cell_pixels(levels->height, PIXELS_HIGH);
    struct canvas c = {.width = LEFT + levels->width * cell_w + RIGHT,
                       .height = TOP + levels->height * cell_h + BOTTOM};
    size_t n_bytes = 3 * (size_t)c.width * c.height;
    struct buf file;
    buf_init(&file, PNG_BYTES_MAX);
    c.rgb = mem_alloc(n_bytes, 1);
    memset(c.rgb, 0xff, n_bytes);
    draw_levels(&c, levels, cell_w, cell_h);
    draw_axes(&c, clip);
    const struct png picture = {.width = c.width, .height = c.height, .pixels = c.rgb};
    bool ok = png_encode(&picture, &file, e) && file_write_atomic(path, buf_span(&file), e);
    mem_free(c.rgb);
    buf_release(&file);
    return ok;
}

/* ---------------------------------------------------------------- SVG */

static bool write_svg(const char *path, struct plot_clip *clip, const float *values, double low,
                      double high, struct err *e)
{
    struct buf png;
    char *text = NULL;
    size_t n_bytes = 0;
    buf_init(&png, PNG_BYTES_MAX);
    bool ok = picture_spectrogram(values, clip->n_frames, clip->n_mels, low, high, &png, e);
    FILE *out = ok ? open_memstream(&text, &n_bytes) : NULL;
    if (ok && out == NULL)
        ok = err_set(e, ERR_FATAL, "no memory for %s", path);
    if (out != NULL) {
        clip->png = buf_span(&png);
        plot_spectrogram_file(out, clip);
        fclose(out);
        ok = file_write_atomic(path, (struct span){text, n_bytes}, e);
    }
    free(text);
    buf_release(&png);
    return ok;
}

bool feature_picture_write(const char *path, const struct feature_spec *spec, const float *values,
                           size_t n_frames, struct err *e)
{
    struct picture_levels levels;
    struct plot_clip clip = {
        .title = "log-mel spectrogram",
        .n_frames = (uint32_t)n_frames,
        .n_mels = spec->n_mels,
        .frame_s = (double)spec->hop / spec->rate_hz,
        .scale = spec->mel,
        .f_min_hz = spec->f_min_hz,
        .f_max_hz = feature_f_max_hz(spec),
    };
    double low, high;
    picture_range(spec, values, n_frames * spec->n_mels, &low, &high);
    if (feature_picture_of(path) == FEATURE_PICTURE_SVG)
        return write_svg(path, &clip, values, low, high, e);
    if (!picture_levels_init(&levels, values, clip.n_frames, clip.n_mels, low, high, e))
        return false;
    bool ok = write_png(path, &clip, &levels, e);
    picture_levels_release(&levels);
    return ok;
}
