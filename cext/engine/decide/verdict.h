/* What is decided for a destination, and whose counters it moves. Decided by the caller, put in force here, read by
 * workers without a lock. */
#ifndef TG_VERDICT_H
#define TG_VERDICT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/epoch.h"
#include "engine.h"

/* One worker's share of a group's counters: a cache line of its own. */
struct tg_share {
    _Alignas(64) _Atomic uint64_t opened;
    _Atomic uint64_t connect_failures;
    _Atomic uint64_t refused;
    _Atomic uint64_t bytes[2];
    _Atomic uint64_t ended[TG_INTERNAL_ERROR + 1]; /* of those closed, by reason */
    _Atomic uint64_t retries;
};

/* Lives as long as the engine: counters never go back. */
struct tg_group {
    uint64_t id;
    struct tg_group *next; /* in its hash chain */
    _Atomic uint64_t admitted;
    struct tg_share *share; /* [worker] */
};

struct tg_groups {
    struct tg_group **all; /* in the order of creation, for walks */
    size_t count;
    size_t room;
    struct tg_group *chains[1024];
};

struct tg_target {
    tg_address address;
    uint64_t ceiling; /* weights up to and including this one */
    struct tg_group *group;
};

/* Of the log; in the same block of memory as the ruling, behind its targets. */
struct tg_log_texts {
    const char *protocol;
    const char *lane;
    const char *lane_reason;
};

/* A tg_verdict made ready for use. Immutable but for `turn`; counted references: one of the table's, one for each
 * connection. */
struct tg_ruling {
    struct tg_retired retired;
    _Atomic uint64_t references;
    _Atomic uint64_t turn; /* of round robin */
    tg_verdict asked;      /* its endpoints pointer is not used */
    struct tg_group *group;
    uint64_t stride;
    struct tg_log_texts texts;
    uint32_t target_count;
    struct tg_target targets[];
};

struct tg_entry {
    struct tg_retired retired;
    _Atomic(struct tg_entry *) next;
    _Atomic(struct tg_ruling *) ruling;
    tg_address address;
    uint32_t scope;
};

struct tg_table {
    struct tg_retired retired;
    uint64_t mask;
    _Atomic(struct tg_entry *) chains[];
};

/* verdict.c. NULL from ruling_new: no memory. */
struct tg_ruling *ruling_new(struct tg_engine *engine, const tg_verdict *verdict);
void ruling_release(struct tg_ruling *ruling); /* drops one reference */
/* The first target to try; there must be one. `random` is any number. */
uint32_t ruling_pick(struct tg_ruling *ruling, uint64_t random);

/* table.c: writers under engine->control, readers inside a worker's turn. */
int table_init(struct tg_engine *engine);
void table_destroy(struct tg_engine *engine); /* after the workers have ended */
int table_set(struct tg_engine *engine, uint32_t scope, const tg_address *address, struct tg_ruling *ruling);
int table_remove(struct tg_engine *engine, uint32_t scope, const tg_address *address);
/* Gives a reference. NULL: nothing was decided. */
struct tg_ruling *table_find(struct tg_engine *engine, uint32_t scope, const tg_address *address);

/* groups.c: under engine->control. NULL: no memory. */
struct tg_group *group_get(struct tg_engine *engine, uint64_t id);
void groups_destroy(struct tg_groups *groups);

#endif
