#include "base/clock.h"

#include <errno.h>
#include <time.h>

uint64_t clock_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

int64_t clock_wall_s(void)
{
    return (int64_t)time(NULL);
}

void clock_sleep_ns(uint64_t duration_ns)
{
    struct timespec t = {.tv_sec = (time_t)(duration_ns / NS_PER_S),
                         .tv_nsec = (long)(duration_ns % NS_PER_S)};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}
