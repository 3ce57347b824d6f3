#include "exchange/place.h"

#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/counter.h"
#include "exchange/asked/told.h"
#include "exchange/ending.h"
#include "exchange/reply.h"
#include "exchange/rules/hedge.h"
#include "exchange/rules/mirrored.h"
#include "exchange/rules/plan.h"
#include "exchange/rules/quota.h"
#include "exchange/rules/repeat.h"
#include "explicit/requests.h"
#include "relay/announce.h"
#include "relay/connect.h"
#include "relay/dial.h"
#include "relay/ending.h"
#include "relay/schedule.h"
#include "state.h"

enum { MOST_ATTEMPTS = 3 };

static const tg_address *aim(const struct tg_relay *relay, struct tg_group **group)
{
    const struct tg_connection *connection = relay->connection;
    const struct tg_plan *plan = relay->talk->exchange.plan;
    if (plan != NULL && plan->cluster != NULL) {
        *group = plan_choice(plan)->counted;
        return &plan_choice(plan)->address;
    }
    const bool is_http = !explicit_tunnels(relay->talk);
    if (connection->ruling->asked.action == TG_PASS) {
        *group = is_http ? connection->ruling->http_group : connection->ruling->group;
        return &connection->original;
    }
    const struct tg_target *target = &connection->ruling->targets[relay->talk->target];
    *group = is_http ? target->http_group : target->group;
    return &target->address;
}

/* Live walks read these. */
static void note_attempt(struct tg_worker *worker, struct tg_relay *relay, const tg_address *address)
{
    struct tg_connection *connection = relay->connection;
    if (memcmp(&connection->upstream, address, sizeof *address) == 0 && connection->attempts > 0)
        return;
    pthread_mutex_lock(&worker->registry.mutex);
    connection->upstream = *address;
    if (connection->attempts == 0)
        connection->attempts = 1;
    pthread_mutex_unlock(&worker->registry.mutex);
}

/* The connection counts as opened with its first upstream; its end is counted there, too. */
static void note_opened(struct tg_worker *worker, struct tg_relay *relay, struct tg_group *group)
{
    struct tg_connection *connection = relay->connection;
    if (connection->counted)
        return;
    connection->group = group;
    pthread_mutex_lock(&worker->registry.mutex);
    if (connection->connect_us < 0)
        connection->connect_us = (int64_t)(clock_us() - relay->started_us);
    connection->group_id = group->id;
    pthread_mutex_unlock(&worker->registry.mutex);
    connection_opened(worker, relay);
}

/* The upstream is connected: the exchange begins on it. */
static void use(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    struct tg_upstream *upstream = talk->upstream;
    upstream->relay = relay;
    exchange->reused = upstream->exchanges++ > 0;
    exchange->has_sent = false;
    exchange->ready_us = worker->now_us;
    exchange->group_id = upstream->group->id;
    talk->connect_deadline_ms = 0;
    talk->upstream_error = 0;
    if (exchange->plan != NULL)
        plan_unwait(exchange->plan);
    frame_answers(&talk->frame[UPSTREAM]);
    frame_expect(&talk->frame[UPSTREAM], exchange->to_head, exchange->to_connect);
    note_opened(worker, relay, upstream->group);
    if (exchange->told != NULL && talk->flow[DOWNSTREAM].first != NULL)
        told_write(exchange->told, talk->flow[DOWNSTREAM].first, worker->now_us);
}

static bool take_idle(struct tg_worker *worker, struct tg_relay *relay, const tg_address *address)
{
    struct tg_talk *talk = relay->talk;
    struct tg_upstream *upstream;
    if (!talk_is_pooled(relay) || talk->exchange.must_dial || talk->exchange.to_connect)
        return false;
    while ((upstream = idle_take(worker, relay->connection->listener.scope, address)) != NULL) {
        /* A server may have closed it while its FIN is still in our epoll's queue. For requests that must not be sent
         * twice it is worth a system call to see. */
        if (talk->exchange.idempotent || upstream_says_nothing(upstream)) {
            talk->upstream = upstream;
            use(worker, relay);
            return true;
        }
        upstream_close(worker, upstream, false);
    }
    return false;
}

