/* What a worker does next: relays that have work to do, and relays that have ended. For the owning worker only. */
#ifndef TG_READY_H
#define TG_READY_H

#include "worker.h"

/* Has the relay run in this turn or the next. */
void worker_enqueue(struct tg_worker *worker, struct tg_relay *relay);

/* The relay has ended: it leaves the registry and goes to the caller with the next worker_publish. */
void worker_retire(struct tg_worker *worker, struct tg_relay *relay);

/* Hands over what has ended. Not while the ready list is being served: a relay may stand on it still. */
void worker_publish(struct tg_worker *worker);

#endif
