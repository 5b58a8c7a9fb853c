/*
 * The loop, in one direction: keys are a function of the step, the loader reads them, the tape runs
 * forward, the loss gives the gradient, the tape runs backward, the optimizer steps. What must
 * survive a crash is in `struct position` and the checkpoint; everything else is derived again.
 */
#include "train/trainer_state.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>

enum { SLOTS = 2 };

static uint64_t batches_per_epoch(const struct trainer *t)
{
    return t->recipe.steps_per_epoch * t->recipe.accumulate;
}

static void keys_of_batch(void *arg, uint64_t i, uint64_t *keys)
{
    const struct trainer *t = arg;
    uint64_t per_epoch = batches_per_epoch(t);
    sampler_step(&t->sampler, i / per_epoch, i % per_epoch, per_epoch, t->params->batch, keys,
                 NULL);
}

/* The gradient of the loss that is trained, into t->grad; returns that loss, and in *out what is
 * reported, which only without mining is the same. */
static double batch_loss(struct trainer *t, uint64_t batch_i, struct triplet_stats *out)
{
    const struct train_params *p = t->params;
    uint64_t per_epoch = batches_per_epoch(t);
    struct batch_rows b = {t->rows, t->row_groups, p->batch, EMBEDDING_DIM};
    if (!t->sampler.in_batch) {
        triplet_loss(t->rows, p->batch, EMBEDDING_DIM, p->margin, t->grad, out);
        return out->loss;
    }
    sampler_step(&t->sampler, batch_i / per_epoch, batch_i % per_epoch, per_epoch, p->batch, NULL,
                 t->row_groups);
    triplet_stats_of_batch(&b, p->margin, p->seed, batch_i, out);
    return p->loss == LOSS_NTXENT ? ntxent_loss(&b, p->temperature, t->grad)
                                  : triplet_loss_mined(&b, p->mining, p->margin, t->grad);
}

/* Forward and backward; the gradients are in the net's parameters then. */
static bool run_batch(struct trainer *t, const struct batch *b, struct err *e)
{
    const struct train_params *p = t->params;
    struct triplet_stats s;
    if (!net_forward(t->net, b->pictures, NET_TRAIN, b->step, e))
        return false;
    net_output(t->net, t->rows);
    double trained = batch_loss(t, b->step, &s), n = (double)s.n_triplets;
    if (!isfinite(s.loss) || !isfinite(trained))
        return err_set(e, ERR_PERM,
                       "the loss of step %" PRIu64
                       " is not a finite number: lower train.learning_rate (now %g)",
                       b->step / t->recipe.accumulate, p->learning_rate);
    t->position.n_triplets += s.n_triplets;
    t->position.loss_sum += s.loss * n;
    t->position.active_sum += s.active_share * n;
    t->position.positive_sum += s.mean_positive * n;
    t->position.negative_sum += s.mean_negative * n;
    return net_backward(t->net, t->grad, e);
}

/* The mean gradient of the step's batches, in the net's parameters behind the last one. */
static void accumulate(struct trainer *t, uint64_t batch_i)
{
    struct params *params = net_params(t->net);
    uint64_t n = t->recipe.accumulate, k = batch_i % n;
    if (n == 1)
        return;
    float share = 1.0f / (float)n;
    for (size_t i = 0; i < params->n_trainable; i++) {
        float sum = (k == 0 ? 0.0f : t->grad_sum[i]) + params->grad[i] * share;
        t->grad_sum[i] = params->grad[i] = sum;
    }
}

static void update(struct trainer *t)
{
    const struct train_params *p = t->params;
    struct params *params = net_params(t->net);
    double rate = p->learning_rate * schedule_factor(&t->schedule, t->optim.n_steps);
    double norm = gradient_clip(params->grad, params->n_trainable, p->gradient_clip);
    optim_step(&t->optim, params->value, params->grad, rate, p->weight_decay);
    t->position.norm_sum += norm;
    t->position.step++;
}

static void show(struct trainer *t, uint64_t now_ns)
{
    double seconds = (double)t->step_ns / (double)NS_PER_S;
    char best[32] = "-";
    if (isfinite(t->position.best_loss))
        snprintf(best, sizeof best, "%.4f", t->position.best_loss);
    progress_update(
        &t->progress, now_ns, t->optim.n_steps,
        "epoch %" PRIu64 " loss %.4f best %s %.0f clips/s wait %.1f%%", t->position.epoch + 1,
        trainer_mean(t->position.loss_sum, t->position.n_triplets), best,
        seconds > 0.0 ? (double)(t->n_steps * trainer_clips_per_step(t)) / seconds : 0.0,
        t->step_ns > 0 ? 100.0 * (double)t->wait_ns / (double)t->step_ns : 0.0);
}

