/*
 * Any bytes as the answers of a decoder process that foreign bytes took over: what is accepted lies
 * within what was asked and what memory there is, and the sentence is printable.
 */
#include "ingest/decode_message.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP_SAMPLES = 1 << 20 };

static const struct decode_request open_request = {
    .op = DECODE_OPEN,
    .file_bytes = 1000,
    .limits = {.max_bytes = 1000, .max_ms = 5000, .max_pcm_bytes = CAP_SAMPLES * sizeof(int16_t)}};

static void check_refusal(enum decode_verdict verdict, const struct err *e)
{
    assert(verdict > DECODE_OK);
    assert(verdict < DECODE_VERDICTS);
    assert(e->kind == ERR_PERM);
    for (const char *at = e->msg; *at != '\0'; at++)
        assert(*at >= 0x20 && *at < 0x7f && *at != '"');
}

static void check_read(struct span reply, const struct decode_info *info)
{
    const struct decode_request request = {
        .op = DECODE_READ, .from = info->n_frames / 3, .to = info->n_frames / 3 + 1};
    struct pcm pcm;
    enum decode_verdict verdict;
    struct err e = {0};
    if (!decode_reply_to_read(reply, &request, info, CAP_SAMPLES, &pcm, &verdict, &e)) {
        check_refusal(verdict, &e);
        return;
    }
    assert(verdict == DECODE_OK);
    assert(pcm.n_frames * pcm.n_channels <= CAP_SAMPLES);
    assert(pcm.first_frame <= request.from);
    assert(pcm.first_frame + pcm.n_frames >= request.to);
    assert(pcm.first_frame + pcm.n_frames <= info->n_frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decode_info info = {.n_frames = 44100, .rate_hz = 44100, .n_channels = 2};
    enum decode_verdict verdict;
    struct err e = {0};
    struct span reply = {data, size};
    if (decode_reply_to_open(reply, &open_request, &info, &verdict, &e)) {
        assert(verdict == DECODE_OK);
        assert(info.n_channels >= 1 && info.n_channels <= DECODE_CHANNELS_MAX);
        assert(info.rate_hz >= DECODE_RATE_MIN_HZ && info.rate_hz <= DECODE_RATE_MAX_HZ);
        assert(info.n_frames >= 1 && info.n_frames * info.n_channels <= CAP_SAMPLES);
    } else {
        check_refusal(verdict, &e);
    }
    check_read(reply, &info);
    return 0;
}
