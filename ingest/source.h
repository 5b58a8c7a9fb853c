/*
 * Sources of preview links as tables: how a search is asked for, what an answer looks like, which
 * errors it has and what they mean. One query for an artist resolves many rows. Nothing here
 * touches the network; what is sent when is decided in ingest/resolve.h and by the limits of the
 * hosts.
 *
 * The shapes are those of 2026 and of third parties' captures; tests/previewd imitates them. An
 * answer is a stranger's: any bytes lead to a verdict.
 */
#ifndef REFRAIN_SOURCE_H
#define REFRAIN_SOURCE_H

#include "base/err.h"
#include "ingest/url.h"

/* Numbers are on disk (catalog_row.source): append only. */
enum source_id { SOURCE_NONE, SOURCE_DEEZER, SOURCE_ITUNES, SOURCES };

enum { SOURCE_BODY_BYTES_MAX = 4 << 20, SOURCE_ITEMS_MAX = 200, SOURCE_BASE_BYTES_MAX = 256 };

enum source_form {
    FORM_ARTIST, /* songs of an artist, by the artist's field */
    FORM_TRACK,  /* one song, by the fields of artist and title */
    FORM_WORDS,  /* one song, by words alone */
    FORMS,
};

struct source {
    const char *name;
    const char *forms[FORMS]; /* of the query, %A artist and %T title; NULL: there is none */
    const char *request;      /* path and query string: %Q query, %I index, %C country */
    uint32_t page_items;      /* asked for at once */
    bool has_pages;           /* later pages can be asked for */
    uint64_t least_pause_ms;  /* after a refusal that names no time */
    uint32_t grain_ms;        /* of its durations */
    /* Of an answer: dots lead into objects. */
    const char *items, *total, *next;
    const char *item_kind, *item_kind_wanted; /* items of another kind are left out; NULL: all */
    const char *item_title, *item_artist, *item_duration, *item_url;
    bool refuses_with_403; /* and no word */
};

const struct source *source_get(enum source_id id);
/* SOURCE_NONE when there is none of that name. */
enum source_id source_find(const char *name, size_t len);

/* "deezer,itunes" in order. ERR_USAGE for what is no source, and for one that stands there twice.
 */
MUST_CHECK bool source_list_parse(const char *text, enum source_id out[SOURCES], size_t *out_n,
                                  struct err *e);

struct source_query {
    enum source_form form;
    const char *artist, *title, *country;
    uint32_t index; /* of the first item wanted */
};

/* False when the link would be too long. `base` is "https://api.example", without a slash at its
 * end. */
MUST_CHECK bool source_request(const struct source *s, const char *base,
                               const struct source_query *q, char out[URL_BYTES_MAX]);

enum source_verdict {
    SOURCE_PAGE,      /* a page of items, maybe empty */
    SOURCE_NOTHING,   /* this query has no answer and never will */
    SOURCE_THROTTLED, /* less, please; also with status 200, or 403 and not a word */
    SOURCE_REFUSED,   /* our fault or our rights: no query will do */
    SOURCE_BROKEN,    /* not an answer of this source */
};

struct source_item {
    const char *title, *artist, *url; /* of the page */
    uint32_t duration_ms;             /* 0: not known */
};

struct source_page {
    size_t n;        /* items that can be used */
    size_t n_listed; /* all of them: where the next page begins */
    bool has_more;
    struct source_item items[SOURCE_ITEMS_MAX];
    char why[96]; /* the source's words for an error, "" for none */
    void *root;   /* what the texts lie in */
};

/* What an answer with this status and body means. Release the page in any case. */
enum source_verdict source_read(const struct source *s, unsigned status, struct span body,
                                struct source_page *out);
void source_page_release(struct source_page *p);

#endif
