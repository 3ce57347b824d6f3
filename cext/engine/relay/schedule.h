/* When a relay wants to be looked at again. For the owning worker only. */
#ifndef TG_SCHEDULE_H
#define TG_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "worker.h"

enum {
    RETRY_MS = 64, /* after a shortage of memory or descriptors */
    TUNE_MS = 1000 /* after which a connection is no short one */
};

/* UINT64_MAX: never. */
uint64_t relay_idle_deadline_ms(const struct tg_relay *relay);
uint64_t relay_lifetime_deadline_ms(const struct tg_relay *relay);

/* Whether looks at what a peer's kernel has acknowledged are due: no event tells of that. */
bool relay_is_looked_at(const struct tg_relay *relay);

/* Arms the timer for that moment, unless it rings before; UINT64_MAX: for none. */
void relay_arm(struct tg_worker *worker, struct tg_relay *relay, uint64_t wakeup_ms);

/* Arms the timer for the earliest of the relay's deadlines. */
void relay_schedule(struct tg_worker *worker, struct tg_relay *relay);

/* After a shortage of memory or descriptors. */
void relay_retry_later(struct tg_worker *worker, struct tg_relay *relay);

#endif
