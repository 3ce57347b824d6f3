#include "route/ask.h"

#include <stdlib.h>
#include <string.h>

#include "route/heads/write.h"
#include "route/outcome.h"

_Static_assert(sizeof(struct header) == 4 * sizeof(uint32_t), "tg_question.headers are four numbers each");

static tg_question question_of(const struct route_outcome *outcome, const struct http_head *head, const char *bytes)
{
    return (tg_question){
        .site = outcome->site == NULL ? 0 : outcome->site->number,
        .tag = outcome->site == NULL ? 0 : outcome->site->spec.tag,
        .random = outcome->random,
        .head = bytes,
        .headers = (const uint32_t *)head->header,
        .head_length = head->length,
        .header_count = head->headers,
        .minor = head->minor,
        .rule = outcome->rule,
        .backend = outcome->backend,
        .context = outcome->context,
    };
}

static enum route_kind failed(struct route_outcome *outcome)
{
    outcome->kind = ROUTE_ANSWER;
    outcome->status = 500;
    outcome->why = ROUTE_FAILED;
    return ROUTE_ANSWER;
}

static bool keep_written(struct route_outcome *outcome, const tg_reply *reply)
{
    if (reply->written == 0 || reply->written > reply->room)
        return false;
    outcome->written = malloc(reply->written);
    if (outcome->written == NULL)
        return false;
    memcpy(outcome->written, reply->out, reply->written);
    outcome->written_length = reply->written;
    return true;
}

/* A rule and a backend that the site has. */
static bool is_there(const struct tg_site *site, const tg_reply *reply)
{
    if (site == NULL || reply->rule < 0 || (uint32_t)reply->rule >= site->spec.rule_count)
        return false;
    return reply->backend >= -1 && reply->backend < (int64_t)site->spec.rules[reply->rule].backends.count;
}

static enum route_kind take_reply(struct route_outcome *outcome, const struct http_head *head, const char *bytes,
                                  const tg_reply *reply)
{
    switch (reply->kind) {
    case TG_REPLY_RULE:
        return is_there(outcome->site, reply) ? outcome_by_rule(outcome, head, bytes, reply->rule, reply->backend)
                                              : failed(outcome);
    case TG_REPLY_NO_RULE:
        return outcome_by_rule(outcome, head, bytes, -1, -1);
    case TG_REPLY_FORWARD:
        if (!is_there(outcome->site, reply) || reply->backend < 0)
            return failed(outcome);
        if (outcome_by_rule(outcome, head, bytes, reply->rule, reply->backend) != ROUTE_FORWARD)
            return ROUTE_ANSWER;
        outcome->edits_request = keep_written(outcome, reply);
        return outcome->edits_request ? ROUTE_FORWARD : failed(outcome);
    case TG_REPLY_ANSWER:
        if (reply->status < 200 || reply->status > 599 || !keep_written(outcome, reply))
            return failed(outcome);
        outcome->kind = ROUTE_ANSWER;
        outcome->status = (uint16_t)reply->status;
        outcome->why = ROUTE_FILTERED;
        return ROUTE_ANSWER;
    default:
        return failed(outcome);
    }
}

enum route_kind route_ask(const struct tg_door *door, const struct http_head *head, const char *bytes,
                          const tg_address *peer, struct route_outcome *outcome)
{
    char out[ASK_ROOM];
    tg_reply reply = {.kind = TG_REPLY_FAILED, .rule = -1, .backend = -1, .room = sizeof out, .out = out};
    tg_question question = question_of(outcome, head, bytes);

    question.method_at = head->method.at;
    question.method_length = head->method.length;
    question.target_at = head->target.at;
    question.target_length = head->target.length;
    if (peer != NULL)
        question.peer = *peer;
    if (door->decider == NULL)
        return failed(outcome);
    door->decider(door->data, &question, &reply);
    const enum route_kind kind = take_reply(outcome, head, bytes, &reply);

    if (kind == ROUTE_FORWARD && reply.watches) {
        outcome->door = door;
        outcome->context = reply.context;
        outcome->edits_answer = true;
    }
    return kind;
}

/* Asks about an answer's head, which is in `out` and has been edited. Returns the length of what is there then; -1:
 * what was asked failed, or there is no room. */
static int64_t ask_answer(const struct route_outcome *outcome, uint16_t status, char *out, int64_t length, size_t room)
{
    char written[ASK_ROOM];
    tg_reply reply = {.kind = TG_REPLY_FAILED, .room = sizeof written, .out = written};
    const tg_question question = {
        .site = outcome->site->number,
        .tag = outcome->site->spec.tag,
        .random = outcome->random,
        .head = out,
        .head_length = (uint32_t)length,
        .status = status,
        .rule = outcome->rule,
        .backend = outcome->backend,
        .context = outcome->context,
    };

    outcome->door->decider(outcome->door->data, &question, &reply);
    if (reply.kind == TG_REPLY_AS_IS)
        return length;
    if (reply.kind != TG_REPLY_ANSWER || reply.written == 0 || reply.written > reply.room || reply.written > room)
        return -1;
    memcpy(out, written, reply.written);
    return reply.written;
}

int64_t route_write_answer(struct route_outcome *outcome, const struct http_head *head, const char *bytes, char *out,
                           size_t room)
{
    const int64_t length = edit_answer(outcome, head, bytes, out, room);

    return length < 0 || outcome->door == NULL ? length : ask_answer(outcome, head->status, out, length, room);
}
