/* Copies of requests that go to mirrors: each has an upstream connection of its own, its answer is read and dropped,
 * and nothing of it touches the request. So many at a time, each for so long; what does not fit is left out and
 * counted. For the owning worker only. */
#ifndef TG_COPY_H
#define TG_COPY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/wheel.h"
#include "engine.h"

enum {
    COPIES_MAX = 256,              /* of a worker at a time */
    COPY_MS = 15000,               /* from its beginning to its answer's end */
    COPY_ANSWER_MAX = 1024 * 1024, /* bytes of an answer; a longer one ends its connection */
};

struct tg_worker;
struct tg_upstream;

struct tg_copies {
    struct tg_copy *oldest;
    struct tg_copy *newest;
    struct tg_timer timer;
    uint32_t count;
    _Atomic uint64_t answered; /* this and the next two never go back */
    _Atomic uint64_t failed;
    _Atomic uint64_t dropped;
};

/* What is sent, to where, and on whose behalf. */
struct tg_copy_order {
    uint64_t cluster;
    const char *bytes; /* the whole request; copied */
    uint32_t length;
    bool to_head;
    const tg_listener *listener;
    const tg_address *client;
    const tg_keepalive *keepalive;
    uint32_t hops;
};

/* Begins one, or counts it as dropped or failed. */
void copy_begin(struct tg_worker *worker, const struct tg_copy_order *order);

/* So many were not begun. */
void copy_drop(struct tg_worker *worker, uint32_t count);

/* Epoll has told something of a copy's upstream. */
void copy_event(struct tg_worker *worker, struct tg_upstream *upstream);

/* The timer is due: ends those whose time is over. */
void copies_sweep(struct tg_worker *worker);

/* Ends all. */
void copies_close(struct tg_worker *worker);

#endif
