#include "store/order.h"

#include "base/hash.h"
#include "base/permute.h"
#include "base/rng.h"

#include <inttypes.h>
#include <string.h>

/* Separate what is drawn from one seed. */
enum { PURPOSE_BLOCKS = 0x626c6f63 /* "bloc" */, PURPOSE_WINDOW = 0x77696e64 /* "wind" */ };

bool store_order_check(const struct store_order *o, struct err *e)
{
    switch (o->mode) {
    case STORE_ORDER_FULL:
    case STORE_ORDER_TRIPLETS:
        return o->size == 0 ||
               err_set(e, ERR_USAGE, "an order of this mode has size 0, not %u", o->size);
    case STORE_ORDER_BLOCK:
        return (o->size > 0 && o->size <= STORE_WINDOW_BLOCKS_MAX) ||
               err_set(e, ERR_USAGE, "a window of %u blocks: from 1 to %d", o->size,
                       STORE_WINDOW_BLOCKS_MAX);
    case STORE_ORDER_GROUPS:
        return (o->size > 0 && o->size <= STORE_VIEWS_MAX) ||
               err_set(e, ERR_USAGE, "%u records of a track: from 1 to %d", o->size,
                       STORE_VIEWS_MAX);
    case STORE_ORDER_MODES:
        break;
    }
    return err_set(e, ERR_USAGE, "there is no order of mode %u", (unsigned)o->mode);
}

/* ---------------------------------------------------------------- order */

static uint64_t seed_for(uint64_t seed, uint32_t purpose, uint64_t item)
{
    return hash_mix64(seed ^ hash_mix64((uint64_t)purpose << 32 ^ hash_mix64(item)));
}

/*
 * The keys lie on a circle that is cut at a place drawn for the epoch. Whole blocks from there on
 * are permuted; the short one before the cut comes last, and it too is another one each epoch.
 */
static uint64_t block_at(const struct store_order *o, uint64_t n, uint64_t position)
{
    uint64_t n_whole = n / STORE_BLOCK_KEYS, window_keys = (uint64_t)o->size * STORE_BLOCK_KEYS;
    uint64_t window = position / window_keys, window_start = window * window_keys;
    uint64_t in_window = permute_at(seed_for(o->seed, PURPOSE_WINDOW, window), o->epoch,
                                    u64_min(window_keys, n - window_start), position % window_keys);
    uint64_t place = window_start + in_window, block = place / STORE_BLOCK_KEYS;
    if (block < n_whole)
        block = permute_at(seed_for(o->seed, PURPOSE_BLOCKS, 0), o->epoch, n_whole, block);
    struct rng r;
    rng_init(&r, o->seed, PURPOSE_BLOCKS, o->epoch);
    uint64_t cut = rng_below(&r, n);
    return (cut + block * STORE_BLOCK_KEYS + place % STORE_BLOCK_KEYS) % n;
}

uint64_t store_order_at(const struct store_order *o, uint64_t n, uint64_t position)
{
    assert(position < n);
    assert(o->mode == STORE_ORDER_FULL || (o->mode == STORE_ORDER_BLOCK && o->size > 0));
    return o->mode == STORE_ORDER_FULL ? permute_at(o->seed, o->epoch, n, position)
                                       : block_at(o, n, position);
}

void store_order_next(struct store_order *o, uint64_t n, uint64_t *out, size_t n_out)
{
    for (size_t i = 0; i < n_out; i++) {
        if (o->position >= n) {
            o->epoch++;
            o->position = 0;
        }
        out[i] = store_order_at(o, n, o->position++);
    }
}

/* ---------------------------------------------------------------- token */

/* As it lies on disk; all fields at their natural alignment, so without gaps. */
struct token {
    char magic[4];
    uint8_t version, mode;
    uint16_t size;
    uint64_t n_keys, root, spec_hash, seed, epoch, position;
    uint64_t checksum; /* hash64 of what stands before it, seed 0 */
};
static_assert(sizeof(struct token) == STORE_TOKEN_BYTES, "64 bytes without gaps");

static const char TOKEN_MAGIC[4] = {'R', 'F', 'R', 'O'};
enum { TOKEN_VERSION = 1 };

static uint64_t token_checksum(const struct token *t)
{
    return hash64(t, offsetof(struct token, checksum), 0);
}

void store_order_token(const struct store_order *o, const struct store_snapshot *snap,
                       uint8_t out[STORE_TOKEN_BYTES])
{
    struct token t = {.version = TOKEN_VERSION,
                      .mode = (uint8_t)o->mode,
                      .size = (uint16_t)o->size,
                      .n_keys = snap->n_keys,
                      .root = snap->root,
                      .spec_hash = snap->spec_hash,
                      .seed = o->seed,
                      .epoch = o->epoch,
                      .position = o->position};
    assert(o->size <= UINT16_MAX);
    memcpy(t.magic, TOKEN_MAGIC, sizeof t.magic);
    t.checksum = token_checksum(&t);
    memcpy(out, &t, sizeof t);
}

static bool token_parse(struct span bytes, struct token *out, struct err *e)
{
    if (bytes.len != STORE_TOKEN_BYTES)
        return err_set(e, ERR_PERM, "a resume token has %d bytes, this has %zu", STORE_TOKEN_BYTES,
                       bytes.len);
    memcpy(out, bytes.ptr, sizeof *out);
    if (memcmp(out->magic, TOKEN_MAGIC, sizeof out->magic) != 0)
        return err_set(e, ERR_PERM, "these 64 bytes are no resume token");
    if (out->version != TOKEN_VERSION)
        return err_set(e, ERR_PERM, "the resume token has version %u, known is %d", out->version,
                       TOKEN_VERSION);
    uint64_t checksum = token_checksum(out);
    return checksum == out->checksum ||
           err_set(e, ERR_PERM,
                   "the resume token is damaged: checksum %016" PRIx64 ", its bytes give "
                   "%016" PRIx64,
                   out->checksum, checksum);
}

bool store_order_restore(struct span token, const struct store_snapshot *snap,
                         struct store_order *out, struct err *e)
{
    struct token t;
    if (!token_parse(token, &t, e))
        return false;
    struct store_order o = {.mode = (enum store_order_mode)t.mode,
                            .size = t.size,
                            .seed = t.seed,
                            .epoch = t.epoch,
                            .position = t.position};
    if (t.spec_hash != snap->spec_hash)
        return err_set(e, ERR_PERM,
                       "the resume token is of features %016" PRIx64 ", the store holds "
                       "%016" PRIx64,
                       t.spec_hash, snap->spec_hash);
    if (t.n_keys != snap->n_keys || t.root != snap->root)
        return err_set(e, ERR_PERM,
                       "the data changed: the resume token is of %" PRIu64 " records with root "
                       "%016" PRIx64 ", the store holds %zu with root %016" PRIx64,
                       t.n_keys, t.root, snap->n_keys, snap->root);
    if (!store_order_check(&o, e)) {
        e->kind = ERR_PERM;
        return err_wrap(e, "resume token");
    }
    if (o.position > snap->n_keys)
        return err_set(e, ERR_PERM, "the resume token is at position %" PRIu64 " of %zu",
                       o.position, snap->n_keys);
    *out = o;
    return true;
}
