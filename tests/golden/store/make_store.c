/*
 * make_store DIR FIRST_ROW N_ROWS [u8|u12|f32|raw|archive]: puts made-up tracks
 * (tests/unit/store/fixture.h) into the data set DIR, for tests in other languages. The values
 * before they were stored go to DIR/original.f32, in the order written: (tracks, views, frames,
 * mels).
 */
#include "tests/unit/store/fixture.h"

enum { ARG_DIR = 1, ARG_FIRST, ARG_N, ARG_DTYPE, ROWS_MAX = 1 << 20 };

static bool put_rows(const char *dir, uint64_t first, uint64_t n, enum record_dtype dtype,
                     FILE *original, struct err *e)
{
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(dtype, 1);
    float db[FIXTURE_FRAMES * FIXTURE_MELS];
    recipe.dtype = dtype;
    bool ok = store_writer_open(dir, &recipe, &params, &w, e);
    for (uint64_t row = first; row < first + n && ok; row++) {
        bool added = false;
        ok = fixture_put(w, enc, row, &added, e);
        for (uint64_t i = 0; i < FIXTURE_VIEWS && ok; i++) {
            fixture_clip(row * FIXTURE_VIEWS + i, FIXTURE_FRAMES, FIXTURE_MELS, db);
            ok = fwrite(db, sizeof db, 1, original) == 1 ||
                 err_set(e, ERR_FATAL, "cannot write the original values");
        }
    }
    ok = ok && store_commit(w, e);
    store_writer_close(w);
    record_encoder_free(enc);
    return ok;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    char path[PATH_BYTES];
    enum record_dtype dtype = RECORD_U8;
    if (argc <= ARG_N || (argc > ARG_DTYPE && !record_dtype_parse(argv[ARG_DTYPE], &dtype))) {
        fprintf(stderr, "usage: make_store DIR FIRST_ROW N_ROWS [u8|u12|f32|raw|archive]\n");
        return 2;
    }
    uint64_t first = strtoull(argv[ARG_FIRST], NULL, 10), n = strtoull(argv[ARG_N], NULL, 10);
    if (n > ROWS_MAX || !path_join(path, argv[ARG_DIR], "original.f32", &e))
        return 2;
    FILE *original = fopen(path, "w");
    bool ok = original && put_rows(argv[ARG_DIR], first, n, dtype, original, &e);
    if (!ok || fclose(original) != 0) {
        fprintf(stderr, "make_store: %s\n", e.msg);
        return 1;
    }
    return 0;
}
