/*
 * One preview to its records: what a worker makes is a function of plan and file, has one shape
 * whatever the file's rate, and a bad file is an outcome, not an error.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "programs/extract_worker.h"
#include "tests/unit/programs/fixture.h"

#include <signal.h>

enum { WAV_MAX_BYTES = 8 << 20 };

static char dir[PATH_BYTES];
static struct spool *spool;
static struct sandbox *sandbox;
static pthread_mutex_t large_mu = PTHREAD_MUTEX_INITIALIZER;

/* Three seconds of two notes and a little noise. */
static void make_wav(struct buf *out, uint32_t rate_hz, uint16_t n_channels)
{
    struct err e = {0};
    uint32_t n_frames = rate_hz * 3, n_bytes = n_frames * n_channels * 2;
    uint8_t header[44] = "RIFF....WAVEfmt \20\0\0\0\1\0";
    uint32_t riff_bytes = 36 + n_bytes, bytes_per_s = rate_hz * n_channels * 2;
    uint16_t align = (uint16_t)(n_channels * 2), bits = 16;
    memcpy(header + 4, &riff_bytes, 4);
    memcpy(header + 22, &n_channels, 2);
    memcpy(header + 24, &rate_hz, 4);
    memcpy(header + 28, &bytes_per_s, 4);
    memcpy(header + 32, &align, 2);
    memcpy(header + 34, &bits, 2);
    memcpy(header + 36, "data", 4);
    memcpy(header + 40, &n_bytes, 4);
    buf_init(out, WAV_MAX_BYTES);
    CHECK_OK(buf_append(out, header, sizeof header, &e), &e);
    for (uint32_t i = 0; i < n_frames; i++)
        for (uint16_t c = 0; c < n_channels; c++) {
            double t = (double)i / rate_hz;
            double noise = (double)(hash_mix64(i * 8 + c) & 0xffff) / 65536.0 - 0.5;
            int16_t s = (int16_t)(9000 * sin(2764.6 * t) + 5000 * sin(8000 * t + c) + 900 * noise);
            CHECK_OK(buf_append(out, &s, sizeof s, &e), &e);
        }
}

static struct spool_item put_file(uint64_t row, struct span bytes)
{
    struct err e = {0};
    struct spool_item item = {0};
    CHECK_OK(spool_write(spool, row, "TR1", bytes, &item, &e), &e);
    CHECK_OK(spool_publish(spool, &item, 1, &e), &e);
    return item;
}

static void default_settings(struct settings *s)
{
    struct err e = {0};
    conf_defaults(&settings_table, s);
    CHECK_OK(conf_set(&settings_table, "clip.ms=1500", s, &e), &e);
    CHECK_OK(conf_set(&settings_table, "augment.positives=2", s, &e), &e);
}

static void default_plan(struct extract_plan *plan)
{
    struct settings s;
    struct err e = {0};
    default_settings(&s);
    CHECK_OK(extract_plan_init(&s, plan, &e), &e);
}

/* Runs one item through a fresh worker. */
static void run_item(const struct extract_plan *plan, const struct spool_item *item,
                     struct extract_job *job)
{
    struct extract_worker *w = NULL;
    struct err e = {0};
    CHECK_OK(extract_worker_new(plan, sandbox, spool, &large_mu, &w, &e), &e);
    *job = (struct extract_job){.item = *item};
    extract_worker_run(w, job);
    extract_worker_free(w);
}

static bool same_tensor(const struct extract_tensor *a, const struct extract_tensor *b)
{
    return a->clip_i == b->clip_i && a->view_i == b->view_i && a->record.len > 0 &&
           a->record.len == b->record.len &&
           memcmp(a->record.data, b->record.data, a->record.len) == 0 &&
           strcmp(a->augment, b->augment) == 0;
}

