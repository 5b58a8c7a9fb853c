/*
 * Whole runs on small synthetic stores: learning, determinism, exact resumption, refusals.
 */
#include "base/file.h"
#include "tests/test.h"
#include "tests/unit/train/synth.h"
#include "train/trainer.h"

#include <glob.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { FRAMES = 48, MELS = 32, SPEC = 0x5eed, TRACKS = 60 };

static char dir[256];

static struct train_params params(const char *name)
{
    return (struct train_params){
        .dir = dir,
        .name = name,
        .model = "cnn",
        .seed = 1,
        .threads = 1,
        .epochs = 2,
        .batch = 8,
        .learning_rate = 1e-3,
        .weight_decay = 1e-4,
        .margin = 1.0,
        .validation_share = 0.3,
        .dropout = 0.1,
        .checkpoint_ns = UINT64_MAX,
    };
}

static uint64_t stop_after; /* asked for once this many steps were taken */

static bool stop_soon(void)
{
    return stop_after == 0 || --stop_after == 0;
}

static bool same_files(const char *a, const char *b, const char *file)
{
    struct buf x, y;
    struct err e = {0};
    char path[PATH_BYTES];
    buf_init(&x, 1 << 30);
    buf_init(&y, 1 << 30);
    snprintf(path, sizeof path, "%s/models/%s/%s", dir, a, file);
    bool ok = file_read_all(path, &x, &e);
    snprintf(path, sizeof path, "%s/models/%s/%s", dir, b, file);
    ok = ok && file_read_all(path, &y, &e);
    CHECK_OK(ok, &e);
    bool same = ok && x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
    buf_release(&x);
    buf_release(&y);
    return same;
}

/* Nothing is learnt at this rate: the run ends `patience` epochs behind its best one, and when it
 * is resumed, too. */
static void test_patience(void)
{
    struct train_result r;
    struct err e = {0};
    struct train_params p = params("patient");
    p.learning_rate = 1e-30;
    p.steps_per_epoch = 1;
    p.patience = 2;
    p.epochs = 40;
    CHECK_OK(train_run(&p, &r, &e), &e);
    CHECK(r.epochs < p.epochs && !r.stopped);
    CHECK_U64(r.epochs, r.best_epoch + p.patience);
    p.resume = true;
    uint64_t epochs = r.epochs;
    CHECK_OK(train_run(&p, &r, &e), &e);
    CHECK_U64(r.epochs, epochs);
}

/* Records kept in memory change nothing. */
static void test_same_seed_same_bits(void)
{
    struct train_result r;
    struct err e = {0};
    struct train_params a = params("same-a"), b = params("same-b"), c = params("other");
    b.pin_bytes = 1 << 20;
    c.seed = 2;
    CHECK_OK(train_run(&a, &r, &e), &e);
    CHECK_OK(train_run(&b, &r, &e), &e);
    CHECK_OK(train_run(&c, &r, &e), &e);
    CHECK(same_files("same-a", "same-b", "best.safetensors"));
    CHECK(!same_files("same-a", "other", "best.safetensors"));
}

/* 20 steps in one go, and in three pieces that end within epochs: the same model, bit for bit. The
 * last checkpoint has the time in it, so the models (best) are compared, and one more epoch of each
 * after them. */
static void test_resume_is_exact(void)
{
    struct train_result whole, part;
    struct err e = {0};
    struct train_params p = params("whole");
    p.steps_per_epoch = 5;
    p.epochs = 4;
    CHECK_OK(train_run(&p, &whole, &e), &e);
    CHECK_U64(whole.steps, 20);
    struct train_params q = p;
    q.name = "pieces";
    q.stop = stop_soon;
    stop_after = 7;
    CHECK_OK(train_run(&q, &part, &e), &e);
    CHECK(part.stopped);
    CHECK_U64(part.steps, 7);
    q.resume = true;
    stop_after = 6;
    CHECK_OK(train_run(&q, &part, &e), &e);
    CHECK_U64(part.steps, 13);
    q.stop = NULL;
    CHECK_OK(train_run(&q, &part, &e), &e);
    CHECK(!part.stopped);
    CHECK_U64(part.steps, 20);
    CHECK(part.best_val_loss == whole.best_val_loss);
    CHECK(same_files("whole", "pieces", "best.safetensors"));
    p.resume = q.resume = true;
    p.epochs = q.epochs = 6;
    CHECK_OK(train_run(&p, &whole, &e), &e);
    CHECK_OK(train_run(&q, &part, &e), &e);
    CHECK_U64(whole.steps, 30);
    CHECK(part.best_val_loss == whole.best_val_loss);
    CHECK(same_files("whole", "pieces", "best.safetensors"));
}

