/*
 * refrain-train: trains an embedding network on a data set's store, measures it, and uses it.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/program.h"
#include "programs/dataset.h"
#include "programs/mel_bands.h"
#include "programs/train_embed.h"
#include "train/evaluate.h"
#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHECKPOINT_NS (300 * NS_PER_S)

static struct {
    const char *name, *model, *groups, *weights, *unfreeze, *output;
    uint64_t epochs, batch, threads, start_ms;
    bool resume, replace, originals, audio, json;
} options = {.name = "default"};

/* ---------------------------------------------------------------- train */

static void print_train_json(const struct train_result *r)
{
    struct json j;
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_u64(&j, "epochs", r->epochs);
    json_u64(&j, "steps", r->steps);
    json_f64(&j, "best_val_loss", r->best_val_loss);
    json_u64(&j, "best_epoch", r->best_epoch);
    json_f64(&j, "baseline_loss", r->baseline_loss);
    json_f64(&j, "improvement", 1.0 - r->best_val_loss / r->baseline_loss);
    json_f64(&j, "clips_per_s", r->clips_per_s);
    json_f64(&j, "loader_wait", r->loader_wait);
    json_f64(&j, "seconds", r->seconds);
    json_u64(&j, "peak_rss_bytes", r->peak_rss_bytes);
    json_u64(&j, "threads", r->threads);
    json_str(&j, "kernels", r->kernels);
    json_u64(&j, "n_triplets", r->n_triplets);
    json_u64(&j, "n_val_triplets", r->n_val_triplets);
    json_u64(&j, "n_train_tracks", r->n_train_tracks);
    json_u64(&j, "n_val_tracks", r->n_validation_tracks);
    json_u64(&j, "n_train_groups", r->n_train_groups);
    json_u64(&j, "n_val_groups", r->n_validation_groups);
    json_bool(&j, "stopped", r->stopped);
    json_bool(&j, "collapsed", r->collapsed);
    json_str(&j, "model", r->model_dir);
    json_end(&j);
    json_finish(&j);
}

static void print_train(const struct train_result *r, bool by_work)
{
    printf("%s after %" PRIu64 " epochs, %" PRIu64 " steps, %" PRIu64 " triplets, %.0f s on %u "
           "threads (%.0f clips/s, %.1f %% waiting for the loader)\n",
           r->stopped ? "stopped" : "trained", r->epochs, r->steps, r->n_triplets, r->seconds,
           r->threads, r->clips_per_s, 100.0 * r->loader_wait);
    printf("held out: %" PRIu64 " tracks of %" PRIu64 ", split by hash of the %s; %" PRIu64
           " validation triplets\n",
           r->n_validation_tracks, r->n_validation_tracks + r->n_train_tracks,
           by_work ? "work" : "track", r->n_val_triplets);
    if (isfinite(r->best_val_loss))
        printf("validation loss %.4f after epoch %" PRIu64 ", baseline (mel spectrograms) %.4f: "
               "%.0f %% lower\n",
               r->best_val_loss, r->best_epoch, r->baseline_loss,
               100.0 * (1.0 - r->best_val_loss / r->baseline_loss));
    printf("model in %s%s\n", r->model_dir, r->stopped ? "; go on with --resume" : "");
}

