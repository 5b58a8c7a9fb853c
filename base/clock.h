/*
 * Time. Loops read the monotonic clock once a pass and pass `now_ns` down; no module below a main
 * reads a clock by itself, so that limiter, retry and progress run on a fake clock in tests.
 */
#ifndef REFRAIN_CLOCK_H
#define REFRAIN_CLOCK_H

#include "base/base.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

uint64_t clock_now_ns(void); /* monotonic, starts anywhere */
int64_t clock_wall_s(void);  /* seconds since 1970 UTC: only for dates shown or exchanged */
void clock_sleep_ns(uint64_t duration_ns);

#endif
