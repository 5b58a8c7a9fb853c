#include "programs/extract_worker.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "features/resample.h"

#include <string.h>
#include <time.h>

struct extract_worker {
    const struct extract_plan *plan;
    struct spool *spool;
    pthread_mutex_t *large_mu;
    struct buf file;
    struct decoder *decoder;
    struct clip clip;
    float *resampled; /* cap_resampled */
    size_t cap_resampled;
    float *view; /* plan->n_samples: what augmentation changes */
    float *db;   /* (n_frames, n_mels) */
    struct logmel *logmel;
    struct augment *augment; /* NULL when there is one view only */
    struct record_encoder *encoder;
};

const char *extract_step_name(enum extract_step s)
{
    static const char *const names[EXTRACT_STEPS] = {"read",    "decode", "clip",  "resample",
                                                     "augment", "logmel", "encode"};
    assert(s < EXTRACT_STEPS);
    return names[s];
}

void extract_job_init(struct extract_job *j, const struct extract_plan *plan)
{
    *j = (struct extract_job){0};
    j->records = mem_zalloc(plan->n_views, sizeof *j->records);
    j->augments = mem_zalloc(plan->n_views, sizeof *j->augments);
    for (uint32_t v = 0; v < plan->n_views; v++)
        buf_init(&j->records[v], RECORD_MAX_BYTES);
}

void extract_job_release(struct extract_job *j, const struct extract_plan *plan)
{
    for (uint32_t v = 0; j->records != NULL && v < plan->n_views; v++)
        buf_release(&j->records[v]);
    mem_free(j->records);
    mem_free(j->augments);
    *j = (struct extract_job){0};
}

struct extract_worker *extract_worker_new(const struct extract_plan *plan, struct spool *spool,
                                          pthread_mutex_t *large_mu)
{
    struct extract_worker *w = mem_zalloc(1, sizeof *w);
    w->plan = plan;
    w->spool = spool;
    w->large_mu = large_mu;
    buf_init(&w->file, plan->limits.max_bytes);
    w->decoder = decoder_new();
    w->view = mem_alloc_aligned(plan->n_samples, sizeof *w->view);
    w->db = mem_alloc_aligned(plan->n_frames * plan->spec.n_mels, sizeof *w->db);
    w->logmel = logmel_new(plan->logmel);
    if (plan->chain != NULL)
        w->augment = augment_new(plan->chain, plan->spec.rate_hz);
    w->encoder = record_encoder_new(plan->dtype, plan->zstd_level);
    return w;
}

void extract_worker_free(struct extract_worker *w)
{
    if (w == NULL)
        return;
    record_encoder_free(w->encoder);
    augment_free(w->augment);
    logmel_free(w->logmel);
    mem_free(w->db);
    mem_free(w->view);
    mem_free(w->resampled);
    clip_release(&w->clip);
    decoder_free(w->decoder);
    buf_release(&w->file);
    mem_free(w);
}

/* ---------------------------------------------------------------- time */

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Charges the time since *mark to a step and moves the mark. */
static void charge(struct extract_job *job, enum extract_step step, uint64_t *mark_ns)
{
    uint64_t now_ns = thread_cpu_ns();
    job->cpu_ns[step] += now_ns - *mark_ns;
    *mark_ns = now_ns;
}

/* ---------------------------------------------------------------- steps */

static bool bad(struct extract_job *job, const char *cause)
{
    job->outcome = job->why.kind == ERR_PERM ? EXTRACT_BAD : EXTRACT_FAILED;
    job->cause = cause;
    return false;
}

static bool read_file(struct extract_worker *w, struct extract_job *job)
{
    buf_reset(&w->file);
    if (job->item.bytes > w->plan->limits.max_bytes) {
        err_set(&job->why, ERR_PERM, "%llu bytes, limit is %llu",
                (unsigned long long)job->item.bytes, (unsigned long long)w->plan->limits.max_bytes);
        return bad(job, decode_verdict_name(DECODE_TOO_LONG));
    }
    if (!spool_read(w->spool, &job->item, w->plan->limits.max_bytes, &w->file, &job->why))
        return bad(job, "UNREADABLE");
    job->source_id = hash64(w->file.data, w->file.len, 0);
    return true;
}

/* The window is chosen from the length, so that no more than it needs is decoded. */
static bool cut_clip(struct extract_worker *w, struct extract_job *job,
                     const struct decode_info *info, uint64_t track_key, uint64_t *mark_ns)
{
    const struct clip_params *params = &w->plan->clip;
    const struct pcm *pcm = NULL;
    enum decode_verdict decoded;
    enum clip_verdict cut;
    uint64_t from, to;
    uint32_t start_ms;
    if (!clip_choose(params, info->n_frames, info->rate_hz, track_key, 0, &start_ms, &cut,
                     &job->why))
        return bad(job, clip_verdict_name(cut));
    clip_frames(params, start_ms, info->n_frames, info->rate_hz, &from, &to);
    bool ok = decoder_read(w->decoder, from, to, &pcm, &decoded, &job->why);
    charge(job, STEP_DECODE, mark_ns);
    if (!ok)
        return bad(job, decode_verdict_name(decoded));
    ok = clip_take(pcm, params, start_ms, &w->clip, &cut, &job->why);
    charge(job, STEP_CLIP, mark_ns);
    return ok || bad(job, clip_verdict_name(cut));
}

