/*
 * Winograd's convolution alone, at the shapes of resnet18: time of each pass, the best of some
 * turns, and floating point operations a second of its matrix products alone (a core with two
 * AVX-512 units has 64 a cycle), so that what transforms and memory cost is what is missing.
 *
 *     bench_winograd [THREADS CLIPS]
 */
#include "base/clock.h"
#include "base/mem.h"
#include "train/winograd.h"

#include <stdio.h>
#include <stdlib.h>

enum { CLIPS = 64, TURNS = 5, TILE = 4, POINTS = 36, TAPS = 9 };

static double pass_seconds(const struct winograd *g, enum winograd_pass pass)
{
    size_t pixels = (size_t)g->n * (size_t)g->h * (size_t)g->w;
    size_t n_in = pixels * (size_t)g->c_in, n_out = pixels * (size_t)g->c_out;
    size_t n_weight = (size_t)g->c_in * (size_t)g->c_out * TAPS;
    float *x = mem_alloc_aligned(n_in, sizeof *x), *y = mem_alloc_aligned(n_out, sizeof *y);
    float *weight = mem_alloc_aligned(n_weight, sizeof *weight);
    float *scratch = mem_alloc_aligned(winograd_scratch_bytes(g, pass), 1);
    double best = 1e9;
    for (size_t i = 0; i < n_in; i++)
        x[i] = (float)(i % 7);
    for (size_t i = 0; i < n_out; i++)
        y[i] = (float)(i % 5);
    for (size_t i = 0; i < n_weight; i++)
        weight[i] = (float)(i % 3);
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t begin = clock_now_ns();
        if (pass == WINOGRAD_FORWARD)
            winograd_forward(g, x, weight, scratch, &(struct winograd_end){0}, y);
        else if (pass == WINOGRAD_DATA)
            winograd_backward_data(g, y, weight, scratch, false, x);
        else
            winograd_backward_weight(g, x, y, scratch, weight);
        double seconds = (double)(clock_now_ns() - begin) / (double)NS_PER_S;
        best = seconds < best ? seconds : best;
    }
    mem_free(x);
    mem_free(y);
    mem_free(weight);
    mem_free(scratch);
    return best;
}

int main(int argc, char **argv)
{
    static const struct winograd shapes[] = {{.h = 108, .w = 32, .c_in = 64, .c_out = 64},
                                             {.h = 54, .w = 16, .c_in = 128, .c_out = 128},
                                             {.h = 27, .w = 8, .c_in = 256, .c_out = 256},
                                             {.h = 14, .w = 4, .c_in = 512, .c_out = 512}};
    static const char *const names[] = {"forward", "data", "weight"};
    int32_t threads = argc > 1 ? atoi(argv[1]) : 2;
    int32_t clips = argc > 2 ? atoi(argv[2]) : CLIPS;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        struct winograd g = shapes[i];
        g.n = clips;
        g.threads = threads;
        g.simd = winograd_simd_best();
        size_t tiles = (size_t)g.n * (size_t)((g.h + TILE - 1) / TILE * ((g.w + TILE - 1) / TILE));
        double flop = 2.0 * POINTS * (double)tiles * g.c_in * g.c_out;
        printf("%3d x %3d x %2d x %3d:", g.n, g.h, g.w, g.c_in);
        for (int pass = WINOGRAD_FORWARD; pass <= WINOGRAD_WEIGHT; pass++) {
            double s = pass_seconds(&g, (enum winograd_pass)pass);
            printf("  %s %6.2f ms %4.0f GF/s", names[pass], 1e3 * s, flop / s * 1e-9);
        }
        printf("\n");
    }
    return 0;
}
