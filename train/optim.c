#include "train/optim.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

/* A constant number of turns, which the compiler makes vectors of; and of sums side by side. */
enum { BLOCK = 64, NORM_BLOCK = 4096, NORM_LANES = 8 };

void optim_init(struct optim *o, enum optim_kind kind, size_t n)
{
    size_t count = size_max(n, 1);
    *o = (struct optim){.kind = kind, .n = n};
    o->m = mem_alloc_aligned(count, sizeof(float));
    memset(o->m, 0, count * sizeof(float));
    if (kind == OPTIM_SGD)
        return;
    o->v = mem_alloc_aligned(count, sizeof(float));
    memset(o->v, 0, count * sizeof(float));
}

void optim_release(struct optim *o)
{
    mem_free(o->m);
    mem_free(o->v);
    *o = (struct optim){0};
}

/* The numbers of one step that all weights share. */
struct rates {
    float step, root, decay, shrink, rate;
};

static inline void adam_block(const struct rates *r, size_t n, float *restrict w,
                              const float *restrict g, float *restrict m, float *restrict v)
{
    const float b1 = (float)ADAM_BETA1, b2 = (float)ADAM_BETA2, eps = (float)ADAM_EPSILON;
    const float c1 = (float)(1.0 - ADAM_BETA1), c2 = (float)(1.0 - ADAM_BETA2);
    for (size_t i = 0; i < n; i++) {
        float gi = g[i] + r->decay * w[i];
        m[i] = b1 * m[i] + c1 * gi;
        v[i] = b2 * v[i] + c2 * gi * gi;
        w[i] = w[i] * r->shrink - r->step * m[i] / (sqrtf(v[i]) / r->root + eps);
    }
}

static inline void sgd_block(const struct rates *r, size_t n, float *restrict w,
                             const float *restrict g, float *restrict m)
{
    for (size_t i = 0; i < n; i++) {
        m[i] = (float)SGD_MOMENTUM * m[i] + (g[i] + r->decay * w[i]);
        w[i] -= r->rate * m[i];
    }
}

static inline void step_block(const struct optim *o, const struct rates *r, size_t at, size_t n,
                              float *weight, const float *grad)
{
    if (o->kind == OPTIM_SGD)
        sgd_block(r, n, weight + at, grad + at, o->m + at);
    else
        adam_block(r, n, weight + at, grad + at, o->m + at, o->v + at);
}

void optim_step(struct optim *o, float *weight, const float *grad, double learning_rate,
                double weight_decay)
{
    double t = (double)++o->n_steps;
    bool decoupled = o->kind == OPTIM_ADAMW;
    struct rates r = {
        .step = (float)(learning_rate / (1.0 - pow(ADAM_BETA1, t))),
        .root = (float)sqrt(1.0 - pow(ADAM_BETA2, t)),
        .decay = decoupled ? 0.0f : (float)weight_decay,
        .shrink = decoupled ? (float)(1.0 - learning_rate * weight_decay) : 1.0f,
        .rate = (float)learning_rate,
    };
    size_t whole = o->n - o->n % BLOCK;
#pragma omp parallel for schedule(static)
    for (size_t at = 0; at < whole; at += BLOCK)
        step_block(o, &r, at, BLOCK, weight, grad);
    step_block(o, &r, whole, o->n - whole, weight, grad);
}

double gradient_clip(float *grad, size_t n, double max_norm)
{
    double sum = 0.0;
    for (size_t at = 0; at < n; at += NORM_BLOCK) {
        double lanes[NORM_LANES] = {0};
        size_t end = size_min(n, at + NORM_BLOCK), i = at;
        for (; i + NORM_LANES <= end; i += NORM_LANES)
            for (size_t k = 0; k < NORM_LANES; k++)
                lanes[k] += (double)grad[i + k] * (double)grad[i + k];
        for (size_t k = 0; i + k < end; k++)
            lanes[k] += (double)grad[i + k] * (double)grad[i + k];
        for (size_t k = 0; k < NORM_LANES; k++)
            sum += lanes[k];
    }
    double norm = sqrt(sum);
    if (max_norm > 0.0 && norm > max_norm) {
        float factor = (float)(max_norm / (norm + 1e-6));
        for (size_t i = 0; i < n; i++)
            grad[i] *= factor;
    }
    return norm;
}
