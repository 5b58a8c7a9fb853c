#include "ingest/decode_message.h"

#include <inttypes.h>
#include <string.h>

static bool makes_no_sense(enum decode_verdict *verdict, struct err *e)
{
    return decode_reject(verdict, DECODE_CRASHED, e, "its decoder's answer makes no sense");
}

/* The sentence goes to logs and files: printable ASCII and no quote. */
static void copy_sentence(char out[ERR_MSG_BYTES], const char *why)
{
    size_t n = strnlen(why, ERR_MSG_BYTES - 1);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(why[i] >= 0x20 && why[i] < 0x7f && why[i] != '"' ? why[i] : '.');
    out[n] = '\0';
}

/* True when all is well; false for any other verdict, whatever it says. */
static bool parse(struct span bytes, struct decode_reply *out, enum decode_verdict *verdict,
                  struct err *e)
{
    char why[ERR_MSG_BYTES];
    if (bytes.len != sizeof *out)
        return makes_no_sense(verdict, e);
    memcpy(out, bytes.ptr, sizeof *out);
    if (out->is_out_of_memory != 0)
        return decode_reject(verdict, DECODE_CRASHED, e, "its decoder ran out of memory");
    if (out->verdict >= DECODE_CRASHED)
        return makes_no_sense(verdict, e);
    if (out->verdict == DECODE_OK)
        return true;
    copy_sentence(why, out->why);
    return decode_reject(verdict, (enum decode_verdict)out->verdict, e, "%s", why);
}

bool decode_reply_to_open(struct span reply, const struct decode_request *request,
                          struct decode_info *out, enum decode_verdict *verdict, struct err *e)
{
    struct decode_reply r = {0};
    const struct decode_limits *limits = &request->limits;
    if (!parse(reply, &r, verdict, e))
        return false;
    if (r.rate_hz < DECODE_RATE_MIN_HZ || r.rate_hz > DECODE_RATE_MAX_HZ || r.n_channels < 1 ||
        r.n_channels > DECODE_CHANNELS_MAX || r.n_frames < 1 ||
        r.n_frames > limits->max_ms * r.rate_hz / 1000 ||
        r.n_frames > limits->max_pcm_bytes / sizeof(int16_t) / r.n_channels)
        return makes_no_sense(verdict, e);
    *out = (struct decode_info){r.n_frames, r.rate_hz, r.n_channels, r.is_indexed != 0};
    *verdict = DECODE_OK;
    return true;
}

bool decode_reply_to_read(struct span reply, const struct decode_request *request,
                          const struct decode_info *info, size_t cap_samples, struct pcm *out,
                          enum decode_verdict *verdict, struct err *e)
{
    struct decode_reply r = {0};
    if (!parse(reply, &r, verdict, e))
        return false;
    if (r.first_frame > request->from || r.n_frames > cap_samples / info->n_channels ||
        r.first_frame + r.n_frames < request->to || r.first_frame + r.n_frames > info->n_frames)
        return makes_no_sense(verdict, e);
    *out = (struct pcm){.n_frames = r.n_frames,
                        .first_frame = r.first_frame,
                        .cap_samples = cap_samples,
                        .is_borrowed = true,
                        .rate_hz = info->rate_hz,
                        .n_channels = info->n_channels};
    *verdict = DECODE_OK;
    return true;
}
