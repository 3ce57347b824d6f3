/* The first bytes of an accepted connection: what both sides say first decides who goes on with it, a relay or a talk.
 * The upstream is connected meanwhile, so that a server that speaks first is never waited with. For the owning worker
 * only. */
#ifndef TG_FIRST_H
#define TG_FIRST_H

#include "worker.h"

/* A connection whose ruling is set. */
void first_begin(struct tg_worker *worker, struct tg_relay *relay);

/* Goes on with one that is being looked at (connection->looking): after an event, or when its time is up. */
void first_step(struct tg_worker *worker, struct tg_relay *relay);

#endif
