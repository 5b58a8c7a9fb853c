#include "store/frame.h"

#include "base/mem.h"

#include <zstd.h>

enum {
    FLUSH_BYTES = 64, /* what a block more may take */
    HASH_LOG = 6,
    MATCH_BYTES = 7
};

struct frame_writer {
    ZSTD_CCtx *zstd;
};

static void parameter_set(ZSTD_CCtx *zstd, ZSTD_cParameter parameter, int value)
{
    size_t rc = ZSTD_CCtx_setParameter(zstd, parameter, value);
    assert(!ZSTD_isError(rc));
}

struct frame_writer *frame_writer_new(int level, bool literals)
{
    struct frame_writer *w = mem_zalloc(1, sizeof *w);
    w->zstd = ZSTD_createCCtx();
    assert(w->zstd);
    parameter_set(w->zstd, ZSTD_c_compressionLevel, level);
    if (literals) { /* 64 places to look at and 7 bytes or nothing: long repeats are found all the
                       same */
        parameter_set(w->zstd, ZSTD_c_hashLog, HASH_LOG);
        parameter_set(w->zstd, ZSTD_c_minMatch, MATCH_BYTES);
    }
    parameter_set(w->zstd, ZSTD_c_contentSizeFlag, 1);
    parameter_set(w->zstd, ZSTD_c_checksumFlag, 0);
    parameter_set(w->zstd, ZSTD_c_dictIDFlag, 0);
    return w;
}

void frame_writer_free(struct frame_writer *w)
{
    if (!w)
        return;
    ZSTD_freeCCtx(w->zstd);
    mem_free(w);
}

size_t frame_bytes_max(size_t n_bytes, size_t n_parts)
{
    return ZSTD_compressBound(n_bytes) + n_parts * FLUSH_BYTES;
}

bool frame_write(struct frame_writer *w, const uint8_t *bytes, const size_t *part_bytes,
                 size_t n_parts, uint8_t *out, size_t out_bytes_max, size_t *out_bytes,
                 struct err *e)
{
    size_t n_bytes = 0;
    ZSTD_outBuffer to = {out, out_bytes_max, 0};
    for (size_t i = 0; i < n_parts; i++)
        n_bytes += part_bytes[i];
    size_t rc = ZSTD_CCtx_reset(w->zstd, ZSTD_reset_session_only);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setPledgedSrcSize(w->zstd, n_bytes);
    for (size_t i = 0; i < n_parts && !ZSTD_isError(rc); bytes += part_bytes[i++]) {
        ZSTD_inBuffer from = {bytes, part_bytes[i], 0};
        do {
            rc = ZSTD_compressStream2(w->zstd, &to, &from,
                                      i + 1 < n_parts ? ZSTD_e_flush : ZSTD_e_end);
        } while (!ZSTD_isError(rc) && rc != 0 && to.pos < to.size);
        if (!ZSTD_isError(rc) && rc != 0)
            return err_set(e, ERR_FATAL, "zstd needs more than %zu bytes for %zu", out_bytes_max,
                           n_bytes);
    }
    if (ZSTD_isError(rc))
        return err_set(e, ERR_FATAL, "zstd cannot compress %zu bytes: %s", n_bytes,
                       ZSTD_getErrorName(rc));
    *out_bytes = to.pos;
    return true;
}

struct frame_reader {
    ZSTD_DCtx *zstd;
};

struct frame_reader *frame_reader_new(void)
{
    struct frame_reader *r = mem_zalloc(1, sizeof *r);
    r->zstd = ZSTD_createDCtx();
    assert(r->zstd);
    return r;
}

void frame_reader_free(struct frame_reader *r)
{
    if (!r)
        return;
    ZSTD_freeDCtx(r->zstd);
    mem_free(r);
}

bool frame_read(struct frame_reader *r, struct span frame, uint8_t *out, size_t out_bytes_max,
                size_t *out_bytes, struct err *e)
{
    size_t got = ZSTD_decompressDCtx(r->zstd, out, out_bytes_max, frame.ptr, frame.len);
    if (ZSTD_isError(got))
        return err_set(e, ERR_PERM, "record is damaged: zstd says \"%s\"", ZSTD_getErrorName(got));
    *out_bytes = got;
    return true;
}
