/*
 * The loop, in one direction: keys are a function of the step, the loader reads them, the tape runs
 * forward, the loss gives the gradient, the tape runs backward, Adam steps. What must survive a
 * crash is in `struct position` and the checkpoint; everything else is derived again.
 */
#include "train/trainer.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/progress.h"
#include "train/checkpoint.h"
#include "train/curves.h"
#include "train/loader.h"
#include "train/validation.h"
#include "train/weights.h"

#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

enum { SLOTS = 2 };

/* Loss within 5 % of the margin while vectors are on average closer than this: collapsed. */
#define COLLAPSE_DISTANCE 0.05

struct trainer {
    const struct train_params *params;
    struct store *store;
    struct store_snapshot snap;
    struct groups groups;
    struct split split;
    struct norm norm;
    struct sampler sampler;
    struct net *net;
    struct adam adam;
    struct embedder embedder;
    struct validation validation;
    struct history history;
    struct recipe recipe;
    struct position position;
    struct loader *loader;
    struct progress progress;
    double *rows, *grad; /* (3 batch, EMBEDDING_DIM) */
    uint64_t *row_groups;
    double baseline_loss;
    char model_dir[PATH_BYTES];
    /* of this run */
    uint64_t started_ns, checkpoint_ns, wait_ns, step_ns, n_steps;
    double seconds_before;
    uint64_t epoch_wait_ns, epoch_step_ns, epoch_steps;
    bool collapsed;
};

static uint32_t count_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

/* ---------------------------------------------------------------- setting up */

static bool check_name(const char *name, struct err *e)
{
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    if (name[0] == '\0' || name[0] == '.' || name[good] != '\0' || strlen(name) > 100)
        return err_set(e, ERR_USAGE,
                       "model name \"%.100s\": letters, digits, '-', '_' and '.' only, not first "
                       "'.', at most 100",
                       name);
    return true;
}

/* Hours of training are not overwritten because a --name was forgotten. */
static bool check_place(const struct trainer *t, struct err *e)
{
    static const char *const files[] = {"best.safetensors", "last.safetensors"};
    const struct train_params *p = t->params;
    if (p->resume && p->replace)
        return err_set(e, ERR_USAGE, "--resume and --replace exclude each other");
    if (p->resume && p->weights_path != NULL)
        return err_set(e, ERR_USAGE, "--weights are for a new run; --resume has its own");
    if (p->resume || p->replace)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[PATH_BYTES];
        if (!path_join(path, t->model_dir, files[i], e))
            return false;
        if (file_exists(path))
            return err_set(e, ERR_USAGE,
                           "%s is there already: go on from it with --resume, train another with "
                           "--name NAME, or give it up with --replace",
                           path);
    }
    return true;
}

static bool open_model_dir(struct trainer *t, struct err *e)
{
    char models[PATH_BYTES];
    return check_name(t->params->name, e) && path_join(models, t->params->dir, "models", e) &&
           file_make_dir(models, e) && path_join(t->model_dir, models, t->params->name, e) &&
           file_make_dir(t->model_dir, e) && check_place(t, e);
}

static bool check_split(const struct trainer *t, struct err *e)
{
    const struct split_side *train = &t->split.train, *val = &t->split.validation;
    const char *unit = t->params->groups_path != NULL ? "works" : "tracks";
    if (train->n_clips + val->n_clips == 0)
        return err_set(e, ERR_PERM,
                       "none of %zu clips has an augmented view: set augment.positives to 1 or "
                       "more and extract into a new data set",
                       t->split.n_unpaired);
    if (train->n_tracks < t->params->batch)
        return err_set(e, ERR_PERM,
                       "%zu training tracks are fewer than a batch of %" PRIu64
                       ": lower train.batch or add tracks (%zu tracks validate)",
                       train->n_tracks, t->params->batch, val->n_tracks);
    if (train->n_groups < 2 || val->n_groups < 2)
        return err_set(e, ERR_PERM,
                       "%zu %s train and %zu validate: both sides need at least 2; raise "
                       "train.validation_share (now %g) or add tracks",
                       train->n_groups, unit, val->n_groups, t->params->validation_share);
    return true;
}