static void check_refused(const struct train_params *p, const char *part_of_message)
{
    struct train_result r;
    struct err e = {0};
    CHECK(!train_run(p, &r, &e));
    if (strstr(e.msg, part_of_message) == NULL) {
        test_fail(__FILE__, __LINE__, part_of_message);
        printf("#   got \"%s\"\n", e.msg);
    }
}

static void test_resume_refuses_another_run(void)
{
    struct train_params p = params("whole");
    p.steps_per_epoch = 5;
    p.resume = true;
    p.margin = 0.5;
    check_refused(&p, "margin");
    p.margin = 1.0;
    p.seed = 9;
    check_refused(&p, "seed");
    p.seed = 1;
    p.learning_rate = 0.5;
    check_refused(&p, "learning_rate");
    p = params("whole");
    p.steps_per_epoch = 5;
    p.resume = true;
    p.model = "resnet18";
    check_refused(&p, "its model is cnn, now it is resnet18");
    p = params("nothing-here");
    p.resume = true;
    check_refused(&p, "last.safetensors");
}

static void test_resume_refuses_another_store(void)
{
    struct err e = {0};
    struct train_result r;
    struct train_params p = params("grown");
    p.dir = dir;
    CHECK_OK(train_run(&p, &r, &e), &e);
    struct synth_params more = {.seed = 3,
                                .first_row = 1000,
                                .n_tracks = 1,
                                .n_frames = FRAMES,
                                .n_mels = MELS,
                                .n_views = 2,
                                .dtype = RECORD_U8,
                                .spec_hash = SPEC};
    CHECK_OK(synth_store(dir, &more, &e), &e);
    p.resume = true;
    check_refused(&p, "store_root");
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s/features.mdb'", dir);
    CHECK(system(command) == 0);
    more.spec_hash = SPEC + 1;
    more.n_tracks = 60;
    CHECK_OK(synth_store(dir, &more, &e), &e);
    check_refused(&p, "spec");
}

/* Jitter changes what is seen, and resuming repeats it. */
static void test_jitter_resumes(void)
{
    struct train_result r;
    struct err e = {0};
    struct train_params a = params("jitter-a"), b = params("jitter-b"), plain = params("jitter-no");
    a.jitter = b.jitter = true;
    a.mining = b.mining = plain.mining = MINE_ALL;
    CHECK_OK(train_run(&a, &r, &e), &e);
    CHECK_OK(train_run(&plain, &r, &e), &e);
    b.stop = stop_soon;
    stop_after = 3;
    CHECK_OK(train_run(&b, &r, &e), &e);
    CHECK(r.stopped);
    b.stop = NULL;
    b.resume = true;
    CHECK_OK(train_run(&b, &r, &e), &e);
    CHECK(same_files("jitter-a", "jitter-b", "best.safetensors"));
    CHECK(!same_files("jitter-a", "jitter-no", "best.safetensors"));
}

static FILE *open_metrics(const char *name)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/models/%s/metrics.csv", dir, name);
    FILE *f = fopen(path, "re");
    CHECK(f != NULL);
    return f;
}

