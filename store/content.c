#include "store/content.h"

#include "base/hash.h"

#include <string.h>

/* As docs/FORMAT.md has it. The hash only finds candidates: bytes are compared before one becomes
 * an alias, so a collision costs room, not truth. */
struct alias {
    char magic[4];
    uint32_t version;
    uint64_t owner; /* key of a record that is no alias */
};
static_assert(sizeof(struct alias) == 16 && sizeof(struct alias) < RECORD_HEADER_BYTES,
              "told from a record by its length");

static const char ALIAS_MAGIC[4] = {'R', 'F', 'R', 'A'};
enum { ALIAS_VERSION = 1 };

bool content_is_alias(MDB_val value)
{
    return value.mv_size == sizeof(struct alias);
}

int content_resolve(const struct env *env, MDB_txn *txn, MDB_val *value)
{
    struct alias alias;
    if (!content_is_alias(*value))
        return MDB_SUCCESS;
    memcpy(&alias, value->mv_data, sizeof alias);
    if (memcmp(alias.magic, ALIAS_MAGIC, sizeof alias.magic) != 0 || alias.version != ALIAS_VERSION)
        return MDB_CORRUPTED;
    MDB_val key = {sizeof alias.owner, &alias.owner}, owned;
    int rc = mdb_get(txn, env->clip, &key, &owned);
    if (rc == MDB_NOTFOUND || (rc == MDB_SUCCESS && content_is_alias(owned)))
        return MDB_CORRUPTED;
    if (rc == MDB_SUCCESS)
        *value = owned;
    return rc;
}

/* Looks for the record; MDB_NOTFOUND also when other bytes have the same hash, and then *taken. */
static int owner_find(const struct env *env, MDB_txn *txn, uint64_t hash, struct span record,
                      uint64_t *owner, bool *taken)
{
    MDB_val key = {sizeof hash, &hash}, value;
    int rc = mdb_get(txn, env->content, &key, &value);
    *taken = rc == MDB_SUCCESS;
    if (rc != MDB_SUCCESS || value.mv_size != sizeof *owner)
        return rc == MDB_SUCCESS ? MDB_CORRUPTED : rc;
    memcpy(owner, value.mv_data, sizeof *owner);
    key = (MDB_val){sizeof *owner, owner};
    rc = mdb_get(txn, env->clip, &key, &value);
    if (rc != MDB_SUCCESS)
        return rc;
    struct span there = value_span(value);
    bool same = there.len == record.len && memcmp(there.ptr, record.ptr, record.len) == 0;
    return same ? MDB_SUCCESS : MDB_NOTFOUND;
}

/* MDB_APPEND fills leaves whole where keys happen to come in order. */
static int clip_reserve(const struct env *env, MDB_txn *txn, uint64_t key, bool last,
                        size_t n_bytes, MDB_val *out)
{
    MDB_val k = {sizeof key, &key};
    *out = (MDB_val){n_bytes, NULL};
    int rc = mdb_put(txn, env->clip, &k, out, MDB_RESERVE | (last ? MDB_APPEND : MDB_NOOVERWRITE));
    if (rc != MDB_KEYEXIST || !last)
        return rc;
    *out = (MDB_val){n_bytes, NULL};
    return mdb_put(txn, env->clip, &k, out, MDB_RESERVE | MDB_NOOVERWRITE);
}

static int alias_put(const struct env *env, MDB_txn *txn, uint64_t key, bool last, uint64_t owner)
{
    struct alias alias = {.version = ALIAS_VERSION, .owner = owner};
    MDB_val value;
    memcpy(alias.magic, ALIAS_MAGIC, sizeof alias.magic);
    int rc = clip_reserve(env, txn, key, last, sizeof alias, &value);
    if (rc == MDB_SUCCESS)
        memcpy(value.mv_data, &alias, sizeof alias);
    return rc;
}

int content_put(const struct env *env, MDB_txn *txn, uint64_t key, struct span record, bool last,
                size_t *out_bytes)
{
    uint64_t hash = hash64(record.ptr, record.len, 0), owner;
    MDB_val value;
    bool taken;
    int rc = owner_find(env, txn, hash, record, &owner, &taken);
    *out_bytes = sizeof(struct alias);
    if (rc == MDB_SUCCESS)
        return alias_put(env, txn, key, last, owner);
    if (rc != MDB_NOTFOUND)
        return rc;
    size_t padded = value_padded_bytes(record.len, env->page_bytes);
    rc = clip_reserve(env, txn, key, last, padded, &value);
    if (rc != MDB_SUCCESS)
        return rc;
    memcpy(value.mv_data, record.ptr, record.len);
    memset((uint8_t *)value.mv_data + record.len, 0, padded - record.len);
    *out_bytes = padded + 16; /* LMDB's page header */
    if (taken)
        return MDB_SUCCESS;
    MDB_val h = {sizeof hash, &hash}, k = {sizeof key, &key};
    return mdb_put(txn, env->content, &h, &k, 0);
}