static int open_new(struct tg_worker *worker, struct tg_relay *relay, const tg_address *address)
{
    struct tg_connection *connection = relay->connection;
    const struct tg_caller caller = {
        .listener = &connection->listener,
        .client = &connection->peer,
        .keepalive = &connection->ruling->asked.keepalive,
        .hops = connection->hops,
        .has_spoken = true,
    };
    int error = upstream_open(worker, &caller, address, &relay->talk->upstream);
    if (dial_is_shortage(-error) && idle_give_up_one(worker))
        error = upstream_open(worker, &caller, address, &relay->talk->upstream);
    return error;
}

static void take_turn(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_ruling *ruling = relay->connection->ruling;
    if (ruling->asked.action == TG_RELAY)
        relay->talk->target = connect_choose(worker, relay->connection);
}

/* True: another endpoint may be tried, or another address of the name that the client gave. */
static bool has_another(struct tg_worker *worker, struct tg_relay *relay)
{
    const struct tg_ruling *ruling = relay->connection->ruling;
    const struct tg_exchange *exchange = &relay->talk->exchange;
    if (explicit_advance(worker, relay)) {
        take_turn(worker, relay);
        return true;
    }
    if (exchange->plan != NULL && exchange->plan->cluster != NULL)
        return exchange->attempts < 2 && plan_has_another(exchange->plan);
    return ruling->asked.action == TG_RELAY && ruling->target_count > 1 && exchange->attempts < 2;
}

static void count_failure(struct tg_worker *worker, struct tg_relay *relay, struct tg_group *group)
{
    struct tg_talk *talk = relay->talk;
    talk->exchange.group_id = group->id;
    counter_add(&group_share(group, worker->index)->connect_failures, 1);
    plan_leave(worker, &talk->exchange, TG_REQUEST_NOT_CONNECTED);
    if (relay->connection->ruling->target_count > 0)
        talk->target = (talk->target + 1) % relay->connection->ruling->target_count;
}

/* An endpoint of the plan's cluster, unless one is being tried. False: there is none, which is answered. */
static bool choose(struct tg_worker *worker, struct tg_relay *relay, const tg_address *present)
{
    struct tg_plan *plan = relay->talk->exchange.plan;
    if (plan == NULL || plan->cluster == NULL || plan->is_trying)
        return true;
    switch (plan_pick(worker, plan, present)) {
    case PLAN_PICKED:
        if (plan_rule(plan)->per_try_ms != 0)
            relay->talk->exchange.try_deadline_ms = worker->now_us / 1000 + plan_rule(plan)->per_try_ms;
        return true;
    case PLAN_FULL:
        reply(worker, relay, 503, TG_FLAG_UO, "all endpoints have as many requests as they may");
        return false;
    default:
        reply(worker, relay, 503, TG_FLAG_UH, "no endpoint is ready");
        return false;
    }
}

static uint64_t connect_timeout_ms(const struct tg_relay *relay)
{
    const struct tg_plan *plan = relay->talk->exchange.plan;
    return plan != NULL && plan->cluster != NULL ? plan->cluster->asked.connect_timeout_ms
                                                 : relay->connection->ruling->asked.connect_timeout_ms;
}

static void attempt(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    const uint64_t now_ms = worker->now_us / 1000;
    const uint64_t timeout_ms = connect_timeout_ms(relay);
    for (;;) {
        if (!choose(worker, relay, NULL))
            return;
        struct tg_group *group;
        const tg_address *address = aim(relay, &group);
        note_attempt(worker, relay, address);
        if (take_idle(worker, relay, address)) {
            talk->exchange.attempts++;
            return;
        }
        if (talk->connect_deadline_ms == 0 && timeout_ms != 0)
            talk->connect_deadline_ms = now_ms + timeout_ms;
        struct tg_taken taken = {0};
        if (!quota_admit(worker, relay, &taken))
            return;
        const int error = open_new(worker, relay, address);
        if (error == 0) {
            talk->exchange.attempts++;
            talk->upstream->taken = taken;
            talk->upstream->relay = relay;
            talk->upstream->group = group;
            return;
        }
        taken_give(&taken);
        talk->upstream = NULL;
        if (dial_is_shortage(-error) && (timeout_ms == 0 || now_ms < talk->connect_deadline_ms)) {
            talk->retry_ms = now_ms + RETRY_MS;
            return;
        }
        talk->exchange.attempts++;
        talk->connect_deadline_ms = 0;
        count_failure(worker, relay, group);
        if (!has_another(worker, relay)) {
            if (!repeat_after(worker, relay, TG_RETRY_CONNECT))
                reply(worker, relay, 503, TG_FLAG_UF | repeat_flags(&talk->exchange), "no connection to the upstream");
            return;
        }
    }
}

