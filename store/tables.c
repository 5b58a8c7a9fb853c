#include "store/tables.h"

#include "base/hash.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---------------------------------------------------------------- totals */

void totals_add_record(struct totals *t, uint64_t key, struct span record,
                       const struct record_info *info)
{
    uint64_t n_values = (uint64_t)info->n_frames * info->n_mels;
    double square = (double)info->rms_err_db * (double)info->rms_err_db * (double)n_values;
    if (t->clips == 0) {
        t->n_frames = info->n_frames;
        t->n_mels = info->n_mels;
    }
    if (info->n_frames != t->n_frames || info->n_mels != t->n_mels)
        t->mixed_shapes = true;
    t->clips++;
    t->payload_bytes += info->payload_bytes;
    t->root += hash64(record.ptr, record.len, key);
    t->n_values += n_values;
    t->square_err_q20 += (uint64_t)fmin(square * (1 << 20), 0x1p40);
    t->max_err_db = info->max_err_db > t->max_err_db ? info->max_err_db : t->max_err_db;
}

void totals_add_track(struct totals *t, uint64_t row, struct span entry)
{
    t->tracks++;
    t->track_root += hash64(entry.ptr, entry.len, row);
}

double totals_rms_err_db(const struct totals *t)
{
    if (t->n_values == 0)
        return 0;
    return sqrt((double)t->square_err_q20 / (1 << 20) / (double)t->n_values);
}

static MDB_val text_val(const char *text)
{
    return (MDB_val){strlen(text), (void *)(uintptr_t)text};
}

bool meta_is_new(const struct env *env, MDB_txn *txn)
{
    MDB_val key = text_val("recipe"), value;
    return mdb_get(txn, env->meta, &key, &value) == MDB_NOTFOUND;
}

bool meta_put_totals(const struct env *env, MDB_txn *txn, const struct totals *t, struct err *e)
{
    uint32_t max_err_bits;
    memcpy(&max_err_bits, &t->max_err_db, sizeof max_err_bits);
    uint64_t words[TOTALS_BYTES / 8] = {
        t->clips,    t->tracks,         t->payload_bytes, t->root,     t->track_root,
        t->n_values, t->square_err_q20, max_err_bits,     t->n_frames, t->n_mels,
    };
    words[8] |= (uint64_t)t->mixed_shapes << 32;
    MDB_val key = text_val("totals"), value = {sizeof words, words};
    int rc = mdb_put(txn, env->meta, &key, &value, 0);
    return rc == MDB_SUCCESS || env_err(e, rc, "cannot write the totals", env);
}

bool meta_get_totals(const struct env *env, MDB_txn *txn, struct totals *out, struct err *e)
{
    uint64_t words[TOTALS_BYTES / 8];
    MDB_val key = text_val("totals"), value;
    int rc = mdb_get(txn, env->meta, &key, &value);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot read the totals", env);
    if (value.mv_size != sizeof words)
        return err_set(e, ERR_FATAL, "%s is damaged: its totals are %zu bytes, not %zu", env->dir,
                       value.mv_size, sizeof words);
    memcpy(words, value.mv_data, sizeof words);
    *out = (struct totals){.clips = words[0],
                           .tracks = words[1],
                           .payload_bytes = words[2],
                           .root = words[3],
                           .track_root = words[4],
                           .n_values = words[5],
                           .square_err_q20 = words[6],
                           .n_frames = (uint32_t)words[8],
                           .n_mels = (uint32_t)words[9],
                           .mixed_shapes = (words[8] >> 32) != 0};
    uint32_t max_err_bits = (uint32_t)words[7];
    memcpy(&out->max_err_db, &max_err_bits, sizeof max_err_bits);
    return true;
}

/* ---------------------------------------------------------------- recipe */

/* The recipe's head: schema, dtype and spec hash as three little-endian 64-bit words. */
enum { RECIPE_HEAD_BYTES = 24 };

bool meta_put_recipe(const struct env *env, MDB_txn *txn, const struct store_recipe *recipe,
                     struct err *e)
{
    uint8_t bytes[RECIPE_HEAD_BYTES + STORE_RECIPE_BYTES];
    uint64_t head[3] = {STORE_SCHEMA, (uint64_t)recipe->dtype, recipe->spec_hash};
    size_t len = strlen(recipe->text);
    memcpy(bytes, head, sizeof head);
    memcpy(bytes + sizeof head, recipe->text, len);
    MDB_val key = text_val("recipe"), value = {sizeof head + len, bytes};
    int rc = mdb_put(txn, env->meta, &key, &value, 0);
    return rc == MDB_SUCCESS || env_err(e, rc, "cannot write the recipe", env);
}

bool meta_get_recipe(const struct env *env, MDB_txn *txn, struct store_recipe *out, struct err *e)
{
    uint64_t head[3];
    MDB_val key = text_val("recipe"), value;
    int rc = mdb_get(txn, env->meta, &key, &value);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot read the recipe", env);
    if (value.mv_size < sizeof head || value.mv_size - sizeof head >= STORE_RECIPE_BYTES)
        return err_set(e, ERR_FATAL, "%s is damaged: its recipe is %zu bytes", env->dir,
                       value.mv_size);
    memcpy(head, value.mv_data, sizeof head);
    if (head[0] != STORE_SCHEMA)
        return err_set(e, ERR_USAGE,
                       "%s has schema %" PRIu64 ", this program reads %d: use a newer refrain",
                       env->dir, head[0], STORE_SCHEMA);
    if (!record_dtype_check(head[1], e))
        return err_wrap(e, "%s", env->dir);
    *out = (struct store_recipe){.dtype = (enum record_dtype)head[1], .spec_hash = head[2]};
    memcpy(out->text, (const uint8_t *)value.mv_data + sizeof head, value.mv_size - sizeof head);
    return true;
}

