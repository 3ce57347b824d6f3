/* Which rule of a site takes a request. */
#ifndef TG_ROUTE_FIND_H
#define TG_ROUTE_FIND_H

#include <stdint.h>

#include "http/head.h"
#include "route/site.h"

enum { FIND_NOTHING = -1, FIND_ASK = -2 };

/* The number of the first rule that takes the request; FIND_NOTHING; FIND_ASK when a rule with a regular expression
 * stands before every other that takes it and may take it itself. The target is no longer than TG_LONGEST_TARGET. */
int64_t find_rule(const struct tg_site *site, const struct http_head *head, const char *bytes);

#endif