/* Upstream connections that are there already are of use where the cluster has their endpoint. */
static bool enter(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_plan *plan = talk->exchange.plan;
    const int error = plan_enter(worker, plan);
    if (error < 0) {
        if (error == -EBUSY)
            reply(worker, relay, 503, TG_FLAG_UO, "as many requests as allowed are under way");
        else
            reply(worker, relay, 503, TG_FLAG_NC, "the cluster of the route is not there");
        return false;
    }
    if (!choose(worker, relay, talk->upstream == NULL ? NULL : &talk->upstream->address))
        return false;
    if (plan->cluster == NULL || talk->upstream == NULL ||
        address_equal(&plan_choice(plan)->address, &talk->upstream->address))
        return true;
    talk_drop_upstream(worker, relay, false);
    return true;
}

void place_begin(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    if (talk->exchange.plan != NULL && !enter(worker, relay))
        return;
    hedge_plan(worker, &talk->exchange);
    if (talk->upstream == NULL) {
        take_turn(worker, relay);
        attempt(worker, relay);
    } else {
        talk->exchange.attempts++;
        if (!talk->upstream->connecting)
            use(worker, relay);
    }
    mirrored_begin(worker, relay);
}

void place_step(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_upstream *upstream = talk->upstream;
    const uint64_t now_ms = worker->now_us / 1000;
    if (upstream == NULL) {
        if (talk->retry_ms != 0 && now_ms >= talk->retry_ms) {
            talk->retry_ms = 0;
            attempt(worker, relay);
        }
        return;
    }
    int result = dial_result(&upstream->side, upstream->answered, upstream->troubled);
    if (result == -EINPROGRESS && talk->connect_deadline_ms != 0 && now_ms >= talk->connect_deadline_ms)
        result = -ETIMEDOUT;
    if (result == -EINPROGRESS)
        return;
    if (result == 0)
        result = announce(worker, relay->connection, &upstream->address, upstream->side.fd);
    if (result == 0) {
        upstream->connecting = false;
        /* What was readable while it connected was no word of the server's. */
        use(worker, relay);
        if (explicit_tunnels(talk))
            explicit_establish(worker, relay);
        return;
    }
    struct tg_group *group = upstream->group;
    talk_drop_upstream(worker, relay, true);
    count_failure(worker, relay, group);
    if (has_another(worker, relay))
        attempt(worker, relay);
    else if (!repeat_after(worker, relay, TG_RETRY_CONNECT))
        reply(worker, relay, 503, TG_FLAG_UF | repeat_flags(&talk->exchange),
              result == -ETIMEDOUT ? "the upstream did not accept the connection in time"
                                   : "no connection to the upstream");
}

void place_lost(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    const bool is_safe =
        exchange->has_sent ? exchange->reused && exchange->idempotent && exchange_is_repeatable(exchange) : true;
    if (hedge_takes_over(worker, relay, TG_REQUEST_RESET))
        return;
    talk_drop_upstream(worker, relay, true);
    flow_drop(&worker->pool, &talk->flow[UPSTREAM]);
    if (is_safe && exchange->attempts < MOST_ATTEMPTS && !talk->is_pinned &&
        (!exchange->has_sent || repeat_rewind(worker, talk))) {
        exchange->must_dial = true;
        exchange->has_sent = false;
        attempt(worker, relay);
        return;
    }
    plan_leave(worker, exchange, TG_REQUEST_RESET);
    if (!repeat_after(worker, relay, TG_RETRY_RESET))
        reply(worker, relay, 503, TG_FLAG_UC | repeat_flags(exchange),
              "the upstream ended the connection before it answered");
}
