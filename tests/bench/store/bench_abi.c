/*
 * bench_abi DIR BATCH SECONDS: random batches through store/abi.h by one thread into one array, as
 * a C program reads them; prints clips a second of processor time, which neighbours on the machine
 * do not change much. tests/bench/bench_peers.sh holds Python against it.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "store/abi.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ARG_DIR = 1, ARG_BATCH, ARG_SECONDS, ARGS, PURPOSE = 78 };

static int fail(const char *why)
{
    fprintf(stderr, "bench_abi: %s\n", why);
    return 1;
}

static double read_for(struct refrain_store *s, const struct refrain_store_stat *st, size_t batch,
                       double seconds, char *why)
{
    uint64_t n_keys, keys[4096], n_read = 0;
    const uint64_t *all = refrain_store_keys(s, &n_keys);
    size_t out_bytes = batch * st->n_frames * st->n_mels * sizeof(float);
    float *out = mem_alloc_aligned(out_bytes, 1);
    struct rng r;
    rng_init(&r, 1, PURPOSE, 0);
    clock_t start = 0, now = 0;
    for (int warm = 0; warm < 2; warm++) { /* the first time round is not counted */
        n_read = 0;
        start = now = clock();
        while ((double)(now - start) < (warm ? seconds : seconds / 4) * CLOCKS_PER_SEC) {
            for (size_t i = 0; i < batch; i++)
                keys[i] = all[rng_below(&r, n_keys)];
            if (refrain_store_read_batch(s, keys, batch, out, out_bytes, REFRAIN_STORE_F32,
                                         REFRAIN_STORE_TIME_MAJOR, 1, why,
                                         REFRAIN_STORE_ERR_BYTES) != REFRAIN_STORE_OK) {
                mem_free(out);
                return 0;
            }
            n_read += batch;
            now = clock();
        }
    }
    mem_free(out);
    return (double)n_read * CLOCKS_PER_SEC / (double)(now - start);
}

int main(int argc, char **argv)
{
    struct refrain_store *s;
    struct refrain_store_stat st;
    char why[REFRAIN_STORE_ERR_BYTES];
    if (argc != ARGS) {
        printf("bench_abi DIR BATCH SECONDS is run by tests/bench/bench_peers.sh\n");
        return 0;
    }
    size_t batch = strtoull(argv[ARG_BATCH], NULL, 10);
    if (batch < 1 || batch > 4096)
        return fail("a batch has 1 to 4096 clips");
    if (refrain_store_open(argv[ARG_DIR], &s, why, sizeof why) != REFRAIN_STORE_OK)
        return fail(why);
    double rate = 0;
    if (refrain_store_stat(s, &st, sizeof st, why, sizeof why) == REFRAIN_STORE_OK)
        rate = read_for(s, &st, batch, strtod(argv[ARG_SECONDS], NULL), why);
    refrain_store_close(s);
    if (rate <= 0)
        return fail(why);
    printf("%.1f\n", rate);
    return 0;
}
