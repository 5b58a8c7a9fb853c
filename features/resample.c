#include "features/resample.h"

#include <math.h>
#include <string.h>

#include <soxr.h>

size_t resample_n_out(size_t n_in, double rate_in_hz, double rate_out_hz)
{
    if (rate_in_hz == rate_out_hz)
        return n_in;
    return (size_t)ceil((double)n_in * (rate_out_hz / rate_in_hz));
}

bool resample(const float *in, size_t n_in, double rate_in_hz, double rate_out_hz, float *out,
              struct err *e)
{
    if (!(rate_in_hz > 0 && isfinite(rate_in_hz) && rate_out_hz > 0 && isfinite(rate_out_hz)))
        return err_set(e, ERR_PERM, "cannot resample from %g Hz to %g Hz: both must be positive",
                       rate_in_hz, rate_out_hz);
    if (n_in == 0)
        return true;
    if (rate_in_hz == rate_out_hz) {
        memcpy(out, in, n_in * sizeof *out);
        return true;
    }

    size_t n_out = resample_n_out(n_in, rate_in_hz, rate_out_hz);
    size_t n_done = 0;
    bool ok = false;
    soxr_error_t why = NULL;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    soxr_t converter = soxr_create(rate_in_hz, rate_out_hz, 1, &why, &io, &quality, &runtime);
    if (!why)
        why = soxr_process(converter, in, n_in, NULL, out, n_out, &n_done);
    /* A NULL input says that there is no more; what is still inside comes out in a few calls. */
    for (size_t n_new = 1; !why && n_done < n_out && n_new > 0; n_done += n_new)
        why = soxr_process(converter, NULL, 0, NULL, out + n_done, n_out - n_done, &n_new);
    if (why) {
        err_set(e, ERR_PERM, "resample %zu samples from %.9g Hz to %.9g Hz: %s", n_in, rate_in_hz,
                rate_out_hz, why);
        goto out;
    }
    memset(out + n_done, 0, (n_out - n_done) * sizeof *out);
    ok = true;
out:
    soxr_delete(converter);
    return ok;
}