static bool same_tensors(const struct extract_job *a, const struct extract_job *b)
{
    bool same = a->n_tensors > 0 && a->n_tensors == b->n_tensors;
    for (size_t i = 0; same && i < a->n_tensors; i++)
        same = same_tensor(&a->tensors[i], &b->tensors[i]);
    return same;
}

static void test_shape_and_purity(void)
{
    static const uint32_t rates_hz[] = {44100, 48000, 8000, 11025, 22050, 32000, 37013};
    struct extract_plan plan;
    default_plan(&plan);
    CHECK_U64(plan.n_views, 3);
    CHECK_U64(plan.n_samples, 33075);
    CHECK_U64(plan.n_frames, 65);
    for (size_t i = 0; i < ARRAY_LEN(rates_hz); i++) {
        struct buf wav;
        struct extract_job first, second;
        make_wav(&wav, rates_hz[i], i % 2 == 0 ? 2 : 1);
        struct spool_item item = put_file(i, buf_span(&wav));
        run_item(&plan, &item, &first);
        run_item(&plan, &item, &second);
        CHECK_OK(first.outcome == EXTRACT_DONE, &first.why);
        CHECK(same_tensors(&first, &second));
        CHECK_U64(first.n_tensors, plan.n_views);
        CHECK_STR(first.tensors[0].augment, "");
        for (uint32_t v = 0; v < first.n_tensors; v++) {
            const struct extract_tensor *t = &first.tensors[v];
            struct record_info info;
            struct err e = {0};
            CHECK_U64(t->clip_i, 0);
            CHECK_U64(t->view_i, v);
            CHECK_OK(record_parse(buf_span(&t->record), &info, &e), &e);
            CHECK_U64(info.n_frames, 65);
            CHECK_U64(info.n_mels, 128);
            CHECK_U64(info.spec_hash, plan.spec_hash);
            CHECK_U64(info.source_id, hash64(wav.data, wav.len, 0));
            CHECK(info.start_ms < 1500);
            CHECK(v == 0 || strcmp(t->augment, t[-1].augment) != 0);
            CHECK(v == 0 || t->record.len != first.tensors[0].record.len ||
                  memcmp(t->record.data, first.tensors[0].record.data, t->record.len) != 0);
        }
        extract_job_release(&first);
        extract_job_release(&second);
        buf_release(&wav);
    }
    extract_plan_release(&plan);
}

/* A preview that does not fit a worker's own memory gives the same records as one that does. */
static void test_large(void)
{
    struct extract_plan plan, tight;
    struct extract_job wide_job, tight_job, refused;
    struct buf wav;
    default_plan(&plan);
    default_plan(&tight);
    make_wav(&wav, 44100, 2);
    struct spool_item item = put_file(100, buf_span(&wav));
    tight.limits.max_pcm_bytes = 100000;
    run_item(&plan, &item, &wide_job);
    run_item(&tight, &item, &tight_job);
    CHECK_OK(tight_job.outcome == EXTRACT_DONE, &tight_job.why);
    CHECK(same_tensors(&wide_job, &tight_job));
    tight.large_pcm_bytes = 200000;
    run_item(&tight, &item, &refused);
    CHECK(refused.outcome == EXTRACT_BAD);
    CHECK_STR(refused.cause, "TOO_LONG");
    extract_job_release(&wide_job);
    extract_job_release(&tight_job);
    extract_job_release(&refused);
    extract_plan_release(&plan);
    extract_plan_release(&tight);
    buf_release(&wav);
}

static void check_bad(const struct extract_plan *plan, const struct spool_item *item,
                      const char *cause)
{
    struct extract_job job;
    run_item(plan, item, &job);
    CHECK(job.outcome == EXTRACT_BAD);
    CHECK_STR(job.cause == NULL ? "" : job.cause, cause);
    CHECK(job.why.msg[0] != '\0');
    extract_job_release(&job);
}

