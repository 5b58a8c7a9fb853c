#include "programs/match_log.h"

#include "base/hash.h"
#include "match/sequence.h"

#include <string.h>

static_assert(sizeof(struct match_log_head) == 40 && sizeof(struct match_log_entry) == 56,
              "no padding");

struct match_log_head match_log_head_make(uint64_t root, double evalue, bool exhaustive)
{
    struct match_log_head h = {.spec_hash = sequence_spec_hash(),
                               .root = root,
                               .evalue = evalue,
                               .exhaustive = exhaustive};
    memcpy(h.magic, "RFRNALL5", sizeof h.magic);
    return h;
}

static uint64_t checksum_of(const struct match_log_entry *entry)
{
    return hash64(entry, offsetof(struct match_log_entry, checksum), 0);
}

void match_log_seal(struct match_log_entry *entry)
{
    entry->checksum = checksum_of(entry);
}

bool match_log_parse(struct span bytes, const struct match_log_head *head, size_t n_songs,
                     struct buf *out, size_t *out_n_done, size_t *out_good_bytes, struct err *e)
{
    const uint8_t *data = bytes.ptr, *head_bytes = (const uint8_t *)head;
    *out_n_done = *out_good_bytes = 0;
    if (bytes.len < sizeof *head || memcmp(data, head_bytes, sizeof *head) != 0)
        return true;
    size_t good = sizeof *head, n_done = 0;
    struct match_log_entry entry;
    for (size_t at = good; n_done < n_songs && bytes.len - at >= sizeof entry;) {
        memcpy(&entry, data + at, sizeof entry);
        at += sizeof entry;
        if (entry.checksum != checksum_of(&entry) || entry.song_i != n_done ||
            entry.other_i >= n_songs)
            break;
        if (entry.other_i != entry.song_i)
            continue;
        if (!buf_append(out, data + good, at - good, e))
            return false;
        good = at;
        n_done++;
    }
    *out_n_done = n_done;
    *out_good_bytes = good;
    return true;
}
