#include "trace/spans.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "state.h"

enum { MILLION = 1000000 };

size_t span_begin(struct tg_worker *worker, const struct http_head *head, char *bytes, tg_exchange_record *record,
                  char line[TRACE_LINE])
{
    struct {
        uint8_t trace_id[16];
        uint8_t span_id[8];
        uint32_t lot;
    } drawn;
    struct trace trace;
    const int64_t share = atomic_load_explicit(&worker->engine->spans_per_million, memory_order_relaxed);
    trace_find(head, bytes, &trace);
    if (trace.is_known) {
        record->traced = trace.is_sampled ? TG_SAMPLED : TG_UNSAMPLED;
        memcpy(record->trace_id, trace.trace_id, sizeof trace.trace_id);
        memcpy(record->parent_id, trace.parent_id, sizeof trace.parent_id);
    }
    /* Without randomness there are no ids that differ from everybody else's: the request goes on as it came. */
    if (share < 0 || getrandom(&drawn, sizeof drawn, GRND_NONBLOCK) != sizeof drawn)
        return 0;
    drawn.span_id[0] |= 1; /* never zeros */
    memcpy(record->span_id, drawn.span_id, sizeof drawn.span_id);
    if (trace.is_known) {
        trace_continue(&trace, bytes, drawn.span_id);
        return 0;
    }
    const bool is_sampled = drawn.lot % MILLION < (uint64_t)share;
    drawn.trace_id[0] |= 1;
    record->traced = is_sampled ? TG_SAMPLED : TG_UNSAMPLED;
    memcpy(record->trace_id, drawn.trace_id, sizeof drawn.trace_id);
    trace_line(line, drawn.trace_id, drawn.span_id, is_sampled);
    return TRACE_LINE;
}

int tg_engine_make_spans(tg_engine *engine, int64_t per_million)
{
    if (per_million > MILLION)
        return -EINVAL;
    atomic_store(&engine->spans_per_million, per_million < 0 ? -1 : per_million);
    return 0;
}
