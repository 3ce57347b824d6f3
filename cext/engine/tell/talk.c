#include "tell/talk.h"

#include <string.h>

#include "base/clock.h"
#include "exchange/rules/plan.h"
#include "exchange/talk.h"
#include "relay/connection.h"
#include "requests.h"
#include "tell/exchanges.h"

/* What the end of the connection says about an exchange that was not over. */
static uint32_t flag_of(int reason)
{
    switch (reason) {
    case TG_DOWNSTREAM_RESET:
        return TG_FLAG_DC;
    case TG_UPSTREAM_RESET:
        return TG_FLAG_UC;
    case TG_IDLE_TIMEOUT:
        return TG_FLAG_SI;
    case TG_LIFETIME:
        return TG_FLAG_DT;
    case TG_ABORTED:
    case TG_INTERNAL_ERROR:
        return TG_FLAG_LR;
    default:
        return 0;
    }
}

static uint32_t flags_of(const struct tg_exchange *exchange, int reason)
{
    /* What happened first is the cause; the connection's end follows from it. */
    return exchange->flags != 0 || exchange->answer == ANSWER_DONE ? exchange->flags : flag_of(reason);
}

static struct tg_text kept(const struct tg_exchange *exchange, struct span span)
{
    if (exchange->plan != NULL && exchange->plan->original != NULL)
        return (struct tg_text){exchange->plan->original + span.at, span.length};
    if (span.length == 0 || (uint64_t)span.at + span.length > exchange->kept_length)
        return (struct tg_text){NULL, 0};
    return (struct tg_text){exchange->kept + span.at, span.length};
}

static void tell_of_plan(const struct tg_plan *plan, struct exchange_told *told)
{
    if (plan == NULL || plan->outcome.rule < 0)
        return;
    const tg_piece route = plan_rule(plan)->route;
    told->record.site = plan->outcome.site->number;
    told->record.rule = (uint32_t)plan->outcome.rule;
    told->record.backend = plan->outcome.backend < 0 ? 0 : (uint32_t)plan->outcome.backend;
    told->route = (struct tg_text){site_text(plan->outcome.site, route), route.length};
}

static uint64_t since(uint64_t begin_us, uint64_t end_us)
{
    return end_us > begin_us ? end_us - begin_us : 0;
}

/* The time in which neither side was waited for: from when the request could be sent until it was, and the turn in
 * which the answer's last bytes were. */
static uint64_t proxy_us(const struct tg_worker *worker, const struct tg_exchange *exchange, uint64_t now_us)
{
    if (exchange->sent_us == 0)
        return since(worker->now_us, now_us);
    return since(exchange->ready_us, exchange->sent_us) + (exchange->first_us == 0 ? 0 : since(worker->now_us, now_us));
}

void talk_tell(struct tg_worker *worker, struct tg_relay *relay, int reason)
{
    struct tg_exchange *exchange = &relay->talk->exchange;
    const struct tg_connection *connection = relay->connection;
    if (exchange->is_told || (exchange->request == REQUEST_HEAD && !exchange->is_ours))
        return;
    exchange->is_told = true;
    const uint64_t now_us = clock_us();
    const uint64_t started_us = exchange->started_us == 0 ? now_us : exchange->started_us;
    const bool answered = exchange->sent_us != 0 && exchange->first_us != 0;
    const uint64_t upstream_us = answered ? since(exchange->sent_us, exchange->first_us) : 0;
    const char *service = connection->ruling->texts.service;
    struct exchange_told told = {
        .record =
            {
                .scope = connection->listener.scope,
                .connection = relay->id,
                .verdict = connection->verdict,
                .site = connection->ruling->asked.site,
                .group = exchange->group_id != 0 ? exchange->group_id : connection->ruling->http_group->id,
                .started_us = started_us,
                .duration_us = since(started_us, now_us),
                .upstream_us = answered ? (int64_t)upstream_us : -1,
                .proxy_us = proxy_us(worker, exchange, now_us),
                .request_bytes = exchange->bytes_sent,
                .response_bytes = exchange->bytes_received,
                .peer = connection->peer,
                .original = connection->original,
                .flags = flags_of(exchange, reason),
                .attempts = (uint8_t)(exchange->attempts + exchange->hedges),
                .status = exchange->status,
                .major = 1,
                .minor = exchange->minor,
                .inbound = connection->listener.inbound != 0,
                .grpc = -1,
                .traced = exchange->trace.traced,
            },
        .method = kept(exchange, exchange->method),
        .authority = kept(exchange, exchange->authority),
        .target = kept(exchange, exchange->target),
        .service = {service, strlen(service)},
    };
    tell_of_plan(exchange->plan, &told);
    memcpy(told.record.trace_id, exchange->trace.trace_id, sizeof told.record.trace_id);
    memcpy(told.record.span_id, exchange->trace.span_id, sizeof told.record.span_id);
    memcpy(told.record.parent_id, exchange->trace.parent_id, sizeof told.record.parent_id);
    if (exchange->attempts > 0)
        told.record.upstream = connection->upstream;
    exchange_tell(worker, &told);
}
