/* What goes on now, by walks over the registries; and the totals. */
#include "base/clock.h"
#include "base/counter.h"
#include "engine.h"
#include "state.h"
#include "tell/describe.h"

static bool take_relay(const struct tg_relay *relay, uint64_t now_us, void *out)
{
    if (relay->connection != NULL)
        return false;
    *(tg_live *)out = (tg_live){
        .id = relay->id,
        .bytes_sent = counter_read(&relay->direction[DOWNSTREAM].bytes),
        .bytes_received = counter_read(&relay->direction[UPSTREAM].bytes),
        .age_ms = describe_age_ms(relay, now_us),
        .idle_ms = describe_idle_ms(relay, now_us),
    };
    return true;
}

static bool take_connection(const struct tg_relay *relay, uint64_t now_us, void *out)
{
    if (relay->connection == NULL || relay->connection->punted)
        return false;
    describe_connection(relay, now_us, out);
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
    return walk(engine, cursor, out, sizeof *out, max, take_relay);
}

int tg_engine_connections(tg_engine *engine, uint64_t *cursor, tg_record *out, int max)
{
    return walk(engine, cursor, out, sizeof *out, max, take_connection);
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
        out->mirrors_answered += counter_read(&worker->copies.answered);
        out->mirrors_failed += counter_read(&worker->copies.failed);
        out->mirrors_dropped += counter_read(&worker->copies.dropped);
    }
}
