#include "exchange/request.h"

#include <string.h>

#include "base/clock.h"
#include "exchange/asked/said.h"
#include "exchange/asked/told.h"
#include "exchange/asked/until.h"
#include "exchange/ending.h"
#include "exchange/head/added.h"
#include "exchange/head/lend.h"
#include "exchange/place.h"
#include "exchange/reply.h"
#include "exchange/rules/gate.h"
#include "exchange/rules/mirrored.h"
#include "exchange/rules/plan.h"
#include "exchange/rules/size.h"
#include "exchange/rules/written.h"
#include "explicit/requests.h"
#include "http/head_line.h"
#include "relay/schedule.h"
#include "relay/side.h"
#include "state.h"
#include "trace/spans.h"

/* The head as it came, or as the rules have it, or with headers more: where spans are made and no trace came in, and
 * those that the operator asked for. False: it can't be written as the rules have it. */
static bool pass_head(struct tg_worker *worker, struct tg_relay *relay, const struct http_head *head, char *bytes)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    struct tg_flow *flow = &talk->flow[DOWNSTREAM];
    struct exchange_trace *trace = &exchange->trace;
    tg_exchange_record record = {0};
    char line[TRACE_LINE + ADDED_ROOM];
    size_t added = span_begin(worker, head, bytes, &record, line);
    added += added_lines(worker, relay->connection, head, bytes, line + added);
    trace->traced = record.traced;
    memcpy(trace->trace_id, record.trace_id, sizeof trace->trace_id);
    memcpy(trace->span_id, record.span_id, sizeof trace->span_id);
    memcpy(trace->parent_id, record.parent_id, sizeof trace->parent_id);
    const bool by_rules = exchange->plan != NULL && exchange->plan->outcome.edits_request;
    struct tg_buffer *edited = NULL;
    if (by_rules)
        edited = written_request(exchange->plan, head, bytes, line, added);
    else if (added != 0)
        edited = head_with_line(bytes, head->length, line, added);
    if (exchange->told != NULL && !exchange->is_expired) {
        if (edited == NULL && !by_rules)
            edited = buffer_of(bytes, head->length);
        if (edited != NULL)
            edited = told_prepare(exchange->told, edited);
        if (edited == NULL)
            return false;
    }
    if (edited == NULL) {
        exchange_keep(exchange, bytes, head->length);
        flow->ready += head->length;
        return !by_rules;
    }
    exchange_keep(exchange, edited->data, edited->end);
    exchange->head_length = (uint32_t)edited->end;
    flow->first = edited;
    flow_skip(&worker->pool, flow, head->length);
    return true;
}

/* Where there is a plan the request goes as it says, once as much of it is framed as is there. */
static void go_on(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_plan *plan = relay->talk->exchange.plan;
    if (explicit_refuses(worker, relay))
        return;
    if (relay->talk->exchange.is_too_large) {
        size_refuse(worker, relay);
        return;
    }
    if (relay->talk->exchange.is_expired) {
        reply(worker, relay, 504, TG_FLAG_DT, "the deadline of the request is over");
        return;
    }
    if (plan == NULL || plan->outcome.kind == ROUTE_FORWARD) {
        if (plan == NULL || gate_pass(worker, relay))
            place_begin(worker, relay);
        return;
    }
    struct tg_buffer *answer = plan->answer;
    plan->answer = NULL;
    reply_whole(worker, relay, plan->outcome.status, written_flag(plan->outcome.why), answer);
}

