/* Requests whose rule has copies of them sent to mirrors. For the owning worker only. */
#ifndef TG_MIRRORED_H
#define TG_MIRRORED_H

#include "exchange/rules/plan.h"
#include "exchange/talk.h"

/* Whether the request's bytes are kept for its mirrors. */
static inline bool mirrored_keeps(const struct tg_exchange *exchange)
{
    return exchange->plan != NULL && exchange->plan->outcome.mirror_count > 0;
}

/* The request may be whole, and is on its way: then its copies are, too, once. What is larger than may be kept is
 * copied to no mirror, and counted. */
void mirrored_begin(struct tg_worker *worker, struct tg_relay *relay);

#endif
