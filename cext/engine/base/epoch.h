/* Freeing what workers may still be reading. A worker reads shared tables only inside its turns; the writer takes a
 * thing out of reach, retires it, and it is freed when every worker has begun another turn or sleeps. Readers pay two
 * stores a turn and no lock. */
#ifndef TG_EPOCH_H
#define TG_EPOCH_H

#include <stdatomic.h>
#include <stdint.h>

#define TG_ASLEEP UINT64_MAX

struct tg_engine;

/* First member of whatever can be retired. */
struct tg_retired {
    struct tg_retired *next;
    uint64_t epoch;
    void (*release)(struct tg_retired *);
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

/* All three under engine->control. `release` is called by a later reclaim, when no worker can be seeing the thing any
 * more. */
void epoch_retire(struct tg_engine *engine, struct tg_retired *thing, void (*release)(struct tg_retired *));
void epoch_reclaim(struct tg_engine *engine);
/* Waits until every worker has left the turn it is in now. */
void epoch_synchronize(struct tg_engine *engine);

#endif
