/* Spans: whether and how an exchange takes part in its trace. */
#ifndef TG_SPANS_H
#define TG_SPANS_H

#include "http/head.h"
#include "requests.h"
#include "trace/trace.h"
#include "worker.h"

/* For each request, when its head is whole and before it is sent. Fills the record's ids and `traced`. While spans are
 * made, the exchange gets a span of its own, which the head's bytes then name as the parent, in place. Returns how many
 * bytes of `line` are a header to be added to the head: 0 unless spans are made and no trace came in. */
size_t span_begin(struct tg_worker *worker, const struct http_head *head, char *bytes, tg_exchange_record *record,
                  char line[TRACE_LINE]);

#endif
