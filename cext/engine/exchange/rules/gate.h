/* What a TrafficPolicy does with a request before it goes anywhere: it is shed, limited, delayed, or answered on
 * purpose. For the owning worker only. */
#ifndef TG_GATE_H
#define TG_GATE_H

#include <stdbool.h>

#include "exchange/talk.h"
#include "http/head.h"

/* The head is whole and its plan, which forwards the request, is made: judges it by the policy of the site. Takes its
 * token from the rate limit. */
void gate_judge(struct tg_worker *worker, struct tg_exchange *exchange, const struct http_head *head,
                const char *bytes);

/* Acts on what was judged. True: the request may go on. False: it has been answered, or is held for a while. */
bool gate_pass(struct tg_worker *worker, struct tg_relay *relay);

/* The same for a request that is held: true as soon as it may go on. */
bool gate_step(struct tg_worker *worker, struct tg_relay *relay);

#endif
