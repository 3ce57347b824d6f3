/* Until when an exchange has to be over. For the owning worker only. */
#ifndef TG_UNTIL_H
#define TG_UNTIL_H

#include <stdbool.h>

#include "exchange/talk.h"
#include "http/head.h"

/* The head is whole, and its plan is made: the exchange ends in time by its rule, and by what its client says. Clients
 * are asked on their way to Services only. may_be_told: a header has the form of those that are always known. False: no
 * memory. */
bool until_take(struct tg_worker *worker, struct tg_relay *relay, const struct http_head *head, const char *bytes,
                bool may_be_told);

#endif
