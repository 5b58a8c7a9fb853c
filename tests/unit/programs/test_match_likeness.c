/* Which model is meant, and what its program's answer is taken for. */
#include "programs/match_likeness.h"
#include "tests/test.h"

#include <math.h>
#include <string.h>

static bool parse(const char *text, struct likeness *out, struct err *e)
{
    *out = (struct likeness){.asked = true};
    return likeness_parse((struct span){text, strlen(text)}, out, e);
}

static void test_answer(void)
{
    struct likeness l;
    struct err e = {0};
    CHECK_OK(parse("{\"cohort_pairs\":45,\"pairs\":[{\"a\":\"x \\\"y\\\"\",\"b\":\"z\","
                   "\"cosine\":-0.25,\"percentile\":12.5,\"new\":[1,{}]}],\"later\":null}",
                   &l, &e),
             &e);
    CHECK(l.cosine == -0.25);
    CHECK(l.percentile == 12.5);
    CHECK(l.cohort_pairs == 45);
}

static void test_no_answer(void)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{\"pairs\":[]}",
        "{\"pairs\":[{\"cosine\":0.5}]}",
        "{\"pairs\":[{\"cosine\":2,\"percentile\":50}]}",
        "{\"pairs\":[{\"cosine\":0.5,\"percentile\":101}]}",
        "{\"pairs\":[{\"cosine\":0.5,\"percentile\":50}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct likeness l;
        struct err e = {0};
        CHECK(!parse(bad[i], &l, &e));
        CHECK(strstr(e.msg, "refrain embed") != NULL);
    }
}

static void test_no_model(void)
{
    static struct likeness_model m;
    struct err e = {0};
    CHECK(!likeness_model_find("/nowhere/at-all", &m, &e));
    CHECK(e.kind == ERR_USAGE);
    CHECK(strstr(e.msg, "/nowhere is not a directory") != NULL);
}

int main(void)
{
    RUN(test_answer);
    RUN(test_no_answer);
    RUN(test_no_model);
    return test_done();
}
