#include "train/optim.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

void adam_init(struct adam *a, size_t n)
{
    *a = (struct adam){.n = n,
                       .m = mem_alloc_aligned(size_max(n, 1), sizeof(float)),
                       .v = mem_alloc_aligned(size_max(n, 1), sizeof(float))};
    memset(a->m, 0, n * sizeof *a->m);
    memset(a->v, 0, n * sizeof *a->v);
}

void adam_release(struct adam *a)
{
    mem_free(a->m);
    mem_free(a->v);
    *a = (struct adam){0};
}

void adam_step(struct adam *a, float *weight, const float *grad, double learning_rate,
               double weight_decay)
{
    a->n_steps++;
    double t = (double)a->n_steps;
    float step = (float)(learning_rate / (1.0 - pow(ADAM_BETA1, t)));
    float root = (float)sqrt(1.0 - pow(ADAM_BETA2, t));
    float decay = (float)weight_decay;
    float b1 = (float)ADAM_BETA1, b2 = (float)ADAM_BETA2;
    float c1 = (float)(1.0 - ADAM_BETA1), c2 = (float)(1.0 - ADAM_BETA2);
    for (size_t i = 0; i < a->n; i++) {
        float g = grad[i] + decay * weight[i];
        a->m[i] = b1 * a->m[i] + c1 * g;
        a->v[i] = b2 * a->v[i] + c2 * g * g;
        weight[i] -= step * a->m[i] / (sqrtf(a->v[i]) / root + (float)ADAM_EPSILON);
    }
}
