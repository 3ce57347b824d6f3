/* Requests to databases, counted for a group: memory for a kind is taken when its first request is counted. */
#ifndef TG_DATABASE_COUNTS_H
#define TG_DATABASE_COUNTS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "database/follow.h"
#include "database/spec.h"

struct tg_group;
struct statement_count;

struct statement_counts {
    struct statement_count *_Atomic of[DATABASE_KINDS];
};

/* Any worker. Without memory what is counted is lost. */
void statements_count(struct tg_group *group, const struct follow_told *told);

/* False: none of that kind was counted. */
bool statements_sum(const struct tg_group *group, uint16_t kind, tg_statements *out);

void statements_free(struct tg_group *group);

#endif
