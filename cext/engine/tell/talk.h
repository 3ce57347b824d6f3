/* Telling of the exchange of a talk. For the owning worker only. */
#ifndef TG_TELL_TALK_H
#define TG_TELL_TALK_H

#include <stdint.h>

#include "relay/relay.h"
#include "worker.h"

/* The exchange is over, or is cut short with its connection; reason: then enum tg_reason, else TG_FINISHED. Tells once,
 * and nothing where no request was begun. While its bytes, its connection and its ruling are still there. */
void talk_tell(struct tg_worker *worker, struct tg_relay *relay, int reason);

#endif
