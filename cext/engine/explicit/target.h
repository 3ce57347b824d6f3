/* Where a request to an explicit proxy is to go, and its head as the origin is to get it. Pure functions of bytes. */
#ifndef TG_EXPLICIT_TARGET_H
#define TG_EXPLICIT_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "http/head.h"

enum aimed {
    AIMED_WELL,
    AIMED_NOWHERE, /* the target names no authority */
    AIMED_SCHEME,  /* a scheme other than http */
    AIMED_BADLY    /* it can't be one of http, or names a user */
};

/* Places in the head's bytes. */
struct aim {
    struct span authority;
    struct span rest; /* path and query; empty: the target ends with its authority */
};

/* What the target of a whole head says. connects: its method is CONNECT. */
enum aimed aim_of(const struct http_head *head, const char *bytes, bool connects, struct aim *aim);

/* How many bytes aim_write needs at most. */
size_t aim_room(const struct http_head *head, const struct aim *aim);

/* The head with its target in origin form, the authority as its Host, and without what is meant for a proxy
 * (Proxy-Connection, Proxy-Authorization): into `out`. Returns its length. The rest is byte for byte as it came. */
size_t aim_write(const struct http_head *head, const char *bytes, const struct aim *aim, char *out);

#endif
