/*
 * Memory that is there or the program is not: running out aborts with a sentence. Sizes that come
 * from untrusted bytes are checked against a limit before they get here. Everything returned is
 * freed with mem_free (NULL is fine).
 */
#ifndef REFRAIN_MEM_H
#define REFRAIN_MEM_H

#include "base/base.h"

enum { MEM_ALIGN_BYTES = 64 }; /* a cache line, and the widest vector register */

void *mem_alloc(size_t n, size_t item_bytes);         /* uninitialised; overflow-checked */
void *mem_zalloc(size_t n, size_t item_bytes);        /* zeroed */
void *mem_alloc_aligned(size_t n, size_t item_bytes); /* on MEM_ALIGN_BYTES, uninitialised */
void *mem_resize(void *ptr, size_t n, size_t item_bytes);
char *mem_strdup(const char *text);
void mem_free(void *ptr);

#endif
