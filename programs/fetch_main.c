/*
 * refrain-fetch: reads the data set's CSV into its catalogue and fetches the previews into its
 * spool, within the limits of its hosts.
 */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/program.h"
#include "ingest/again.h"
#include "ingest/stage.h"
#include "programs/dataset.h"
#include "programs/tally.h"

#include <inttypes.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

enum { CAUSES_MAX = 256 };

static bool opt_once, opt_watch, opt_json;
static const char *opt_retry;

static const struct option options[] = {
    {"once", 0, OPTION_FLAG, &opt_once, NULL,
     "do what is due now and end; rows that wait for a retry are left waiting"},
    {"watch", 'w', OPTION_FLAG, &opt_watch, NULL,
     "when nothing is left, wait for the CSV to grow; only a signal ends it"},
    {"retry", 0, OPTION_STR, &opt_retry, "cause=CAUSE,...",
     "first give rows that ended with these causes another chance (\"all\": with any)"},
    {"json", 'j', OPTION_FLAG, &opt_json, NULL,
     "print one JSON object at the end: rows, states, causes, requests, throttled, bytes"},
};

static bool count_cause(void *arg, const struct catalog_row *row)
{
    if (row->cause[0] != '\0')
        tally_add_str(arg, row->cause, false);
    return true;
}

static void print_json(const struct catalog_totals *t, struct tally *causes,
                       const struct stage_result *r)
{
    struct json j;
    size_t n;
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_u64(&j, "rows", t->rows);
    json_object(&j, "states");
    for (size_t i = 0; i < ROW_STATES; i++)
        if (t->states[i] > 0)
            json_u64(&j, row_state_name((enum row_state)i), t->states[i]);
    json_end(&j);
    json_object(&j, "causes");
    const struct tally_item *items = tally_sorted(causes, &n);
    for (size_t i = 0; i < n; i++)
        json_u64(&j, items[i].name, items[i].n);
    json_end(&j);
    json_u64(&j, "requests", t->requests);
    json_u64(&j, "throttled", t->throttled);
    json_u64(&j, "bytes", t->bytes);
    json_object(&j, "run");
    json_u64(&j, "new_rows", r->plan.n_new);
    json_u64(&j, "changed_rows", r->plan.n_changed);
    json_u64(&j, "recovered", r->n_recovered);
    json_u64(&j, "queries", r->n_queries);
    json_u64(&j, "resolved", r->n_resolved);
    json_u64(&j, "fetched", r->n_fetched);
    json_u64(&j, "failed", r->n_failed);
    json_u64(&j, "retries", r->n_retries);
    json_u64(&j, "requests", r->requests);
    json_u64(&j, "throttled", r->throttled);
    json_u64(&j, "bytes", r->bytes);
    json_f64(&j, "latency_p50_ms", latency_quantile_ms(&r->latency, 0.5));
    json_f64(&j, "latency_p90_ms", latency_quantile_ms(&r->latency, 0.9));
    json_f64(&j, "latency_p99_ms", latency_quantile_ms(&r->latency, 0.99));
    json_f64(&j, "seconds", r->seconds);
    json_f64(&j, "requests_per_s", r->seconds > 0 ? (double)r->requests / r->seconds : 0);
    json_bool(&j, "stopped", r->is_stopped);
    json_end(&j);
    json_end(&j);
    json_finish(&j);
}

static bool report(struct catalog *c, const struct stage_result *r, struct err *e)
{
    struct catalog_totals t;
    if (!catalog_totals(c, &t, e))
        return false;
    uint64_t n_left = t.states[ROW_NEW] + t.states[ROW_DIRECT] + t.states[ROW_NEED] +
                      t.states[ROW_RESOLVED] + t.states[ROW_WAIT];
    uint64_t n_without = t.rows - n_left - t.states[ROW_DONE];
    log_info(r->requests == 0 && !r->is_stopped && n_left == 0 ? "nothing to do" : "fetch ends",
             "rows=%" PRIu64 " done=%" PRIu64 " without_preview=%" PRIu64 " left=%" PRIu64
             " requests=%" PRIu64 " throttled=%" PRIu64 " bytes=%" PRIu64 " seconds=%.1f",
             t.rows, t.states[ROW_DONE], n_without, n_left, r->requests, r->throttled, r->bytes,
             r->seconds);
    if (!opt_json)
        return true;
    struct tally *causes = tally_new(CAUSES_MAX);
    bool ok = catalog_each(c, count_cause, causes, e);
    if (ok)
        print_json(&t, causes, r);
    tally_free(causes);
    return ok;
}

/* The configured path, from the data set directory when it is relative. */
static bool csv_path(const struct dataset *d, char out[PATH_BYTES], struct err *e)
{
    const char *csv = d->settings.catalog.csv;
    if (csv[0] == '\0')
        return err_set(e, ERR_USAGE, "%s/refrain.conf: catalog.csv is not set", d->dir);
    if (csv[0] != '/')
        return path_join(out, d->dir, csv, e);
    snprintf(out, PATH_BYTES, "%s", csv);
    return true;
}

enum { USER_AGENT_BYTES = 2 * CONF_STR_BYTES + 8 };

