/* An exchange that ends HTTP: after it both sides' bytes belong to something else. For the owning worker only. */
#ifndef TG_TUNNEL_H
#define TG_TUNNEL_H

#include "exchange/talk.h"

/* The talk is over; its connection goes on as a relay, which owes the client the rest of the answer. */
void tunnel_begin(struct tg_worker *worker, struct tg_relay *relay);

#endif
