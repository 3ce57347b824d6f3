/* How exchanges and talks end, and what is counted of them. For the owning worker only. */
#ifndef TG_EXCHANGE_ENDING_H
#define TG_EXCHANGE_ENDING_H

#include "exchange/talk.h"

/* Bytes have been written to the side opposite of `from`. */
void talk_moved(struct tg_worker *worker, struct tg_relay *relay, int from, size_t bytes);

/* Moves bytes of a large body that nothing need look at, kernel to kernel. False: there are none, or none that way. */
bool talk_pours(struct tg_worker *worker, struct tg_talk *talk, int from, struct tg_side *side);

/* Lets go of the talk's upstream, which is closed; reset: by RST. */
void talk_drop_upstream(struct tg_worker *worker, struct tg_relay *relay, bool reset);

/* The exchange is over: its upstream goes back to the pool, stays with the client or is closed, and the client's
 * connection is ready for the next request, closed, or lingers. */
void exchange_finish(struct tg_worker *worker, struct tg_relay *relay);

/* Nothing more will be said: FIN to the client once it has everything. */
void talk_close(struct tg_worker *worker, struct tg_relay *relay);

/* Ends talk and relay. reason: enum tg_reason. */
void talk_end(struct tg_worker *worker, struct tg_relay *relay, int reason, int error);

/* Gives back what the talk has; the relay is without one then. Its upstream has been taken away before. */
void talk_free(struct tg_worker *worker, struct tg_relay *relay);

/* Whether upstream connections on behalf of the relay may serve other clients, too. */
bool talk_is_pooled(const struct tg_relay *relay);

#endif