static bool run_train(const struct args *args, struct err *e)
{
    static struct dataset dataset; /* large */
    struct train_result r;
    if (!dataset_open(args->items[0], &dataset, e))
        return false;
    const struct settings *s = &dataset.settings;
    struct train_params p = {
        .dir = dataset.dir,
        .name = options.name,
        .model = s->train.model == SETTING_MODEL_RESNET18 ? "resnet18" : "cnn",
        .weights_path = options.weights,
        .unfreeze = options.unfreeze,
        .groups_path = options.groups,
        .seed = s->seed,
        .threads = (uint32_t)(options.threads != 0 ? options.threads : s->train.threads),
        .epochs = options.epochs != 0 ? options.epochs : s->train.epochs,
        .batch = options.batch != 0 ? options.batch : s->train.batch,
        .steps_per_epoch = s->train.steps_per_epoch,
        .patience = s->train.patience,
        .learning_rate = s->train.learning_rate,
        .weight_decay = s->train.weight_decay,
        .margin = s->train.margin,
        .validation_share = s->train.validation_share,
        .version_share = s->train.versions,
        .dropout = s->train.dropout,
        .loss = (enum train_loss)s->train.loss, /* the enumerations of conf/ list the same */
        .mining = (enum mining)s->train.negatives,
        .precision = (enum train_precision)s->train.precision,
        .temperature = s->train.temperature,
        .optimizer = (enum optim_kind)s->train.optimizer,
        .schedule = (enum schedule_kind)s->train.schedule,
        .warmup_steps = s->train.warmup_steps,
        .accumulate = s->train.accumulate,
        .gradient_clip = s->train.gradient_clip,
        .cache_bytes = (uint64_t)(s->train.cache_gib * (double)(1 << 30)),
        .pin_bytes = (uint64_t)(s->train.pin_gib * (double)(1 << 30)),
        .jitter = s->train.jitter,
        .resume = options.resume,
        .replace = options.replace,
        .checkpoint_ns = CHECKPOINT_NS,
        .stop = program_stop_requested,
    };
    if (!train_run(&p, &r, e))
        return false;
    if (options.json)
        print_train_json(&r);
    else
        print_train(&r, options.groups != NULL);
    return true;
}

/* ---------------------------------------------------------------- eval */

static void json_figure(struct json *j, const char *key, const struct figure *f)
{
    if (!isfinite(f->value)) {
        json_null(j, key);
        return;
    }
    json_object(j, key);
    json_f64(j, "value", f->value);
    json_f64(j, "lo", f->lo);
    json_f64(j, "hi", f->hi);
    json_end(j);
}

static void json_scores(struct json *j, const struct scores *s)
{
    json_figure(j, "triplet", &s->loss);
    json_figure(j, "copies_r1", &s->copies_r1);
    json_figure(j, "two_choice", &s->two_choice);
    json_figure(j, "auc", &s->auc);
    json_figure(j, "map", &s->map);
    json_figure(j, "mr1", &s->mr1);
    json_figure(j, "p1", &s->p1);
    json_figure(j, "p10", &s->p10);
}

static void print_eval_json(const struct evaluate_result *r)
{
    struct json j;
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_scores(&j, &r->model);
    json_object(&j, "baselines");
    for (int b = 0; b < BASELINES; b++) {
        json_object(&j, baseline_name((enum baseline)b));
        json_scores(&j, &r->baselines[b]);
        json_end(&j);
    }
    json_object(&j, "untrained");
    json_scores(&j, &r->untrained);
    json_end(&j);
    json_end(&j);
    if (isfinite(r->two_choice_p))
        json_f64(&j, "two_choice_p", r->two_choice_p);
    else
        json_null(&j, "two_choice_p");
    json_object(&j, "alarms");
    json_bool(&j, "versions_inverted", r->alarms.versions_inverted);
    json_u64(&j, "same_audio_tracks", r->alarms.n_same_audio);
    json_u64(&j, "near_duplicate_clips", r->alarms.n_near_duplicates);
    json_object(&j, "signature_auc");
    for (int s = 0; s < SIGNATURES; s++)
        json_f64(&j, signature_name((enum signature)s), r->alarms.signature_auc[s]);
    json_end(&j);
    json_end(&j);
    json_f64(&j, "margin", r->margin);
    json_u64(&j, "n_clips", r->n_clips);
    json_u64(&j, "n_tracks", r->n_tracks);
    json_u64(&j, "n_works", r->n_works);
    json_u64(&j, "n_queries", r->n_queries);
    json_u64(&j, "n_triplets", r->n_triplets);
    json_u64(&j, "n_leaked_tracks", r->n_leaked);
    json_end(&j);
    json_finish(&j);
}

