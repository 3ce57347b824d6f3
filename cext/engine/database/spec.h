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

/* One request. */
typedef struct {
    uint64_t group;
    uint64_t ended_us; /* of the monotonic clock */
    uint64_t duration_us;
    tg_address peer;
    tg_address original;
    tg_address upstream;
    int32_t database;
    int32_t failed;
    char kind[16];
} tg_statement;

/* Whether databases' protocols are looked for in new connections that are relayed as bytes. Off until it is said. */
void tg_engine_follow_databases(tg_engine *engine, int on);

/* Walked like tg_engine_counters. */
int tg_engine_statements(tg_engine *engine, uint64_t *cursor, tg_statements *out, int max);

/* Whether requests to databases are told one by one, too, from now on. */
void tg_engine_tell_statements(tg_engine *engine, int on);

/* Those that wait, oldest first, at most `max`. *dropped: how many were lost since this was last called. */
int tg_engine_take_statements(tg_engine *engine, tg_statement *out, int max, uint64_t *dropped);
/* cdef:end */

#endif
