/* A talk: the exchanges of one accepted connection that speaks HTTP/1, one after the other. It hangs on the
 * connection's relay, whose downstream side it uses; upstreams come and go. */
#ifndef TG_TALK_H
#define TG_TALK_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange/exchange.h"
#include "http/frame.h"
#include "relay/flow.h"
#include "requests.h"
#include "upstream/upstream.h"
#include "worker.h"

struct tg_explicit;

struct tg_talk {
    struct frame frame[2];     /* by source: requests, and answers of the present upstream */
    struct http_head *head[2]; /* one that is being read across turns has memory of its own */
    uint32_t seen[2];          /* bytes of a head that were framed, of those that are not ready yet */
    struct tg_flow flow[2];    /* by source, too */
    struct tg_exchange exchange;
    struct tg_upstream *upstream;  /* of the exchange, or kept for this client; NULL: none */
    struct tg_explicit *explicit_; /* of an explicit proxy's connection: explicit/requests.h; NULL: it was captured */
    uint32_t target;               /* the endpoint that is being tried */
    int upstream_error;            /* a write to the upstream failed; what it has said may still be read */
    bool is_pinned;                /* this client has logged in to its upstream connection: nobody else gets it */
    bool is_closing;               /* after this exchange, or at once when there is none */
    bool lingers;                  /* everything is said; what the client still sends is read and dropped */
    bool settles;                  /* one of the two programs has ended: no answer is awaited any more */
    bool has_ended;                /* the client has sent its FIN */
    bool was_opened;               /* an upstream was connected for it, and its group counts it */
    uint64_t head_deadline_ms;     /* 0: none */
    uint64_t connect_deadline_ms;
    uint64_t linger_ms;
    uint64_t retry_ms; /* memory or descriptors were missing */
};

static inline struct tg_side *talk_downstream(const struct tg_relay *relay)
{
    return &((struct tg_relay *)relay)->side[DOWNSTREAM];
}

/* Whether a byte of a request is there whose answer has not been written yet. */
static inline bool talk_is_busy(const struct tg_talk *talk)
{
    return talk->exchange.request != REQUEST_HEAD || talk->flow[DOWNSTREAM].buffer != NULL ||
           flow_owes(&talk->flow[UPSTREAM]);
}

#endif
