#include "ingest/resolve.h"

#include "base/clock.h"
#include "base/mem.h"
#include "ingest/retry.h"
#include "ingest/row.h"
#include "ingest/title.h"

#include <string.h>

enum {
    SURE_PERMILLE = 970, /* no later page will have a better one */
    LOOK_ROWS_MAX = 4096,
};

/* A row of a job. */
struct wanted {
    struct todo_item *item; /* NULL: through */
    struct song song;
    uint16_t best_permille;
    char *best_url; /* owned */
};

struct resolve_job {
    struct resolve_job *older, *younger;
    uint64_t artist_key;
    size_t n, n_open;
    struct wanted *wanted; /* n */
    size_t source_i;       /* of params.sources; n_sources: through with all */
    enum source_form form;
    size_t at;      /* FORM_TRACK, FORM_WORDS: the row that is asked for */
    uint32_t index; /* FORM_ARTIST: of the page's first item */
    uint32_t n_pages, n_tries;
    uint64_t not_before_ns;
    bool is_on_the_way;
    char trouble[CATALOG_CAUSE_BYTES]; /* why a source was left without an answer; "" */
};

struct resolver {
    struct resolver_params params;
    struct resolve_job *oldest, *youngest;
    size_t n_jobs;
    struct catalog_need scan; /* rows in need before it are taken or were found later */
    bool at_end, is_rewind_due;
    bool is_given_up[SOURCES];
};

struct resolver *resolver_new(const struct resolver_params *p)
{
    struct resolver *r = mem_zalloc(1, sizeof *r);
    r->params = *p;
    return r;
}

static void job_free(struct resolver *r, struct resolve_job *job)
{
    for (size_t i = 0; i < job->n; i++)
        mem_free(job->wanted[i].best_url);
    mem_free(job->wanted);
    *(job->older != NULL ? &job->older->younger : &r->oldest) = job->younger;
    *(job->younger != NULL ? &job->younger->older : &r->youngest) = job->older;
    r->n_jobs--;
    mem_free(job);
}

void resolver_free(struct resolver *r)
{
    if (r == NULL)
        return;
    while (r->oldest != NULL)
        job_free(r, r->oldest);
    mem_free(r);
}

/* ---------------------------------------------------------------- which question is next */

static enum source_id source_of(const struct resolver *r, const struct resolve_job *job)
{
    assert(job->source_i < r->params.n_sources);
    return r->params.sources[job->source_i];
}

static bool is_open_at(const struct wanted *w, enum source_id source)
{
    return w->item != NULL && (w->item->sources_tried & 1U << source) == 0;
}

static size_t next_open(const struct resolve_job *job, size_t from, enum source_id source)
{
    while (from < job->n && !is_open_at(&job->wanted[from], source))
        from++;
    return from;
}

static void end_row(struct resolver *r, struct resolve_job *job, struct wanted *w,
                    enum row_state state, const char *cause)
{
    struct todo_item *item = w->item;
    w->item = NULL;
    job->n_open--;
    r->params.on_resolved(r->params.arg, item, state, cause);
}

/* Sources that are left are asked; without one, what is open has no match, or none for now. */
static void enter_source(struct resolver *r, struct resolve_job *job)
{
    for (; job->source_i < r->params.n_sources; job->source_i++) {
        enum source_id id = source_of(r, job);
        const struct source *source = source_get(id);
        size_t first = next_open(job, 0, id);
        if (first == job->n)
            continue;
        if (r->is_given_up[id]) {
            row_set_text(job->trouble, sizeof job->trouble, "source_refused");
            continue;
        }
        bool is_one = next_open(job, first + 1, id) == job->n;
        job->form = !is_one ? FORM_ARTIST : source->forms[FORM_TRACK] ? FORM_TRACK : FORM_WORDS;
        job->at = first;
        job->index = job->n_pages = job->n_tries = 0;
        return;
    }
    bool has_trouble = job->trouble[0] != '\0';
    for (size_t i = 0; i < job->n; i++)
        if (job->wanted[i].item != NULL)
            end_row(r, job, &job->wanted[i], has_trouble ? ROW_DEAD : ROW_NO_MATCH,
                    has_trouble ? job->trouble : "not_found");
}

static void leave_source(struct resolver *r, struct resolve_job *job)
{
    job->source_i++;
    enter_source(r, job);
}

/* The next row that this source has not been asked for alone, or the next source. */
static void next_row(struct resolver *r, struct resolve_job *job, size_t from)
{
    enum source_id id = source_of(r, job);
    job->at = next_open(job, from, id);
    job->index = 0;
    job->form = source_get(id)->forms[FORM_TRACK] != NULL ? FORM_TRACK : FORM_WORDS;
    if (job->at == job->n)
        leave_source(r, job);
}

