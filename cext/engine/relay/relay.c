#include "relay/relay.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

int relay_new(uint64_t id, const tg_relay_request *request, struct tg_relay **out)
{
    const void *early[2] = {request->early_downstream, request->early_upstream};
    const size_t lengths[2] = {request->early_downstream_len, request->early_upstream_len};
    struct tg_relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL)
        return -ENOMEM;
    for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
        if (lengths[side] > 0) {
            relay->direction[side].buffer = buffer_of(early[side], lengths[side]);
            if (relay->direction[side].buffer == NULL) {
                relay_free(relay);
                return -ENOMEM;
            }
        }
    }
    relay->id = id;
    relay->side[DOWNSTREAM].fd = request->downstream_fd;
    relay->side[UPSTREAM].fd = request->upstream_fd;
    relay->idle_timeout_ms = request->idle_timeout_ms;
    relay->lifetime_ms = request->lifetime_ms;
    relay->keepalive_s = request->keepalive_s;
    relay->started_us = clock_us();
    atomic_init(&relay->active_ms, relay->started_us / 1000);
    *out = relay;
    return 0;
}

void relay_free(struct tg_relay *relay)
{
    free(relay->direction[DOWNSTREAM].buffer);
    free(relay->direction[UPSTREAM].buffer);
    if (relay->connection != NULL && relay->connection->ruling != NULL)
        ruling_release(relay->connection->ruling);
    if (relay->connection != NULL) {
        free(relay->connection->follow);
        free(relay->connection->hello);
    }
    free(relay);
}

void direction_discard(struct tg_direction *direction, struct tg_pool *pool)
{
    if (direction->buffer != NULL)
        pool_put_buffer(pool, direction->buffer);
    direction->buffer = NULL;
    if (direction->pipe != NULL)
        pool_put_pipe(pool, direction->pipe, direction->piped == 0);
    direction->pipe = NULL;
    direction->piped = 0;
}