static void head_is_whole(struct tg_worker *worker, struct tg_relay *relay, struct http_head *head)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    struct tg_flow *flow = &talk->flow[DOWNSTREAM];
    const char *bytes = flow_at(flow);
    exchange->request = REQUEST_BODY;
    if (exchange->started_us == 0)
        exchange->started_us = worker->now_us;
    const bool may_be_told = said_note(talk, head, bytes);
    exchange->is_too_large = head->body == HTTP_LENGTH && !size_allows(worker, head->content_length);
    talk->head_deadline_ms = 0;
    struct tg_site *site =
        explicit_tunnels(talk) ? NULL : sites_find(&worker->engine->sites, relay->connection->ruling->asked.site);
    if (site != NULL && !plan_make(worker, exchange, site, head, bytes, &relay->connection->peer)) {
        reply(worker, relay, 503, TG_FLAG_OM, "no memory to decide where the request goes");
        return;
    }
    if (!until_take(worker, relay, head, bytes, may_be_told)) {
        reply(worker, relay, 503, TG_FLAG_OM, "no memory for the deadline of the request");
        return;
    }
    if (site != NULL && exchange->plan->outcome.kind == ROUTE_FORWARD && site_policy(site) != NULL &&
        !exchange->is_expired)
        gate_judge(worker, exchange, head, bytes);
    if (site != NULL && exchange->plan->outcome.kind == ROUTE_ANSWER)
        exchange->plan->answer = written_own(talk, head, bytes);
    const bool is_passed = pass_head(worker, relay, head, (char *)flow->buffer->data + flow->ready);
    talk->seen[DOWNSTREAM] = 0;
    if (!is_passed)
        reply(worker, relay, 500, 0, "the head of the request can't be written as its route asks");
}

static void refuse(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    if (talk->exchange.answer == ANSWER_NONE || talk->exchange.answer == ANSWER_HEAD) {
        reply_to_refused(worker, relay, talk->frame[DOWNSTREAM].refusal);
        return;
    }
    /* Something was answered already: all that is left is a close, and an upstream that does not take the request for
     * whole. */
    talk->exchange.flags |= TG_FLAG_DPE;
    talk_drop_upstream(worker, relay, true);
    talk->exchange.request = REQUEST_VOID;
    talk_close(worker, relay);
}

/* Frames what is there of the body. */
static bool frame_body(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    struct tg_flow *flow = &talk->flow[DOWNSTREAM];
    size_t used;
    const char *bytes = flow_at(flow);
    const enum frame_step step = frame_pass(&talk->frame[DOWNSTREAM], bytes, 0, flow_unframed(flow), &used);
    if (step == FRAME_REFUSED) {
        refuse(worker, relay);
        return true;
    }
    if (!size_allows(worker, talk->frame[DOWNSTREAM].body)) {
        size_refuse(worker, relay);
        return true;
    }
    if (used > 0) {
        if (exchange->idempotent || mirrored_keeps(exchange))
            exchange_keep(exchange, bytes, used);
        else
            exchange->is_whole = false;
        flow->ready += used;
    }
    if (step == FRAME_END)
        exchange->request = REQUEST_DONE;
    return used > 0 || step == FRAME_END;
}

static bool too_long(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    const struct http_head *head = talk->head[DOWNSTREAM];
    if (head != NULL && head->headers == 0 && !talk->frame[DOWNSTREAM].has_version)
        reply(worker, relay, 414, TG_FLAG_DPE, "the target of the request is too long");
    else
        reply(worker, relay, 431, TG_FLAG_DPE, "the head of the request is too large");
    return true;
}

/* The client has ended its stream. */
static bool ended(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    talk->has_ended = true;
    talk_downstream(relay)->readable = false;
    if (talk->exchange.request == REQUEST_HEAD && flow_unframed(&talk->flow[DOWNSTREAM]) == 0) {
        talk_end(worker, relay, TG_FINISHED, 0);
        return false;
    }
    (void)frame_close(&talk->frame[DOWNSTREAM]);
    if (talk->frame[DOWNSTREAM].refusal != REFUSED_NOT)
        refuse(worker, relay);
    return true;
}

static bool read_more(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_side *side = talk_downstream(relay);
    if (!side->readable || talk->has_ended)
        return false;
    if (talk->exchange.request == REQUEST_BODY && !talk->exchange.is_whole &&
        talk_pours(worker, talk, DOWNSTREAM, side))
        return true;
    switch (flow_read(&worker->pool, &talk->flow[DOWNSTREAM], side)) {
    case FLOW_MOVED:
        return true;
    case FLOW_FULL:
        return too_long(worker, relay);
    case FLOW_END:
        if (side->error == 0)
            return ended(worker, relay);
        /* fall through */
    case FLOW_FAILED:
        talk->exchange.flags |= TG_FLAG_DC;
        talk_end(worker, relay, TG_DOWNSTREAM_RESET, side->error);
        return false;
    case FLOW_STARVED:
        talk->retry_ms = worker->now_us / 1000 + RETRY_MS;
        return false;
    default:
        return false;
    }
}

