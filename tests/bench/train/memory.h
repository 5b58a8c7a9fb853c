/*
 * What the kernel says about this process's memory.
 */
#ifndef REFRAIN_BENCH_MEMORY_H
#define REFRAIN_BENCH_MEMORY_H

#include <stdio.h>
#include <string.h>

/* A line of /proc/self/status: "VmHWM" (resident at its peak, mapped files included), "RssAnon"
 * (resident now, without them). 0 where there is none. */
static inline size_t memory_kib(const char *name)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    size_t kib = 0, len = strlen(name);
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, len) == 0 && line[len] == ':' &&
            sscanf(line + len + 1, "%zu", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib;
}

#endif
