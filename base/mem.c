#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static NORETURN void mem_die(size_t n, size_t item_bytes)
{
    fprintf(stderr, "out of memory: %zu x %zu bytes could not be had\n", n, item_bytes);
    abort();
}

static size_t mem_product(size_t n, size_t item_bytes)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, item_bytes, &bytes))
        mem_die(n, item_bytes);
    return bytes == 0 ? 1 : bytes; /* a zero-size request still gives a pointer to free */
}

void *mem_alloc(size_t n, size_t item_bytes)
{
    void *ptr = malloc(mem_product(n, item_bytes));
    if (ptr == NULL)
        mem_die(n, item_bytes);
    return ptr;
}

void *mem_zalloc(size_t n, size_t item_bytes)
{
    void *ptr = calloc(mem_product(n, item_bytes), 1);
    if (ptr == NULL)
        mem_die(n, item_bytes);
    return ptr;
}

void *mem_alloc_aligned(size_t n, size_t item_bytes)
{
    size_t bytes = mem_product(n, item_bytes);
    size_t rounded;
    if (__builtin_add_overflow(bytes, MEM_ALIGN_BYTES - 1, &rounded))
        mem_die(n, item_bytes);
    void *ptr = aligned_alloc(MEM_ALIGN_BYTES, rounded / MEM_ALIGN_BYTES * MEM_ALIGN_BYTES);
    if (ptr == NULL)
        mem_die(n, item_bytes);
    return ptr;
}

void *mem_resize(void *ptr, size_t n, size_t item_bytes)
{
    void *moved = realloc(ptr, mem_product(n, item_bytes));
    if (moved == NULL)
        mem_die(n, item_bytes);
    return moved;
}

char *mem_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(mem_alloc(bytes, 1), text, bytes);
}

void mem_free(void *ptr)
{
    free(ptr);
}
