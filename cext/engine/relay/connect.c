/* From a decision to a connected upstream: one endpoint after the other, each within its time. */
#include "relay/connect.h"

#include <errno.h>
#include <unistd.h>

#include "accept/accepting.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/socket.h"
#include "decide/choose.h"
#include "relay/announce.h"
#include "relay/dial.h"
#include "relay/ending.h"
#include "relay/schedule.h"
#include "relay/transfer.h"
#include "state.h"

static void set_upstream(struct tg_worker *worker, struct tg_connection *connection, const tg_address *address)
{
    pthread_mutex_lock(&worker->registry.mutex);
    connection->upstream = *address;
    pthread_mutex_unlock(&worker->registry.mutex);
}

/* Begins one attempt: 0, or -errno with nothing left open. */
static int attempt(struct tg_worker *worker, struct tg_relay *relay, const tg_address *address)
{
    const struct tg_caller caller = {
        .listener = &relay->connection->listener,
        .client = &relay->connection->peer,
        .keepalive = &relay->connection->ruling->asked.keepalive,
        .hops = relay->connection->hops,
        .has_spoken = direction_is_pending(&relay->direction[DOWNSTREAM]),
    };
    const int fd = dial(&caller, address);
    if (fd < 0)
        return fd;
    relay->side[UPSTREAM] = (struct tg_side){.fd = fd, .plain = true};
    const int error = side_watch(&relay->side[UPSTREAM], worker->epoll_fd, relay->handle, UPSTREAM);
    if (error < 0) {
        relay->side[UPSTREAM].fd = -1;
        close(fd);
        return error;
    }
    dial_remember(worker, fd, &caller, address, &relay->connection->own);
    return 0;
}

static void abandon_attempt(struct tg_worker *worker, struct tg_relay *relay)
{
    own_remove(&worker->engine->owns, &relay->connection->own);
    if (relay->side[UPSTREAM].fd >= 0)
        socket_reset(relay->side[UPSTREAM].fd);
    relay->side[UPSTREAM] = (struct tg_side){.fd = -1};
}

static uint32_t allowed_attempts(const struct tg_ruling *ruling)
{
    if (ruling->asked.action == TG_PASS)
        return 1;
    const uint32_t wanted = ruling->asked.max_attempts;
    return wanted == 0 || wanted > ruling->target_count ? ruling->target_count : wanted;
}

/* Sets what the next attempt goes to. */
static const tg_address *aim(struct tg_relay *relay)
{
    struct tg_connection *connection = relay->connection;
    if (connection->ruling->asked.action == TG_PASS) {
        connection->group = connection->ruling->group;
        return &connection->original;
    }
    const struct tg_target *target = &connection->ruling->targets[connection->target];
    connection->group = target->group;
    return &target->address;
}

static struct tg_chooser chooser_of(struct tg_worker *worker)
{
    struct tg_engine *engine = worker->engine;
    return (struct tg_chooser){
        .affinities = &engine->affinities,
        .workers = engine->worker_count,
        .now_ms = worker->now_us / 1000,
        .random = worker_random(worker),
    };
}

uint32_t connect_choose(struct tg_worker *worker, struct tg_connection *connection)
{
    const struct tg_chooser chooser = chooser_of(worker);
    const uint32_t target = ruling_choose(connection->ruling, &chooser, &connection->peer);
    ruling_remember(connection->ruling, &chooser, &connection->peer, target);
    return target;
}

static void count_failure(struct tg_worker *worker, struct tg_relay *relay, int error)
{
    struct tg_connection *connection = relay->connection;
    pthread_mutex_lock(&worker->registry.mutex);
    connection->attempts++;
    pthread_mutex_unlock(&worker->registry.mutex);
    connection->attempt_error = error;
    counter_add(&group_share(connection->group, worker->index)->connect_failures, 1);
    if (connection->ruling->target_count > 0) {
        connection->target = (connection->target + 1) % connection->ruling->target_count;
        const struct tg_chooser chooser = chooser_of(worker);
        ruling_remember(connection->ruling, &chooser, &connection->peer, connection->target);
    }
}

