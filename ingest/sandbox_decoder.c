#include "ingest/sandbox_decoder.h"

#include "base/mem.h"
#include "ingest/decode_message.h"

#include <string.h>
#include <time.h>

static_assert(sizeof(struct decode_request) <= SANDBOX_MESSAGE_BYTES, "a request is one message");
static_assert(sizeof(struct decode_reply) <= SANDBOX_MESSAGE_BYTES, "a reply is one message");

/* ---------------------------------------------------------------- in the worker */

struct worker_state {
    struct span input;
    size_t output_bytes;
    struct decoder *decoder;
};

static void *service_open(struct span input, void *output, size_t output_bytes)
{
    struct worker_state *s = mem_zalloc(1, sizeof *s);
    s->input = input;
    s->output_bytes = output_bytes;
    s->decoder = decoder_new();
    decoder_set_output(s->decoder, output, output_bytes / sizeof(int16_t));
    return s;
}

/* The process has one thread; its own clock would be coarse, because Linux advances it by ticks
 * where processor time is limited. */
static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool serve_open(struct worker_state *s, const struct decode_request *r,
                       struct decode_reply *reply, enum decode_verdict *verdict, struct err *e)
{
    struct decode_info info;
    assert(r->file_bytes <= s->input.len);
    assert(r->limits.max_pcm_bytes <= s->output_bytes);
    if (!decoder_open(s->decoder, (struct span){s->input.ptr, r->file_bytes}, &r->limits, &info,
                      verdict, e))
        return false;
    reply->n_frames = info.n_frames;
    reply->rate_hz = info.rate_hz;
    reply->n_channels = info.n_channels;
    reply->is_indexed = info.is_indexed;
    return true;
}

static bool serve_read(struct worker_state *s, const struct decode_request *r,
                       struct decode_reply *reply, enum decode_verdict *verdict, struct err *e)
{
    const struct pcm *pcm;
    if (!decoder_read(s->decoder, r->from, r->to, &pcm, verdict, e))
        return false;
    reply->n_frames = pcm->n_frames;
    reply->first_frame = pcm->first_frame;
    return true;
}

static size_t service_serve(void *state, struct span request, void *reply_bytes)
{
    struct decode_request r;
    struct decode_reply *reply = reply_bytes;
    enum decode_verdict verdict = DECODE_OK;
    struct err e = {0};
    assert(request.len == sizeof r);
    memcpy(&r, request.ptr, sizeof r);
    uint64_t began_ns = thread_cpu_ns();
    bool ok = r.op == DECODE_OPEN ? serve_open(state, &r, reply, &verdict, &e)
                                  : serve_read(state, &r, reply, &verdict, &e);
    reply->cpu_ns = thread_cpu_ns() - began_ns;
    reply->verdict = verdict;
    reply->is_out_of_memory = !ok && e.kind == ERR_FATAL;
    memcpy(reply->why, e.msg, sizeof reply->why);
    return sizeof *reply;
}

const struct sandbox_service sandbox_decoder_service = {service_open, service_serve};

/* ---------------------------------------------------------------- the caller's side */

struct sandbox_decoder {
    struct sandbox_worker *worker;
    struct sandbox_decoder_params params;
    uint64_t n_files;             /* that the process has seen */
    struct decode_request opened; /* the last open, to be asked again of a new process */
    struct decode_info info;
    struct pcm pcm;
    uint64_t cpu_ns;
};

bool sandbox_decoder_new(struct sandbox *s, const struct sandbox_decoder_params *params,
                         struct sandbox_decoder **out, struct err *e)
{
    struct sandbox_decoder *d = mem_zalloc(1, sizeof *d);
    d->params = *params;
    if (!sandbox_worker_new(s, params->max_file_bytes, params->max_pcm_bytes, &d->worker, e)) {
        mem_free(d);
        return false;
    }
    *out = d;
    return true;
}

void sandbox_decoder_free(struct sandbox_decoder *d)
{
    if (d == NULL)
        return;
    sandbox_worker_free(d->worker);
    mem_free(d);
}

void sandbox_decoder_reset(struct sandbox_decoder *d)
{
    sandbox_worker_renew(d->worker);
    d->n_files = 0;
}

uint64_t sandbox_decoder_take_cpu_ns(struct sandbox_decoder *d)
{
    uint64_t cpu_ns = d->cpu_ns;
    d->cpu_ns = 0;
    return cpu_ns;
}

