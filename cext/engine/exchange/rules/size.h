/* The largest body that a request may have, where the operator says one. For the owning worker only. */
#ifndef TG_SIZE_H
#define TG_SIZE_H

#include "exchange/talk.h"

/* Whether a body of so many bytes may pass. */
bool size_allows(const struct tg_worker *worker, uint64_t bytes);

/* The request is larger: it is answered 413, or, where its answer has begun, its connections are closed. Upstream does
 * not take what it has got for the whole. */
void size_refuse(struct tg_worker *worker, struct tg_relay *relay);

#endif
