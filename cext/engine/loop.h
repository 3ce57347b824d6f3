/* A worker's thread. */
#ifndef TG_LOOP_H
#define TG_LOOP_H

#include <stddef.h>
#include <stdint.h>

#include "state.h"

/* 0 or -errno; in any case worker_release and registry_destroy are due. */
int worker_init(struct tg_worker *worker, struct tg_engine *engine, uint8_t index, size_t capacity);
int worker_start(struct tg_worker *worker);

/* Gives back descriptors and pool; the thread has been joined or was never started. */
void worker_release(struct tg_worker *worker);

#endif
