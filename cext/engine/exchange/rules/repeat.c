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
static bool again(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    if (exchange->has_sent && !repeat_rewind(worker, talk))
        return false;
    exchange->answer = ANSWER_NONE;
    exchange->has_sent = exchange->informs = false;
    exchange->sent_us = exchange->first_us = exchange->try_deadline_ms = 0;
    const uint64_t wait_ms = exchange->plan == NULL ? 0 : plan_backoff_ms(worker, exchange);
    talk->retry_ms = worker->now_us / 1000 + wait_ms;
    return true;
}

bool repeat_after(struct tg_worker *worker, struct tg_relay *relay, enum tg_retry_on failure)
{
    struct tg_talk *talk = relay->talk;
    const struct tg_exchange *exchange = &talk->exchange;
    return !talk->is_pinned && !talk->settles && (!exchange->has_sent || exchange->is_whole) &&
           exchange->bytes_received == 0 && plan_repeats(worker, exchange, failure) && again(worker, relay);
}

uint32_t repeat_flags(const struct tg_exchange *exchange)
{
    return plan_may_repeat(exchange) && exchange->attempts > 1 ? TG_FLAG_URX : 0;
}

bool repeat_for_status(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    if (exchange->plan == NULL || talk->is_pinned || talk->settles || !exchange->is_whole ||
        exchange->bytes_received != 0 || !plan_repeats_status(worker, exchange))
        return false;
    plan_leave(worker, exchange, TG_REQUEST_DONE);
    talk_drop_upstream(worker, relay, true);
    flow_drop(&worker->pool, &talk->flow[UPSTREAM]);
    if (!again(worker, relay))
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