/* All columns of metrics.csv but the last three, which are times. */
static void check_same_figures(const char *a, const char *b)
{
    char x[512], y[512];
    FILE *files[2] = {open_metrics(a), open_metrics(b)};
    size_t n_lines = 0;
    while (files[0] != NULL && files[1] != NULL && fgets(x, sizeof x, files[0]) != NULL &&
           fgets(y, sizeof y, files[1]) != NULL) {
        for (int column = 0; column < 3; column++)
            *strrchr(x, ',') = *strrchr(y, ',') = '\0';
        CHECK_STR(x, y);
        n_lines++;
    }
    CHECK(n_lines > 2);
    for (size_t i = 0; i < 2; i++)
        if (files[i] != NULL)
            fclose(files[i]);
}

/* Whatever decides the numbers survives an interruption: schedule, moments, the sums of a step made
 * of several batches. */
static void check_resume(const char *name, struct train_params p)
{
    char pieces[64];
    struct train_result whole, part;
    struct err e = {0};
    snprintf(pieces, sizeof pieces, "%s-pieces", name);
    p.name = name;
    p.steps_per_epoch = 4;
    CHECK_OK(train_run(&p, &whole, &e), &e);
    CHECK_U64(whole.steps, 8);
    CHECK_U64(whole.n_triplets, 8 * p.batch * (p.accumulate > 0 ? p.accumulate : 1));
    struct train_params q = p;
    q.name = pieces;
    q.stop = stop_soon;
    stop_after = 5;
    CHECK_OK(train_run(&q, &part, &e), &e);
    CHECK(part.stopped);
    q.stop = NULL;
    q.resume = true;
    CHECK_OK(train_run(&q, &part, &e), &e);
    CHECK_U64(part.steps, 8);
    CHECK(part.best_val_loss == whole.best_val_loss);
    CHECK(same_files(name, pieces, "best.safetensors"));
    check_same_figures(name, pieces);
}

static void test_recipes_resume(void)
{
    struct train_params p = params("");
    p.optimizer = OPTIM_SGD;
    p.schedule = SCHEDULE_COSINE;
    p.warmup_steps = 3;
    p.gradient_clip = 0.5;
    check_resume("sgd", p);
    p = params("");
    p.optimizer = OPTIM_ADAMW;
    p.loss = LOSS_NTXENT;
    p.temperature = 0.1;
    p.accumulate = 3;
    check_resume("ntxent", p);
    p = params("");
    p.precision = PRECISION_BF16;
    check_resume("bf16", p);
    p = params("");
    p.mining = MINE_SEMI_HARD;
    p.schedule = SCHEDULE_LINEAR;
    check_resume("semi-hard", p);
    p.resume = true;
    p.name = "semi-hard";
    p.steps_per_epoch = 4;
    p.epochs = 3; /* the line to 0 would be another */
    check_refused(&p, "schedule_steps");
    p.epochs = 2;
    p.mining = MINE_HARDEST;
    check_refused(&p, "its negatives is semi_hard@batch, now it is hardest@batch");
}

/* `auto` goes on as a run began, whatever this processor would choose for a new one. */
static void test_auto_precision_resumes_as_it_began(void)
{
    struct train_result r;
    struct err e = {0};
    struct train_params p = params("float32");
    p.precision = PRECISION_F32;
    p.epochs = 1;
    CHECK_OK(train_run(&p, &r, &e), &e);
    CHECK(strstr(r.kernels, "winograd") == NULL);
    p.resume = true;
    p.epochs = 2;
    p.precision = PRECISION_WINOGRAD;
    check_refused(&p, "its precision is f32, now it is f32-winograd");
    p.precision = PRECISION_AUTO;
    CHECK_OK(train_run(&p, &r, &e), &e);
    CHECK(strstr(r.kernels, "winograd") == NULL);
}

/* Frozen layers by their cached activations: near the run that computes them in every step, exact
 * when it is resumed, and computed once for several runs. */
