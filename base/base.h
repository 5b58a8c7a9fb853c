/*
 * What every file may assume: a little-endian machine with 64-bit size_t and IEEE floats, and a few
 * words for the compiler. Included by all headers; contains no function.
 */
#ifndef REFRAIN_BASE_H
#define REFRAIN_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REFRAIN_VERSION "0.1.0"

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_i, first_i) __attribute__((format(printf, format_i, first_i)))
#define NORETURN __attribute__((noreturn))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static_assert(sizeof(size_t) == 8, "offsets and sizes are 64-bit");
static_assert(sizeof(float) == 4 && sizeof(double) == 8, "IEEE 754 binary32 and binary64");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records and LMDB keys are little-endian");

/* Borrowed bytes: pointer first, length second. The owner is said where the span is made. */
struct span {
    const void *ptr;
    size_t len;
};

static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
