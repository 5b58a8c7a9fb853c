#include "programs/extract_plan.h"

#include "ingest/spool.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    /* 90 s of stereo at 44.1 kHz, the longest preview known (iTunes), is 15.1 MiB. */
    PCM_MAX_BYTES = 16 << 20,
    LARGE_PCM_MAX_BYTES = 128 << 20,
    ZSTD_SLACK_BYTES = 1024, /* what zstd may add to values it cannot compress */
    TRACK_MAX_BYTES = 64 << 20,
    /* A call decodes up to extract.max_ms, an hour of audio at the most: 3 s here, some 60 under a
     * sanitizer or valgrind. */
    CALL_CPU_MS = 120000,
    POLICY_TEXT_BYTES = 32,
    EPOCH_TEXT_BYTES = 32,
};

static_assert((int)SETTING_CLIP_RANDOM == CLIP_RANDOM && (int)SETTING_CLIP_START == CLIP_START &&
                  (int)SETTING_CLIP_MIDDLE == CLIP_MIDDLE && (int)SETTING_CLIP_ALL == CLIP_ALL,
              "the setting is cast to the policy");
static_assert((int)CLIP_WINDOWS_MAX <= (int)STORE_VIEWS_MAX, "a clip's number fits its key");
static_assert((int)AUGMENT_RECORD_BYTES <= (int)STORE_AUGMENT_BYTES,
              "what was drawn fits the store");
static_assert((int)TRACK_ID_MAX_BYTES < (int)STORE_TRACK_ID_BYTES,
              "ids of the spool fit the store");

static enum record_dtype dtype_from_setting(int dtype)
{
    switch ((enum store_dtype_setting)dtype) {
    case SETTING_DTYPE_U12:
        return RECORD_U12;
    case SETTING_DTYPE_F32:
        return RECORD_F32;
    case SETTING_DTYPE_RAW:
        return RECORD_RAW;
    case SETTING_DTYPE_ARCHIVE:
        return RECORD_ARCHIVE;
    case SETTING_DTYPE_U8:
    default:
        return RECORD_U8;
    }
}

size_t extract_plan_track_bytes(const struct extract_plan *p)
{
    static const size_t value_bytes[RECORD_DTYPES] = {[RECORD_U8] = 2,
                                                      [RECORD_U12] = 2,
                                                      [RECORD_F32] = 4,
                                                      [RECORD_RAW] = 1,
                                                      [RECORD_ARCHIVE] = 1};
    size_t payload_bytes = p->n_frames * p->spec.n_mels * value_bytes[p->dtype];
    return (size_t)p->n_clips_max * p->n_views *
           (payload_bytes + RECORD_HEADER_BYTES + ZSTD_SLACK_BYTES);
}

static struct clip_params clip_from_settings(const struct settings *s)
{
    struct clip_params clip = {.policy = CLIP_WINDOWS,
                               .ms = (uint32_t)s->clip.ms,
                               .seed = s->seed,
                               .pads_short = s->clip.shorter == SETTING_SHORT_PAD};
    if (s->clip.policy < 0)
        clip.n_windows = (uint32_t)-s->clip.policy;
    else
        clip.policy = (enum clip_policy)s->clip.policy;
    return clip;
}

/* The most clips that a track of extract.max_ms can have and the store keeps. A longer track is set
 * aside when it comes, since most are short. */
static uint32_t clips_max(const struct settings *s, const struct extract_plan *p)
{
    uint64_t n = clip_count(&p->clip, u64_max(s->extract.max_ms, p->clip.ms));
    return (uint32_t)u64_min(n, size_max(STORE_VIEWS_MAX / p->n_views, 1));
}

static bool check_shape(const struct extract_plan *p, struct err *e)
{
    if (p->clip.policy == CLIP_WINDOWS && p->clip.n_windows * p->n_views > STORE_VIEWS_MAX)
        return err_set(e, ERR_USAGE,
                       "clip.policy = %" PRIu32 " and augment.positives = %" PRIu32 " make %" PRIu32
                       " tensors a track, the store keeps up to %d",
                       p->clip.n_windows, p->n_views - 1, p->clip.n_windows * p->n_views,
                       STORE_VIEWS_MAX);
    if (p->n_frames > RECORD_FRAMES_MAX)
        return err_set(e, ERR_USAGE,
                       "clip.ms and features.hop make %zu frames a clip, a record holds %d",
                       p->n_frames, RECORD_FRAMES_MAX);
    if (extract_plan_track_bytes(p) > TRACK_MAX_BYTES)
        return err_set(e, ERR_USAGE,
                       "%" PRIu32 " clips of %" PRIu32 " views of %zu x %" PRIu32
                       " values make up to %zu bytes a track, the limit is %d",
                       p->n_clips_max, p->n_views, p->n_frames, p->spec.n_mels,
                       extract_plan_track_bytes(p), TRACK_MAX_BYTES);
    return true;
}

