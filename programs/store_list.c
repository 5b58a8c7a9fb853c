#include "programs/store_list.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/npy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- stat */

static void stat_json(const struct store_stat *st, FILE *out)
{
    struct json j;
    json_init(&j, out);
    json_object(&j, NULL);
    json_u64(&j, "clips", st->clips);
    json_u64(&j, "tracks", st->tracks);
    json_u64(&j, "file_bytes", st->file_bytes);
    json_u64(&j, "payload_bytes", st->payload_bytes);
    json_f64(&j, "bytes_per_clip", st->clips ? (double)st->file_bytes / (double)st->clips : 0);
    json_str(&j, "dtype", record_dtype_name(st->dtype));
    json_f64(&j, "max_error_db", st->max_err_db);
    json_f64(&j, "rms_error_db", st->rms_err_db);
    json_hex64(&j, "spec", st->spec_hash);
    json_hex64(&j, "root", st->root);
    json_str(&j, "recipe", st->recipe);
    json_end(&j);
    json_finish(&j);
}

void store_print_stat(const struct store_stat *st, bool as_json, FILE *out)
{
    if (as_json) {
        stat_json(st, out);
        return;
    }
    uint64_t n = st->clips ? st->clips : 1;
    fprintf(out, "clips        %" PRIu64 " of %" PRIu64 " tracks\n", st->clips, st->tracks);
    fprintf(out, "file         %.1f MB, %.1f KB a clip (%.1f KB of it compressed values)\n",
            (double)st->file_bytes / 1e6, (double)st->file_bytes / 1e3 / (double)n,
            (double)st->payload_bytes / 1e3 / (double)n);
    fprintf(out, "dtype        %s\n", record_dtype_name(st->dtype));
    fprintf(out, "error        at most %.4f dB, %.4f dB root mean square, measured when written\n",
            st->max_err_db, st->rms_err_db);
    fprintf(out, "spec         %016" PRIx64 "\n", st->spec_hash);
    fprintf(out, "root         %016" PRIx64 "\n", st->root);
}

/* ---------------------------------------------------------------- ls */

struct listing {
    struct store *store;
    struct json *json; /* NULL: lines */
    FILE *out;
    struct store_track_info track; /* of row */
    uint64_t row;
    bool has_row;
    bool failed;
    struct err err;
};

static void record_json(struct json *j, uint64_t key, const char *track_id,
                        const struct record_info *info, const char *augment)
{
    json_str(j, "track", track_id);
    json_u64(j, "row", store_key_row(key));
    json_u64(j, "clip", store_key_clip(key));
    json_u64(j, "view", store_key_view(key));
    json_u64(j, "start_ms", info->start_ms);
    json_array(j, "shape");
    json_u64(j, NULL, info->n_frames);
    json_u64(j, NULL, info->n_mels);
    json_end(j);
    json_str(j, "augment", augment);
    json_str(j, "dtype", record_dtype_name(info->dtype));
    json_u64(j, "bytes", RECORD_HEADER_BYTES + info->payload_bytes);
    json_f64(j, "ref_db", (double)info->ref_db);
    json_f64(j, "max_error_db", (double)info->max_err_db);
    json_f64(j, "rms_error_db", (double)info->rms_err_db);
    json_hex64(j, "source", info->source_id);
    json_hex64(j, "spec", info->spec_hash);
}

static bool list_record(void *arg, uint64_t key, struct span record)
{
    struct listing *l = arg;
    struct record_info info;
    char augment[STORE_AUGMENT_BYTES];
    uint64_t row = store_key_row(key);
    (void)record;
    if (!l->has_row || l->row != row) {
        l->has_row = store_get_track(l->store, row, &l->track, &l->err);
        l->row = row;
    }
    l->failed = !l->has_row || !store_get_info(l->store, key, &info, augment, &l->err);
    if (l->failed)
        return false;
    if (l->json) {
        json_object(l->json, NULL);
        record_json(l->json, key, l->track.track_id, &info, augment);
        json_end(l->json);
    } else {
        fprintf(l->out, "%10" PRIu64 "  %-24s %4u %4u %8u %8u %8.4f  %s\n", row, l->track.track_id,
                store_key_clip(key), store_key_view(key), info.start_ms,
                RECORD_HEADER_BYTES + info.payload_bytes, (double)info.max_err_db, augment);
    }
    return true;
}

