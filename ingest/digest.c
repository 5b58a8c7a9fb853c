#include "ingest/digest.h"

#include <libavutil/mem.h>
#include <libavutil/sha.h>
#include <stdio.h>

void digest_sha256(struct span bytes, char out[DIGEST_TEXT_BYTES])
{
    enum { BITS = 256 };
    uint8_t digest[BITS / 8];
    struct AVSHA *sha = av_sha_alloc();
    assert(sha != NULL); /* memory is there or the program is not */
    const int known = av_sha_init(sha, BITS);
    assert(known == 0);
    av_sha_update(sha, bytes.ptr, bytes.len);
    av_sha_final(sha, digest);
    av_free(sha);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}
