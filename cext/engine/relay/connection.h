/* What an accepted connection has beyond a relay: who asked for what, what was decided, and the attempts to reach it.
 */
#ifndef TG_CONNECTION_H
#define TG_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "decide/own.h"
#include "decide/verdict.h"
#include "engine.h"

struct follow;
struct hello;

struct tg_connection {
    tg_listener listener;
    tg_address peer;
    tg_address original;
    /* What changes after the acceptance, upstream, group_id, connect_us and attempts, is written under the registry's
     * mutex: live walks read it. */
    tg_address upstream;
    struct tg_ruling *ruling;  /* one reference, until the relay is freed; NULL: refused before anything was decided */
    struct tg_group *group;    /* of the endpoint being tried, or connected to */
    struct tg_group *admitted; /* counted there under max_connections */
    struct tg_own own;
    uint64_t verdict; /* ids, for the record */
    uint64_t group_id;
    uint64_t attempt_deadline_ms; /* 0: the kernel's */
    int64_t connect_us;
    uint32_t target;
    uint32_t attempts;
    uint32_t hops;
    int attempt_error;     /* of the last attempt */
    struct hello *hello;   /* of TLS; freed with the relay */
    struct follow *follow; /* of a database's protocol; freed with the relay */
    uint8_t watch;         /* database/watch.h */
    uint64_t hold_ms;      /* while looking: until when nothing more is waited for; 0: nothing is */
    uint8_t spoken;        /* enum tg_spoken */
    bool looking;          /* at the first bytes: detect/first.h */
    bool held;             /* the client has said something that is not whole */
    bool counted;          /* as opened, in `group` */
    bool connecting;
    bool answered; /* an event came for the attempt under way ... */
    bool troubled; /* ... that speaks of an error */
    bool punted;
    bool short_of; /* a descriptor for its attempt: the worker accepts no other until it has one */
};

#endif
