#include "ingest/fetch.h"

#include "base/clock.h"
#include "base/mem.h"
#include "ingest/address.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* A body that will be dropped is read to its end so that the connection lives on, up to this. */
enum { DROPPED_BYTES_MAX = 64 << 10, WAKE_FDS_MAX = 4, SPARE_CONNECTIONS = 8 };

struct exchange {
    struct fetcher *f;
    CURL *easy;
    void *user;
    bool is_busy, has_answer;
    bool is_too_large, is_dropped, is_refused, is_private, is_withdrawn;
    struct fetch_answer answer;
    char error[CURL_ERROR_SIZE];
};

struct fetcher {
    struct transport transport; /* first: one is the other */
    struct fetch_params params;
    struct fetch_hooks hooks;
    CURLM *multi;
    size_t n_in_flight;
    struct exchange *exchanges; /* params.n_in_flight of them */
    struct curl_slist *headers;
};

static struct fetcher *fetcher_of(struct transport *t)
{
    return (struct fetcher *)(void *)t;
}

/* ---------------------------------------------------------------- libcurl's callbacks */

static unsigned status_of(struct exchange *x)
{
    long status = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    return status > 0 ? (unsigned)status : 0;
}

/* Room for the announced length at once, so that the body does not grow by doubling. */
static bool reserve_announced(struct exchange *x)
{
    struct err e = {0};
    curl_off_t announced = -1;
    curl_easy_getinfo(x->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    x->answer.has_length = announced > 0;
    return announced <= 0 || ((uint64_t)announced <= x->f->params.max_bytes &&
                              buf_reserve(&x->answer.body, (size_t)announced, &e));
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    struct err e = {0};
    size_t n_bytes = size * n;
    bool is_first = x->answer.n_bytes == 0;
    x->answer.n_bytes += n_bytes;
    if (status_of(x) != 200) {
        x->is_dropped = x->answer.n_bytes > DROPPED_BYTES_MAX;
        return x->is_dropped ? 0 : n_bytes;
    }
    if (x->is_refused) { /* read on for the connection's sake, not for long */
        bool is_long = x->answer.n_bytes - x->answer.body.len > DROPPED_BYTES_MAX;
        return is_long ? 0 : n_bytes;
    }
    x->is_too_large =
        (is_first && !reserve_announced(x)) || !buf_append(&x->answer.body, bytes, n_bytes, &e);
    if (x->is_too_large)
        return 0;
    x->is_refused = !x->f->hooks.on_body(x->f->hooks.arg, x->user, buf_span(&x->answer.body));
    return n_bytes;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * n;
    if (!x->has_answer) {
        x->has_answer = true;
        x->f->hooks.on_answer(x->f->hooks.arg, x->user);
    }
    ratelimit_take_line(&x->answer.limits, line, len);
    return len;
}

/* Runs before each connection, with the address that the name resolved to: a link, or a name that
 * points inwards, never gets as far as a packet. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct exchange *x = arg;
    (void)purpose;
    if (!x->f->params.allow_private && !address_is_public(&address->addr)) {
        x->is_private = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int on_before_request(void *arg, char *peer_ip, char *local_ip, int peer_port,
                             int local_port)
{
    struct exchange *x = arg;
    (void)peer_ip, (void)local_ip, (void)peer_port, (void)local_port;
    x->is_withdrawn = !x->f->hooks.on_send(x->f->hooks.arg, x->user);
    return x->is_withdrawn ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* ---------------------------------------------------------------- an exchange */

static enum net_result net_result_of(const struct exchange *x, CURLcode code)
{
    if (x->is_withdrawn)
        return NET_WITHDRAWN;
    if (x->is_private)
        return NET_PRIVATE;
    if (x->is_too_large)
        return NET_TOO_LARGE;
    if (x->is_dropped || x->is_refused)
        return NET_OK;
    switch (code) {
    case CURLE_OK:
        return NET_OK;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return NET_DNS;
    case CURLE_COULDNT_CONNECT:
    case CURLE_INTERFACE_FAILED:
        return NET_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return NET_TLS;
    case CURLE_OPERATION_TIMEDOUT:
        return NET_TIMEOUT;
    case CURLE_PARTIAL_FILE:
        return NET_TRUNCATED;
    case CURLE_BAD_CONTENT_ENCODING:
        return NET_ENCODING;
    case CURLE_FILESIZE_EXCEEDED:
        return NET_TOO_LARGE;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        /* A body that breaks off is a truncated one, however the connection ended. */
        return x->answer.body.len > 0 ? NET_TRUNCATED : NET_RESET;
    default:
        return NET_PROTOCOL;
    }
}

static void finish(struct exchange *x, CURLcode code)
{
    struct fetcher *f = x->f;
    struct fetch_answer *a = &x->answer;
    const char *target = NULL;
    a->net = net_result_of(x, code);
    a->status = status_of(x);
    if (a->net == NET_OK && a->status >= 300 && a->status < 400 &&
        curl_easy_getinfo(x->easy, CURLINFO_REDIRECT_URL, &target) == CURLE_OK && target != NULL)
        snprintf(a->redirect, sizeof a->redirect, "%s", target);
    if (code != CURLE_OK)
        snprintf(a->detail, sizeof a->detail, "%s",
                 x->error[0] != '\0' ? x->error : curl_easy_strerror(code));
    curl_multi_remove_handle(f->multi, x->easy);
    f->n_in_flight--;
    x->is_busy = false;
    f->hooks.on_done(f->hooks.arg, x->user, a);
    buf_release(&a->body);
}

static void exchange_reset(struct exchange *x, void *user)
{
    x->user = user;
    x->has_answer = x->is_too_large = x->is_dropped = x->is_refused = false;
    x->is_private = x->is_withdrawn = false;
    x->error[0] = '\0';
    struct fetch_answer *a = &x->answer;
    a->net = NET_OK;
    a->status = 0;
    a->n_bytes = 0;
    a->has_length = false;
    a->redirect[0] = a->detail[0] = '\0';
    ratelimit_reset(&a->limits);
    buf_init(&a->body, x->f->params.max_bytes);
}

static bool start(struct transport *t, const char *url, void *user, struct err *e)
{
    struct fetcher *f = fetcher_of(t);
    struct exchange *x = f->exchanges;
    assert(f->n_in_flight < f->params.n_in_flight);
    while (x->is_busy)
        x++;
    exchange_reset(x, user);
    CURLcode code = curl_easy_setopt(x->easy, CURLOPT_URL, url);
    CURLMcode multi_code = curl_multi_add_handle(f->multi, x->easy);
    if (code != CURLE_OK || multi_code != CURLM_OK)
        return err_set(e, ERR_FATAL, "cannot start a request: %s",
                       code != CURLE_OK ? curl_easy_strerror(code)
                                        : curl_multi_strerror(multi_code));
    x->is_busy = true;
    f->n_in_flight++;
    return true;
}

/* ---------------------------------------------------------------- driving */

static bool fail(CURLMcode code, struct err *e)
{
    return err_set(e, ERR_FATAL, "libcurl: %s", curl_multi_strerror(code));
}

static bool poll_all(struct transport *t, const int *wake_fds, size_t n_wake_fds,
                     uint64_t timeout_ms, struct err *e)
{
    struct fetcher *f = fetcher_of(t);
    struct curl_waitfd extra[WAKE_FDS_MAX] = {0};
    assert(n_wake_fds <= WAKE_FDS_MAX);
    for (size_t i = 0; i < n_wake_fds; i++)
        extra[i] = (struct curl_waitfd){.fd = wake_fds[i], .events = CURL_WAIT_POLLIN};
    int n_running, n_ready;
    CURLMcode code = curl_multi_perform(f->multi, &n_running);
    if (code == CURLM_OK && (size_t)n_running == f->n_in_flight && timeout_ms > 0) {
        code = curl_multi_poll(f->multi, extra, (unsigned)n_wake_fds,
                               (int)u64_min(timeout_ms, 60000), &n_ready);
        if (code == CURLM_OK)
            code = curl_multi_perform(f->multi, &n_running);
    }
    if (code != CURLM_OK)
        return fail(code, e);
    int n_left;
    for (CURLMsg *m; (m = curl_multi_info_read(f->multi, &n_left)) != NULL;) {
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode result = m->data.result; /* m does not outlive the removal */
        struct exchange *x = NULL;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&x);
        finish(x, result);
    }
    return true;
}

