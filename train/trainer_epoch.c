/*
 * What an epoch leaves behind: a validation, a row of figures, and the files in the model's folder.
 */
#include "train/trainer_state.h"

#include "base/clock.h"
#include "base/log.h"
#include "train/curves.h"
#include "train/events.h"

#include <inttypes.h>
#include <math.h>

/* Loss within 5 % of the margin while vectors are on average closer than this: collapsed. */
#define COLLAPSE_DISTANCE 0.05

struct checkpoint trainer_checkpoint(struct trainer *t, bool whole)
{
    return (struct checkpoint){
        .recipe = &t->recipe,
        .position = whole ? &t->position : NULL,
        .history = whole ? &t->history : NULL,
        .optim = whole ? &t->optim : NULL,
        .params = net_params(t->whole),
        .norm = &t->norm,
    };
}

double trainer_seconds(const struct trainer *t)
{
    return t->seconds_before + (double)(clock_now_ns() - t->started_ns) / (double)NS_PER_S;
}

bool trainer_save(struct trainer *t, const char *file, bool whole, struct err *e)
{
    char path[PATH_BYTES];
    t->position.seconds = trainer_seconds(t);
    if (t->whole != t->net)
        params_copy(net_params(t->whole), net_params(t->net));
    struct checkpoint c = trainer_checkpoint(t, whole);
    return path_join(path, t->model_dir, file, e) && checkpoint_write(&c, path, e);
}

/* The same rows for people, spreadsheets, programs and TensorBoard. */
static bool save_curves(struct trainer *t, struct err *e)
{
    char csv[PATH_BYTES], jsonl[PATH_BYTES], events[PATH_BYTES], svg[PATH_BYTES];
    return path_join(csv, t->model_dir, "metrics.csv", e) &&
           history_write_csv(&t->history, csv, e) &&
           path_join(jsonl, t->model_dir, "metrics.jsonl", e) &&
           history_write_jsonl(&t->history, jsonl, e) &&
           path_join(events, t->model_dir, "events.out.tfevents.0.refrain", e) &&
           history_write_events(&t->history, (double)clock_wall_s(), events, e) &&
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

double trainer_mean(double sum, uint64_t n)
{
    return n == 0 ? (double)NAN : sum / (double)n;
}

uint64_t trainer_clips_per_step(const struct trainer *t)
{
    return sampler_rows(&t->sampler, t->params->batch) * t->recipe.accumulate;
}

bool trainer_end_epoch(struct trainer *t, uint64_t n_steps, struct err *e)
{
    struct position *at = &t->position;
    struct triplet_stats s;
    if (!validation_measure(&t->validation, &t->embedder, t->params->margin, &s, e))
        return err_wrap(e, "validation after epoch %" PRIu64, at->epoch);
    if (!isfinite(s.loss))
        return err_set(e, ERR_PERM, "the validation loss after epoch %" PRIu64 " is not finite",
                       at->epoch);
    double step_s = (double)t->epoch_step_ns / (double)NS_PER_S;
    double clips = (double)(t->epoch_steps * trainer_clips_per_step(t));
    struct history_row row = {
        .epoch = (double)at->epoch,
        .step = (double)t->optim.n_steps,
        .train_loss = trainer_mean(at->loss_sum, at->n_triplets),
        .val_loss = s.loss,
        .baseline_loss = t->baseline_loss,
        .active_share = trainer_mean(at->active_sum, at->n_triplets),
        .mean_positive = trainer_mean(at->positive_sum, at->n_triplets),
        .mean_negative = trainer_mean(at->negative_sum, at->n_triplets),
        .gradient_norm = trainer_mean(at->norm_sum, n_steps),
        .learning_rate = t->params->learning_rate *
                         schedule_factor(&t->schedule, t->optim.n_steps - (n_steps > 0)),
        .clips_per_s = step_s > 0.0 ? clips / step_s : (double)NAN,
        .loader_wait =
            step_s > 0.0 ? (double)t->epoch_wait_ns / (double)t->epoch_step_ns : (double)NAN,
        .seconds = trainer_seconds(t),
    };
    history_add(&t->history, &row);
    at->loss_sum = at->active_sum = at->positive_sum = at->negative_sum = 0.0;
    at->norm_sum = 0.0;
    at->n_triplets = 0;
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
             at->epoch, t->optim.n_steps, row.train_loss, s.loss, t->baseline_loss,
             row.active_share, row.clips_per_s, 100.0 * row.loader_wait);
    bool better = s.loss < at->best_loss;
    if (better) {
        at->best_loss = s.loss;
        at->best_epoch = at->epoch;
    }
    return (!better || trainer_save(t, "best.safetensors", false, e)) && save_curves(t, e) &&
           trainer_save(t, "last.safetensors", true, e);
}
