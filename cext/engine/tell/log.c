/* The access log's lines of connections that the engine kept and that ended as connections do. Rendered here, many at a
 * time, because at ten thousand connections a second any other language would spend more on the line than on the
 * connection. What is rarer is told by records. */
#include "tell/log.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/put.h"
#include "tell/queues.h"

enum { LONGEST_FIXED = 512 }; /* of a line without the verdict's own texts: twice what the longest can take */

static const char *const endings[TG_PLAIN_ENDINGS] = {
    [TG_FINISHED] = "finished",
    [TG_DOWNSTREAM_RESET] = "downstream-reset",
    [TG_UPSTREAM_RESET] = "upstream-reset",
    [TG_IDLE_TIMEOUT] = "idle-timeout",
    [TG_LIFETIME] = "lifetime",
    [TG_ABORTED] = "drain-deadline",
};

/* What stands before each value, and at the end. */
struct form {
    const char *time, *direction, *peer, *original, *upstream, *protocol, *lane, *sent, *received, *duration, *reason;
    const char *lane_reason, *end;
};

static const struct form forms[] = {
    [TG_LOG_TEXT] = {"", " direction=", " downstream=", " original_destination=", " upstream=", " protocol=", " lane=",
                     " bytes_sent=", " bytes_received=", " duration_ms=", " close_reason=", " lane_reason=", "\n"},
    [TG_LOG_JSON] = {"{\"time\":\"", "\",\"direction\":\"", "\",\"downstream\":\"", "\",\"original_destination\":\"",
                     "\",\"upstream\":\"", "\",\"protocol\":\"", "\",\"lane\":\"", "\",\"bytes_sent\":",
                     ",\"bytes_received\":", ",\"duration_ms\":", ",\"close_reason\":\"", "\",\"lane_reason\":", "}\n"},
};

static uint64_t wall_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool log_takes(const struct tg_engine *engine, const struct tg_relay *relay)
{
    const struct tg_connection *connection = relay->connection;
    return atomic_load(&engine->log.format) != TG_LOG_NONE && connection->connect_us >= 0 && connection->hops == 0 &&
           relay->reason < TG_PLAIN_ENDINGS;
}

static size_t room_for(const struct tg_relay *relay)
{
    const struct tg_log_texts *texts = &relay->connection->ruling->texts;
    return LONGEST_FIXED + strlen(texts->protocol) + strlen(texts->lane) + strlen(texts->lane_reason);
}

/* proxy/lanes/parsed/spoken.py says the same. */
static const char *protocol_of(const struct tg_connection *connection)
{
    static const char *const PROTOCOLS[] = {
        [TG_SPOKEN_UNKNOWN] = "tcp", [TG_SPOKEN_HTTP1] = "http/1.1", [TG_SPOKEN_HTTP2] = "http/2",
        [TG_SPOKEN_TLS] = "tls",     [TG_SPOKEN_SERVER] = "tcp",     [TG_SPOKEN_OTHER] = "tcp",
    };
    const struct tg_ruling *ruling = connection->ruling;
    return ruling->asked.speaks == TG_OPAQUE ? ruling->texts.protocol : PROTOCOLS[connection->spoken];
}

static const char *lane_of(const struct tg_connection *connection)
{
    if (connection->ruling->asked.speaks == TG_OPAQUE)
        return connection->ruling->texts.lane;
    return connection->spoken == TG_SPOKEN_HTTP1 ? "parsed" : "splice";
}

static char *render(char *at, struct tg_dated *dated, const struct form *form, const struct tg_relay *relay,
                    uint64_t skew)
{
    const struct tg_connection *connection = relay->connection;
    const struct tg_log_texts *texts = &connection->ruling->texts;
    const bool inbound = connection->listener.inbound != 0;
    /* The workload's point of view: inbound it is the server. */
    const int sent = inbound ? UPSTREAM : DOWNSTREAM;
    const uint64_t lasted_us = relay->ended_us - relay->started_us;
    at = put_time(put(at, form->time), dated, relay->started_us + skew);
    at = put(put(at, form->direction), inbound ? "inbound" : "outbound");
    at = put_address(put(at, form->peer), &connection->peer);
    at = put_address(put(at, form->original), &connection->original);
    at = put_address(put(at, form->upstream), &connection->upstream);
    at = put(put(at, form->protocol), protocol_of(connection));
    at = put(put(at, form->lane), lane_of(connection));
    at = put_number(put(at, form->sent), counter_read(&relay->direction[sent].bytes), 1);
    at = put_number(put(at, form->received), counter_read(&relay->direction[1 - sent].bytes), 1);
    at = put_milliseconds(put(at, form->duration), lasted_us);
    at = put(put(at, form->reason), endings[relay->reason]);
    at = put(put(at, form->lane_reason), texts->lane_reason);
    return put(at, form->end);
}

int tg_engine_set_log(tg_engine *engine, int format)
{
    if (format < TG_LOG_NONE || format > TG_LOG_JSON)
        return -EINVAL;
    if (format != TG_LOG_NONE)
        atomic_store(&engine->log.rendered, format);
    atomic_store(&engine->log.format, format);
    return 0;
}

int64_t tg_engine_lines(tg_engine *engine, char *out, size_t room, uint64_t *lines)
{
    const int format = atomic_load(&engine->log.rendered);
    char *at = out;
    *lines = 0;
    if (format == TG_LOG_NONE)
        return 0;
    collect_begin(engine, TG_LEISURELY);
    const uint64_t skew = wall_clock_us() - clock_us();
    for (struct tg_relay *relay; (relay = engine_next(engine, TG_LOGGED)) != NULL; ++*lines) {
        if (room - (size_t)(at - out) < room_for(relay)) {
            engine_put_back(engine, TG_LOGGED, relay);
            break;
        }
        at = render(at, &engine->log.dated, &forms[format], relay, skew);
        relay_free(relay);
        atomic_fetch_sub(&engine->unread, 1);
    }
    collect_finish(engine, TG_LEISURELY, (int)(*lines > 0));
    return at - out;
}
