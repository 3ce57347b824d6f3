/* Cookies of a request (RFC 6265, 5.4). proxy/core/route/cookies.py says the same. */
#ifndef TG_HTTP_COOKIE_H
#define TG_HTTP_COOKIE_H

#include <stdbool.h>

#include "http/head.h"

/* The value of the first cookie of that name, as it came. False: it did not come. `bytes` are those of the head. */
bool cookie_find(const struct http_head *head, const char *bytes, const char *name, uint32_t length,
                 struct span *value);

#endif