/* Model, baselines, untrained: the columns of the table. */
enum { EVAL_COLUMNS = BASELINES + 2 };

static const struct scores *eval_column(const struct evaluate_result *r, int column)
{
    if (column == 0)
        return &r->model;
    return column <= BASELINES ? &r->baselines[column - 1] : &r->untrained;
}

static const char *eval_column_name(int column)
{
    if (column == 0)
        return "model";
    return column <= BASELINES ? baseline_name((enum baseline)(column - 1)) : "untrained";
}

static void print_row(const char *what, const struct evaluate_result *r, size_t offset)
{
    printf("%-26s", what);
    for (int c = 0; c < EVAL_COLUMNS; c++) {
        const struct figure *f =
            (const struct figure *)(const void *)((const char *)eval_column(r, c) + offset);
        if (isfinite(f->value))
            printf(" %6.3f [%.3f, %.3f]", f->value, f->lo, f->hi);
        else
            printf(" %6s %-14s", "-", "");
    }
    printf("\n");
}

static void print_alarms(const struct evaluate_result *r)
{
    const struct alarms *a = &r->alarms;
    if (a->versions_inverted)
        printf("alarm: versions are found worse than by chance (AUC under 0.5): are the groups "
               "right?\n");
    if (a->n_same_audio > 0)
        printf("alarm: the audio of %zu held-out tracks, byte for byte, was trained on too\n",
               a->n_same_audio);
    if (a->n_near_duplicates > 0)
        printf("alarm: %zu held-out clips have nearly the average spectrum of a trained clip: "
               "re-uploads?\n",
               a->n_near_duplicates);
    for (int s = 0; s < SIGNATURES; s++)
        if (a->signature_auc[s] > ALARM_SIGNATURE_AUC)
            printf("alarm: copies can be told from originals by their %s alone (AUC %.3f): the "
                   "network may have learnt that\n",
                   signature_name((enum signature)s), a->signature_auc[s]);
}

static void print_eval(const struct evaluate_result *r)
{
    printf("held out: %zu clips of %zu tracks (%zu works), %zu triplets; 95 %% intervals over "
           "works\n\n%-26s",
           r->n_clips, r->n_tracks, r->n_works, r->n_triplets, "");
    for (int c = 0; c < EVAL_COLUMNS; c++)
        printf("  %-20s ", eval_column_name(c));
    printf("\n");
    print_row("triplet loss (lower)", r, offsetof(struct scores, loss));
    print_row("copy finds its original", r, offsetof(struct scores, copies_r1));
    if (r->has_groups && r->n_queries > 0) {
        print_row("versions: two-choice", r, offsetof(struct scores, two_choice));
        print_row("versions: AUC", r, offsetof(struct scores, auc));
        print_row("versions: MAP", r, offsetof(struct scores, map));
        print_row("versions: mean first rank", r, offsetof(struct scores, mr1));
        print_row("versions: P@1", r, offsetof(struct scores, p1));
        print_row("versions: P@10", r, offsetof(struct scores, p10));
        printf("\n%zu queries have a version among the held-out clips; p of the two-choice by coin "
               "flips: %.3g.\n",
               r->n_queries, r->two_choice_p);
    } else {
        printf("\nNo versions of works are known: give --groups FILE (track_id,work_id) for "
               "cover figures.\n");
    }
    if (r->n_leaked > 0)
        printf("%zu held-out tracks have a version that was trained on: train with --groups for "
               "honest figures.\n",
               r->n_leaked);
    print_alarms(r);
}

/* distances.svg beside the model, for `refrain report`. A model of another data set gets none. */
static bool write_distances(const struct dataset *d, const struct evaluate_result *r, struct err *e)
{
    char models[PATH_BYTES], model[PATH_BYTES], path[PATH_BYTES];
    struct distances_row rows[EVAL_COLUMNS];
    size_t n = 0;
    for (int c = 0; c < EVAL_COLUMNS; c++)
        if (isfinite(eval_column(r, c)->loss.value))
            rows[n++] = (struct distances_row){eval_column_name(c), &eval_column(r, c)->distances};
    return path_join(models, d->dir, "models", e) && path_join(model, models, options.name, e) &&
           path_join(path, model, "distances.svg", e) &&
           distances_write(rows, n, options.name, path, e);
}

