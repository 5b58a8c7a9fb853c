/*
 * The reader's inside, for the other files of the room.
 */
#ifndef REFRAIN_READER_H
#define REFRAIN_READER_H

#include "store/env.h"
#include "store/pin.h"

#include <pthread.h>

/* Ranges of the file this close are one request: a seek costs more. */
enum { STORE_MERGE_GAP_BYTES = 32 << 10 };

/* What one call borrows: a parked transaction, a decoder, scratch. */
struct store_seat {
    MDB_txn *txn; /* reset while the seat is free */
    struct record_decoder *decoder;
    MDB_val *values; /* 2 * n_values_max: what was looked up, and room to sort it */
    size_t n_values_max;
    struct store_seat *next;
};

struct store {
    struct env env;
    struct pin *_Atomic pin;   /* set once, or NULL */
    bool stays_small;          /* set before other threads read */
    _Atomic size_t n_touched;  /* records since pages were dropped, if it stays small */
    pthread_rwlock_t map_lock; /* read: a transaction is open; write: the map may move */
    pthread_mutex_t mutex;
    pthread_cond_t seat_free;
    /* below: under mutex */
    struct store_seat *free_seats;
    size_t n_seats; /* free or borrowed */
};

/* Begins a read transaction; the map cannot move until store_leave. */
MUST_CHECK bool store_enter(struct store *s, struct store_seat **out, struct err *e);
void store_leave(struct store *s, struct store_seat *seat);

/* The value of a record, padding included, lent until store_leave; does not touch its pages. A
 * missing one is ERR_PERM naming the key. */
MUST_CHECK bool store_lookup(struct store *s, struct store_seat *seat, uint64_t key, MDB_val *out,
                             struct err *e);

/* Room for n values. */
void store_seat_reserve(struct store_seat *seat, size_t n);

/* A record was read, before store_leave. Of a store that stays small, pages are dropped now and
 * then: what was looked up stays valid. */
void store_touched(struct store *s);

/* Asks the kernel for the pages of seat->values[0, n), in the background. */
void store_ask_for_pages(struct store *s, struct store_seat *seat, size_t n);

/* Every entry of a table in key order, records with their pages asked for some ahead; fn returns
 * false to stop. Returns an LMDB code. */
typedef bool store_walk_fn(void *arg, uint64_t key, MDB_val value);
MUST_CHECK int store_walk(struct store *s, struct store_seat *seat, MDB_dbi table,
                          store_walk_fn *fn, void *arg);

#endif
