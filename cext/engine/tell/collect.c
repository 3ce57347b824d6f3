/* How what the workers have to tell reaches the caller: what ended, through queues and a descriptor; what goes on, by
 * walks. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

static int signal_of(int queue)
{
    return queue == TG_RECORDED || queue == TG_LOGGED ? TG_LEISURELY : TG_URGENT;
}

static void raise_signal(struct tg_engine *engine, int which)
{
    const uint64_t one = 1;
    if (!atomic_exchange(&engine->signals[which].raised, true))
        (void)!write(engine->signals[which].fd, &one, sizeof one);
}

/* There is room again. */
static void wake_waiting(struct tg_engine *engine)
{
    for (unsigned i = 0; i < engine->worker_count; i++)
        if (atomic_exchange(&engine->workers[i].wants_space, false))
            worker_wake(&engine->workers[i]);
}

void engine_publish(struct tg_engine *engine, int queue, struct tg_node *first, struct tg_node *last, size_t count)
{
    if (signal_of(queue) == TG_LEISURELY) {
        atomic_fetch_add(&engine->unread, count);
        atomic_fetch_sub(&engine->outstanding, count);
        wake_waiting(engine);
    }
    mailbox_push(&engine->queues[queue].mailbox, first, last);
    raise_signal(engine, signal_of(queue));
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

void collect_begin(struct tg_engine *engine, int which)
{
    uint64_t ignored;
    pthread_mutex_lock(&engine->collecting);
    /* First the signal, then the queues: what is published after our last look signals again. */
    (void)!read(engine->signals[which].fd, &ignored, sizeof ignored);
    atomic_store(&engine->signals[which].raised, false);
}

void tg_engine_forget(tg_engine *engine)
{
    engine_release(engine);
    wake_waiting(engine);
}

void collect_finish(struct tg_engine *engine, int which, int collected)
{
    for (int queue = 0; queue < TG_QUEUES; queue++)
        if (signal_of(queue) == which &&
            (engine->queues[queue].collected != NULL || atomic_load(&engine->queues[queue].mailbox.top) != NULL))
            raise_signal(engine, which);
    pthread_mutex_unlock(&engine->collecting);
    if (collected == 0)
        return;
    wake_waiting(engine);
    /* What was retired while a worker was busy needs somebody to come by later. */
    if (pthread_mutex_trylock(&engine->control) == 0) {
        epoch_reclaim(engine);
        pthread_mutex_unlock(&engine->control);
    }
}

static void dispose(struct tg_engine *engine, struct tg_relay *relay)
{
    relay_free(relay);
    engine_release(engine);
}

int tg_engine_completions(tg_engine *engine, tg_completion *out, int max)
{
    int count = 0;
    collect_begin(engine, TG_URGENT);
    for (struct tg_relay *relay; count < max && (relay = engine_next(engine, TG_COMPLETED)) != NULL; count++) {
        out[count] = (tg_completion){
            .id = relay->id,
            .bytes_sent = counter_read(&relay->direction[DOWNSTREAM].bytes),
            .bytes_received = counter_read(&relay->direction[UPSTREAM].bytes),
            .duration_us = (int64_t)(relay->ended_us - relay->started_us),
            .reason = relay->reason,
            .error = relay->error,
        };
        dispose(engine, relay);
    }
    collect_finish(engine, TG_URGENT, count);
    return count;
}

int tg_engine_punts(tg_engine *engine, tg_punt *out, int max)
{
    int count = 0;
    collect_begin(engine, TG_URGENT);
    for (struct tg_relay *relay; count < max && (relay = engine_next(engine, TG_PUNTED)) != NULL; count++) {
        const struct tg_connection *connection = relay->connection;
        out[count] = (tg_punt){
            .fd = relay->side[DOWNSTREAM].fd,
            .scope = connection->listener.scope,
            .hops = connection->hops,
            .peer = connection->peer,
            .original = connection->original,
        };
        relay_free(relay); /* its place goes with it */
    }
    collect_finish(engine, TG_URGENT, count);
    return count;
}

/* The walk read the clock before it came to this relay, which may have begun or moved a byte since. */
static int64_t age_ms(const struct tg_relay *relay, uint64_t now_us)
{
    return now_us > relay->started_us ? (int64_t)((now_us - relay->started_us) / 1000) : 0;
}

/* Never more than the age, whatever the rounding of the two clocks makes of it. */
static int64_t idle_ms(const struct tg_relay *relay, uint64_t now_us)
{
    const int64_t age = age_ms(relay, now_us);
    const int64_t idle = (int64_t)(now_us / 1000) - (int64_t)counter_read(&relay->active_ms);
    return idle < 0 ? 0 : idle > age ? age : idle;
}

static void record(const struct tg_relay *relay, uint64_t now_us, tg_record *out)
{
    const struct tg_connection *connection = relay->connection;
    *out = (tg_record){
        .id = relay->id,
        .verdict = connection->verdict,
        .group = connection->group_id,
        .bytes_sent = counter_read(&relay->direction[DOWNSTREAM].bytes),
        .bytes_received = counter_read(&relay->direction[UPSTREAM].bytes),
        .duration_us = now_us > relay->started_us ? (int64_t)(now_us - relay->started_us) : 0,
        .connect_us = connection->connect_us,
        .peer = connection->peer,
        .original = connection->original,
        .upstream = connection->upstream,
        .scope = connection->listener.scope,
        .attempts = connection->attempts,
        .idle_ms = idle_ms(relay, now_us),
        .hops = connection->hops,
    };
}

int tg_engine_records(tg_engine *engine, tg_record *out, int max)
{
    int count = 0;
    collect_begin(engine, TG_LEISURELY);
    for (struct tg_relay *relay; count < max && (relay = engine_next(engine, TG_RECORDED)) != NULL; count++) {
        record(relay, relay->ended_us, &out[count]);
        out[count].reason = relay->reason;
        out[count].error = relay->error;
        relay_free(relay);
        atomic_fetch_sub(&engine->unread, 1);
    }
    collect_finish(engine, TG_LEISURELY, count);
    return count;
}

static bool describe_relay(const struct tg_relay *relay, uint64_t now_us, void *out)
{
    if (relay->connection != NULL)
        return false;
    *(tg_live *)out = (tg_live){
        .id = relay->id,
        .bytes_sent = counter_read(&relay->direction[DOWNSTREAM].bytes),
        .bytes_received = counter_read(&relay->direction[UPSTREAM].bytes),
        .age_ms = age_ms(relay, now_us),
        .idle_ms = idle_ms(relay, now_us),
    };
    return true;
}

static bool describe_connection(const struct tg_relay *relay, uint64_t now_us, void *out)
{
    if (relay->connection == NULL || relay->connection->punted)
        return false;
    record(relay, now_us, out);
    return true;
}

/* The cursor is worker << 32 | slot. Slots keep their place, so nobody is seen twice, or missed for another's coming or
 * going. */
static int walk(struct tg_engine *engine, uint64_t *cursor, void *out, size_t size, int max,
                bool (*describe)(const struct tg_relay *, uint64_t, void *))
{
    const uint64_t now_us = clock_us();
    int count = 0;
    while (count < max && *cursor >> 32 < engine->worker_count) {
        struct tg_registry *registry = &engine->workers[*cursor >> 32].registry;
        uint32_t index = (uint32_t)*cursor;
        /* A chunk at a time: a worker that must add or remove meanwhile waits for microseconds only. */
        pthread_mutex_lock(&registry->mutex);
        const uint32_t end = registry->used - index > TG_CHUNK ? index + TG_CHUNK : registry->used;
        for (; index < end && count < max; index++) {
            const struct tg_relay *relay = registry_slot(registry, index)->relay;
            if (relay != NULL && describe(relay, now_us, (char *)out + (size_t)count * size))
                count++;
        }
        const bool over = index >= registry->used;
        pthread_mutex_unlock(&registry->mutex);
        *cursor = over ? ((*cursor >> 32) + 1) << 32 : (*cursor & ~UINT64_C(0xffffffff)) | index;
    }
    return count;
}

int tg_engine_live(tg_engine *engine, uint64_t *cursor, tg_live *out, int max)
{
    return walk(engine, cursor, out, sizeof *out, max, describe_relay);
}

int tg_engine_connections(tg_engine *engine, uint64_t *cursor, tg_record *out, int max)
{
    return walk(engine, cursor, out, sizeof *out, max, describe_connection);
}

void tg_engine_totals(tg_engine *engine, tg_totals *out)
{
    *out = (tg_totals){.outstanding = atomic_load(&engine->outstanding) + atomic_load(&engine->unread)};
    for (unsigned i = 0; i < engine->worker_count; i++) {
        const struct tg_worker *worker = &engine->workers[i];
        out->bytes_sent += counter_read(&worker->bytes[DOWNSTREAM]);
        out->bytes_received += counter_read(&worker->bytes[UPSTREAM]);
        out->spliced_bytes += counter_read(&worker->spliced);
        out->active += counter_read(&worker->active);
        out->completed += counter_read(&worker->completed);
        out->accept_pauses += counter_read(&worker->pauses);
        out->limit_pauses += counter_read(&worker->limit_pauses);
    }
}
