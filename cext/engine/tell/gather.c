/* Records and counters of exchanges, handed to the caller. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/counter.h"
#include "engine.h"
#include "requests.h"
#include "state.h"
#include "tell/exchanges.h"
#include "tell/queues.h"
#include "tell/request_line.h"

enum {
    LONGEST_RECORD = sizeof(tg_exchange_record) + TG_MAX_METHOD + TG_MAX_AUTHORITY + TG_MAX_TARGET + 2 * TG_MAX_NAME
};
_Static_assert(1024 + 5 * (LONGEST_RECORD + 8 - sizeof(tg_exchange_record)) < 32 * 1024, "a line fits into its room");

static uint64_t wall_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static bool fits(const tg_exchange_batch *batch, const tg_exchange_record *record)
{
    const size_t line = request_line_room(record);
    return (batch->records == NULL || batch->records_room - batch->records_size >= record->size) &&
           (batch->text == NULL || batch->text_room - batch->text_size >= line) &&
           (batch->json == NULL || batch->json_room - batch->json_size >= line);
}

static void put_record(struct tg_engine *engine, tg_exchange_batch *batch, const tg_exchange_record *record,
                       uint64_t skew)
{
    /* The ring's bytes are the collector's alone until they are given back. */
    tg_exchange_record *told = (tg_exchange_record *)record;
    told->started_us += skew;
    if (batch->records != NULL) {
        memcpy(batch->records + batch->records_size, told, told->size);
        batch->records_size += told->size;
    }
    if (batch->text != NULL)
        batch->text_size =
            (size_t)(request_line(batch->text + batch->text_size, &engine->log.dated, told, false) - batch->text);
    if (batch->json != NULL)
        batch->json_size =
            (size_t)(request_line(batch->json + batch->json_size, &engine->log.dated, told, true) - batch->json);
    batch->count++;
}

void tg_engine_exchanges(tg_engine *engine, tg_exchange_batch *batch)
{
    batch->records_size = batch->text_size = batch->json_size = 0;
    batch->count = batch->dropped = 0;
    collect_begin(engine, TG_LEISURELY);
    const uint64_t skew = wall_clock_us() - clock_us();
    for (unsigned i = 0; i < engine->worker_count; i++) {
        struct tg_ring *ring = &engine->workers[i].told;
        const tg_exchange_record *record;
        while ((record = ring_first(ring)) != NULL && fits(batch, record)) {
            put_record(engine, batch, record, skew);
            ring_take(ring);
        }
        batch->dropped += counter_read(&ring->dropped);
    }
    collect_finish(engine, TG_LEISURELY, 0);
}

int tg_engine_keep_exchanges(tg_engine *engine, int kept)
{
    int error = 0;
    pthread_mutex_lock(&engine->control);
    for (unsigned i = 0; kept && error == 0 && i < engine->worker_count; i++)
        error = ring_open(&engine->workers[i].told);
    if (error == 0)
        atomic_store(&engine->keeps_exchanges, kept != 0);
    pthread_mutex_unlock(&engine->control);
    return error;
}

int tg_engine_exchange_counters(tg_engine *engine, uint64_t *cursor, tg_exchange_counters *out, int max)
{
    int count = 0;
    /* The cursor is worker << 32 | index. */
    while (count < max && *cursor >> 32 < engine->worker_count) {
        struct tg_worker *worker = &engine->workers[*cursor >> 32];
        uint32_t index = (uint32_t)*cursor;
        const uint64_t first = *cursor;
        const int found = series_read(&worker->series, &index, out + count, max - count);
        for (int i = 0; i < found; i++)
            out[count + i].number = first + (uint64_t)i;
        count += found;
        *cursor = found == 0 ? ((*cursor >> 32) + 1) << 32 : (*cursor & ~UINT64_C(0xffffffff)) | index;
    }
    return count;
}

uint64_t tg_engine_cpu_us(tg_engine *engine)
{
    pthread_mutex_lock(&engine->submitting);
    if (!engine->joined) {
        uint64_t total = 0;
        for (unsigned i = 0; i < engine->worker_count; i++) {
            clockid_t clock;
            struct timespec used;
            if (pthread_getcpuclockid(engine->workers[i].thread, &clock) == 0 && clock_gettime(clock, &used) == 0)
                total += (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
        }
        engine->cpu_us = total;
    }
    const uint64_t used_us = engine->cpu_us;
    pthread_mutex_unlock(&engine->submitting);
    return used_us;
}