bool extract_plan_init(const struct settings *s, struct extract_plan *out, struct err *e)
{
    struct extract_plan p = {
        .spec = feature_spec_from_settings(s),
        .n_views = 1 + (uint32_t)s->augment.positives,
        .augment_seed = augment_seed(s->seed, s->augment.epoch),
        .clip = clip_from_settings(s),
        .dtype = dtype_from_setting(s->store.dtype),
        .zstd_level = (int)s->store.zstd_level,
        .limits = {s->fetch.max_bytes, s->extract.max_ms, PCM_MAX_BYTES},
        .large_pcm_bytes = LARGE_PCM_MAX_BYTES,
        .n_files_each = s->sandbox.items,
        .needs_filter = s->sandbox.filter == SETTING_FILTER_REQUIRE,
    };
    p.n_clips_max = clips_max(s, &p);
    if (!feature_settings_check(s, e))
        return false;
    if (p.dtype != RECORD_F32 && !feature_spec_is_bounded(&p.spec))
        return err_set(e, ERR_USAGE,
                       "store.dtype = %s holds decibels from -top_db to 0 and %s gives other "
                       "values: set store.dtype = f32",
                       record_dtype_name(p.dtype),
                       p.spec.kind != NULL
                           ? p.spec.kind->name
                           : feature_preset_name((enum feature_preset)s->features.preset));
    p.spec_hash = feature_spec_hash(&p.spec);
    p.n_samples = feature_n_samples(&p.spec, p.clip.ms);
    p.n_frames = feature_n_frames(&p.spec, p.n_samples);
    if (!feature_spec_check(&p.spec, e) || !check_shape(&p, e) ||
        !feature_plan_new(&p.spec, &p.features, e))
        goto failed;
    if (p.n_views > 1 && !augment_chain_new(s->augment.chain, &p.chain, e))
        goto failed;
    *out = p;
    return true;
failed:
    extract_plan_release(&p);
    e->kind = ERR_USAGE;
    return false;
}

void extract_plan_release(struct extract_plan *p)
{
    augment_chain_free(p->chain);
    feature_plan_free(p->features);
    p->chain = NULL;
    p->features = NULL;
}

bool extract_plan_sandbox(const struct extract_plan *p, struct sandbox **out, struct err *e)
{
    const struct sandbox_params params = {
        .service = &sandbox_decoder_service,
        .memory_bytes = SANDBOX_DECODER_MEMORY_BYTES,
        .call_cpu_ms = CALL_CPU_MS,
        .life_cpu_s = (p->n_files_each + 1) * CALL_CPU_MS / 1000,
        .needs_filter = p->needs_filter,
    };
    return sandbox_open(&params, out, e);
}

/* As the configuration has it: "random", "3". */
static void policy_text(const struct clip_params *clip, char out[POLICY_TEXT_BYTES])
{
    static const char *const names[] = {"random", "start", "middle", "all"};
    if (clip->policy == CLIP_WINDOWS)
        snprintf(out, POLICY_TEXT_BYTES, "%" PRIu32, clip->n_windows);
    else
        snprintf(out, POLICY_TEXT_BYTES, "%s", names[clip->policy]);
}

bool extract_plan_recipe(const struct extract_plan *p, const struct settings *s,
                         struct store_recipe *out, struct err *e)
{
    char features[SPEC_TEXT_BYTES], decoder[DECODE_ID_BYTES], policy[POLICY_TEXT_BYTES];
    char epoch[EPOCH_TEXT_BYTES] = "";
    *out = (struct store_recipe){.spec_hash = p->spec_hash, .dtype = p->dtype};
    feature_spec_text(&p->spec, features);
    decode_id(decoder);
    policy_text(&p->clip, policy);
    if (s->augment.epoch > 0)
        snprintf(epoch, sizeof epoch, " epoch=%" PRIu64, s->augment.epoch);
    int n = snprintf(out->text, sizeof out->text,
                     "features: %s\n"
                     "decoder: %s s16\n"
                     "clip: policy=%s ms=%" PRIu32 " seed=%" PRIu64 " silent_steps=%d short=%s\n"
                     "augment: positives=%" PRIu32 "%s%s%s\n"
                     "record: dtype=%s zstd_level=%d\n",
                     features, decoder, policy, p->clip.ms, p->clip.seed, CLIP_SILENT_STEPS,
                     p->clip.pads_short ? "pad" : "reject", p->n_views - 1, epoch,
                     p->chain != NULL ? " chain=" : "", p->chain != NULL ? s->augment.chain : "",
                     record_dtype_name(p->dtype), p->zstd_level);
    assert(n > 0);
    if ((size_t)n >= sizeof out->text)
        return err_set(e, ERR_USAGE, "the recipe is %d bytes long, the store keeps up to %zu", n,
                       sizeof out->text - 1);
    return true;
}
