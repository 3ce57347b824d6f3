/* Where a request goes: an upstream connection for an exchange, and another one when it fails. For the owning worker
 * only. */
#ifndef TG_PLACE_H
#define TG_PLACE_H

#include "exchange/talk.h"

/* The request's head is whole: gets it an upstream, which may still be connecting, or answers it. */
void place_begin(struct tg_worker *worker, struct tg_relay *relay);

/* Goes on with an upstream that is connecting. The talk may be over afterwards (relay->talk is NULL). */
void place_step(struct tg_worker *worker, struct tg_relay *relay);

/* The upstream has ended, or broken, before a byte of the answer: the request is sent again where that is safe, or
 * answered. */
void place_lost(struct tg_worker *worker, struct tg_relay *relay);

/* Whether the request can be written now. */
static inline bool place_is_ready(const struct tg_talk *talk)
{
    return talk->upstream != NULL && !talk->upstream->connecting && talk->exchange.held_until_ms == 0;
}

#endif
