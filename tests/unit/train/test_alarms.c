/*
 * Alarms: silent on held-out songs that were never trained on, loud when the same clips are on both
 * sides or one number tells copies from originals.
 */
#include "tests/test.h"
#include "tests/unit/train/synth.h"
#include "train/alarms.h"

enum { TRACKS = 60, FRAMES = 48, MELS = 32, N = 10 };

static char dir[256];

struct fixture {
    struct synth_open data;
    struct split split;
};

static void begin(struct fixture *f)
{
    struct err e = {0};
    struct synth_params p = {.seed = 5,
                             .n_tracks = TRACKS,
                             .n_frames = FRAMES,
                             .n_mels = MELS,
                             .n_views = 2,
                             .dtype = RECORD_U8,
                             .spec_hash = 7};
    *f = (struct fixture){0};
    synth_dir(dir);
    CHECK_OK(synth_open(dir, &p, &f->data, &e), &e);
    struct split_params sp = {.work_dir = dir, .seed = 1, .validation_share = 0.3};
    CHECK_OK(split_init(f->data.store, &f->data.snap, &sp, &f->split, &e), &e);
    CHECK(f->split.validation.n_clips >= N && f->split.train.n_clips >= N);
}

static void end(struct fixture *f)
{
    split_release(&f->split);
    synth_close(&f->data);
    synth_remove(dir);
}

static struct alarms measure(struct fixture *f, const struct split_side *held_out, double auc_hi)
{
    struct err e = {0};
    struct alarms a = {0};
    uint64_t originals[N], copies[N];
    struct figure auc = {auc_hi - 0.1, auc_hi - 0.2, auc_hi};
    for (size_t i = 0; i < N; i++) {
        originals[i] = f->data.snap.keys[held_out->clips[i].first];
        copies[i] = originals[i] + 1;
    }
    CHECK_OK(alarms_measure(f->data.store, &f->data.snap, &f->split.train, originals, copies, N,
                            &auc, &a, &e),
             &e);
    return a;
}

static void test_apart(void)
{
    struct fixture f;
    begin(&f);
    struct alarms a = measure(&f, &f.split.validation, 0.7);
    CHECK_U64(a.n_same_audio, 0);
    CHECK_U64(a.n_near_duplicates, 0);
    CHECK(!a.versions_inverted);
    CHECK(measure(&f, &f.split.validation, 0.49).versions_inverted);
    CHECK(!measure(&f, &f.split.validation, NAN).versions_inverted);
    /* synthetic copies have a floor of -45 to -30 dB, originals one of -60 */
    CHECK_NEAR(a.signature_auc[SIGNATURE_FLOOR], 1.0, 0.0);
    end(&f);
}

static void test_same_clips(void)
{
    struct fixture f;
    begin(&f);
    struct alarms a = measure(&f, &f.split.train, 0.7);
    CHECK_U64(a.n_same_audio, N);
    CHECK_U64(a.n_near_duplicates, N);
    end(&f);
}

static void test_separation(void)
{
    double low[4] = {1, 2, 3, 4}, high[4] = {5, 6, 7, 8}, mixed[4] = {0, 2.5, 3.5, 9};
    CHECK_NEAR(separation_auc(low, high, 4), 1.0, 0.0);
    CHECK_NEAR(separation_auc(high, low, 4), 1.0, 0.0);
    CHECK_NEAR(separation_auc(low, low, 4), 0.5, 0.0);
    CHECK_NEAR(separation_auc(low, mixed, 4), 9.0 / 16.0, 1e-15); /* 0 + 2 + 3 + 4 of 16 */
}

static void test_signature_by_hand(void)
{
    float picture[40], scratch[40];
    double got[SIGNATURES];
    for (size_t i = 0; i < 40; i++) /* 10 frames of 4 bands: band b is 10 b - 40 dB */
        picture[i] = 10.0f * (float)(i % 4) - 40.0f;
    signature_measure(picture, 10, 4, scratch, got);
    CHECK_NEAR(got[SIGNATURE_FLOOR], -40.0, 0.0);
    CHECK_NEAR(got[SIGNATURE_LEVEL], -25.0, 1e-12);
    CHECK_NEAR(got[SIGNATURE_HIGHS], -10.0, 1e-12);
}

int main(void)
{
    RUN(test_apart);
    RUN(test_same_clips);
    RUN(test_separation);
    RUN(test_signature_by_hand);
    return test_done();
}