static void test_bad(void)
{
    static const char html[] = "<!DOCTYPE html><title>404</title>";
    struct extract_plan plan;
    struct buf wav;
    default_plan(&plan);
    make_wav(&wav, 8000, 1);
    struct spool_item item = put_file(200, (struct span){html, sizeof html});
    check_bad(&plan, &item, "NOT_AUDIO");
    item = put_file(201, (struct span){wav.data, 44 + 8000});
    check_bad(&plan, &item, "CORRUPT");
    memset(wav.data + 44, 0, wav.len - 44);
    item = put_file(202, buf_span(&wav));
    check_bad(&plan, &item, "SILENT");
    plan.clip.ms = 3001;
    check_bad(&plan, &item, "TOO_SHORT");
    plan.limits.max_bytes = 1000;
    check_bad(&plan, &item, "TOO_LONG");
    struct err e = {0};
    plan.limits.max_bytes = WAV_MAX_BYTES;
    CHECK_OK(spool_remove(spool, &item, &e), &e);
    check_bad(&plan, &item, "UNREADABLE");
    extract_plan_release(&plan);
    buf_release(&wav);
}

/* ---------------------------------------------------------------- clips */

static void changed_plan(const char *const *changes, size_t n, struct extract_plan *plan)
{
    struct settings s;
    struct err e = {0};
    default_settings(&s);
    for (size_t i = 0; i < n; i++)
        CHECK_OK(conf_set(&settings_table, changes[i], &s, &e), &e);
    CHECK_OK(extract_plan_init(&s, plan, &e), &e);
}

static uint32_t start_ms_of(const struct extract_tensor *t)
{
    struct record_info info = {0};
    struct err e = {0};
    CHECK_OK(record_parse(buf_span(&t->record), &info, &e), &e);
    return info.start_ms;
}

/* Three seconds: every clip with all its views, in the order of the keys. */
static void test_policies(void)
{
    static const struct {
        const char *policy;
        uint32_t n_clips;
    } cases[] = {{"clip.policy=random", 1}, {"clip.policy=start", 1}, {"clip.policy=middle", 1},
                 {"clip.policy=all", 3},    {"clip.policy=1", 1},     {"clip.policy=5", 5}};
    struct buf wav;
    uint32_t random_ms = 0;
    make_wav(&wav, 22050, 2);
    struct spool_item item = put_file(300, buf_span(&wav));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *const changes[] = {cases[i].policy, "clip.ms=1000"};
        struct extract_plan plan;
        struct extract_job first, second;
        changed_plan(changes, ARRAY_LEN(changes), &plan);
        run_item(&plan, &item, &first);
        run_item(&plan, &item, &second);
        CHECK_OK(first.outcome == EXTRACT_DONE, &first.why);
        CHECK(same_tensors(&first, &second));
        CHECK_U64(first.n_tensors, cases[i].n_clips * 3);
        for (size_t t = 0; t < first.n_tensors; t++) {
            const struct extract_tensor *tensor = &first.tensors[t];
            CHECK_U64(tensor->clip_i, t / 3);
            CHECK_U64(tensor->view_i, t % 3);
            CHECK_U64(start_ms_of(tensor), start_ms_of(&first.tensors[t / 3 * 3]));
            CHECK(t < 3 || start_ms_of(tensor) > start_ms_of(tensor - 3));
            CHECK(t < 3 || tensor->view_i == 0 || strcmp(tensor->augment, tensor[-3].augment) != 0);
        }
        random_ms = i == 0 ? start_ms_of(&first.tensors[0]) : random_ms;
        CHECK(i != 4 || start_ms_of(&first.tensors[0]) == random_ms);
        extract_job_release(&first);
        extract_job_release(&second);
        extract_plan_release(&plan);
    }
    buf_release(&wav);
}

