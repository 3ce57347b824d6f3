/* The way of an answer: from the upstream's bytes to the client's socket. For the owning worker only. */
#ifndef TG_ANSWER_H
#define TG_ANSWER_H

#include "exchange/talk.h"

/* One step of it: true, when there may be another one at once. The talk may be over afterwards (relay->talk is NULL).
 */
bool answer_move(struct tg_worker *worker, struct tg_relay *relay);

#endif
