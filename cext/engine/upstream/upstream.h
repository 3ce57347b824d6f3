/* A connection to an upstream that carries exchanges, one at a time. It belongs to one worker and, while it has an
 * exchange or is kept for a client, to that client's connection; else it waits in the worker's pool (idle.h). Events
 * name it by a handle of its own, because it outlives the connections that it serves. */
#ifndef TG_UPSTREAM_H
#define TG_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "balance/cluster.h"
#include "decide/groups.h"
#include "decide/own.h"
#include "engine.h"
#include "relay/side.h"

struct tg_relay;
struct tg_worker;
struct tg_caller;

struct tg_upstream {
    struct tg_side side;
    struct tg_relay *relay; /* whose it is; NULL: a copy's, or it waits in the pool */
    struct tg_copy *copy;   /* of a request, whose it is: mirror/copy.h */
    struct tg_own own;
    struct tg_group *group; /* whose counters its connection moves */
    struct tg_taken taken;  /* its place under the limits of a cluster */
    tg_address address;
    uint32_t scope;
    uint64_t handle;
    struct tg_upstream *next; /* this and the next one: others that wait for the same endpoint */
    struct tg_upstream **link;
    struct tg_upstream *older; /* this and the next one: all that wait, by when they began to */
    struct tg_upstream *newer;
    uint64_t idle_until_ms;
    uint32_t exchanges; /* begun on it */
    bool connecting;
    bool answered; /* while connecting: an event came ... */
    bool troubled; /* ... that speaks of an error */
};

/* The handles of a worker's upstreams: generation << 32 | slot << 8 | EVENT_UPSTREAM. */
struct tg_upstreams {
    struct tg_upstream_slot {
        struct tg_upstream *upstream;
        uint32_t generation;
        uint32_t next_free; /* index + 1; 0: none */
    } * slots;
    uint32_t count;
    uint32_t free;
};

/* Begins to connect. 0, or -errno with nothing left open. */
int upstream_open(struct tg_worker *worker, const struct tg_caller *caller, const tg_address *address,
                  struct tg_upstream **out);

/* Takes over a socket that a relay has connected or is connecting (its upstream side, which is then without one).
 * -ENOMEM, or -errno of the epoll; the socket stays the relay's then. */
int upstream_adopt(struct tg_worker *worker, struct tg_relay *relay, struct tg_upstream **out);

/* The opposite: the socket becomes the relay's upstream side, and *upstream is gone. 0 or -errno of the epoll: then
 * the socket is closed. */
int upstream_surrender(struct tg_worker *worker, struct tg_upstream *upstream, struct tg_relay *relay);

/* Closes it: by RST where the peer must not take what it has got for whole. */
void upstream_close(struct tg_worker *worker, struct tg_upstream *upstream, bool reset);

/* NULL: it is over already. */
struct tg_upstream *upstream_find(struct tg_worker *worker, uint64_t handle);

/* Notes what epoll tells of it. */
void upstream_note(struct tg_upstream *upstream, uint32_t events);

/* Whether there is nothing to read at this moment, not even an end: a system call. */
bool upstream_says_nothing(const struct tg_upstream *upstream);

/* The same as far as is known, with a system call only where a read left it open. What an upstream says while it is not
 * asked is the answer to no request. */
bool upstream_is_silent(struct tg_upstream *upstream);

/* At the end of the worker: the table, which is empty by then. */
void upstreams_destroy(struct tg_upstreams *upstreams);

#endif
