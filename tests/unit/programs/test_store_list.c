#include "programs/store_bench.h"
#include "programs/store_list.h"
#include "tests/unit/store/fixture.h"

/*
 * What `refrain store` prints of a store of three tracks: the keys that other programs rely on.
 */
static struct store *make_store(char dir[PATH_BYTES])
{
    static const uint64_t rows[] = {7, 2, 40};
    struct err e = {0};
    struct store *s = NULL;
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, ARRAY_LEN(rows), 2, &e) && store_open(dir, &s, &e), &e);
    return s;
}

/* Starts collecting what is printed; text_end gives it, to be freed. */
struct text {
    char *chars;
    size_t len;
    FILE *out;
};

static void text_begin(struct text *t)
{
    *t = (struct text){0};
    t->out = open_memstream(&t->chars, &t->len);
    if (!t->out)
        abort();
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

static void test_stat(void)
{
    static const char *const keys[] = {"{\"clips\": 9, \"tracks\": 3, \"file_bytes\": ",
                                       "\"payload_bytes\": ",
                                       "\"bytes_per_clip\": ",
                                       "\"dtype\": \"u8\"",
                                       "\"max_error_db\": 0.15",
                                       "\"spec\": \"1234567890abcdef\"",
                                       "\"root\": \"",
                                       "\"recipe\": \"rate_hz=22050\\u000an_mels=24"};
    struct err e = {0};
    struct store_stat st;
    struct text text;
    char dir[PATH_BYTES];
    struct store *s = make_store(dir);
    CHECK_OK(store_stat(s, &st, &e), &e);
    for (int as_json = 0; as_json < 2; as_json++) {
        text_begin(&text);
        store_print_stat(&st, as_json, text.out);
        fclose(text.out);
        for (size_t i = 0; i < ARRAY_LEN(keys) && as_json; i++)
            if (!strstr(text.chars, keys[i]))
                test_fail(__FILE__, __LINE__, keys[i]);
        CHECK(as_json || strstr(text.chars, "9 of 3 tracks"));
        free(text.chars);
    }
    store_close(s);
    fixture_remove(dir);
}

static void test_list(void)
{
    struct err e = {0};
    struct text text;
    char dir[PATH_BYTES];
    struct store *s = make_store(dir);
    text_begin(&text);
    CHECK_OK(store_print_list(s, false, text.out, &e), &e);
    fclose(text.out);
    CHECK_U64(count(text.chars, "\n"), 1 + 9);
    CHECK_U64(count(text.chars, "TR00000040"), 3);
    CHECK(strstr(text.chars, "TR00000002") < strstr(text.chars, "TR00000007"));
    free(text.chars);
    text_begin(&text);
    CHECK_OK(store_print_list(s, true, text.out, &e), &e);
    fclose(text.out);
    CHECK(text.chars[0] == '[');
    CHECK_U64(count(text.chars, "\"shape\": [40, 24]"), 9);
    CHECK_U64(count(text.chars, "\"augment\": \"gain_db=2\""), 3);
    free(text.chars);
    store_close(s);
    fixture_remove(dir);
}

static void test_get(void)
{
    struct err e = {0};
    struct text text;
    struct stat st;
    uint64_t row = 0;
    char dir[PATH_BYTES], path[PATH_BYTES];
    struct store *s = make_store(dir);
    CHECK_OK(store_find_row(s, "TR00000040", &row, &e), &e);
    CHECK_U64(row, 40);
    CHECK_OK(store_find_row(s, "7", &row, &e), &e);
    CHECK_U64(row, 7);
    CHECK(!store_find_row(s, "TRX", &row, &e) && e.kind == ERR_PERM && strstr(e.msg, "TRX"));
    CHECK(!store_find_row(s, "8", &row, &e) && e.kind == ERR_PERM && strstr(e.msg, "row 8"));
    snprintf(path, sizeof path, "%.3000s/out.npy", dir);
    text_begin(&text);
    CHECK_OK(store_print_record(s, store_key(7, 0, 1), path, true, text.out, &e), &e);
    fclose(text.out);
    CHECK(strstr(text.chars, "{\"track\": \"TR00000007\", \"row\": 7, \"clip\": 0, \"view\": 1, "
                             "\"start_ms\": 22, \"shape\": [40, 24], \"augment\": \"gain_db=1\""));
    CHECK(strstr(text.chars, "\"views\": 3"));
    free(text.chars);
    CHECK(stat(path, &st) == 0 && st.st_size > FIXTURE_FRAMES * FIXTURE_MELS * 4);
    CHECK(!store_print_record(s, store_key(7, 0, 3), NULL, true, stdout, &e));
    CHECK(e.kind == ERR_PERM && strstr(e.msg, "view 3"));
    store_close(s);
    fixture_remove(dir);
}

static void test_bench_counts(void)
{
    struct err e = {0};
    struct store_bench_result result = {0};
    char dir[PATH_BYTES];
    struct store *s = make_store(dir);
    CHECK_OK(store_bench(s, 2, 0.05, 0, &result, &e), &e);
    CHECK(result.clips > 0 && result.clips % STORE_BENCH_BATCH == 0);
    CHECK(result.seconds > 0 && result.clips_per_s > 0);
    store_close(s);
    fixture_remove(dir);
}

int main(void)
{
    RUN(test_stat);
    RUN(test_list);
    RUN(test_get);
    RUN(test_bench_counts);
    return test_done();
}
