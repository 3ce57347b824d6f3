/* When a talk wants to be looked at again. For the owning worker only. */
#ifndef TG_DEADLINE_H
#define TG_DEADLINE_H

#include "exchange/talk.h"
#include "relay/schedule.h"

/* Arms the timer for the earliest of the talk's deadlines. Those that only move away are found out about when it fires.
 */
void talk_schedule(struct tg_worker *worker, struct tg_relay *relay);

#endif
