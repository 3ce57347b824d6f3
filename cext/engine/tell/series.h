/* What a worker counts of the exchanges that it has ended: a series for all that are told about alike, which the worker
 * alone writes and others read. Bounded: by TG_MAX_VARIANTS for one service, route and endpoint, since statuses are the
 * peer's to invent, and by TG_MAX_SERIES altogether. */
#ifndef TG_SERIES_H
#define TG_SERIES_H

#include <stdatomic.h>
#include <stdint.h>

#include "requests.h"
#include "tell/text.h"

struct tg_series_table;

/* In the worker; NULL until it has ended an exchange. */
typedef _Atomic(struct tg_series_table *) tg_series_place;

/* Counts one. Where there is no memory, nothing is counted. */
void series_count(tg_series_place *place, const tg_exchange_record *record, struct tg_text service,
                  struct tg_text route);

/* Any thread: the series from *index on, at most `max`; returns how many. Numbers are left 0. */
int series_read(tg_series_place *place, uint32_t *index, tg_exchange_counters *out, int max);

void series_free(tg_series_place *place); /* no thread may be using it */

#endif
