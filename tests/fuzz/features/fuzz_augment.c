/*
 * The text as a chain: what is accepted makes a view whose record makes the same bits again. The
 * text as a record: it is refused in words or leaves as many samples as there were.
 */
#include "base/err.h"
#include "base/mem.h"
#include "features/augment.h"

#include <stdlib.h>
#include <string.h>

enum { RATE = 22050, N = 300, TEXT_BYTES = 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void samples_fill(float *x)
{
    for (int i = 0; i < N; i++)
        x[i] = (float)(i * i % 97) / 97 - 0.5f;
    x[N] = 77;
}

static void check_chain(const char *text)
{
    struct err e = {0};
    struct augment_chain *chain = NULL;
    if (!augment_chain_new(text, &chain, &e)) {
        assert(e.kind == ERR_USAGE);
        assert(e.msg[0] != '\0');
        return;
    }
    char record[AUGMENT_RECORD_BYTES];
    float made[N + 1], again[N + 1];
    struct augment *a = augment_new(chain, RATE);
    samples_fill(made);
    samples_fill(again);
    bool ok = augment_apply(a, 1, 2, 3, 4, made, N, record, &e);
    bool ok_again = augment_apply_record(a, record, again, N, &e);
    assert(ok == ok_again); /* several gains of 120 dB may leave what cannot be clipped */
    assert(ok || e.kind == ERR_PERM);
    assert(!ok || memcmp(made, again, sizeof made) == 0);
    augment_free(a);
    augment_chain_free(chain);
}

static void check_record(const char *text)
{
    struct err e = {0};
    float x[N + 1];
    struct augment *a = augment_new(NULL, RATE);
    samples_fill(x);
    if (!augment_apply_record(a, text, x, N, &e)) {
        assert(e.kind == ERR_USAGE || e.kind == ERR_PERM);
        assert(e.msg[0] != '\0');
    }
    assert(x[N] == 77);
    augment_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_BYTES];
    size_t n = size_min(size, TEXT_BYTES - 1);
    memcpy(text, data, n);
    text[n] = '\0';
    check_chain(text);
    check_record(text);
    return 0;
}