static const char *eval_by = "model"; /* refrain sends every other axis to refrain-match */

static bool run_eval(const struct args *args, struct err *e)
{
    static struct dataset dataset;
    static struct chroma_bands bands;
    struct evaluate_result r;
    if (!dataset_open(args->items[0], &dataset, e))
        return false;
    struct evaluate_params p = {.dir = dataset.dir,
                                .name = options.name,
                                .model_path = options.model,
                                .groups_path = options.groups,
                                .threads = (uint32_t)options.threads};
    if (mel_bands_from_settings(&dataset.settings, &bands))
        p.bands = &bands;
    if (!evaluate_run(&p, &r, e))
        return false;
    if (options.json)
        print_eval_json(&r);
    else
        print_eval(&r);
    return options.model != NULL || write_distances(&dataset, &r, e);
}

/* ---------------------------------------------------------------- embed */

static bool run_embed(const struct args *args, struct err *e)
{
    static struct dataset dataset;
    if (!dataset_open(args->items[0], &dataset, e))
        return false;
    struct embed_options o = {.name = options.name,
                              .output = options.output,
                              .threads = options.threads,
                              .start_ms = options.start_ms,
                              .originals = options.originals,
                              .json = options.json};
    if (options.audio)
        return embed_files(&dataset, &o, args->items + 1, args->n - 1, e);
    if (args->n > 1)
        return err_set(e, ERR_USAGE, "files to compare are given with --audio");
    return embed_dataset(&dataset, &o, e);
}

static const struct option train_options[] = {
    {"name", 'n', OPTION_STR, &options.name, "NAME", "the model, DIR/models/NAME (default)"},
    {"groups", 'g', OPTION_STR, &options.groups, "FILE",
     "CSV with track_id and work_id: whole works are held out"},
    {"weights", 'w', OPTION_STR, &options.weights, "FILE",
     "first weights of a resnet18: safetensors or PyTorch's .pth"},
    {"unfreeze", 'u', OPTION_STR, &options.unfreeze, "PART",
     "train this part and what follows it: all (default), layer3+, layer4, fc ..."},
    {"epochs", 'e', OPTION_U64, &options.epochs, "N", "instead of train.epochs"},
    {"batch", 'b', OPTION_U64, &options.batch, "N", "instead of train.batch"},
    {"threads", 't', OPTION_U64, &options.threads, "N", "instead of train.threads"},
    {"resume", 'r', OPTION_FLAG, &options.resume, NULL, "go on from last.safetensors"},
    {"replace", 0, OPTION_FLAG, &options.replace, NULL, "give up the model of this name"},
    {"json", 'j', OPTION_FLAG, &options.json, NULL, "the result as one line of JSON"},
};

static const struct option eval_options[] = {
    {"by", 0, OPTION_STR, &eval_by, "AXIS",
     "model; refrain eval --by align and --by copy measure matching"},
    {"name", 'n', OPTION_STR, &options.name, "NAME", "the model, DIR/models/NAME (default)"},
    {"model", 'm', OPTION_STR, &options.model, "FILE",
     "best.safetensors of another data set: all of DIR is measured"},
    {"groups", 'g', OPTION_STR, &options.groups, "FILE",
     "CSV with track_id and work_id: figures about versions"},
    {"threads", 't', OPTION_U64, &options.threads, "N", "as in training unless given"},
    {"json", 'j', OPTION_FLAG, &options.json, NULL, "the result as one line of JSON"},
};

