#include "store/verify.h"

#include "base/mem.h"
#include "store/content.h"
#include "store/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child says, one write each: shorter than PIPE_BUF, so whole. */
enum event_kind { EVENT_PROGRESS, EVENT_DAMAGE, EVENT_DONE, EVENT_REFUSED };
struct event {
    uint32_t kind;
    uint32_t err_kind; /* of EVENT_REFUSED: nothing was checked */
    uint64_t clips, tracks, root;
    char text[VERIFY_TEXT_BYTES];
};

enum { PROGRESS_CLIPS = 256 };

/* ---------------------------------------------------------------- the child */

struct check {
    int out_fd;
    bool deep;
    enum err_kind refused;
    struct store *store;
    struct store_seat *seat;
    struct store_recipe recipe;
    struct totals totals;      /* recomputed */
    uint64_t n_listed;         /* records that a track lists */
    uint64_t n_walked, before; /* of the table that is walked */
    float *decoded;
    size_t n_decoded_max;
};

static void say(struct check *c, enum event_kind kind, const char *text)
{
    struct event event = {.kind = (uint32_t)kind,
                          .err_kind = (uint32_t)c->refused,
                          .clips = c->totals.clips,
                          .tracks = c->totals.tracks,
                          .root = c->totals.root};
    snprintf(event.text, sizeof event.text, "%s", text);
    if (write(c->out_fd, &event, sizeof event) != (ssize_t)sizeof event)
        _exit(1); /* nobody listens any more */
}

static void PRINTF_LIKE(2, 3) damage(struct check *c, const char *format, ...)
{
    char text[VERIFY_TEXT_BYTES];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    say(c, EVENT_DAMAGE, text);
}

static void damage_record(struct check *c, uint64_t key, const char *what)
{
    damage(c, "row %" PRIu64 ", clip %u, view %u: %s", store_key_row(key), store_key_clip(key),
           store_key_view(key), what);
}

static bool padding_is_zero(MDB_val value, struct span record)
{
    const uint8_t *bytes = value.mv_data;
    for (size_t i = record.len; i < value.mv_size; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

static void check_decoded(struct check *c, uint64_t key, struct span record,
                          const struct record_info *info)
{
    struct err e = {0};
    size_t n = (size_t)info->n_frames * info->n_mels;
    if (c->n_decoded_max < n) {
        mem_free(c->decoded);
        c->decoded = mem_alloc_aligned(n, sizeof *c->decoded);
        c->n_decoded_max = n;
    }
    if (!record_decode(c->seat->decoder, record, c->decoded, n, &e)) {
        damage_record(c, key, e.msg);
        return;
    }
    float largest = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(c->decoded[i])) {
            damage_record(c, key, "a value is not finite");
            return;
        }
        largest = fmaxf(largest, fabsf(c->decoded[i]));
    }
    /* Half a step, and what float32 may add near the ends of the grid; for f32 what rounding took
     * off values that were float64 when they were imported. */
    double allowed =
        info->dtype == RECORD_F32 ? (double)largest * 0x1p-23 : (double)info->scale * 0.501 + 1e-3;
    if ((double)info->max_err_db > allowed || info->rms_err_db > info->max_err_db)
        damage_record(c, key, "its error certificate is larger than its dtype can be off by");
}

static void check_record(struct check *c, uint64_t key, MDB_val value)
{
    struct err e = {0};
    struct record_info info;
    struct span record = value_span(value);
    if (!record_verify(record, &e) || !record_parse(record, &info, &e)) {
        damage_record(c, key, e.msg);
        return;
    }
    totals_add_record(&c->totals, key, record, &info);
    if (info.dtype != c->recipe.dtype || info.spec_hash != c->recipe.spec_hash)
        damage_record(c, key, "made by another recipe than the store's");
    if (value.mv_size != value_padded_bytes(record.len, c->store->env.page_bytes) ||
        !padding_is_zero(value, record))
        damage_record(c, key, "padding is not what it should be");
    if (c->deep)
        check_decoded(c, key, record, &info);
}

