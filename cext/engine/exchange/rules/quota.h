/* How many connections a cluster and each of its endpoints may have, and how many requests may wait for one. For the
 * owning worker only. */
#ifndef TG_QUOTA_H
#define TG_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange/talk.h"

/* Before a new connection to the endpoint that is being tried. True: it may be opened, and `taken` is its place, to be
 * given back with it. False: the request waits, or has been answered. Always true without a cluster. */
bool quota_admit(struct tg_worker *worker, struct tg_relay *relay, struct tg_taken *taken);

#endif
