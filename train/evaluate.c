#include "train/evaluate.h"

#include "base/mem.h"
#include "base/permute.h"
#include "base/rng.h"
#include "train/checkpoint.h"
#include "train/embed.h"
#include "train/validation.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NET_PICTURES = 48, RNG_COPY = 0x636f7079 /* "copy" */ };

struct evaluation {
    const struct evaluate_params *params;
    struct recipe recipe;
    struct store *store;
    struct store_snapshot snap;
    struct groups groups;
    struct split split;
    struct norm norm;
    struct net *net;
    struct embedder embedder;
    struct validation validation;
    size_t n;
    uint64_t *originals, *copies; /* keys, n each */
    uint64_t *works, *tracks;     /* of the clips, n each */
    float *matrix;                /* (n, n) */
    double *values;               /* one a query */
    struct ranking *rankings;
};

/* ---------------------------------------------------------------- what was held out */

static bool load_groups(struct evaluation *v, struct err *e)
{
    const char *given = v->params->groups_path;
    const char *path = given != NULL ? given : v->recipe.groups_path;
    if (path[0] == '\0')
        return true;
    if (!groups_load(path, v->params->dir, &v->groups, e))
        return false;
    if (v->recipe.groups_path[0] != '\0' && v->groups.content_hash != v->recipe.groups_hash)
        return err_set(e, ERR_USAGE,
                       "%s is not the groups file that %s was trained with (%s, as it was then): "
                       "which works were held out cannot be known",
                       path, v->params->name, v->recipe.groups_path);
    return true;
}

static bool open_data(struct evaluation *v, struct err *e)
{
    const struct recipe *r = &v->recipe;
    if (!store_open(v->params->dir, &v->store, e))
        return false;
    store_stay_small(v->store);
    if (!store_snapshot_init(v->store, &v->snap, e))
        return false;
    if (v->snap.spec_hash != r->spec_hash)
        return err_set(e, ERR_USAGE,
                       "the model was trained on features of spec %016" PRIx64
                       " and the store has %016" PRIx64 ": its numbers would mean nothing",
                       r->spec_hash, v->snap.spec_hash);
    if ((int32_t)v->snap.n_frames != r->model.n_frames ||
        (int32_t)v->snap.n_mels != r->model.n_mels)
        return err_set(e, ERR_USAGE,
                       "the model takes pictures of %d x %d and the store has %u x %u",
                       r->model.n_frames, r->model.n_mels, v->snap.n_frames, v->snap.n_mels);
    if (!load_groups(v, e))
        return false;
    bool by_group = r->groups_path[0] != '\0' || v->params->model_path != NULL;
    struct split_params sp = {.work_dir = v->params->dir,
                              .seed = r->seed,
                              .validation_share = r->validation_share,
                              .groups = by_group ? &v->groups : NULL};
    if (!split_init(v->store, &v->snap, &sp, &v->split, e))
        return false;
    if (v->split.validation.n_groups < 2)
        return err_set(e, ERR_PERM, "%zu held-out tracks: nothing can be measured on them",
                       v->split.validation.n_tracks);
    return true;
}

/* How a model of another data set was split says nothing about this one, all of which is new to it.
 */
static bool open_model(struct evaluation *v, struct checkpoint_file *f, struct err *e)
{
    const struct evaluate_params *p = v->params;
    char models[PATH_BYTES], model[PATH_BYTES], path[PATH_BYTES];
    if (p->model_path != NULL) {
        if (!checkpoint_open(p->model_path, f, &v->recipe, e))
            return false;
        v->recipe.groups_path[0] = '\0';
        v->recipe.validation_share = 1.0;
        return true;
    }
    return path_join(models, p->dir, "models", e) && path_join(model, models, p->name, e) &&
           path_join(path, model, "best.safetensors", e) && checkpoint_open(path, f, &v->recipe, e);
}

static bool build_net(struct evaluation *v, const struct checkpoint_file *f, struct err *e)
{
    if (!checkpoint_build(f, &v->recipe, v->params->threads, NET_PICTURES, &v->norm, &v->net, e))
        return false;
    embedder_init(&v->embedder, v->store, v->net, &v->norm, v->snap.n_frames, v->snap.n_mels,
                  NET_PICTURES);
    return true;
}

