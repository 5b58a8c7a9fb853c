/* Any bytes as the answer of a search API: a verdict, and texts that can be compared. The first
 * byte chooses the API. */
#include "ingest/source.h"
#include "ingest/title.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct source_page page;
    struct song song;
    if (size == 0)
        return 0;
    enum source_id id = data[0] == 'i' ? SOURCE_ITUNES : SOURCE_DEEZER;
    enum source_verdict v =
        source_read(source_get(id), 200, (struct span){data + 1, size - 1}, &page);
    assert(v == SOURCE_PAGE || page.n == 0);
    assert(page.n <= SOURCE_ITEMS_MAX && page.n <= page.n_listed);
    for (size_t i = 0; i < page.n; i++) {
        const struct source_item *item = &page.items[i];
        assert(item->url[0] != '\0' && strlen(item->url) < URL_BYTES_MAX);
        assert(url_expires_s(item->url) >= 0);
        song_init(&song, item->title, item->artist, item->duration_ms);
        assert(song_score(&song, &song, 1) <= 1000);
    }
    source_page_release(&page);
    return 0;
}
