#include "programs/store_probe.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096, SEQUENTIAL_BYTES = 4 << 20, PURPOSE_PROBE = 0x70726f62 };

/* ---------------------------------------------------------------- memory */

/* The number behind `name` in the first line that begins so; UINT64_MAX when there is none ("max").
 */
static uint64_t read_number(const char *path, const char *name)
{
    char line[256];
    uint64_t value = UINT64_MAX;
    FILE *f = fopen(path, "r");
    while (f && value == UINT64_MAX && fgets(line, sizeof line, f)) {
        if (strncmp(line, name, strlen(name)) != 0)
            continue;
        const char *digits = line + strlen(name) + strspn(line + strlen(name), " ");
        if (*digits >= '0' && *digits <= '9')
            value = strtoull(digits, NULL, 10);
    }
    if (f)
        fclose(f);
    return value;
}

uint64_t probe_memory_bytes(void)
{
    uint64_t available = read_number("/proc/meminfo", "MemAvailable:");
    uint64_t limit = u64_min(read_number("/sys/fs/cgroup/memory.max", ""),
                             read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", ""));
    uint64_t bytes = available < UINT64_MAX >> 10 ? available << 10 : UINT64_MAX;
    return u64_min(bytes, limit);
}

/* ---------------------------------------------------------------- disk */

struct prober {
    int fd;
    uint64_t file_bytes, piece_bytes, end_ns, thread_i, read_bytes;
    bool random;
    uint8_t *buffer;
};

static void *prober_run(void *arg)
{
    struct prober *p = arg;
    struct rng r;
    uint64_t at = 0, n_blocks = (p->file_bytes - p->piece_bytes) / BLOCK_BYTES + 1;
    rng_init(&r, 1, PURPOSE_PROBE, p->thread_i);
    while (clock_now_ns() < p->end_ns) {
        if (p->random)
            at = rng_below(&r, n_blocks) * BLOCK_BYTES;
        else if (at + p->piece_bytes > p->file_bytes)
            at = 0;
        ssize_t n = pread(p->fd, p->buffer, p->piece_bytes, (off_t)at);
        if (n <= 0)
            break;
        at += p->piece_bytes;
        p->read_bytes += (uint64_t)n;
    }
    return NULL;
}

/* n_threads at once; bytes a second. */
static double probe_rate(int fd, uint64_t file_bytes, uint64_t piece_bytes, bool random,
                         size_t n_threads)
{
    struct prober probers[PROBE_DEPTH];
    pthread_t threads[PROBE_DEPTH];
    uint64_t start_ns = clock_now_ns(), read_bytes = 0;
    size_t n_started = 0;
    for (; n_started < n_threads; n_started++) {
        struct prober *p = &probers[n_started];
        *p = (struct prober){.fd = fd,
                             .file_bytes = file_bytes,
                             .piece_bytes = piece_bytes,
                             .end_ns = start_ns + PROBE_MS * NS_PER_MS,
                             .thread_i = n_started,
                             .random = random};
        if (posix_memalign((void **)&p->buffer, BLOCK_BYTES, piece_bytes) != 0)
            break;
        if (pthread_create(&threads[n_started], NULL, prober_run, p) != 0) {
            free(p->buffer);
            break;
        }
    }
    for (size_t i = 0; i < n_started; i++) {
        pthread_join(threads[i], NULL);
        read_bytes += probers[i].read_bytes;
        free(probers[i].buffer);
    }
    return (double)read_bytes / ((double)(clock_now_ns() - start_ns) / 1e9);
}

bool probe_disk(const char *file, uint64_t piece_bytes, struct probe_disk *out, struct err *e)
{
    struct stat st;
    uint64_t piece = (piece_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    *out = (struct probe_disk){0};
    int fd = open(file, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0 && errno == EINVAL)
        return true;
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_fill_errno(e, ERR_FATAL, errno, "cannot open %s", file);
        if (fd >= 0)
            close(fd);
        return false;
    }
    uint64_t file_bytes = (uint64_t)st.st_size;
    if (piece > 0 && file_bytes >= piece) {
        uint64_t run = SEQUENTIAL_BYTES;
        while (run > file_bytes)
            run /= 2;
        out->sequential_bytes_per_s = probe_rate(fd, file_bytes, run, false, 1);
        out->random_bytes_per_s = probe_rate(fd, file_bytes, piece, true, PROBE_DEPTH);
        out->known = out->sequential_bytes_per_s > 0 && out->random_bytes_per_s > 0;
    }
    close(fd);
    return true;
}
