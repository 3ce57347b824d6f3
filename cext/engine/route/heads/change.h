/* New targets: of a request that is rewritten, and of a redirect. proxy/core/route/filters.py says the same. */
#ifndef TG_ROUTE_CHANGE_H
#define TG_ROUTE_CHANGE_H

#include "route/heads/lines.h"
#include "route/route.h"

/* The target in origin form, its path changed as the rule of the outcome says. */
void change_target(const struct route_outcome *outcome, const tg_change *change, const struct http_head *head,
                   const char *bytes, struct writer *writer);

/* Where a redirect leads. */
void change_location(const struct route_outcome *outcome, const tg_filters *filters, const struct http_head *head,
                     const char *bytes, struct writer *writer);

#endif
