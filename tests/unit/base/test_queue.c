#include "base/queue.h"

#include "base/clock.h"
#include "base/mem.h"
#include "tests/test.h"

#include <pthread.h>
#include <stdatomic.h>

enum { PRODUCERS = 3, ITEMS = 2000 };

struct shared {
    struct queue *q;
    atomic_uint_fast64_t sum;
    atomic_uint_fast64_t popped;
};

static void *produce(void *arg)
{
    struct shared *s = arg;
    for (uintptr_t i = 1; i <= ITEMS; i++)
        if (!queue_push(s->q, (void *)i))
            return NULL;
    return NULL;
}

static void *consume(void *arg)
{
    struct shared *s = arg;
    for (void *item; queue_pop(s->q, &item) == QUEUE_OK;) {
        atomic_fetch_add(&s->sum, (uintptr_t)item);
        atomic_fetch_add(&s->popped, 1);
    }
    return NULL;
}

static void test_each_item_arrives_once(void)
{
    struct shared s = {.q = queue_new(5)};
    pthread_t producers[PRODUCERS], consumers[2];
    for (size_t i = 0; i < ARRAY_LEN(consumers); i++)
        CHECK(pthread_create(&consumers[i], NULL, consume, &s) == 0);
    for (size_t i = 0; i < PRODUCERS; i++)
        CHECK(pthread_create(&producers[i], NULL, produce, &s) == 0);
    for (size_t i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i], NULL);
    queue_close(s.q);
    for (size_t i = 0; i < ARRAY_LEN(consumers); i++)
        pthread_join(consumers[i], NULL);
    CHECK_U64(s.popped, PRODUCERS * ITEMS);
    CHECK_U64(s.sum, (uint64_t)PRODUCERS * ITEMS * (ITEMS + 1) / 2);
    queue_free(s.q);
}

static void test_order_and_close(void)
{
    struct queue *q = queue_new(2);
    void *item = NULL;
    int a, b, c;
    CHECK(queue_push(q, &a) && queue_push(q, &b));
    CHECK(queue_pop(q, &item) == QUEUE_OK && item == &a);
    CHECK(queue_push(q, &c));
    CHECK_U64(queue_len(q), 2);
    queue_close(q);
    CHECK(!queue_push(q, &a));
    CHECK(queue_pop(q, &item) == QUEUE_OK && item == &b);
    CHECK(queue_pop(q, &item) == QUEUE_OK && item == &c);
    CHECK(queue_pop(q, &item) == QUEUE_CLOSED);
    queue_free(q);
}

static void test_a_deadline_ends_the_wait(void)
{
    struct queue *q = queue_new(1);
    void *item;
    CHECK(queue_pop_until(q, clock_now_ns() + NS_PER_MS, &item) == QUEUE_TIMEOUT);
    CHECK(queue_pop_until(q, 0, &item) == QUEUE_TIMEOUT);
    queue_free(q);
    queue_free(NULL);
}

int main(void)
{
    RUN(test_each_item_arrives_once);
    RUN(test_order_and_close);
    RUN(test_a_deadline_ends_the_wait);
    return test_done();
}
