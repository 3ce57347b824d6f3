/* To which endpoint of its cluster a request belongs, and what its answer tells the client so that the next request
 * belongs there, too. For the owning worker only. */
#ifndef TG_STICKY_H
#define TG_STICKY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "http/head.h"
#include "route/heads/session.h"
#include "worker.h"

struct tg_plan;

struct tg_sticky {
    const tg_session *session; /* of the rule; NULL: none */
    bool has_token;            /* the client's session belongs to an endpoint that the rule still has */
    struct session_token token;
    bool is_hashed;
    bool speaks;    /* the answer may get a line */
    uint64_t hash;  /* while is_hashed */
    bool by_client; /* by session affinity: where the client's last request went */
    const tg_address *client;
    char *line; /* of the answer, with its end; NULL: none */
    uint32_t line_length;
};

/* Once it is decided where the request goes. False: no memory. */
bool sticky_find(struct tg_worker *worker, struct tg_plan *plan, const struct http_head *head, const char *bytes,
                 const tg_address *peer);

/* Whether any endpoint is as good as another, so that a connection that is there already may be used. */
static inline bool sticky_is_free(const struct tg_sticky *sticky)
{
    return !sticky->is_hashed && !sticky->by_client && !sticky->has_token;
}

/* The endpoint of the plan's cluster that the client's session or its last request belongs to, if it may be used; else
 * PICK_NONE. */
int32_t sticky_choose(struct tg_worker *worker, const struct tg_plan *plan);

/* The request goes to the plan's endpoint. */
void sticky_chose(struct tg_worker *worker, const struct tg_plan *plan);

/* The head of an answer of the plan's endpoint is there: makes the line that it gets. False: no memory. */
bool sticky_answer(struct tg_plan *plan);

void sticky_end(struct tg_sticky *sticky);

#endif