static void test_cached_trunk(void)
{
    struct train_result plain, cached, again;
    struct err e = {0};
    char pattern[512];
    glob_t g = {0};
    struct stat before, after;
    struct train_params p = params("frozen");
    p.unfreeze = "layer3";
    p.dropout = 0.0; /* its draw depends on the place in the tape */
    CHECK_OK(train_run(&p, &plain, &e), &e);
    p.cache_bytes = 1 << 30;
    check_resume("cached", p);
    snprintf(pattern, sizeof pattern, "%s/models/trunk/*.bin", dir);
    CHECK(glob(pattern, 0, NULL, &g) == 0);
    CHECK_U64(g.gl_pathc, 1);
    CHECK(stat(g.gl_pathv[0], &before) == 0);
    p.name = "cached-whole";
    CHECK_OK(train_run(&p, &cached, &e), &e);
    CHECK(stat(g.gl_pathv[0], &after) == 0);
    CHECK_U64(after.st_size, before.st_size);
    CHECK(after.st_mtime == before.st_mtime);
    CHECK_NEAR(cached.best_val_loss, plain.best_val_loss, 0.01);
    CHECK(cached.best_val_loss != plain.best_val_loss); /* bfloat16 */
    p.name = "cached-fc";                               /* no layer before the average */
    p.unfreeze = "fc";
    CHECK_OK(train_run(&p, &again, &e), &e);
    CHECK(isfinite(again.best_val_loss));
    p.unfreeze = "layer3";
    p.name = "cached-small";
    p.cache_bytes = 1000;
    CHECK_OK(train_run(&p, &again, &e), &e);
    CHECK(again.best_val_loss == plain.best_val_loss);
    globfree(&g);
    p.name = "frozen";
    p.cache_bytes = 1 << 30;
    p.resume = true;
    p.epochs = 3;
    check_refused(&p, "its cached is 0, now it is 1");
}

/* Two batches of 4 in a step see the same 8 triplets as one batch of 8; without batch norm's
 * statistics between them the gradients are not the same, but learning goes the same way. */
static void test_accumulation_learns(void)
{
    struct train_result one, two;
    struct err e = {0};
    struct train_params p = params("one-batch"), q = params("two-batches");
    q.batch = 4;
    q.accumulate = 2;
    p.epochs = q.epochs = 3;
    CHECK_OK(train_run(&p, &one, &e), &e);
    CHECK_OK(train_run(&q, &two, &e), &e);
    CHECK_U64(one.steps, two.steps);
    CHECK_U64(one.n_triplets, two.n_triplets);
    CHECK(two.best_val_loss < two.baseline_loss);
}

/* ---------------------------------------------------------------- data that cannot be trained on
 */

struct small_store {
    char saved[256]; /* the store of the other tests */
};

static void enter(struct small_store *s, const struct synth_params *p)
{
    struct err e = {0};
    memcpy(s->saved, dir, sizeof dir);
    synth_dir(dir);
    if (p->n_tracks > 0)
        CHECK_OK(synth_store(dir, p, &e), &e);
}

static void leave(struct small_store *s)
{
    synth_remove(dir);
    memcpy(dir, s->saved, sizeof dir);
}

/* On songs that training never saw, clearly below the baseline. */
static void test_learns(void)
{
    struct train_result r;
    struct err e = {0};
    struct small_store s;
    struct synth_params sp = {1, 0, 160, FRAMES, MELS, 3, RECORD_U8, SPEC, SYNTH_SOUND};
    enter(&s, &sp);
    struct train_params p = params("learns");
    p.epochs = 12;
    p.batch = 16;
    p.mining = MINE_ALL;
    CHECK_OK(train_run(&p, &r, &e), &e);
    printf("# validation %.4f after epoch %llu, baseline %.4f\n", r.best_val_loss,
           (unsigned long long)r.best_epoch, r.baseline_loss);
    CHECK(r.best_val_loss < 0.93 * r.baseline_loss);
    CHECK(!r.collapsed);
    leave(&s);
}

/* Few works train and a batch has two clips: many a batch has no negative in it, which
 * teaches nothing and stops nothing. */
