/* What has ended, handed to the caller. */
#include "base/counter.h"
#include "capacity.h"
#include "engine.h"
#include "state.h"
#include "tell/describe.h"
#include "tell/queues.h"

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

int tg_engine_records(tg_engine *engine, tg_record *out, int max)
{
    int count = 0;
    collect_begin(engine, TG_LEISURELY);
    for (struct tg_relay *relay; count < max && (relay = engine_next(engine, TG_RECORDED)) != NULL; count++) {
        describe_connection(relay, relay->ended_us, &out[count]);
        out[count].reason = relay->reason;
        out[count].error = relay->error;
        relay_free(relay);
        atomic_fetch_sub(&engine->unread, 1);
    }
    collect_finish(engine, TG_LEISURELY, count);
    return count;
}
