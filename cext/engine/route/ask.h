/* The door: asking the caller what the table can't say. The one place from which the engine calls back
 * (docs/adr/0009-the-engine-asks-through-one-door.md). */
#ifndef TG_ROUTE_ASK_H
#define TG_ROUTE_ASK_H

#include <stddef.h>

#include "route/route.h"

enum { ASK_ROOM = 128 * 1024 }; /* bytes that a reply may write */

struct tg_door {
    tg_decider decider; /* NULL: nobody answers */
    void *data;
};

/* After route_decide said ROUTE_ASK: fills the same outcome. `peer` may be NULL. Never ROUTE_ASK. */
enum route_kind route_ask(const struct tg_door *door, const struct http_head *head, const char *bytes,
                          const tg_address *peer, struct route_outcome *outcome);

#endif
