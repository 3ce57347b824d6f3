/* From the listening socket to a decision. A connection is accepted only when there is memory for it and the engine has
 * room; what can't be served now waits in the listener's backlog. */
#include "accept/accept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accept/accepting.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/socket.h"
#include "capacity.h"
#include "database/watch.h"
#include "decide/choose.h"
#include "decide/original.h"
#include "detect/first.h"
#include "exchange/drive.h"
#include "ready.h"
#include "relay/connect.h"
#include "relay/ending.h"
#include "state.h"
#include "upstream/stand_in.h"

enum { ACCEPTS_PER_TURN = 16 /* also lets idle workers have their share of a burst */ };

/* Makes sure that the next connection has memory and room: worker->spare. False: accepting is paused. */
static bool prepare(struct tg_worker *worker)
{
    if (worker->spare != NULL)
        return true;
    struct tg_relay *relay = calloc(1, sizeof *relay + sizeof *relay->connection);
    if (relay == NULL) {
        accept_pause(worker, &worker->pauses);
        return false;
    }
    /* Said before asking, so that room made in between is not missed. */
    atomic_store(&worker->wants_space, true);
    if (!engine_reserve(worker->engine)) {
        free(relay);
        accept_pause(worker, &worker->limit_pauses);
        return false;
    }
    atomic_store(&worker->wants_space, false);
    relay->connection = (struct tg_connection *)(relay + 1);
    worker->spare = relay;
    return true;
}

static void give_spare_back(struct tg_worker *worker)
{
    if (worker->spare == NULL)
        return;
    free(worker->spare);
    worker->spare = NULL;
    engine_release(worker->engine);
}

static struct tg_relay *connection_of(struct tg_worker *worker, int fd, const struct tg_listening *listening,
                                      const struct sockaddr_storage *from)
{
    struct tg_relay *relay = worker->spare;
    struct tg_connection *connection = relay->connection;
    worker->spare = NULL;
    connection->listener = listening->options;
    connection->peer = address_from(from);
    connection->connect_us = -1;
    if (atomic_load_explicit(&worker->engine->follows_databases, memory_order_relaxed))
        connection->watch = WATCH_GUESS;
    relay->side[DOWNSTREAM].fd = fd;
    relay->side[UPSTREAM].fd = -1;
    relay->started_us = clock_us();
    atomic_init(&relay->active_ms, relay->started_us / 1000);
    relay->keepalive_s = listening->options.keepalive_s;
    relay->begun = true;
    return relay;
}

static bool is_admitted(struct tg_connection *connection)
{
    struct tg_group *group = connection->ruling->group;
    const uint64_t limit = connection->ruling->asked.max_connections;
    if (atomic_fetch_add(&group->admitted, 1) < limit || limit == 0) {
        connection->admitted = group;
        return true;
    }
    atomic_fetch_sub(&group->admitted, 1);
    return false;
}

/* How many connections of ours may lead to this one (own.h). */
static uint32_t hops_of(struct tg_engine *engine, const struct tg_connection *connection)
{
    uint32_t scope, hops;
    if (!own_find(&engine->owns, &connection->peer, &connection->original, &scope, &hops) ||
        (int64_t)scope == connection->listener.hairpin_from)
        return 0;
    return hops + 1;
}

static void obey(struct tg_relay *relay, struct tg_ruling *ruling)
{
    struct tg_connection *connection = relay->connection;
    connection->ruling = ruling;
    connection->verdict = ruling->asked.id;
    connection->group_id = ruling->asked.group;
    relay->idle_timeout_ms = ruling->asked.idle_timeout_ms;
    relay->lifetime_ms = ruling->asked.lifetime_ms;
    /* The accepted socket has the listener's settings already. */
    if (ruling->asked.keepalive.wanted != 0)
        relay->keepalive_s = 0;
}

/* The same of an explicit proxy's connection: what holds for all destinations that nothing is said about holds until
 * its first request says where it is to go. */
static int judge_explicit(struct tg_worker *worker, struct tg_relay *relay)
{
    static const tg_address ANY = {0};
    struct tg_connection *connection = relay->connection;
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof own;
    if (getsockname(relay->side[DOWNSTREAM].fd, (struct sockaddr *)&own, &size) < 0)
        return TG_NO_DESTINATION;
    connection->original = address_from(&own);
    connection->hops = hops_of(worker->engine, connection);
    if (connection->hops > TG_MAX_HOPS)
        return TG_LOOP;
    struct tg_ruling *ruling = table_find(&worker->engine->verdicts, connection->listener.scope, &ANY);
    if (ruling == NULL)
        return TG_NO_DESTINATION;
    obey(relay, ruling);
    return TG_PASS;
}

