/* Whatever the text, the parser answers; what it accepts, it prints and accepts again. */
#include "base/conf.h"

struct values {
    bool flag;
    uint64_t count;
    double ratio;
    char name[CONF_STR_BYTES];
    int kind;
    struct conf_rate_list limit;
};

static const struct conf_key keys[] = {
    {"flag", CONF_BOOL, offsetof(struct values, flag), "off", 0, 0, "", "A switch.", NULL},
    {"count", CONF_U64, offsetof(struct values, count), "5", 1, 1e9, "items", "How many.", NULL},
    {"ratio", CONF_F64, offsetof(struct values, ratio), "0.5", 0, 1, "", "How much.", NULL},
    {"name", CONF_STR, offsetof(struct values, name), "", 0, 0, "", "What.", NULL},
    {"kind", CONF_ENUM, offsetof(struct values, kind), "b", 0, 0, "", "Which.", "a|b|long"},
    {"limit.*", CONF_RATES, offsetof(struct values, limit), "default=20/1", 0, 0, "N/SECONDS",
     "How often.", NULL},
};
static const struct conf_table table = {keys, ARRAY_LEN(keys)};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct values v, again;
    struct err e = {0};
    conf_defaults(&table, &v);
    if (!conf_parse(&table, (struct span){data, size}, "fuzz", &v, &e)) {
        assert(e.kind == ERR_USAGE);
        assert(e.msg[0] != '\0');
        return 0;
    }
    struct buf text;
    buf_init(&text, 1 << 20);
    bool ok = conf_print(&table, &v, &text, &e);
    assert(ok);
    conf_defaults(&table, &again);
    ok = conf_parse(&table, buf_span(&text), "printed", &again, &e);
    assert(ok);
    assert(again.count == v.count && again.kind == v.kind && again.limit.n == v.limit.n);
    buf_release(&text);
    return 0;
}
