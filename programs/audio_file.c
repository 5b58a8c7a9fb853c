#include "programs/audio_file.h"

#include "base/file.h"
#include "base/log.h"

#include <string.h>

enum {
    FILE_MAX_BYTES = 1 << 30,
    PCM_MAX_BYTES = 2000 << 20,
    AUDIO_MAX_MS = 4 * 3600 * 1000,
    CALL_CPU_MS = 600000, /* four hours decode in about 15 s */
};

static bool fail(const struct audio_file *a, enum decode_verdict verdict, struct err *e)
{
    return e->kind == ERR_PERM ? err_wrap(e, "%s: %s", a->path, decode_verdict_name(verdict))
                               : err_wrap(e, "%s", a->path);
}

static bool open_sandbox(struct audio_file *a, size_t file_bytes, struct err *e)
{
    const struct sandbox_params params = {.service = &sandbox_decoder_service,
                                          .memory_bytes = SANDBOX_DECODER_MEMORY_BYTES,
                                          .call_cpu_ms = CALL_CPU_MS,
                                          .life_cpu_s = 2 * CALL_CPU_MS / 1000};
    const struct sandbox_decoder_params sizes = {.max_file_bytes = file_bytes,
                                                 .max_pcm_bytes = PCM_MAX_BYTES};
    if (!sandbox_open(&params, &a->sandbox, e) ||
        !sandbox_decoder_new(a->sandbox, &sizes, &a->decoder, e))
        return false;
    if (sandbox_filter_error(a->sandbox) != 0)
        log_warn("no system call filter", "why=\"%s\" decoder=\"has resource limits alone\"",
                 strerror(sandbox_filter_error(a->sandbox)));
    return true;
}

bool audio_file_open(const char *path, struct audio_file *out, struct err *e)
{
    enum decode_verdict verdict = DECODE_OK;
    struct buf file;
    *out = (struct audio_file){.path = path};
    buf_init(&file, FILE_MAX_BYTES);
    bool ok = file_read_all(path, &file, e) && open_sandbox(out, file.len, e);
    if (ok) {
        const struct decode_limits limits = {file.len, AUDIO_MAX_MS, PCM_MAX_BYTES};
        out->n_bytes = file.len;
        out->container = audio_sniff(buf_span(&file), NULL);
        digest_sha256(buf_span(&file), out->sha256);
        ok =
            sandbox_decoder_open(out->decoder, buf_span(&file), &limits, &out->info, &verdict, e) ||
            fail(out, verdict, e);
    }
    buf_release(&file);
    return ok;
}

void audio_file_close(struct audio_file *a)
{
    sandbox_decoder_free(a->decoder);
    sandbox_close(a->sandbox);
    *a = (struct audio_file){0};
}

bool audio_file_read(struct audio_file *a, uint64_t from, uint64_t to, const struct pcm **out,
                     struct err *e)
{
    enum decode_verdict verdict;
    return sandbox_decoder_read(a->decoder, from, to, out, &verdict, e) || fail(a, verdict, e);
}
