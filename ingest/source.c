#include "ingest/source.h"

#include <stdio.h>
#include <string.h>

/* Deezer: https://developers.deezer.com/api/search. iTunes:
 * https://developer.apple.com/library/archive/documentation/AudioVideo/Conceptual/iTuneSearchAPI */
static const struct source sources[SOURCES] = {
    [SOURCE_DEEZER] =
        {
            .name = "deezer",
            .forms = {"artist:\"%A\"", "artist:\"%A\" track:\"%T\"", "%A %T"},
            .request = "/search?q=%Q&limit=100&index=%I",
            .page_items = 100,
            .has_pages = true,
            .least_pause_ms = 5000,
            .grain_ms = 1000,
            .items = "data",
            .total = "total",
            .next = "next",
            .item_title = "title",
            .item_artist = "artist.name",
            .item_duration = "duration",
            .item_url = "preview",
        },
    [SOURCE_ITUNES] =
        {
            .name = "itunes",
            .forms = {"%A", NULL, "%A %T"},
            .request = "/search?term=%Q&country=%C&media=music&entity=song&limit=200",
            .page_items = 200,
            .least_pause_ms = 60000,
            .grain_ms = 1,
            .items = "results",
            .total = "resultCount",
            .item_kind = "kind",
            .item_kind_wanted = "song",
            .item_title = "trackName",
            .item_artist = "artistName",
            .item_duration = "trackTimeMillis",
            .item_url = "previewUrl",
            .refuses_with_403 = true,
        },
};

const struct source *source_get(enum source_id id)
{
    assert(id > SOURCE_NONE && id < SOURCES);
    return &sources[id];
}

enum source_id source_find(const char *name, size_t len)
{
    for (enum source_id id = SOURCE_NONE + 1; id < SOURCES; id++)
        if (strlen(sources[id].name) == len && memcmp(sources[id].name, name, len) == 0)
            return id;
    return SOURCE_NONE;
}

bool source_list_parse(const char *text, enum source_id out[SOURCES], size_t *out_n, struct err *e)
{
    *out_n = 0;
    for (const char *at = text + strspn(text, " "); *at != '\0';) {
        size_t len = strcspn(at, ", ");
        enum source_id id = source_find(at, len);
        if (id == SOURCE_NONE)
            return err_set(e, ERR_USAGE, "'%.*s' is no source; there are deezer and itunes",
                           (int)len, at);
        for (size_t i = 0; i < *out_n; i++)
            if (out[i] == id)
                return err_set(e, ERR_USAGE, "the source %s is there twice", sources[id].name);
        out[(*out_n)++] = id;
        at += len;
        at += strspn(at, ", ");
    }
    return true;
}

/* ---------------------------------------------------------------- requests */

struct text {
    char *out;
    size_t n, cap;
    bool is_full;
};

static void put(struct text *t, char c)
{
    if (t->n + 1 >= t->cap)
        t->is_full = true;
    else
        t->out[t->n++] = c;
    t->out[t->n] = '\0';
}

static void put_text(struct text *t, const char *text)
{
    for (; *text != '\0'; text++)
        put(t, *text);
}

/* A name in a query: what has a meaning there, and control characters, become blanks. */
static void put_name(struct text *t, const char *name)
{
    for (; *name != '\0'; name++)
        put(t, (unsigned char)*name < ' ' || strchr("\"\\", *name) != NULL ? ' ' : *name);
}

/* RFC 3986 section 2.3: only these go unescaped. */
static void put_escaped(struct text *t, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text != '\0'; text++) {
        char code[4];
        if (strchr(plain, *text) != NULL) {
            put(t, *text);
            continue;
        }
        snprintf(code, sizeof code, "%%%02X", (unsigned char)*text);
        put_text(t, code);
    }
}

static void put_query(struct text *t, const char *form, const struct source_query *q)
{
    for (; *form != '\0'; form++) {
        if (*form != '%')
            put(t, *form);
        else
            put_name(t, *++form == 'A' ? q->artist : q->title);
    }
}

bool source_request(const struct source *s, const char *base, const struct source_query *q,
                    char out[URL_BYTES_MAX])
{
    char query[URL_BYTES_MAX], number[16];
    struct text words = {query, 0, sizeof query, false};
    struct text link = {out, 0, URL_BYTES_MAX, false};
    assert(s->forms[q->form] != NULL);
    query[0] = out[0] = '\0';
    put_query(&words, s->forms[q->form], q);
    put_text(&link, base);
    for (const char *at = s->request; *at != '\0'; at++) {
        if (*at != '%') {
            put(&link, *at);
            continue;
        }
        snprintf(number, sizeof number, "%u", q->index);
        at++;
        if (*at == 'I')
            put_text(&link, number);
        else
            put_escaped(&link, *at == 'Q' ? query : q->country);
    }
    return !words.is_full && !link.is_full;
}