/* The sources as configured; nobody asks one without saying who asks. */
static bool set_sources(const struct settings *s, struct stage_params *p,
                        char user_agent[USER_AGENT_BYTES], struct err *e)
{
    if (!source_list_parse(s->resolve.sources, p->sources, &p->n_sources, e))
        return err_wrap(e, "resolve.sources");
    if (p->n_sources > 0 && s->resolve.contact[0] == '\0')
        return err_set(e, ERR_USAGE,
                       "resolve.contact is empty: set it to your mail address or page, so that %s "
                       "can reach you",
                       source_get(p->sources[0])->name);
    bool has_contact = s->resolve.contact[0] != '\0';
    snprintf(user_agent, USER_AGENT_BYTES, "%s%s%s%s", s->fetch.user_agent, has_contact ? " (" : "",
             s->resolve.contact, has_contact ? ")" : "");
    p->fetch.user_agent = user_agent;
    p->source_bases[SOURCE_DEEZER] = s->resolve.deezer_url;
    p->source_bases[SOURCE_ITUNES] = s->resolve.itunes_url;
    p->country = s->resolve.country;
    p->resolve_pages = s->resolve.pages;
    return true;
}

static struct stage_params stage_params(const struct dataset *d, const char *csv)
{
    const struct settings *s = &d->settings;
    return (struct stage_params){
        .dataset_dir = d->dir,
        .csv_path = csv,
        .fetch =
            {
                .n_in_flight = s->fetch.in_flight,
                .connect_timeout_ms = s->fetch.connect_timeout_ms,
                .timeout_ms = s->fetch.timeout_ms,
                .low_speed_bytes_per_s = s->fetch.low_speed_bytes_per_s,
                .low_speed_s = s->fetch.low_speed_s,
                .max_bytes = s->fetch.max_bytes,
                .allow_private = s->fetch.allow_private,
                .allow_http = s->fetch.allow_http,
            },
        .limits = &s->fetch.limit,
        .seed = s->seed,
        .attempts = s->fetch.attempts,
        .backoff_ms = s->fetch.backoff_ms,
        .backoff_max_ms = s->fetch.backoff_max_ms,
        .max_redirects = s->fetch.max_redirects,
        .file_root = s->fetch.file_root,
        .preview_ms = s->fetch.preview_ms,
        .high_water_bytes = s->spool.high_water_mib << 20,
        .disk_floor_bytes = s->disk_floor_mib << 20,
        .once = opt_once,
        .watch = opt_watch,
        .stop_fd = program_stop_fd(),
    };
}

static bool run(const struct args *args, struct err *e)
{
    struct dataset *d = mem_zalloc(1, sizeof *d);
    struct catalog *catalog = NULL;
    struct spool *spool = NULL;
    struct stage_result result;
    char csv[PATH_BYTES], lock[PATH_BYTES], user_agent[USER_AGENT_BYTES];
    int lock_fd = -1;
    bool ok = false;
    if (opt_once && opt_watch) {
        err_set(e, ERR_USAGE, "--once and --watch exclude each other");
        goto out;
    }
    if (!dataset_open(args->items[0], d, e) || !csv_path(d, csv, e) ||
        !path_join(lock, d->dir, "fetch.lock", e) || !file_lock(lock, &lock_fd, e) ||
        !catalog_open(d->dir, true, &catalog, e) || !spool_open(d->dir, &spool, e))
        goto out;
    if (opt_retry != NULL) {
        static const char key[] = "cause=";
        bool has_key = strncmp(opt_retry, key, strlen(key)) == 0;
        const char *causes = opt_retry + (has_key ? strlen(key) : 0);
        uint64_t n;
        if (!again_by_cause(catalog, causes, &n, e))
            goto out;
        log_info("rows tried again", "causes=\"%s\" n=%" PRIu64, causes, n);
    }
    struct stage_params params = stage_params(d, csv);
    ok = set_sources(&d->settings, &params, user_agent, e) &&
         stage_run(&params, catalog, spool, &result, e) && report(catalog, &result, e);
out:
    spool_close(spool);
    catalog_close(catalog);
    if (lock_fd >= 0)
        close(lock_fd);
    mem_free(d);
    return ok;
}

static const struct command commands[] = {
    {
        .name = NULL,
        .synopsis = "DIR [--once | --watch] [--retry cause=CAUSE,...] [--json]",
        .help =
            "Reads the CSV named in DIR/refrain.conf and fetches every preview that is not there "
            "yet.\n"
            "Ends when every row has a final state. A second run on the same CSV sends no "
            "request; on a grown one it takes what is new. SIGTERM finishes what is in flight "
            "and ends; a kill at any moment loses nothing that was committed.",
        .examples = "refrain fetch songs            # until nothing is left\n"
                    "refrain fetch songs --watch    # and then wait for new rows\n"
                    "refrain fetch songs --retry cause=timeout,http_403   # those again\n",
        .options = options,
        .n_options = ARRAY_LEN(options),
        .min_args = 1,
        .max_args = 1,
        .run = run,
    },
};

/* Bodies come and go by hundreds of kilobytes: given back to the kernel each time, their pages
 * would be faulted in anew. What may wait for the disk is bounded (ingest/stage.c). */
static void keep_freed_memory(void)
{
    enum { KEEP_BYTES = 32 << 20 };
    (void)mallopt(M_MMAP_THRESHOLD, KEEP_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
}

int main(int argc, char **argv)
{
    keep_freed_memory();
    static const struct program program = {
        .name = "refrain-fetch",
        .summary = "fetch the previews of a data set within the limits of their hosts",
        .description = "Keeps rows and their states in DIR/catalog.mdb and hands previews over in "
                       "DIR/spool/new.",
        .commands = commands,
        .n_commands = ARRAY_LEN(commands),
    };
    return program_main(&program, argc, argv);
}
