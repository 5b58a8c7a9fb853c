/*
 * DIR/sequences.map: any bytes, as they come and with the spec and the head's checksum put right.
 * What is read lies inside, and what its checksums let through can be searched.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "match/library_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOT = 1, AT_SPEC = 8, AT_SONGS = 24, AT_CHECKSUM = 56, HEAD = 64, SONG = 88 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void use(const struct library *l, const uint8_t *data, size_t size)
{
    struct err e = {0};
    for (size_t i = 0; i < l->n_songs; i++) {
        const struct library_song *s = &l->songs[i];
        require(strlen(s->track_id) < STORE_TRACK_ID_BYTES);
        require(s->sequence.levels >= data &&
                s->sequence.levels + (size_t)s->sequence.n_frames * LIBRARY_RECORD_COLUMNS <=
                    data + size);
        require(s->print.n_codes == 0 ||
                (const uint8_t *)(s->print.codes + s->print.n_codes) <= data + size);
        require(library_check_song(l, i, &e) || e.kind == ERR_FATAL);
    }
    for (size_t i = 0; i < l->plan.n_groups; i++) {
        const struct coarse_group *g = &l->plan.groups[i];
        int16_t scores[COARSE_SONGS];
        if (!library_check_group(l, i, &e))
            continue;
        uint8_t frames[COARSE_FRAMES_MAX * SEQUENCE_CLASSES];
        memset(frames, 30, sizeof frames);
        struct coarse_scorer *scorer = coarse_scorer_new(simd_best());
        coarse_scorer_set_query(scorer, frames, 8);
        coarse_scorer_run(scorer, g, l->coarse + g->levels_at, scores);
        coarse_scorer_free(scorer);
    }
}

static void try_file(uint8_t *data, size_t size)
{
    struct library l;
    if (!library_file_parse(data, size, ROOT, &l))
        return;
    use(&l, data, size);
    library_file_release(&l);
}

/* Of the table and of the groups' checksums, which end where the levels begin. */
static void repair(uint8_t *data, size_t size)
{
    const uint64_t spec = sequence_spec_hash();
    uint64_t n_songs;
    memcpy(data + AT_SPEC, &spec, sizeof spec);
    memcpy(&n_songs, data + AT_SONGS, sizeof n_songs);
    if (n_songs > (size - HEAD) / SONG)
        return;
    uint32_t *lengths = mem_zalloc(n_songs + 1, sizeof *lengths);
    struct coarse_plan plan;
    for (size_t i = 0; i < n_songs; i++)
        memcpy(&lengths[i], data + HEAD + i * SONG + 8, sizeof *lengths);
    coarse_plan_init(&plan, lengths, n_songs);
    size_t front = HEAD + n_songs * (SONG + 8) + plan.n_groups * 8;
    front = (front + 63) / 64 * 64;
    if (front <= size) {
        uint64_t checksum = hash64(data + HEAD, front - HEAD, hash64(data, AT_CHECKSUM, 0));
        memcpy(data + AT_CHECKSUM, &checksum, sizeof checksum);
    }
    coarse_plan_release(&plan);
    mem_free(lengths);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *aligned = mem_alloc_aligned(size_max(1, size), 1);
    memcpy(aligned, data, size);
    try_file(aligned, size);
    if (size >= HEAD) {
        repair(aligned, size);
        try_file(aligned, size);
    }
    mem_free(aligned);
    return 0;
}
