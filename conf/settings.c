#include "conf/settings.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTINGS_VERSION = 1, SETTINGS_FILE_BYTES = 1 << 20 };

#define AT(field) offsetof(struct settings, field)

static const struct conf_key keys[] = {
    {"version", CONF_U64, AT(version), "1", 1, 1e6, "",
     "layout of the data set directory; written by init", NULL},
    {"seed", CONF_U64, AT(seed), "1", 0, 9e15, "",
     "all draws (clip starts, augmentation, training order) follow from it", NULL},
    {"keep_audio", CONF_BOOL, AT(keep_audio), "off", 0, 0, "",
     "keep previews in DIR/audio after their tensors are stored", NULL},
    {"disk.floor", CONF_U64, AT(disk_floor_mib), "512", 0, 1e9, "MiB",
     "fetch pauses and extract stops cleanly when less is free on the disk", NULL},
    {"catalog.csv", CONF_STR, AT(catalog.csv), "", 0, 0, "",
     "the music_info.csv, relative to the data set directory or absolute", NULL},

    {"fetch.limit.*", CONF_RATES, AT(fetch.limit),
     "default=100/5 api.deezer.com=50/5 itunes.apple.com=20/60,gap:3", 0, 0, "requests/SECONDS",
     "the most requests to a host (named by suffix) in any window of so many seconds; several "
     "with commas between, and gap:SECONDS from one request to the next; off: none",
     NULL},
    {"fetch.in_flight", CONF_U64, AT(fetch.in_flight), "16", 1, 256, "transfers",
     "transfers at the same time; more seldom helps below 100 ms of round trip", NULL},
    {"fetch.allow_private", CONF_BOOL, AT(fetch.allow_private), "off", 0, 0, "",
     "accept links to loopback and private addresses; for tests and own servers only", NULL},
    {"fetch.allow_http", CONF_BOOL, AT(fetch.allow_http), "on", 0, 0, "",
     "accept http:// links beside https://", NULL},
    {"fetch.user_agent", CONF_STR, AT(fetch.user_agent), "refrain/" REFRAIN_VERSION, 0, 0, "",
     "sent with each request, with resolve.contact behind it", NULL},
    {"fetch.connect_timeout", CONF_U64, AT(fetch.connect_timeout_ms), "10000", 100, 120000, "ms",
     "longest wait for a connection", NULL},
    {"fetch.timeout", CONF_U64, AT(fetch.timeout_ms), "60000", 100, 3600000, "ms",
     "longest whole transfer; ends endless streams", NULL},
    {"fetch.low_speed", CONF_U64, AT(fetch.low_speed_bytes_per_s), "2048", 0, 1e9, "bytes/s",
     "a transfer slower than this for fetch.low_speed_time is given up", NULL},
    {"fetch.low_speed_time", CONF_U64, AT(fetch.low_speed_s), "15", 1, 3600, "s",
     "see fetch.low_speed", NULL},
    {"fetch.max_bytes", CONF_U64, AT(fetch.max_bytes), "8388608", 1024, 268435456, "bytes",
     "a longer body is refused; previews are about 400 KB", NULL},
    {"fetch.file_root", CONF_STR, AT(fetch.file_root), "", 0, 0, "",
     "folder beneath which file:// links of the CSV may lie; empty: none may", NULL},
    {"fetch.preview_ms", CONF_U64, AT(fetch.preview_ms), "30000", 0, 86400000, "ms",
     "how long previews are: one that came without a length and is shorter counts as cut; 0: any",
     NULL},
    {"fetch.max_redirects", CONF_U64, AT(fetch.max_redirects), "5", 0, 20, "",
     "redirects followed for one link", NULL},
    {"fetch.attempts", CONF_U64, AT(fetch.attempts), "5", 1, 100, "",
     "tries a row gets; a host that throttles is never charged to its rows", NULL},
    {"fetch.backoff", CONF_U64, AT(fetch.backoff_ms), "1000", 1, 3600000, "ms",
     "first wait before a retry, doubled each time, with full jitter", NULL},
    {"fetch.backoff_max", CONF_U64, AT(fetch.backoff_max_ms), "60000", 1, 86400000, "ms",
     "longest wait before a retry", NULL},

    {"resolve.sources", CONF_STR, AT(resolve.sources), "", 0, 0, "",
     "search APIs that find links for rows without a working one, in order: deezer, itunes; empty: "
     "none. Read what their terms ask (docs/INGEST.md) before you switch one on",
     NULL},
    {"resolve.contact", CONF_STR, AT(resolve.contact), "", 0, 0, "",
     "how a host can reach you, a mail address or a page; part of the User-Agent, and needed for "
     "sources",
     NULL},
    {"resolve.country", CONF_STR, AT(resolve.country), "US", 0, 0, "",
     "whose shop iTunes searches, as two letters", NULL},
    {"resolve.pages", CONF_U64, AT(resolve.pages), "5", 1, 50, "pages",
     "most pages of one artist that a source is asked for before its songs are asked for one by "
     "one",
     NULL},
    {"resolve.deezer_url", CONF_STR, AT(resolve.deezer_url), "https://api.deezer.com", 0, 0, "",
     "where the source deezer is; another address is for tests", NULL},
    {"resolve.itunes_url", CONF_STR, AT(resolve.itunes_url), "https://itunes.apple.com", 0, 0, "",
     "where the source itunes is; another address is for tests", NULL},

    {"spool.high_water", CONF_U64, AT(spool.high_water_mib), "1024", 1, 1e9, "MiB",
     "fetch pauses while more waits for extract", NULL},
    {"spool.bad_max", CONF_U64, AT(spool.bad_max_mib), "256", 0, 1e9, "MiB",
     "audio that was set aside is kept up to this, to be looked at; its cause is kept in any case",
     NULL},

    {"clip.policy", CONF_ENUM, AT(clip.policy), "random", 1, 256, "",
     "where clips are cut: one, drawn from seed and track, at the start or in the middle; all: "
     "every whole window; a number: so many, drawn from as many equal parts of the track",
     "random|start|middle|all"},
    {"clip.ms", CONF_U64, AT(clip.ms), "10000", 100, 600000, "ms", "length of a clip", NULL},
    {"clip.short", CONF_ENUM, AT(clip.shorter), "reject", 0, 0, "",
     "previews shorter than clip.ms: set aside, or one clip with silence behind it", "reject|pad"},

    {"features.kind", CONF_ENUM, AT(features.kind), "mel", 0, 0, "",
     "log-mel, or another as librosa's defaults make it, which needs store.dtype = f32",
     "mel|mfcc|chroma|tempogram|cqt"},
    {"features.preset", CONF_ENUM, AT(features.preset), "librosa-0.10", 0, 0, "",
     "whose conventions, and whose numbers where a key below is 0",
     "librosa-0.10|librosa-0.8|torchaudio|kaldi-ast|whisper"},
    {"features.rate", CONF_U64, AT(features.rate_hz), "0", 0, 192000, "Hz",
     "rate that clips are resampled to; 0: the preset's (librosa 22050, others 16000)", NULL},
    {"features.n_fft", CONF_U64, AT(features.n_fft), "0", 0, 65536, "samples",
     "FFT and window length, with factors 2, 3 and 5; 0: the preset's (librosa 2048)", NULL},
    {"features.hop", CONF_U64, AT(features.hop), "0", 0, 65536, "samples",
     "step from frame to frame; 0: the preset's (librosa 512)", NULL},
    {"features.n_mels", CONF_U64, AT(features.n_mels), "0", 0, 1024, "bands",
     "mel bands; 0: the preset's (whisper 80, others 128)", NULL},
    {"features.f_min", CONF_F64, AT(features.f_min_hz), "0", 0, 96000, "Hz",
     "lower edge of the lowest band; 0: the preset's (kaldi-ast 20, others 0)", NULL},
    {"features.f_max", CONF_F64, AT(features.f_max_hz), "0", 0, 96000, "Hz",
     "upper edge of the highest band; 0: half the rate", NULL},
    {"features.top_db", CONF_F64, AT(features.top_db), "0", 0, 200, "dB",
     "range kept below the clip's maximum; 0: the preset's (librosa 80, torchaudio none)", NULL},

    {"augment.positives", CONF_U64, AT(augment.positives), "1", 0, 255, "views",
     "augmented views stored beside each clip", NULL},
    {"augment.epoch", CONF_U64, AT(augment.epoch), "0", 0, 9e15, "",
     "another number draws every positive anew, from the same seed", NULL},
    {"augment.chain", CONF_STR, AT(augment.chain),
     "gaussian_noise(0.001,0.015,p=0.5) time_stretch(0.8,1.25,p=0.5) pitch_shift(-4,4,p=0.5) "
     "gain(-5,5,p=1) gaussian_snr(5,10,p=1)",
     0, 0, "", "transforms in order, each with its range and probability", NULL},

    {"extract.threads", CONF_U64, AT(extract.threads), "0", 0, 256, "threads",
     "workers that decode and compute; 0: one a core, up to 8", NULL},
    {"extract.queue", CONF_U64, AT(extract.queue), "64", 1, 4096, "tracks",
     "finished tracks that may wait for the writer", NULL},
    {"extract.max_ms", CONF_U64, AT(extract.max_ms), "600000", 100, 3600000, "ms",
     "longer audio is set aside: it is no preview", NULL},

    {"sandbox.filter", CONF_ENUM, AT(sandbox.filter), "prefer", 0, 0, "",
     "where the kernel or a container refuses the system call filter (seccomp) for processes that "
     "decode: go on with their resource limits alone and say so, or stop",
     "prefer|require"},
    {"sandbox.items", CONF_U64, AT(sandbox.items), "256", 1, 1e9, "previews",
     "decoded by a process before a new one takes its place; 1: each in one of its own", NULL},

    {"store.dtype", CONF_ENUM, AT(store.dtype), "u8", 0, 0, "",
     "KB a clip: u8 37 within 0.158 dB; raw 55, the same, for RAM; archive 34, the same, read at a "
     "twentieth; u12 66 within 0.01 dB; f32 160, exact",
     "u8|u12|f32|raw|archive"},
    {"store.zstd_level", CONF_U64, AT(store.zstd_level), "1", 1, 19, "",
     "higher levels cost time and save nothing on these data", NULL},
    {"store.map", CONF_U64, AT(store.map_gib), "1024", 1, 65536, "GiB",
     "address space the store may grow into; no file grows by it", NULL},
    {"store.commit_clips", CONF_U64, AT(store.commit_clips), "256", 1, 65536, "clips",
     "a commit at the latest after so many clips", NULL},
    {"store.commit_ms", CONF_U64, AT(store.commit_ms), "5000", 10, 600000, "ms",
     "a commit at the latest after this time", NULL},

    {"match.sequences", CONF_BOOL, AT(match.sequences), "off", 0, 0, "",
     "extract also writes what refrain search and refrain match --all need: 3 KB and 50 ms a song",
     NULL},

    {"train.model", CONF_ENUM, AT(train.model), "cnn", 0, 0, "",
     "the network: cnn is small and quick, resnet18 is torchvision's", "cnn|resnet18"},
    {"train.precision", CONF_ENUM, AT(train.precision), "auto", 0, 0, "",
     "of activations; auto: bf16 for resnet18 on processors with AMX, else f32-winograd (3x3 by "
     "Winograd) with AVX2 or AVX-512, else f32",
     "auto|f32|bf16|f32-winograd"},
    {"train.threads", CONF_U64, AT(train.threads), "0", 0, 256, "threads",
     "0: one a core; the same number gives the same bits", NULL},
    {"train.epochs", CONF_U64, AT(train.epochs), "10", 1, 10000, "",
     "passes over the training tracks", NULL},
    {"train.batch", CONF_U64, AT(train.batch), "32", 2, 4096, "triplets",
     "triplets in a step: two clips each, and a third one where negatives are drawn", NULL},
    {"train.steps_per_epoch", CONF_U64, AT(train.steps_per_epoch), "0", 0, 1e9, "steps",
     "0: every training clip is an anchor once", NULL},
    {"train.patience", CONF_U64, AT(train.patience), "0", 0, 10000, "epochs",
     "stop after so many epochs without a better validation loss; 0: never", NULL},
    {"train.optimizer", CONF_ENUM, AT(train.optimizer), "adam", 0, 0, "",
     "torch.optim's Adam, AdamW or SGD with momentum 0.9", "adam|adamw|sgd"},
    {"train.learning_rate", CONF_F64, AT(train.learning_rate), "0.001", 1e-9, 10, "",
     "the optimizer's step", NULL},
    {"train.schedule", CONF_ENUM, AT(train.schedule), "constant", 0, 0, "",
     "the learning rate stays, or falls to 0 at the end of the run", "constant|linear|cosine"},
    {"train.warmup", CONF_U64, AT(train.warmup_steps), "0", 0, 1e9, "steps",
     "first steps over which the learning rate rises to its value", NULL},
    {"train.weight_decay", CONF_F64, AT(train.weight_decay), "0.0001", 0, 1, "",
     "L2 term added to the gradient; adamw: share of the step by which weights shrink", NULL},
    {"train.gradient_clip", CONF_F64, AT(train.gradient_clip), "0", 0, 1e9, "",
     "longest gradient of a step, as a global L2 norm; 0: any", NULL},
    {"train.accumulate", CONF_U64, AT(train.accumulate), "1", 1, 1024, "batches",
     "batches whose mean gradient makes a step: larger steps in the same memory", NULL},
    {"train.cache", CONF_F64, AT(train.cache_gib), "16", 0, 1e6, "GiB",
     "most disk for the activations of frozen layers (--unfreeze, train.jitter off), which are "
     "then "
     "computed once; 0: none are kept",
     NULL},
    {"train.pin", CONF_F64, AT(train.pin_gib), "0", 0, 1e6, "GiB",
     "memory for records that stay there from one epoch to the next, where data exceed memory and "
     "the disk is slow (refrain store doctor says whether it is); 0: none",
     NULL},
    {"train.loss", CONF_ENUM, AT(train.loss), "triplet", 0, 0, "",
     "what is trained; the triplet loss is reported in any case", "triplet|ntxent"},
    {"train.margin", CONF_F64, AT(train.margin), "1", 0, 4, "", "margin of the triplet loss", NULL},
    {"train.temperature", CONF_F64, AT(train.temperature), "0.1", 0.001, 10, "",
     "of ntxent: cosines are divided by it", NULL},
    {"train.negatives", CONF_ENUM, AT(train.negatives), "semi_hard", 0, 0, "",
     "what pushes an anchor away: a clip drawn for it alone, or of the batch's clips of other "
     "songs all, the nearest beyond the positive, the nearest",
     "drawn|batch|semi_hard|hardest"},
    {"train.jitter", CONF_BOOL, AT(train.jitter), "on", 0, 0, "",
     "change training pictures a little each time they are read: floor, tilt, pitch, masks", NULL},
    {"train.dropout", CONF_F64, AT(train.dropout), "0.1", 0, 0.9, "",
     "share of the pooled features that a training step leaves out", NULL},
    {"train.versions", CONF_F64, AT(train.versions), "0.5", 0, 1, "",
     "with --groups: share of positives that are another version of the anchor's work", NULL},
    {"train.validation_share", CONF_F64, AT(train.validation_share), "0.15", 0.01, 0.9, "",
     "share of tracks (or of groups) that training never sees", NULL},

    {"run.backoff", CONF_U64, AT(run.backoff_ms), "1000", 10, 3600000, "ms",
     "wait before a stage that failed is started again, doubled each time", NULL},
    {"run.backoff_max", CONF_U64, AT(run.backoff_max_ms), "60000", 10, 86400000, "ms",
     "longest such wait", NULL},
    {"run.attempts", CONF_U64, AT(run.attempts), "20", 0, 1e6, "",
     "failures of a stage in a row that end the run; 0: never", NULL},
    {"run.drain", CONF_U64, AT(run.drain_ms), "120000", 100, 86400000, "ms",
     "a stage that takes longer to stop is killed; nothing that is committed is lost", NULL},
};