static void test_batches_of_one_work(void)
{
    struct train_result r;
    struct err e = {0};
    struct small_store s;
    char path[PATH_BYTES];
    struct synth_params sp = {1, 0, 40, FRAMES, MELS, 2, RECORD_U8, SPEC, SYNTH_SOUND};
    enter(&s, &sp);
    struct train_params p = params("one-work");
    snprintf(path, sizeof path, "%s/truth.csv", dir);
    FILE *f = fopen(path, "we");
    CHECK(f != NULL);
    fprintf(f, "track_id,work_id\n");
    for (int i = 0; i < 40; i++)
        fprintf(f, "TRACK%06d,W%d\n", i, i / 8);
    CHECK(fclose(f) == 0);
    p.groups_path = path;
    p.validation_share = 0.5;
    p.batch = 2;
    p.epochs = 1;
    p.mining = MINE_SEMI_HARD;
    CHECK_OK(train_run(&p, &r, &e), &e);
    CHECK(r.n_train_groups <= 3 && isfinite(r.best_val_loss));
    check_refused(&p, "--resume");
    p.name = "one-row";
    p.batch = 1;
    check_refused(&p, "a batch of 1 has no negatives in it");
    p.mining = MINE_DRAWN;
    CHECK_OK(train_run(&p, &r, &e), &e);
    leave(&s);
}

static void test_too_few_tracks(void)
{
    struct small_store s;
    struct synth_params sp = {1, 0, 9, FRAMES, MELS, 2, RECORD_U8, SPEC, SYNTH_SOUND};
    enter(&s, &sp);
    struct train_params p = params("small");
    check_refused(&p, "fewer than a batch of 8");
    leave(&s);
}

static void test_no_positives(void)
{
    struct small_store s;
    struct synth_params sp = {1, 0, 40, FRAMES, MELS, 1, RECORD_U8, SPEC, SYNTH_SOUND};
    enter(&s, &sp);
    struct train_params p = params("single");
    check_refused(&p, "augment.positives");
    leave(&s);
}

static void test_no_store(void)
{
    struct small_store s;
    struct synth_params none = {0};
    enter(&s, &none);
    struct train_params p = params("none");
    struct train_result r;
    struct err e = {0};
    CHECK(!train_run(&p, &r, &e));
    CHECK(e.msg[0] != '\0');
    leave(&s);
}

static void test_bad_names(void)
{
    struct train_params p = params("../up");
    check_refused(&p, "model name");
    p.name = "";
    check_refused(&p, "model name");
    p.name = ".hidden";
    check_refused(&p, "model name");
}

static void test_groups(void)
{
    struct train_result r;
    struct err e = {0};
    struct train_params p = params("groups");
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/truth.csv", dir);
    CHECK(synth_groups(path, TRACKS));
    p.groups_path = path;
    p.epochs = 1;
    CHECK_OK(train_run(&p, &r, &e), &e);
    /* works of two tracks are never cut */
    CHECK(r.n_train_groups + r.n_validation_groups < r.n_train_tracks + r.n_validation_tracks);
    p.name = "no-groups";
    p.groups_path = "/nonexistent/truth.csv";
    check_refused(&p, "/nonexistent/truth.csv");
}

/* Loss near the margin alone is no collapse: untrained vectors differ. */
static void test_no_collapse(void)
{
    struct train_result r;
    struct err e = {0};
    struct train_params p = params("sound");
    p.learning_rate = 1e-12;
    p.epochs = 1;
    p.margin = 4.0;
    CHECK_OK(train_run(&p, &r, &e), &e);
    CHECK(!r.collapsed);
}

/* All songs sound the same, so all vectors are one point and the loss is the margin. */
static void test_collapse_is_noticed(void)
{
    struct train_result r;
    struct err e = {0};
    struct small_store s;
    struct synth_params sp = {1, 0, 40, FRAMES, MELS, 2, RECORD_U8, SPEC, SYNTH_ALIKE};
    enter(&s, &sp);
    struct train_params p = params("collapsed");
    p.epochs = 1;
    CHECK_OK(train_run(&p, &r, &e), &e);
    CHECK(r.collapsed);
    CHECK_NEAR(r.best_val_loss, p.margin, 0.01);
    leave(&s);
}

