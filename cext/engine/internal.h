/* What the engine's files share. Ownership in one paragraph: a relay is allocated by whoever submits it, belongs to one
 * worker from the mailbox until it has ended, then to the completion queue, and is freed by whoever collects the
 * completion. A worker alone touches its relays, its epoll, its pool and its wheel; other threads see relays through
 * the registry only, under its mutex. */
#ifndef TG_INTERNAL_H
#define TG_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/epoch.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/wheel.h"
#include "connection.h"
#include "decide/own.h"
#include "decide/verdict.h"
#include "engine.h"

enum { DOWNSTREAM = 0, UPSTREAM = 1 };

/* One socket of a relay. Edge-triggered epoll: readable and writable mean "not known to give EAGAIN". */
struct tg_side {
    int fd;
    int error; /* errno of the failure that ended this side; 0: alive */
    bool readable;
    bool writable;
    bool fin;   /* its FIN has come; bytes may still be before it */
    bool plain; /* has no options of ours yet but SO_OOBINLINE: see relay_tune_late */
    bool eager; /* a short read doesn't prove that nothing is left: EOF, an error or urgent data may wait behind it */
};

/* The bytes of side[i] on their way to side[1 - i]. At most one of buffer and pipe holds bytes. */
struct tg_direction {
    struct tg_buffer *buffer;
    struct tg_pipe *pipe;
    size_t piped; /* bytes in the pipe */
    _Atomic uint64_t bytes;
    uint32_t thin;  /* consecutive small reads while bulky */
    uint32_t blind; /* consecutive splices that found nothing where recv then did; at its limit never bulky again */
    bool bulky;     /* goes through a pipe when there is one */
    bool ended;     /* the source gives no more: EOF or failure */
    bool closed;    /* the end has been passed on by shutdown(SHUT_WR) */
    bool abandoned; /* the destination failed: nothing can be delivered any more */
};

/* What other threads ask of a relay. A later one overrules an earlier one. */
enum tg_request { REQUEST_NONE, REQUEST_SETTLE_DOWNSTREAM, REQUEST_SETTLE_UPSTREAM, REQUEST_ABORT };

struct tg_relay {
    struct tg_node node; /* in a mailbox, or on the worker's list of ended relays; first member */
    struct tg_timer timer;
    struct tg_relay *ready_next;
    struct tg_relay *request_next; /* this and the next two: under the registry's mutex */
    struct tg_relay **request_link;
    enum tg_request requested;
    uint64_t handle;
    uint64_t id;
    struct tg_side side[2];
    struct tg_direction direction[2]; /* by source: [DOWNSTREAM] counts bytes_sent, [UPSTREAM] bytes_received */
    uint64_t started_us;
    uint64_t ended_us;
    _Atomic uint64_t active_ms; /* when a byte was last delivered */
    uint64_t idle_timeout_ms;
    uint64_t lifetime_ms;
    uint64_t grace_ms;   /* a side has failed: when the other is reset whatever is still undelivered */
    uint64_t retry_ms;   /* a resource was missing: when to try again; 0: none was */
    uint64_t wakeup_ms;  /* what the timer is armed for */
    uint64_t settled_ms; /* settling: when to end although the other side has not; 0: it has not acknowledged all */
    uint32_t keepalive_s;
    int unacked; /* after a failure: what the surviving side had not acknowledged at the last look */
    int reason;
    int error;
    bool begun;    /* out of the mailbox */
    bool doomed;   /* to be aborted as soon as it has begun */
    bool settling; /* the program behind side[gone] has ended */
    uint8_t gone;
    bool queued; /* on the ready list */
    bool done;
    struct tg_connection *connection; /* in the same block of memory; NULL: the caller's own pair */
};

struct tg_slot {
    _Atomic uint32_t generation; /* of the present or, when free, of the next owner */
    uint32_t next_free;
    struct tg_relay *relay;
};

#define TG_CHUNK 1024
#define TG_MAX_LISTENERS 64
#define TG_ACCEPTED (UINT64_C(1) << 63) /* in the ids of accepted connections */

/* The low 8 bits of epoll data: a side of a relay, whose handle is the rest, or one of these. */
enum { EVENT_LISTENER = 0xfe, EVENT_WAKE = 0xff };
#define LISTENER_EVENT(number) ((uint64_t)(number) << 8 | EVENT_LISTENER)

/* A listening socket, in every worker's epoll. fd and options are fixed from the moment it is open until it is closed,
 * and it is closed only when no worker is in a turn that began before. */
