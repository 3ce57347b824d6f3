#include "exchange/ending.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "exchange/rules/plan.h"
#include "http/opaque.h"
#include "relay/ending.h"
#include "state.h"
#include "tell/talk.h"

enum {
    BULKY = 256 * 1024, /* bytes of a body: for fewer a pipe costs as much as it saves */
    REST = 32 * 1024    /* bytes of it that are to come: likewise */
};
enum { LINGER_MS = 2000 /* for a client to read an answer that it did not expect, before a RST could take it away */ };

bool talk_is_pooled(const struct tg_relay *relay)
{
    const struct tg_connection *connection = relay->connection;
    const struct tg_plan *plan = relay->talk->exchange.plan;
    const bool is_chosen = connection->ruling->asked.action == TG_RELAY || (plan != NULL && plan->cluster != NULL);
    return is_chosen && !connection->listener.inbound;
}

void talk_moved(struct tg_worker *worker, struct tg_relay *relay, int from, size_t bytes)
{
    struct tg_exchange *exchange = &relay->talk->exchange;
    struct tg_group *group = relay->connection->group;
    counter_add(&relay->direction[from].bytes, bytes);
    counter_add(&worker->bytes[from], bytes);
    if (group != NULL)
        counter_add(&group_share(group, worker->index)->bytes[from], bytes);
    if (from == DOWNSTREAM)
        exchange->bytes_sent += bytes;
    else
        exchange->bytes_received += bytes;
    atomic_store_explicit(&relay->active_ms, worker->now_us / 1000, memory_order_relaxed);
}

/* One whose length is not known counts as large once it has shown to be. */
static uint64_t pourable(const struct frame *frame)
{
    const uint64_t opaque = frame_opaque(frame);
    const uint64_t whole = opaque == UINT64_MAX ? frame->body : frame->body + opaque;
    return opaque >= REST && whole >= BULKY ? opaque : 0;
}

bool talk_pours(struct tg_worker *worker, struct tg_talk *talk, int from, struct tg_side *side)
{
    struct tg_flow *flow = &talk->flow[from];
    const uint64_t most = pourable(&talk->frame[from]);
    if (most == 0 || flow->buffer != NULL || flow_owes(flow))
        return false;
    const size_t moved = flow_pour(&worker->pool, flow, side, most, worker->now_us);
    if (moved == 0)
        return false;
    frame_skip(&talk->frame[from], moved);
    counter_add(&worker->spliced, moved);
    return true;
}

void talk_drop_upstream(struct tg_worker *worker, struct tg_relay *relay, bool reset)
{
    struct tg_talk *talk = relay->talk;
    if (talk->upstream != NULL)
        upstream_close(worker, talk->upstream, reset);
    talk->upstream = NULL;
    talk->upstream_error = 0;
    talk->connect_deadline_ms = 0;
    talk->seen[UPSTREAM] = 0;
    free(talk->head[UPSTREAM]);
    talk->head[UPSTREAM] = NULL;
}

/* Whether the upstream connection stands exactly between two exchanges. */
static bool is_clean(const struct tg_talk *talk)
{
    const struct tg_exchange *exchange = &talk->exchange;
    return exchange->request == REQUEST_DONE && exchange->answer == ANSWER_DONE && !exchange->is_ours &&
           exchange->keeps_alive && exchange->answer_keeps_alive && !flow_owes(&talk->flow[DOWNSTREAM]) &&
           flow_unframed(&talk->flow[UPSTREAM]) == 0 && talk->upstream_error == 0 && upstream_is_silent(talk->upstream);
}

static void part(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    if (talk->upstream == NULL)
        return;
    if (!is_clean(talk)) {
        /* A server that has not taken the whole request must not take what it has got for all of it. */
        talk_drop_upstream(worker, relay, talk->exchange.request != REQUEST_DONE);
    } else if (plan_is_worn(talk->exchange.plan, talk->upstream->exchanges)) {
        talk_drop_upstream(worker, relay, false);
    } else if (talk_is_pooled(relay) && !talk->is_pinned) {
        idle_put(worker, talk->upstream, plan_idle_ms(talk->exchange.plan, relay->idle_timeout_ms));
        talk->upstream = NULL;
    }
}

void exchange_finish(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    const struct tg_exchange *exchange = &talk->exchange;
    const bool closes = talk->is_closing || talk->settles || !exchange->keeps_alive ||
                        exchange->request != REQUEST_DONE || (!exchange->is_ours && !exchange->answer_keeps_alive) ||
                        atomic_load_explicit(&worker->engine->draining, memory_order_relaxed);
    talk_tell(worker, relay, TG_FINISHED);
    part(worker, relay);
    const bool is_pooled = talk_is_pooled(relay);
    plan_end(worker, &talk->exchange);
    flow_drop(&worker->pool, &talk->flow[UPSTREAM]);
    flow_forget(&worker->pool, &talk->flow[DOWNSTREAM]);
    /* Of a connection that serves this client alone the end is the client's, too. */
    if (closes || (!exchange->is_ours && talk->upstream == NULL && !is_pooled)) {
        talk_close(worker, relay);
        return;
    }
    exchange_reset(&talk->exchange);
}

void talk_close(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_side *side = talk_downstream(relay);
    const bool may_have_more =
        talk->exchange.request == REQUEST_VOID || flow_unframed(&talk->flow[DOWNSTREAM]) > 0 || side->readable;
    if (talk->has_ended || !may_have_more || shutdown(side->fd, SHUT_WR) < 0) {
        talk_end(worker, relay, TG_FINISHED, 0);
        return;
    }
    talk_drop_upstream(worker, relay, talk->exchange.request != REQUEST_DONE);
    flow_drop(&worker->pool, &talk->flow[DOWNSTREAM]);
    talk->lingers = true;
    talk->linger_ms = worker->now_us / 1000 + LINGER_MS;
}

void talk_free(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    plan_end(worker, &talk->exchange);
    exchange_reset(&talk->exchange);
    for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
        flow_drop(&worker->pool, &talk->flow[side]);
        free(talk->head[side]);
    }
    relay->talk = NULL;
    free(talk->explicit_);
    free(talk);
}

void talk_end(struct tg_worker *worker, struct tg_relay *relay, int reason, int error)
{
    struct tg_talk *talk = relay->talk;
    talk_tell(worker, relay, reason);
    if (talk->upstream != NULL) {
        const bool idle = talk->exchange.request == REQUEST_HEAD;
        if (idle && talk_is_pooled(relay) && !talk->is_pinned && !talk->upstream->connecting &&
            upstream_is_silent(talk->upstream))
            idle_put(worker, talk->upstream, plan_idle_ms(talk->exchange.plan, relay->idle_timeout_ms));
        else
            upstream_close(worker, talk->upstream, reason != TG_FINISHED && !idle);
        talk->upstream = NULL;
    }
    talk_free(worker, relay);
    relay_end(worker, relay, reason, error);
}
