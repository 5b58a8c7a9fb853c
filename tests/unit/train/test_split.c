/* Groups, split and sampler on a synthetic store. */
#include "base/file.h"
#include "tests/test.h"
#include "tests/unit/train/synth.h"
#include "train/sampler.h"

static char dir[256];
static struct store *store;
static struct store_snapshot snap;

enum { TRACKS = 200 };

static void write_text(const char *path, const char *text)
{
    struct err e = {0};
    CHECK_OK(file_write_atomic(path, (struct span){text, strlen(text)}, &e), &e);
}

static bool make_split(const struct groups *groups, uint64_t seed, struct split *out)
{
    struct err e = {0};
    struct split_params p = {
        .work_dir = dir, .seed = seed, .validation_share = 0.3, .groups = groups};
    bool ok = split_init(store, &snap, &p, out, &e);
    CHECK_OK(ok, &e);
    return ok;
}

static bool load_groups(struct groups *g)
{
    char path[300];
    struct err e = {0};
    snprintf(path, sizeof path, "%s/truth.csv", dir);
    CHECK(synth_groups(path, TRACKS));
    bool ok = groups_load(path, dir, g, &e);
    CHECK_OK(ok, &e);
    return ok;
}

static void test_groups_file(void)
{
    struct groups g = {0};
    bool known;
    if (load_groups(&g)) {
        CHECK_U64(g.n_tracks, TRACKS);
        CHECK(groups_of(&g, "TRACK000000", &known) == groups_of(&g, "TRACK000001", &known));
        CHECK(known);
        CHECK(groups_of(&g, "TRACK000001", &known) != groups_of(&g, "TRACK000002", &known));
        uint64_t alone = groups_of(&g, "elsewhere", &known);
        CHECK(!known && alone != 0);
    }
    groups_release(&g);
    groups_release(&g);
}

static void refuse_groups(const char *text, const char *why)
{
    struct groups g = {0};
    struct err e = {0};
    char path[300];
    snprintf(path, sizeof path, "%s/bad.csv", dir);
    write_text(path, text);
    bool ok = groups_load(path, dir, &g, &e);
    if (ok || strstr(e.msg, why) == NULL) {
        test_fail(__FILE__, __LINE__, why);
        printf("#   got \"%s\"\n", ok ? "no error" : e.msg);
    }
    CHECK(e.kind == ERR_USAGE);
    groups_release(&g);
}

static void test_groups_refused(void)
{
    refuse_groups("", "needs the columns");
    refuse_groups("track,work\na,b\n", "needs the columns");
    refuse_groups("track_id,work_id\na\n", "line 2 lacks");
    refuse_groups("track_id,work_id\na,1\nb,\n", "line 3 lacks");
    refuse_groups("track_id,work_id\na,1\na,2\n", "second work");
}

static void test_groups_forms(void)
{
    struct groups g = {0};
    struct err e = {0};
    char path[300];
    bool known;
    snprintf(path, sizeof path, "%s/forms.csv", dir);
    write_text(path, "\xef\xbb\xbf"
                     "work_id,\"x\",track_id\r\nW,\"two\nlines, \"\"q\"\"\",a\r\nW,,\"b\"");
    CHECK_OK(groups_load(path, dir, &g, &e), &e);
    CHECK_U64(g.n_tracks, 2);
    CHECK(groups_of(&g, "a", &known) == groups_of(&g, "b", &known) && known);
    groups_release(&g);
}

/* No work on both sides, all clips somewhere, about the share that was asked for. */
static void test_no_leak(void)
{
    struct groups g = {0};
    if (!load_groups(&g))
        return;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct split s = {0};
        if (!make_split(&g, seed, &s))
            break;
        size_t leaks = 0;
        for (size_t i = 0; i < s.train.n_clips; i++)
            for (size_t k = 0; k < s.validation.n_clips; k++)
                leaks += s.train.clips[i].group == s.validation.clips[k].group;
        CHECK_U64(leaks, 0);
        CHECK_U64(s.train.n_clips + s.validation.n_clips, TRACKS);
        CHECK_U64(s.train.n_groups + s.validation.n_groups, TRACKS / 2);
        CHECK_U64(s.train.n_tracks, 2 * s.train.n_groups);
        /* 100 works at 0.3: standard deviation 4.6, five of them */
        CHECK_NEAR((double)s.validation.n_groups, 30.0, 23.0);
        split_release(&s);
        split_release(&s);
    }
    groups_release(&g);
}

