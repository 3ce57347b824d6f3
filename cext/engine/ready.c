#include "ready.h"

#include "state.h"
#include "tell/log.h"
#include "tell/queues.h"

void worker_enqueue(struct tg_worker *worker, struct tg_relay *relay)
{
    if (relay->queued || relay->done)
        return;
    relay->queued = true;
    relay->ready_next = NULL;
    *worker->ready_last = relay;
    worker->ready_last = &relay->ready_next;
}

static int queue_of(const struct tg_worker *worker, const struct tg_relay *relay)
{
    if (relay->connection == NULL)
        return TG_COMPLETED;
    if (relay->connection->punted)
        return TG_PUNTED;
    return log_takes(worker->engine, relay) ? TG_LOGGED : TG_RECORDED;
}

/* The relay may stand on the ready list still, so it is published only after the list was served. */
void worker_retire(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_ended *ended = &worker->ended[queue_of(worker, relay)];
    registry_remove(&worker->registry, relay);
    relay->node.next = NULL;
    if (ended->last == NULL)
        ended->first = &relay->node;
    else
        ended->last->next = &relay->node;
    ended->last = &relay->node;
}

static void publish(struct tg_worker *worker, int queue)
{
    uint64_t count = 0;
    struct tg_node *newest_first = NULL;
    struct tg_node *oldest = worker->ended[queue].first;

    if (oldest == NULL)
        return;
    /* The mailbox gives back the last pushed first, and then reverses. */
    for (struct tg_node *node = oldest; node != NULL; count++) {
        struct tg_node *next = node->next;
        node->next = newest_first;
        newest_first = node;
        node = next;
    }
    worker->ended[queue].first = worker->ended[queue].last = NULL;
    atomic_fetch_sub_explicit(&worker->active, count, memory_order_relaxed);
    if (queue != TG_PUNTED)
        atomic_fetch_add_explicit(&worker->completed, count, memory_order_relaxed);
    engine_publish(worker->engine, queue, newest_first, oldest, count);
}

void worker_publish(struct tg_worker *worker)
{
    for (int queue = 0; queue < TG_QUEUES; queue++)
        publish(worker, queue);
}
