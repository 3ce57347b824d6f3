/* Parts of deciding that the table and what was asked share. */
#ifndef TG_ROUTE_OUTCOME_H
#define TG_ROUTE_OUTCOME_H

#include <stdint.h>

#include "route/route.h"

/* Empty, with a reference of the site, which may be NULL. */
void outcome_begin(struct route_outcome *outcome, struct tg_site *site, uint64_t random);

/* What the rule says about the request. rule: its number, which there is; below 0: no rule takes it. backend: its place
 * among the rule's; -1: drawn by the outcome's random number. */
enum route_kind outcome_by_rule(struct route_outcome *outcome, const struct http_head *head, const char *bytes,
                                int64_t rule, int32_t backend);

#endif
