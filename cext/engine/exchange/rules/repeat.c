#include "exchange/rules/repeat.h"

#include "exchange/ending.h"
#include "exchange/reply.h"
#include "exchange/rules/plan.h"

bool repeat_rewind(struct tg_worker *worker, struct tg_talk *talk)
{
    struct tg_flow *flow = &talk->flow[DOWNSTREAM];
    struct tg_buffer *again = buffer_of(talk->exchange.kept, talk->exchange.kept_length);
    if (again == NULL)
        return false;
    flow_forget(&worker->pool, flow);
    flow->first = again;
    return true;
}

/* The request is sent again from its beginning, after a while. What has been written of it is written before what was
 * not. False: no memory. */
static bool again(struct tg_worker *worker, struct tg_relay *relay, uint64_t wait_ms)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    if (exchange->has_sent && !repeat_rewind(worker, talk))
        return false;
    exchange->answer = ANSWER_NONE;
    exchange->has_sent = exchange->informs = false;
    exchange->sent_us = exchange->first_us = exchange->try_deadline_ms = 0;
    talk->retry_ms = worker->now_us / 1000 + wait_ms;
    return true;
}

/* What forbids it whatever the rule says: proxy/core/resilience/retry.py. A request of which something was sent may
 * have been acted upon. */
static bool may_be_again(const struct tg_worker *worker, const struct tg_talk *talk, uint64_t wait_ms)
{
    const struct tg_exchange *exchange = &talk->exchange;
    const bool is_safe = !exchange->has_sent || (exchange->idempotent && exchange->is_whole);
    const bool can_finish = exchange->deadline_ms == 0 || worker->now_us / 1000 + wait_ms < exchange->deadline_ms;
    return is_safe && can_finish && !talk->is_pinned && !talk->settles && exchange->bytes_received == 0;
}

bool repeat_after(struct tg_worker *worker, struct tg_relay *relay, enum tg_retry_on failure)
{
    const struct tg_exchange *exchange = &relay->talk->exchange;
    if (!plan_may_repeat(exchange))
        return false;
    const uint64_t wait_ms = plan_backoff_ms(worker, exchange);
    return may_be_again(worker, relay->talk, wait_ms) && plan_repeats(worker, exchange, failure) &&
           again(worker, relay, wait_ms);
}

uint32_t repeat_flags(const struct tg_exchange *exchange)
{
    return plan_may_repeat(exchange) && exchange->attempts > 1 ? TG_FLAG_URX : 0;
}

bool repeat_for_status(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    if (!plan_may_repeat(exchange))
        return false;
    const uint64_t wait_ms = plan_backoff_ms(worker, exchange);
    if (!may_be_again(worker, talk, wait_ms) || !plan_repeats_status(worker, exchange))
        return false;
    plan_leave(worker, exchange, TG_REQUEST_DONE);
    talk_drop_upstream(worker, relay, true);
    flow_drop(&worker->pool, &talk->flow[UPSTREAM]);
    if (!again(worker, relay, wait_ms))
        reply(worker, relay, 503, TG_FLAG_OM, "no memory to send the request again");
    return true;
}

void repeat_timed_out(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    exchange->try_deadline_ms = 0;
    plan_leave(worker, exchange, TG_REQUEST_TIMED_OUT);
    talk_drop_upstream(worker, relay, true);
    flow_drop(&worker->pool, &talk->flow[UPSTREAM]);
    if (!repeat_after(worker, relay, TG_RETRY_TIMEOUT))
        reply(worker, relay, 504, TG_FLAG_UT | repeat_flags(exchange), "no answer in time");
}
