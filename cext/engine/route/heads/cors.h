/* CORS as HTTPRoute's filter has it: preflights are answered here, other answers get headers. */
#ifndef TG_ROUTE_CORS_H
#define TG_ROUTE_CORS_H

#include <stdbool.h>

#include "route/heads/lines.h"
#include "route/route.h"

/* Notes in the outcome whether the request's origin is allowed, and which it is. */
void cors_judge(struct route_outcome *outcome, const tg_cors *cors, const struct http_head *head, const char *bytes);

/* An OPTIONS request with Origin and Access-Control-Request-Method. */
bool cors_is_preflight(const struct http_head *head, const char *bytes);

/* Adds the headers of a preflight's answer; `head` and `bytes` are the request's. Texts stay where they are. */
void cors_answer(const struct route_outcome *outcome, const tg_cors *cors, const struct http_head *head,
                 const char *bytes, struct lines *lines);

/* Edits the head of any other answer to the request. */
void cors_edit(const struct route_outcome *outcome, const tg_cors *cors, struct lines *lines);

#endif
