/* Drives a relay from its beginning to its end. For the owning worker only. */
#ifndef TG_DRIVE_H
#define TG_DRIVE_H

#include <stdint.h>

#include "worker.h"

/* Out of the mailbox. */
void relay_begin(struct tg_worker *worker, struct tg_relay *relay);

/* Notes what epoll tells of a side; the work is done by relay_run. */
void relay_event(struct tg_worker *worker, struct tg_relay *relay, int side, uint32_t events);

/* A bounded piece of work. */
void relay_run(struct tg_worker *worker, struct tg_relay *relay);
void relay_timer(struct tg_worker *worker, struct tg_relay *relay);
void relay_abort(struct tg_worker *worker, struct tg_relay *relay);

/* See tg_engine_settle. */
void relay_settle(struct tg_worker *worker, struct tg_relay *relay, int gone);

#endif
