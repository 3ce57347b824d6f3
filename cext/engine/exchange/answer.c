#include "exchange/answer.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "exchange/ending.h"
#include "exchange/head/lend.h"
#include "exchange/place.h"
#include "exchange/reply.h"
#include "exchange/rules/hedge.h"
#include "exchange/rules/parting.h"
#include "exchange/rules/plan.h"
#include "exchange/rules/repeat.h"
#include "exchange/rules/written.h"
#include "exchange/tunnel.h"
#include "relay/schedule.h"
#include "state.h"

static bool asks_to_bind(const struct http_head *head, const char *bytes)
{
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct header *header = &head->header[i];
        const char *value = bytes + header->value.at;
        if (header->name.length == 16 && strncasecmp(bytes + header->name.at, "www-authenticate", 16) == 0 &&
            ((header->value.length >= 4 && strncasecmp(value, "NTLM", 4) == 0) ||
             (header->value.length >= 9 && strncasecmp(value, "Negotiate", 9) == 0)))
            return true;
    }
    return false;
}

/* No client can make sense of what comes, or of its absence. */
static bool is_bad(struct tg_worker *worker, struct tg_relay *relay, const char *why)
{
    struct tg_talk *talk = relay->talk;
    if (talk->exchange.answer == ANSWER_HEAD || talk->exchange.answer == ANSWER_NONE) {
        reply(worker, relay, 502, TG_FLAG_UPE, why);
        return true;
    }
    talk->exchange.flags |= TG_FLAG_UPE;
    talk_end(worker, relay, TG_UPSTREAM_RESET, EPROTO);
    return false;
}

static bool head_is_whole(struct tg_worker *worker, struct tg_relay *relay, const struct http_head *head)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    struct tg_flow *flow = &talk->flow[UPSTREAM];
    const char *bytes = flow_at(flow);
    const uint32_t length = head->length;
    const uint16_t status = head->status;
    if (status == 101 && !exchange->upgrades)
        return is_bad(worker, relay, "the upstream switched protocols unasked");
    exchange->informs = status / 100 == 1;
    exchange->answer = ANSWER_BODY;
    if (!exchange->informs || status == 101)
        exchange->status = status;
    struct tg_buffer *edited = NULL;
    if (!exchange->informs) {
        exchange->answer_keeps_alive = head->keep_alive;
        exchange->try_deadline_ms = 0;
        if (status == 401 && asks_to_bind(head, bytes))
            talk->is_pinned = true;
        plan_answered(worker, exchange);
        if (repeat_for_status(worker, relay))
            return true;
        hedge_note(worker, exchange);
        if (plan_edits_answer(exchange)) {
            edited = written_answer(exchange->plan, head, bytes);
            if (edited == NULL) {
                exchange->answer = ANSWER_HEAD;
                reply(worker, relay, 500, 0, "the head of the answer can't be written as its route asks");
                return true;
            }
        }
        edited = parting_head(worker->engine, talk, head, bytes, edited);
    }
    lend_end(talk, UPSTREAM);
    if (edited != NULL) {
        flow->first = edited;
        flow_skip(&worker->pool, flow, length);
        return true;
    }
    flow->ready += length;
    if (status == 101) {
        tunnel_begin(worker, relay);
        return false;
    }
    return true;
}

static bool frame_head(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_flow *flow = &talk->flow[UPSTREAM];
    const size_t there = flow_unframed(flow);
    size_t used;
    if (talk->exchange.first_us == 0)
        talk->exchange.first_us = worker->now_us;
    talk->exchange.answer = ANSWER_HEAD;
    const struct http_head *head = lend_head(worker, talk, UPSTREAM);
    switch (frame_pass(&talk->frame[UPSTREAM], flow_at(flow), talk->seen[UPSTREAM], there, &used)) {
    case FRAME_HEAD:
        return head_is_whole(worker, relay, head);
    case FRAME_MORE:
        lend_across(worker, talk, UPSTREAM, (uint32_t)there);
        return true;
    default:
        lend_end(talk, UPSTREAM);
        return is_bad(worker, relay, "the upstream's answer is no valid HTTP/1");
    }
}

static bool frame_body(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_flow *flow = &talk->flow[UPSTREAM];
    size_t used;
    switch (frame_pass(&talk->frame[UPSTREAM], flow_at(flow), 0, flow_unframed(flow), &used)) {
    case FRAME_END:
        flow->ready += used;
        talk->exchange.answer = talk->exchange.informs ? ANSWER_HEAD : ANSWER_DONE;
        return true;
    case FRAME_TUNNEL:
        flow->ready += used;
        tunnel_begin(worker, relay);
        return false;
    case FRAME_BODY:
        flow->ready += used;
        return used > 0;
    default:
        return is_bad(worker, relay, "the upstream's answer is no valid HTTP/1");
    }
}