/* A preview that needs more memory than every worker may have is decoded by one worker at a time,
 * which gives the memory back. So the verdict does not depend on the number of threads. */
static bool decode_large(struct extract_worker *w, struct extract_job *job, uint64_t track_key,
                         uint64_t *mark_ns)
{
    struct decode_limits limits = w->plan->limits;
    struct decode_info info;
    enum decode_verdict verdict;
    limits.max_pcm_bytes = w->plan->large_pcm_bytes;
    job->why = (struct err){0};
    pthread_mutex_lock(w->large_mu);
    decoder_reset(w->decoder);
    bool ok = decoder_open(w->decoder, buf_span(&w->file), &limits, &info, &verdict, &job->why);
    charge(job, STEP_DECODE, mark_ns);
    ok = ok ? cut_clip(w, job, &info, track_key, mark_ns) : bad(job, decode_verdict_name(verdict));
    decoder_reset(w->decoder);
    pthread_mutex_unlock(w->large_mu);
    return ok;
}

static bool decode_and_cut(struct extract_worker *w, struct extract_job *job, uint64_t track_key,
                           uint64_t *mark_ns)
{
    struct decode_info info;
    enum decode_verdict verdict;
    bool ok =
        decoder_open(w->decoder, buf_span(&w->file), &w->plan->limits, &info, &verdict, &job->why);
    charge(job, STEP_DECODE, mark_ns);
    if (ok)
        return cut_clip(w, job, &info, track_key, mark_ns);
    if (verdict == DECODE_TOO_LONG)
        return decode_large(w, job, track_key, mark_ns);
    return bad(job, decode_verdict_name(verdict));
}

/* The clip at the plan's rate and length. pydub's truncation may leave a sample more or less at odd
 * rates; every picture of a store has one shape, so the end is cut or zero-filled. */
static bool resample_clip(struct extract_worker *w, struct extract_job *job)
{
    double from_hz = w->clip.rate_hz, to_hz = w->plan->spec.rate_hz;
    size_t n = resample_n_out(w->clip.n_samples, from_hz, to_hz);
    size_t cap = size_max(n, w->plan->n_samples);
    if (cap > w->cap_resampled) {
        mem_free(w->resampled);
        w->resampled = mem_alloc_aligned(cap, sizeof *w->resampled);
        w->cap_resampled = cap;
    }
    if (!resample(w->clip.samples, w->clip.n_samples, from_hz, to_hz, w->resampled, &job->why))
        return bad(job, decode_verdict_name(DECODE_NONFINITE));
    for (; n < w->plan->n_samples; n++)
        w->resampled[n] = 0.0f;
    return true;
}

static bool encode_view(struct extract_worker *w, struct extract_job *job, uint32_t view_i,
                        const float *samples, uint64_t *mark_ns)
{
    const struct extract_plan *plan = w->plan;
    struct record_info meta = {
        .n_frames = (uint32_t)plan->n_frames,
        .n_mels = plan->spec.n_mels,
        .start_ms = w->clip.start_ms,
        .spec_hash = plan->spec_hash,
        .source_id = job->source_id,
    };
    bool ok = logmel_compute(w->logmel, samples, plan->n_samples, w->db, &meta.ref_db, &job->why);
    charge(job, STEP_LOGMEL, mark_ns);
    ok = ok && record_encode(w->encoder, w->db, plan->spec.top_db, &meta, &job->records[view_i],
                             &job->why);
    charge(job, STEP_ENCODE, mark_ns);
    return ok || bad(job, decode_verdict_name(DECODE_NONFINITE));
}

static bool make_views(struct extract_worker *w, struct extract_job *job, uint64_t track_key,
                       uint64_t *mark_ns)
{
    const struct extract_plan *plan = w->plan;
    job->augments[0][0] = '\0';
    if (!encode_view(w, job, 0, w->resampled, mark_ns))
        return false;
    for (uint32_t v = 1; v < plan->n_views; v++) {
        memcpy(w->view, w->resampled, plan->n_samples * sizeof *w->view);
        bool ok = augment_apply(w->augment, plan->clip.seed, track_key, 0, v, w->view,
                                plan->n_samples, job->augments[v], &job->why);
        charge(job, STEP_AUGMENT, mark_ns);
        if (!ok)
            return bad(job, decode_verdict_name(DECODE_NONFINITE));
        if (!encode_view(w, job, v, w->view, mark_ns))
            return false;
    }
    return true;
}

void extract_worker_run(struct extract_worker *w, struct extract_job *job)
{
    uint64_t track_key = hash64(job->item.track_id, strlen(job->item.track_id), 0);
    uint64_t mark_ns = thread_cpu_ns();
    job->outcome = EXTRACT_DONE;
    job->cause = NULL;
    job->why = (struct err){0};
    memset(job->cpu_ns, 0, sizeof job->cpu_ns);
    bool ok = read_file(w, job);
    charge(job, STEP_READ, &mark_ns);
    if (!ok || !decode_and_cut(w, job, track_key, &mark_ns))
        return;
    ok = resample_clip(w, job);
    charge(job, STEP_RESAMPLE, &mark_ns);
    if (ok)
        (void)make_views(w, job, track_key, &mark_ns);
}
