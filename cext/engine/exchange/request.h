/* The way of a request: from the client's bytes to the upstream's socket. For the owning worker only. */
#ifndef TG_REQUEST_H
#define TG_REQUEST_H

#include "exchange/talk.h"

enum { TG_HEAD_MS = 60000 /* for a request's head, from its first byte on */ };

/* One step of it: true, when there may be another one at once. The talk may be over afterwards (relay->talk is NULL).
 */
bool request_move(struct tg_worker *worker, struct tg_relay *relay);

#endif