static const struct option embed_options[] = {
    {"output", 'o', OPTION_STR, &options.output, "FILE",
     "a .npy or .safetensors; ids go to a .csv"},
    {"name", 'n', OPTION_STR, &options.name, "NAME", "the model, DIR/models/NAME (default)"},
    {"originals", 0, OPTION_FLAG, &options.originals, NULL, "without augmented views"},
    {"audio", 'a', OPTION_FLAG, &options.audio, NULL, "compare the audio files that follow DIR"},
    {"start-ms", 0, OPTION_U64, &options.start_ms, "N", "where their clip begins (0)"},
    {"threads", 't', OPTION_U64, &options.threads, "N", "as in training unless given"},
    {"json", 'j', OPTION_FLAG, &options.json, NULL, "the result as one line of JSON"},
};

static const struct command commands[] = {
    {.name = "train",
     .synopsis = "DIR [--name NAME] [--groups FILE] [--weights FILE] [--unfreeze PART] "
                 "[--epochs N] [--resume | "
                 "--replace] [--json]",
     .help =
         "Trains a network on the store of DIR by triplet loss.\n"
         "An original clip is to lie nearer to its augmented copy than to another song. Tracks "
         "(or works) that validate are never trained on. Writes best.safetensors, "
         "last.safetensors, metrics.csv and curves.svg to DIR/models/NAME. SIGTERM writes a "
         "checkpoint and exits; --resume goes on from it, bit for bit. A model that is there is "
         "never overwritten unless --replace is given.",
     .examples =
         "refrain train data                        # by the configuration\n"
         "refrain train data --groups truth.csv     # hold out whole works\n"
         "refrain train data --resume --epochs 40   # go on\n"
         "refrain train data --name tuned --weights resnet18.safetensors --unfreeze layer4\n",
     .options = train_options,
     .n_options = ARRAY_LEN(train_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_train},
    {.name = "eval",
     .synopsis = "DIR [--name NAME | --model FILE] [--groups FILE] [--json]",
     .help =
         "Measures a model on what was held out, beside baselines without a network.\n"
         "Triplet loss; how often an augmented copy finds its original; with --groups, how "
         "well versions of a work find each other. Intervals are 95 %, bootstrapped over works. "
         "--model takes a model that was trained on another data set: nothing of DIR may be in it.",
     .examples = "refrain eval data --groups truth.csv\n"
                 "refrain eval unseen --model data/models/default/best.safetensors\n",
     .options = eval_options,
     .n_options = ARRAY_LEN(eval_options),
     .min_args = 1,
     .max_args = 1,
     .run = run_eval},
    {.name = "embed",
     .synopsis = "DIR (-o FILE [--originals] | --audio A B ...) [--name NAME] [--json]",
     .help = "Writes what a model makes of each clip: vectors of length 1.\n"
             "Their inner product, the cosine, says how alike two clips sound to the model. With "
             "--audio, files are compared instead: the cosine of each pair, and the share of the "
             "data set's pairs of songs that are less alike, which gives it a meaning.",
     .examples = "refrain embed data -o vectors.npy\n"
                 "refrain embed data -o vectors.safetensors --originals\n"
                 "refrain embed data --audio a.mp3 b.mp3\n",
     .options = embed_options,
     .n_options = ARRAY_LEN(embed_options),
     .min_args = 1,
     .max_args = 65,
     .run = run_embed},
};

/* oneDNN's threads (libgomp's) spin while they wait for each other, which takes the cores from the
 * loader and from whatever else runs. Whether they do is read from the environment before main, so
 * the program starts itself once more with the answer, unless the user has given one. */
static void wait_without_spinning(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") == NULL && setenv("OMP_WAIT_POLICY", "passive", 0) == 0)
        execv("/proc/self/exe", argv); /* returns only on failure: then they spin */
}

int main(int argc, char **argv)
{
    wait_without_spinning(argv);
    static const struct program program = {
        .name = "refrain-train",
        .summary = "trains and measures a model of musical similarity",
        .description = "Reads random batches of log-mel tensors from a data set's store and trains "
                       "a convolutional network whose vectors say how alike two clips sound.",
        .commands = commands,
        .n_commands = ARRAY_LEN(commands),
    };
    return program_main(&program, argc, argv);
}