static bool open_data(struct trainer *t, struct err *e)
{
    const struct train_params *p = t->params;
    if (!store_open(p->dir, &t->store, e) || !store_snapshot_init(t->store, &t->snap, e))
        return false;
    if (t->snap.n_keys == 0)
        return err_set(e, ERR_PERM, "the store in %s is empty: run `refrain run` first", p->dir);
    if (p->groups_path != NULL && !groups_load(p->groups_path, t->model_dir, &t->groups, e))
        return false;
    struct split_params sp = {.work_dir = t->model_dir,
                              .seed = p->seed,
                              .validation_share = p->validation_share,
                              .groups = p->groups_path != NULL ? &t->groups : NULL};
    if (!split_init(t->store, &t->snap, &sp, &t->split, e) || !check_split(t, e))
        return false;
    t->sampler = (struct sampler){t->snap.keys, &t->split.train, p->seed, SAMPLE_TRAIN};
    struct sampler fixed = {t->snap.keys, &t->split.validation, p->seed, SAMPLE_VALIDATE};
    validation_init(&t->validation, &fixed);
    return true;
}

static void fill_recipe(struct trainer *t, uint32_t threads)
{
    const struct train_params *p = t->params;
    uint64_t n_clips = t->split.train.n_clips;
    t->recipe = (struct recipe){
        .model = {.n_frames = (int32_t)t->snap.n_frames,
                  .n_mels = (int32_t)t->snap.n_mels,
                  .dropout = p->dropout},
        .spec_hash = t->snap.spec_hash,
        .root = t->snap.root,
        .seed = p->seed,
        .batch = p->batch,
        .steps_per_epoch =
            p->steps_per_epoch != 0 ? p->steps_per_epoch : (n_clips + p->batch - 1) / p->batch,
        .threads = threads,
        .learning_rate = p->learning_rate,
        .weight_decay = p->weight_decay,
        .margin = p->margin,
        .validation_share = p->validation_share,
        .all_negatives = p->all_negatives,
        .jitter = p->jitter,
        .groups_hash = t->groups.content_hash,
        .n_train_clips = n_clips,
        .n_validation_clips = t->split.validation.n_clips,
    };
    snprintf(t->recipe.model.unfreeze, sizeof t->recipe.model.unfreeze, "%s",
             p->unfreeze != NULL ? p->unfreeze : "all");
    snprintf(t->recipe.model.name, sizeof t->recipe.model.name, "%s", p->model);
    if (p->groups_path != NULL)
        snprintf(t->recipe.groups_path, sizeof t->recipe.groups_path, "%s", p->groups_path);
}

static struct checkpoint checkpoint_of(struct trainer *t, bool whole)
{
    return (struct checkpoint){
        .recipe = &t->recipe,
        .position = whole ? &t->position : NULL,
        .history = whole ? &t->history : NULL,
        .adam = whole ? &t->adam : NULL,
        .params = net_params(t->net),
        .norm = &t->norm,
    };
}

static bool build_net(struct trainer *t, struct err *e)
{
    const struct train_params *p = t->params;
    uint32_t threads = p->threads != 0 ? p->threads : count_cores();
    const struct backend *backend = p->backend != NULL ? p->backend : &backend_dnn;
    size_t n_pictures = 3 * p->batch;
    fill_recipe(t, threads);
    t->net = net_new(backend, threads, p->seed);
    if (!model_build(t->net, &t->recipe.model, (int32_t)n_pictures, e))
        return false;
    adam_init(&t->adam, net_params(t->net)->n_trainable);
    embedder_init(&t->embedder, t->store, t->net, &t->norm, t->snap.n_frames, t->snap.n_mels,
                  n_pictures);
    t->rows = mem_alloc(n_pictures * EMBEDDING_DIM, sizeof *t->rows);
    t->grad = mem_alloc(n_pictures * EMBEDDING_DIM, sizeof *t->grad);
    t->row_groups = mem_alloc(n_pictures, sizeof *t->row_groups);
    return true;
}

