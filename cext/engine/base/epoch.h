/* Freeing what workers may still be reading. A worker reads shared tables only inside its turns; the writer takes a
 * thing out of reach, retires it, and it is freed when every worker has begun another turn or sleeps. Readers pay two
 * stores a turn and no lock. */
#ifndef TG_EPOCH_H
#define TG_EPOCH_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine.h"

#define TG_ASLEEP UINT64_MAX

/* First member of every struct that can be retired. */
struct tg_retired {
    struct tg_retired *next;
    uint64_t epoch;
    void (*release)(struct tg_retired *);
};

/* The writer's side, and whose turns it looks at. */
struct tg_epochs {
    _Atomic uint64_t now;
    struct tg_retired *retired;
    unsigned readers;
    const _Atomic uint64_t *turns[TG_MAX_WORKERS]; /* [reader] */
};

/* A worker's turn. Every order is sequentially consistent: either the writer sees that the worker is in a turn, or the
 * worker sees that the thing is gone. */
static inline void epoch_enter(_Atomic uint64_t *mine, const _Atomic uint64_t *epoch)
{
    atomic_store(mine, atomic_load(epoch));
}

static inline void epoch_leave(_Atomic uint64_t *mine)
{
    atomic_store(mine, TG_ASLEEP);
}

/* Before the reader's first turn, and before anything is retired. `turn` must live as long as the epochs. */
void epoch_join(struct tg_epochs *epochs, const _Atomic uint64_t *turn);

/* All three under one mutex of the writers. `release` is called by a later reclaim, when no worker can be seeing the
 * thing any more. */
void epoch_retire(struct tg_epochs *epochs, struct tg_retired *thing, void (*release)(struct tg_retired *));
void epoch_reclaim(struct tg_epochs *epochs);
/* Waits until every worker has left the turn it is in now. */
void epoch_synchronize(struct tg_epochs *epochs);

#endif
