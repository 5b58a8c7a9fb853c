/* Whatever the text, the parser answers; what it accepts, it prints and accepts again. */
#include "base/conf.h"
#include "tests/conf_keys.h"

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
