/* Heads and answers as the rules of a plan have them: buffers of the caller's from then on. For the owning worker only.
 */
#ifndef TG_WRITTEN_H
#define TG_WRITTEN_H

#include "exchange/rules/plan.h"
#include "exchange/talk.h"

/* The request's head as it is sent, with `line` added; keeps a copy of what came, to tell of it. NULL: no memory, or
 * what a filter wrote has no room. */
struct tg_buffer *written_request(struct tg_plan *plan, const struct http_head *head, const char *bytes,
                                  const char *line, size_t line_length);

/* The head of the answer as it is sent. NULL: no memory, or a filter failed on it. */
struct tg_buffer *written_answer(struct tg_plan *plan, const struct http_head *head, const char *bytes);

/* The whole answer that the rules give. A client whose request goes on is told that its connection ends with it. NULL:
 * no memory. */
struct tg_buffer *written_own(struct tg_talk *talk, struct http_head *head, const char *bytes);

/* What is told of an answer of the rules' own: enum tg_exchange_flag, or 0. */
uint32_t written_flag(enum route_why why);

#endif
