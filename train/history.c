#include "train/history.h"

#include "base/file.h"
#include "base/mem.h"

#include <math.h>

enum { CSV_MAX_BYTES = 64 << 20 };

void history_add(struct history *h, const struct history_row *row)
{
    assert(h->n < HISTORY_ROWS_MAX);
    if (h->n == h->cap) {
        h->cap = h->cap == 0 ? 64 : 2 * h->cap;
        h->rows = mem_resize(h->rows, h->cap, sizeof *h->rows);
    }
    h->rows[h->n++] = *row;
}

void history_release(struct history *h)
{
    mem_free(h->rows);
    *h = (struct history){0};
}

static bool put(struct buf *out, double value, int digits, const char *end, struct err *e)
{
    if (!isfinite(value))
        return buf_printf(out, e, "%s", end);
    return buf_printf(out, e, "%.*g%s", digits, value, end);
}

static bool put_row(struct buf *out, const struct history_row *r, struct err *e)
{
    return buf_printf(out, e, "%.0f,%.0f,", r->epoch, r->step) &&
           put(out, r->train_loss, 9, ",", e) && put(out, r->val_loss, 9, ",", e) &&
           put(out, r->baseline_loss, 9, ",", e) && put(out, r->active_share, 6, ",", e) &&
           put(out, r->mean_positive, 6, ",", e) && put(out, r->mean_negative, 6, ",", e) &&
           put(out, r->gradient_norm, 6, ",", e) && put(out, r->learning_rate, 9, ",", e) &&
           put(out, r->clips_per_s, 6, ",", e) && put(out, r->loader_wait, 4, ",", e) &&
           put(out, r->seconds, 6, "\n", e);
}

bool history_write_csv(const struct history *h, const char *path, struct err *e)
{
    struct buf out;
    buf_init(&out, CSV_MAX_BYTES);
    bool ok =
        buf_printf(&out, e,
                   "epoch,step,train_loss,val_loss,baseline_loss,active_share,mean_positive,"
                   "mean_negative,gradient_norm,learning_rate,clips_per_s,loader_wait,seconds\n");
    for (size_t i = 0; ok && i < h->n; i++)
        ok = put_row(&out, &h->rows[i], e);
    ok = ok && file_write_atomic(path, buf_span(&out), e);
    buf_release(&out);
    return ok;
}
