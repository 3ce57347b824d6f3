#include "detect/first.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "detect/memory.h"
#include "exchange/drive.h"
#include "exchange/request.h"
#include "http/detect.h"
#include "ready.h"
#include "relay/connect.h"
#include "relay/ending.h"
#include "relay/schedule.h"
#include "relay/transfer.h"
#include "state.h"

enum {
    HOLD_MS = 500, /* for first bytes that are incomplete */
    ASK_MS = 32,   /* for a client's first byte, where the last connections spoke HTTP: a pooled upstream may do */
};

static bool is_declared(const struct tg_relay *relay)
{
    return relay->connection->ruling->asked.speaks == TG_HTTP;
}

static bool is_detected_http(const struct tg_worker *worker, const struct tg_connection *connection)
{
    return memory_recall(&worker->memory, connection->listener.scope, &connection->original) == TG_SPOKEN_HTTP1;
}

static bool is_detected_opaque(const struct tg_worker *worker, const struct tg_connection *connection)
{
    const enum tg_spoken spoken = memory_recall(&worker->memory, connection->listener.scope, &connection->original);
    return spoken == TG_SPOKEN_SERVER || spoken == TG_SPOKEN_OTHER;
}

static void decided(struct tg_worker *worker, struct tg_relay *relay, enum tg_spoken spoken)
{
    struct tg_connection *connection = relay->connection;
    connection->looking = false;
    connection->spoken = (uint8_t)spoken;
    if (!is_declared(relay))
        memory_keep(&worker->memory, connection->listener.scope, &connection->original, spoken);
    /* What was held is delivered only now. */
    atomic_store_explicit(&relay->active_ms, worker->now_us / 1000, memory_order_relaxed);
    if (spoken != TG_SPOKEN_HTTP1 && connection->connect_us >= 0)
        connection_opened(worker, relay);
    if (spoken == TG_SPOKEN_HTTP1)
        talk_begin(worker, relay);
    else if (relay->side[UPSTREAM].fd < 0 && !connection->connecting)
        connect_begin(worker, relay);
    else
        worker_enqueue(worker, relay);
}

static void keep_hello(struct tg_connection *connection, const struct hello *hello)
{
    connection->hello = malloc(sizeof *hello);
    if (connection->hello != NULL) /* without memory it is not told */
        *connection->hello = *hello;
}

/* What the client has said so far. True: that decided. */
static bool look(struct tg_worker *worker, struct tg_relay *relay)
{
    const struct tg_buffer *buffer = relay->direction[DOWNSTREAM].buffer;
    struct hello hello;
    if (buffer == NULL)
        return false;
    switch (detect_client((const char *)buffer->data + buffer->begin, buffer->end - buffer->begin, &hello)) {
    case DETECTED_HTTP1:
        decided(worker, relay, TG_SPOKEN_HTTP1);
        return true;
    case DETECTED_HTTP2:
        decided(worker, relay, TG_SPOKEN_HTTP2);
        return true;
    case DETECTED_TLS:
        keep_hello(relay->connection, &hello);
        decided(worker, relay, is_declared(relay) ? TG_SPOKEN_HTTP1 : TG_SPOKEN_TLS);
        return true;
    case DETECTED_OPAQUE:
        decided(worker, relay, is_declared(relay) ? TG_SPOKEN_HTTP1 : TG_SPOKEN_OTHER);
        return true;
    default:
        return false;
    }
}

