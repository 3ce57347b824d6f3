/* Requests to databases one by one, for viewers: as many as wait in a ring; what finds it full is counted. */
#ifndef TG_DATABASE_WAITING_H
#define TG_DATABASE_WAITING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "database/spec.h"

enum { STATEMENT_RING = 1024 };

struct statement_ring {
    _Atomic bool on;
    pthread_mutex_t lock; /* of what follows; a worker holds it for one copy */
    uint64_t dropped;
    uint32_t first;
    uint32_t count;
    tg_statement waiting[STATEMENT_RING];
};

/* Any worker. */
void statements_put(struct statement_ring *ring, const tg_statement *statement);

/* Empties it as well. */
void statements_switch(struct statement_ring *ring, bool on);

/* Oldest first. *dropped: how many were lost since it was last asked. */
int statements_take(struct statement_ring *ring, tg_statement *out, int max, uint64_t *dropped);

#endif
