#include "base/conf.h"

#include "tests/conf_keys.h"
#include "tests/test.h"

static bool parse(const char *text, struct values *v, struct err *e)
{
    conf_defaults(&table, v);
    return conf_parse(&table, (struct span){text, strlen(text)}, "x.conf", v, e);
}

static void test_defaults(void)
{
    struct values v;
    struct err e = {0};
    CHECK_OK(parse("", &v, &e), &e);
    CHECK(!v.flag);
    CHECK_U64(v.count, 5);
    CHECK_NEAR(v.ratio, 0.5, 0);
    CHECK_STR(v.name, "");
    CHECK_U64(v.kind, 1);
    CHECK_U64(v.many, 1);
    CHECK_U64(v.limit.n, 1);
    CHECK_U64(v.limit.items[0].limit.rate.n, 20);
}

static void test_a_file_overrides(void)
{
    struct values v;
    struct err e = {0};
    CHECK_OK(parse("\xEF\xBB\xBF# a comment\r\n\r\nflag = on\r\ncount=10 # ten\n  ratio =1\n"
                   "name = a b#c = d\nkind = long\nlimit.default = off\n"
                   "limit.example.org = 50/5.5",
                   &v, &e),
             &e);
    CHECK(v.flag);
    CHECK_U64(v.count, 10);
    CHECK_NEAR(v.ratio, 1, 0);
    CHECK_STR(v.name, "a b#c = d");
    CHECK_U64(v.kind, 2);
    CHECK_U64(v.limit.n, 2);
    CHECK_U64(v.limit.items[0].limit.rate.n, 0);
    CHECK_STR(v.limit.items[1].name, "example.org");
    CHECK_NEAR(v.limit.items[1].limit.rate.window_s, 5.5, 0);
}

static void test_mistakes_name_the_line(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"flag = on\nflga = on\n", "x.conf:2: there is no key 'flga'"},
        {"count = 11", "x.conf:1: count: 11 is outside 1..10 items"},
        {"count = -1", "x.conf:1: count: '-1' is not a whole number"},
        {"count = 1e1", "x.conf:1: count: '1e1' is not a whole number"},
        {"count = 99999999999999999999", "x.conf:1: count: '99999999999999999999' is not a"},
        {"ratio = nan", "x.conf:1: ratio: 'nan' is not a number"},
        {"ratio =", "x.conf:1: ratio: '' is not a number"},
        {"kind = lon", "x.conf:1: kind: 'lon' is not one of a|b|long"},
        {"kind = 2", "x.conf:1: kind: '2' is not one of a|b|long"},
        {"many = 10", "x.conf:1: many: '10' is not one of one|few and no number 2..9"},
        {"many = -3", "x.conf:1: many: '-3' is not one of one|few and no number 2..9"},
        {"flag = maybe", "x.conf:1: flag: 'maybe' is not on or off"},
        {"\n\njust words", "x.conf:3: 'just words' has no '='"},
        {"flag = on\nflag = off", "x.conf:2: 'flag' is given twice"},
        {"limit. = 1/1", "x.conf:1: limit.: the name"},
        {"limit.a = 1/0", "x.conf:1: limit.a: '1/0' is not N/SECONDS"},
        {"limit.a = 0/1", "x.conf:1: limit.a: '0/1' is not N/SECONDS"},
        {"limit.a = 1/1,2/2,3/3,4/4", "x.conf:1: limit.a: '1/1,2/2,3/3,4/4' is not N/SECONDS"},
        {"limit.a = gap:3", "x.conf:1: limit.a: 'gap:3' is not N/SECONDS"},
        {"limit.a = 1/1,gap:0", "x.conf:1: limit.a: '1/1,gap:0' is not N/SECONDS"},
        {"limit.a = 1/1,gap:1,gap:2", "x.conf:1: limit.a: '1/1,gap:1,gap:2' is not N/SECONDS"},
        {"limit.a = 5", "x.conf:1: limit.a: '5' is not N/SECONDS"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct values v;
        struct err e = {0};
        CHECK(!parse(cases[i].text, &v, &e));
        CHECK(e.kind == ERR_USAGE);
        if (strncmp(e.msg, cases[i].want, strlen(cases[i].want)) != 0)
            CHECK_STR(e.msg, cases[i].want);
    }
}

static void test_what_is_printed_parses_to_the_same(void)
{
    struct values v, again;
    struct err e = {0};
    CHECK_OK(
        parse("count=3\nratio=0.125\nname=x y\nkind=a\nmany=7\nlimit.h=7/0.25, 90/60,gap:0.5\n", &v,
              &e),
        &e);
    struct buf first, second;
    buf_init(&first, 10000);
    buf_init(&second, 10000);
    CHECK_OK(conf_print(&table, &v, &first, &e), &e);
    conf_defaults(&table, &again);
    CHECK_OK(conf_parse(&table, buf_span(&first), "printed", &again, &e), &e);
    CHECK_OK(conf_print(&table, &again, &second, &e), &e);
    CHECK(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    CHECK_U64(again.count, 3);
    CHECK(again.many == -7);
    CHECK_U64(again.limit.n, 2);
    CHECK_U64(again.limit.items[1].limit.also[0].n, 90);
    CHECK_U64(again.limit.items[1].limit.also[1].n, 0);
    CHECK_NEAR(again.limit.items[1].limit.gap_s, 0.5, 0);
    buf_release(&first);
    buf_release(&second);
}

static void test_set(void)
{
    struct values v;
    struct err e = {0};
    conf_defaults(&table, &v);
    CHECK_OK(conf_set(&table, "limit.cdn.example=3/2", &v, &e), &e);
    CHECK_U64(v.limit.n, 2);
    CHECK(!conf_set(&table, "count", &v, &e));
    CHECK(strstr(e.msg, "no '='") != NULL);
    CHECK(!conf_set(&table, "count=0", &v, &e));
}

int main(void)
{
    RUN(test_defaults);
    RUN(test_a_file_overrides);
    RUN(test_mistakes_name_the_line);
    RUN(test_what_is_printed_parses_to_the_same);
    RUN(test_set);
    return test_done();
}
