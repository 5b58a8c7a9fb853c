/*
 * What a process that decodes foreign bytes may still do: compute, use the memory it has and some
 * more, and answer on one socket. The only file that knows libseccomp is behind this header.
 *
 * Resource limits hold everywhere: no further descriptor, process, file byte or core dump, so much
 * address space, so much processor time. The system call filter (seccomp, an allow-list) holds
 * where the kernel lets us have one; some containers do not. Any call that is not on the list ends
 * the process with SIGSYS at once.
 *
 * Builds for AddressSanitizer and ThreadSanitizer have no limit on address space, because their
 * shadow memory is terabytes of it, and may report on stderr.
 */
#ifndef REFRAIN_CONFINE_H
#define REFRAIN_CONFINE_H

#include "base/err.h"

struct confinement {
    uint64_t memory_bytes; /* of address space beyond what the process has */
    uint64_t cpu_s;        /* of processor time in its whole life */
    int socket_fd;         /* the one that it may receive and send on */
};

/* Confines the calling process, for good. False: the resource limits were refused.
 * *out_filter_error is 0, or why there is no filter (an errno); the limits hold then nevertheless.
 */
MUST_CHECK bool confine_self(const struct confinement *c, int *out_filter_error, struct err *e);

/* True where memory_bytes is enforced: not in builds with these sanitizers. */
bool confine_limits_memory(void);

#endif
