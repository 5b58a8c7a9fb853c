/*
 * DIR/sequences.null: any bytes, as they come and with what names the library and the checksum put
 * right. What is read has as many excesses as songs, members that are songs, and chances of at
 * most 1.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "match/cohort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SONGS = 20, AT_SPEC = 8, CHECKSUM_BYTES = 8 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void try_file(const uint8_t *data, size_t size)
{
    const struct library l = {.n_songs = SONGS, .root = 1};
    struct cohort c;
    if (!cohort_parse((struct span){data, size}, &l, 1, &c))
        return;
    require(c.n_songs == SONGS && c.n_members == SONGS);
    for (size_t i = 0; i < c.n_members; i++)
        require(c.members[i] < SONGS);
    for (size_t i = 0; i < SONGS; i++) {
        double chance = cohort_chance(&c, 300 + (double)c.excess[i]);
        require(isnan(chance) || chance >= 0);
    }
    cohort_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t spec = sequence_spec_hash();
    const size_t whole = cohort_file_bytes(SONGS), excesses_at = whole - SONGS * sizeof(float);
    const size_t checksum_at = excesses_at - CHECKSUM_BYTES;
    try_file(data, size);
    uint8_t *repaired = mem_zalloc(whole, 1);
    memcpy(repaired, data, size_min(size, whole));
    memcpy(repaired + AT_SPEC, &spec, sizeof spec);
    const uint64_t checksum =
        hash64(repaired + excesses_at, whole - excesses_at, hash64(repaired, checksum_at, 0));
    memcpy(repaired + checksum_at, &checksum, sizeof checksum);
    try_file(repaired, whole);
    mem_free(repaired);
    return 0;
}