static void cancel_all(struct transport *t)
{
    struct fetcher *f = fetcher_of(t);
    for (size_t i = 0; i < f->params.n_in_flight; i++)
        if (f->exchanges[i].is_busy) {
            f->exchanges[i].is_withdrawn = true;
            finish(&f->exchanges[i], CURLE_ABORTED_BY_CALLBACK);
        }
}

static size_t in_flight(const struct transport *t)
{
    return ((const struct fetcher *)(const void *)t)->n_in_flight;
}

/* ---------------------------------------------------------------- life */

static bool set_options(struct exchange *x, struct err *e)
{
    const struct fetch_params *p = &x->f->params;
    CURL *c = x->easy;
    CURLcode code = CURLE_OK;
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(c, option, value);                                             \
    } while (0)
    SET(CURLOPT_PRIVATE, (void *)x);
    SET(CURLOPT_ERRORBUFFER, x->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_PROTOCOLS_STR, p->allow_http ? "http,https" : "https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_USERAGENT, p->user_agent);
    /* Decoded when a server compresses unasked, but not asked for: gzip and deflate, and brotli and
     * zstd where the library has them. */
    SET(CURLOPT_ACCEPT_ENCODING, "");
    SET(CURLOPT_HTTPHEADER, x->f->headers);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)p->connect_timeout_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)p->timeout_ms);
    SET(CURLOPT_LOW_SPEED_LIMIT, (long)p->low_speed_bytes_per_s);
    SET(CURLOPT_LOW_SPEED_TIME, (long)p->low_speed_s);
    SET(CURLOPT_BUFFERSIZE, 128L << 10);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, (void *)x);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, (void *)x);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, (void *)x);
    SET(CURLOPT_PREREQFUNCTION, on_before_request);
    SET(CURLOPT_PREREQDATA, (void *)x);
