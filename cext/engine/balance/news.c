#include "balance/news.h"

#include <stdint.h>
#include <unistd.h>

static void wake(struct tg_newsroom *room)
{
    const uint64_t one = 1;
    if (room->fd >= 0 && !atomic_exchange(&room->raised, true))
        (void)!write(room->fd, &one, sizeof one);
}

void news_post(struct tg_newsroom *room, struct tg_node *node)
{
    mailbox_push(&room->mailbox, node, node);
    wake(room);
}

void news_left(struct tg_newsroom *room, bool more)
{
    if (more)
        wake(room);
}

struct tg_node *news_take(struct tg_newsroom *room)
{
    uint64_t ignored;
    if (room->fd >= 0)
        (void)!read(room->fd, &ignored, sizeof ignored);
    atomic_store(&room->raised, false);
    return mailbox_take(&room->mailbox);
}
