/* A worker: one thread, one epoll, and the relays that were given to it. It alone touches them, its epoll, its pool and
 * its wheel. */
#ifndef TG_WORKER_H
#define TG_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"
#include "base/wheel.h"
#include "detect/memory.h"
#include "http/head.h"
#include "mirror/copy.h"
#include "relay/registry.h"
#include "relay/relay.h"
#include "tell/ring.h"
#include "tell/series.h"
#include "upstream/idle.h"

struct tg_engine;

/* The low 8 bits of epoll data: a side of a relay, whose handle is the rest, an upstream of exchanges, or one of these.
 */
enum { EVENT_UPSTREAM = 0xfd, EVENT_LISTENER = 0xfe, EVENT_WAKE = 0xff };
#define LISTENER_EVENT(number) ((uint64_t)(number) << 8 | EVENT_LISTENER)

/* Where ended relays wait for the caller. */
enum { TG_COMPLETED, TG_RECORDED, TG_LOGGED, TG_PUNTED, TG_QUEUES };

struct tg_worker {
    struct tg_engine *engine;
    pthread_t thread;
    uint8_t index;
    int epoll_fd;
    int wake_fd;
    struct tg_mailbox mailbox;
    struct tg_mailbox found; /* answers to our questions: explicit/lookups.h */
    struct tg_registry registry;
    struct tg_wheel wheel;
    struct tg_pool pool;
    struct tg_relay *ready_first;
    struct tg_relay **ready_last;
    struct tg_ended {
        struct tg_node *first;
        struct tg_node *last;
    } ended[TG_QUEUES];
    struct tg_timer resume; /* when to accept again after a pause */
    bool drained;           /* all talks have been told of the drain */
    bool paused;            /* for lack of something: our listeners are not in the epoll */
    bool short_of;          /* since the pause began nothing has been accepted */
    unsigned starving;      /* connections that were accepted and wait for a descriptor to connect with */
    struct tg_relay *spare; /* allocated before an accept, so that a connection is never taken without memory for it */
    _Atomic bool wants_space; /* paused for capacity: the thread that makes room wakes us */
    _Atomic uint64_t turn;    /* base/epoch.h */
    uint64_t random;
    _Atomic uint64_t pauses; /* for lack of descriptors or memory */
    _Atomic uint64_t limit_pauses;
    struct tg_upstreams upstreams;
    struct tg_idle idle;
    struct tg_copies copies;
    struct tg_memory memory;
    struct http_head head; /* lent to whoever frames one: exchange/head/lend.h */
    uint64_t now_us;
    _Atomic uint64_t active;
    _Atomic uint64_t completed;
    _Atomic uint64_t bytes[2];
    _Atomic uint64_t spliced;
    uint64_t exchanges;  /* that got their number from us */
    struct tg_ring told; /* tell/exchanges.h */
    tg_series_place series;
};

/* Any number. For the worker itself. */
static inline uint64_t worker_random(struct tg_worker *worker)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return worker->random;
}

#endif