static bool take_batch(struct trainer *t, struct err *e)
{
    uint64_t before = clock_now_ns();
    struct batch *b = loader_take(t->loader);
    uint64_t taken = clock_now_ns();
    assert(b != NULL);
    bool ok = b->err.kind == ERR_NONE;
    if (!ok)
        *e = b->err;
    ok = ok && run_batch(t, b, e);
    if (ok)
        accumulate(t, b->step);
    loader_give_back(t->loader, b);
    t->wait_ns += taken - before;
    t->epoch_wait_ns += taken - before;
    return ok;
}

static bool run_step(struct trainer *t, struct err *e)
{
    uint64_t before = clock_now_ns();
    for (uint64_t k = 0; k < t->recipe.accumulate; k++)
        if (!take_batch(t, e))
            return false;
    update(t);
    uint64_t after = clock_now_ns();
    t->step_ns += after - before;
    t->epoch_step_ns += after - before;
    t->n_steps++;
    t->epoch_steps++;
    show(t, after);
    return true;
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
            if (!trainer_end_epoch(t, per_epoch, e))
                return false;
            t->checkpoint_ns = clock_now_ns();
        }
        *out_stopped = wants_stop(t) && at->epoch < t->params->epochs;
        bool due = clock_now_ns() - t->checkpoint_ns >= t->params->checkpoint_ns;
        if ((*out_stopped || due) && at->step != 0) {
            if (!trainer_save(t, "last.safetensors", true, e))
                return false;
            t->checkpoint_ns = clock_now_ns();
        }
        if (*out_stopped)
            return true;
    }
    return true;
}

static bool begin(struct trainer *t, bool *out_stopped, struct err *e)
{
    const struct train_params *p = t->params;
    struct triplet_stats baseline;
    struct baseline_space mel = {BASELINE_MEL, t->snap.n_frames, t->snap.n_mels, NULL};
    if (!validation_baseline(&t->validation, &mel, t->store, p->margin, &baseline, e))
        return err_wrap(e, "baseline");
    t->baseline_loss = baseline.loss;
    if (!(p->resume ? trainer_resume(t, e) : trainer_start_new(t, e)) ||
        !trainer_open_trunk(t, out_stopped, e))
        return false;
    return p->resume || *out_stopped || trainer_end_epoch(t, 0, e);
}

static void start_loader(struct trainer *t)
{
    uint64_t per_epoch = batches_per_epoch(t);
    struct loader_params lp = {
        .store = t->store,
        .norm = &t->norm,
        .n_frames = t->snap.n_frames,
        .n_mels = t->snap.n_mels,
        .n_pictures = sampler_rows(&t->sampler, t->params->batch),
        .n_slots = SLOTS,
        .first_step = t->position.epoch * per_epoch + t->position.step * t->recipe.accumulate,
        .end_step = t->params->epochs * per_epoch,
        .trunk = t->trunk,
        .jitter = t->params->jitter,
        .seed = t->params->seed,
        .keys_fn = keys_of_batch,
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
        .steps = t->optim.n_steps,
        .best_val_loss = t->position.best_loss,
        .best_epoch = t->position.best_epoch,
        .baseline_loss = t->baseline_loss,
        .n_train_tracks = t->split.train.n_tracks,
        .n_validation_tracks = t->split.validation.n_tracks,
        .n_train_groups = t->split.train.n_groups,
        .n_validation_groups = t->split.validation.n_groups,
        .n_triplets = t->optim.n_steps * t->params->batch * t->recipe.accumulate,
        .n_val_triplets = t->validation.n_triplets,
        .clips_per_s =
            seconds > 0.0 ? (double)(t->n_steps * trainer_clips_per_step(t)) / seconds : 0.0,
        .loader_wait = t->step_ns > 0 ? (double)t->wait_ns / (double)t->step_ns : 0.0,
        .seconds = trainer_seconds(t),
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
    optim_release(&t->optim);
    trunk_close(t->trunk);
    if (t->whole != t->net)
        net_free(t->whole);
    net_free(t->net);
    history_release(&t->history);
    split_release(&t->split);
    groups_release(&t->groups);
    store_snapshot_release(&t->snap);
    store_close(t->store);
    mem_free(t->rows);
    mem_free(t->grad);
    mem_free(t->row_groups);
    mem_free(t->grad_sum);
}

bool train_run(const struct train_params *params, struct train_result *out, struct err *e)
{
    struct trainer *t = mem_zalloc(1, sizeof *t);
    bool ok = false, stopped = false;
    t->params = params;
    t->started_ns = t->checkpoint_ns = clock_now_ns();
    if (!trainer_open_model_dir(t, e) || !trainer_open_data(t, e) || !trainer_build_net(t, e) ||
        !begin(t, &stopped, e))
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
    ok = stopped || loop(t, &stopped, e);
    progress_finish(&t->progress, clock_now_ns());
    if (ok)
        fill_result(t, stopped, out);
out:
    trainer_release(t);
    mem_free(t);
    return ok;
}
