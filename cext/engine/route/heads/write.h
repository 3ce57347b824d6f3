/* What the rules say about an answer's head. */
#ifndef TG_ROUTE_WRITE_H
#define TG_ROUTE_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "route/route.h"

/* Like route_write_answer, without asking. */
int64_t edit_answer(const struct route_outcome *outcome, const struct http_head *head, const char *bytes, char *out,
                    size_t room);

#endif
