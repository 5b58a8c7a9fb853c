/*
 * Any bytes: a verdict or samples, within the limits. Sanitizers see the rest. The corpus is made
 * by the lines in tests/fuzz/corpus/decode/README.
 */
#include "ingest/clip.h"
#include "ingest/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct decode_limits limits = {
        .max_bytes = 1 << 20, .max_ms = 3000, .max_pcm_bytes = 4 << 20};
    static const struct clip_params params = {CLIP_RANDOM, 100, 1};
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
        ok = clip_cut(&pcm, &params, size, 0, &clip, &cut, &e);
        assert(ok == (cut == CLIP_OK));
    }
    clip_release(&clip);
    pcm_release(&pcm);
    return 0;
}
