/* What endpoints have to tell Python: that failures came in a row, or how a trial went. An endpoint waits at most once,
 * whatever it has to tell, so nothing is allocated and nothing is lost. */
#ifndef TG_NEWS_H
#define TG_NEWS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"

struct tg_newsroom {
    struct tg_mailbox mailbox;
    int fd;              /* an eventfd; -1: nobody listens */
    _Atomic bool raised; /* fd has been written since it was last read */
};

/* Puts a node that is in no mailbox there and wakes the reader. Any thread. */
void news_post(struct tg_newsroom *room, struct tg_node *node);
/* The reader's: all that waits, oldest first. The descriptor is read before the mailbox, so what comes later wakes
 * again. */
struct tg_node *news_take(struct tg_newsroom *room);
/* After the reader has stopped: more of what was taken is left, so it is to be woken again. */
void news_left(struct tg_newsroom *room, bool more);

#endif
