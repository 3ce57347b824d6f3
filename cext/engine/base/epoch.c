#include "base/epoch.h"

#include <time.h>

void epoch_join(struct tg_epochs *epochs, const _Atomic uint64_t *turn)
{
    epochs->turns[epochs->readers++] = turn;
}

static uint64_t slowest(struct tg_epochs *epochs)
{
    uint64_t oldest = TG_ASLEEP;
    for (unsigned i = 0; i < epochs->readers; i++) {
        const uint64_t seen = atomic_load(epochs->turns[i]);
        if (seen < oldest)
            oldest = seen;
    }
    return oldest;
}

void epoch_reclaim(struct tg_epochs *epochs)
{
    const uint64_t reached = slowest(epochs);
    struct tg_retired **link = &epochs->retired;
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

void epoch_retire(struct tg_epochs *epochs, struct tg_retired *thing, void (*release)(struct tg_retired *))
{
    /* A turn that began with this value or a later one began after the thing was taken out of reach. */
    thing->epoch = atomic_fetch_add(&epochs->now, 1) + 1;
    thing->release = release;
    thing->next = epochs->retired;
    epochs->retired = thing;
}

void epoch_synchronize(struct tg_epochs *epochs)
{
    const struct timespec moment = {.tv_nsec = 50 * 1000};
    const uint64_t wanted = atomic_fetch_add(&epochs->now, 1) + 1;
    while (slowest(epochs) < wanted)
        nanosleep(&moment, NULL);
    epoch_reclaim(epochs);
}