static void test_split_is_stable(void)
{
    struct split a = {0}, b = {0}, c = {0};
    if (make_split(NULL, 1, &a) && make_split(NULL, 1, &b) && make_split(NULL, 2, &c)) {
        CHECK_U64(a.train.n_clips, b.train.n_clips);
        CHECK(memcmp(a.train.clips, b.train.clips, a.train.n_clips * sizeof *a.train.clips) == 0);
        CHECK(a.train.n_clips != c.train.n_clips ||
              memcmp(a.train.clips, c.train.clips, a.train.n_clips * sizeof *a.train.clips) != 0);
        for (size_t i = 1; i < a.validation.n_clips; i++)
            CHECK(a.validation.clips[i - 1].first < a.validation.clips[i].first);
    }
    split_release(&a);
    split_release(&b);
    split_release(&c);
}

static void test_triplets(void)
{
    struct groups g = {0};
    struct split s = {0};
    if (load_groups(&g) && make_split(&g, 1, &s)) {
        struct sampler sampler = {snap.keys, &s.train, 5, SAMPLE_TRAIN, 0, false};
        uint8_t *seen = mem_zalloc(s.train.n_clips, 1);
        size_t views[3] = {0};
        for (uint64_t i = 0; i < s.train.n_clips; i++) {
            struct triplet t, again;
            sampler_triplet(&sampler, 2, i, &t);
            sampler_triplet(&sampler, 2, i, &again);
            CHECK(memcmp(&t, &again, sizeof t) == 0);
            seen[t.anchor_i]++;
            CHECK(t.anchor >> 8 == t.positive >> 8);
            CHECK(store_key_view(t.anchor) == 0);
            CHECK(store_key_view(t.negative) == 0);
            CHECK(store_key_view(t.positive) >= 1 && store_key_view(t.positive) <= 2);
            views[store_key_view(t.positive) % 3]++;
            CHECK(s.train.clips[t.anchor_i].group != s.train.clips[t.negative_i].group);
        }
        for (size_t i = 0; i < s.train.n_clips; i++)
            CHECK_U64(seen[i], 1);
        CHECK(views[1] > s.train.n_clips / 4 && views[2] > s.train.n_clips / 4);
        mem_free(seen);
    }
    split_release(&s);
    groups_release(&g);
}

/* Half of the positives are the other track of the work, in any view; the rest are drawn as before.
 */
static void test_versions_as_positives(void)
{
    struct groups g = {0};
    struct split s = {0}, alone = {0};
    if (load_groups(&g) && make_split(&g, 1, &s) && make_split(NULL, 1, &alone)) {
        struct sampler sampler = {snap.keys, &s.train, 5, SAMPLE_TRAIN, 0.5, false};
        struct sampler plain = sampler, all = sampler;
        size_t others = 0, views[3] = {0}, n = 3 * s.train.n_clips;
        plain.version_share = 0;
        all.version_share = 1;
        for (uint64_t i = 0; i < n; i++) {
            struct triplet t, before, version;
            sampler_triplet(&sampler, i / s.train.n_clips, i % s.train.n_clips, &t);
            sampler_triplet(&plain, i / s.train.n_clips, i % s.train.n_clips, &before);
            sampler_triplet(&all, i / s.train.n_clips, i % s.train.n_clips, &version);
            CHECK(t.anchor == before.anchor && t.negative == before.negative);
            CHECK(t.positive == before.positive || t.positive == version.positive);
            /* works are pairs of neighbouring rows */
            CHECK_U64(store_key_row(version.positive), store_key_row(t.anchor) ^ 1);
            views[store_key_view(version.positive)]++;
            others += store_key_row(t.positive) != store_key_row(t.anchor);
        }
        /* binomial, five standard deviations */
        CHECK_NEAR((double)others, (double)n / 2, 2.5 * sqrt((double)n));
        for (size_t v = 0; v < 3; v++)
            CHECK(views[v] > n / 5);
        sampler.side = &alone.train; /* no group has a second track */
        for (uint64_t i = 0; i < alone.train.n_clips; i++) {
            struct triplet t;
            sampler_triplet(&sampler, 0, i, &t);
            CHECK(t.anchor >> 8 == t.positive >> 8 && t.anchor != t.positive);
        }
    }
    split_release(&s);
    split_release(&alone);
    groups_release(&g);
}