/* ---------------------------------------------------------------- what a page holds */

static void consider(struct wanted *w, const struct song *found, const struct source_item *item,
                     uint32_t grain_ms)
{
    uint16_t permille = song_score(&w->song, found, grain_ms);
    if (permille <= w->best_permille)
        return;
    w->best_permille = permille;
    mem_free(w->best_url);
    w->best_url = mem_strdup(item->url);
}

/* Links of a source are a stranger's as well. */
static bool take_link(struct resolver *r, struct wanted *w, enum source_id source)
{
    char url[URL_BYTES_MAX];
    bool ok = url_normalize(w->best_url, r->params.allow_http, url) == URL_OK;
    if (ok) {
        struct todo_item *item = w->item;
        mem_free(item->url);
        item->url = mem_strdup(url);
        item->source = (uint8_t)source;
        item->match_permille = w->best_permille;
        item->expires_s = url_expires_s(url);
        item->n_redirects = 0;
    }
    w->best_permille = 0;
    return ok;
}

/* Rows with a match that is good enough are through. */
static void settle_found(struct resolver *r, struct resolve_job *job, uint16_t least_permille)
{
    enum source_id id = source_of(r, job);
    for (size_t i = 0; i < job->n; i++) {
        struct wanted *w = &job->wanted[i];
        if (w->item != NULL && w->best_permille >= least_permille && take_link(r, w, id))
            end_row(r, job, w, ROW_RESOLVED, "");
    }
}

static void match_page(struct resolver *r, struct resolve_job *job, const struct source_page *page)
{
    enum source_id id = source_of(r, job);
    uint32_t grain_ms = source_get(id)->grain_ms;
    struct song found;
    for (size_t i = 0; i < page->n; i++) {
        const struct source_item *item = &page->items[i];
        song_init(&found, item->title, item->artist, item->duration_ms);
        for (size_t k = 0; k < job->n; k++)
            if (is_open_at(&job->wanted[k], id))
                consider(&job->wanted[k], &found, item, grain_ms);
    }
}

static void after_page(struct resolver *r, struct resolve_job *job, const struct source_page *page)
{
    enum source_id id = source_of(r, job);
    if (job->form == FORM_ARTIST) {
        settle_found(r, job, SURE_PERMILLE);
        bool goes_on = page->has_more && ++job->n_pages < r->params.pages_max && job->n_open > 0;
        job->index += (uint32_t)page->n_listed;
        if (goes_on && next_open(job, 0, id) < job->n)
            return;
    }
    settle_found(r, job, 1);
    if (job->n_open == 0)
        return;
    if (job->form == FORM_ARTIST) {
        next_row(r, job, 0);
    } else if (job->form == FORM_TRACK && job->wanted[job->at].item != NULL) {
        job->form = FORM_WORDS;
    } else {
        if (job->wanted[job->at].item != NULL)
            job->wanted[job->at].item->sources_tried |= (uint8_t)(1U << id);
        next_row(r, job, job->at);
    }
}

static void free_if_through(struct resolver *r, struct resolve_job *job)
{
    if (job->n_open == 0)
        job_free(r, job);
}

void resolver_take_page(struct resolver *r, struct resolve_job *job, const struct source_page *page)
{
    job->is_on_the_way = false;
    job->n_tries = 0;
    match_page(r, job, page);
    after_page(r, job, page);
    free_if_through(r, job);
}

void resolver_failed(struct resolver *r, struct resolve_job *job, const char *cause,
                     uint64_t now_ns)
{
    job->is_on_the_way = false;
    if (++job->n_tries < r->params.tries_max) {
        job->not_before_ns =
            now_ns + NS_PER_MS * retry_delay_ms(r->params.seed, job->artist_key, job->n_tries,
                                                r->params.backoff_ms, r->params.backoff_max_ms);
    } else {
        row_set_text(job->trouble, sizeof job->trouble, cause);
        settle_found(r, job, 1);
        if (job->n_open > 0)
            leave_source(r, job);
    }
    free_if_through(r, job);
}

void resolver_unsent(struct resolver *r, struct resolve_job *job)
{
    (void)r;
    job->is_on_the_way = false;
}

void resolver_give_up_source(struct resolver *r, enum source_id source)
{
    struct resolve_job *next;
    r->is_given_up[source] = true;
    for (struct resolve_job *job = r->oldest; job != NULL; job = next) {
        next = job->younger;
        if (job->is_on_the_way || source_of(r, job) != source)
            continue;
        enter_source(r, job);
        free_if_through(r, job);
    }
}

/* ---------------------------------------------------------------- requests */

enum source_id resolve_job_source(const struct resolve_job *job, const struct resolver *r)
{
    return source_of(r, job);
}