/* A silent clip is left out, its number stays free; a track of silent clips is set aside. */
static void test_silent_clips(void)
{
    static const char *const changes[] = {"clip.policy=all", "clip.ms=1000"};
    struct extract_plan plan;
    struct extract_job job;
    struct buf wav;
    changed_plan(changes, ARRAY_LEN(changes), &plan);
    make_wav(&wav, 8000, 1);
    memset(wav.data + 44 + 16000, 0, 16000); /* the second of three */
    struct spool_item item = put_file(301, buf_span(&wav));
    run_item(&plan, &item, &job);
    CHECK_OK(job.outcome == EXTRACT_DONE, &job.why);
    CHECK_U64(job.n_silent, 1);
    CHECK_U64(job.n_tensors, 6);
    CHECK(job.n_tensors == 6 && job.tensors[2].clip_i == 0 && job.tensors[3].clip_i == 2);
    extract_job_release(&job);
    memset(wav.data + 44, 0, wav.len - 44);
    item = put_file(302, buf_span(&wav));
    check_bad(&plan, &item, "SILENT");
    extract_plan_release(&plan);
    buf_release(&wav);
}

static void test_short_tracks(void)
{
    static const char *const pad[] = {"clip.ms=4000", "clip.short=pad", "clip.policy=all"};
    struct extract_plan plan;
    struct extract_job job;
    struct buf wav;
    make_wav(&wav, 22050, 1);
    struct spool_item item = put_file(303, buf_span(&wav));
    changed_plan(pad, 1, &plan);
    check_bad(&plan, &item, "TOO_SHORT");
    extract_plan_release(&plan);
    changed_plan(pad, 3, &plan);
    run_item(&plan, &item, &job);
    CHECK_OK(job.outcome == EXTRACT_DONE, &job.why);
    CHECK_U64(job.n_tensors, 3);
    CHECK_U64(start_ms_of(&job.tensors[0]), 0);
    extract_job_release(&job);
    extract_plan_release(&plan);
    buf_release(&wav);
}

/* A track exactly as long as a clip has one, from its start, whatever the policy. */
static void test_exact_length(void)
{
    static const char *const policies[] = {"clip.policy=random", "clip.policy=middle",
                                           "clip.policy=all", "clip.policy=7"};
    struct buf wav;
    make_wav(&wav, 44100, 2);
    struct spool_item item = put_file(305, buf_span(&wav));
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        const char *const changes[] = {"clip.ms=3000", policies[i]};
        struct extract_plan plan;
        struct extract_job job;
        changed_plan(changes, ARRAY_LEN(changes), &plan);
        run_item(&plan, &item, &job);
        CHECK_OK(job.outcome == EXTRACT_DONE, &job.why);
        CHECK_U64(job.n_tensors, plan.n_views);
        CHECK_U64(job.n_tensors > 0 ? start_ms_of(&job.tensors[0]) : 1, 0);
        extract_job_release(&job);
        extract_plan_release(&plan);
    }
    buf_release(&wav);
}

/* More clips than a track may have in the store: a verdict with both numbers. */
static void test_too_many_clips(void)
{
    static const char *const changes[] = {"clip.policy=all", "clip.ms=100", "augment.positives=9"};
    struct extract_plan plan;
    struct extract_job job;
    struct buf wav;
    changed_plan(changes, ARRAY_LEN(changes), &plan);
    make_wav(&wav, 8000, 1);
    struct spool_item item = put_file(304, buf_span(&wav));
    run_item(&plan, &item, &job);
    CHECK(job.outcome == EXTRACT_BAD);
    CHECK_STR(job.cause, "TOO_LONG");
    CHECK_STR(job.why.msg, "30 clips of 10 views each; the store keeps 25 such clips of a track");
    extract_job_release(&job);
    extract_plan_release(&plan);
    buf_release(&wav);
}

/* ---------------------------------------------------------------- who listens, who crashes */

struct heard {
    size_t n, n_samples;
    uint32_t rate_hz;
    float first, last;
};

static void *begin_hearing(void *arg)
{
    return arg;
}

