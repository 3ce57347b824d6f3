/* Which endpoint each client belongs to, as session affinity by client address has it. Bounded: of the clients that
 * fall into one set, the one whose time is over first makes room. proxy/core/decide/affinity.py says the same of
 * connections that Python decides. Any worker, at any time: a mutex a stripe, held for a few instructions. */
#ifndef TG_AFFINITY_H
#define TG_AFFINITY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

enum { AFFINITY_SETS = 16384, AFFINITY_WAYS = 8, AFFINITY_STRIPES = 64 };

/* Of a cluster or a destination. */
struct tg_affinity {
    uint64_t of; /* the caller's number: equal ones share what is remembered */
    uint64_t ms; /* how long a client's endpoint is remembered; 0: not at all */
};

struct tg_belonging;

struct tg_affinities {
    struct tg_belonging *all; /* [AFFINITY_SETS * AFFINITY_WAYS]; NULL until affinity is asked for */
    uint64_t seed;
    pthread_mutex_t stripes[AFFINITY_STRIPES];
};

void affinities_init(struct tg_affinities *affinities, uint64_t seed);
void affinities_destroy(struct tg_affinities *affinities);
/* To be called before anything is remembered, under the mutex of writers. False: no memory. */
bool affinities_prepare(struct tg_affinities *affinities);
/* False: the client belongs to none. */
bool affinity_find(struct tg_affinities *affinities, uint64_t of, const tg_address *client, uint64_t now_ms,
                   tg_address *endpoint);
void affinity_keep(struct tg_affinities *affinities, const struct tg_affinity *affinity, const tg_address *client,
                   const tg_address *endpoint, uint64_t now_ms);

#endif