/* A tensor with a NaN under a good checksum: the sentence says where and how to look. */
static void test_nan_in_the_store(void)
{
    struct small_store s;
    struct synth_params sp = {1, 0, 40, FRAMES, MELS, 2, RECORD_F32, SPEC, SYNTH_NAN};
    enter(&s, &sp);
    struct train_params p = params("nan");
    check_refused(&p, "not a finite number");
    leave(&s);
}

/* The disk takes no more in the checkpoint after epoch 2: what epoch 1 left stays, nothing is left
 * behind, and resuming later gives the model of an undisturbed run. */
static void test_full_disk_keeps_checkpoint(void)
{
    struct train_result r;
    struct err e = {0};
    struct rlimit limit, before;
    struct train_params p = params("disk"), whole = params("disk-whole");
    p.epochs = 1;
    CHECK_OK(train_run(&p, &r, &e), &e);
    struct train_params copy = params("disk-copy");
    copy.epochs = 1;
    CHECK_OK(train_run(&copy, &r, &e), &e);
    CHECK(same_files("disk", "disk-copy", "best.safetensors"));

    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    limit = (struct rlimit){256 << 10, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    p.epochs = 2;
    p.resume = true;
    CHECK(!train_run(&p, &r, &e));
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    signal(SIGXFSZ, handler);
    CHECK_U64(e.kind, ERR_FATAL);
    CHECK(strstr(e.msg, "safetensors") != NULL && strstr(e.msg, "not written") != NULL);
    CHECK(same_files("disk", "disk-copy", "best.safetensors"));
    char path[PATH_BYTES];
    glob_t found;
    snprintf(path, sizeof path, "%s/models/disk/*.safetensors.*", dir);
    CHECK(glob(path, 0, NULL, &found) == GLOB_NOMATCH);

    CHECK_OK(train_run(&p, &r, &e), &e);
    CHECK_OK(train_run(&whole, &r, &e), &e);
    CHECK(same_files("disk", "disk-whole", "best.safetensors"));
}

/* A model that is there is not lost to a forgotten --name. */
static void test_a_model_is_not_replaced_silently(void)
{
    struct train_result r;
    struct err e = {0};
    struct train_params p = params("kept"), same = params("kept-same"), other = params("kept");
    p.epochs = same.epochs = other.epochs = 1;
    CHECK_OK(train_run(&p, &r, &e), &e);
    CHECK_OK(train_run(&same, &r, &e), &e);
    other.seed = 2;
    check_refused(&other, "--resume");
    check_refused(&other, "--replace");
    CHECK(same_files("kept", "kept-same", "best.safetensors"));
    other.replace = true;
    CHECK_OK(train_run(&other, &r, &e), &e);
    CHECK(!same_files("kept", "kept-same", "best.safetensors"));
    other.resume = true; /* both: which one is meant cannot be known */
    check_refused(&other, "--resume");
}

/* Row 0 of metrics.csv is the network before its first step. */
static double first_loss(const char *name)
{
    char path[PATH_BYTES], line[512];
    double loss = NAN;
    snprintf(path, sizeof path, "%s/models/%s/metrics.csv", dir, name);
    FILE *f = fopen(path, "re");
    CHECK(f != NULL);
    for (int i = 0; f != NULL && i < 2; i++) /* epoch,step,train_loss (empty),val_loss */
        CHECK(fgets(line, sizeof line, f) != NULL);
    CHECK(sscanf(line, "0,0,,%lf", &loss) == 1);
    if (f != NULL)
        fclose(f);
    return loss;
}

/* A model's own file as first weights: training begins where that model was, also when it is
 * interrupted and resumed without the file. */
static void test_weights(void)
{
    struct train_result from, r;
    struct err e = {0};
    char path[PATH_BYTES];
    struct train_params p = params("teacher"), q = params("student"), again = params("student-2");
    CHECK_OK(train_run(&p, &from, &e), &e);
    snprintf(path, sizeof path, "%s/models/teacher/best.safetensors", dir);
    q.weights_path = again.weights_path = path;
    CHECK_OK(train_run(&q, &r, &e), &e);
    CHECK_NEAR(first_loss("student"), from.best_val_loss, 1e-6);
    again.stop = stop_soon;
    stop_after = 2;
    CHECK_OK(train_run(&again, &r, &e), &e);
    again.resume = true;
    check_refused(&again, "--weights");
    again.weights_path = NULL;
    again.stop = NULL;
    CHECK_OK(train_run(&again, &r, &e), &e);
    CHECK(same_files("student", "student-2", "best.safetensors"));
    struct train_params cut = params("cut"), cut_again = params("cut-2");
    cut.unfreeze = cut_again.unfreeze = "bands";
    cut.weights_path = cut_again.weights_path = path;
    CHECK_OK(train_run(&cut, &r, &e), &e);
    cut_again.stop = stop_soon;
    stop_after = 3;
    CHECK_OK(train_run(&cut_again, &r, &e), &e);
    cut_again.stop = NULL;
    cut_again.weights_path = NULL;
    cut_again.resume = true;
    CHECK_OK(train_run(&cut_again, &r, &e), &e);
    CHECK(same_files("cut", "cut-2", "best.safetensors"));
    cut_again.unfreeze = "fc";
    check_refused(&cut_again, "unfreeze");
    struct train_params other = params("other-network");
    other.model = "resnet18";
    other.batch = 2;
    other.weights_path = path;
    check_refused(&other, "another network");
}

/* A resnet18 of which layer4 and fc are trained; no other network goes on from it. */
static void test_resnet18(void)
{
    struct train_result r;
    struct err e = {0};
    struct train_params p = params("resnet"), again = params("resnet-2");
    p.model = again.model = "resnet18";
    p.unfreeze = again.unfreeze = "layer4";
    p.batch = again.batch = 4;
    p.steps_per_epoch = again.steps_per_epoch = 3;
    p.epochs = again.epochs = 1;
    CHECK_OK(train_run(&p, &r, &e), &e);
    CHECK_U64(r.steps, 3);
    CHECK(isfinite(r.best_val_loss));
    again.stop = stop_soon;
    stop_after = 2;
    CHECK_OK(train_run(&again, &r, &e), &e);
    again.stop = NULL;
    again.resume = true;
    CHECK_OK(train_run(&again, &r, &e), &e);
    CHECK(same_files("resnet", "resnet-2", "best.safetensors"));
    again.model = "cnn";
    again.unfreeze = NULL;
    check_refused(&again, "its model is resnet18, now it is cnn");
}

int main(void)
{
    struct err e = {0};
    synth_dir(dir);
    struct synth_params sp = {1, 0, TRACKS, FRAMES, MELS, 3, RECORD_U8, SPEC, SYNTH_SOUND};
    if (!synth_store(dir, &sp, &e)) {
        printf("Bail out! %s\n", e.msg);
        return 1;
    }
    RUN(test_same_seed_same_bits);
    RUN(test_patience);
    RUN(test_resume_is_exact);
    RUN(test_resume_refuses_another_run);
    RUN(test_jitter_resumes);
    RUN(test_recipes_resume);
    RUN(test_auto_precision_resumes_as_it_began);
    RUN(test_accumulation_learns);
    RUN(test_cached_trunk);
    RUN(test_learns);
    RUN(test_groups);
    RUN(test_no_collapse);
    RUN(test_collapse_is_noticed);
    RUN(test_nan_in_the_store);
    RUN(test_full_disk_keeps_checkpoint);
    RUN(test_a_model_is_not_replaced_silently);
    RUN(test_weights);
    RUN(test_resnet18);
    RUN(test_batches_of_one_work);
    RUN(test_too_few_tracks);
    RUN(test_no_positives);
    RUN(test_no_store);
    RUN(test_bad_names);
    RUN(test_resume_refuses_another_store);
    synth_remove(dir);
    return test_done();
}