static void end_hearing(void *state)
{
    (void)state;
}

static bool hear(void *state, struct extract_job *job, const struct clip *whole, struct err *e)
{
    struct heard *h = state;
    h->n++;
    h->n_samples = whole->n_samples;
    h->rate_hz = whole->rate_hz;
    h->first = whole->samples[0];
    h->last = whole->samples[whole->n_samples - 1];
    return job->item.row != 401 || err_set(e, ERR_PERM, "row 401 is not liked");
}

/* A listener gets the whole preview in mono, and the records stay what they are. */
static void test_listener(void)
{
    struct heard heard = {0};
    const struct extract_listener listener = {begin_hearing, end_hearing, hear, &heard};
    struct extract_plan plan;
    struct extract_job alone, listened;
    struct buf wav;
    default_plan(&plan);
    make_wav(&wav, 44100, 2);
    struct spool_item item = put_file(400, buf_span(&wav));
    run_item(&plan, &item, &alone);
    plan.listener = &listener;
    run_item(&plan, &item, &listened);
    CHECK(same_tensors(&alone, &listened));
    const int16_t *pcm = (const int16_t *)(const void *)(wav.data + 44);
    CHECK_U64(heard.n, 1);
    CHECK_U64(heard.n_samples, 3 * 44100);
    CHECK_U64(heard.rate_hz, 44100);
    CHECK(heard.first == (float)(pcm[0] + pcm[1]) / 65536.0f);
    CHECK(heard.last == (float)(pcm[6 * 44100 - 2] + pcm[6 * 44100 - 1]) / 65536.0f);
    item = put_file(401, buf_span(&wav));
    check_bad(&plan, &item, "UNHEARD");
    extract_job_release(&alone);
    extract_job_release(&listened);
    extract_plan_release(&plan);
    buf_release(&wav);
}

/* The decoder's service, but the first sample of the file says what happens to its process. */
enum fault { FAULT_NONE = 100, FAULT_CRASH, FAULT_HANG, FAULT_CRASH_ONCE };

struct faulty {
    const uint8_t *file;
    int16_t *last; /* of the output, which outlives a process and is never filled */
    void *decoder;
};

static void *faulty_open(struct span input, void *output, size_t output_bytes)
{
    struct faulty *f = mem_zalloc(1, sizeof *f);
    f->file = input.ptr;
    f->last = (int16_t *)output + output_bytes / sizeof(int16_t) - 1;
    (void)signal(SIGSEGV, SIG_DFL); /* sanitizers catch it */
    f->decoder = sandbox_decoder_service.open(input, output, output_bytes);
    return f;
}

static size_t faulty_serve(void *state, struct span request, void *reply)
{
    enum { WAV_HEADER_BYTES = 44, CRASHED_BEFORE = 12345 };
    struct faulty *f = state;
    bool crashes_now = *f->last != CRASHED_BEFORE;
    switch (f->file[WAV_HEADER_BYTES]) {
    case FAULT_CRASH_ONCE:
        *f->last = CRASHED_BEFORE;
        if (!crashes_now)
            break;
        raise(SIGSEGV);
        break;
    case FAULT_CRASH:
        raise(SIGSEGV);
        break;
    case FAULT_HANG:
        for (volatile unsigned i = 0;; i++)
            continue;
    }
    return sandbox_decoder_service.serve(f->decoder, request, reply);
}

/* A crash or a hang costs the one item, if it happens again in a new process; the next item is as
 * if nothing had been. */