#undef SET
    return code == CURLE_OK ||
           err_set(e, ERR_FATAL, "libcurl: cannot set an option: %s", curl_easy_strerror(code));
}

static void close_all(struct transport *t)
{
    struct fetcher *f = fetcher_of(t);
    assert(f->n_in_flight == 0);
    for (size_t i = 0; i < f->params.n_in_flight; i++)
        curl_easy_cleanup(f->exchanges[i].easy);
    curl_multi_cleanup(f->multi);
    curl_slist_free_all(f->headers);
    mem_free(f->exchanges);
    mem_free(f);
    curl_global_cleanup();
}

bool fetcher_open(const struct fetch_params *p, const struct fetch_hooks *hooks,
                  struct transport **out, struct err *e)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK)
        return err_set(e, ERR_FATAL, "libcurl: %s", curl_easy_strerror(code));
    struct fetcher *f = mem_zalloc(1, sizeof *f);
    f->transport = (struct transport){in_flight, start, poll_all, cancel_all, close_all};
    f->params = *p;
    f->hooks = *hooks;
    f->exchanges = mem_zalloc(p->n_in_flight, sizeof *f->exchanges);
    f->multi = curl_multi_init();
    f->headers = curl_slist_append(NULL, "Accept-Encoding:");
    bool ok = (f->multi != NULL && f->headers != NULL) ||
              err_set(e, ERR_FATAL, "libcurl: no multi handle");
    if (ok)
        curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS,
                          (long)(p->n_in_flight + SPARE_CONNECTIONS));
    for (size_t i = 0; ok && i < p->n_in_flight; i++) {
        struct exchange *x = &f->exchanges[i];
        x->f = f;
        x->easy = curl_easy_init();
        ok = x->easy != NULL ? set_options(x, e) : err_set(e, ERR_FATAL, "libcurl: no easy handle");
    }
    if (!ok) {
        close_all(&f->transport);
        return false;
    }
    *out = &f->transport;
    return true;
}

/* ---------------------------------------------------------------- the real world */

static uint64_t real_now_ns(void *arg)
{
    (void)arg;
    return clock_now_ns();
}

static int64_t real_wall_ms(void *arg)
{
    struct timespec ts;
    (void)arg;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool open_fetcher(void *arg, const struct fetch_params *p, const struct fetch_hooks *hooks,
                         struct transport **out, struct err *e)
{
    (void)arg;
    return fetcher_open(p, hooks, out, e);
}

const struct world world_real = {
    .now_ns = real_now_ns, .wall_ms = real_wall_ms, .open_transport = open_fetcher};
