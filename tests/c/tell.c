/* Exchanges told by several threads, collected and counted by others meanwhile, under a sanitizer. Usage: tell SECONDS
 * FAULT_RATE.
 *
 * A thread stands in for each worker (the engine's own have nothing to do). Records must come whole, each worker's in
 * order; what was told must have been collected or counted as dropped; counters must add up. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"
#include "faults.h"
#include "harness.h"
#include "requests.h"
#include "state.h"
#include "tell/exchanges.h"

enum { WORKERS = 3, ROOM = 64 * 1024, STATUSES = 900 };

static tg_engine *engine;
static _Atomic bool over;
static uint64_t told_by[WORKERS]; /* read when the threads have ended */
static uint64_t last_seen[WORKERS];
static uint64_t collected;

static void *tell(void *argument)
{
    const unsigned index = (unsigned)(uintptr_t)argument;
    unsigned seed = index + 1;
    char target[3000];
    while (!atomic_load(&over)) {
        struct exchange_told told = {.record = {.scope = 1, .grpc = -1, .major = 1, .upstream_us = -1}};
        const size_t length = (size_t)rand_r(&seed) % sizeof target;
        memset(target, 'a' + (int)(told_by[index] % 26), length);
        told.record.connection = ++told_by[index];
        told.record.verdict = index;
        told.record.group = told_by[index] % 500;
        told.record.status = (uint16_t)(100 + rand_r(&seed) % STATUSES);
        told.target = (struct tg_text){target, length};
        told.service = (struct tg_text){"ns/shop", 7};
        exchange_tell(&engine->workers[index], &told);
        if (rand_r(&seed) % 64 == 0)
            usleep(100);
    }
    return NULL;
}

static void check(const tg_exchange_record *record)
{
    const char *target = (const char *)(record + 1);
    const size_t plain = record->target_length < TG_MAX_TARGET ? record->target_length : TG_MAX_TARGET - 3;
    if (record->size % 8 != 0 || record->verdict >= WORKERS || record->service_length != 7)
        fail("a record is damaged");
    if (record->connection <= last_seen[record->verdict])
        fail("worker %u: %lu after %lu", (unsigned)record->verdict, (unsigned long)record->connection,
             (unsigned long)last_seen[record->verdict]);
    last_seen[record->verdict] = record->connection;
    for (size_t i = 1; i < plain; i++)
        if (target[i] != target[0])
            fail("a target has bytes of another");
}

static uint64_t collect(void)
{
    static char records[ROOM], text[ROOM], json[ROOM];
    tg_exchange_batch batch = {
        .records = records, .records_room = ROOM, .text = text, .text_room = ROOM, .json = json, .json_room = ROOM};
    tg_engine_exchanges(engine, &batch);
    for (size_t at = 0; at < batch.records_size; at += ((const tg_exchange_record *)(records + at))->size)
        check((const tg_exchange_record *)(records + at));
    if (batch.count > 0 && (text[batch.text_size - 1] != '\n' || json[batch.json_size - 1] != '\n'))
        fail("a line has no end");
    collected += batch.count;
    return batch.count;
}

static uint64_t dropped(void)
{
    tg_exchange_batch batch = {0};
    tg_engine_exchanges(engine, &batch);
    return batch.dropped;
}

static uint64_t counted(void)
{
    tg_exchange_counters rows[64];
    uint64_t cursor = 0, total = 0;
    for (int count; (count = tg_engine_exchange_counters(engine, &cursor, rows, 64)) != 0;)
        for (int i = 0; i < count; i++)
            total += rows[i].requests;
    return total;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        fail("usage: tell SECONDS FAULT_RATE");
    pthread_t threads[WORKERS];
    const time_t end = time(NULL) + atoi(argv[1]);
    if (tg_engine_new(WORKERS, 16, &engine) < 0 || tg_engine_keep_exchanges(engine, 1) < 0)
        fail("the engine does not start");
    faults_set((unsigned)atoi(argv[2]));
    for (unsigned i = 0; i < WORKERS; i++)
        if (pthread_create(&threads[i], NULL, tell, (void *)(uintptr_t)i) != 0)
            fail("no thread");
    uint64_t before = 0;
    while (time(NULL) < end) {
        (void)collect();
        const uint64_t now = counted();
        if (now < before)
            fail("counters go back");
        before = now;
    }
    atomic_store(&over, true);
    uint64_t told = 0;
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        told += told_by[i];
    }
    faults_set(0);
    while (collect() > 0)
        ;
    /* Where memory failed for a worker's table, the exchange is not counted. */
    if (collected + dropped() != told || counted() > told || counted() + WORKERS * 4 < told)
        fail("%lu told, %lu collected, %lu dropped, %lu counted", (unsigned long)told, (unsigned long)collected,
             (unsigned long)dropped(), (unsigned long)counted());
    printf("%lu exchanges told, %lu collected\n", (unsigned long)told, (unsigned long)collected);
    tg_engine_free(engine);
    return 0;
}
