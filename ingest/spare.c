#include "ingest/spare.h"

#include "base/mem.h"
#include "ingest/identity.h"
#include "ingest/row.h"
#include "ingest/source.h"
#include "ingest/url.h"

#include <string.h>

/* Records of one id that are looked at; more of them are no spare links but a broken file. */
enum { SPARES_MAX = 64 };

static void give_link(struct todo_item *item, const char *url)
{
    mem_free(item->url);
    item->url = mem_strdup(url);
    item->expires_s = url_expires_s(url);
    item->source = SOURCE_NONE;
    item->match_permille = 0;
    item->attempts = item->n_redirects = item->n_throttled = 0;
}

bool spare_take(struct catalog *c, struct todo_item *item)
{
    struct identity id;
    struct catalog_row row;
    struct err ignored = {0};
    bool found = true;
    identity_of_track(&id, item->track_id);
    while (item->n_spares_tried < SPARES_MAX) {
        identity_set_occurrence(&id, item->n_spares_tried + 2);
        if (!catalog_look_up(c, identity_span(&id), &row, &found, &ignored) || !found)
            return false;
        item->n_spares_tried++;
        if (row.url[0] != '\0' && strcmp(row.url, item->url) != 0) {
            give_link(item, row.url);
            return true;
        }
    }
    return false;
}

void spare_set(struct catalog_row *row, uint32_t k, const char *url)
{
    assert(k > 1);
    row->state = ROW_RESOLVED;
    row_set_text(row->resolved_url, sizeof row->resolved_url, url);
    row->expires_s = url_expires_s(url);
    row->source = SOURCE_NONE;
    row->match_permille = 0;
    row->n_spares_tried = row->n_spares_tried > k - 1 ? row->n_spares_tried : k - 1;
    row->cause[0] = '\0';
    row->attempts = 0;
    row->not_before_s = row->not_before_ms = 0;
}
