/*
 * DIR/matches.log: any bytes, behind the head of this run and as they come, and with every entry's
 * checksum put right. What is taken are whole songs in order, and taking it again gives the same.
 */
#include "base/mem.h"
#include "programs/match_log.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SONGS = 5, ENTRIES_MAX_BYTES = 1 << 20 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void try_log(const uint8_t *data, size_t size, const struct match_log_head *head)
{
    struct err e = {0};
    struct buf entries, again;
    size_t n_done = 0, good = 0, n_again = 0, good_again = 0;
    buf_init(&entries, ENTRIES_MAX_BYTES);
    buf_init(&again, ENTRIES_MAX_BYTES);
    if (match_log_parse((struct span){data, size}, head, SONGS, &entries, &n_done, &good, &e)) {
        require(good <= size && n_done <= SONGS);
        require(entries.len == (good > 0 ? good - sizeof *head : 0));
        for (size_t at = 0, song = 0; at < entries.len;) {
            struct match_log_entry entry;
            memcpy(&entry, entries.data + at, sizeof entry);
            require(entry.song_i == song && entry.other_i < SONGS);
            song += entry.other_i == entry.song_i;
            at += sizeof entry;
        }
        require(match_log_parse((struct span){data, good}, head, SONGS, &again, &n_again,
                                &good_again, &e));
        require(n_again == n_done && good_again == good && again.len == entries.len);
    } else
        require(e.kind == ERR_PERM);
    buf_release(&entries);
    buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct match_log_head head = match_log_head_make(1, 0.01, false);
    try_log(data, size, &head);
    if (size < sizeof head)
        return 0;
    uint8_t *sealed = mem_alloc(size, 1);
    memcpy(sealed, data, size);
    memcpy(sealed, &head, sizeof head);
    for (size_t at = sizeof head; size - at >= sizeof(struct match_log_entry);
         at += sizeof(struct match_log_entry)) {
        struct match_log_entry entry;
        memcpy(&entry, sealed + at, sizeof entry);
        match_log_seal(&entry);
        memcpy(sealed + at, &entry, sizeof entry);
    }
    try_log(sealed, size, &head);
    mem_free(sealed);
    return 0;
}
