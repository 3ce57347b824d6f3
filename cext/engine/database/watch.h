/* Databases in connections that are relayed as bytes: what has been delivered is looked at, a copy that costs nothing
 * more, and nothing waits for it. A connection that speaks no database costs one comparison a write. */
#ifndef TG_DATABASE_WATCH_H
#define TG_DATABASE_WATCH_H

#include "relay/relay.h"
#include "worker.h"

enum { WATCH_OFF, WATCH_GUESS, WATCH_FOLLOW };

static inline bool database_is_followed(const struct tg_relay *relay)
{
    return relay->connection != NULL && relay->connection->watch == WATCH_FOLLOW;
}

void database_look(struct tg_worker *worker, struct tg_relay *relay, int from, const uint8_t *bytes, size_t length);

/* Called with what the other side has just taken. */
static inline void database_delivered(struct tg_worker *worker, struct tg_relay *relay, int from, const uint8_t *bytes,
                                      size_t length)
{
    if (relay->connection != NULL && relay->connection->watch != WATCH_OFF)
        database_look(worker, relay, from, bytes, length);
}

#endif
