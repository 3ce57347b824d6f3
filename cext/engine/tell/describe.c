#include "tell/describe.h"

#include <string.h>

#include "base/counter.h"
#include "http/hello.h"

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

/* Names behind their lengths become names between commas. What could not be printed is no name that anybody looks for.
 */
static void describe_hello(const struct hello *hello, tg_record *out)
{
    size_t at = 0;
    memcpy(out->server_name, hello->server_name, hello->server_name_length);
    for (size_t from = 0; from < hello->alpn_length;) {
        const size_t length = (uint8_t)hello->alpn[from++];
        if (at + length + 2 > sizeof out->alpn)
            break;
        if (at > 0)
            out->alpn[at++] = ',';
        for (size_t i = 0; i < length; i++, from++)
            out->alpn[at++] = hello->alpn[from] > ' ' && hello->alpn[from] <= '~' ? hello->alpn[from] : '?';
    }
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
        .spoken = connection->spoken,
    };
    if (connection->hello != NULL)
        describe_hello(connection->hello, out);
}