/* The head is framed to its end. */
static bool head_goes_on(struct tg_worker *worker, struct tg_relay *relay, struct http_head *head)
{
    struct tg_talk *talk = relay->talk;
    if (talk->explicit_ != NULL) {
        switch (explicit_head(worker, relay, head)) {
        case EXPLICIT_WAITS:
            return false;
        case EXPLICIT_ANSWERED:
            lend_end(talk, DOWNSTREAM);
            return true;
        default:
            break;
        }
    }
    head_is_whole(worker, relay, head);
    lend_end(talk, DOWNSTREAM);
    if (!talk->exchange.is_ours)
        (void)frame_body(worker, relay);
    if (relay->talk != NULL && !talk->exchange.is_ours)
        go_on(worker, relay);
    return relay->talk != NULL;
}

static bool read_head(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_flow *flow = &talk->flow[DOWNSTREAM];
    const size_t there = flow_unframed(flow);
    if (explicit_waits(talk))
        return false;
    if (explicit_is_answered(talk))
        return head_goes_on(worker, relay, talk->head[DOWNSTREAM]);
    if (there == talk->seen[DOWNSTREAM])
        return read_more(worker, relay);
    size_t used;
    struct http_head *head = lend_head(worker, talk, DOWNSTREAM);
    switch (frame_pass(&talk->frame[DOWNSTREAM], flow_at(flow), talk->seen[DOWNSTREAM], there, &used)) {
    case FRAME_HEAD:
        return head_goes_on(worker, relay, head);
    case FRAME_MORE:
        if (talk->exchange.started_us == 0)
            talk->exchange.started_us = worker->now_us;
        if (talk->head_deadline_ms == 0)
            talk->head_deadline_ms = worker->now_us / 1000 + TG_HEAD_MS;
        lend_across(worker, talk, DOWNSTREAM, (uint32_t)there);
        if (talk->has_ended)
            return ended(worker, relay);
        return true;
    default:
        lend_end(talk, DOWNSTREAM);
        refuse(worker, relay);
        return relay->talk != NULL;
    }
}

static bool write_request(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_upstream *upstream = talk->upstream;
    size_t sent;
    if (!place_is_ready(talk) || talk->upstream_error != 0 || !upstream->side.writable)
        return false;
    if (upstream->side.plain && (talk->exchange.has_sent || talk->exchange.reused))
        side_tune_late(&upstream->side, relay->keepalive_s);
    const enum flow_step step = flow_write(&worker->pool, &talk->flow[DOWNSTREAM], &upstream->side, &sent);
    if (sent > 0) {
        talk->exchange.has_sent = true;
        talk_moved(worker, relay, DOWNSTREAM, sent);
        if (talk->exchange.sent_us == 0)
            talk->exchange.sent_us = clock_us();
    }
    if (step == FLOW_STARVED)
        talk->retry_ms = worker->now_us / 1000 + RETRY_MS;
    if (step == FLOW_FAILED) {
        /* It may have answered before it went: what it said is still to be read. */
        talk->upstream_error = upstream->side.error;
        upstream->side.error = 0;
        upstream->side.readable = upstream->side.eager = true;
        return true;
    }
    return step == FLOW_MOVED;
}

bool request_move(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    if (talk->exchange.request == REQUEST_VOID)
        return false;
    if (talk->exchange.request == REQUEST_HEAD)
        return read_head(worker, relay);
    if (talk->exchange.request == REQUEST_BODY && flow_unframed(&talk->flow[DOWNSTREAM]) > 0) {
        const bool moved = frame_body(worker, relay);
        if (relay->talk != NULL && talk->exchange.attempts > 0)
            mirrored_begin(worker, relay);
        return moved;
    }
    if (flow_owes(&talk->flow[DOWNSTREAM]))
        return write_request(worker, relay);
    if (talk->exchange.request == REQUEST_BODY && talk->upstream_error == 0 && place_is_ready(talk))
        return read_more(worker, relay);
    return false;
}
