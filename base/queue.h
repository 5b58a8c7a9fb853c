/*
 * Bounded blocking queue of pointers: the only thing threads share. Pushing gives the item away,
 * popping takes it. queue_close is the only shutdown: pushes fail from then on, pops drain what is
 * left and then return QUEUE_CLOSED.
 */
#ifndef REFRAIN_QUEUE_H
#define REFRAIN_QUEUE_H

#include "base/base.h"

struct queue;

enum queue_result { QUEUE_OK, QUEUE_TIMEOUT, QUEUE_CLOSED };

struct queue *queue_new(size_t cap);
void queue_free(struct queue *q); /* NULL is fine; must be empty */

/* Waits for room. False when the queue is closed: the item is still the caller's. */
MUST_CHECK bool queue_push(struct queue *q, void *item);

/* Waits for an item. */
MUST_CHECK enum queue_result queue_pop(struct queue *q, void **out_item);

/* Waits until the monotonic deadline at most. */
MUST_CHECK enum queue_result queue_pop_until(struct queue *q, uint64_t deadline_ns,
                                             void **out_item);

void queue_close(struct queue *q);
size_t queue_len(struct queue *q);

#endif