static bool go_on(struct trainer *t, struct err *e)
{
    char path[PATH_BYTES];
    struct checkpoint_file f = {0};
    struct recipe saved = {0};
    bool ok = path_join(path, t->model_dir, "last.safetensors", e) &&
              checkpoint_open(path, &f, &saved, e) && recipe_same(&saved, &t->recipe, e);
    if (ok && saved.threads != t->recipe.threads)
        log_warn("resumed with another number of threads: results will differ in the last bits",
                 "then=%" PRIu64 " now=%" PRIu64, saved.threads, t->recipe.threads);
    memcpy(t->recipe.weights_path, saved.weights_path, sizeof saved.weights_path);
    t->recipe.weights_hash = saved.weights_hash;
    struct checkpoint into = checkpoint_of(t, true);
    ok = ok && checkpoint_read(&f, &into, e);
    checkpoint_close(&f);
    t->seconds_before = t->position.seconds;
    return ok;
}

/* ---------------------------------------------------------------- writing down */

static double seconds_so_far(const struct trainer *t)
{
    return t->seconds_before + (double)(clock_now_ns() - t->started_ns) / (double)NS_PER_S;
}

static bool save(struct trainer *t, const char *file, bool whole, struct err *e)
{
    char path[PATH_BYTES];
    t->position.seconds = seconds_so_far(t);
    struct checkpoint c = checkpoint_of(t, whole);
    return path_join(path, t->model_dir, file, e) && checkpoint_write(&c, path, e);
}

static bool save_curves(struct trainer *t, struct err *e)
{
    char csv[PATH_BYTES], svg[PATH_BYTES];
    return path_join(csv, t->model_dir, "metrics.csv", e) &&
           history_write_csv(&t->history, csv, e) &&
           path_join(svg, t->model_dir, "curves.svg", e) &&
           curves_write(&t->history, t->params->name, t->params->margin, svg, e);
}

static void watch_collapse(struct trainer *t, const struct triplet_stats *s)
{
    double margin = t->params->margin;
    t->collapsed = margin > 0.0 && fabs(s->loss - margin) < 0.05 * margin &&
                   s->mean_negative < COLLAPSE_DISTANCE;
    if (t->collapsed)
        log_warn("the embedding has collapsed: all clips lie on one point",
                 "epoch=%" PRIu64 " loss=%.4f margin=%g distance=%.4f", t->position.epoch, s->loss,
                 margin, s->mean_negative);
}

static double per_step(double sum, uint64_t n)
{
    return n == 0 ? (double)NAN : sum / (double)n;
}

