/* The access log's lines of connections that the engine kept and that ended as connections do. Rendered here, many at a
 * time, because at ten thousand connections a second any other language would spend more on the line than on the
 * connection. What is rarer is told by records. */
#include "tell/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/counter.h"
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

static char *put(char *at, const char *text)
{
    return stpcpy(at, text);
}

static char *put_number(char *at, uint64_t value, int digits)
{
    char reversed[24];
    int count = 0;
    do
        reversed[count++] = (char)('0' + value % 10);
    while ((value /= 10) != 0 || count < digits);
    while (count > 0)
        *at++ = reversed[--count];
    return at;
}

static char *put_address(char *at, const tg_address *address)
{
    if (address->family == 6) {
        *at++ = '[';
        inet_ntop(AF_INET6, address->ip, at, INET6_ADDRSTRLEN);
        at += strlen(at);
        *at++ = ']';
    } else {
        for (int i = 0; i < 4; i++) {
            if (i > 0)
                *at++ = '.';
            at = put_number(at, address->ip[i], 1);
        }
    }
    *at++ = ':';
    return put_number(at, address->port, 1);
}

/* In UTC with milliseconds. The date of a second is worked out once. */
static char *put_time(char *at, struct tg_log *log, uint64_t wall_us)
{
    const time_t second = (time_t)(wall_us / 1000000);
    if (second != log->second || log->date[0] == '\0') {
        struct tm parts;
        gmtime_r(&second, &parts);
        strftime(log->date, sizeof log->date, "%Y-%m-%dT%H:%M:%S", &parts);
        log->second = second;
    }
    at = put(at, log->date);
    *at++ = '.';
    at = put_number(at, wall_us / 1000 % 1000, 3);
    *at++ = 'Z';
    return at;
}

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

static char *render(char *at, struct tg_log *log, const struct form *form, const struct tg_relay *relay, uint64_t skew)
{
    const struct tg_connection *connection = relay->connection;
    const struct tg_log_texts *texts = &connection->ruling->texts;
    const bool inbound = connection->listener.inbound != 0;
    /* The workload's point of view: inbound it is the server. */
    const int sent = inbound ? UPSTREAM : DOWNSTREAM;
    const uint64_t lasted_us = relay->ended_us - relay->started_us;
    at = put_time(put(at, form->time), log, relay->started_us + skew);
    at = put(put(at, form->direction), inbound ? "inbound" : "outbound");
    at = put_address(put(at, form->peer), &connection->peer);
    at = put_address(put(at, form->original), &connection->original);
    at = put_address(put(at, form->upstream), &connection->upstream);
    at = put(put(at, form->protocol), texts->protocol);
    at = put(put(at, form->lane), texts->lane);
    at = put_number(put(at, form->sent), counter_read(&relay->direction[sent].bytes), 1);
    at = put_number(put(at, form->received), counter_read(&relay->direction[1 - sent].bytes), 1);
    at = put_number(put(at, form->duration), lasted_us / 1000, 1);
    *at++ = '.';
    at = put_number(at, lasted_us % 1000, 3);
    at = put(put(at, form->reason), endings[relay->reason]);
    at = put(put(at, form->lane_reason), texts->lane_reason);
    return put(at, form->end);
}

int tg_engine_set_log(tg_engine *engine, int format)
{
    if (format < TG_LOG_NONE || format > TG_LOG_JSON)
        return -EINVAL;
    atomic_store(&engine->log.format, format);
    return 0;
}

int64_t tg_engine_lines(tg_engine *engine, char *out, size_t room, uint64_t *lines)
{
    const int format = atomic_load(&engine->log.format);
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
        at = render(at, &engine->log, &forms[format], relay, skew);
        relay_free(relay);
        atomic_fetch_sub(&engine->unread, 1);
    }
    collect_finish(engine, TG_LEISURELY, (int)(*lines > 0));
    return at - out;
}