struct answer {
    _Alignas(uint64_t) uint8_t bytes[SANDBOX_MESSAGE_BYTES];
    struct span span;
};

static enum sandbox_result ask_once(struct sandbox_decoder *d, const struct decode_request *r,
                                    struct answer *out, struct err *e)
{
    size_t n = 0;
    enum sandbox_result result =
        sandbox_call(d->worker, (struct span){r, sizeof *r}, out->bytes, &n, e);
    out->span = (struct span){out->bytes, n};
    if (result == SANDBOX_OK && n == sizeof(struct decode_reply)) {
        const struct decode_reply *reply = (const void *)out->bytes;
        d->cpu_ns += reply->cpu_ns;
    }
    return result;
}

/* A worker that dies is replaced, and the new one asked the same. */
static enum sandbox_result ask(struct sandbox_decoder *d, const struct decode_request *r,
                               struct answer *out, struct err *e)
{
    struct err first = {0};
    enum sandbox_result result = ask_once(d, r, out, &first);
    if (result == SANDBOX_FAILED)
        *e = first;
    if (result != SANDBOX_DIED)
        return result;
    d->n_files = 1;
    if (r->op != DECODE_OPEN)
        result = ask_once(d, &d->opened, out, e);
    else
        result = SANDBOX_OK;
    return result == SANDBOX_OK ? ask_once(d, r, out, e) : result;
}

/* What became of a call that got no answer. A worker that answered nonsense is not asked again. */
static bool unanswered(enum sandbox_result result, enum decode_verdict *verdict, struct err *e)
{
    *verdict = DECODE_CRASHED;
    assert(result != SANDBOX_OK);
    assert(e->kind == (result == SANDBOX_DIED ? ERR_PERM : ERR_FATAL));
    return false;
}

static bool unless_crashed(struct sandbox_decoder *d, bool ok, enum decode_verdict verdict)
{
    if (!ok && verdict == DECODE_CRASHED)
        sandbox_decoder_reset(d);
    return ok;
}

bool sandbox_decoder_open(struct sandbox_decoder *d, struct span file,
                          const struct decode_limits *limits, struct decode_info *info,
                          enum decode_verdict *verdict, struct err *e)
{
    struct answer answer;
    assert(limits->max_bytes <= d->params.max_file_bytes);
    assert(limits->max_pcm_bytes <= d->params.max_pcm_bytes);
    if (file.len > limits->max_bytes) /* no more than that is copied */
        return decode_reject(verdict, DECODE_TOO_LONG, e, "%zu bytes, limit is %llu", file.len,
                             (unsigned long long)limits->max_bytes);
    if (d->params.n_files_each > 0 && d->n_files >= d->params.n_files_each)
        sandbox_decoder_reset(d);
    d->n_files++;
    if (file.len > 0)
        memcpy(sandbox_worker_input(d->worker), file.ptr, file.len);
    d->opened =
        (struct decode_request){.op = DECODE_OPEN, .file_bytes = file.len, .limits = *limits};
    enum sandbox_result result = ask(d, &d->opened, &answer, e);
    if (result != SANDBOX_OK)
        return unanswered(result, verdict, e);
    bool ok = decode_reply_to_open(answer.span, &d->opened, &d->info, verdict, e);
    if (ok)
        *info = d->info;
    return unless_crashed(d, ok, *verdict);
}

bool sandbox_decoder_read(struct sandbox_decoder *d, uint64_t from, uint64_t to,
                          const struct pcm **out, enum decode_verdict *verdict, struct err *e)
{
    const struct decode_request r = {.op = DECODE_READ, .from = from, .to = to};
    struct answer answer;
    assert(from < to);
    assert(to <= d->info.n_frames);
    enum sandbox_result result = ask(d, &r, &answer, e);
    if (result != SANDBOX_OK)
        return unanswered(result, verdict, e);
    bool ok = decode_reply_to_read(answer.span, &r, &d->info,
                                   d->params.max_pcm_bytes / sizeof(int16_t), &d->pcm, verdict, e);
    /* The caller only reads them. */
    d->pcm.samples = (int16_t *)(uintptr_t)sandbox_worker_output(d->worker);
    *out = &d->pcm;
    return unless_crashed(d, ok, *verdict);
}
