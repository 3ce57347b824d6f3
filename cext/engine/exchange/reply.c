#include "exchange/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange/ending.h"
#include "exchange/rules/plan.h"

static const char *reason_of(uint16_t status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "";
    }
}

/* What was under way for the exchange is dropped. False: the client may have got a part of an informational head,
 * behind which a status line would be read as one of its headers. Then only an end can be said. */
static bool give_up(struct tg_worker *worker, struct tg_relay *relay, uint32_t flag)
{
    struct tg_talk *talk = relay->talk;
    struct tg_exchange *exchange = &talk->exchange;
    const bool is_cut = exchange->bytes_received > 0 && flow_owes(&talk->flow[UPSTREAM]);

    exchange->is_ours = true;
    exchange->flags |= flag;
    exchange->deadline_ms = exchange->try_deadline_ms = exchange->held_until_ms = 0;
    plan_leave(worker, exchange, plan_how_ended(exchange));
    if (exchange->plan != NULL)
        plan_unhedge(worker, exchange->plan, TG_REQUEST_CANCELLED);
    talk_drop_upstream(worker, relay, exchange->has_sent);
    flow_drop(&worker->pool, &talk->flow[UPSTREAM]);
    flow_forget(&worker->pool, &talk->flow[DOWNSTREAM]);
    if (exchange->request != REQUEST_DONE) {
        exchange->request = REQUEST_VOID;
        talk->is_closing = true;
    }
    return !is_cut;
}

static void answer_with(struct tg_talk *talk, uint16_t status, struct tg_buffer *message)
{
    talk->flow[UPSTREAM].first = message;
    talk->exchange.answer = ANSWER_DONE;
    talk->exchange.status = status;
    if (message == NULL)
        talk->is_closing = true;
}

void reply_whole(struct tg_worker *worker, struct tg_relay *relay, uint16_t status, uint32_t flag,
                 struct tg_buffer *message)
{
    if (give_up(worker, relay, flag)) {
        answer_with(relay->talk, status, message);
    } else {
        free(message);
        answer_with(relay->talk, 0, NULL);
    }
}

/* line: of the head, with its end, or nothing. */
static void reply_with(struct tg_worker *worker, struct tg_relay *relay, uint16_t status, uint32_t flag,
                       const char *line, const char *text)
{
    struct tg_talk *talk = relay->talk;
    const struct tg_exchange *exchange = &talk->exchange;
    const bool has_no_body = status == 204 || status == 304;
    char content[96] = "";
    char bytes[512];

    if (!give_up(worker, relay, flag)) {
        answer_with(talk, 0, NULL);
        return;
    }
    const bool closes = talk->is_closing || talk->settles || !exchange->keeps_alive;
    if (!has_no_body)
        (void)snprintf(content, sizeof content, "content-length: %zu\r\ncontent-type: text/plain\r\n",
                       strlen(text) + 1);
    const int head = snprintf(bytes, sizeof bytes, "HTTP/1.1 %u %s\r\n%s%s%s\r\n", status, reason_of(status), content,
                              line, closes ? "connection: close\r\n" : "");
    int length = head;
    if (!exchange->to_head && !has_no_body)
        length += snprintf(bytes + head, sizeof bytes - (size_t)head, "%s\n", text);
    answer_with(talk, status, buffer_of(bytes, (size_t)length));
}

void reply(struct tg_worker *worker, struct tg_relay *relay, uint16_t status, uint32_t flag, const char *text)
{
    reply_with(worker, relay, status, flag, "", text);
}

void reply_later(struct tg_worker *worker, struct tg_relay *relay, uint16_t status, uint32_t flag,
                 uint32_t retry_after_s, const char *text)
{
    char line[48];

    (void)snprintf(line, sizeof line, "retry-after: %u\r\n", retry_after_s);
    reply_with(worker, relay, status, flag, line, text);
}

void reply_to_refused(struct tg_worker *worker, struct tg_relay *relay, enum frame_refusal refusal)
{
    switch (refusal) {
    case REFUSED_CODING:
        reply(worker, relay, 501, TG_FLAG_DPE, "unknown transfer coding");
        break;
    case REFUSED_VERSION:
        reply(worker, relay, 505, TG_FLAG_DPE, "only HTTP/1.0 and HTTP/1.1 are spoken here");
        break;
    case REFUSED_HEAD_SIZE:
        reply(worker, relay, 431, TG_FLAG_DPE, "too many headers, or too long trailers");
        break;
    case REFUSED_FRAMING:
        reply(worker, relay, 400, TG_FLAG_DPE, "the length of the request can be read in more than one way");
        break;
    case REFUSED_END:
        reply(worker, relay, 400, TG_FLAG_DPE, "the request was cut short");
        break;
    default:
        reply(worker, relay, 400, TG_FLAG_DPE, "not a well-formed HTTP/1 request");
    }
}
