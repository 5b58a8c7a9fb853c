#include "train/schedule.h"

#include <math.h>

#define PI 3.14159265358979323846

double schedule_factor(const struct schedule *s, uint64_t step)
{
    if (step < s->warmup_steps)
        return (double)(step + 1) / (double)s->warmup_steps;
    if (s->kind == SCHEDULE_CONSTANT)
        return 1.0;
    if (step >= s->n_steps)
        return 0.0;
    double done = (double)(step - s->warmup_steps) / (double)(s->n_steps - s->warmup_steps);
    return s->kind == SCHEDULE_LINEAR ? 1.0 - done : 0.5 * (1.0 + cos(PI * done));
}
