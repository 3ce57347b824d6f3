/* Hedging: a second request to another endpoint when the first has outlived what most requests take. The first answer
 * wins, and the other request is cancelled. For the owning worker only. */
#ifndef TG_HEDGE_H
#define TG_HEDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "balance/spec.h"
#include "exchange/talk.h"

/* The second request of an exchange, until its first byte has come or it is given up. */
struct tg_hedge {
    struct tg_upstream *upstream;
    struct tg_buffer *out; /* what is left to be written; NULL: all is */
    uint64_t began_us;
    uint64_t sent_us; /* when the head had been written; 0: it was not */
    uint64_t connect_deadline_ms;
    uint32_t endpoint; /* in the plan's cluster */
};

/* The request goes to an endpoint: works out when it would be hedged. */
void hedge_plan(struct tg_worker *worker, struct tg_exchange *exchange);

/* The request has outlived that: sends a second one, where budget, breaker and safety allow. */
void hedge_begin(struct tg_worker *worker, struct tg_relay *relay);

/* Goes on with the second request; it takes the first one's place when its answer begins. */
void hedge_step(struct tg_worker *worker, struct tg_relay *relay);

/* The first request has failed in that way: the second takes its place. False: there is none, and nothing is done. */
bool hedge_takes_over(struct tg_worker *worker, struct tg_relay *relay, enum tg_request_end how);

/* The answer's final head has come: its time is told to the route's quantile. */
void hedge_note(struct tg_worker *worker, const struct tg_exchange *exchange);

#endif
