/* From the listening socket to a decision. For the owning worker only. */
#ifndef TG_ACCEPT_H
#define TG_ACCEPT_H

#include "worker.h"

/* A connection waits at the listener of this number. */
void accept_event(struct tg_worker *worker, int number);

#endif
