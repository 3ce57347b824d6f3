#include "tell/describe.h"

#include "base/counter.h"

/* The walk read the clock before it came to this relay, which may have begun or moved a byte since. */
int64_t describe_age_ms(const struct tg_relay *relay, uint64_t now_us)
{
    return now_us > relay->started_us ? (int64_t)((now_us - relay->started_us) / 1000) : 0;
}

/* Never more than the age, whatever the rounding of the two clocks makes of it. */
int64_t describe_idle_ms(const struct tg_relay *relay, uint64_t now_us)
{
    const int64_t age = describe_age_ms(relay, now_us);
    const int64_t idle = (int64_t)(now_us / 1000) - (int64_t)counter_read(&relay->active_ms);
    return idle < 0 ? 0 : idle > age ? age : idle;
}

void describe_connection(const struct tg_relay *relay, uint64_t now_us, tg_record *out)
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
        .idle_ms = describe_idle_ms(relay, now_us),
        .hops = connection->hops,
    };
}