/* The clips to measure on: all held-out ones, or as many as fit, in the order of a permutation. */
static bool choose_clips(struct evaluation *v, struct err *e)
{
    const struct split_side *side = &v->split.validation;
    v->n = size_min(side->n_clips, EVALUATE_CLIPS_MAX);
    v->originals = mem_alloc(v->n, sizeof *v->originals);
    v->copies = mem_alloc(v->n, sizeof *v->copies);
    v->works = mem_alloc(v->n, sizeof *v->works);
    v->tracks = mem_alloc(v->n, sizeof *v->tracks);
    for (size_t i = 0; i < v->n; i++) {
        const struct clip_entry *clip =
            &side->clips[permute_at(v->recipe.seed, UINT64_MAX, side->n_clips, i)];
        struct store_track_info info;
        struct rng r;
        bool known;
        v->originals[i] = v->snap.keys[clip->first];
        rng_init(&r, v->recipe.seed, RNG_COPY, v->originals[i]);
        v->copies[i] = v->snap.keys[clip->first + 1 + rng_below(&r, clip->n_views - 1)];
        if (!store_get_track(v->store, store_key_row(v->originals[i]), &info, e))
            return false;
        v->works[i] = groups_of(&v->groups, info.track_id, &known);
        v->tracks[i] = store_key_row(v->originals[i]);
    }
    v->matrix = mem_alloc(v->n * v->n, sizeof *v->matrix);
    v->values = mem_alloc(v->n, sizeof *v->values);
    v->rankings = mem_alloc(v->n, sizeof *v->rankings);
    return true;
}

/* Held-out tracks whose work also has a track in training: possible when the split was by track. */
static bool count_leaks(struct evaluation *v, size_t *out, struct err *e)
{
    *out = 0;
    if (v->groups.n_slots == 0 || v->recipe.groups_path[0] != '\0')
        return true;
    const struct split_side *train = &v->split.train;
    bool *leaked = mem_zalloc(v->n, sizeof *leaked);
    bool ok = true, known;
    for (size_t i = 0; ok && i < train->n_clips; i++) {
        struct store_track_info info;
        if (i > 0 && train->clips[i].track_i == train->clips[i - 1].track_i)
            continue;
        uint64_t row = store_key_row(v->snap.keys[train->clips[i].first]);
        ok = store_get_track(v->store, row, &info, e);
        uint64_t work = ok ? groups_of(&v->groups, info.track_id, &known) : 0;
        for (size_t k = 0; ok && k < v->n; k++)
            leaked[k] = leaked[k] || v->works[k] == work;
    }
    for (size_t k = 0; k < v->n; k++)
        *out += leaked[k];
    mem_free(leaked);
    return ok;
}

/* ---------------------------------------------------------------- distances */

/* matrix[i][k] = distance of row i of x and row k of y. */
static void fill_matrix(struct evaluation *v, const float *x, const float *y, size_t dim)
{
    for (size_t i = 0; i < v->n; i++)
        for (size_t k = 0; k < v->n; k++)
            v->matrix[i * v->n + k] = (float)vector_distance(x + i * dim, y + k * dim, dim);
}

/* The same for baselines, whose vectors may be whole pictures: two tiles in memory at a time. */
static bool fill_matrix_tiled(struct evaluation *v, const struct baseline_space *s,
                              const uint64_t *queries, struct err *e)
{
    size_t dim = baseline_dim(s), tile = size_min(baseline_tile(s), v->n);
    float *x = mem_alloc(tile * dim, sizeof *x), *y = mem_alloc(tile * dim, sizeof *y);
    bool ok = true;
    for (size_t i = 0; ok && i < v->n; i += tile) {
        size_t rows = size_min(tile, v->n - i);
        ok = baseline_keys(s, v->store, queries + i, rows, x, e);
        for (size_t k = 0; ok && k < v->n; k += tile) {
            size_t columns = size_min(tile, v->n - k);
            ok = baseline_keys(s, v->store, v->originals + k, columns, y, e);
            for (size_t r = 0; ok && r < rows; r++)
                for (size_t c = 0; c < columns; c++)
                    v->matrix[(i + r) * v->n + k + c] =
                        (float)baseline_distance(s, x + r * dim, y + c * dim);
        }
    }
    mem_free(x);
    mem_free(y);
    return ok;
}

