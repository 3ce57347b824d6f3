#include "exchange/rules/hedge.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/counter.h"
#include "exchange/asked/told.h"
#include "exchange/ending.h"
#include "exchange/rules/plan.h"
#include "exchange/rules/repeat.h"
#include "limits/hedger.h"
#include "relay/announce.h"
#include "relay/dial.h"
#include "state.h"

static struct tg_hedger *hedger_of(const struct tg_exchange *exchange)
{
    const struct tg_plan *plan = exchange->plan;
    return plan == NULL || plan->cluster == NULL ? NULL : site_hedger(plan->outcome.site, plan->outcome.rule);
}

void hedge_plan(struct tg_worker *worker, struct tg_exchange *exchange)
{
    struct tg_hedger *hedger = hedger_of(exchange);
    if (hedger == NULL)
        return;
    const tg_request_policy *policy = site_policy(exchange->plan->outcome.site);
    const uint64_t after_us = hedger_begin(hedger, policy->hedge_quantile, worker->now_us);
    const uint64_t least_us = (uint64_t)policy->hedge_least_ms * 1000;
    if (after_us != 0 && exchange->idempotent && !exchange->upgrades && !exchange->to_connect)
        exchange->hedge_ms = (exchange->started_us + (after_us > least_us ? after_us : least_us) + 999) / 1000;
}

void hedge_note(struct tg_worker *worker, const struct tg_exchange *exchange)
{
    struct tg_hedger *hedger = hedger_of(exchange);
    if (hedger != NULL && worker->now_us > exchange->started_us)
        hedger_answered(hedger, worker->now_us - exchange->started_us, worker->now_us);
}

/* What a hedge would repeat has been sent as a whole, and nothing has come of it. */
static bool may_hedge(const struct tg_talk *talk)
{
    const struct tg_exchange *exchange = &talk->exchange;
    const struct tg_plan *plan = exchange->plan;
    return plan != NULL && plan->is_trying && plan->hedge == NULL && sticky_is_free(&plan->sticky) &&
           exchange->request == REQUEST_DONE && exchange->answer == ANSWER_NONE && exchange->is_whole &&
           exchange->sent_us != 0 && !flow_owes(&talk->flow[DOWNSTREAM]) && talk->upstream != NULL &&
           talk->upstream_error == 0 && !talk->is_pinned && !talk->settles && flow_unframed(&talk->flow[UPSTREAM]) == 0;
}

/* An endpoint other than those tried, where there is one. -1: none. */
static int32_t other(struct tg_worker *worker, const struct tg_plan *plan)
{
    uint32_t tried[PLAN_TRIED + 1];
    for (uint32_t i = 0; i < plan->tried_count; i++)
        tried[i] = plan->tried[i];
    tried[plan->tried_count] = plan->endpoint;
    return cluster_pick(plan->cluster, worker->index, NULL, tried, plan->tried_count + 1, worker_random(worker),
                        worker->now_us);
}

/* A connection that waits, or a new one. NULL: none to be had. */
static struct tg_upstream *connection_to(struct tg_worker *worker, struct tg_relay *relay, uint32_t endpoint)
{
    struct tg_connection *connection = relay->connection;
    struct tg_plan *plan = relay->talk->exchange.plan;
    const struct tg_choice *choice = &plan->cluster->endpoints[endpoint];
    const struct tg_caller caller = {
        .listener = &connection->listener,
        .client = &connection->peer,
        .keepalive = &connection->ruling->asked.keepalive,
        .hops = connection->hops,
        .has_spoken = true,
    };
    struct tg_upstream *upstream = idle_take(worker, connection->listener.scope, &choice->address);
    struct tg_taken taken = {0};
    if (upstream != NULL)
        return upstream;
    if (!taken_take(plan->cluster, endpoint, &taken))
        return NULL;
    if (upstream_open(worker, &caller, &choice->address, &upstream) < 0) {
        taken_give(&taken);
        return NULL;
    }
    upstream->group = choice->counted;
    upstream->taken = taken;
    return upstream;
}

void hedge_begin(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    struct tg_plan *plan = exchange->plan;
    exchange->hedge_ms = 0;
    if (!may_hedge(talk) || !talk_is_pooled(relay))
        return;
    const tg_request_policy *policy = site_policy(plan->outcome.site);
    const struct tg_allowance allowance = {policy->hedge_percent, 0};
    if (!hedger_bears(hedger_of(exchange), policy->hedge_quantile, worker->now_us))
        return;
    const int32_t endpoint = other(worker, plan);
    if (endpoint < 0 || !cluster_may_repeat(plan->cluster, worker->index, TG_BUDGET_HEDGE, &allowance, worker->now_us))
        return;
    struct tg_hedge *hedge = calloc(1, sizeof *hedge);
    struct tg_buffer *out = buffer_of(exchange->kept, exchange->kept_length);
    struct tg_upstream *upstream =
        hedge == NULL || out == NULL ? NULL : connection_to(worker, relay, (uint32_t)endpoint);
    if (upstream == NULL) {
        free(hedge);
        free(out);
        return;
    }
    upstream->relay = relay;
    if (exchange->told != NULL)
        told_write(exchange->told, out, worker->now_us);
    *hedge =
        (struct tg_hedge){.upstream = upstream, .out = out, .endpoint = (uint32_t)endpoint, .began_us = worker->now_us};
    if (plan->cluster->asked.connect_timeout_ms != 0)
        hedge->connect_deadline_ms = worker->now_us / 1000 + plan->cluster->asked.connect_timeout_ms;
    endpoint_began(plan->cluster, worker->index, hedge->endpoint);
    plan->hedge = hedge;
    exchange->hedges++;
}

