#include "tests/test.h"

#include "base/mem.h"
#include "features/logmel_plan.h"

/* 2 ulp of a float near 80 dB, which is what two correct implementations differ by. */
static const double DB_TOLERANCE = 2e-5;
static const struct feature_spec SPEC = {22050, 2048, 512, 128, 0, 0, 80};
enum { N_SAMPLES = 220500, N_FRAMES = 431, N_MELS = 128 };

/* Signal Q: integers below 2^16 over 2^16, exact in float. */
static float *signal_q(size_t n)
{
    float *y = mem_alloc(n, sizeof *y);
    for (size_t i = 0; i < n; i++) {
        uint64_t j = i;
        y[i] = (float)((int64_t)((7 * j * j + 13 * j) % 65536) - 32768) / 65536;
    }
    return y;
}

static float *picture(enum simd simd, const float *y, size_t n, float *ref_db)
{
    struct err e = {0};
    struct logmel_plan *plan = NULL;
    CHECK_OK(logmel_plan_new_simd(&SPEC, simd, &plan, &e), &e);
    struct logmel *m = logmel_new(plan);
    float *db = mem_alloc(feature_n_frames(&SPEC, n) * N_MELS, sizeof *db);
    CHECK_OK(logmel_compute(m, y, n, db, ref_db, &e), &e);
    logmel_free(m);
    logmel_plan_free(plan);
    return db;
}

/* Known answers from librosa 0.11.0. */
static void test_signal_q(void)
{
    static const struct {
        int mel, frame;
        double db;
    } want[] = {{0, 0, -5.436419},      {0, 1, -10.535698},
                {5, 3, -21.444796},     {64, 200, -12.304626},
                {30, 215, -16.484966},  {100, 429, -17.018616},
                {127, 430, -21.547297}, {1, 128, 0}};
    float *y = signal_q(N_SAMPLES), ref_db;
    float *db = picture(simd_best(), y, N_SAMPLES, &ref_db);
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        CHECK_NEAR(db[want[i].frame * N_MELS + want[i].mel], want[i].db, DB_TOLERANCE);
    CHECK_NEAR(ref_db, 10 * log10(134.58353), DB_TOLERANCE);
    double sum = 0, min = 0;
    for (size_t i = 0; i < (size_t)N_FRAMES * N_MELS; i++) {
        sum += (double)db[i];
        min = fmin(min, (double)db[i]);
    }
    CHECK_NEAR(sum / (N_FRAMES * N_MELS), -15.654905, 1e-6);
    CHECK_NEAR(min, -35.699142, DB_TOLERANCE);
    mem_free(db);
    mem_free(y);
}

int main(void)
{
    RUN(test_signal_q);
    return test_done();
}
