#include "relay/ending.h"

#include <unistd.h>

#include "accept/accepting.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/socket.h"
#include "ready.h"
#include "state.h"

void connection_opened(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_connection *connection = relay->connection;
    struct tg_share *share = group_share(connection->group, worker->index);
    connection->counted = true;
    counter_add(&share->opened, 1);
    counter_add(&share->retries, connection->attempts - 1);
}

void connection_closed(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_connection *connection = relay->connection;
    own_remove(&worker->engine->owns, &connection->own);
    accept_starving(worker, relay, false);
    /* One whose first bytes never said what it is. */
    if (connection->connect_us >= 0 && !connection->counted)
        connection_opened(worker, relay);
    if (connection->counted)
        counter_add(&group_share(connection->group, worker->index)->ended[relay->reason], 1);
    if (connection->admitted != NULL)
        atomic_fetch_sub(&connection->admitted->admitted, 1);
}

void relay_end(struct tg_worker *worker, struct tg_relay *relay, int reason, int error)
{
    relay->reason = reason;
    relay->error = error;
    relay->done = true;
    relay->ended_us = clock_us();
    for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
        direction_discard(&relay->direction[side], &worker->pool);
        if (relay->side[side].fd < 0)
            continue;
        /* A side to which the other one's FIN was passed on has been sent everything: its kernel may go on with it. */
        if (reason == TG_FINISHED || (reason == TG_ABORTED && relay->direction[1 - side].closed))
            close(relay->side[side].fd);
        else
            socket_reset(relay->side[side].fd);
    }
    if (relay->connection != NULL)
        connection_closed(worker, relay);
    wheel_disarm(&worker->wheel, &relay->timer);
    worker_retire(worker, relay);
}