/* 0: connected; -EINPROGRESS; else -errno. */
static int connected(struct tg_worker *worker, struct tg_relay *relay, struct tg_hedge *hedge)
{
    struct tg_upstream *upstream = hedge->upstream;
    if (!upstream->connecting)
        return 0;
    int result = dial_result(&upstream->side, upstream->answered, upstream->troubled);
    if (result == -EINPROGRESS && hedge->connect_deadline_ms != 0 &&
        worker->now_us / 1000 >= hedge->connect_deadline_ms)
        return -ETIMEDOUT;
    if (result == 0)
        result = announce(worker, relay->connection, &upstream->address, upstream->side.fd);
    if (result == 0)
        upstream->connecting = false;
    return result;
}

/* False: the connection is broken. */
static bool write_out(struct tg_hedge *hedge)
{
    struct tg_buffer *out = hedge->out;
    while (out->begin < out->end && hedge->upstream->side.writable) {
        const ssize_t sent =
            send(hedge->upstream->side.fd, out->data + out->begin, out->end - out->begin, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            hedge->upstream->side.writable = false;
        else if (sent < 0)
            return false;
        else
            out->begin += (size_t)sent;
    }
    if (out->begin == out->end) {
        free(out);
        hedge->out = NULL;
        hedge->sent_us = clock_us();
    }
    return true;
}

/* 1: an answer has begun; 0: nothing has come; -1: the connection is over. */
static int heard(struct tg_upstream *upstream)
{
    char byte;
    if (upstream->side.error != 0)
        return -1;
    if (!upstream->side.readable && !upstream->side.fin)
        return 0;
    const ssize_t there = recv(upstream->side.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (there > 0)
        return 1;
    if (there < 0 && errno == EAGAIN) {
        upstream->side.readable = false;
        return 0;
    }
    return -1;
}

/* The second request is the exchange's from now on; the first one's upstream has gone. */
static void promote(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    struct tg_plan *plan = exchange->plan;
    struct tg_hedge *hedge = plan->hedge;
    struct tg_upstream *upstream = hedge->upstream;
    const uint32_t per_try_ms = plan_rule(plan)->per_try_ms;
    plan->hedge = NULL;
    plan->endpoint = hedge->endpoint;
    plan->began_us = hedge->began_us;
    plan->is_trying = true;
    talk->upstream = upstream;
    exchange->reused = upstream->exchanges++ > 0;
    exchange->sent_us = hedge->sent_us;
    exchange->first_us = 0;
    exchange->group_id = upstream->group->id;
    exchange->try_deadline_ms = per_try_ms == 0 ? 0 : hedge->began_us / 1000 + per_try_ms;
    upstream->side.readable = upstream->side.eager = true;
    pthread_mutex_lock(&worker->registry.mutex); /* live walks read it */
    relay->connection->upstream = upstream->address;
    pthread_mutex_unlock(&worker->registry.mutex);
    frame_answers(&talk->frame[UPSTREAM]);
    frame_expect(&talk->frame[UPSTREAM], exchange->to_head, exchange->to_connect);
    free(hedge);
}

static void fail(struct tg_worker *worker, struct tg_relay *relay, enum tg_request_end how)
{
    struct tg_hedge *hedge = relay->talk->exchange.plan->hedge;
    if (how == TG_REQUEST_NOT_CONNECTED)
        counter_add(&group_share(hedge->upstream->group, worker->index)->connect_failures, 1);
    plan_unhedge(worker, relay->talk->exchange.plan, how);
}

void hedge_step(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    struct tg_plan *plan = exchange->plan;
    struct tg_hedge *hedge = plan->hedge;
    if (exchange->answer != ANSWER_NONE || exchange->is_ours) {
        plan_unhedge(worker, plan, TG_REQUEST_CANCELLED);
        return;
    }
    const int result = connected(worker, relay, hedge);
    if (result == -EINPROGRESS)
        return;
    if (result < 0) {
        fail(worker, relay, TG_REQUEST_NOT_CONNECTED);
        return;
    }
    if (hedge->out != NULL && !write_out(hedge)) {
        fail(worker, relay, TG_REQUEST_RESET);
        return;
    }
    const int found = heard(hedge->upstream);
    if (found < 0) {
        fail(worker, relay, TG_REQUEST_RESET);
    } else if (found > 0 && hedge->out == NULL && flow_unframed(&talk->flow[UPSTREAM]) == 0) {
        plan_outlived(worker, exchange);
        plan_leave(worker, exchange, TG_REQUEST_CANCELLED);
        talk_drop_upstream(worker, relay, true);
        promote(worker, relay);
    }
}

bool hedge_takes_over(struct tg_worker *worker, struct tg_relay *relay, enum tg_request_end how)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    struct tg_plan *plan = exchange->plan;
    if (plan == NULL || plan->hedge == NULL)
        return false;
    if (plan->hedge->out != NULL) {
        /* Not sent yet: a retry does as well. */
        plan_unhedge(worker, plan, TG_REQUEST_CANCELLED);
        return false;
    }
    plan_leave(worker, exchange, how);
    talk_drop_upstream(worker, relay, true);
    flow_drop(&worker->pool, &talk->flow[UPSTREAM]);
    promote(worker, relay);
    return true;
}