/* Validates, writes one row and the files. The position already points behind the epoch. */
static bool end_epoch(struct trainer *t, uint64_t n_steps, struct err *e)
{
    struct position *at = &t->position;
    struct triplet_stats s;
    if (!validation_measure(&t->validation, &t->embedder, t->params->margin, &s, e))
        return err_wrap(e, "validation after epoch %" PRIu64, at->epoch);
    if (!isfinite(s.loss))
        return err_set(e, ERR_PERM, "the validation loss after epoch %" PRIu64 " is not finite",
                       at->epoch);
    double step_s = (double)t->epoch_step_ns / (double)NS_PER_S;
    double clips = (double)(t->epoch_steps * 3 * t->params->batch);
    struct history_row row = {
        .epoch = (double)at->epoch,
        .step = (double)t->adam.n_steps,
        .train_loss = per_step(at->loss_sum, n_steps),
        .val_loss = s.loss,
        .baseline_loss = t->baseline_loss,
        .active_share = per_step(at->active_sum, n_steps),
        .mean_positive = per_step(at->positive_sum, n_steps),
        .mean_negative = per_step(at->negative_sum, n_steps),
        .learning_rate = t->params->learning_rate,
        .clips_per_s = step_s > 0.0 ? clips / step_s : (double)NAN,
        .loader_wait =
            step_s > 0.0 ? (double)t->epoch_wait_ns / (double)t->epoch_step_ns : (double)NAN,
        .seconds = seconds_so_far(t),
    };
    history_add(&t->history, &row);
    at->loss_sum = at->active_sum = at->positive_sum = at->negative_sum = 0.0;
    t->epoch_wait_ns = t->epoch_step_ns = t->epoch_steps = 0;
    if (at->epoch > 0)
        watch_collapse(t, &s);
    if (at->epoch == 0) { /* a model that was here before stays until there is a better one */
        log_info("untrained", "val=%.4f baseline=%.4f", s.loss, t->baseline_loss);
        return true;
    }
    log_info("epoch",
             "epoch=%" PRIu64 " steps=%" PRIu64
             " train=%.4f val=%.4f baseline=%.4f active=%.2f clips_per_s=%.0f wait=%.1f%%",
             at->epoch, t->adam.n_steps, row.train_loss, s.loss, t->baseline_loss, row.active_share,
             row.clips_per_s, 100.0 * row.loader_wait);
    bool better = s.loss < at->best_loss;
    if (better) {
        at->best_loss = s.loss;
        at->best_epoch = at->epoch;
    }
    return (!better || save(t, "best.safetensors", false, e)) && save_curves(t, e) &&
           save(t, "last.safetensors", true, e);
}

/* ---------------------------------------------------------------- the loop */

static void keys_of_step(void *arg, uint64_t step, uint64_t *keys)
{
    const struct trainer *t = arg;
    uint64_t per_epoch = t->recipe.steps_per_epoch;
    sampler_step(&t->sampler, step / per_epoch, step % per_epoch, per_epoch, t->params->batch,
                 keys);
}

static bool train_step(struct trainer *t, const struct batch *b, struct err *e)
{
    const struct train_params *p = t->params;
    struct triplet_stats s;
    double mined_loss;
    if (!net_forward(t->net, b->pictures, NET_TRAIN, b->step, e))
        return false;
    net_output(t->net, t->rows);
    triplet_loss(t->rows, p->batch, EMBEDDING_DIM, p->margin, t->grad, &s);
    if (p->all_negatives) {
        uint64_t per_epoch = t->recipe.steps_per_epoch;
        sampler_step_groups(&t->sampler, b->step / per_epoch, b->step % per_epoch, per_epoch,
                            p->batch, t->row_groups);
        triplet_loss_all(t->rows, t->row_groups, p->batch, EMBEDDING_DIM, p->margin, t->grad,
                         &mined_loss);
    }
    if (!isfinite(s.loss))
        return err_set(e, ERR_PERM,
                       "the loss of step %" PRIu64
                       " is not a finite number: lower train.learning_rate (now %g)",
                       b->step, p->learning_rate);
    if (!net_backward(t->net, t->grad, e))
        return false;
    struct params *params = net_params(t->net);
    adam_step(&t->adam, params->value, params->grad, p->learning_rate, p->weight_decay);
    t->position.loss_sum += s.loss;
    t->position.active_sum += s.active_share;
    t->position.positive_sum += s.mean_positive;
    t->position.negative_sum += s.mean_negative;
    t->position.step++;
    return true;
}

static void show(struct trainer *t, uint64_t now_ns)
{
    double seconds = (double)t->step_ns / (double)NS_PER_S;
    char best[32] = "-";
    if (isfinite(t->position.best_loss))
        snprintf(best, sizeof best, "%.4f", t->position.best_loss);
    progress_update(&t->progress, now_ns, t->adam.n_steps,
                    "epoch %" PRIu64 " loss %.4f best %s %.0f clips/s wait %.1f%%",
                    t->position.epoch + 1, per_step(t->position.loss_sum, t->position.step), best,
                    seconds > 0.0 ? (double)(t->n_steps * 3 * t->params->batch) / seconds : 0.0,
                    t->step_ns > 0 ? 100.0 * (double)t->wait_ns / (double)t->step_ns : 0.0);
}

