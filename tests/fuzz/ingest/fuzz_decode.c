/*
 * Any bytes: a verdict or samples, within the limits; and reading by windows gives the verdict, the
 * sentence and the samples of decoding it all. Sanitizers see the rest. The corpus is made by the
 * lines in tests/fuzz/corpus/decode/README.
 */
#include "base/rng.h"
#include "ingest/clip.h"
#include "ingest/decode.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct decode_limits limits = {
    .max_bytes = 1 << 20, .max_ms = 3000, .max_pcm_bytes = 4 << 20};

static void check_windows(struct decoder *d, const struct pcm *whole)
{
    enum { WINDOWS = 4, WINDOW_FRAMES_MAX = 6000 };
    struct rng r;
    rng_init(&r, whole->n_frames, 0, 0);
    for (int i = 0; i < WINDOWS; i++) {
        const struct pcm *window = NULL;
        enum decode_verdict verdict;
        struct err e = {0};
        uint64_t from = rng_below(&r, whole->n_frames);
        uint64_t to = u64_min(from + 1 + rng_below(&r, WINDOW_FRAMES_MAX), whole->n_frames);
        bool ok = decoder_read(d, from, to, &window, &verdict, &e);
        assert(ok);
        assert(window->first_frame <= from);
        assert(window->first_frame + window->n_frames >= to);
        assert(memcmp(window->samples + (from - window->first_frame) * window->n_channels,
                      whole->samples + from * whole->n_channels,
                      (to - from) * whole->n_channels * sizeof *whole->samples) == 0);
    }
}

static void check_decoder(struct span file, const struct pcm *whole, enum decode_verdict want,
                          const char *sentence)
{
    struct decoder *d = decoder_new();
    struct decode_info info;
    enum decode_verdict verdict;
    struct err e = {0};
    bool ok = decoder_open(d, file, &limits, &info, &verdict, &e);
    assert(ok == (want == DECODE_OK));
    assert(verdict == want);
    assert(ok || strcmp(e.msg, sentence) == 0);
    if (ok) {
        assert(info.n_frames == whole->n_frames);
        assert(info.rate_hz == whole->rate_hz);
        assert(info.n_channels == whole->n_channels);
        check_windows(d, whole);
    }
    decoder_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct clip_params params = {.policy = CLIP_RANDOM, .ms = 100, .seed = 1};
    struct pcm pcm = {0};
    struct clip clip = {0};
    enum decode_verdict decoded;
    enum clip_verdict cut;
    struct err e = {0};
    bool ok = decode_audio((struct span){data, size}, &limits, &pcm, &decoded, &e);
    assert(ok == (decoded == DECODE_OK));
    assert(decoded < DECODE_VERDICTS);
    assert(ok || (e.kind == ERR_PERM && e.msg[0] != '\0'));
    assert(pcm.cap_samples * sizeof *pcm.samples <= limits.max_pcm_bytes);
    if (ok) {
        assert(pcm.n_frames > 0);
        assert(pcm.n_frames * pcm.n_channels <= pcm.cap_samples);
        assert(pcm.n_frames <= limits.max_ms * pcm.rate_hz / 1000);
    }
    check_decoder((struct span){data, size}, &pcm, decoded, e.msg);
    if (ok) {
        ok = clip_cut(&pcm, &params, size, 0, &clip, &cut, &e);
        assert(ok == (cut == CLIP_OK));
    }
    clip_release(&clip);
    pcm_release(&pcm);
    return 0;
}
