/* Our open upstream connections by source and destination: what comes from such a source for such a destination looks
 * like our own, captured again. The source alone would not do: the kernel gives one local port to several sockets that
 * go to different destinations.
 *
 * Looks deceive. Behind REDIRECT a client whose port is taken at the listener is shown with another one, which can be
 * that of an upstream socket of ours. And one that is ours need not be a loop: conntrack keeps the entry of a captured
 * connection that was reset, with its redirection, for ten seconds, and redirects whoever gets its port next, be it us.
 * So what looks like ours is served, connects from a port of another kind (connect.c) and counts the hops: a loop that
 * the rules make goes on, and ends at TG_MAX_HOPS. */
#ifndef TG_OWN_H
#define TG_OWN_H

#include <pthread.h>
#include <stdbool.h>

#include "base/address.h"

enum { TG_OWN_STRIPES = 64, TG_OWN_CHAINS = 256 };

struct tg_own {
    struct tg_own *next;
    tg_address source;
    tg_address destination;
    uint32_t scope; /* of the listener on whose behalf it was made */
    uint32_t hops;  /* of the connection on whose behalf it was made */
    bool listed;
};

/* Any worker, at any time: a mutex a stripe, held for a few instructions. */
struct tg_owns {
    struct tg_own_stripe {
        pthread_mutex_t mutex;
        struct tg_own *chains[TG_OWN_CHAINS];
    } stripes[TG_OWN_STRIPES];
    uint64_t seed;
};

void owns_init(struct tg_owns *owns, uint64_t seed);
void owns_destroy(struct tg_owns *owns);
void own_add(struct tg_owns *owns, struct tg_own *own);
void own_remove(struct tg_owns *owns, struct tg_own *own);
/* Whether the connection looks like ours; *scope and *hops are then those of the connection that it was made for. */
bool own_find(struct tg_owns *owns, const tg_address *source, const tg_address *destination, uint32_t *scope,
              uint32_t *hops);

#endif
