/* Counters by group: cache lines of its own for each worker, summed when they are read. All functions but group_share
 * under one mutex; workers write their own lines without it. */
#ifndef TG_GROUPS_H
#define TG_GROUPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"

/* One worker's share of a group's counters, on cache lines of its own. */
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
    struct statement_counts *_Atomic statements; /* NULL until a database was spoken: database/counts.h */
    struct tg_share *_Atomic share[]; /* [worker]; NULL until that worker counts: most endpoints see no connection */
};

struct statement_counts;

struct tg_groups {
    unsigned workers;
    struct tg_group **all; /* in the order of creation, for walks */
    size_t count;
    size_t room;
    struct tg_group **chains; /* by a hash of the id; as many as `chain_count`, a power of two or none yet */
    size_t chain_count;
};

/* The group of that id, made when it is new. NULL: no memory. */
struct tg_group *group_get(struct tg_groups *groups, uint64_t id);
/* NULL: there is none. */
struct tg_group *group_find(const struct tg_groups *groups, uint64_t id);
/* False: nothing was ever counted for it. */
bool group_sum(const struct tg_groups *groups, const struct tg_group *group, tg_counters *out);
void groups_destroy(struct tg_groups *groups);

struct tg_share *group_first_share(struct tg_group *group, unsigned worker);

/* For the worker itself, which alone writes there. Without memory what it counts is lost: a connection is worth more
 * than its count. */
static inline struct tg_share *group_share(struct tg_group *group, unsigned worker)
{
    struct tg_share *share = atomic_load_explicit(&group->share[worker], memory_order_relaxed);
    return share != NULL ? share : group_first_share(group, worker);
}

#endif