static void test_step_wraps(void)
{
    struct split s = {0};
    enum { N = 32 };
    if (make_split(NULL, 1, &s)) {
        struct sampler sampler = {snap.keys, &s.train, 5, SAMPLE_TRAIN, 0, false};
        uint64_t steps = (s.train.n_clips + N - 1) / N, keys[3 * N], groups[3 * N];
        uint8_t *seen = mem_zalloc(snap.n_keys, 1);
        size_t anchors = 0;
        for (uint64_t step = 0; step < steps; step++) {
            sampler_step(&sampler, 3, step, steps, N, keys, NULL);
            sampler_step(&sampler, 3, step, steps, N, NULL, groups);
            for (size_t i = 0; i < N; i++) {
                CHECK(groups[i] == groups[N + i] && groups[i] != groups[2 * N + i]);
                for (size_t k = 0; k < snap.n_keys; k++)
                    if (snap.keys[k] == keys[i] && seen[k]++ == 0)
                        anchors++;
            }
        }
        CHECK_U64(anchors, s.train.n_clips); /* each at least once */
        mem_free(seen);
    }
    split_release(&s);
}

/* With negatives from the batch a step is its anchors and positives, the very same ones. */
static void test_rows_of_a_step(void)
{
    struct split s = {0};
    enum { N = 9, STEPS = 20 };
    if (make_split(NULL, 1, &s)) {
        struct sampler drawn = {snap.keys, &s.train, 5, SAMPLE_TRAIN, 0, false}, in_batch = drawn;
        uint64_t all[3 * N], all_groups[3 * N], keys[3 * N], groups[3 * N];
        in_batch.in_batch = true;
        CHECK_U64(sampler_rows(&drawn, N), 3 * N);
        CHECK_U64(sampler_rows(&in_batch, N), 2 * N);
        for (uint64_t step = 0; step < STEPS; step++) {
            memset(keys, 0xff, sizeof keys);
            memset(groups, 0xff, sizeof groups);
            sampler_step(&drawn, 1, step, STEPS, N, all, all_groups);
            sampler_step(&in_batch, 1, step, STEPS, N, keys, groups);
            CHECK(memcmp(keys, all, 2 * N * sizeof *keys) == 0);
            CHECK(memcmp(groups, all_groups, 2 * N * sizeof *groups) == 0);
            for (size_t i = 2 * N; i < 3 * N; i++)
                CHECK(keys[i] == UINT64_MAX && groups[i] == UINT64_MAX);
        }
    }
    split_release(&s);
}

int main(void)
{
    struct err e = {0};
    synth_dir(dir);
    struct synth_params p = {1, 0, TRACKS, 16, 16, 3, RECORD_U8, 1, SYNTH_SOUND};
    if (!synth_store(dir, &p, &e) || !store_open(dir, &store, &e) ||
        !store_snapshot_init(store, &snap, &e)) {
        printf("Bail out! %s\n", e.msg);
        return 1;
    }
    RUN(test_groups_file);
    RUN(test_groups_refused);
    RUN(test_groups_forms);
    RUN(test_no_leak);
    RUN(test_split_is_stable);
    RUN(test_triplets);
    RUN(test_versions_as_positives);
    RUN(test_step_wraps);
    RUN(test_rows_of_a_step);
    store_snapshot_release(&snap);
    store_close(store);
    synth_remove(dir);
    return test_done();
}
