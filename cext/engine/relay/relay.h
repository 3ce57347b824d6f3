/* A relay: the two sides of a connection and the bytes between them.
 *
 * Ownership: a relay is allocated by the thread that submits it, belongs to one worker from the mailbox until it has
 * ended, then to a queue of ended ones, and is freed by the thread that collects it. A worker alone touches its relays;
 * other threads see relays through the registry only, under its mutex. */
#ifndef TG_RELAY_H
#define TG_RELAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ends.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/wheel.h"
#include "engine.h"
#include "relay/connection.h"
#include "relay/side.h"

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

struct tg_talk;

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
    struct tg_talk *talk;             /* it speaks HTTP/1: exchange/talk.h; NULL: its bytes are relayed */
    struct tg_connection *connection; /* in the same block of memory; NULL: the caller's own pair */
};

static inline bool is_connecting(const struct tg_relay *relay)
{
    return relay->connection != NULL && relay->connection->connecting;
}

/* Its first bytes are being looked at. */
static inline bool is_looking(const struct tg_relay *relay)
{
    return relay->connection != NULL && relay->connection->looking;
}

static inline bool is_failed(const struct tg_relay *relay)
{
    return relay->side[DOWNSTREAM].error != 0 || relay->side[UPSTREAM].error != 0;
}

static inline bool direction_is_pending(const struct tg_direction *direction)
{
    return direction->buffer != NULL || direction->piped > 0;
}

/* A relay in the making: owns copies of its early bytes, not yet its descriptors. 0 or -ENOMEM. */
int relay_new(uint64_t id, const tg_relay_request *request, struct tg_relay **out);

/* Of a relay that has ended or never began; closes no descriptor. */
void relay_free(struct tg_relay *relay);

/* Drops what is under way and gives back what was borrowed for it. */
void direction_discard(struct tg_direction *direction, struct tg_pool *pool);

#endif