struct tg_listening {
    int fd;
    _Atomic bool open;
    _Atomic uint64_t accepted;
    uint16_t port;
    tg_listener options;
};

/* Stable, generation-checked names (handles) for the relays of one worker. Slots never move, so the worker resolves
 * handles of its own without the mutex; everybody else, and every change, takes it. */
struct tg_registry {
    pthread_mutex_t mutex;
    _Atomic(struct tg_slot *) *chunks;
    uint32_t chunk_limit;
    uint32_t used; /* slots ever used */
    uint32_t free; /* index + 1 of the first free slot; 0: none */
    struct tg_relay *requests;
};

/* Ended relays on their way to the caller. */
enum { TG_COMPLETED, TG_RECORDED, TG_LOGGED, TG_PUNTED, TG_QUEUES };

struct tg_worker {
    struct tg_engine *engine;
    pthread_t thread;
    uint8_t index;
    int epoll_fd;
    int wake_fd;
    struct tg_mailbox mailbox;
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
    bool paused;            /* for lack of something: our listeners are not in the epoll */
    bool short_of;          /* since the pause began nothing has been accepted */
    unsigned starving;      /* connections that were accepted and wait for a descriptor to connect with */
    struct tg_relay *spare; /* allocated before an accept, so that a connection is never taken without memory for it */
    _Atomic bool wants_space; /* paused for capacity: whoever makes room wakes us */
    _Atomic uint64_t turn;    /* epoch.h */
    uint64_t random;
    _Atomic uint64_t pauses; /* for lack of descriptors or memory */
    _Atomic uint64_t limit_pauses;
    uint64_t now_us;
    _Atomic uint64_t active;
    _Atomic uint64_t completed;
    _Atomic uint64_t bytes[2];
    _Atomic uint64_t spliced;
};

/* Two descriptors tell that something waits: one for what is urgent, one for records. */
enum { TG_URGENT, TG_LEISURELY, TG_SIGNALS };
struct tg_signal {
    int fd;
    _Atomic bool raised; /* fd has been written since it was last read */
};

struct tg_queue {
    struct tg_mailbox mailbox;
    struct tg_node *collected; /* taken from the mailbox, not yet handed out; under `collecting` */
};

/* Reasons that connections end by as connections do: below this. */
#define TG_PLAIN_ENDINGS TG_INTERNAL_ERROR

struct tg_log {
    _Atomic int format; /* enum tg_log_format */
    time_t second;      /* this and its date: under `collecting` */
    char date[32];
};

struct tg_engine {
    struct tg_log log;
    struct tg_worker *workers;
    unsigned worker_count;
    size_t capacity;
    struct tg_signal signals[TG_SIGNALS];
    _Atomic bool stopping;
    _Atomic size_t outstanding;
    _Atomic size_t unread; /* records that wait */
    struct tg_queue queues[TG_QUEUES];
    pthread_mutex_t submitting; /* orders submissions and aborts against the stop */
    pthread_mutex_t collecting;
    bool joined;
    pthread_mutex_t control; /* everything below is changed under it; taken after `submitting` when both are */
    _Atomic uint64_t epoch;
    struct tg_retired *retired;
    _Atomic(struct tg_table *) table;
    uint64_t entry_count;
    uint64_t seed;
    struct tg_groups groups;
    struct tg_listening listeners[TG_MAX_LISTENERS];
    struct tg_owns owns;
};

/* Only the owner writes these counters, so no locked instruction is needed. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

static inline uint64_t counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

uint64_t clock_us(void);

/* registry.c: a handle is generation << 32 | slot << 8 | worker. */
int registry_init(struct tg_registry *registry, size_t capacity);
void registry_destroy(struct tg_registry *registry);
/* Names the relay (relay->handle). -ENOMEM, -ENOBUFS. */
int registry_add(struct tg_registry *registry, struct tg_relay *relay, uint8_t worker);
void registry_remove(struct tg_registry *registry, struct tg_relay *relay);
/* For the owning worker only. NULL: the relay is over. */
struct tg_relay *registry_find(struct tg_registry *registry, uint64_t handle);
struct tg_slot *registry_slot(struct tg_registry *registry, uint32_t index);
/* Notes what is asked of the relay; the caller wakes the worker. -ENOENT. */
int registry_request(struct tg_registry *registry, uint64_t handle, enum tg_request what);
/* For the owning worker: one relay of which something is asked, and what; or NULL. */
struct tg_relay *registry_next_request(struct tg_registry *registry, enum tg_request *what);