/* Takes one batch through the tape; times it. */
static bool run_step(struct trainer *t, struct err *e)
{
    uint64_t before = clock_now_ns();
    struct batch *b = loader_take(t->loader);
    uint64_t taken = clock_now_ns();
    assert(b != NULL);
    bool ok = b->err.kind == ERR_NONE;
    if (!ok)
        *e = b->err;
    ok = ok && train_step(t, b, e);
    loader_give_back(t->loader, b);
    uint64_t after = clock_now_ns();
    t->wait_ns += taken - before;
    t->epoch_wait_ns += taken - before;
    t->step_ns += after - before;
    t->epoch_step_ns += after - before;
    t->n_steps++;
    t->epoch_steps++;
    show(t, after);
    return ok;
}

static bool patience_is_out(const struct trainer *t)
{
    return t->params->patience != 0 &&
           t->position.epoch - t->position.best_epoch >= t->params->patience;
}

static bool wants_stop(const struct trainer *t)
{
    return t->params->stop != NULL && t->params->stop();
}

static bool loop(struct trainer *t, bool *out_stopped, struct err *e)
{
    uint64_t per_epoch = t->recipe.steps_per_epoch;
    struct position *at = &t->position;
    while (at->epoch < t->params->epochs && !patience_is_out(t)) {
        if (!run_step(t, e))
            return false;
        if (at->step == per_epoch) {
            at->epoch++;
            at->step = 0;
            if (!end_epoch(t, per_epoch, e))
                return false;
            t->checkpoint_ns = clock_now_ns();
        }
        *out_stopped = wants_stop(t) && at->epoch < t->params->epochs;
        bool due = clock_now_ns() - t->checkpoint_ns >= t->params->checkpoint_ns;
        if ((*out_stopped || due) && at->step != 0) {
            if (!save(t, "last.safetensors", true, e))
                return false;
            t->checkpoint_ns = clock_now_ns();
        }
        if (*out_stopped)
            return true;
    }
    return true;
}

static bool first_weights(struct trainer *t, struct err *e)
{
    const char *path = t->params->weights_path;
    struct weights_report r;
    model_init(net_params(t->net), t->params->seed);
    if (path == NULL && strcmp(t->recipe.model.unfreeze, "all") != 0)
        log_warn("frozen layers keep drawn weights: --weights FILE gives them better ones",
                 "unfreeze=%s", t->recipe.model.unfreeze);
    if (path == NULL)
        return true;
    if (!weights_load(path, net_params(t->net), &r, e))
        return false;
    snprintf(t->recipe.weights_path, sizeof t->recipe.weights_path, "%s", path);
    t->recipe.weights_hash = r.hash;
    log_info("weights", "file=\"%s\" loaded=%zu rgb_summed=%d drawn=\"%s\"", path, r.n_loaded,
             r.summed, r.kept.text);
    if (r.surplus.n > 0)
        log_warn("the weights file has tensors that the network has no place for",
                 "tensors=%zu names=\"%s\"", r.surplus.n, r.surplus.text);
    return true;
}

static bool begin(struct trainer *t, struct err *e)
{
    const struct train_params *p = t->params;
    struct triplet_stats baseline;
    if (!validation_baseline(&t->validation, t->store, BASELINE_MEL, t->snap.n_frames,
                             t->snap.n_mels, p->margin, &baseline, e))
        return err_wrap(e, "baseline");
    t->baseline_loss = baseline.loss;
    if (p->resume)
        return go_on(t, e);
    t->position = (struct position){.best_loss = (double)INFINITY};
    if (!first_weights(t, e) ||
        !norm_measure(t->store, &t->snap, &t->split.train, p->seed, &t->norm, e))
        return false;
    return end_epoch(t, 0, e); /* row 0: the untrained network */
}