/* Keys of a table must rise; a tree that was damaged can even lead round in circles. */
static bool in_order(struct check *c, const char *table, uint64_t key)
{
    bool ok = c->n_walked++ == 0 || key > c->before;
    if (!ok)
        damage(c, "the tree of the %s is damaged: key %" PRIu64 " after %" PRIu64, table, key,
               c->before);
    c->before = key;
    return ok;
}

static void walk(struct check *c, const char *table, MDB_dbi dbi, store_walk_fn *fn)
{
    c->n_walked = c->before = 0;
    int rc = store_walk(c->store, c->seat, dbi, fn, c);
    if (rc != MDB_SUCCESS)
        damage(c, "the tree of the %s is damaged after key %" PRIu64 ": %s", table, c->before,
               mdb_strerror(rc));
}

static bool check_clip(void *arg, uint64_t key, MDB_val value)
{
    struct check *c = arg;
    if (c->n_walked % PROGRESS_CLIPS == 0)
        say(c, EVENT_PROGRESS, "");
    if (!in_order(c, "records", key))
        return false;
    check_record(c, key, value);
    return true;
}

/* A track's entry, and that each view it lists is there. */
static bool check_track(void *arg, uint64_t row, MDB_val value)
{
    struct check *c = arg;
    struct err e = {0};
    struct store_track_info info;
    struct span entry = {value.mv_data, value.mv_size};
    uint64_t key;
    if (!in_order(c, "tracks", row))
        return false;
    if (!track_entry_info(entry, &info, &e)) {
        damage(c, "row %" PRIu64 ": %s", row, e.msg);
        return true;
    }
    totals_add_track(&c->totals, row, entry);
    for (uint32_t i = 0; i < info.n_views; i++) {
        MDB_val k = {sizeof key, &key}, ignored;
        if (!track_entry_key(entry, row, i, &key, &e)) {
            damage(c, "row %" PRIu64 ": %s", row, e.msg);
            return true;
        }
        if (mdb_get(c->seat->txn, c->store->env.clip, &k, &ignored) == MDB_SUCCESS)
            c->n_listed++;
        else
            damage_record(c, key, "listed with its track but not there");
    }
    return true;
}

/* The table that finds equal records: each hash leads to a record that owns its bytes. */
static bool check_content(void *arg, uint64_t hash, MDB_val value)
{
    struct check *c = arg;
    uint64_t key = 0;
    if (!in_order(c, "contents", hash))
        return false;
    memcpy(&key, value.mv_data, size_min(sizeof key, value.mv_size));
    MDB_val k = {sizeof key, &key}, record;
    if (value.mv_size != sizeof key ||
        mdb_get(c->seat->txn, c->store->env.clip, &k, &record) != MDB_SUCCESS ||
        content_is_alias(record))
        damage(c, "content %016" PRIx64 " leads to no record", hash);
    return true;
}

static void check_total(struct check *c, const char *name, uint64_t stored, uint64_t found)
{
    if (stored != found)
        damage(c,
               "%s: the store says %" PRIu64 " (%016" PRIx64 "), its records give %" PRIu64
               " (%016" PRIx64 ")",
               name, stored, stored, found, found);
}

static void check_all(struct check *c, const char *path)
{
    struct err e = {0};
    struct totals stored;
    if (!store_open(path, &c->store, &e) || !store_enter(c->store, &c->seat, &e) ||
        !meta_get_recipe(&c->store->env, c->seat->txn, &c->recipe, &e) ||
        !meta_get_totals(&c->store->env, c->seat->txn, &stored, &e)) {
        c->refused = e.kind;
        say(c, e.kind == ERR_FATAL ? EVENT_DAMAGE : EVENT_REFUSED, e.msg);
        return;
    }
    walk(c, "records", c->store->env.clip, check_clip);
    walk(c, "tracks", c->store->env.track, check_track);
    if (c->store->env.content != 0)
        walk(c, "contents", c->store->env.content, check_content);
    check_total(c, "records listed with tracks", c->n_listed, c->totals.clips);
    check_total(c, "records", stored.clips, c->totals.clips);
    check_total(c, "tracks", stored.tracks, c->totals.tracks);
    check_total(c, "payload bytes", stored.payload_bytes, c->totals.payload_bytes);
    check_total(c, "root", stored.root, c->totals.root);
    check_total(c, "track root", stored.track_root, c->totals.track_root);
    check_total(c, "squared error", stored.square_err_q20, c->totals.square_err_q20);
}