/* ---------------------------------------------------------------- figures */

/* From the distances of the triplets last measured. */
static struct figure loss_figure(struct evaluation *v, struct distances *out_distances)
{
    const struct validation *val = &v->validation;
    double *losses = mem_alloc(val->n_triplets, sizeof *losses);
    for (size_t i = 0; i < val->n_triplets; i++)
        losses[i] = fmax(0.0, val->positive[i] - val->negative[i] + v->recipe.margin);
    struct figure f = figure_mean(losses, val->groups, val->n_triplets, v->recipe.seed);
    distances_count(val->positive, val->negative, val->n_triplets, out_distances);
    mem_free(losses);
    return f;
}

/* Rows are copies, columns originals: is the own original the only nearest one? */
static struct figure copies_figure(struct evaluation *v)
{
    for (size_t i = 0; i < v->n; i++) {
        const float *row = v->matrix + i * v->n;
        bool first = true;
        for (size_t k = 0; k < v->n; k++)
            first = first && (k == i || row[k] > row[i]);
        v->values[i] = first ? 1.0 : 0.0;
    }
    return figure_mean(v->values, v->works, v->n, v->recipe.seed);
}

static struct figure ranking_figure(struct evaluation *v, size_t offset)
{
    for (size_t i = 0; i < v->n; i++)
        memcpy(&v->values[i], (const uint8_t *)&v->rankings[i] + offset, sizeof(double));
    return figure_mean(v->values, v->works, v->n, v->recipe.seed);
}

static void versions_figures(struct evaluation *v, struct scores *s)
{
    for (size_t i = 0; i < v->n; i++)
        ranking_of(v->matrix + i * v->n, v->works, v->n, i, v->recipe.seed, &v->rankings[i]);
    s->two_choice = ranking_figure(v, offsetof(struct ranking, two_choice));
    s->auc = ranking_figure(v, offsetof(struct ranking, auc));
    s->map = ranking_figure(v, offsetof(struct ranking, average_precision));
    s->mr1 = ranking_figure(v, offsetof(struct ranking, first_rank));
    s->p1 = ranking_figure(v, offsetof(struct ranking, precision_1));
    s->p10 = ranking_figure(v, offsetof(struct ranking, precision_10));
}

static bool score_model(struct evaluation *v, struct scores *s, struct err *e)
{
    struct triplet_stats stats;
    float *x = mem_alloc(v->n * EMBEDDING_DIM, sizeof *x);
    float *y = mem_alloc(v->n * EMBEDDING_DIM, sizeof *y);
    bool ok = validation_measure(&v->validation, &v->embedder, v->recipe.margin, &stats, e) &&
              embed_keys(&v->embedder, v->originals, v->n, y, e) &&
              embed_keys(&v->embedder, v->copies, v->n, x, e);
    if (ok) {
        s->loss = loss_figure(v, &s->distances);
        fill_matrix(v, x, y, EMBEDDING_DIM);
        s->copies_r1 = copies_figure(v);
        fill_matrix(v, y, y, EMBEDDING_DIM);
        versions_figures(v, s);
    }
    mem_free(x);
    mem_free(y);
    return ok;
}

static const struct scores nothing_measured = {
    .loss = {NAN, NAN, NAN},
    .copies_r1 = {NAN, NAN, NAN},
    .two_choice = {NAN, NAN, NAN},
    .auc = {NAN, NAN, NAN},
    .map = {NAN, NAN, NAN},
    .mr1 = {NAN, NAN, NAN},
    .p1 = {NAN, NAN, NAN},
    .p10 = {NAN, NAN, NAN},
};

