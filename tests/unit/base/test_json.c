#include "base/json.h"

#include "tests/test.h"

#include <stdlib.h>

static char *written(void (*write)(struct json *))
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    struct json j;
    json_init(&j, f);
    write(&j);
    json_finish(&j);
    fclose(f);
    return text;
}

static void write_nested(struct json *j)
{
    json_object(j, NULL);
    json_u64(j, "clips", UINT64_MAX);
    json_i64(j, "left", -1);
    json_array(j, "shape");
    json_u64(j, NULL, 431);
    json_u64(j, NULL, 128);
    json_end(j);
    json_object(j, "states");
    json_end(j);
    json_bool(j, "ok", true);
    json_f64(j, "loss", 0.25);
    json_f64(j, "none", (double)NAN);
    json_hex64(j, "root", 0xabc);
    json_end(j);
}

static void test_nesting(void)
{
    char *text = written(write_nested);
    CHECK_STR(text, "{\"clips\": 18446744073709551615, \"left\": -1, \"shape\": [431, 128], "
                    "\"states\": {}, \"ok\": true, \"loss\": 0.25, \"none\": null, "
                    "\"root\": \"0000000000000abc\"}\n");
    free(text);
}

static void write_strings(struct json *j)
{
    json_array(j, NULL);
    json_str(j, NULL, "a\"b\\c\n\x01 \xC3\xA9 \xF0\x9F\x8E\xB5");
    json_str(j, NULL, "\xFF\xC3|\xC0\xAF|\xED\xA0\x80|\xF5\x80\x80\x80");
    json_str(j, NULL, NULL);
    json_end(j);
}

static void test_strings_are_always_valid(void)
{
    char *text = written(write_strings);
    CHECK_STR(text, "[\"a\\\"b\\\\c\\u000a\\u0001 \xC3\xA9 \xF0\x9F\x8E\xB5\", "
                    "\"\\ufffd\\ufffd|\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd|"
                    "\\ufffd\\ufffd\\ufffd\\ufffd\", null]\n");
    free(text);
}

int main(void)
{
    RUN(test_nesting);
    RUN(test_strings_are_always_valid);
    return test_done();
}
