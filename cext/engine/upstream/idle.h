/* Connections to upstreams that wait for their next exchange, by endpoint. One pool a worker. What an upstream says or
 * does while it waits ends it: it may have spoken to no one. */
#ifndef TG_IDLE_H
#define TG_IDLE_H

#include <stdint.h>

#include "base/wheel.h"
#include "engine.h"
#include "upstream/upstream.h"

enum {
    TG_IDLE_CHAINS = 256,
    TG_IDLE_MAX = 1024, /* of a worker, so that they leave descriptors to others: then the oldest goes */
};

struct tg_idle {
    struct tg_upstream *chains[TG_IDLE_CHAINS]; /* the latest first: it is the least likely to be closed */
    struct tg_upstream *oldest;
    struct tg_upstream *newest;
    struct tg_timer timer;
    uint32_t count;
};

/* One that waits for the endpoint, for connections that arrive in the scope; NULL: none. It is the caller's then. */
struct tg_upstream *idle_take(struct tg_worker *worker, uint32_t scope, const tg_address *address);

/* An upstream without an exchange is the pool's from now on. timeout_ms 0: as long as it is open. */
void idle_put(struct tg_worker *worker, struct tg_upstream *upstream, uint64_t timeout_ms);

/* Epoll has told something of one that waits: it is closed. */
void idle_event(struct tg_worker *worker, struct tg_upstream *upstream);

/* The timer is due: closes those whose time is over. */
void idle_sweep(struct tg_worker *worker);

/* Closes the oldest to get a descriptor. False: there is none. */
bool idle_give_up_one(struct tg_worker *worker);

/* Closes the oldest of those that count for these limits of a cluster. False: there is none. */
bool idle_give_up_of(struct tg_worker *worker, const struct tg_usage *usage);

/* Closes all. */
void idle_close(struct tg_worker *worker);

#endif
