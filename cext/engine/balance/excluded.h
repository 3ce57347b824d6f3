/* Endpoints that are out of the question for one choice, and drawing among the others by weight. */
#ifndef TG_EXCLUDED_H
#define TG_EXCLUDED_H

#include <stdbool.h>
#include <stdint.h>

#include "balance/cluster.h"

enum { EXCLUDED_MAX = 32 };

struct excluded {
    uint32_t count;
    uint32_t index[EXCLUDED_MAX]; /* ascending */
    uint64_t weight;              /* of all of them */
};

/* False: it is among them already, has no weight, or there is no room. */
bool excluded_add(struct excluded *excluded, const struct tg_cluster *cluster, uint32_t index);
bool excluded_has(const struct excluded *excluded, uint32_t index);
/* An endpoint by weight; -1: there is none but the excluded ones. */
int32_t excluded_draw(const struct excluded *excluded, const struct tg_cluster *cluster, uint64_t number);
/* The endpoint that a ticket from 0 to total - 1 belongs to. */
uint32_t cluster_ticket(const struct tg_cluster *cluster, uint64_t ticket);

#endif