static void test_crashed(void)
{
    static const struct sandbox_service service = {faulty_open, faulty_serve};
    const struct sandbox_params params = {.service = &service,
                                          .memory_bytes = SANDBOX_DECODER_MEMORY_BYTES,
                                          .call_cpu_ms = 200,
                                          .life_cpu_s = 60};
    static const struct {
        enum fault fault;
        const char *cause, *word;
    } cases[] = {{FAULT_CRASH, "CRASHED", "its decoder "},
                 {FAULT_NONE, NULL, ""},
                 {FAULT_HANG, "CRASHED", "of processor time"},
                 {FAULT_CRASH_ONCE, NULL, ""}};
    struct sandbox *usual = sandbox;
    struct extract_plan plan;
    struct extract_worker *w = NULL;
    struct extract_job job = {0};
    struct buf wav;
    struct err e = {0};
    default_plan(&plan);
    make_wav(&wav, 8000, 1);
    CHECK_OK(sandbox_open(&params, &sandbox, &e), &e);
    CHECK_OK(extract_worker_new(&plan, sandbox, spool, &large_mu, &w, &e), &e);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        wav.data[44] = (uint8_t)cases[i].fault;
        job.item = put_file(500 + i, buf_span(&wav));
        extract_worker_run(w, &job);
        CHECK(job.outcome == (cases[i].cause == NULL ? EXTRACT_DONE : EXTRACT_BAD));
        CHECK_STR(job.cause == NULL ? "" : job.cause, cases[i].cause == NULL ? "" : cases[i].cause);
        CHECK(strstr(job.why.msg, cases[i].word) != NULL);
        CHECK(cases[i].cause != NULL || job.n_tensors == plan.n_views);
    }
    extract_worker_free(w);
    sandbox_close(sandbox);
    sandbox = usual;
    extract_job_release(&job);
    extract_plan_release(&plan);
    buf_release(&wav);
}

/* ---------------------------------------------------------------- plans */

/* All that decides the bytes is in the recipe, so that a store refuses to mix. */
static void test_recipe(void)
{
    static const char *const changes[] = {"seed=2",
                                          "clip.policy=middle",
                                          "clip.policy=all",
                                          "clip.policy=3",
                                          "clip.short=pad",
                                          "clip.ms=2000",
                                          "features.rate=16000",
                                          "features.n_mels=64",
                                          "features.top_db=60",
                                          "augment.positives=3",
                                          "augment.chain=gain(-5,5,p=1)",
                                          "store.dtype=f32",
                                          "store.zstd_level=3"};
    struct settings s;
    struct extract_plan plan;
    struct store_recipe first, other;
    struct err e = {0};
    default_settings(&s);
    CHECK_OK(extract_plan_init(&s, &plan, &e), &e);
    CHECK_OK(extract_plan_recipe(&plan, &s, &first, &e), &e);
    extract_plan_release(&plan);
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        default_settings(&s);
        CHECK_OK(conf_set(&settings_table, changes[i], &s, &e), &e);
        CHECK_OK(extract_plan_init(&s, &plan, &e), &e);
        CHECK_OK(extract_plan_recipe(&plan, &s, &other, &e), &e);
        if (strcmp(first.text, other.text) == 0)
            printf("# %s is not in the recipe\n", changes[i]);
        CHECK(strcmp(first.text, other.text) != 0);
        extract_plan_release(&plan);
    }
    default_settings(&s); /* what decides no bytes is not in it */
    CHECK_OK(conf_set(&settings_table, "extract.threads=7", &s, &e), &e);
    CHECK_OK(conf_set(&settings_table, "store.commit_clips=7", &s, &e), &e);
    CHECK_OK(conf_set(&settings_table, "sandbox.items=7", &s, &e), &e);
    CHECK_OK(extract_plan_init(&s, &plan, &e), &e);
    CHECK_OK(extract_plan_recipe(&plan, &s, &other, &e), &e);
    CHECK_STR(other.text, first.text);
    extract_plan_release(&plan);
}

/* A number that is 0 is the preset's; others win. The default is what it always was, and what files
 * say that name all of its numbers. */