/* worker.c */
int worker_init(struct tg_worker *worker, struct tg_engine *engine, uint8_t index, size_t capacity);
int worker_start(struct tg_worker *worker);
void worker_wake(struct tg_worker *worker);
/* Gives back descriptors and pool; the thread has been joined or was never started. */
void worker_release(struct tg_worker *worker);
void worker_enqueue(struct tg_worker *worker, struct tg_relay *relay);
void worker_retire(struct tg_worker *worker, struct tg_relay *relay);

/* relay.c: the life of one relay; all for the owning worker only. */
void relay_begin(struct tg_worker *worker, struct tg_relay *relay);
void relay_event(struct tg_worker *worker, struct tg_relay *relay, int side, uint32_t events);
void relay_run(struct tg_worker *worker, struct tg_relay *relay);
void relay_timer(struct tg_worker *worker, struct tg_relay *relay);
void relay_abort(struct tg_worker *worker, struct tg_relay *relay);
/* See tg_engine_settle. */
void relay_settle(struct tg_worker *worker, struct tg_relay *relay, int gone);
void relay_end(struct tg_worker *worker, struct tg_relay *relay, int reason, int error);
/* A side's socket failed: what it sent is still owed to the other side, what was meant for it is void. */
void relay_side_failed(struct tg_worker *worker, struct tg_relay *relay, int side, int error);

/* transfer.c: moves what can be moved in the direction that begins at `side`, at most one turn's worth. */
enum tg_progress {
    TRANSFER_BLOCKED, /* until an event of either socket, or until the direction is over */
    TRANSFER_MORE,    /* the turn is used up, there is more to do */
    TRANSFER_STARVED  /* memory or buffers are missing: try again later */
};
enum tg_progress transfer(struct tg_worker *worker, struct tg_relay *relay, int side);
bool transfer_pending(const struct tg_direction *direction);
/* Reads once from a side that no event has told of yet. What comes later must still make an event, so it is not in the
 * epoll yet. */
void transfer_early(struct tg_worker *worker, struct tg_relay *relay, int side);
void transfer_discard(struct tg_worker *worker, struct tg_direction *direction);

/* accept.c: for the owning worker, inside its turn. */
void accept_event(struct tg_worker *worker, int number);
void accept_resume(struct tg_worker *worker);
/* An accepted connection lacks a descriptor, or no longer does. */
void accept_starving(struct tg_worker *worker, struct tg_relay *relay, bool starving);

/* connect.c: for the owning worker. A connection whose ruling is set; ends it or gets it connected. */
void connect_begin(struct tg_worker *worker, struct tg_relay *relay);
void connect_step(struct tg_worker *worker, struct tg_relay *relay);
void connection_closed(struct tg_worker *worker, struct tg_relay *relay);

/* relay.c */
int relay_watch(struct tg_worker *worker, struct tg_relay *relay, int side);
void relay_schedule(struct tg_worker *worker, struct tg_relay *relay);
void relay_retry_later(struct tg_worker *worker, struct tg_relay *relay);
void socket_tune(int fd, uint32_t keepalive_s);
void socket_keep_urgent(int fd);
/* Makes up for the options that a side was not given at its connect: short connections do without. */
void relay_tune_late(struct tg_relay *relay, int side);
void socket_reset(int fd);

/* engine.c */
bool engine_reserve(struct tg_engine *engine); /* false: at capacity */
void engine_release(struct tg_engine *engine);
/* collect.c */
void engine_publish(struct tg_engine *engine, int queue, struct tg_node *first, struct tg_node *last, size_t count);
void relay_free(struct tg_relay *relay);

/* collect.c: every collection of what ended stands between these two. */
void collect_begin(struct tg_engine *engine, int signal);
void collect_finish(struct tg_engine *engine, int signal, int collected);
/* In between: the next one ended of this queue, or NULL; and the last one again. */
struct tg_relay *engine_next(struct tg_engine *engine, int queue);
void engine_put_back(struct tg_engine *engine, int queue, struct tg_relay *relay);

/* log.c: whether an ended connection is told by a line. */
bool log_takes(const struct tg_engine *engine, const struct tg_relay *relay);

/* lane.c: at the stop, after the workers were joined; and when the engine is freed. */
void lane_close(struct tg_engine *engine);
void lane_free(struct tg_engine *engine);

#endif
