#include "tell/queues.h"

#include <unistd.h>

#include "capacity.h"

static int signal_of(int queue)
{
    return queue == TG_RECORDED || queue == TG_LOGGED ? TG_LEISURELY : TG_URGENT;
}

void engine_raise(struct tg_engine *engine, int which)
{
    const uint64_t one = 1;
    if (!atomic_exchange(&engine->signals[which].raised, true))
        (void)!write(engine->signals[which].fd, &one, sizeof one);
}

void engine_lower(struct tg_engine *engine, int which)
{
    uint64_t ignored;
    (void)!read(engine->signals[which].fd, &ignored, sizeof ignored);
    atomic_store(&engine->signals[which].raised, false);
}

void engine_publish(struct tg_engine *engine, int queue, struct tg_node *first, struct tg_node *last, size_t count)
{
    if (signal_of(queue) == TG_LEISURELY) {
        atomic_fetch_add(&engine->unread, count);
        atomic_fetch_sub(&engine->outstanding, count);
        capacity_wake(engine);
    }
    mailbox_push(&engine->queues[queue].mailbox, first, last);
    engine_raise(engine, signal_of(queue));
}

void engine_signal_records(struct tg_engine *engine)
{
    /* Looked at first: an exchange would else write to a line that all workers share. */
    if (!atomic_load(&engine->signals[TG_LEISURELY].raised))
        engine_raise(engine, TG_LEISURELY);
}

struct tg_relay *engine_next(struct tg_engine *engine, int queue)
{
    struct tg_queue *it = &engine->queues[queue];
    if (it->collected == NULL)
        it->collected = mailbox_take(&it->mailbox);
    struct tg_node *node = it->collected;
    if (node != NULL)
        it->collected = node->next;
    return (struct tg_relay *)node;
}

void engine_put_back(struct tg_engine *engine, int queue, struct tg_relay *relay)
{
    struct tg_queue *it = &engine->queues[queue];
    relay->node.next = it->collected;
    it->collected = &relay->node;
}

static bool exchanges_wait(const struct tg_engine *engine)
{
    for (unsigned i = 0; i < engine->worker_count; i++)
        if (!ring_is_empty(&engine->workers[i].told))
            return true;
    return false;
}

void collect_begin(struct tg_engine *engine, int which)
{
    pthread_mutex_lock(&engine->collecting);
    /* First the signal, then the queues: what is published after our last look signals again. */
    engine_lower(engine, which);
}

void collect_finish(struct tg_engine *engine, int which, int collected)
{
    for (int queue = 0; queue < TG_QUEUES; queue++)
        if (signal_of(queue) == which &&
            (engine->queues[queue].collected != NULL || atomic_load(&engine->queues[queue].mailbox.top) != NULL))
            engine_raise(engine, which);
    if (which == TG_LEISURELY && exchanges_wait(engine))
        engine_raise(engine, which);
    pthread_mutex_unlock(&engine->collecting);
    if (collected == 0)
        return;
    capacity_wake(engine);
    /* What was retired while a worker was busy needs somebody to come by later. */
    if (pthread_mutex_trylock(&engine->control) == 0) {
        epoch_reclaim(&engine->epochs);
        pthread_mutex_unlock(&engine->control);
    }
}
