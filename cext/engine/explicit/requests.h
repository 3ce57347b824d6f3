/* Requests to an explicit proxy: each says where it is to go, and its connection's original destination and verdict
 * become those of that place. The caller is asked where a name is (explicit/spec.h). For the owning worker only. */
#ifndef TG_EXPLICIT_REQUESTS_H
#define TG_EXPLICIT_REQUESTS_H

#include "exchange/talk.h"
#include "explicit/spec.h"

struct tg_explicit {
    tg_address listener; /* where the client has dialled */
    tg_found found;      /* the answer in force */
    uint64_t lasts_ms;   /* until when it holds for another request */
    uint32_t number;     /* of the last question */
    uint32_t next;       /* of the addresses: the one to be tried after the present one */
    bool waits;          /* for the answer */
    bool is_denied;      /* the place that was looked at last denies the client */
    bool is_answered;    /* and the request's head has not gone on yet */
    bool connects;       /* the last question was about a tunnel */
    uint16_t length;     /* of `authority` */
    char authority[TG_LONGEST_AUTHORITY];
};

enum explicit_step {
    EXPLICIT_GOES_ON, /* the head is as the origin is to get it */
    EXPLICIT_WAITS,   /* for an answer; the head has memory of its own, and nothing more is read */
    EXPLICIT_ANSWERED /* there is an answer of our own */
};

/* The talk is one with a client of such a proxy. False: no memory. */
bool explicit_open(struct tg_relay *relay);

/* The request's head is whole, or its answer has come. *head: of the bytes at the flow's front, which are edited. */
enum explicit_step explicit_head(struct tg_worker *worker, struct tg_relay *relay, struct http_head *head);

/* The caller has answered. */
void explicit_found(struct tg_worker *worker, const tg_found *found);

/* Before the exchange is placed. True: its destination can't be had, which is answered. */
bool explicit_refuses(struct tg_worker *worker, struct tg_relay *relay);

/* No connection could be made. True: to another address of the name one may. */
bool explicit_advance(struct tg_worker *worker, struct tg_relay *relay);

/* Of a CONNECT: its upstream is connected. The client is told, and the connection becomes a relay. */
void explicit_establish(struct tg_worker *worker, struct tg_relay *relay);

static inline bool explicit_waits(const struct tg_talk *talk)
{
    return talk->explicit_ != NULL && talk->explicit_->waits;
}

static inline bool explicit_is_answered(const struct tg_talk *talk)
{
    return talk->explicit_ != NULL && talk->explicit_->is_answered;
}

static inline bool explicit_tunnels(const struct tg_talk *talk)
{
    return talk->explicit_ != NULL && talk->exchange.to_connect;
}

#endif
