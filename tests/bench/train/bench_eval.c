/*
 * What folding batch norms into their convolutions is worth: resnet18's forward pass in evaluation,
 * clips of 431 x 128, with it and without, in turns.
 *
 *     bench_eval [CLIPS]
 */
#include "base/clock.h"
#include "base/mem.h"
#include "train/model.h"
#include "train/tape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { FRAMES = 431, MELS = 128, CLIPS = 8, THREADS = 2, TURNS = 12 };

static struct net *net_open(const struct backend *backend, int32_t clips, struct err *e)
{
    struct model_spec spec = {
        .name = "resnet18", .n_frames = FRAMES, .n_mels = MELS, .unfreeze = "all"};
    struct net *n = net_new(backend, THREADS, 1);
    if (!model_build(n, &spec, clips, e)) {
        net_free(n);
        return NULL;
    }
    model_init(net_params(n), 1);
    return n;
}

/* The best of all turns so far. */
static bool turn(struct net *n, const float *x, double *best, struct err *e)
{
    uint64_t begin = clock_now_ns();
    bool ok = net_forward(n, x, NET_EVAL, 0, e);
    *best = fmin(*best, (double)(clock_now_ns() - begin) / (double)NS_PER_S);
    return ok;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    int32_t clips = argc > 1 ? atoi(argv[1]) : CLIPS;
    const struct backend *fast = backend_of_precision(backend_fastest_precision("resnet18"));
    struct backend unfolded = *fast;
    unfolded.folds = false;
    struct net *with = net_open(fast, clips, &e), *without = net_open(&unfolded, clips, &e);
    size_t count = (size_t)clips * FRAMES * MELS;
    float *x = mem_alloc_aligned(count, sizeof *x);
    double seconds[2] = {INFINITY, INFINITY};
    bool ok = with != NULL && without != NULL;
    for (size_t i = 0; i < count; i++)
        x[i] = (float)(i * 7 % 13) - 6.0f;
    for (int i = 0; ok && i < TURNS; i++)
        ok = turn(with, x, &seconds[0], &e) && turn(without, x, &seconds[1], &e);
    if (ok)
        printf("resnet18 in evaluation, %d clips, %s: %.0f clips/s with batch norms folded, %.0f "
               "without: %.2f times as fast (goal: more than 1)\n",
               clips, fast->name, clips / seconds[0], clips / seconds[1], seconds[1] / seconds[0]);
    else
        fprintf(stderr, "bench_eval: %s\n", e.msg);
    mem_free(x);
    net_free(with);
    net_free(without);
    return ok ? 0 : 1;
}
