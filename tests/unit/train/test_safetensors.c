/* Round trip, and files that lie. */
#include "base/file.h"
#include "base/mem.h"
#include "tests/test.h"
#include "train/safetensors.h"

#include <stdlib.h>
#include <unistd.h>

static char path[64];

static bool load(struct buf *bytes, struct safetensors *st, struct err *e)
{
    buf_init(bytes, 1 << 20);
    return file_read_all(path, bytes, e) && safetensors_parse(buf_span(bytes), st, e);
}

static void test_round_trip(void)
{
    struct safetensors out, in = {0};
    struct buf bytes;
    struct err e = {0};
    float weights[6] = {1, -2, 3.5f, 0, 1e-20f, -1e20f};
    double scalar = 0.1;
    safetensors_init(&out);
    safetensors_add(&out, "layer.weight", "F32", (uint64_t[]){2, 3}, 2, weights);
    safetensors_add(&out, "scalar", "F64", NULL, 0, &scalar);
    safetensors_add(&out, "empty", "I64", (uint64_t[]){0, 7}, 2, weights);
    safetensors_add_note(&out, "note", "quote \" backslash \\ line\n%d", 7);
    CHECK_OK(safetensors_write(&out, path, &e), &e);
    CHECK_OK(load(&bytes, &in, &e), &e);
    CHECK_U64(in.n_tensors, 3);
    const struct safetensor *t = safetensors_find(&in, "layer.weight");
    CHECK(t != NULL && t->n_dims == 2 && t->dims[0] == 2 && t->dims[1] == 3);
    CHECK(t != NULL && memcmp(t->bytes, weights, sizeof weights) == 0);
    t = safetensors_find(&in, "scalar");
    CHECK(t != NULL && t->n_dims == 0 && memcmp(t->bytes, &scalar, sizeof scalar) == 0);
    t = safetensors_find(&in, "empty");
    CHECK(t != NULL && t->n_bytes == 0 && t->dims[1] == 7);
    CHECK_STR(safetensors_note(&in, "note"), "quote \" backslash \\ line\n7");
    CHECK(safetensors_find(&in, "no such") == NULL);
    CHECK(safetensors_note(&in, "no such") == NULL);
    /* PyTorch's reader wants the data aligned and the header to begin with a brace */
    uint64_t header;
    memcpy(&header, bytes.data, 8);
    CHECK_U64((8 + header) % 64, 0);
    CHECK(bytes.data[8] == '{' && bytes.data[8 + header - 1] != '\n');
    safetensors_release(&in);
    safetensors_release(&out);
    safetensors_release(&out);
    buf_release(&bytes);
}

/* A file made of a header and n zero bytes. */
static bool parse(const char *header, size_t n_data, struct safetensors *st, struct err *e)
{
    static uint8_t file[4096];
    uint64_t len = strlen(header);
    memset(file, 0, sizeof file);
    memcpy(file, &len, 8);
    memcpy(file + 8, header, len);
    *e = (struct err){0};
    return safetensors_parse((struct span){file, 8 + len + n_data}, st, e);
}

static void refuse(const char *header, size_t n_data, const char *why)
{
    struct safetensors st;
    struct err e;
    bool ok = parse(header, n_data, &st, &e);
    if (ok || strstr(e.msg, why) == NULL) {
        test_fail(__FILE__, __LINE__, header);
        printf("#   wanted \"%s\", got \"%s\"\n", why, ok ? "no error" : e.msg);
    }
    safetensors_release(&st);
}

static void test_accepts(void)
{
    static const char *const headers[] = {
        "{}",
        "{} ",
        "{\"__metadata__\":{}}",
        "{ \"a\" : { \"shape\" : [ 2 ] , \"data_offsets\" : [0,8], \"dtype\" : \"F32\" } }",
        "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[2,2],\"data_offsets\":[0,4]}}",
        "{\"\\u00e9\\t\":{\"dtype\":\"BOOL\",\"shape\":[8],\"data_offsets\":[0,8]}}"};
    static const size_t data[] = {0, 0, 0, 8, 8, 8};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        struct safetensors st;
        struct err e;
        CHECK_OK(parse(headers[i], data[i], &st, &e), &e);
        safetensors_release(&st);
    }
}

#define A8 "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

static void test_refuses(void)
{
    refuse("", 0, "'{' expected");
    refuse(" {}", 0, "'{' expected");
    refuse("{", 0, "expected");
    refuse("{} x", 0, "behind the closing brace");
    refuse("{" A8 "}", 7, "the data are 7 bytes");
    refuse("{" A8 "}", 9, "1 bytes behind the last tensor");
    refuse("{" A8 "," A8 "}", 8, "twice");
    refuse("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "given twice");
    refuse("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "given twice");
    refuse("{\"__metadata__\":{\"a\":1}}", 0, "'\"' expected");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "shape needs");
    refuse("{\"a\":{\"dtype\":\"Q7\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "unknown type");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "lacks a field");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "lies at");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]}}", 8, "two numbers");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "whole number");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[02],\"data_offsets\":[0,8]}}", 8, "leading zero");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,0]}}",
           0, "shape needs");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
           "too many numbers");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[99999999999999999999],\"data_offsets\":[0,1]}}", 1,
           "too large");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "hole");
    refuse("{" A8 ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "overlap");
    refuse("{\"a\":{\"dtype\":\"F32\",\"more\":1}}", 0, "unknown or repeated");
    refuse("{\"\\ud800\":{}}", 0, "surrogate");
    refuse("{\"\\u0000\":{}}", 0, "NUL");
    refuse("{\"a", 0, "cut off");
    refuse("{\"a\nb\":{}}", 0, "control character");
}

static void test_refuses_lengths(void)
{
    struct safetensors st;
    struct err e = {0};
    uint8_t file[16] = {0};
    CHECK(!safetensors_parse((struct span){file, 7}, &st, &e));
    safetensors_release(&st);
    uint64_t huge = UINT64_MAX - 7;
    memcpy(file, &huge, 8);
    CHECK(!safetensors_parse((struct span){file, 16}, &st, &e));
    safetensors_release(&st);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/refrain-safetensors-%d", (int)getpid());
    RUN(test_round_trip);
    RUN(test_accepts);
    RUN(test_refuses);
    RUN(test_refuses_lengths);
    unlink(path);
    return test_done();
}
