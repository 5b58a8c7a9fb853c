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
    struct sandbox_decoder *decoder;
    struct clip clip;
    struct clip whole;    /* what a listener hears */
    void *listener_state; /* NULL without one */
    float *resampled;     /* cap_resampled */
    size_t cap_resampled;
    float *view; /* plan->n_samples: what augmentation changes */
    float *db;   /* (n_frames, n_mels) */
    struct feature *feature;
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

void extract_job_release(struct extract_job *j)
{
    for (size_t i = 0; i < j->cap_tensors; i++)
        buf_release(&j->tensors[i].record);
    mem_free(j->tensors);
    *j = (struct extract_job){0};
}

/* The next tensor of the track, empty. */
static struct extract_tensor *job_add(struct extract_job *j, uint32_t clip_i, uint32_t view_i)
{
    if (j->n_tensors == j->cap_tensors) {
        size_t cap = size_max(2, 2 * j->cap_tensors);
        j->tensors = mem_resize(j->tensors, cap, sizeof *j->tensors);
        for (; j->cap_tensors < cap; j->cap_tensors++) {
            j->tensors[j->cap_tensors] = (struct extract_tensor){0};
            buf_init(&j->tensors[j->cap_tensors].record, RECORD_MAX_BYTES);
        }
    }
    struct extract_tensor *t = &j->tensors[j->n_tensors++];
    t->clip_i = clip_i;
    t->view_i = view_i;
    t->augment[0] = '\0';
    buf_reset(&t->record);
    return t;
}

bool extract_worker_new(const struct extract_plan *plan, struct sandbox *sandbox,
                        struct spool *spool, pthread_mutex_t *large_mu, struct extract_worker **out,
                        struct err *e)
{
    const struct sandbox_decoder_params params = {
        .max_file_bytes = plan->limits.max_bytes,
        .max_pcm_bytes = u64_max(plan->limits.max_pcm_bytes, plan->large_pcm_bytes),
        .n_files_each = plan->n_files_each};
    struct extract_worker *w = mem_zalloc(1, sizeof *w);
    if (!sandbox_decoder_new(sandbox, &params, &w->decoder, e)) {
        mem_free(w);
        return false;
    }
    w->plan = plan;
    w->spool = spool;
    w->large_mu = large_mu;
    buf_init(&w->file, plan->limits.max_bytes);
    w->view = mem_alloc_aligned(plan->n_samples, sizeof *w->view);
    w->db = mem_alloc_aligned(plan->n_frames * plan->spec.n_mels, sizeof *w->db);
    w->feature = feature_new(plan->features);
    if (plan->chain != NULL)
        w->augment = augment_new(plan->chain, plan->spec.rate_hz);
    w->encoder = record_encoder_new(plan->dtype, plan->zstd_level);
    if (plan->listener != NULL)
        w->listener_state = plan->listener->begin(plan->listener->arg);
    *out = w;
    return true;
}

