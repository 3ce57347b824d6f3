/* The way of ended relays to the caller: queues that workers push to, and descriptors that tell when something waits.
 */
#ifndef TG_QUEUES_H
#define TG_QUEUES_H

#include <stddef.h>

#include "state.h"

/* The caller is to look: `which` descriptor becomes readable, if it is not. And the caller's: it is about to look. */
void engine_raise(struct tg_engine *engine, int which);
void engine_lower(struct tg_engine *engine, int which);

/* A worker's ended relays, newest first; `last` is the oldest. */
void engine_publish(struct tg_engine *engine, int queue, struct tg_node *first, struct tg_node *last, size_t count);

/* A worker has left a record in its ring. */
void engine_signal_records(struct tg_engine *engine);

/* Every collection stands between these two. collected: how many were taken. */
void collect_begin(struct tg_engine *engine, int signal);
void collect_finish(struct tg_engine *engine, int signal, int collected);

/* In between: the next one ended of this queue, or NULL; and the last one again. */
struct tg_relay *engine_next(struct tg_engine *engine, int queue);
void engine_put_back(struct tg_engine *engine, int queue, struct tg_relay *relay);

#endif
