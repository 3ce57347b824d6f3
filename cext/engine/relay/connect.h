/* From a decision to a connected upstream. For the owning worker only. */
#ifndef TG_CONNECT_H
#define TG_CONNECT_H

#include "worker.h"

/* A connection whose ruling is set: gets it connected, or ends it. */
void connect_begin(struct tg_worker *worker, struct tg_relay *relay);

/* Goes on with one that is connecting: after an event, or when its time is up. */
void connect_step(struct tg_worker *worker, struct tg_relay *relay);

#endif
