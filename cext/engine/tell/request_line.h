/* A request's line of the access log, to the bytes that Python would render (proxy/core/report/request_fields.py). */
#ifndef TG_REQUEST_LINE_H
#define TG_REQUEST_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/put.h"
#include "requests.h"

/* Bytes that the line of this record may take. */
size_t request_line_room(const tg_exchange_record *record);

/* record: with its texts behind it and started_us since the epoch. Returns where the line ends, its end included. */
char *request_line(char *at, struct tg_dated *dated, const tg_exchange_record *record, bool json);

#endif
