/*
 * Runs a fuzz target under plain gcc: every file of the given corpus folders once as it is, then
 * mutations of them, drawn from a fixed seed so that a failure comes back. Usage:
 *
 *     fuzz_record [-n EXECUTIONS] [-s SEED] CORPUS...
 *
 * The target is libFuzzer's, so the same file also builds with clang -fsanitize=fuzzer.
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_MAX_BYTES = 1 << 20, INPUTS_MAX = 1024, MUTATIONS_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct corpus {
    size_t n;
    struct buf items[INPUTS_MAX];
};

static void corpus_add(struct corpus *c, const char *path)
{
    struct err e = {0};
    struct stat st;
    if (stat(path, &st) != 0 || c->n == INPUTS_MAX)
        return;
    if (S_ISDIR(st.st_mode)) {
        DIR *dir = opendir(path);
        for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
            char child[PATH_BYTES];
            if (d->d_name[0] != '.' && path_join(child, path, d->d_name, &e))
                corpus_add(c, child);
        }
        if (dir != NULL)
            closedir(dir);
        return;
    }
    struct buf *b = &c->items[c->n];
    buf_init(b, INPUT_MAX_BYTES);
    if (file_read_all(path, b, &e))
        c->n++;
    else
        fprintf(stderr, "%s\n", e.msg);
}

/* Flips, overwrites, cuts, doubles or splices: what breaks parsers most. */
static size_t mutate(struct rng *r, const struct corpus *c, uint8_t *data, size_t len)
{
    size_t n_mutations = 1 + rng_below(r, MUTATIONS_MAX);
    for (size_t i = 0; i < n_mutations; i++) {
        size_t at = len == 0 ? 0 : rng_below(r, len);
        switch (rng_below(r, 6)) {
        case 0:
            if (len > 0)
                data[at] ^= (uint8_t)(1u << rng_below(r, 8));
            break;
        case 1:
            if (len > 0)
                data[at] = (uint8_t)rng_u32(r);
            break;
        case 2:
            len = at;
            break;
        case 3: { /* repeat a piece */
            size_t n = len == 0 ? 0 : rng_below(r, size_min(len - at, 64) + 1);
            if (len + n <= INPUT_MAX_BYTES) {
                memmove(data + at + n, data + at, len - at);
                len += n;
            }
            break;
        }
        case 4: { /* a piece of another input */
            const struct buf *other = &c->items[rng_below(r, c->n)];
            size_t n = size_min(other->len, len - at);
            if (n > 0)
                memcpy(data + at, other->data + rng_below(r, other->len - n + 1), n);
            break;
        }
        default: { /* a length that hurts */
            static const uint32_t values[] = {0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff, 0xffffffff};
            uint32_t v = values[rng_below(r, ARRAY_LEN(values))];
            if (len - at >= 4)
                memcpy(data + at, &v, 4);
            break;
        }
        }
    }
    return len;
}

/* Each input lies in memory of its exact size, so that ASan sees the first byte too far. */
static void execute(const uint8_t *data, size_t len)
{
    uint8_t *exact = mem_alloc(len == 0 ? 1 : len, 1);
    if (len > 0)
        memcpy(exact, data, len);
    LLVMFuzzerTestOneInput(exact, len);
    mem_free(exact);
}

int main(int argc, char **argv)
{
    uint64_t n_executions = 2000, seed = 1;
    struct corpus *c = mem_zalloc(1, sizeof *c);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            n_executions = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else
            corpus_add(c, argv[i]);
    }
    if (c->n == 0) {
        fprintf(stderr, "%s: no corpus file could be read\n", argv[0]);
        return 1;
    }
    for (size_t i = 0; i < c->n; i++)
        execute(c->items[i].data, c->items[i].len);

    uint8_t *data = mem_alloc(INPUT_MAX_BYTES, 1);
    for (uint64_t i = 0; i < n_executions; i++) {
        struct rng r;
        rng_init(&r, seed, 0, i);
        const struct buf *from = &c->items[rng_below(&r, c->n)];
        memcpy(data, from->data, from->len);
        execute(data, mutate(&r, c, data, from->len));
    }
    printf("ok 1 - %zu inputs and %" PRIu64 " mutations\n1..1\n", c->n, n_executions);
    for (size_t i = 0; i < c->n; i++)
        buf_release(&c->items[i]);
    mem_free(data);
    mem_free(c);
    return 0;
}
