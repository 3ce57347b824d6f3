/* Sessions of a rule (Gateway API's sessionPersistence): the client brings a token back, in a cookie or a header, which
 * says to which endpoint its session belongs. Nothing is remembered here. proxy/core/decide/session.py says the same.
 */
#ifndef TG_ROUTE_SESSION_H
#define TG_ROUTE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "http/head.h"
#include "route/site.h"

/* Times are seconds since 1970, so that every proxy reads the same token alike. */
struct session_token {
    uint64_t endpoint; /* its identity */
    uint64_t issued_s;
    uint64_t used_s;
};

/* False: the request has no token of the session, or its time is over. `bytes` are those of the head. */
bool session_read(const struct tg_site *site, const tg_session *session, const struct http_head *head,
                  const char *bytes, uint64_t now_s, struct session_token *token);

/* The header line, its end included, by which the answer gives the token to the client: memory of the caller's. NULL:
 * there is none. */
char *session_line(const struct tg_site *site, const tg_session *session, const struct session_token *token,
                   uint64_t now_s, uint32_t *length);

#endif