static bool score_baseline(struct evaluation *v, enum baseline kind, struct scores *s,
                           struct err *e)
{
    const struct chroma_bands *bands = v->params->bands;
    struct chroma_fold fold;
    struct baseline_space b = {kind, v->snap.n_frames, v->snap.n_mels, &fold};
    struct triplet_stats stats;
    *s = nothing_measured;
    if (kind == BASELINE_CHROMA && (bands == NULL || bands->spec_hash != v->snap.spec_hash ||
                                    bands->n != v->snap.n_mels || !chroma_fold_init(&fold, bands)))
        return true;
    if (!validation_baseline(&v->validation, &b, v->store, v->recipe.margin, &stats, e))
        return false;
    s->loss = loss_figure(v, &s->distances);
    if (!fill_matrix_tiled(v, &b, v->copies, e))
        return false;
    s->copies_r1 = copies_figure(v);
    if (!fill_matrix_tiled(v, &b, v->originals, e))
        return false;
    versions_figures(v, s);
    return true;
}

/* The network as it was before it learnt anything; the model's weights are gone then. */
static bool score_untrained(struct evaluation *v, struct scores *s, struct err *e)
{
    model_init(net_params(v->net), v->recipe.seed);
    return score_model(v, s, e);
}

/* Ties are no answer and are left out. */
static double two_choice_p(const struct evaluation *v)
{
    uint64_t n = 0, n_right = 0;
    for (size_t i = 0; i < v->n; i++) {
        double choice = v->rankings[i].two_choice;
        n += choice == 0.0 || choice == 1.0;
        n_right += choice == 1.0;
    }
    return n == 0 ? (double)NAN : binomial_p(n_right, n);
}

static void count_all(const struct evaluation *v, struct evaluate_result *out)
{
    out->n_clips = v->n;
    out->n_triplets = v->validation.n_triplets;
    out->margin = v->recipe.margin;
    out->has_groups = v->groups.n_slots > 0;
    for (size_t i = 0; i < v->n; i++) {
        bool new_track = true, new_work = true, has_version = false;
        for (size_t k = 0; k < v->n; k++) {
            new_track = new_track && !(k < i && v->tracks[k] == v->tracks[i]);
            new_work = new_work && !(k < i && v->works[k] == v->works[i]);
            has_version = has_version || (k != i && v->works[k] == v->works[i]);
        }
        out->n_tracks += new_track;
        out->n_works += new_work;
        out->n_queries += has_version;
    }
}

static void evaluation_release(struct evaluation *v)
{
    validation_release(&v->validation);
    embedder_release(&v->embedder);
    net_free(v->net);
    split_release(&v->split);
    groups_release(&v->groups);
    store_snapshot_release(&v->snap);
    store_close(v->store);
    mem_free(v->originals);
    mem_free(v->copies);
    mem_free(v->works);
    mem_free(v->tracks);
    mem_free(v->matrix);
    mem_free(v->values);
    mem_free(v->rankings);
}

bool evaluate_run(const struct evaluate_params *params, struct evaluate_result *out, struct err *e)
{
    struct evaluation *v = mem_zalloc(1, sizeof *v);
    struct checkpoint_file f = {0};
    struct evaluate_result result = {0};
    bool ok = false;
    v->params = params;
    if (!open_model(v, &f, e) || !open_data(v, e) || !build_net(v, &f, e) || !choose_clips(v, e) ||
        !count_leaks(v, &result.n_leaked, e))
        goto out;
    struct sampler fixed = {v->snap.keys,    &v->split.validation,    v->recipe.seed,
                            SAMPLE_VALIDATE, v->recipe.version_share, false};
    validation_init(&v->validation, &fixed);
    count_all(v, &result);
    if (!score_model(v, &result.model, e))
        goto out;
    result.two_choice_p = two_choice_p(v);
    if (!alarms_measure(v->store, &v->snap, &v->split.train, v->originals, v->copies, v->n,
                        &result.model.auc, &result.alarms, e) ||
        !score_untrained(v, &result.untrained, e))
        goto out;
    for (int b = 0; b < BASELINES; b++)
        if (!score_baseline(v, (enum baseline)b, &result.baselines[b], e))
            goto out;
    *out = result;
    ok = true;
out:
    checkpoint_close(&f);
    evaluation_release(v);
    mem_free(v);
    return ok;
}