/* What is to be done with the connection: an action, or the tg_reason to refuse it for (all of them are greater). */
static int judge(struct tg_worker *worker, struct tg_relay *relay, const struct tg_listening *listening)
{
    struct tg_connection *connection = relay->connection;
    if (connection->listener.is_explicit)
        return judge_explicit(worker, relay);
    const int refusal = original_destination(relay->side[DOWNSTREAM].fd, &connection->peer,
                                             connection->listener.original, listening->port, &connection->original);
    if (refusal != 0)
        return refusal;
    if (connection->listener.as_client != 0)
        connection->listener.as_client = stand_in_suits(relay->side[DOWNSTREAM].fd, &connection->original);
    connection->hops = hops_of(worker->engine, connection);
    if (connection->hops > TG_MAX_HOPS)
        return TG_LOOP;
    struct tg_ruling *ruling = table_find(&worker->engine->verdicts, connection->listener.scope, &connection->original);
    if (ruling == NULL)
        return TG_PUNT;
    obey(relay, ruling);
    if (ruling->asked.action == TG_PUNT || ruling_denies(ruling, &connection->peer))
        return TG_PUNT;
    if (ruling->asked.action != TG_REFUSE && is_admitted(connection))
        return ruling->asked.action;
    counter_add(&group_share(ruling->group, worker->index)->refused, 1);
    return ruling->asked.action == TG_REFUSE ? TG_REFUSED : TG_LIMITED;
}

/* A judged connection is in nobody's hands yet. 0: it is taken care of; else -errno, and it has been reset. */
static int dispatch(struct tg_worker *worker, struct tg_relay *relay, int judgement)
{
    _Static_assert((int)TG_REFUSE < (int)TG_REFUSED, "an action is never taken for a refusal");
    relay->connection->punted = judgement == TG_PUNT;
    const int error = registry_add(&worker->registry, relay, worker->index);
    if (error < 0) {
        socket_reset(relay->side[DOWNSTREAM].fd);
        connection_closed(worker, relay);
        relay_free(relay);
        engine_release(worker->engine);
        return error;
    }
    atomic_fetch_add_explicit(&worker->active, 1, memory_order_relaxed);
    if (judgement == TG_PUNT) {
        /* The descriptor leaves with the punt. */
        relay->done = true;
        connection_closed(worker, relay);
        worker_retire(worker, relay);
    } else if (judgement > TG_REFUSE) {
        relay_end(worker, relay, judgement, 0);
    } else if (relay->connection->listener.is_explicit) {
        relay->connection->spoken = TG_SPOKEN_HTTP1;
        if (connect_prepare(worker, relay))
            talk_begin(worker, relay);
    } else if (relay->connection->ruling->asked.speaks != TG_OPAQUE) {
        first_begin(worker, relay);
    } else if (connect_prepare(worker, relay)) {
        connect_begin(worker, relay);
    }
    return 0;
}

/* False: nothing more can be accepted now. */
static bool accept_one(struct tg_worker *worker, struct tg_listening *listening)
{
    struct sockaddr_storage from = {0};
    socklen_t size = sizeof from;
    if (!prepare(worker))
        return false;
    const int fd = accept4(listening->fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            accept_pause(worker, &worker->pauses);
        /* Of these that connection is gone, and the next one may be fine. */
        return errno == EINTR || errno == ECONNABORTED || errno == EPROTO || errno == EPERM;
    }
    worker->short_of = false;
    atomic_fetch_add_explicit(&listening->accepted, 1, memory_order_relaxed);
    struct tg_relay *relay = connection_of(worker, fd, listening, &from);
    if (dispatch(worker, relay, judge(worker, relay, listening)) < 0) {
        accept_pause(worker, &worker->pauses);
        return false;
    }
    return true;
}

void accept_event(struct tg_worker *worker, int number)
{
    struct tg_listening *listening = &worker->engine->listeners[number];
    for (int i = 0; i < ACCEPTS_PER_TURN && !worker->paused && atomic_load(&listening->open); i++)
        if (!accept_one(worker, listening))
            break;
    give_spare_back(worker);
}
