/* From a decision to a connected upstream. For the owning worker only. */
#ifndef TG_CONNECT_H
#define TG_CONNECT_H

#include <stdbool.h>

#include "worker.h"

/* A connection whose ruling is set: reads what its client has said already and watches it. False: it has ended. */
bool connect_prepare(struct tg_worker *worker, struct tg_relay *relay);

/* The first target of the connection's ruling to try, which remembers it for the client where it remembers any. There
 * must be a target. */
uint32_t connect_choose(struct tg_worker *worker, struct tg_connection *connection);

/* One that is prepared: gets it connected, or ends it. */
void connect_begin(struct tg_worker *worker, struct tg_relay *relay);

/* Goes on with one that is connecting: after an event, or when its time is up. */
void connect_step(struct tg_worker *worker, struct tg_relay *relay);

#endif
