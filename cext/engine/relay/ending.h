/* How a relay ends. For the owning worker only. */
#ifndef TG_ENDING_H
#define TG_ENDING_H

#include "worker.h"

/* Closes or resets both sides, gives everything back and retires the relay. reason: enum tg_reason. */
void relay_end(struct tg_worker *worker, struct tg_relay *relay, int reason, int error);

/* An accepted connection counts as opened from now on, in its group. */
void connection_opened(struct tg_worker *worker, struct tg_relay *relay);

/* An accepted connection is over, or leaves the engine: what counts it and what lists it forget it. */
void connection_closed(struct tg_worker *worker, struct tg_relay *relay);

#endif
