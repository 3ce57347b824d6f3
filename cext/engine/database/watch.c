#include "database/watch.h"

#include <stdlib.h>
#include <string.h>

#include "database/counts.h"
#include "state.h"

struct looking {
    struct tg_worker *worker;
    const struct tg_connection *connection;
};

static void told(void *context, const struct follow_told *request)
{
    const struct looking *looking = context;
    const struct tg_connection *connection = looking->connection;
    struct statement_ring *ring = &looking->worker->engine->statements;
    statements_count(connection->group, request);
    if (!atomic_load_explicit(&ring->on, memory_order_relaxed))
        return;
    enum database database;
    const char *kind = kind_name(request->kind, &database);
    tg_statement one = {
        .group = connection->group->id,
        .ended_us = looking->worker->now_us,
        .duration_us = request->us,
        .peer = connection->peer,
        .original = connection->original,
        .upstream = connection->upstream,
        .database = (int32_t)database,
        .failed = request->failed,
    };
    memcpy(one.kind, kind, sizeof one.kind);
    statements_put(ring, &one);
}

static void give_up(struct tg_connection *connection)
{
    free(connection->follow);
    connection->follow = NULL;
    connection->watch = WATCH_OFF;
}

void database_look(struct tg_worker *worker, struct tg_relay *relay, int from, const uint8_t *bytes, size_t length)
{
    struct tg_connection *connection = relay->connection;
    if (connection->watch == WATCH_GUESS) {
        const enum database database = follow_guess(from, bytes, length);
        if (database != DATABASE_NONE)
            connection->follow = calloc(1, sizeof *connection->follow);
        if (connection->follow == NULL) {
            connection->watch = WATCH_OFF;
            return;
        }
        connection->follow->database = database;
        connection->watch = WATCH_FOLLOW;
    }
    struct looking looking = {worker, connection};
    if (!follow_saw(connection->follow, from, bytes, length, worker->now_us, told, &looking))
        give_up(connection);
}

void tg_engine_follow_databases(tg_engine *engine, int on)
{
    atomic_store(&engine->follows_databases, on != 0);
}

int tg_engine_statements(tg_engine *engine, uint64_t *cursor, tg_statements *out, int max)
{
    int count = 0;
    pthread_mutex_lock(&engine->control);
    for (; count < max && *cursor / DATABASE_KINDS < engine->groups.count; (*cursor)++) {
        const struct tg_group *group = engine->groups.all[*cursor / DATABASE_KINDS];
        if (atomic_load_explicit(&group->statements, memory_order_relaxed) == NULL)
            *cursor |= DATABASE_KINDS - 1; /* on to the next group */
        else if (statements_sum(group, (uint16_t)(*cursor % DATABASE_KINDS), &out[count]))
            count++;
    }
    pthread_mutex_unlock(&engine->control);
    return count;
}

void tg_engine_tell_statements(tg_engine *engine, int on)
{
    statements_switch(&engine->statements, on != 0);
}

int tg_engine_take_statements(tg_engine *engine, tg_statement *out, int max, uint64_t *dropped)
{
    return statements_take(&engine->statements, out, max, dropped);
}