static void child_run(const char *path, bool deep, int out_fd)
{
    struct check c = {.out_fd = out_fd, .deep = deep};
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null_fd >= 0)
        dup2(null_fd, STDERR_FILENO); /* LMDB prints its assertions; the parent says it better */
    check_all(&c, path);
    say(&c, EVENT_DONE, "");
    _exit(0);
}

/* ---------------------------------------------------------------- the parent */

struct parent {
    const struct verify_listener *listener;
    struct verify_report report;
    bool done; /* the child came to its end */
    struct err refused;
};

static void heard(struct parent *p, const struct event *event)
{
    const struct verify_listener *listener = p->listener;
    struct verify_report *report = &p->report;
    report->clips = event->clips;
    report->tracks = event->tracks;
    report->root = event->root;
    if (event->kind == EVENT_DAMAGE) {
        report->n_damaged++;
        if (listener->damage)
            listener->damage(listener->arg, event->text);
    } else if (event->kind == EVENT_DONE) {
        p->done = true;
    } else if (event->kind == EVENT_REFUSED) {
        err_set(&p->refused, (enum err_kind)event->err_kind, "%s", event->text);
    } else if (listener->progress) {
        listener->progress(listener->arg, event->clips);
    }
}

/* Reads events until the child is silent for good. False when it stalled. */
static bool listen_to_child(struct parent *parent, int fd)
{
    struct event event;
    size_t have = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, VERIFY_STALL_MS);
        if (ready == 0)
            return false;
        ssize_t n = ready < 0 ? -1 : read(fd, (uint8_t *)&event + have, sizeof event - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return true;
        have += (size_t)n;
        if (have == sizeof event) {
            event.text[sizeof event.text - 1] = '\0';
            heard(parent, &event);
            have = 0;
        }
    }
}

static void report_death(struct parent *p, int status)
{
    const struct verify_listener *listener = p->listener;
    struct verify_report *report = &p->report;
    char text[VERIFY_TEXT_BYTES];
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text,
                 "reading the file ended with signal %d (%s) after %" PRIu64
                 " good records: its tree is damaged",
                 WTERMSIG(status), strsignal(WTERMSIG(status)), report->clips);
    else
        snprintf(text, sizeof text,
                 "reading the file ended with exit code %d after %" PRIu64
                 " good records: its tree is damaged",
                 WEXITSTATUS(status), report->clips);
    report->n_damaged++;
    if (listener->damage)
        listener->damage(listener->arg, text);
}

bool store_verify(const char *path, bool deep, const struct verify_listener *listener,
                  struct verify_report *out, struct err *e)
{
    static const struct verify_listener nobody;
    struct parent parent = {.listener = listener ? listener : &nobody};
    int pipe_fds[2], status = 0;
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot make a pipe");
    pid_t child = fork();
    if (child < 0) {
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        return err_set_errno(e, ERR_FATAL, errno, "cannot start a process to verify in");
    }
    if (child == 0) {
        close(pipe_fds[0]);
        child_run(path, deep, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    bool moved = listen_to_child(&parent, pipe_fds[0]);
    close(pipe_fds[0]);
    if (!moved)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!moved)
        return err_set(e, ERR_FATAL,
                       "verifying %s made no progress for %d s after %" PRIu64 " records", path,
                       VERIFY_STALL_MS / 1000, parent.report.clips);
    if (parent.refused.kind != ERR_NONE) {
        *e = parent.refused;
        return false;
    }
    if (!parent.done)
        report_death(&parent, status);
    *out = parent.report;
    return true;
}
