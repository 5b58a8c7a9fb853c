#include "base/queue.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

struct queue {
    size_t cap;
    pthread_mutex_t mu;
    pthread_cond_t not_full, not_empty;
    /* under mu: */
    size_t head; /* next to pop */
    size_t n;
    bool closed;
    void *slots[];
};

static void must(int result)
{
    assert(result == 0);
    (void)result;
}

struct queue *queue_new(size_t cap)
{
    assert(cap > 0);
    struct queue *q = mem_zalloc(1, sizeof *q + cap * sizeof q->slots[0]);
    q->cap = cap;
    pthread_condattr_t monotonic;
    must(pthread_condattr_init(&monotonic));
    must(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC));
    must(pthread_mutex_init(&q->mu, NULL));
    must(pthread_cond_init(&q->not_full, NULL));
    must(pthread_cond_init(&q->not_empty, &monotonic));
    must(pthread_condattr_destroy(&monotonic));
    return q;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    assert(q->n == 0);
    must(pthread_cond_destroy(&q->not_full));
    must(pthread_cond_destroy(&q->not_empty));
    must(pthread_mutex_destroy(&q->mu));
    mem_free(q);
}

bool queue_push(struct queue *q, void *item)
{
    must(pthread_mutex_lock(&q->mu));
    while (q->n == q->cap && !q->closed)
        must(pthread_cond_wait(&q->not_full, &q->mu));
    bool pushed = !q->closed;
    if (pushed) {
        q->slots[(q->head + q->n) % q->cap] = item;
        q->n++;
        must(pthread_cond_signal(&q->not_empty));
    }
    must(pthread_mutex_unlock(&q->mu));
    return pushed;
}

enum queue_result queue_pop_until(struct queue *q, uint64_t deadline_ns, void **out_item)
{
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                                .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    enum queue_result result = QUEUE_OK;
    must(pthread_mutex_lock(&q->mu));
    while (q->n == 0 && !q->closed && result == QUEUE_OK) {
        if (deadline_ns == UINT64_MAX)
            must(pthread_cond_wait(&q->not_empty, &q->mu));
        else if (pthread_cond_timedwait(&q->not_empty, &q->mu, &deadline) == ETIMEDOUT)
            result = QUEUE_TIMEOUT;
    }
    if (q->n > 0) {
        *out_item = q->slots[q->head];
        q->head = (q->head + 1) % q->cap;
        q->n--;
        result = QUEUE_OK;
        must(pthread_cond_signal(&q->not_full));
    } else if (q->closed) {
        result = QUEUE_CLOSED;
    }
    must(pthread_mutex_unlock(&q->mu));
    return result;
}

enum queue_result queue_pop(struct queue *q, void **out_item)
{
    return queue_pop_until(q, UINT64_MAX, out_item);
}

void queue_close(struct queue *q)
{
    must(pthread_mutex_lock(&q->mu));
    q->closed = true;
    must(pthread_cond_broadcast(&q->not_full));
    must(pthread_cond_broadcast(&q->not_empty));
    must(pthread_mutex_unlock(&q->mu));
}

size_t queue_len(struct queue *q)
{
    must(pthread_mutex_lock(&q->mu));
    size_t n = q->n;
    must(pthread_mutex_unlock(&q->mu));
    return n;
}