/* Reads once what the client says. */
static void listen_to_client(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_direction *direction = &relay->direction[DOWNSTREAM];
    struct tg_side *side = &relay->side[DOWNSTREAM];
    if (direction->buffer == NULL)
        direction->buffer = pool_get_buffer(&worker->pool);
    if (direction->buffer == NULL) {
        relay_retry_later(worker, relay);
        return;
    }
    struct tg_buffer *buffer = direction->buffer;
    const ssize_t got = recv(side->fd, buffer->data + buffer->end, buffer->size - buffer->end, 0);
    const int error = errno;
    if (got > 0) {
        const bool short_of_room = buffer->end + (size_t)got == buffer->size;
        buffer->end += (size_t)got;
        side->readable = short_of_room || side->eager;
        return;
    }
    if (buffer->end == 0) {
        pool_put_buffer(&worker->pool, buffer);
        direction->buffer = NULL;
    }
    if (got == 0)
        direction->ended = true;
    else if (error == EAGAIN)
        side->readable = false;
    else if (error != EINTR)
        transfer_side_failed(worker, relay, DOWNSTREAM, error);
}

static void hold_for(struct tg_worker *worker, struct tg_relay *relay, uint64_t hold_ms)
{
    if (relay->connection->hold_ms == 0)
        relay->connection->hold_ms = worker->now_us / 1000 + hold_ms;
    relay_schedule(worker, relay);
}

/* Nothing is decided yet: what is done meanwhile. */
static void wait_on(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_connection *connection = relay->connection;
    const bool has_spoken = relay->direction[DOWNSTREAM].buffer != NULL;
    if (relay->settling && !is_declared(relay)) {
        decided(worker, relay, TG_SPOKEN_UNKNOWN);
        return;
    }
    const bool is_late = connection->hold_ms != 0 && worker->now_us / 1000 >= connection->hold_ms;
    if (is_declared(relay)) {
        /* Which upstream it is for is known only when it has said what it wants. */
        if (is_late || (relay->direction[DOWNSTREAM].ended && has_spoken))
            decided(worker, relay, TG_SPOKEN_HTTP1);
        else if (relay->direction[DOWNSTREAM].ended || relay->settling)
            relay_end(worker, relay, TG_FINISHED, 0);
        else if (has_spoken)
            hold_for(worker, relay, TG_HEAD_MS);
        else
            relay_schedule(worker, relay);
        return;
    }
    if (relay->direction[DOWNSTREAM].ended || (is_late && has_spoken && connection->held)) {
        decided(worker, relay, has_spoken ? TG_SPOKEN_OTHER : TG_SPOKEN_UNKNOWN);
        return;
    }
    if (!has_spoken && !is_late && is_detected_http(worker, connection)) {
        hold_for(worker, relay, ASK_MS);
        return;
    }
    if (has_spoken && !connection->held) {
        connection->held = true;
        connection->hold_ms = 0;
        if (is_detected_opaque(worker, connection)) {
            decided(worker, relay, TG_SPOKEN_OTHER);
            return;
        }
        hold_for(worker, relay, HOLD_MS);
    }
    if (relay->side[UPSTREAM].fd < 0 && !connection->connecting)
        connect_begin(worker, relay);
}

void first_begin(struct tg_worker *worker, struct tg_relay *relay)
{
    relay->connection->looking = true;
    if (!connect_prepare(worker, relay))
        return;
    if (!look(worker, relay))
        wait_on(worker, relay);
}

static bool server_has_spoken(const struct tg_relay *relay)
{
    const struct tg_side *side = &relay->side[UPSTREAM];
    return side->fd >= 0 && !relay->connection->connecting && side->readable;
}

void first_step(struct tg_worker *worker, struct tg_relay *relay)
{
    if (relay->connection->connecting)
        connect_step(worker, relay);
    if (relay->done)
        return;
    if (server_has_spoken(relay)) {
        decided(worker, relay, TG_SPOKEN_SERVER);
        return;
    }
    if (relay->side[DOWNSTREAM].readable && !relay->direction[DOWNSTREAM].ended)
        listen_to_client(worker, relay);
    if (relay->side[DOWNSTREAM].error != 0) {
        relay_end(worker, relay, TG_DOWNSTREAM_RESET, relay->side[DOWNSTREAM].error);
        return;
    }
    if (!look(worker, relay))
        wait_on(worker, relay);
}