/* Tries endpoints until an attempt is under way. */
static void advance(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_connection *connection = relay->connection;
    const uint64_t now_ms = worker->now_us / 1000;
    const uint64_t timeout_ms = connection->ruling->asked.connect_timeout_ms;
    while (connection->attempts < allowed_attempts(connection->ruling)) {
        const tg_address *address = aim(relay);
        set_upstream(worker, connection, address);
        connection->answered = connection->troubled = false;
        if (connection->attempt_deadline_ms == 0 && timeout_ms != 0)
            connection->attempt_deadline_ms = now_ms + timeout_ms;
        const int error = attempt(worker, relay, address);
        accept_starving(worker, relay, dial_is_shortage(-error));
        if (error == 0) {
            relay_schedule(worker, relay);
            return;
        }
        if (dial_is_shortage(-error) && (timeout_ms == 0 || now_ms < connection->attempt_deadline_ms)) {
            relay_retry_later(worker, relay);
            return;
        }
        connection->attempt_deadline_ms = 0;
        count_failure(worker, relay, -error);
    }
    relay_end(worker, relay, connection->attempt_error == ETIMEDOUT ? TG_CONNECT_TIMEOUT : TG_CONNECT_FAILED,
              connection->attempt_error);
}

bool connect_prepare(struct tg_worker *worker, struct tg_relay *relay)
{
    transfer_early(worker, relay, DOWNSTREAM);
    const int error = side_watch(&relay->side[DOWNSTREAM], worker->epoll_fd, relay->handle, DOWNSTREAM);
    if (error < 0)
        relay_end(worker, relay, TG_INTERNAL_ERROR, -error);
    else if (relay->side[DOWNSTREAM].error != 0)
        relay_end(worker, relay, TG_DOWNSTREAM_RESET, relay->side[DOWNSTREAM].error);
    return !relay->done;
}

void connect_begin(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_connection *connection = relay->connection;
    connection->connecting = true;
    if (connection->ruling->target_count > 0)
        connection->target = connect_choose(worker, connection);
    advance(worker, relay);
}

static void connected(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_connection *connection = relay->connection;
    const uint64_t now_us = clock_us();
    connection->connecting = false;
    pthread_mutex_lock(&worker->registry.mutex);
    connection->attempts++;
    connection->connect_us = (int64_t)(now_us - relay->started_us);
    connection->group_id = connection->group->id;
    pthread_mutex_unlock(&worker->registry.mutex);
    /* Whose counters it moves depends on what it speaks. */
    if (!connection->looking)
        connection_opened(worker, relay);
    atomic_store_explicit(&relay->active_ms, now_us / 1000, memory_order_relaxed);
    relay_schedule(worker, relay);
}

/* 0: connected; -EINPROGRESS: nothing known yet; else -errno of the attempt. */
static int attempt_result(const struct tg_worker *worker, const struct tg_relay *relay)
{
    const struct tg_connection *connection = relay->connection;
    const int result = dial_result(&relay->side[UPSTREAM], connection->answered, connection->troubled);
    if (result == -EINPROGRESS && connection->attempt_deadline_ms != 0 &&
        worker->now_us / 1000 >= connection->attempt_deadline_ms)
        return -ETIMEDOUT;
    return result;
}

void connect_step(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_connection *connection = relay->connection;
    if (relay->side[DOWNSTREAM].error != 0) {
        relay_end(worker, relay, TG_DOWNSTREAM_RESET, relay->side[DOWNSTREAM].error);
        return;
    }
    if (relay->side[UPSTREAM].fd < 0) {
        if (relay->retry_ms == 0)
            advance(worker, relay);
        return;
    }
    int error = attempt_result(worker, relay);
    if (error == -EINPROGRESS)
        return;
    if (error == 0)
        error = announce(worker, connection, &connection->upstream, relay->side[UPSTREAM].fd);
    if (error == 0) {
        connected(worker, relay);
        return;
    }
    abandon_attempt(worker, relay);
    connection->attempt_deadline_ms = 0;
    count_failure(worker, relay, -error);
    advance(worker, relay);
}