struct resolve_job *resolver_ready(struct resolver *r, enum source_id source, uint64_t now_ns)
{
    for (struct resolve_job *job = r->oldest; job != NULL; job = job->younger)
        if (!job->is_on_the_way && source_of(r, job) == source && job->not_before_ns <= now_ns)
            return job;
    return NULL;
}

uint64_t resolver_next_ns(const struct resolver *r, enum source_id source)
{
    uint64_t next_ns = UINT64_MAX;
    for (const struct resolve_job *job = r->oldest; job != NULL; job = job->younger)
        if (!job->is_on_the_way && source_of(r, job) == source)
            next_ns = u64_min(next_ns, job->not_before_ns);
    return next_ns;
}

void resolver_request(struct resolver *r, struct resolve_job *job, char out_url[URL_BYTES_MAX])
{
    enum source_id id = source_of(r, job);
    const struct todo_item *item =
        job->wanted[job->form == FORM_ARTIST ? next_open(job, 0, id) : job->at].item;
    const struct source_query q = {
        .form = job->form,
        .artist = item->artist,
        .title = item->name,
        .country = r->params.country,
        .index = job->index,
    };
    /* Names are cut at 255 bytes and three times as long when escaped; bases are configured. */
    bool fits = source_request(source_get(id), r->params.bases[id], &q, out_url);
    assert(fits);
    job->is_on_the_way = true;
}

/* ---------------------------------------------------------------- jobs */

struct look {
    struct resolver *r;
    struct resolve_job *job; /* being filled, NULL before the first row */
    size_t cap, n_looked;
    bool is_full; /* the next row waits for room */
    struct catalog_need at;
};

static void job_add(struct look *l, struct todo_item *item)
{
    struct resolver *r = l->r;
    if (l->job == NULL) {
        l->job = mem_zalloc(1, sizeof *l->job);
        l->job->artist_key = item->artist_key;
        l->job->older = r->youngest;
        *(r->youngest != NULL ? &r->youngest->younger : &r->oldest) = l->job;
        r->youngest = l->job;
        r->n_jobs++;
        l->cap = 0;
    }
    struct resolve_job *job = l->job;
    if (job->n == l->cap) {
        l->cap = size_max(8, 2 * l->cap);
        job->wanted = mem_resize(job->wanted, l->cap, sizeof *job->wanted);
    }
    struct wanted *w = &job->wanted[job->n++];
    *w = (struct wanted){.item = item};
    song_init(&w->song, item->name, item->artist, item->duration_ms);
    job->n_open++;
}

static void job_begin(struct look *l)
{
    struct resolve_job *job = l->job;
    l->job = NULL;
    if (job == NULL)
        return;
    enter_source(l->r, job);
    free_if_through(l->r, job);
}

/* Jobs are whole artists while there is room for them. */
static bool look_at(void *arg, const struct catalog_row *row)
{
    struct look *l = arg;
    struct resolver *r = l->r;
    bool is_next = l->job == NULL || row->artist_key != l->job->artist_key ||
                   l->job->n == RESOLVE_JOB_ROWS_MAX;
    l->at = (struct catalog_need){row->artist_key, row->row};
    l->n_looked++;
    if (is_next)
        job_begin(l);
    l->is_full = is_next && (r->n_jobs >= RESOLVE_JOBS_MAX || l->n_looked >= LOOK_ROWS_MAX ||
                             todo_adopt_room(r->params.todo) < RESOLVE_JOB_ROWS_MAX);
    if (l->is_full)
        return false;
    struct todo_item *item = todo_adopt(r->params.todo, row);
    if (item != NULL)
        job_add(l, item);
    l->at.row++;
    return true;
}

bool resolver_refill(struct resolver *r, struct err *e)
{
    if (r->at_end && r->is_rewind_due) {
        r->scan = (struct catalog_need){0};
        r->at_end = r->is_rewind_due = false;
    }
    if (r->at_end || r->n_jobs >= RESOLVE_JOBS_MAX)
        return true;
    struct look l = {.r = r, .at = r->scan};
    bool ok = catalog_each_need(r->params.catalog, r->scan, look_at, &l, e);
    job_begin(&l);
    r->scan = l.at;
    r->at_end = ok && !l.is_full;
    return ok;
}

void resolver_rewind(struct resolver *r)
{
    r->is_rewind_due = true;
}

size_t resolver_open_rows(const struct resolver *r)
{
    size_t n = 0;
    for (const struct resolve_job *job = r->oldest; job != NULL; job = job->younger)
        n += job->n_open;
    return n;
}

bool resolver_is_idle(const struct resolver *r)
{
    return r->n_jobs == 0 && r->at_end && !r->is_rewind_due;
}
