#include "database/watch.h"

#include <stdlib.h>

#include "database/counts.h"
#include "state.h"

static void told(void *context, const struct follow_told *request)
{
    const struct tg_relay *relay = context;
    statements_count(relay->connection->group, request);
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
    if (!follow_saw(connection->follow, from, bytes, length, worker->now_us, told, relay))
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
