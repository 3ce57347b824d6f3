#include "capacity.h"

#include <unistd.h>

bool engine_reserve(struct tg_engine *engine)
{
    if (atomic_load(&engine->unread) >= engine->capacity)
        return false;
    if (atomic_fetch_add(&engine->outstanding, 1) < engine->capacity)
        return true;
    atomic_fetch_sub(&engine->outstanding, 1);
    return false;
}

void engine_release(struct tg_engine *engine)
{
    atomic_fetch_sub(&engine->outstanding, 1);
}

void worker_wake(struct tg_worker *worker)
{
    const uint64_t one = 1;
    /* EAGAIN would mean that the counter is at its maximum, hence not zero: awake anyway. */
    (void)!write(worker->wake_fd, &one, sizeof one);
}

void capacity_wake(struct tg_engine *engine)
{
    for (unsigned i = 0; i < engine->worker_count; i++)
        if (atomic_exchange(&engine->workers[i].wants_space, false))
            worker_wake(&engine->workers[i]);
}

void tg_engine_forget(tg_engine *engine)
{
    engine_release(engine);
    capacity_wake(engine);
}
