/* Which target of a ruling a connection begins with, and which clients get none at all. */
#ifndef TG_CHOOSE_H
#define TG_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "decide/affinity.h"
#include "decide/verdict.h"

/* What a choice depends on beside the ruling. */
struct tg_chooser {
    struct tg_affinities *affinities;
    unsigned workers;
    uint64_t now_ms;
    uint64_t random; /* any number */
};

/* The client's own target, where the ruling remembers it; otherwise one as the ruling's balancing has it. There must be
 * a target. */
uint32_t ruling_choose(struct tg_ruling *ruling, const struct tg_chooser *chooser, const tg_address *client);
/* The client belongs to that target from now on, if the ruling remembers clients at all. */
void ruling_remember(const struct tg_ruling *ruling, const struct tg_chooser *chooser, const tg_address *client,
                     uint32_t target);
/* Whether the client's address is one that the ruling denies. */
bool ruling_denies(const struct tg_ruling *ruling, const tg_address *client);

#endif
