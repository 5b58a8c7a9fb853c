/*
 * One preview to its records: what a worker makes is a function of plan and file, has one shape
 * whatever the file's rate, and a bad file is an outcome, not an error.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "programs/extract_worker.h"
#include "tests/unit/programs/fixture.h"

enum { WAV_MAX_BYTES = 8 << 20 };

static char dir[PATH_BYTES];
static struct spool *spool;
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
    struct extract_worker *w = extract_worker_new(plan, spool, &large_mu);
    extract_job_init(job, plan);
    job->item = *item;
    extract_worker_run(w, job);
    extract_worker_free(w);
}

static bool same_records(const struct extract_job *a, const struct extract_job *b, uint32_t n_views)
{
    for (uint32_t v = 0; v < n_views; v++)
        if (a->records[v].len == 0 || a->records[v].len != b->records[v].len ||
            memcmp(a->records[v].data, b->records[v].data, a->records[v].len) != 0 ||
            strcmp(a->augments[v], b->augments[v]) != 0)
            return false;
    return true;
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
        CHECK(same_records(&first, &second, plan.n_views));
        CHECK_STR(first.augments[0], "");
        for (uint32_t v = 0; v < plan.n_views; v++) {
            struct record_info info;
            struct err e = {0};
            CHECK_OK(record_parse(buf_span(&first.records[v]), &info, &e), &e);
            CHECK_U64(info.n_frames, 65);
            CHECK_U64(info.n_mels, 128);
            CHECK_U64(info.spec_hash, plan.spec_hash);
            CHECK_U64(info.source_id, hash64(wav.data, wav.len, 0));
            CHECK(info.start_ms < 1500);
            CHECK(v == 0 || strcmp(first.augments[v], first.augments[v - 1]) != 0);
            CHECK(v == 0 || first.records[v].len != first.records[0].len ||
                  memcmp(first.records[v].data, first.records[0].data, first.records[v].len) != 0);
        }
        extract_job_release(&first, &plan);
        extract_job_release(&second, &plan);
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
    CHECK(same_records(&wide_job, &tight_job, plan.n_views));
    tight.large_pcm_bytes = 200000;
    run_item(&tight, &item, &refused);
    CHECK(refused.outcome == EXTRACT_BAD);
    CHECK_STR(refused.cause, "TOO_LONG");
    extract_job_release(&wide_job, &plan);
    extract_job_release(&tight_job, &tight);
    extract_job_release(&refused, &tight);
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
    extract_job_release(&job, plan);
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

/* All that decides the bytes is in the recipe, so that a store refuses to mix. */
static void test_recipe(void)
{
    static const char *const changes[] = {"seed=2",
                                          "clip.policy=middle",
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
                                          "augment.chain=fly(1,2)",
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
    if (!spool_open(dir, &spool, &e)) {
        printf("# %s\n", e.msg);
        return 1;
    }
    RUN(test_shape_and_purity);
    RUN(test_large);
    RUN(test_bad);
    RUN(test_recipe);
    RUN(test_presets);
    RUN(test_impossible_plans);
    spool_close(spool);
    fixture_remove(dir);
    return test_done();
}
