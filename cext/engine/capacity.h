/* Room: how many connections the engine holds at most, and which workers wait for a place. */
#ifndef TG_CAPACITY_H
#define TG_CAPACITY_H

#include <stdbool.h>

#include "state.h"

/* Takes a place. False: there is none. */
bool engine_reserve(struct tg_engine *engine);

/* Gives a place back. */
void engine_release(struct tg_engine *engine);

/* There is room again: workers that have paused for it go on. */
void capacity_wake(struct tg_engine *engine);

/* Makes the worker begin a turn; from any thread. */
void worker_wake(struct tg_worker *worker);

#endif