/* ---------------------------------------------------------------- values */

size_t value_padded_bytes(size_t record_bytes, size_t page_bytes)
{
    /* LMDB 0.9 keeps a value in the leaf while two such nodes fit a page: (page - 16) / 2, less an
     * index of 2, a node header of 8 and our key of 8. A longer one gets pages of its own, after a
     * page header of 16 (mdb.c: me_nodemax, OVPAGES). */
    size_t leaf_max = (((page_bytes - 16) / 2) & ~(size_t)1) - 2 - 8 - 8;
    if (record_bytes <= leaf_max)
        return record_bytes;
    return (record_bytes + 16 + page_bytes - 1) / page_bytes * page_bytes - 16;
}

/* ---------------------------------------------------------------- track entries */

/* u16 version, u8 id length, u8 0, u32 views, u64 source id, the id; then for each view u16 clip
 * and view (the key's low bits), u16 length, text. */
enum { ENTRY_VERSION = 1, ENTRY_HEAD_BYTES = 16, ENTRY_VIEW_BYTES = 4 };

bool track_entry_write(const struct store_track *track, struct buf *out, struct err *e)
{
    size_t id_bytes = strlen(track->track_id);
    uint8_t head[ENTRY_HEAD_BYTES] = {ENTRY_VERSION, 0, (uint8_t)id_bytes};
    uint32_t n_views = (uint32_t)track->n_views;
    memcpy(head + 4, &n_views, sizeof n_views);
    memcpy(head + 8, &track->source_id, sizeof track->source_id);
    buf_reset(out);
    if (!buf_append(out, head, sizeof head, e) || !buf_append(out, track->track_id, id_bytes, e))
        return false;
    for (size_t i = 0; i < track->n_views; i++) {
        const struct store_view *view = &track->views[i];
        size_t len = strlen(view->augment);
        uint16_t words[2] = {(uint16_t)view->key, (uint16_t)len};
        if (!buf_append(out, words, sizeof words, e) || !buf_append(out, view->augment, len, e))
            return false;
    }
    return true;
}

static bool entry_damaged(struct span entry, struct err *e)
{
    return err_set(e, ERR_PERM, "damaged track entry of %zu bytes", entry.len);
}

bool track_entry_info(struct span entry, struct store_track_info *out, struct err *e)
{
    const uint8_t *p = entry.ptr;
    if (entry.len < ENTRY_HEAD_BYTES || p[0] != ENTRY_VERSION || p[1] != 0 ||
        p[2] >= STORE_TRACK_ID_BYTES || entry.len < ENTRY_HEAD_BYTES + (size_t)p[2])
        return entry_damaged(entry, e);
    *out = (struct store_track_info){0};
    memcpy(&out->n_views, p + 4, sizeof out->n_views);
    memcpy(&out->source_id, p + 8, sizeof out->source_id);
    memcpy(out->track_id, p + ENTRY_HEAD_BYTES, p[2]);
    return out->n_views <= STORE_VIEWS_MAX || entry_damaged(entry, e);
}

/* One view of an entry; views are walked from *at. */
struct entry_view {
    uint16_t key_low;
    struct span augment;
};

static bool entry_next(struct span entry, size_t *at, struct entry_view *out, struct err *e)
{
    const uint8_t *p = entry.ptr;
    uint16_t words[2];
    static_assert(sizeof words == ENTRY_VIEW_BYTES, "as written");
    if (entry.len - *at < sizeof words)
        return entry_damaged(entry, e);
    memcpy(words, p + *at, sizeof words);
    *at += sizeof words;
    if (entry.len - *at < words[1] || words[1] >= STORE_AUGMENT_BYTES)
        return entry_damaged(entry, e);
    *out = (struct entry_view){words[0], {p + *at, words[1]}};
    *at += words[1];
    return true;
}

static size_t entry_first(struct span entry)
{
    return ENTRY_HEAD_BYTES + (size_t)((const uint8_t *)entry.ptr)[2];
}

bool track_entry_key(struct span entry, uint64_t row, uint32_t view_i, uint64_t *out, struct err *e)
{
    struct store_track_info info;
    struct entry_view view = {0};
    if (!track_entry_info(entry, &info, e))
        return false;
    assert(view_i < info.n_views);
    size_t at = entry_first(entry);
    for (uint32_t i = 0; i <= view_i; i++) {
        if (!entry_next(entry, &at, &view, e))
            return false;
    }
    *out = row << 16 | view.key_low;
    return true;
}

bool track_entry_augment(struct span entry, uint64_t key, char out[STORE_AUGMENT_BYTES],
                         struct err *e)
{
    struct store_track_info info;
    struct entry_view view;
    out[0] = '\0';
    if (!track_entry_info(entry, &info, e))
        return false;
    size_t at = entry_first(entry);
    for (uint32_t i = 0; i < info.n_views; i++) {
        if (!entry_next(entry, &at, &view, e))
            return false;
        if (view.key_low == (uint16_t)key) {
            memcpy(out, view.augment.ptr, view.augment.len);
            out[view.augment.len] = '\0';
            return true;
        }
    }
    return true;
}
