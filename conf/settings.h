/*
 * Every key of refrain.conf in one struct, const after start. Only main programs include this; they
 * hand each module the few values it needs. The table in settings.c is the truth for defaults,
 * ranges, units and reasons: conf/refrain.conf, --help texts and the manual are made from it.
 */
#ifndef REFRAIN_SETTINGS_H
#define REFRAIN_SETTINGS_H

#include "base/conf.h"

enum clip_policy_setting {
    SETTING_CLIP_RANDOM,
    SETTING_CLIP_START,
    SETTING_CLIP_MIDDLE,
    SETTING_CLIP_ALL
};
enum clip_short_setting { SETTING_SHORT_REJECT, SETTING_SHORT_PAD };
enum sandbox_filter_setting { SETTING_FILTER_PREFER, SETTING_FILTER_REQUIRE };
enum feature_kind_setting {
    SETTING_KIND_MEL,
    SETTING_KIND_MFCC,
    SETTING_KIND_CHROMA,
    SETTING_KIND_TEMPOGRAM,
    SETTING_KIND_CQT,
};
enum feature_preset_setting {
    SETTING_PRESET_LIBROSA_0_10,
    SETTING_PRESET_LIBROSA_0_8,
    SETTING_PRESET_TORCHAUDIO,
    SETTING_PRESET_KALDI_AST,
    SETTING_PRESET_WHISPER
};
enum train_model_setting { SETTING_MODEL_CNN, SETTING_MODEL_RESNET18 };
enum train_precision_setting {
    SETTING_PRECISION_AUTO,
    SETTING_PRECISION_F32,
    SETTING_PRECISION_BF16,
    SETTING_PRECISION_WINOGRAD
};
enum train_loss_setting { SETTING_LOSS_TRIPLET, SETTING_LOSS_NTXENT };
enum train_negatives_setting {
    SETTING_NEGATIVES_DRAWN,
    SETTING_NEGATIVES_BATCH,
    SETTING_NEGATIVES_SEMI_HARD,
    SETTING_NEGATIVES_HARDEST
};
enum train_optimizer_setting { SETTING_ADAM, SETTING_ADAMW, SETTING_SGD };
enum train_schedule_setting { SETTING_CONSTANT, SETTING_LINEAR, SETTING_COSINE };
enum store_dtype_setting {
    SETTING_DTYPE_U8,
    SETTING_DTYPE_U12,
    SETTING_DTYPE_F32,
    SETTING_DTYPE_RAW,
    SETTING_DTYPE_ARCHIVE
};

struct settings {
    uint64_t version; /* of the data set directory */
    uint64_t seed;
    bool keep_audio;
    uint64_t disk_floor_mib;
    struct {
        char csv[CONF_STR_BYTES];
    } catalog;
    struct {
        struct conf_rate_list limit;
        uint64_t in_flight;
        bool allow_private;
        bool allow_http;
        char user_agent[CONF_STR_BYTES];
        char file_root[CONF_STR_BYTES];
        uint64_t connect_timeout_ms, timeout_ms, low_speed_bytes_per_s, low_speed_s;
        uint64_t max_bytes, preview_ms, max_redirects;
        uint64_t attempts, backoff_ms, backoff_max_ms;
    } fetch;
    struct {
        char sources[CONF_STR_BYTES], contact[CONF_STR_BYTES], country[CONF_STR_BYTES];
        char deezer_url[CONF_STR_BYTES], itunes_url[CONF_STR_BYTES];
        uint64_t pages;
    } resolve;
    struct {
        uint64_t high_water_mib, bad_max_mib;
    } spool;
    struct {
        int policy; /* enum clip_policy_setting; -N: N windows */
        uint64_t ms;
        int shorter; /* enum clip_short_setting */
    } clip;
    struct {
        int kind;   /* enum feature_kind_setting */
        int preset; /* enum feature_preset_setting */
        uint64_t rate_hz, n_fft, hop, n_mels;
        double f_min_hz, f_max_hz, top_db;
    } features;
    struct {
        uint64_t positives, epoch;
        char chain[CONF_STR_BYTES];
    } augment;
    struct {
        uint64_t threads, queue, max_ms;
    } extract;
    struct {
        int filter; /* enum sandbox_filter_setting */
        uint64_t items;
    } sandbox;
    struct {
        int dtype; /* enum store_dtype_setting */
        uint64_t zstd_level, map_gib, commit_clips, commit_ms;
    } store;
    struct {
        bool sequences;
    } match;
    struct {
        uint64_t threads, epochs, batch, steps_per_epoch, patience;
        double learning_rate, weight_decay, margin, dropout, validation_share, versions;
        int model;     /* enum feature_preset_setting {
    SETTING_PRESET_LIBROSA_0_10,
    SETTING_PRESET_LIBROSA_0_8,
    SETTING_PRESET_TORCHAUDIO,
    SETTING_PRESET_KALDI_AST,
    SETTING_PRESET_WHISPER
};
enum train_model_setting */
        int precision; /* enum train_precision_setting */
        int loss;      /* enum train_loss_setting */
        int negatives; /* enum train_negatives_setting */
        int optimizer; /* enum train_optimizer_setting */
        int schedule;  /* enum train_schedule_setting */
        uint64_t warmup_steps, accumulate;
        double temperature, gradient_clip, cache_gib, pin_gib;
        bool jitter;
    } train;
    struct {
        uint64_t backoff_ms, backoff_max_ms, attempts, drain_ms;
    } run;
};

extern const struct conf_table settings_table;

/* Reads and checks DIR/refrain.conf. A newer directory version is ERR_USAGE. */
MUST_CHECK bool settings_load(const char *path, struct settings *out, struct err *e);

#endif
