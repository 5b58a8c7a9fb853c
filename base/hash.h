/*
 * XXH64 (Yann Collet, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md): checksums of
 * records, ids of contents, keys of track names. Not for anything an attacker may gain from.
 */
#ifndef REFRAIN_HASH_H
#define REFRAIN_HASH_H

#include "base/base.h"

uint64_t hash64(const void *bytes, size_t n_bytes, uint64_t seed);

/* A good mix of one number (the SplitMix64 finaliser): for hash tables and sums of hashes. */
uint64_t hash_mix64(uint64_t x);

#endif