static void test_presets(void)
{
    static const struct {
        const char *set[3], *begins, *has;
    } rows[] = {
        {{NULL}, "librosa-0.10 ", "rate=22050 n_fft=2048 hop=512 "},
        {{"features.rate=22050", "features.n_fft=2048", "features.top_db=80"},
         "librosa-0.10 ",
         "window=hann-periodic pad=zeros-centred power=2 mel=slaney norm=slaney n_mels=128 f_min=0 "
         "f_max=11025 ref=max amin=1e-10 top_db=80"},
        {{"features.preset=librosa-0.8"}, "librosa-0.8 ", "rate=22050 n_fft=2048 hop=512 "},
        {{"features.preset=whisper", "store.dtype=f32"}, "whisper ", "rate=16000 n_fft=400 "},
        {{"features.preset=whisper", "features.n_mels=128", "store.dtype=f32"},
         "whisper ",
         "n_mels=128 "},
        {{"features.preset=torchaudio", "features.top_db=60", "store.dtype=f32"},
         "torchaudio ",
         "ref=1 amin=1e-10 top_db=60"},
        {{"features.preset=kaldi-ast", "store.dtype=f32"}, "kaldi-ast ", "f_min=20 f_max=8000 "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct settings s;
        struct extract_plan plan;
        struct err e = {0};
        char text[SPEC_TEXT_BYTES];
        default_settings(&s);
        for (size_t k = 0; k < 3 && rows[i].set[k] != NULL; k++)
            CHECK_OK(conf_set(&settings_table, rows[i].set[k], &s, &e), &e);
        CHECK_OK(extract_plan_init(&s, &plan, &e), &e);
        feature_spec_text(&plan.spec, text);
        CHECK(strncmp(text, rows[i].begins, strlen(rows[i].begins)) == 0);
        CHECK(strstr(text, rows[i].has) != NULL);
        extract_plan_release(&plan);
        if (i < 3)
            continue;
        CHECK_OK(conf_set(&settings_table, "store.dtype=u8", &s, &e), &e);
        CHECK(!extract_plan_init(&s, &plan, &e));
        CHECK(e.kind == ERR_USAGE);
        CHECK(strstr(e.msg, "set store.dtype = f32") != NULL);
    }
}

static void test_impossible_plans(void)
{
    static const char *const changes[] = {"clip.ms=600000 augment.positives=255", "features.hop=1",
                                          "augment.chain=fly(1,2)", "clip.policy=100",
                                          "features.preset=whisper features.top_db=60 "
                                          "store.dtype=f32"};
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        struct settings s;
        struct extract_plan plan;
        struct err e = {0};
        char change[128], *state = NULL;
        default_settings(&s);
        snprintf(change, sizeof change, "%s", changes[i]);
        for (char *at = strtok_r(change, " ", &state); at != NULL; at = strtok_r(NULL, " ", &state))
            CHECK_OK(conf_set(&settings_table, at, &s, &e), &e);
        CHECK_OK(conf_set(&settings_table, i == 1 ? "clip.ms=60000" : "seed=1", &s, &e), &e);
        CHECK(!extract_plan_init(&s, &plan, &e));
        CHECK(e.kind == ERR_USAGE);
    }
}

int main(void)
{
    struct err e = {0};
    fixture_dir(dir);
    struct extract_plan plan;
    default_plan(&plan);
    if (!extract_plan_sandbox(&plan, &sandbox, &e) || !spool_open(dir, &spool, &e)) {
        printf("# %s\n", e.msg);
        return 1;
    }
    extract_plan_release(&plan);
    RUN(test_shape_and_purity);
    RUN(test_large);
    RUN(test_bad);
    RUN(test_policies);
    RUN(test_silent_clips);
    RUN(test_short_tracks);
    RUN(test_exact_length);
    RUN(test_too_many_clips);
    RUN(test_listener);
    RUN(test_crashed);
    RUN(test_recipe);
    RUN(test_presets);
    RUN(test_impossible_plans);
    spool_close(spool);
    sandbox_close(sandbox);
    fixture_remove(dir);
    return test_done();
}
