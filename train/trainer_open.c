/*
 * What comes before the first step of a run: the model's folder, the store, the split, the network,
 * and its first state: drawn, loaded or resumed.
 */
#include "train/trainer_state.h"

#include "base/log.h"
#include "base/mem.h"
#include "store/pin.h"
#include "train/weights.h"

#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <string.h>

enum { TRUNK_PICTURES = 8 }; /* of the whole network where it only fills the cache */

static uint32_t count_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

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

bool trainer_open_model_dir(struct trainer *t, struct err *e)
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
    if (t->sampler.in_batch && t->params->batch < 2)
        return err_set(e, ERR_USAGE,
                       "a batch of %" PRIu64
                       " has no negatives in it: raise train.batch to 2 or more, or set "
                       "train.negatives to drawn",
                       t->params->batch);
    if (train->n_groups < 2 || val->n_groups < 2)
        return err_set(e, ERR_PERM,
                       "%zu %s train and %zu validate: both sides need at least 2; raise "
                       "train.validation_share (now %g) or add tracks",
                       train->n_groups, unit, val->n_groups, t->params->validation_share);
    return true;
}

bool trainer_open_data(struct trainer *t, struct err *e)
{
    const struct train_params *p = t->params;
    if (!store_open(p->dir, &t->store, e))
        return false;
    store_stay_small(t->store);
    if (!store_snapshot_init(t->store, &t->snap, e))
        return false;
    if (t->snap.n_keys == 0)
        return err_set(e, ERR_PERM, "the store in %s is empty: run `refrain run` first", p->dir);
    struct store_pin_report pinned;
    if (p->pin_bytes > 0 && !store_pin(t->store, &t->snap, p->pin_bytes, &pinned, e))
        return false;
    if (p->groups_path != NULL && !groups_load(p->groups_path, t->model_dir, &t->groups, e))
        return false;
    struct split_params sp = {.work_dir = t->model_dir,
                              .seed = p->seed,
                              .validation_share = p->validation_share,
                              .groups = p->groups_path != NULL ? &t->groups : NULL};
    double versions = p->groups_path != NULL ? p->version_share : 0;
    bool in_batch = p->loss != LOSS_TRIPLET || p->mining != MINE_DRAWN;
    if (!split_init(t->store, &t->snap, &sp, &t->split, e))
        return false;
    t->sampler =
        (struct sampler){t->snap.keys, &t->split.train, p->seed, SAMPLE_TRAIN, versions, in_batch};
    if (!check_split(t, e))
        return false;
    struct sampler fixed = {t->snap.keys, &t->split.validation, p->seed, SAMPLE_VALIDATE, versions,
                            false};
    validation_init(&t->validation, &fixed);
    return true;
}

/* The words of the configuration: what a refusal to resume shows. */
static void fill_choices(struct trainer *t)
{
    static const char *const losses[] = {"triplet", "ntxent"};
    static const char *const negatives[] = {"drawn", "batch", "semi_hard", "hardest"};
    static const char *const optimizers[] = {"adam", "adamw", "sgd"};
    static const char *const schedules[] = {"constant", "linear", "cosine"};
    const struct train_params *p = t->params;
    struct recipe *r = &t->recipe;
    snprintf(r->loss, sizeof r->loss, "%s", losses[p->loss]);
    /* earlier versions drew negatives for these losses as well, and called them by the bare word */
    snprintf(r->negatives, sizeof r->negatives, "%s%s", negatives[p->mining],
             t->sampler.in_batch ? "@batch" : "");
    snprintf(r->optimizer, sizeof r->optimizer, "%s", optimizers[p->optimizer]);
    snprintf(r->schedule, sizeof r->schedule, "%s", schedules[p->schedule]);
    t->schedule = (struct schedule){p->schedule, p->warmup_steps, p->epochs * r->steps_per_epoch};
    r->schedule_steps = p->schedule == SCHEDULE_CONSTANT ? 0 : t->schedule.n_steps;
}

static void fill_recipe(struct trainer *t, uint32_t threads)
{
    const struct train_params *p = t->params;
    uint64_t n_clips = t->split.train.n_clips, accumulate = p->accumulate > 0 ? p->accumulate : 1;
    uint64_t per_step = p->batch * accumulate;
    t->recipe = (struct recipe){
        .model = {.n_frames = (int32_t)t->snap.n_frames,
                  .n_mels = (int32_t)t->snap.n_mels,
                  .dropout = p->dropout},
        .spec_hash = t->snap.spec_hash,
        .root = t->snap.root,
        .seed = p->seed,
        .batch = p->batch,
        .steps_per_epoch =
            p->steps_per_epoch != 0 ? p->steps_per_epoch : (n_clips + per_step - 1) / per_step,
        .threads = threads,
        .learning_rate = p->learning_rate,
        .weight_decay = p->weight_decay,
        .margin = p->margin,
        .validation_share = p->validation_share,
        .version_share = p->groups_path != NULL ? p->version_share : 0,
        .temperature = p->temperature,
        .gradient_clip = p->gradient_clip,
        .accumulate = accumulate,
        .warmup_steps = p->warmup_steps,
        .jitter = p->jitter,
        .groups_hash = t->groups.content_hash,
        .n_train_clips = n_clips,
        .n_validation_clips = t->split.validation.n_clips,
    };
    fill_choices(t);
    snprintf(t->recipe.model.unfreeze, sizeof t->recipe.model.unfreeze, "%s",
             p->unfreeze != NULL ? p->unfreeze : "all");
    snprintf(t->recipe.model.name, sizeof t->recipe.model.name, "%s", p->model);
    if (p->groups_path != NULL)
        snprintf(t->recipe.groups_path, sizeof t->recipe.groups_path, "%s", p->groups_path);
}