void extract_worker_free(struct extract_worker *w)
{
    if (w == NULL)
        return;
    if (w->plan->listener != NULL)
        w->plan->listener->end(w->listener_state);
    record_encoder_free(w->encoder);
    augment_free(w->augment);
    feature_free(w->feature);
    mem_free(w->db);
    mem_free(w->view);
    mem_free(w->resampled);
    clip_release(&w->whole);
    clip_release(&w->clip);
    sandbox_decoder_free(w->decoder);
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

static bool encode_view(struct extract_worker *w, struct extract_job *job, struct extract_tensor *t,
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
    bool ok = feature_compute(w->feature, samples, plan->n_samples, w->db, &meta.ref_db, &job->why);
    charge(job, STEP_LOGMEL, mark_ns);
    ok = ok && record_encode(w->encoder, w->db, plan->spec.top_db, &meta, &t->record, &job->why);
    charge(job, STEP_ENCODE, mark_ns);
    return ok || bad(job, decode_verdict_name(DECODE_NONFINITE));
}

/* The clip that was cut and its augmented positives. */
static bool make_views(struct extract_worker *w, struct extract_job *job, uint64_t track_key,
                       uint32_t clip_i, uint64_t *mark_ns)
{
    const struct extract_plan *plan = w->plan;
    bool ok = resample_clip(w, job);
    charge(job, STEP_RESAMPLE, mark_ns);
    ok = ok && encode_view(w, job, job_add(job, clip_i, 0), w->resampled, mark_ns);
    for (uint32_t v = 1; ok && v < plan->n_views; v++) {
        struct extract_tensor *t = job_add(job, clip_i, v);
        memcpy(w->view, w->resampled, plan->n_samples * sizeof *w->view);
        ok = augment_apply(w->augment, plan->augment_seed, track_key, clip_i, v, w->view,
                           plan->n_samples, t->augment, &job->why);
        charge(job, STEP_AUGMENT, mark_ns);
        if (!ok)
            return bad(job, decode_verdict_name(DECODE_NONFINITE));
        ok = encode_view(w, job, t, w->view, mark_ns);
    }
    return ok;
}

/* ---------------------------------------------------------------- decoding and clips */

/* A step of the decoder: its own process's time is the item's. */
static void charge_decoder(struct extract_worker *w, struct extract_job *job, uint64_t *mark_ns)
{
    charge(job, STEP_DECODE, mark_ns);
    job->cpu_ns[STEP_DECODE] += sandbox_decoder_take_cpu_ns(w->decoder);
}

/* How many clips, and from where to where in the file they reach. */
static bool choose_clips(struct extract_worker *w, struct extract_job *job,
                         const struct decode_info *info, uint64_t track_key, uint32_t *out_n,
                         uint64_t *out_from, uint64_t *out_to)
{
    const struct clip_params *params = &w->plan->clip;
    enum clip_verdict verdict;
    uint32_t first_ms, last_ms;
    uint64_t ignored;
    uint64_t n = clip_count(params, clip_length_ms(info->n_frames, info->rate_hz));
    if (n > w->plan->n_clips_max) {
        err_set(&job->why, ERR_PERM,
                "%llu clips of %lu views each; the store keeps %lu such clips of a track",
                (unsigned long long)n, (unsigned long)w->plan->n_views,
                (unsigned long)w->plan->n_clips_max);
        return bad(job, decode_verdict_name(DECODE_TOO_LONG));
    }
    *out_n = (uint32_t)n;
    if (!clip_choose(params, info->n_frames, info->rate_hz, track_key, 0, &first_ms, &verdict,
                     &job->why) ||
        !clip_choose(params, info->n_frames, info->rate_hz, track_key, *out_n - 1, &last_ms,
                     &verdict, &job->why))
        return bad(job, clip_verdict_name(verdict));
    clip_frames(params, first_ms, info->n_frames, info->rate_hz, out_from, &ignored);
    clip_frames(params, last_ms, info->n_frames, info->rate_hz, &ignored, out_to);
    return true;
}

/* Silent clips are left out of a track that has others. */
static bool make_clips(struct extract_worker *w, struct extract_job *job, const struct pcm *pcm,
                       const struct decode_info *info, uint64_t track_key, uint32_t n_clips,
                       uint64_t *mark_ns)
{
    const struct clip_params *params = &w->plan->clip;
    for (uint32_t i = 0; i < n_clips; i++) {
        enum clip_verdict verdict;
        struct err why = {0};
        uint32_t start_ms;
        bool ok = clip_choose(params, info->n_frames, info->rate_hz, track_key, i, &start_ms,
                              &verdict, &why) &&
                  clip_take(pcm, params, start_ms, &w->clip, &verdict, &why);
        charge(job, STEP_CLIP, mark_ns);
        if (!ok) {
            job->why = why;
            if (verdict != CLIP_SILENT)
                return bad(job, clip_verdict_name(verdict));
            job->n_silent++;
        } else if (!make_views(w, job, track_key, i, mark_ns)) {
            return false;
        }
    }
    return job->n_tensors > 0 || bad(job, clip_verdict_name(CLIP_SILENT));
}

/* Reads [from, to) of the open file. */
static bool read_frames(struct extract_worker *w, struct extract_job *job, uint64_t from,
                        uint64_t to, const struct pcm **out, uint64_t *mark_ns)
{
    enum decode_verdict verdict;
    bool ok = sandbox_decoder_read(w->decoder, from, to, out, &verdict, &job->why);
    charge_decoder(w, job, mark_ns);
    return ok || bad(job, decode_verdict_name(verdict));
}

static bool tell_listener(struct extract_worker *w, struct extract_job *job,
                          const struct decode_info *info, uint64_t *mark_ns)
{
    const struct extract_listener *listener = w->plan->listener;
    const struct pcm *pcm = NULL;
    if (!read_frames(w, job, 0, info->n_frames, &pcm, mark_ns))
        return false;
    clip_whole(pcm, &w->whole);
    return listener->hear(w->listener_state, job, &w->whole, &job->why) || bad(job, "UNHEARD");
}

/* What is decoded is what the clips reach over. A listener's reading comes before that and not in
 * its place: in frames with damage the samples may depend on where decoding began, and a clip must
 * not depend on who listens. */
static bool read_and_cut(struct extract_worker *w, struct extract_job *job,
                         const struct decode_info *info, uint64_t track_key, uint64_t *mark_ns)
{
    const struct pcm *pcm = NULL;
    uint64_t from = 0, to = 0;
    uint32_t n_clips = 0;
    return choose_clips(w, job, info, track_key, &n_clips, &from, &to) &&
           (w->plan->listener == NULL || tell_listener(w, job, info, mark_ns)) &&
           read_frames(w, job, from, to, &pcm, mark_ns) &&
           make_clips(w, job, pcm, info, track_key, n_clips, mark_ns);
}

static bool decode_within(struct extract_worker *w, struct extract_job *job,
                          const struct decode_limits *limits, uint64_t track_key,
                          enum decode_verdict *verdict, uint64_t *mark_ns)
{
    struct decode_info info;
    bool ok =
        sandbox_decoder_open(w->decoder, buf_span(&w->file), limits, &info, verdict, &job->why);
    charge_decoder(w, job, mark_ns);
    return ok ? read_and_cut(w, job, &info, track_key, mark_ns)
              : bad(job, decode_verdict_name(*verdict));
}

/* A preview that needs more memory than every worker may have is decoded by one worker at a time,
 * which gives the memory back. So the verdict does not depend on the number of threads. */
static bool decode_large(struct extract_worker *w, struct extract_job *job, uint64_t track_key,
                         uint64_t *mark_ns)
{
    struct decode_limits limits = w->plan->limits;
    enum decode_verdict verdict;
    limits.max_pcm_bytes = w->plan->large_pcm_bytes;
    job->why = (struct err){0};
    pthread_mutex_lock(w->large_mu);
    bool ok = decode_within(w, job, &limits, track_key, &verdict, mark_ns);
    sandbox_decoder_reset(w->decoder);
    clip_release(&w->whole);
    pthread_mutex_unlock(w->large_mu);
    return ok;
}

static bool decode_and_cut(struct extract_worker *w, struct extract_job *job, uint64_t track_key,
                           uint64_t *mark_ns)
{
    enum decode_verdict verdict = DECODE_OK;
    if (decode_within(w, job, &w->plan->limits, track_key, &verdict, mark_ns))
        return true;
    return verdict == DECODE_TOO_LONG && decode_large(w, job, track_key, mark_ns);
}

void extract_worker_run(struct extract_worker *w, struct extract_job *job)
{
    uint64_t track_key = hash64(job->item.track_id, strlen(job->item.track_id), 0);
    uint64_t mark_ns = thread_cpu_ns();
    job->n_tensors = 0;
    job->n_silent = 0;
    job->why = (struct err){0};
    memset(job->cpu_ns, 0, sizeof job->cpu_ns);
    bool ok = read_file(w, job);
    charge(job, STEP_READ, &mark_ns);
    if (ok && decode_and_cut(w, job, track_key, &mark_ns)) {
        job->outcome = EXTRACT_DONE; /* a first try within tighter limits may have said otherwise */
        job->cause = NULL;
    }
}
