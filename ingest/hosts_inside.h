/* What hosts.c and hosts_memory.c share. */
#ifndef REFRAIN_HOSTS_INSIDE_H
#define REFRAIN_HOSTS_INSIDE_H

#include "ingest/hosts.h"

enum { HOSTS_REMEMBERED_MAX = 64 };

/* Of a group that an earlier run knew. */
struct host_memory {
    char name[CONF_NAME_BYTES];
    uint32_t level, ceiling; /* ceiling 0: none */
    int64_t ceiling_s;       /* wall clock */
    int64_t paused_until_ms; /* wall clock */
};

struct hosts {
    struct hosts_params params;
    size_t n_groups;
    struct host_group *groups[HOSTS_MAX];
    uint64_t n_draws;
    bool has_news;
    size_t n_memories;
    struct host_memory memories[HOSTS_REMEMBERED_MAX];
    int64_t recalled_ms; /* wall clock and our clock when they were recalled */
    uint64_t recalled_ns;
};

/* Gives a new group what is remembered of it. */
void hosts_recall_group(struct hosts *h, struct host_group *g);

#endif
