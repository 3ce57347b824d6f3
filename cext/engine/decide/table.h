/* The verdict table: which ruling holds for a destination. Writers share one mutex (that of the epochs); workers read
 * inside their turns without a lock. */
#ifndef TG_TABLE_H
#define TG_TABLE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/epoch.h"
#include "decide/verdict.h"
#include "engine.h"

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

struct tg_verdicts {
    _Atomic(struct tg_table *) table;
    uint64_t entry_count;
    uint64_t seed;
    struct tg_epochs *epochs;
};

/* 0, -ENOMEM, or the errno of what gives randomness. */
int table_init(struct tg_verdicts *verdicts, struct tg_epochs *epochs);
void table_destroy(struct tg_verdicts *verdicts); /* after the workers have ended */
int table_set(struct tg_verdicts *verdicts, uint32_t scope, const tg_address *address, struct tg_ruling *ruling);
int table_remove(struct tg_verdicts *verdicts, uint32_t scope, const tg_address *address);
/* Gives a reference. NULL: nothing was decided. */
struct tg_ruling *table_find(struct tg_verdicts *verdicts, uint32_t scope, const tg_address *address);

#endif
