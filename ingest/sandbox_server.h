/*
 * The fork server's side of a sandbox: private to ingest/sandbox.c.
 */
#ifndef REFRAIN_SANDBOX_SERVER_H
#define REFRAIN_SANDBOX_SERVER_H

#include "ingest/sandbox.h"

enum sandbox_order {
    SANDBOX_START, /* with three descriptors: the worker's socket, input, output */
    SANDBOX_END,   /* kill it if it lives, and say how it died */
};
enum { SANDBOX_DESCRIPTORS = 3 };

struct sandbox_order_message {
    uint32_t order; /* enum sandbox_order */
    int32_t pid;    /* END */
    uint64_t input_bytes, output_bytes;
};

struct sandbox_order_reply {
    int32_t pid;    /* START: 0 when fork failed */
    int32_t error;  /* an errno; 0: all is well */
    int32_t status; /* END: as waitpid gives it */
};

/* The first message of a worker. */
struct sandbox_ready {
    int32_t filter_error; /* 0: confined */
    uint32_t is_limited;  /* 0: the resource limits were refused, `why` says so */
    char why[ERR_MSG_BYTES];
};

/* The life of the fork server on its socket; parent_pid is who must live. */
NORETURN void sandbox_server_run(const struct sandbox_params *params, int socket_fd,
                                 int parent_pid);

/* Sends the message and up to SANDBOX_DESCRIPTORS descriptors; false with errno set. */
bool sandbox_send(int socket_fd, struct span message, const int *descriptors, size_t n_descriptors);

#endif
