/* When a worker accepts and when it pauses. For the owning worker, inside its turn. */
#ifndef TG_ACCEPTING_H
#define TG_ACCEPTING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "state.h"

/* Stops for a while; *reason counts how often. */
void accept_pause(struct tg_worker *worker, _Atomic uint64_t *reason);
void accept_resume(struct tg_worker *worker);

/* An accepted connection lacks a descriptor, or no longer does. */
void accept_starving(struct tg_worker *worker, struct tg_relay *relay, bool starving);

#endif
