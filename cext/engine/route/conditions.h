/* Conditions on a request's headers that stand outside of its rules. */
#ifndef TG_ROUTE_CONDITIONS_H
#define TG_ROUTE_CONDITIONS_H

#include <stdbool.h>

#include "http/head.h"
#include "route/site.h"

/* Whether the head meets all of them; they are TG_HEADER and TG_EXACT. */
bool conditions_hold(const struct tg_site *site, tg_range conditions, const struct http_head *head, const char *bytes);

#endif