bool store_print_list(struct store *s, bool as_json, FILE *out, struct err *e)
{
    struct json j = {0};
    struct listing l = {.store = s, .json = as_json ? &j : NULL, .out = out};
    if (as_json) {
        json_init(&j, out);
        json_array(&j, NULL);
    } else {
        fprintf(out, "%10s  %-24s %4s %4s %8s %8s %8s  %s\n", "row", "track", "clip", "view",
                "start_ms", "bytes", "error_db", "augment");
    }
    bool ok = store_each(s, list_record, &l, e);
    if (ok && l.failed) {
        *e = l.err;
        ok = false;
    }
    if (as_json) {
        json_end(&j);
        json_finish(&j);
    }
    return ok;
}

/* ---------------------------------------------------------------- get */

struct finding {
    const char *track_id;
    uint64_t row;
    bool found;
};

static bool match_track(void *arg, uint64_t row, const struct store_track_info *info)
{
    struct finding *f = arg;
    f->found = strcmp(info->track_id, f->track_id) == 0;
    f->row = row;
    return !f->found;
}

bool store_find_row(struct store *s, const char *track_or_row, uint64_t *out, struct err *e)
{
    struct finding f = {.track_id = track_or_row};
    struct store_track_info info;
    if (!store_each_track(s, match_track, &f, e))
        return false;
    if (f.found) {
        *out = f.row;
        return true;
    }
    char *end;
    errno = 0;
    uint64_t row = strtoull(track_or_row, &end, 10);
    if (*track_or_row < '0' || *track_or_row > '9' || *end != '\0' || errno != 0)
        return err_set(e, ERR_PERM, "no track \"%s\" in the store", track_or_row);
    *out = row;
    return store_get_track(s, row, &info, e);
}

static bool values_write(struct store *s, uint64_t key, const struct record_info *info,
                         const char *path, struct err *e)
{
    size_t n = (size_t)info->n_frames * info->n_mels;
    uint64_t shape[2] = {info->n_frames, info->n_mels};
    float *db = mem_alloc_aligned(n, sizeof *db);
    bool ok = store_read_batch(s, &key, 1, info->n_frames, info->n_mels, db, e) &&
              npy_write(path, "<f4", shape, ARRAY_LEN(shape), (struct span){db, n * sizeof *db}, e);
    mem_free(db);
    return ok;
}

bool store_print_record(struct store *s, uint64_t key, const char *npy_path, bool as_json,
                        FILE *out, struct err *e)
{
    struct store_track_info track;
    struct record_info info;
    char augment[STORE_AUGMENT_BYTES];
    if (!store_get_track(s, store_key_row(key), &track, e) ||
        !store_get_info(s, key, &info, augment, e) ||
        (npy_path && !values_write(s, key, &info, npy_path, e)))
        return false;
    if (as_json) {
        struct json j;
        json_init(&j, out);
        json_object(&j, NULL);
        record_json(&j, key, track.track_id, &info, augment);
        json_u64(&j, "views", track.n_views);
        json_str(&j, "file", npy_path);
        json_end(&j);
        json_finish(&j);
        return true;
    }
    fprintf(out, "track    %s (row %" PRIu64 "), clip %u, view %u of %u\n", track.track_id,
            store_key_row(key), store_key_clip(key), store_key_view(key), track.n_views);
    fprintf(out, "start    %.3f s into its preview\n", info.start_ms / 1e3);
    fprintf(out, "shape    %u frames by %u mels, %s, %u bytes\n", info.n_frames, info.n_mels,
            record_dtype_name(info.dtype), RECORD_HEADER_BYTES + info.payload_bytes);
    fprintf(out, "error    at most %.4f dB, %.4f dB root mean square\n", (double)info.max_err_db,
            (double)info.rms_err_db);
    fprintf(out, "augment  %s\n", augment[0] ? augment : "none");
    if (npy_path)
        fprintf(out, "values   %s\n", npy_path);
    return true;
}
