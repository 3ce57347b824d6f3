#include "exchange/rules/written.h"

#include <stdlib.h>
#include <string.h>

#include "http/head_line.h"
#include "requests.h"
#include "route/ask.h"

struct tg_buffer *written_request(struct tg_plan *plan, const struct http_head *head, const char *bytes,
                                  const char *line, size_t line_length)
{
    const size_t room = head->length + plan->outcome.site->most_added + plan->outcome.written_length;
    struct tg_buffer *edited = malloc(sizeof *edited + room);
    plan->original = malloc(head->length);
    if (plan->original != NULL)
        memcpy(plan->original, bytes, head->length);
    const int64_t length = edited == NULL || plan->original == NULL
                               ? -1
                               : route_write_request(&plan->outcome, head, bytes, (char *)edited->data, room);
    if (length < 0) {
        free(edited);
        return NULL;
    }
    *edited = (struct tg_buffer){.size = room, .end = (size_t)length};
    if (line_length == 0)
        return edited;
    struct tg_buffer *longer = head_with_line((const char *)edited->data, edited->end, line, line_length);
    free(edited);
    return longer;
}

/* The head of the answer as the rules' edits have it. NULL: no memory, or a filter failed on it. */
static struct tg_buffer *edited_answer(struct tg_plan *plan, const struct http_head *head, const char *bytes)
{
    const size_t room = head->length + plan->outcome.site->most_added + (plan->outcome.door == NULL ? 0 : ASK_ROOM);
    struct tg_buffer *edited = malloc(sizeof *edited + room);
    const int64_t length =
        edited == NULL ? -1 : route_write_answer(&plan->outcome, head, bytes, (char *)edited->data, room);
    if (length < 0) {
        free(edited);
        return NULL;
    }
    *edited = (struct tg_buffer){.size = room, .end = (size_t)length};
    return edited;
}

struct tg_buffer *written_answer(struct tg_plan *plan, const struct http_head *head, const char *bytes)
{
    const struct tg_sticky *sticky = &plan->sticky;
    if (!sticky_answer(plan))
        return NULL;
    if (!plan->outcome.edits_answer)
        return head_with_line(bytes, head->length, sticky->line, sticky->line_length);
    struct tg_buffer *edited = edited_answer(plan, head, bytes);
    if (edited == NULL || sticky->line_length == 0)
        return edited;
    struct tg_buffer *longer =
        head_with_line((const char *)edited->data, edited->end, sticky->line, sticky->line_length);
    free(edited);
    return longer;
}

struct tg_buffer *written_own(struct tg_talk *talk, struct http_head *head, const char *bytes)
{
    struct tg_plan *plan = talk->exchange.plan;
    const size_t added = plan->outcome.site == NULL ? 0 : plan->outcome.site->most_added;
    const size_t room = head->length + added + plan->outcome.written_length;
    struct tg_buffer *answer = malloc(sizeof *answer + room);
    if (answer == NULL)
        return NULL;
    if (head->body != HTTP_NO_BODY || talk->is_closing || talk->settles)
        head->keep_alive = talk->exchange.keeps_alive = false;
    const int64_t length = route_write_own(&plan->outcome, head, bytes, (char *)answer->data, room);
    if (length < 0) {
        free(answer);
        return NULL;
    }
    *answer = (struct tg_buffer){.size = room, .end = (size_t)length};
    return answer;
}

uint32_t written_flag(enum route_why why)
{
    switch (why) {
    case ROUTE_NO_RULE:
        return TG_FLAG_NR;
    case ROUTE_NO_BACKEND:
    case ROUTE_UNRESOLVED:
        return TG_FLAG_NC;
    case ROUTE_TARGET:
        return TG_FLAG_DPE;
    default:
        return 0;
    }
}
