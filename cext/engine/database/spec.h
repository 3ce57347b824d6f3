/* What callers see of databases: requests to them, counted by group, kind and outcome. */
#ifndef TG_DATABASE_SPEC_H
#define TG_DATABASE_SPEC_H

#include <stdint.h>

#include "requests.h"

/* cdef:begin */
/* Requests of one kind in connections of one group; counts never go back. */
typedef struct {
    uint64_t group;
    uint64_t answered; /* without an error */
    uint64_t failed;   /* with one */
    uint64_t duration_us;
    uint64_t durations[TG_BUCKETS]; /* by Istio's bounds, of both */
    int32_t database;               /* 1: Redis, 2: PostgreSQL, 3: MySQL or MariaDB */
    char kind[16];                  /* one of few words: a command, or the first word of a statement */
} tg_statements;

/* Whether databases' protocols are looked for in new connections that are relayed as bytes. Off until it is said. */
void tg_engine_follow_databases(tg_engine *engine, int on);

/* Walked like tg_engine_counters. */
int tg_engine_statements(tg_engine *engine, uint64_t *cursor, tg_statements *out, int max);
/* cdef:end */

#endif
