/* A request and its answer, whatever codec reads them: how far both are, what is remembered of the request so that it
 * can be told and repeated, and how it went. */
#ifndef TG_EXCHANGE_H
#define TG_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/head.h"

enum { EXCHANGE_INLINE = 768, EXCHANGE_KEPT_MAX = 64 * 1024 };

enum request_state {
    REQUEST_HEAD, /* being read, or nothing of it is there yet */
    REQUEST_BODY, /* the head is whole, and more of it is to come */
    REQUEST_DONE, /* framed to its end; what waits to be written is the flow's */
    REQUEST_VOID  /* the rest of it goes nowhere */
};

enum answer_state {
    ANSWER_NONE, /* not a byte of it */
    ANSWER_HEAD, /* being read: of the final one, or of an informational one before it */
    ANSWER_BODY, /* the final head is whole */
    ANSWER_DONE
};

/* Of the request's head; zeros: none. */
struct exchange_trace {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8];
    uint8_t traced; /* enum tg_traced */
};

struct tg_plan;
struct tg_told;

struct tg_exchange {
    enum request_state request;
    enum answer_state answer;
    uint32_t flags; /* enum tg_exchange_flag */
    uint16_t status;
    uint8_t minor;
    uint8_t attempts;
    uint8_t hedges;   /* second requests beside them */
    bool to_head : 1; /* of the request's head: */
    bool to_connect : 1;
    bool upgrades : 1;
    bool idempotent : 1;
    bool keeps_alive : 1;
    bool has_body : 1;
    bool answer_keeps_alive : 1;
    bool reused : 1;   /* the upstream connection of this attempt has carried exchanges before */
    bool has_sent : 1; /* a byte of the request has been written in this attempt */
    bool is_whole : 1; /* `kept` has every byte framed so far */
    bool informs : 1;  /* the head that was read last is an informational one */
    bool is_told : 1;
    bool is_ours : 1;      /* the answer is one of our own */
    bool is_expired : 1;   /* a deadline that came with it was over already */
    bool is_told_when : 1; /* deadline_ms is one that came with it */
    bool is_too_large : 1; /* what its head says of its body */
    bool must_dial : 1;    /* a connection that had been used before failed: the next one is new */
    uint32_t head_length;
    uint32_t kept_length;
    uint32_t kept_room;
    struct span method; /* this and the next two: places in `kept` */
    struct span target;
    struct span authority;
    uint64_t group_id;        /* of the endpoint tried last; 0: none was */
    struct tg_plan *plan;     /* what the rules of its site say: exchange/rules/plan.h; NULL: no rules were asked */
    struct tg_told *told;     /* deadlines that came with it: exchange/asked/told.h; NULL: none did */
    uint64_t deadline_ms;     /* for the whole of it; 0: none */
    uint64_t held_until_ms;   /* a fault on purpose delays it until then; 0: it is not held */
    uint64_t hedge_ms;        /* when a second request would be sent; 0: none is */
    uint64_t try_deadline_ms; /* for the head of the answer to this attempt; 0: none */
    struct exchange_trace trace;
    uint64_t started_us;
    uint64_t ready_us;   /* when there was an upstream that it could be written to */
    uint64_t sent_us;    /* when the head had been written, of the last attempt; 0: it was not */
    uint64_t first_us;   /* when the first byte of the answer came; 0: it did not */
    uint64_t bytes_sent; /* this and the next one: of messages, heads included; to upstream, to downstream */
    uint64_t bytes_received;
    char *kept; /* the request's head and, as long as it may be repeated, its body. `small`, or memory of its own */
    char small[EXCHANGE_INLINE];
};

/* Ready for the next request. The plan has been given back (plan_end). */
void exchange_reset(struct tg_exchange *exchange);

/* Keeps bytes of the request. False: they are too many, or there is no memory; is_whole says so from then on. */
bool exchange_keep(struct tg_exchange *exchange, const void *bytes, size_t length);

/* Whether the same request may be sent a second time, as far as its bytes are concerned. */
static inline bool exchange_is_repeatable(const struct tg_exchange *exchange)
{
    return exchange->is_whole && exchange->answer == ANSWER_NONE;
}

#endif
