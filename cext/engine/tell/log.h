/* The access log's lines (tg_engine_lines). */
#ifndef TG_LOG_H
#define TG_LOG_H

#include <stdbool.h>

#include "state.h"

/* Reasons that connections end by as connections do: below this. */
#define TG_PLAIN_ENDINGS TG_INTERNAL_ERROR

/* Whether an ended connection is told by a line. */
bool log_takes(const struct tg_engine *engine, const struct tg_relay *relay);

#endif
