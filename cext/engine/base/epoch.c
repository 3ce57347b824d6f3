#include "base/epoch.h"

#include <time.h>

#include "internal.h"

static uint64_t slowest(struct tg_engine *engine)
{
    uint64_t oldest = TG_ASLEEP;
    for (unsigned i = 0; i < engine->worker_count; i++) {
        const uint64_t seen = atomic_load(&engine->workers[i].turn);
        if (seen < oldest)
            oldest = seen;
    }
    return oldest;
}

void epoch_reclaim(struct tg_engine *engine)
{
    const uint64_t reached = slowest(engine);
    struct tg_retired **link = &engine->retired;
    while (*link != NULL) {
        struct tg_retired *thing = *link;
        if (thing->epoch > reached) {
            link = &thing->next;
            continue;
        }
        *link = thing->next;
        thing->release(thing);
    }
}

void epoch_retire(struct tg_engine *engine, struct tg_retired *thing, void (*release)(struct tg_retired *))
{
    /* A turn that began with this value or a later one began after the thing was taken out of reach. */
    thing->epoch = atomic_fetch_add(&engine->epoch, 1) + 1;
    thing->release = release;
    thing->next = engine->retired;
    engine->retired = thing;
}

void epoch_synchronize(struct tg_engine *engine)
{
    const struct timespec moment = {.tv_nsec = 50 * 1000};
    const uint64_t wanted = atomic_fetch_add(&engine->epoch, 1) + 1;
    while (slowest(engine) < wanted)
        nanosleep(&moment, NULL);
    epoch_reclaim(engine);
}
