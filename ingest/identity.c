#include "ingest/identity.h"

#include "base/hash.h"
#include "ingest/url.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct span identity_span(const struct identity *id)
{
    return (struct span){id->bytes, id->len};
}

static void set_base(struct identity *out, int n)
{
    assert(n > 0);
    out->base_len = out->len = (size_t)n;
    out->occurrence = 1;
}

/* Neither a track id nor a digest holds a NUL, which the k-th occurrence appends. */
void identity_of_track(struct identity *out, const char *track_id)
{
    set_base(out, snprintf((char *)out->bytes, sizeof out->bytes, "t%s", track_id));
}

void identity_of_bad(struct identity *out, uint64_t digest)
{
    set_base(out, snprintf((char *)out->bytes, sizeof out->bytes, "b%016" PRIx64, digest));
}

/* 128 bits of a digest. */
void identity_of_link(struct identity *out, const char *url)
{
    static const char *const hosts_of_paths[] = {"scdn.co", "dzcdn.net"};
    char host[HOST_BYTES_MAX];
    size_t len = strlen(url);
    url_host(url, host);
    for (size_t i = 0; i < ARRAY_LEN(hosts_of_paths); i++)
        if (host_has_suffix(host, hosts_of_paths[i]))
            len = strcspn(url, "?");
    set_base(out, snprintf((char *)out->bytes, sizeof out->bytes, "u%016" PRIx64 "%016" PRIx64,
                           hash64(url, len, 0), hash64(url, len, 1)));
}

void identity_set_occurrence(struct identity *id, uint32_t k)
{
    assert(k > 1);
    memset(id->bytes + id->base_len, 0, 1);
    memcpy(id->bytes + id->base_len + 1, &k, sizeof k);
    id->len = id->base_len + 1 + sizeof k;
    id->occurrence = k;
}
