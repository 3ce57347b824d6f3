/* What the head of a request says of its exchange. For the owning worker only. */
#ifndef TG_SAID_H
#define TG_SAID_H

#include <stdbool.h>

#include "exchange/talk.h"
#include "http/head.h"

/* Notes it. True: a header may set a deadline (exchange/asked/told.h). */
bool said_note(struct tg_talk *talk, const struct http_head *head, const char *bytes);

#endif
