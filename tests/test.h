/*
 * TAP in a page. A test program is a list of functions:
 *
 *     static void test_empty(void) { CHECK(buf.len == 0); }
 *     int main(void) { RUN(test_empty); return test_done(); }
 *
 * A failing CHECK prints where and what, fails its function and goes on. Tolerances given to
 * CHECK_NEAR are named constants with a reason.
 */
#ifndef REFRAIN_TEST_H
#define REFRAIN_TEST_H

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int test_count, test_failures;
static bool test_ok;

static inline void test_fail(const char *file, int line, const char *what)
{
    test_ok = false;
    printf("# %s:%d: %s\n", file, line, what);
}

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            test_fail(__FILE__, __LINE__, #cond);                                                  \
    } while (0)

/* For bool functions with a struct err: prints the sentence. */
#define CHECK_OK(call, e)                                                                          \
    do {                                                                                           \
        if (!(call)) {                                                                             \
            test_fail(__FILE__, __LINE__, #call);                                                  \
            printf("#   %s\n", (e)->msg);                                                          \
        }                                                                                          \
    } while (0)

#define CHECK_U64(got, want)                                                                       \
    do {                                                                                           \
        uint64_t got_ = (uint64_t)(got), want_ = (uint64_t)(want);                                 \
        if (got_ != want_) {                                                                       \
            test_fail(__FILE__, __LINE__, #got " == " #want);                                      \
            printf("#   got %" PRIu64 " (0x%" PRIx64 "), want %" PRIu64 " (0x%" PRIx64 ")\n",      \
                   got_, got_, want_, want_);                                                      \
        }                                                                                          \
    } while (0)

#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        const char *got_ = (got), *want_ = (want);                                                 \
        if (strcmp(got_, want_) != 0) {                                                            \
            test_fail(__FILE__, __LINE__, #got " == " #want);                                      \
            printf("#   got \"%s\"\n#   want \"%s\"\n", got_, want_);                              \
        }                                                                                          \
    } while (0)

#define CHECK_NEAR(got, want, tolerance)                                                           \
    do {                                                                                           \
        double got_ = (double)(got), want_ = (double)(want), tol_ = (double)(tolerance);           \
        if (!(fabs(got_ - want_) <= tol_)) {                                                       \
            test_fail(__FILE__, __LINE__, #got " near " #want);                                    \
            printf("#   got %.9g, want %.9g, off by %.3g, tolerance %.3g\n", got_, want_,          \
                   fabs(got_ - want_), tol_);                                                      \
        }                                                                                          \
    } while (0)

#define RUN(function)                                                                              \
    do {                                                                                           \
        test_ok = true;                                                                            \
        function();                                                                                \
        test_count++;                                                                              \
        test_failures += !test_ok;                                                                 \
        printf("%s %d - %s\n", test_ok ? "ok" : "not ok", test_count, #function);                  \
        fflush(stdout);                                                                            \
    } while (0)

static inline int test_done(void)
{
    printf("1..%d\n", test_count);
    return test_failures != 0;
}

#endif