/* The upstream says no more: by FIN (error 0) or by a failure. */
static bool upstream_ended(struct tg_worker *worker, struct tg_relay *relay, int error)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    switch (exchange->answer) {
    case ANSWER_NONE:
        place_lost(worker, relay);
        return true;
    case ANSWER_HEAD:
        exchange->flags |= TG_FLAG_UC;
        return is_bad(worker, relay, "the upstream ended the connection within the head of its answer");
    default:
        break;
    }
    if (error == 0 && frame_close(&talk->frame[UPSTREAM]) == FRAME_END) {
        exchange->answer = ANSWER_DONE;
        exchange->answer_keeps_alive = false;
        return true;
    }
    /* What the upstream did is done to the client: FIN for FIN, RST for RST. */
    exchange->flags |= TG_FLAG_UC;
    talk_end(worker, relay, error == 0 ? TG_FINISHED : TG_UPSTREAM_RESET, error);
    return false;
}

static bool read_more(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_upstream *upstream = talk->upstream;
    if (upstream == NULL || upstream->connecting)
        return false;
    /* What it said before it failed is still to be read: it may be the whole answer. */
    if (!upstream->side.readable)
        return upstream->side.error != 0 && upstream_ended(worker, relay, upstream->side.error);
    if (talk->exchange.answer == ANSWER_BODY && talk_pours(worker, talk, UPSTREAM, &upstream->side))
        return true;
    switch (flow_read(&worker->pool, &talk->flow[UPSTREAM], &upstream->side)) {
    case FLOW_MOVED:
        if (!talk->exchange.has_sent && flow_unframed(&talk->flow[UPSTREAM]) > 0)
            place_lost(worker, relay); /* it spoke before it was asked */
        return true;
    case FLOW_FULL:
        return is_bad(worker, relay, "the head of the upstream's answer is too large");
    case FLOW_END:
        upstream->side.readable = false;
        return upstream_ended(worker, relay, upstream->side.error != 0 ? upstream->side.error : talk->upstream_error);
    case FLOW_FAILED:
        return upstream_ended(worker, relay, upstream->side.error);
    case FLOW_STARVED:
        talk->retry_ms = worker->now_us / 1000 + RETRY_MS;
        return false;
    default:
        return upstream->side.error != 0;
    }
}

static bool write_answer(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_side *side = talk_downstream(relay);
    size_t sent;
    if (!side->writable)
        return false;
    const enum flow_step step = flow_write(&worker->pool, &talk->flow[UPSTREAM], side, &sent);
    if (sent > 0)
        talk_moved(worker, relay, UPSTREAM, sent);
    if (step == FLOW_STARVED)
        talk->retry_ms = worker->now_us / 1000 + RETRY_MS;
    if (step == FLOW_FAILED) {
        talk->exchange.flags |= TG_FLAG_DC;
        talk_end(worker, relay, TG_DOWNSTREAM_RESET, side->error);
        return false;
    }
    return step == FLOW_MOVED;
}

/* Whether nothing of the exchange is left to be done. A request whose answer came early may still be on its way. */
static bool is_over(const struct tg_talk *talk)
{
    const struct tg_exchange *exchange = &talk->exchange;
    if (exchange->answer != ANSWER_DONE)
        return false;
    if (exchange->is_ours || !exchange->answer_keeps_alive || talk->upstream == NULL || talk->upstream_error != 0)
        return true;
    return exchange->request != REQUEST_BODY && !flow_owes(&talk->flow[DOWNSTREAM]);
}

bool answer_move(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    struct tg_flow *flow = &talk->flow[UPSTREAM];
    if (exchange->request == REQUEST_HEAD || exchange->held_until_ms != 0)
        return false;
    if (exchange->answer == ANSWER_BODY) {
        /* Also without a byte: that a head has no body is known only then. */
        const size_t before = flow_unframed(flow);
        if (before > 0 || !flow_owes(flow) || exchange->informs)
            if (frame_body(worker, relay))
                return true;
        if (relay->talk == NULL)
            return false;
    } else if (exchange->answer != ANSWER_DONE && flow_unframed(flow) > talk->seen[UPSTREAM] &&
               !(flow_owes(flow) && plan_edits_answer(exchange))) {
        /* An edited head goes out before all that is read: what came before it must have gone. */
        return frame_head(worker, relay);
    }
    if (flow_owes(flow))
        return write_answer(worker, relay);
    if (is_over(talk)) {
        exchange_finish(worker, relay);
        return relay->talk != NULL;
    }
    if (exchange->answer == ANSWER_DONE) {
        /* The rest of the request is on its way; what ends the upstream now ends that. */
        if (talk->upstream->side.error != 0 || talk->upstream->side.fin) {
            exchange->answer_keeps_alive = false;
            return true;
        }
        return false;
    }
    return read_more(worker, relay);
}
