/* The trace that a request belongs to: W3C's traceparent and Zipkin's B3, to the rules of proxy/core/trace. */
#ifndef TG_TRACE_H
#define TG_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/head.h"

enum {
    TRACE_PLACES = 4,
    TRACE_LINE = 70 /* bytes of a header that trace_line writes */
};

struct trace {
    bool is_known; /* else nothing else is set but `places` */
    bool is_sampled;
    uint8_t trace_id[16];
    uint8_t parent_id[8];
    uint32_t place[TRACE_PLACES]; /* where in the head a parent's 16 digits stand */
    uint32_t places;
};

/* What the request's head says. */
void trace_find(const struct http_head *head, const char *bytes, struct trace *trace);

/* Makes `span_id` the parent, for the next one to see. The head stays as long as it is. */
void trace_continue(const struct trace *trace, char *bytes, const uint8_t span_id[8]);

/* Writes a header, its end of line included: always TRACE_LINE bytes. */
void trace_line(char *out, const uint8_t trace_id[16], const uint8_t span_id[8], bool is_sampled);

#endif