const struct conf_table settings_table = {keys, ARRAY_LEN(keys)};

/* A newer layout may hold keys that this program does not know: its version is read on its own. */
static uint64_t version_alone(struct span text)
{
    static const char name[] = "version";
    const char *at = text.ptr, *end = at + text.len;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((newline == NULL ? end : newline) - at);
        char line[64], *rest;
        snprintf(line, sizeof line, "%.*s", (int)size_min(n, sizeof line - 1), at);
        if (strncmp(line, name, strlen(name)) == 0) {
            rest = line + strlen(name) + strspn(line + strlen(name), " \t");
            if (*rest == '=')
                return strtoull(rest + 1, NULL, 10);
        }
        at += n + 1;
    }
    return SETTINGS_VERSION;
}

bool settings_load(const char *path, struct settings *out, struct err *e)
{
    struct buf text;
    buf_init(&text, SETTINGS_FILE_BYTES);
    bool ok = false;
    if (!file_read_all(path, &text, e))
        goto out;
    uint64_t version = version_alone(buf_span(&text));
    if (version > SETTINGS_VERSION) {
        err_set(e, ERR_USAGE,
                "%s is version %" PRIu64 " and this refrain knows up to %d: use a newer refrain",
                path, version, SETTINGS_VERSION);
        goto out;
    }
    conf_defaults(&settings_table, out);
    ok = conf_parse(&settings_table, buf_span(&text), path, out, e);
out:
    if (!ok)
        e->kind = ERR_USAGE;
    buf_release(&text);
    return ok;
}