static void start_loader(struct trainer *t)
{
    uint64_t per_epoch = t->recipe.steps_per_epoch;
    struct loader_params lp = {
        .store = t->store,
        .norm = &t->norm,
        .n_frames = t->snap.n_frames,
        .n_mels = t->snap.n_mels,
        .n_pictures = 3 * t->params->batch,
        .n_slots = SLOTS,
        .first_step = t->position.epoch * per_epoch + t->position.step,
        .end_step = t->params->epochs * per_epoch,
        .jitter = t->params->jitter,
        .seed = t->params->seed,
        .keys_fn = keys_of_step,
        .keys_arg = t,
    };
    t->loader = loader_new(&lp);
}

static void fill_result(struct trainer *t, bool stopped, struct train_result *out)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double seconds = (double)t->step_ns / (double)NS_PER_S;
    *out = (struct train_result){
        .epochs = t->position.epoch,
        .steps = t->adam.n_steps,
        .best_val_loss = t->position.best_loss,
        .best_epoch = t->position.best_epoch,
        .baseline_loss = t->baseline_loss,
        .n_train_tracks = t->split.train.n_tracks,
        .n_validation_tracks = t->split.validation.n_tracks,
        .n_train_groups = t->split.train.n_groups,
        .n_validation_groups = t->split.validation.n_groups,
        .n_triplets = t->adam.n_steps * t->params->batch,
        .n_val_triplets = t->validation.n_triplets,
        .clips_per_s = seconds > 0.0 ? (double)(t->n_steps * 3 * t->params->batch) / seconds : 0.0,
        .loader_wait = t->step_ns > 0 ? (double)t->wait_ns / (double)t->step_ns : 0.0,
        .seconds = seconds_so_far(t),
        .peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024,
        .threads = (uint32_t)t->recipe.threads,
        .stopped = stopped,
        .collapsed = t->collapsed,
    };
    snprintf(out->kernels, sizeof out->kernels, "%s", net_kernels(t->net));
    memcpy(out->model_dir, t->model_dir, sizeof out->model_dir);
}

static void trainer_release(struct trainer *t)
{
    loader_free(t->loader);
    validation_release(&t->validation);
    embedder_release(&t->embedder);
    adam_release(&t->adam);
    net_free(t->net);
    history_release(&t->history);
    split_release(&t->split);
    groups_release(&t->groups);
    store_snapshot_release(&t->snap);
    store_close(t->store);
    mem_free(t->rows);
    mem_free(t->grad);
    mem_free(t->row_groups);
}

bool train_run(const struct train_params *params, struct train_result *out, struct err *e)
{
    struct trainer *t = mem_zalloc(1, sizeof *t);
    bool ok = false, stopped = false;
    t->params = params;
    t->started_ns = t->checkpoint_ns = clock_now_ns();
    if (!open_model_dir(t, e) || !open_data(t, e) || !build_net(t, e) || !begin(t, e))
        goto out;
    log_info(
        "training",
        "tracks=%zu validate=%zu groups=%zu/%zu split=%s val_triplets=%zu steps_per_epoch=%" PRIu64
        " threads=%" PRIu64 " arena_mb=%zu kernels=\"%s\"",
        t->split.train.n_tracks, t->split.validation.n_tracks, t->split.train.n_groups,
        t->split.validation.n_groups, params->groups_path != NULL ? "work" : "track",
        t->validation.n_triplets, t->recipe.steps_per_epoch, t->recipe.threads,
        net_arena_bytes(t->net) >> 20, net_kernels(t->net));
    if (t->split.n_unpaired > 0)
        log_warn("clips without an augmented view are not used", "clips=%zu", t->split.n_unpaired);
    if (t->split.n_unnamed > 0)
        log_warn("tracks that the groups file does not name stand for themselves", "tracks=%zu",
                 t->split.n_unnamed);
    progress_init(&t->progress, "train", "steps", params->epochs * t->recipe.steps_per_epoch);
    start_loader(t);
    ok = loop(t, &stopped, e);
    progress_finish(&t->progress, clock_now_ns());
    if (ok)
        fill_result(t, stopped, out);
out:
    trainer_release(t);
    mem_free(t);
    return ok;
}