/* What a run to go on from began with: another processor may have another fastest one. */
static bool saved_precision(const struct trainer *t, char *out, size_t size, struct err *e)
{
    char path[PATH_BYTES];
    struct checkpoint_file f = {0};
    struct recipe saved;
    if (!path_join(path, t->model_dir, "last.safetensors", e) ||
        !checkpoint_open(path, &f, &saved, e))
        return false;
    snprintf(out, size, "%s", saved.precision);
    checkpoint_close(&f);
    return true;
}

static bool choose_precision(struct trainer *t, struct err *e)
{
    static const char *const names[] = {"auto", "f32", "bf16", "f32-winograd"};
    const struct train_params *p = t->params;
    char *out = t->recipe.precision;
    size_t size = sizeof t->recipe.precision;
    if (p->precision == PRECISION_AUTO && p->resume)
        return saved_precision(t, out, size, e);
    snprintf(out, size, "%s",
             p->precision == PRECISION_AUTO ? backend_fastest_precision(p->model)
                                            : names[p->precision]);
    return true;
}

/* ERR_USAGE when a checkpoint names a precision that this version does not know. */
static const struct backend *choose_backend(const struct trainer *t, struct err *e)
{
    const struct backend *backend = t->params->backend;
    if (backend == NULL)
        backend = backend_of_precision(t->recipe.precision);
    if (backend == NULL)
        err_set(e, ERR_USAGE, "there is no precision \"%s\"", t->recipe.precision);
    return backend;
}

/* The whole network at the step's size, or in small batches beside the trained part alone. */
static bool build_nets(struct trainer *t, uint32_t threads, struct err *e)
{
    const struct train_params *p = t->params;
    const struct backend *backend = choose_backend(t, e);
    const struct model_spec *spec = &t->recipe.model;
    int32_t n_pictures = (int32_t)sampler_rows(&t->sampler, p->batch);
    if (backend == NULL)
        return false;
    if (trainer_wants_trunk(t)) {
        t->whole = net_new(backend, threads, p->seed);
        if (!model_build(t->whole, spec, TRUNK_PICTURES, e))
            return false;
        struct shape cut = net_shape(t->whole, net_cut(t->whole));
        cut.n = n_pictures;
        if (trainer_trunk_fits(t, cut)) {
            t->recipe.cached = 1;
            t->net = net_new(backend, threads, p->seed);
            return model_build_head(t->net, spec, cut, e);
        }
        net_free(t->whole);
        t->whole = NULL;
    }
    t->net = t->whole = net_new(backend, threads, p->seed);
    return model_build(t->net, spec, n_pictures, e);
}

bool trainer_build_net(struct trainer *t, struct err *e)
{
    const struct train_params *p = t->params;
    uint32_t threads = p->threads != 0 ? p->threads : count_cores();
    size_t n_pictures = sampler_rows(&t->sampler, p->batch);
    fill_recipe(t, threads);
    if (!choose_precision(t, e) || !build_nets(t, threads, e))
        return false;
    size_t n_trainable = net_params(t->net)->n_trainable;
    assert(n_trainable == net_params(t->whole)->n_trainable);
    optim_init(&t->optim, p->optimizer, n_trainable);
    if (p->accumulate > 1)
        t->grad_sum = mem_alloc_aligned(size_max(n_trainable, 1), sizeof *t->grad_sum);
    embedder_init(&t->embedder, t->store, t->net, &t->norm, t->snap.n_frames, t->snap.n_mels,
                  n_pictures);
    t->rows = mem_alloc(n_pictures * EMBEDDING_DIM, sizeof *t->rows);
    t->grad = mem_alloc(n_pictures * EMBEDDING_DIM, sizeof *t->grad);
    t->row_groups = mem_alloc(n_pictures, sizeof *t->row_groups);
    return true;
}

bool trainer_resume(struct trainer *t, struct err *e)
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
    struct checkpoint into = trainer_checkpoint(t, true);
    ok = ok && checkpoint_read(&f, &into, e);
    checkpoint_close(&f);
    t->seconds_before = t->position.seconds;
    return ok;
}

static bool first_weights(struct trainer *t, struct err *e)
{
    const char *path = t->params->weights_path;
    struct weights_report r;
    model_init(net_params(t->whole), t->params->seed);
    if (path == NULL && strcmp(t->recipe.model.unfreeze, "all") != 0)
        log_warn("frozen layers keep drawn weights: --weights FILE gives them better ones",
                 "unfreeze=%s", t->recipe.model.unfreeze);
    if (path == NULL)
        return true;
    if (!weights_load(path, net_params(t->whole), &r, e))
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

bool trainer_start_new(struct trainer *t, struct err *e)
{
    t->position = (struct position){.best_loss = (double)INFINITY};
    return first_weights(t, e) &&
           norm_measure(t->store, &t->snap, &t->split.train, t->params->seed, &t->norm, e);
}
